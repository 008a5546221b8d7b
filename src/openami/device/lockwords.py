# SPDX-License-Identifier: Apache-2.0
"""The words of the part that lock its memory, in a file beside the flash.

======  ======  ==========================================================================
from    octets  word, little-endian; what was never programmed is FF
======  ======  ==========================================================================
00+10n  4       execute-only region n, 0 to 3: where it begins
04+10n  4       its pages
08+10n  4       0 where it is in force; it is from the next start on
40      4       secure region lock: a lowest octet of 5A is open, any other locked
44      4       all-region lock, likewise
48      4       lock of the debug port, likewise
======  ======  ==========================================================================

As on the M2351 (addresses 200000, 200804 and 210804 there; the third lock's place is ours): bits go
from 1 to 0, and only a mass erase brings words back, after everything they guarded is gone.  A lock
whose word a power cut tore is closed.  Whoever programs them is `partlocks`; a device without the
file is as its part came: nothing is locked.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final, Self

from openami.device.storage import StorageError
from openami.firmware.bank import Region
from openami.firmware.flash import PAGE_OCTETS

LOCKS_FILE: Final = "locks.bin"
WORD: Final = struct.Struct("<I")
XOM_REGIONS: Final = 4
XOM_WORDS: Final = struct.Struct("<III")
XOM_STEP: Final = 0x10
IN_FORCE: Final = 0
OPEN: Final = 0x5A


class Lock(Enum):
    """A lock that closes for good; the value says where its word stands."""

    SECURE = 0x40
    """The secure region: no debugger reads it, whoever signed."""
    ALL = 0x44
    """All memory."""
    PORT = 0x48
    """The port itself: not even a mass erase goes through it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locks:
    """What the words say.

    Attributes:
        closed: The locks that are closed.
        execute_only: Regions that run and are not read, by number.
    """

    closed: frozenset[Lock] = frozenset()
    execute_only: tuple[tuple[int, Region], ...] = ()

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a page of words."""
        regions = []
        for number in range(XOM_REGIONS):
            base, pages, control = XOM_WORDS.unpack_from(octets, number * XOM_STEP)
            if control == IN_FORCE:
                regions.append((number, Region(base, pages * PAGE_OCTETS)))
        closed = frozenset(lock for lock in Lock if octets[lock.value] != OPEN)
        return cls(closed=closed, execute_only=tuple(regions))

    @classmethod
    def beside(cls, path: Path) -> Self:
        """Read the words in the folder of a flash.

        Raises:
            StorageError: The file cannot be read, or is none.
        """
        path = path.with_name(LOCKS_FILE)
        try:
            octets = path.read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            problem = f"{path} cannot be read ({error.strerror}): permit reading it"
            raise StorageError(problem) from error
        if len(octets) != PAGE_OCTETS:
            problem = f"{path} has {len(octets)} octets, the words of the part {PAGE_OCTETS}"
            raise StorageError(f"{problem}: restore it")
        return cls.decode(octets)

    def region_of(self, offset: int, octets: int) -> int | None:
        """Return the execute-only region that such a part of the flash touches; None for none."""
        for number, region in self.execute_only:
            if offset < region.end and region.offset < offset + octets:
                return number
        return None

    def hidden(self, offset: int, octets: bytes) -> bytes:
        """Return what a reader gets of octets from `offset`: FF where they only run."""
        found = bytearray(octets)
        for _, region in self.execute_only:
            start = max(region.offset, offset) - offset
            end = min(region.end, offset + len(octets)) - offset
            if start < end:
                found[start:end] = b"\xff" * (end - start)
        return bytes(found)
