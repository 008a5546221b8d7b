# SPDX-License-Identifier: Apache-2.0
"""A small store on page flash that survives a power cut at any moment.

Two halves of the pages take turns.  The current half is a log: each commit appends one record that
holds any number of entries, new or removed, and counts only when its checksum holds; so a commit
happens as a whole or not at all.  When the half is full, what is live moves to the other::

    half     header, records ...
    header   magic 4 | generation 4 | CRC-32 4 | FF 4
    record   length of entries 4 | entries | CRC-32 4 | FF up to a multiple of 8
    entry    length of name 1 | length of value 4 (FFFFFFFF: removed) | name | value

The new half is complete and durable before its header is written, and the header before anything
else happens, so the half with the highest generation is always whole.  Numbers are little-endian.
A record that was cut is no record; before the next commit the live entries move, because nothing
can be written over its remains.  So a record that is damaged with others behind it was not cut:
the part forgets, and the store is refused rather than rolled back.

This guards against accidents.  Against who can write the flash, `protected` adds cryptography.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Final
from zlib import crc32

from openami.psa.flash import ERASED, PAGE_OCTETS, FlashError, PageFlash
from openami.psa.status import PsaError, Status

MAGIC: Final = b"PSAs"
LAST_GENERATION: Final = 0xFFFFFFFF
_HEADER: Final = struct.Struct("<4sI")
_LENGTH: Final = struct.Struct("<I")
_ENTRY: Final = struct.Struct("<BI")
_CHECKSUM: Final = struct.Struct("<I")
UNIT_OCTETS: Final = 8
"""What is programmed begins and ends at a multiple of this."""
HEADER_OCTETS: Final = 16
_REMOVED: Final = 0xFFFFFFFF
RECORD_OCTETS: Final = _LENGTH.size + _CHECKSUM.size
"""What a record takes beside its entries and its filling."""
ENTRY_OCTETS: Final = _ENTRY.size
"""What an entry takes beside its name and value."""


class PageStore:
    """Named values on flash.

    Making one reads what the flash holds; blank flash is an empty store.

    Raises:
        PsaError: STORAGE_FAILURE, the flash refused; DATA_CORRUPT, it holds something else.
    """

    __slots__ = ("_clean", "_end", "_entries", "_flash", "_generation", "_half", "_half_octets")

    def __init__(self, flash: PageFlash) -> None:
        if flash.pages < 2 or flash.pages % 2:
            raise ValueError(f"a store needs an even number of pages, not {flash.pages}")
        self._flash = flash
        self._half_octets = flash.pages // 2 * PAGE_OCTETS
        self._entries: dict[bytes, bytes] = {}
        self._half, self._generation = 1, 0
        self._end = self._half_octets
        self._clean = False
        self._mount()

    def get(self, name: bytes) -> bytes | None:
        """Return the value of a name, None if it has none."""
        return self._entries.get(name)

    def names(self) -> frozenset[bytes]:
        """Return the names that have values."""
        return frozenset(self._entries)

    def commit(self, changes: Mapping[bytes, bytes | None]) -> None:
        """Make all changes durable, or none; None removes a name.

        Raises:
            PsaError: INSUFFICIENT_STORAGE, nothing was changed; STORAGE_FAILURE, the flash
                refused: what is durable is all or nothing, and shows when the store is made anew.
        """
        record = _record(changes)
        after = {name: value for name, value in self._entries.items() if name not in changes}
        after.update({name: value for name, value in changes.items() if value is not None})
        if self.needed_octets(after) > self._half_octets:
            problem = (
                f"{self.needed_octets(after)} octets do not fit into {self._half_octets}: "
                "remove entries"
            )
            raise PsaError(Status.INSUFFICIENT_STORAGE, problem, "flash store")
        try:
            if self._clean and self._end + len(record) <= self._half_octets:
                self._clean = False  # until it is durable, what stands behind the log is unknown
                self._flash.program(self._half * self._half_octets + self._end, record)
                self._flash.sync()
                self._end += len(record)
                self._clean = True
            else:
                self._move(after)
        except FlashError as error:
            raise PsaError(Status.STORAGE_FAILURE, str(error), "flash store") from error
        self._entries = after

    @staticmethod
    def needed_octets(entries: Mapping[bytes, bytes]) -> int:
        """Return what a half must hold for these entries."""
        inside = sum(ENTRY_OCTETS + len(name) + len(value) for name, value in entries.items())
        return HEADER_OCTETS + _padded(RECORD_OCTETS + inside)

    def _move(self, entries: dict[bytes, bytes]) -> None:
        """Write `entries` into the other half and make it the current one."""
        half = 1 - self._half
        start, record = half * self._half_octets, _record(entries)
        self._clean = False
        for page in range(start, start + self._half_octets, PAGE_OCTETS):
            self._flash.erase(page)
        self._flash.program(start + HEADER_OCTETS, record)
        self._flash.sync()
        self._flash.program(start, _header(self._generation + 1))
        self._flash.sync()
        self._half, self._generation = half, self._generation + 1
        self._end, self._clean = HEADER_OCTETS + len(record), True

    def _mount(self) -> None:
        try:
            halves = [
                self._flash.read(half * self._half_octets, self._half_octets) for half in (0, 1)
            ]
        except FlashError as error:
            raise PsaError(Status.STORAGE_FAILURE, str(error), "flash store") from error
        generations = [_generation(octets) for octets in halves]
        found = max((each, half) for half, each in enumerate(generations))
        if found[0] == LAST_GENERATION:
            problem = f"generation {found[0]} is none that a part lives to see"
            raise PsaError(Status.DATA_CORRUPT, problem, "flash store")
        if found[0]:
            self._generation, self._half = found
            self._replay(halves[self._half])
        elif all(octets.count(ERASED) != len(octets) for octets in halves):
            problem = "both halves of the store were written, and neither has a sound header"
            raise PsaError(Status.DATA_CORRUPT, problem, "flash store")

    def _replay(self, octets: bytes) -> None:
        at = HEADER_OCTETS
        while (entries := _sound_entries(octets, at)) is not None:
            for name, value in _read_entries(entries):
                if value is None:
                    self._entries.pop(name, None)
                else:
                    self._entries[name] = value
            at += _padded(RECORD_OCTETS + len(entries))
        self._end = at
        self._clean = _erased_from(octets, at)
        if not self._clean and not _torn(octets, at):
            problem = f"the record at octet {at} of its half is damaged, and others follow it"
            raise PsaError(Status.DATA_CORRUPT, problem, "flash store")


def _padded(octets: int) -> int:
    return -(-octets // UNIT_OCTETS) * UNIT_OCTETS


def _fill(octets: bytes) -> bytes:
    return octets.ljust(_padded(len(octets)), bytes((ERASED,)))


def _header(generation: int) -> bytes:
    head = _HEADER.pack(MAGIC, generation)
    return _fill(head + _CHECKSUM.pack(crc32(head)))


def _generation(half: bytes) -> int:
    """Return the generation that a half says it has, 0 without a sound header."""
    magic, generation = _HEADER.unpack_from(half)
    sound = magic == MAGIC and half[:HEADER_OCTETS] == _header(generation)
    return generation if sound else 0


def _record(changes: Mapping[bytes, bytes | None]) -> bytes:
    entries = b"".join(
        _ENTRY.pack(len(name), _REMOVED if value is None else len(value)) + name + (value or b"")
        for name, value in changes.items()
    )
    head = _LENGTH.pack(len(entries)) + entries
    return _fill(head + _CHECKSUM.pack(crc32(head)))


def _sound_entries(half: bytes, at: int) -> bytes | None:
    """Return the entries of the record at `at`; None where the log ends."""
    if at + RECORD_OCTETS > len(half):
        return None
    end = at + _LENGTH.size + _LENGTH.unpack_from(half, at)[0]
    if end + _CHECKSUM.size > len(half):
        return None
    if _CHECKSUM.unpack_from(half, end)[0] != crc32(half[at:end]):
        return None
    return half[at + _LENGTH.size : end]


def _erased_from(half: bytes, at: int) -> bool:
    return half.count(ERASED, at) == len(half) - at


def _torn(half: bytes, at: int) -> bool:
    """Tell whether what stands at `at` can be what a power cut left of the last record.

    Nothing is written behind a record that was cut.  A length that was programmed in part has
    more ones than it should, so it reaches no less far.
    """
    if at + _LENGTH.size > len(half):
        return True
    end = at + _padded(RECORD_OCTETS + _LENGTH.unpack_from(half, at)[0])
    return end >= len(half) or _erased_from(half, end)


def _read_entries(entries: bytes) -> Iterator[tuple[bytes, bytes | None]]:
    at = 0
    while at < len(entries):
        if at + _ENTRY.size > len(entries):
            raise _corrupt(at)
        name_octets, value_octets = _ENTRY.unpack_from(entries, at)
        start = at + _ENTRY.size + name_octets
        removed = value_octets == _REMOVED
        end = start if removed else start + value_octets
        if end > len(entries):
            raise _corrupt(at)
        yield entries[at + _ENTRY.size : start], None if removed else entries[start:end]
        at = end


def _corrupt(at: int) -> PsaError:
    problem = f"an entry at octet {at} of its record is longer than the record"
    return PsaError(Status.DATA_CORRUPT, problem, "flash store")
