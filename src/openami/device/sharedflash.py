# SPDX-License-Identifier: Apache-2.0
"""The flash of one device among many that left the factory alike: copy on write.

All read one image, in memory once; a device's file holds nothing but what it changed, and there is
no file before it changed anything.  The file is a journal of what was done, in its order: what a
power cut tears was not durable, and another device's changes are in another file.  A file that is
damaged otherwise is refused and stays as it is: what stands before would set counters back.

======  ==========  ==================================================================
octets  field       value of a journal record
======  ==========  ==================================================================
2       page        number of the page; what was done in the two bits on top:
                    0 all of it follows, 1 erased, 2 programmed, 3 programmed with what
                    stands in `sharedoctets`
2       offset      in the page; kinds 2 and 3
n       octets      kinds 0 and 2; in kind 3 their SHA-256
======  ==========  ==================================================================

Where devices share octets, what they hold alike in the `shared` pages, as an image that all of them
received, is in memory once and on disk once.  Other pages may hold keys, and are never shared.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import Final

from openami.device.journal import Journal, damage_of, peek
from openami.device.sharedoctets import DIGEST_OCTETS, SharedOctets
from openami.device.storage import StorageError
from openami.firmware.flash import ERASED, PAGE_OCTETS, UNIT_OCTETS, FlashError

HEAD_OCTETS: Final = 2
PLACE_OCTETS: Final = 2 * HEAD_OCTETS
WHOLE, CLEARED, PROGRAMMED, ALIKE = (kind << 14 for kind in range(4))
PAGE_MASK: Final = (1 << 14) - 1
LONGEST: Final = 8
"""Times its own pages that a device's file may grow to before it is written anew."""
LEAST_SHARED: Final = 4
"""What is less than this part of a page stands in the device's own file."""
NONE: Final = range(0)


class SharedFlash:
    """A device's flash; the port `firmware.flash.Flash`.

    Attributes:
        path: Where its own pages are, once there are any.
    """

    def __init__(
        self,
        image: bytes,
        path: Path,
        *,
        page_octets: int = PAGE_OCTETS,
        alike: SharedOctets | None = None,
        shared: Container[int] = NONE,
    ) -> None:
        """Open a flash that began as `image`.

        Args:
            image: Whole pages; shared, and never changed.
            path: Of what this device changed.
            page_octets: Of a page.
            alike: What devices hold alike.
            shared: Numbers of pages that are held there.

        Raises:
            StorageError: The file cannot be read, or is damaged.
            ValueError: The image is not made of whole pages.
        """
        if len(image) % page_octets:
            raise ValueError(f"{len(image)} octets are no whole pages of {page_octets}")
        self._page_octets = page_octets
        self.path = path
        self._image = image
        self._alike, self._shared = alike, shared
        self._erased = ERASED * page_octets
        self._own: dict[int, bytes] = {}
        self._unsynced: list[bytes] = []
        self._journal: Journal | None = None
        if path.exists():
            if (problem := damage_of(path)) is not None:
                remedy = "exchange the device; what its flash held cannot be trusted"
                raise StorageError(f"{path} is damaged ({problem}): {remedy}")
            self._journal, payloads, _ = Journal.open(path)
            try:
                for payload in payloads:
                    self._restore(payload)
            except StorageError:
                self._forget_all()
                self._journal.close()
                raise

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
            self._program(page, start, part)
            self._unsynced.append(self._done(page, start, part))
            offset, octets = offset + len(part), octets[len(part) :]

    def erase(self, offset: int) -> None:
        self._inside(offset, self._page_octets)
        page, start = divmod(offset, self._page_octets)
        if start:
            raise FlashError(f"no page begins at {offset:#x}")
        self._change(page, self._erased)
        self._unsynced.append(_head(CLEARED | page))

    def sync(self) -> None:
        """Make what was written durable.

        Raises:
            StorageError: The disk refused; it is durable with the next that succeeds.
        """
        if not self._unsynced:
            return
        if self._journal is None:
            self._journal, _, _ = Journal.open(self.path)
        if self._alike is not None:
            self._alike.sync()
        if self._journal.size_octets > LONGEST * self._page_octets * (len(self._own) + 1):
            self._journal.rewrite([each for page in sorted(self._own) for each in self._all(page)])
        else:
            self._journal.append(self._unsynced)
            self._journal.sync()
        self._unsynced.clear()

    def forget_unsynced(self) -> None:
        """Let a `close` be a power cut: opened again, the flash is as it was durable."""
        self._unsynced.clear()

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            self._forget_all()
            if self._journal is not None:
                self._journal.close()

    # Inside -----------------------------------------------------------------------------------

    def _change(self, page: int, octets: bytes) -> None:
        self._forget(page)
        if self._alike is not None and page in self._shared:
            octets = self._alike.one(octets)
        self._own[page] = octets

    def _forget(self, page: int) -> None:
        before = self._own.pop(page, None)
        if before is not None and self._alike is not None and page in self._shared:
            self._alike.drop(before)

    def _forget_all(self) -> None:
        for page in [*self._own]:
            self._forget(page)

    def _program(self, page: int, start: int, part: bytes) -> None:
        before = self._page(page)
        self._change(page, before[:start] + part + before[start + len(part) :])

    def _page(self, page: int) -> bytes:
        if page in self._own:
            return self._own[page]
        return self._image[page * self._page_octets : (page + 1) * self._page_octets]

    def _done(self, page: int, start: int, part: bytes) -> bytes:
        """Return the record of what was programmed."""
        if (
            self._alike is None
            or page not in self._shared
            or len(part) * LEAST_SHARED < self._page_octets
        ):
            return _head(PROGRAMMED | page) + _head(start) + part
        return _head(ALIKE | page) + _head(start) + self._alike.keep(part)

    def _all(self, page: int) -> Iterator[bytes]:
        """Yield the records of a page as it is."""
        octets = self._own[page]
        if self._alike is None or page not in self._shared:
            yield _head(WHOLE | page) + octets
            return
        yield _head(CLEARED | page)
        size = self._page_octets // 2  # blocks of images have half a page
        for start in range(0, self._page_octets, size):
            part = octets[start : start + size]
            if not part.strip(ERASED):
                continue
            name = self._alike.name_of(part)
            if name is None:
                yield _head(PROGRAMMED | page) + _head(start) + part
            else:
                yield _head(ALIKE | page) + _head(start) + name

    def _restore(self, record: bytes) -> None:
        head = int.from_bytes(record[:HEAD_OCTETS])
        page, kind = head & PAGE_MASK, head & ~PAGE_MASK
        if kind == WHOLE:
            self._change(page, record[HEAD_OCTETS:])
        elif kind == CLEARED:
            self._change(page, self._erased)
        else:
            start, part = int.from_bytes(record[HEAD_OCTETS:PLACE_OCTETS]), record[PLACE_OCTETS:]
            if kind == ALIKE:
                if self._alike is None:
                    raise StorageError(f"{self.path} says what others hold, too, and they are gone")
                part = self._alike.octets(part)
            self._program(page, start, part)

    def _inside(self, offset: int, count: int) -> None:
        if not 0 <= offset <= offset + count <= len(self._image):
            raise FlashError(
                f"{count} octets at {offset:#x} are outside of a flash of {len(self._image):#x}"
            )


def names_in(path: Path) -> set[bytes]:
    """Return the SHA-256 of what a device's file says that others hold, too.

    Raises:
        StorageError: The file cannot be read.
    """
    return {
        record[PLACE_OCTETS:]
        for record in peek(path)
        if len(record) == PLACE_OCTETS + DIGEST_OCTETS
        and int.from_bytes(record[:HEAD_OCTETS]) & ~PAGE_MASK == ALIKE
    }


def _head(number: int) -> bytes:
    return number.to_bytes(HEAD_OCTETS)
