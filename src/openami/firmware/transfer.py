# SPDX-License-Identifier: Apache-2.0
"""A transfer into a bank: blocks in any order, and a log of which are there.

======  ==========  ==================================================================
octets  field       value; the log lies at the end of the bank's slot
======  ==========  ==================================================================
128     head        `OAMT`, size u32, block size u32, length and octets of identifier, CRC-32
8       mark        kind u8, 00, number u16, CRC-32 u32; then the next one
======  ==========  ==================================================================

A mark of a block holds the CRC of its octets, a mark of a page the CRC of its clear octets: so the
log is never believed alone.  A block is there if its mark says so *and* the flash holds what it
says; after a power cut whatever was lost or torn is asked for again.

An encrypted payload is decrypted page by page when all blocks are there, each page by way of the
scratch page: at any moment either the encrypted page or the clear one is whole somewhere.
"""

import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from openami.firmware.bank import Bank, FlashMap
from openami.firmware.encrypt import PayloadKey, unwrap_key
from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.flash import ERASED, UNIT_OCTETS, Flash
from openami.firmware.image import Image
from openami.firmware.keys import AgreementKey

MAGIC: Final = b"OAMT"
HEAD_OCTETS: Final = 128
HEAD: Final = struct.Struct("<4sIIB111sI")
MARK: Final = struct.Struct("<BBHI")
LONGEST_IDENTIFIER: Final = 111
OPEN_ENDED: Final = 0x80
"""Bit of the identifier's length: the size is that of the room."""
SPARE_MARKS: Final = 48
"""For statuses, and for blocks that a power cut tore."""


class TransferError(FirmwareError):
    """A transfer or a block is refused; nothing was changed."""


class Mark(IntEnum):
    """What a mark tells of."""

    BLOCK = 1
    PAGE = 2
    STATUS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is transferred, and how it is cut.

    Attributes:
        size: Of the image; or of the room for it, where its size is not known before its end.
        open_ended: Whether the size is not known.
    """

    identifier: bytes
    size: int
    block_octets: int
    open_ended: bool = False

    @property
    def blocks(self) -> int:
        return -(-self.size // self.block_octets)

    def octets_of(self, number: int) -> int:
        """Octets of a block; the last may be shorter."""
        return min(self.block_octets, self.size - number * self.block_octets)

    def encode(self) -> bytes:
        length = len(self.identifier) | (OPEN_ENDED if self.open_ended else 0)
        fields = (self.size, self.block_octets, length, self.identifier)
        body = HEAD.pack(MAGIC, *fields, 0)[:-4]
        return body + zlib.crc32(body).to_bytes(4, "little")

    @classmethod
    def decode(cls, octets: bytes) -> Self | None:
        magic, size, block_octets, length, identifier, crc = HEAD.unpack(octets)
        if magic != MAGIC or crc != zlib.crc32(octets[:-4]):
            return None
        return cls(
            identifier=identifier[: length & ~OPEN_ENDED],
            size=size,
            block_octets=block_octets,
            open_ended=bool(length & OPEN_ENDED),
        )


def check(terms: Terms, flash_map: FlashMap) -> None:
    """Refuse what does not fit into a bank or its log.

    Raises:
        TransferError: Says what does not fit.
    """
    page = flash_map.page_octets
    if not 0 < terms.size <= flash_map.room:
        raise TransferError(f"{terms.size} octets do not fit: a bank takes 1 to {flash_map.room}")
    block = terms.block_octets
    if block <= 0 or page % block or block % UNIT_OCTETS:
        problem = f"blocks of {block} octets do not make pages of {page}"
        raise TransferError(f"{problem}: use a power of two from {UNIT_OCTETS} to {page}")
    if len(terms.identifier) > LONGEST_IDENTIFIER:
        problem = f"the identifier has {len(terms.identifier)} octets"
        raise TransferError(f"{problem}: at most {LONGEST_IDENTIFIER} fit")
    marks = (flash_map.log_octets - HEAD_OCTETS) // MARK.size
    if terms.blocks + terms.size // page + SPARE_MARKS > marks:
        problem = f"{terms.blocks} blocks are more than the log holds"
        raise TransferError(f"{problem}: use larger blocks")


class Transfer:
    """A transfer that is under way, or was."""

    def __init__(self, flash: Flash, flash_map: FlashMap, bank: Bank, terms: Terms) -> None:
        """See `begin` and `open`."""
        self.terms = terms
        self.bank = bank
        self.status: int | None = None
        self._flash, self._map = flash, flash_map
        self._slot, self._log = flash_map.slot(bank), flash_map.log(bank)
        self._next = self._log.offset + HEAD_OCTETS
        self._there = bytearray(terms.blocks)
        self._marked: set[int] = set()  # of a block's number and its CRC: `_marked_as`
        self._clear: dict[int, int] = {}

    @classmethod
    def begin(cls, flash: Flash, flash_map: FlashMap, bank: Bank, terms: Terms) -> Self:
        """Erase a bank for a new transfer."""
        check(terms, flash_map)
        for page in flash_map.pages(flash_map.slot(bank)):
            flash.erase(page)
        flash.sync()
        flash.program(flash_map.log(bank).offset, terms.encode())
        flash.sync()
        return cls(flash, flash_map, bank, terms)

    @classmethod
    def open(cls, flash: Flash, flash_map: FlashMap, bank: Bank) -> Self | None:
        """Return the transfer that a bank's log tells of; None if it tells of none."""
        log = flash_map.log(bank)
        terms = Terms.decode(flash.read(log.offset, HEAD_OCTETS))
        if terms is None:
            return None
        transfer = cls(flash, flash_map, bank, terms)
        transfer._read_marks()
        return transfer

    @property
    def received(self) -> bytes:
        """One octet for each block, 1 where it is there."""
        return bytes(self._there)

    @property
    def missing(self) -> list[int]:
        """Numbers of the blocks that are not there; open-ended, up to the last one that is."""
        last = self._there.rfind(1) + 1 if self.terms.open_ended else self.terms.blocks
        return [number for number in range(last) if not self._there[number]]

    @property
    def is_opening(self) -> bool:
        """Whether pages of an encrypted payload were made clear already."""
        return bool(self._clear)

    def write(self, number: int, octets: bytes) -> None:
        """Keep a block, durable when this returns; the same one again is not written.

        Raises:
            TransferError: It is none of this transfer, or its place holds another.
        """
        terms = self.terms
        if not 0 <= number < terms.blocks:
            raise TransferError(f"block {number} is none: there are 0 to {terms.blocks - 1}")
        if terms.open_ended and octets:
            octets = octets.ljust(terms.octets_of(number), ERASED)
        if len(octets) != terms.octets_of(number):
            wanted = terms.octets_of(number)
            raise TransferError(f"block {number} has {len(octets)} octets, not {wanted}")
        crc = zlib.crc32(octets)
        if self._there[number]:
            if _marked_as(number, crc) in self._marked:
                return
            raise TransferError(f"block {number} is there already, with other octets")
        place = self._slot.offset + number * terms.block_octets
        filled = octets + ERASED * (-len(octets) % UNIT_OCTETS)
        if self._flash.read(place, len(filled)).strip(ERASED):
            self._clean(place)
        self._flash.program(place, filled)
        self._mark(Mark.BLOCK, number, crc)
        self._marked.add(_marked_as(number, crc))
        self._there[number] = 1

    def remember(self, status: int) -> None:
        """Keep a number that means something to whoever transfers."""
        self._mark(Mark.STATUS, status, zlib.crc32(bytes((Mark.STATUS, status))))
        self.status = status

    def decrypt(self, key: AgreementKey | None) -> None:
        """Make an encrypted payload clear where it lies; go on where a power cut stopped it.

        Raises:
            ImageError: The image cannot be read, or its payload's key not be opened.
        """
        for page, crc in self._clear.items():
            here = self._page(page)
            if zlib.crc32(here) != crc and zlib.crc32(aside := self._scratch(len(here))) == crc:
                self._replace(page, aside)
        octets = self._flash.read(self._slot.offset, self.terms.size)
        image = Image.decode(octets, room=self._map.room)
        if not image.header.key_octets:
            return
        if key is None:
            detail = f"AES-{image.header.key_octets * 8}"
            raise ImageError(Reason.ENCRYPTED, detail, "the payload")
        self._decrypt(unwrap_key(image, key), image.header.hdr_size, image.header.payload_end)

    def _decrypt(self, key: PayloadKey, start: int, end: int) -> None:
        size = self._map.page_octets
        for page in range(start // size, -(-end // size)):
            here = self._page(page)
            if self._clear.get(page) == zlib.crc32(here):
                continue
            first, last = max(start, page * size), min(end, (page + 1) * size)
            front, behind = first - page * size, last - page * size
            opened = key.apply(here[front:behind], first - start)
            clear = here[:front] + opened + here[behind:]
            self._put_aside(page, clear)
            self._replace(page, clear)

    def _replace(self, page: int, octets: bytes) -> None:
        offset = self._slot.offset + page * self._map.page_octets
        self._flash.erase(offset)
        self._flash.sync()
        self._flash.program(offset, octets + ERASED * (-len(octets) % UNIT_OCTETS))
        self._flash.sync()

    def _put_aside(self, page: int, clear: bytes) -> None:
        scratch = self._map.scratch.offset
        self._flash.erase(scratch)
        self._flash.sync()
        self._flash.program(scratch, clear + ERASED * (-len(clear) % UNIT_OCTETS))
        self._flash.sync()
        self._mark(Mark.PAGE, page, zlib.crc32(clear))
        self._clear[page] = zlib.crc32(clear)

    def _page(self, page: int) -> bytes:
        """Return a page of the image, without what is behind its end."""
        start = page * self._map.page_octets
        count = min(self._map.page_octets, self.terms.size - start)
        return self._flash.read(self._slot.offset + start, count)

    def _scratch(self, count: int) -> bytes:
        return self._flash.read(self._map.scratch.offset, count)

    def _clean(self, place: int) -> None:
        """Erase the page around a place where a write was torn, and put its good blocks back."""
        size = self.terms.block_octets
        page = place - place % self._map.page_octets
        first = (page - self._slot.offset) // size
        good = [
            number
            for number in range(first, first + self._map.page_octets // size)
            if number < self.terms.blocks and self._there[number]
        ]
        kept = {number: self._block(number) for number in good}
        self._flash.erase(page)
        self._flash.sync()
        for number, octets in kept.items():
            filled = octets + ERASED * (-len(octets) % UNIT_OCTETS)
            self._flash.program(self._slot.offset + number * size, filled)
        self._flash.sync()

    def _block(self, number: int) -> bytes:
        offset = self._slot.offset + number * self.terms.block_octets
        return self._flash.read(offset, self.terms.octets_of(number))

    def _mark(self, kind: Mark, number: int, crc: int) -> None:
        if self._next + MARK.size > self._log.end:
            raise TransferError("the transfer's log is full: begin the transfer anew")
        self._flash.program(self._next, MARK.pack(kind, 0, number, crc))
        self._flash.sync()
        self._next += MARK.size

    def _read_marks(self) -> None:
        octets = self._flash.read(self._log.offset, self._log.octets)
        marks = octets[HEAD_OCTETS:]
        # A mark may have been lost and one behind it not: go on behind the last that is not FF.
        used = -(-len(marks.rstrip(ERASED)) // MARK.size) * MARK.size
        self._next = self._log.offset + HEAD_OCTETS + used
        for kind, _, number, crc in MARK.iter_unpack(marks[:used]):
            if kind == Mark.BLOCK:
                self._marked.add(_marked_as(number, crc))
            elif kind == Mark.PAGE and number * self._map.page_octets < self.terms.size:
                self._clear[number] = crc
            elif kind == Mark.STATUS and crc == zlib.crc32(bytes((kind, number & 0xFF))):
                self.status = number
        clear = {page for page in self._clear if self._is_clear(page)}
        for number in range(self.terms.blocks):
            page = number * self.terms.block_octets // self._map.page_octets
            good = _marked_as(number, zlib.crc32(self._block(number))) in self._marked
            self._there[number] = good or page in clear

    def _is_clear(self, page: int) -> bool:
        here = self._page(page)
        crc = self._clear[page]
        return crc in {zlib.crc32(here), zlib.crc32(self._scratch(len(here)))}


def _marked_as(number: int, crc: int) -> int:
    """Return a mark as one number: a set of them is a quarter of a set for each block."""
    return number << 32 | crc
