# SPDX-License-Identifier: Apache-2.0
"""What many devices of one host hold alike, held once: in memory as pages, in a file as octets.

A device that receives what the others received says which octets they are, by their SHA-256; they
stand once in a journal of all.  Where two devices' pages are equal, memory holds one of them.
"""

import hashlib
from collections.abc import Collection
from pathlib import Path
from threading import RLock
from typing import Final

from openami.device.journal import Journal, damage_of
from openami.device.storage import StorageError

DIGEST_OCTETS: Final = 32
REMEDY: Final = "restore it from a backup: what meters of this fleet received lies there"


class SharedOctets:
    """The journal, and the pages in memory; devices may be written from several threads at once.

    Attributes:
        path: The file; it is made with the first octets.
    """

    def __init__(self, path: Path) -> None:
        """Bind a file, which is opened when it is first needed."""
        self.path = path
        self._journal: Journal | None = None
        self._held: dict[bytes, bytes] = {}
        self._unsynced = False
        self._pages: dict[bytes, list[bytes | int]] = {}
        self._lock = RLock()

    # In memory --------------------------------------------------------------------------------

    def one(self, page: bytes) -> bytes:
        """Return the one object that stands for these octets; give it back with `drop`."""
        with self._lock:
            found = self._pages.setdefault(page, [page, 0])
            found[1] += 1  # type: ignore[operator]  # how many hold it
            return found[0]  # type: ignore[return-value]

    def drop(self, page: bytes) -> None:
        """Hold a page no more."""
        with self._lock:
            found = self._pages[page]
            found[1] -= 1  # type: ignore[operator]
            if not found[1]:
                del self._pages[page]

    @property
    def pages(self) -> int:
        """How many different pages are in memory."""
        return len(self._pages)

    # On disk ----------------------------------------------------------------------------------

    def name_of(self, octets: bytes) -> bytes | None:
        """Return the SHA-256 of octets that stand here; None if they do not."""
        with self._lock:
            self._open()
            name = hashlib.sha256(octets).digest()
            return name if name in self._held else None

    def keep(self, octets: bytes) -> bytes:
        """Return the SHA-256 of octets that stand here from now on; durable after `sync`.

        Raises:
            StorageError: The disk is full, or the file cannot be used.
        """
        with self._lock:
            journal = self._open()
            name = hashlib.sha256(octets).digest()
            if name not in self._held:
                journal.append([octets])
                self._held[name] = octets
                self._unsynced = True
            return name

    def sync(self) -> None:
        """Make what was kept durable.

        Raises:
            StorageError: The disk refused.
        """
        with self._lock:
            if self._unsynced and self._journal is not None:
                self._journal.sync()
                self._unsynced = False

    def octets(self, name: bytes) -> bytes:
        """Return what stands under a SHA-256.

        Raises:
            StorageError: Nothing does, or the file cannot be used.
        """
        with self._lock:
            self._open()
            if name not in self._held:
                raise StorageError(f"{self.path} does not hold {name.hex()[:16]}…: {REMEDY}")
            return self._held[name]

    def leave_out(self, wanted: Collection[bytes]) -> None:
        """Write the file anew with the octets of these SHA-256 alone.

        Raises:
            StorageError: The disk is full, or the file cannot be used; it is as it was.
        """
        with self._lock:
            journal = self._open()
            held = {name: octets for name, octets in self._held.items() if name in wanted}
            journal.rewrite(list(held.values()))
            self._held = held

    def close(self) -> None:
        """Sync and close; what is asked afterwards opens it again."""
        with self._lock:
            journal, self._journal, self._held = self._journal, None, {}
            self._unsynced = False
            if journal is not None:
                journal.close()

    def _open(self) -> Journal:
        if self._journal is None:
            if self.path.exists() and (problem := damage_of(self.path)) is not None:
                raise StorageError(f"{self.path} is damaged ({problem}): {REMEDY}")
            self._journal, payloads, _ = Journal.open(self.path)
            self._held = {hashlib.sha256(each).digest(): each for each in payloads}
        return self._journal
