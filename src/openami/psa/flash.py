# SPDX-License-Identifier: Apache-2.0
"""Flash as the room sees it: pages that are erased whole and programmed once.

Erased octets are FF.  What was programmed or erased is durable behind the next `sync`; until
then a power cut may lose it, or leave a part of it.  Real flash does nothing there; a file does.
"""

from typing import Final, Protocol

PAGE_OCTETS: Final = 2048
"""A page of the M2351 part."""

ERASED: Final = 0xFF


class FlashError(Exception):
    """The flash refused; the message says where and why."""


class PageFlash(Protocol):
    """Some pages of a flash memory; each method raises `FlashError` where the part refuses."""

    @property
    def pages(self) -> int:
        """How many pages there are, each of `PAGE_OCTETS`."""

    def read(self, offset: int, octets: int) -> bytes:
        """Return what stands at `offset` from the first page."""

    def program(self, offset: int, octets: bytes) -> None:
        """Write octets where the pages are erased."""

    def erase(self, offset: int) -> None:
        """Make the page that begins at `offset` all FF."""

    def sync(self) -> None:
        """Return when all of the above is durable."""


class MemoryFlash:
    """Flash in memory, for fleets and tests; it refuses what a part cannot do."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.octets = bytearray((ERASED,)) * (pages * PAGE_OCTETS)

    def read(self, offset: int, octets: int) -> bytes:
        self._check(offset, octets)
        return bytes(self.octets[offset : offset + octets])

    def program(self, offset: int, octets: bytes) -> None:
        self._check(offset, len(octets))
        end = offset + len(octets)
        if self.octets[offset:end].count(ERASED) != len(octets):
            raise FlashError(f"flash at {offset} is programmed already: erase its page first")
        self.octets[offset:end] = octets

    def erase(self, offset: int) -> None:
        self._check(offset, PAGE_OCTETS)
        if offset % PAGE_OCTETS:
            raise FlashError(f"no page begins at {offset}")
        self.octets[offset : offset + PAGE_OCTETS] = bytes((ERASED,)) * PAGE_OCTETS

    def sync(self) -> None:
        """Memory is as durable as it gets."""

    def _check(self, offset: int, octets: int) -> None:
        if offset < 0 or offset + octets > len(self.octets):
            raise FlashError(f"flash has {len(self.octets)} octets and not {offset} + {octets}")
