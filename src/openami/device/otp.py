# SPDX-License-Identifier: Apache-2.0
"""One-time-programmable memory in a file: bits go from 1 to 0 and never come back.

========  =======  ==========================================================
entries   field    value; an entry has 8 octets, 256 are there
========  =======  ==========================================================
0 to 3    boot     SHA-256 of the boot region, burned by the factory
4         stage    first octet: fuses of the life cycle (`psa.lifecycle`)
5         revoked  a bit for each signing key of the boot region, the first the lowest;
                   burned where the key is given up
8 to 11   unique   key that only this device has, burned by the factory; all 0 once destroyed
12 to 15  debug    SHA-256 of the point of the key that opens the debug port, burned by the factory
========  =======  ==========================================================

The others are free.
"""

import os
from pathlib import Path
from typing import Final, Self

from openami.device.storage import StorageError, create, synchronise, synchronise_name, write_all

ENTRY_OCTETS: Final = 8
ENTRIES: Final = 256
BLANK: Final = b"\xff"
BOOT: Final = 0
BOOT_ENTRIES: Final = 4
STAGE: Final = 4
REVOKED: Final = 5
REVOKED_ENTRIES: Final = 1
UNIQUE_KEY: Final = 8
UNIQUE_KEY_OCTETS: Final = 32
DEBUG: Final = 12
DEBUG_ENTRIES: Final = 4


class OtpError(Exception):
    """A bit was to be set again."""


class Otp:
    """An open one-time-programmable memory."""

    def __init__(self, path: Path, descriptor: int) -> None:
        """See `open`."""
        self.path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the memory, or make a blank one.

        Raises:
            StorageError: It cannot be opened or created, or has another size.
        """
        if not path.exists():
            descriptor = create(path, BLANK * ENTRY_OCTETS * ENTRIES)
            synchronise(path, descriptor)
            synchronise_name(path)
            return cls(path, descriptor)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            sentence = f"{path} cannot be opened ({error.strerror}): permit reading and writing it"
            raise StorageError(sentence) from error
        found = os.fstat(descriptor).st_size
        if found != ENTRY_OCTETS * ENTRIES:
            os.close(descriptor)
            raise StorageError(f"{path} has {found} octets and is no such memory: restore it")
        return cls(path, descriptor)

    def read(self, entry: int, count: int = 1) -> bytes:
        """Return the octets of so many entries."""
        return os.pread(self._descriptor, count * ENTRY_OCTETS, self._place(entry, count))

    def burn(self, entry: int, octets: bytes) -> None:
        """Clear bits, durably; the same octets again change nothing.

        Raises:
            OtpError: A bit that was cleared would be set.
            StorageError: The disk refused.
        """
        count = -(-len(octets) // ENTRY_OCTETS)
        place = self._place(entry, count)
        before = os.pread(self._descriptor, len(octets), place)
        if any(new & ~old for old, new in zip(before, octets, strict=True)):
            problem = f"entry {entry} holds {before.hex()} and cannot become {octets.hex()}"
            raise OtpError(f"{problem}: what is burned stays")
        write_all(self.path, self._descriptor, octets, place)
        synchronise(self.path, self._descriptor)

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Close it."""
        os.close(self._descriptor)

    def _place(self, entry: int, count: int) -> int:
        if not 0 <= entry <= entry + count <= ENTRIES:
            raise ValueError(f"entries {entry} to {entry + count - 1} of {ENTRIES}")
        return entry * ENTRY_OCTETS
