# SPDX-License-Identifier: Apache-2.0
"""General block transfer: any APDU, also a protected one, cut into numbered blocks.

DLMS UA 1000-2 Ed. 10, 9.4.6.13 and 9.5 (APDU tag E0).  Protection comes first, then the cutting.
`cut` and `Assembler` serve transfers that nobody acknowledges, such as pushes: window 0, blocks
numbered from 1.  The confirmed form (windows, lost blocks asked for again) is
`dlms.block_transfer`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final, Self

from openami.dlms.axdr import Reader, encode_octet_string
from openami.dlms.errors import RemoteProtocolError

LARGEST_BLOCK_NUMBER: Final = 0xFFFF
LARGEST_WINDOW: Final = 0x3F
_LAST_BLOCK: Final = 0x80
_STREAMING: Final = 0x40


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralBlockTransfer:
    """One block: General-Block-Transfer.

    ======  ==================  ================================================
    octets  field               value
    ======  ==================  ================================================
    1       tag                 E0
    1       block_control       bit 7 last block, 6 streaming, 5..0 window
    2       block_number        from 1
    2       block_number_ack    last block received in sequence
    1 + n   block_data          length, then this part of the APDU
    ======  ==================  ================================================
    """

    TAG: ClassVar = 0xE0

    last_block: bool
    streaming: bool
    window: int = 0
    block_number: int
    block_number_ack: int = 0
    block_data: bytes

    def encode(self) -> bytes:
        if not 0 <= self.window <= LARGEST_WINDOW:
            raise ValueError(f"a window is 0 to {LARGEST_WINDOW} blocks, not {self.window}")
        control = self.window | _LAST_BLOCK * self.last_block | _STREAMING * self.streaming
        numbers = self.block_number.to_bytes(2) + self.block_number_ack.to_bytes(2)
        return bytes((self.TAG, control)) + numbers + encode_octet_string(self.block_data)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        control = reader.unsigned(1, "block-control")
        apdu = cls(
            last_block=bool(control & _LAST_BLOCK),
            streaming=bool(control & _STREAMING),
            window=control & LARGEST_WINDOW,
            block_number=reader.unsigned(2, "block-number"),
            block_number_ack=reader.unsigned(2, "block-number-ack"),
            block_data=reader.octet_string("block-data"),
        )
        reader.end()
        return apdu


def cut(apdu: bytes, block_octets: int) -> Iterator[GeneralBlockTransfer]:
    """Yield the blocks of a transfer that nobody acknowledges.

    Raises:
        ValueError: A block would hold nothing, or there would be more blocks than numbers.
    """
    if block_octets < 1:
        raise ValueError(f"a block holds 1 octet or more, not {block_octets}")
    count = max(1, -(-len(apdu) // block_octets))
    if count > LARGEST_BLOCK_NUMBER:
        raise ValueError(
            f"{len(apdu)} octets make {count} blocks of {block_octets}, more than"
            f" {LARGEST_BLOCK_NUMBER}: use larger blocks"
        )
    for number in range(1, count + 1):
        yield GeneralBlockTransfer(
            last_block=number == count,
            streaming=True,
            block_number=number,
            block_data=apdu[(number - 1) * block_octets : number * block_octets],
        )


@dataclass(slots=True)
class Assembler:
    """Puts the blocks of one sender together; each sender has one.

    Attributes:
        max_apdu_octets: A longer APDU is refused while it arrives.
    """

    max_apdu_octets: int = 0xFFFF
    _parts: bytearray = field(default_factory=bytearray, repr=False)
    _expected: int = field(default=1, repr=False)

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """Take the next block; return the APDU when it was the last one.

        Block 1 begins anew: a sender that was cut off starts again.

        Raises:
            RemoteProtocolError: A block is missing, or the APDU grows too long; the blocks taken
                so far are dropped.
        """
        if block.block_number == 1:
            self._drop()
        if block.block_number != self._expected:
            expected = self._expected
            self._drop()
            raise RemoteProtocolError(
                f"general-block-transfer block {block.block_number}", f"EXPECTING BLOCK {expected}"
            )
        self._parts += block.block_data
        self._expected += 1
        if len(self._parts) > self.max_apdu_octets:
            self._drop()
            raise RemoteProtocolError(
                f"general-block-transfer block {block.block_number}",
                f"HOLDING {self.max_apdu_octets} OCTETS AT MOST",
            )
        if not block.last_block:
            return None
        apdu = bytes(self._parts)
        self._drop()
        return apdu

    def _drop(self) -> None:
        self._parts.clear()
        self._expected = 1
