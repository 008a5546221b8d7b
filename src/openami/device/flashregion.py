# SPDX-License-Identifier: Apache-2.0
"""A part of a device's flash, as the secure world's stores see it.

`firmware` and `psa` never meet; each has a port for flash, and this is where they are the same
flash.  A region begins at 0 and reaches nothing outside of itself.
"""

from typing import Final

from openami.device.storage import StorageError
from openami.firmware import flash as firmware_flash
from openami.psa.flash import PAGE_OCTETS, FlashError


class FlashRegion:
    """Pages `first` to `first + pages - 1` of a flash; the port `psa.flash.PageFlash`."""

    __slots__ = ("_flash", "_octets", "_start", "pages")

    def __init__(self, flash: firmware_flash.Flash, first: int, pages: int) -> None:
        self._flash = flash
        self._start: Final = first * PAGE_OCTETS
        self._octets: Final = pages * PAGE_OCTETS
        self.pages = pages

    def read(self, offset: int, octets: int) -> bytes:
        start = self._inside(offset, octets)
        try:
            return self._flash.read(start, octets)
        except (firmware_flash.FlashError, StorageError) as error:
            raise FlashError(str(error)) from error

    def program(self, offset: int, octets: bytes) -> None:
        start = self._inside(offset, len(octets))
        try:
            self._flash.program(start, octets)
        except (firmware_flash.FlashError, StorageError) as error:
            raise FlashError(str(error)) from error

    def erase(self, offset: int) -> None:
        start = self._inside(offset, PAGE_OCTETS)
        try:
            self._flash.erase(start)
        except (firmware_flash.FlashError, StorageError) as error:
            raise FlashError(str(error)) from error

    def sync(self) -> None:
        try:
            self._flash.sync()
        except (firmware_flash.FlashError, StorageError) as error:
            raise FlashError(str(error)) from error

    def _inside(self, offset: int, octets: int) -> int:
        if not 0 <= offset <= offset + octets <= self._octets:
            problem = f"{octets} octets at {offset} are outside of a region of {self._octets}"
            raise FlashError(problem)
        return self._start + offset
