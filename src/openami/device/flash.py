# SPDX-License-Identifier: Apache-2.0
"""The flash of a device in a file: what `firmware` writes outlives a power cut.

The file holds what a chip would, octet for octet, and refuses what a chip could not do: writing
over what is not erased.  `sync` is an fdatasync; the name of a new file is durable with the first.
Where the part's words (`lockwords`) let octets run only, they read as FF and are not changed;
`fetch` is for what runs them.
`StoragePages` gives a part of it to the storage of the secure world, which has a port of its own.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from openami.device.lockwords import Locks
from openami.device.storage import (
    StorageError,
    create,
    synchronise,
    synchronise_name,
    write_all,
)
from openami.firmware.bank import Region
from openami.firmware.flash import ERASED, PAGE_OCTETS, UNIT_OCTETS, Flash, FlashError
from openami.psa import flash as psa


class FlashFile:
    """An open flash; the port `firmware.flash.Flash`."""

    def __init__(
        self, path: Path, descriptor: int, octets: int, page_octets: int, *, new: bool
    ) -> None:
        """See `open`."""
        self.path = path
        self.locks = Locks.beside(path)
        self._descriptor = descriptor
        self._octets, self._page_octets = octets, page_octets
        self._nameless = new

    @classmethod
    def open(cls, path: Path, octets: int, *, page_octets: int = PAGE_OCTETS) -> Self:
        """Open a flash of so many octets, or make an erased one.

        Raises:
            StorageError: The file cannot be opened or created, or has another size.
        """
        if not path.exists():
            descriptor = create(path, ERASED * octets)
            return cls(path, descriptor, octets, page_octets, new=True)
        try:
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened ({error.strerror}): permit reading and writing it"
            ) from error
        found = os.fstat(descriptor).st_size
        if found != octets:
            os.close(descriptor)
            raise StorageError(f"{path} has {found} octets, the flash {octets}: it is another one")
        return cls(path, descriptor, octets, page_octets, new=False)

    def read(self, offset: int, count: int) -> bytes:
        return self.locks.hidden(offset, self.fetch(offset, count))

    def fetch(self, offset: int, count: int) -> bytes:
        """Return octets as an instruction fetch gets them."""
        self._inside(offset, count)
        return os.pread(self._descriptor, count, offset)

    def program(self, offset: int, octets: bytes) -> None:
        if offset % UNIT_OCTETS or len(octets) % UNIT_OCTETS:
            problem = f"{len(octets)} octets at {offset:#x} are no whole units of {UNIT_OCTETS}"
            raise FlashError(f"{problem}: fill them up with FF")
        if self.read(offset, len(octets)).strip(ERASED):
            raise FlashError(f"the flash at {offset:#x} is not erased: erase its page first")
        self._not_execute_only(offset, len(octets))
        write_all(self.path, self._descriptor, octets, offset)

    def erase(self, offset: int) -> None:
        self._inside(offset, self._page_octets)
        if offset % self._page_octets:
            raise FlashError(f"no page begins at {offset:#x}")
        self._not_execute_only(offset, self._page_octets)
        write_all(self.path, self._descriptor, ERASED * self._page_octets, offset)

    def sync(self) -> None:
        synchronise(self.path, self._descriptor)
        if self._nameless:
            synchronise_name(self.path)
            self._nameless = False

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _not_execute_only(self, offset: int, count: int) -> None:
        number = self.locks.region_of(offset, count)
        if number is not None:
            problem = f"the flash at {offset:#x} is execute-only, region {number}"
            raise FlashError(f"{problem}: only a mass erase changes it")

    def _inside(self, offset: int, count: int) -> None:
        if not 0 <= offset <= offset + count <= self._octets:
            raise FlashError(
                f"{count} octets at {offset:#x} are outside of a flash of {self._octets:#x}"
            )


class StoragePages:
    """Some pages of a flash; the port `psa.flash.PageFlash`."""

    def __init__(self, flash: Flash, region: Region) -> None:
        """Give away a region of whole pages.

        Raises:
            ValueError: It is not.
        """
        if region.offset % psa.PAGE_OCTETS or region.octets % psa.PAGE_OCTETS:
            raise ValueError(f"{region} is not made of pages of {psa.PAGE_OCTETS} octets")
        self._flash, self._region = flash, region

    @property
    def pages(self) -> int:
        return self._region.octets // psa.PAGE_OCTETS

    def read(self, offset: int, octets: int) -> bytes:
        with _told_as_psa():
            return self._flash.read(self._place(offset, octets), octets)

    def program(self, offset: int, octets: bytes) -> None:
        with _told_as_psa():
            self._flash.program(self._place(offset, len(octets)), octets)

    def erase(self, offset: int) -> None:
        with _told_as_psa():
            self._flash.erase(self._place(offset, psa.PAGE_OCTETS))

    def sync(self) -> None:
        with _told_as_psa():
            self._flash.sync()

    def _place(self, offset: int, octets: int) -> int:
        if not 0 <= offset <= offset + octets <= self._region.octets:
            raise FlashError(f"{octets} octets at {offset} are outside of {self._region}")
        return self._region.offset + offset


@contextmanager
def _told_as_psa() -> Iterator[None]:
    try:
        yield
    except (FlashError, StorageError) as error:
        raise psa.FlashError(str(error)) from error
