# SPDX-License-Identifier: Apache-2.0
"""Block-wise transfer: the options Block1 and Block2 (RFC 7959, 2).

======  ====  ==================================================
bits    name  value
======  ====  ==================================================
4 12 20 NUM   number of the block, from 0
1       M     more blocks follow
3       SZX   size exponent: a block has 2**(SZX + 4) octets; 7 is reserved
======  ====  ==================================================

The value is a uint of up to three octets.  Block1 speaks of the request's payload, Block2 of the
response's.
"""

from typing import Final, NamedTuple, Self

from openami.coap.errors import MessageFormatError
from openami.coap.message import uint

CLAUSE: Final = "RFC 7959, 2.2"
LARGEST_EXPONENT: Final = 6
MOST_BLOCKS: Final = 1 << 20


class Block(NamedTuple):
    """The value of Block1 or Block2."""

    number: int
    more: bool
    exponent: int

    @property
    def size_octets(self) -> int:
        return 1 << (self.exponent + 4)

    @property
    def start(self) -> int:
        """Where the block begins in the whole."""
        return self.number * self.size_octets

    def encode(self) -> bytes:
        """Return the value of the option.

        Raises:
            ValueError: The number or the exponent is too large.
        """
        if not 0 <= self.number < MOST_BLOCKS or not 0 <= self.exponent <= LARGEST_EXPONENT:
            raise ValueError(f"no block option can say {self}")
        return uint(self.number << 4 | self.more << 3 | self.exponent)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the value of an option.

        Raises:
            MessageFormatError: It is too long, or its size is reserved.
        """
        if len(octets) > 3:
            raise MessageFormatError("a block option has up to 3 octets", octets, 3, CLAUSE)
        value = int.from_bytes(octets)
        if value & 0x07 > LARGEST_EXPONENT:
            raise MessageFormatError("block size exponent 7 is reserved", octets, 0, CLAUSE)
        return cls(value >> 4, bool(value & 0x08), value & 0x07)

    def of(self, whole: bytes) -> bytes:
        """Return this block of the whole."""
        return whole[self.start : self.start + self.size_octets]


def block_at(whole: bytes, start: int, exponent: int) -> Block:
    """Return the block of `whole` that begins at `start`."""
    size = 1 << (exponent + 4)
    return Block(start // size, start + size < len(whole), exponent)
