# SPDX-License-Identifier: Apache-2.0
"""Confirmed general block transfer: one APDU in each direction, in numbered blocks, none lost.

DLMS UA 1000-2 Ed. 10, 9.4.6.13.  `apdu.block` has the octets of a block, and the form that nobody
confirms.  A `BlockTransfer` is one end of one exchange: a request, and as a rule its answer.  Both
ends run the same rules:

* Each direction numbers its blocks from 1.  A block without data is an acknowledgement; it has a
  number of its own as any other.
* ``block_number_ack`` is the last block of the peer that came in sequence; what came behind a gap
  is dropped.
* Blocks with the streaming bit follow one another; one without it hands the turn to the peer.
* ``window`` says how many blocks its sender takes in one go.
* Who has the turn sends from the peer's acknowledgement on: blocks that were lost once more, then
  new ones, as many as fit into the peer's window.  Who has no data left acknowledges.
* The last block is acknowledged; the acknowledgement of that is not.

The end that asked has the clock: after silence it sends again (`again`), and it ignores blocks
that tell it nothing new, so that a doubled block does not double all that follow.

The rules beyond the layout of a block are our reading (unsure: the standard's own procedure was
not at hand).  A window of 0 in a block that hands over the turn counts as 1; the last-block bit
on an acknowledgement says that nothing more is to come, and ends no APDU.
"""

from dataclasses import dataclass, field
from typing import Final

from openami.dlms.apdu.block import (
    LARGEST_BLOCK_NUMBER,
    LARGEST_WINDOW,
    GeneralBlockTransfer,
)
from openami.dlms.errors import LocalProtocolError, RemoteProtocolError

DEFAULT_WINDOW: Final = 16
LONGEST_APDU_OCTETS: Final = 2**20
"""Of an APDU that arrives in blocks, unless a limit is given."""
MAX_REPEATS: Final = 3
"""How often in a row nothing may come, or nothing new, before a transfer is given up."""

_HEAD_OCTETS: Final = 6


def data_octets(pdu_octets: int) -> int:
    """Return how much data a block of at most `pdu_octets` holds."""
    size = pdu_octets - _HEAD_OCTETS
    size -= 1 if size <= 0x80 else 2 if size <= 0x101 else 3
    return max(size, 1)


@dataclass(slots=True, kw_only=True)
class BlockTransfer:
    """One end of one exchange in blocks.

    Attributes:
        peer_pdu_octets: The longest APDU that the peer takes: a block with its head.
        window: How many blocks we take in one go, 1 to 63.
        peer_window: How many the peer takes; 1 until its first block tells.
        drives: Whether we are the end that asked, and so the one with a clock.
        awaits: Whether an APDU of the peer is still to come.
        max_apdu_octets: A longer one is refused while it arrives.
    """

    peer_pdu_octets: int
    window: int = DEFAULT_WINDOW
    peer_window: int = 1
    drives: bool
    awaits: bool = True
    max_apdu_octets: int = LONGEST_APDU_OCTETS

    _out: list[bytes] = field(default_factory=list, repr=False)
    _last: int = field(default=0, repr=False)  # number of our last block with data
    _ended: bool = field(default=False, repr=False)  # nothing more is to come from us
    _acknowledged: int = field(default=0, repr=False)
    _parts: bytearray = field(default_factory=bytearray, repr=False)
    _received: int = field(default=0, repr=False)
    _first: bytes = field(default=b"", repr=False)  # data of the peer's block 1
    _has_turn: bool = field(default=False, repr=False)
    _owes: bool = field(default=False, repr=False)  # an acknowledgement
    _repeats: int = field(default=0, repr=False)

    def __post_init__(self) -> None:
        if not 1 <= self.window <= LARGEST_WINDOW:
            raise ValueError(f"a window is 1 to {LARGEST_WINDOW} blocks, not {self.window}")

    @property
    def is_over(self) -> bool:
        """Whether both APDUs have arrived, as far as we know."""
        return not self.awaits and self._ended and self._acknowledged >= self._last

    @property
    def has_arrived(self) -> bool:
        """Whether the peer has all our data."""
        return self._ended and self._acknowledged >= self._last

    def offer(self, apdu: bytes) -> None:
        """Give our APDU; `burst` sends it.

        Raises:
            LocalProtocolError: It makes more blocks than there are numbers.
        """
        size = data_octets(self.peer_pdu_octets)
        if len(self._out) - (-len(apdu) // size) > LARGEST_BLOCK_NUMBER:
            raise LocalProtocolError(
                f"an APDU of {len(apdu)} octets",
                f"SENDING {LARGEST_BLOCK_NUMBER} BLOCKS OF {size} OCTETS AT MOST",
            )
        self._out += (apdu[start : start + size] for start in range(0, len(apdu), size))
        self._last = len(self._out)
        self._ended = True
        if not self._received:
            self._has_turn = True

    def end(self) -> None:
        """Learn that there is no APDU of ours: acknowledge only."""
        self._ended = True

    def begins_anew(self, block: GeneralBlockTransfer) -> bool:
        """Tell whether `block` opens another transfer, and is no copy of what began this one."""
        return (
            block.block_number == 1
            and bool(block.block_data)
            and bool(self._received or not self.awaits)
            and block.block_data != self._first
        )

    def take(self, block: GeneralBlockTransfer) -> bytes | None:
        """Take a block of the peer; return its APDU when all of it is here.

        Raises:
            RemoteProtocolError: It acknowledges what was never sent, the APDU grows too long, or a
                lost block does not come however often it is asked for.
        """
        if block.block_number_ack > len(self._out):
            raise RemoteProtocolError(
                f"general-block-transfer acknowledging block {block.block_number_ack}",
                f"SENT {len(self._out)} BLOCKS",
            )
        tells = block.block_number > self._received
        news = block.block_number_ack > self._acknowledged
        self._acknowledged = max(self._acknowledged, block.block_number_ack)
        self.peer_window = max(block.window, 1)
        apdu = None
        if block.block_number == self._received + 1:
            self._received += 1
            apdu = self._append(block)
            news = True
        gap = block.block_number > self._received
        if news:
            self._repeats = 0
        elif gap and not block.streaming:
            self._count()
        hands_over = not block.streaming or (block.last_block and block.window > 0)
        self._has_turn = hands_over and (tells or news or not self.drives)
        self._owes = bool(block.block_data) or gap
        return apdu

    def _append(self, block: GeneralBlockTransfer) -> bytes | None:
        if block.block_number == 1:
            self._first = block.block_data
        if not self.awaits:
            return None
        self._parts += block.block_data
        if len(self._parts) > self.max_apdu_octets:
            raise RemoteProtocolError(
                f"general-block-transfer block {block.block_number}",
                f"HOLDING {self.max_apdu_octets} OCTETS AT MOST",
            )
        if not block.last_block or not self._parts:
            return None
        self.awaits = False
        apdu = bytes(self._parts)
        self._parts = bytearray()
        return apdu

    def _count(self) -> None:
        if self._repeats >= MAX_REPEATS:
            raise RemoteProtocolError(
                "general-block-transfer without the block that was asked for",
                f"EXPECTING BLOCK {self._received + 1}",
            )
        self._repeats += 1

    def burst(self) -> list[bytes]:
        """Return the blocks to send now; none while the turn is the peer's."""
        if not self._has_turn:
            return []
        self._has_turn = False
        first = self._acknowledged + 1
        if first > self._last:  # no data is owed, at most acknowledgements
            if not self._owes:
                return []
            if first > len(self._out):
                self._acknowledge()
            first = len(self._out)
        end = min(first + self.peer_window, len(self._out) + 1)
        return [self._block(number, streaming=number + 1 < end) for number in range(first, end)]

    def _acknowledge(self) -> None:
        if len(self._out) >= LARGEST_BLOCK_NUMBER:
            raise RemoteProtocolError(
                f"general-block-transfer block {self._received}",
                f"HAVING SENT {LARGEST_BLOCK_NUMBER} BLOCKS",
            )
        self._out.append(b"")

    def again(self) -> list[bytes]:
        """Return what to send after silence: our blocks that nobody acknowledged.

        None are left when that was tried often enough.
        """
        if self._repeats >= MAX_REPEATS:
            return []
        self._repeats += 1
        self._has_turn = self._owes = True
        return self.burst()

    def _block(self, number: int, *, streaming: bool) -> bytes:
        data = self._out[number - 1]
        return GeneralBlockTransfer(
            last_block=number == self._last if data else self._ended and number > self._last,
            streaming=streaming,
            window=self.window,
            block_number=number,
            block_number_ack=self._received,
            block_data=data,
        ).encode()
