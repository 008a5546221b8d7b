# SPDX-License-Identifier: Apache-2.0
"""The flash of one device among many that left the factory alike: copy on write.

All read one image, in memory once; a device's file holds nothing but the pages that it changed, and
there is no file before it changed one.  The file is a journal of pages, of which the newest counts:
what a power cut tears was not durable, and another device's pages are in another file.  A file that
is damaged otherwise is refused and stays as it is: the pages before would set counters back.

======  ==========  ==================================================================
octets  field       value of a journal record
======  ==========  ==================================================================
2       page        number of the page
n       octets      all of it
======  ==========  ==================================================================
"""

from pathlib import Path
from typing import Final

from openami.device.journal import Journal, damage_of
from openami.device.storage import StorageError
from openami.firmware.flash import ERASED, PAGE_OCTETS, UNIT_OCTETS, FlashError

HEAD_OCTETS: Final = 2
LONGEST: Final = 8
"""Times its own pages that a device's file may grow to before it is written anew."""


class SharedFlash:
    """A device's flash; the port `firmware.flash.Flash`.

    Attributes:
        path: Where its own pages are, once there are any.
    """

    def __init__(self, image: bytes, path: Path, *, page_octets: int = PAGE_OCTETS) -> None:
        """Open a flash that began as `image`.

        Args:
            image: Whole pages; shared, and never changed.
            path: Of the pages that this device changed.
            page_octets: Of a page.

        Raises:
            StorageError: The file cannot be read, or is damaged.
            ValueError: The image is not made of whole pages.
        """
        if len(image) % page_octets:
            raise ValueError(f"{len(image)} octets are no whole pages of {page_octets}")
        self._page_octets = page_octets
        self.path = path
        self._image = image
        self._own: dict[int, bytes] = {}
        self._unsynced: set[int] = set()
        self._journal: Journal | None = None
        if path.exists():
            if (problem := damage_of(path)) is not None:
                remedy = "exchange the device; what its flash held cannot be trusted"
                raise StorageError(f"{path} is damaged ({problem}): {remedy}")
            self._journal, payloads, _ = Journal.open(path)
            for payload in payloads:
                page = int.from_bytes(payload[:HEAD_OCTETS])
                self._own[page] = payload[HEAD_OCTETS:]

    @property
    def own_pages(self) -> frozenset[int]:
        """The pages that are not the image's any more."""
        return frozenset(self._own)

    def read(self, offset: int, count: int) -> bytes:
        self._inside(offset, count)
        if not self._own:
            return self._image[offset : offset + count]
        size = self._page_octets
        first, last = offset // size, (offset + count - 1) // size
        octets = b"".join(self._page(page) for page in range(first, last + 1))
        start = offset - first * size
        return octets[start : start + count]

    def program(self, offset: int, octets: bytes) -> None:
        if offset % UNIT_OCTETS or len(octets) % UNIT_OCTETS:
            problem = f"{len(octets)} octets at {offset:#x} are no whole units of {UNIT_OCTETS}"
            raise FlashError(f"{problem}: fill them up with FF")
        if self.read(offset, len(octets)).strip(ERASED):
            raise FlashError(f"the flash at {offset:#x} is not erased: erase its page first")
        while octets:
            page, start = divmod(offset, self._page_octets)
            part = octets[: self._page_octets - start]
            before = self._page(page)
            self._change(page, before[:start] + part + before[start + len(part) :])
            offset, octets = offset + len(part), octets[len(part) :]

    def erase(self, offset: int) -> None:
        self._inside(offset, self._page_octets)
        page, start = divmod(offset, self._page_octets)
        if start:
            raise FlashError(f"no page begins at {offset:#x}")
        self._change(page, ERASED * self._page_octets)

    def sync(self) -> None:
        """Make what was written durable.

        Raises:
            StorageError: The disk refused; it is durable with the next that succeeds.
        """
        if not self._unsynced:
            return
        if self._journal is None:
            self._journal, _, _ = Journal.open(self.path)
        if self._journal.size_octets > LONGEST * self._page_octets * (len(self._own) + 1):
            self._journal.rewrite([self._record(page) for page in sorted(self._own)])
        else:
            self._journal.append([self._record(page) for page in sorted(self._unsynced)])
            self._journal.sync()
        self._unsynced.clear()

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            if self._journal is not None:
                self._journal.close()

    def _change(self, page: int, octets: bytes) -> None:
        self._own[page] = octets
        self._unsynced.add(page)

    def _page(self, page: int) -> bytes:
        if page in self._own:
            return self._own[page]
        return self._image[page * self._page_octets : (page + 1) * self._page_octets]

    def _record(self, page: int) -> bytes:
        return page.to_bytes(HEAD_OCTETS) + self._own[page]

    def _inside(self, offset: int, count: int) -> None:
        if not 0 <= offset <= offset + count <= len(self._image):
            raise FlashError(
                f"{count} octets at {offset:#x} are outside of a flash of {len(self._image):#x}"
            )
