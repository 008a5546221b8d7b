# SPDX-License-Identifier: Apache-2.0
"""NOR flash: a port that a host binds, and a simulated one that remembers what was done to it.

Pages are erased to FF as a whole; programming clears bits, in units of eight octets that are erased
before.  Until `sync` returns nothing of it is sure: `SimulatedFlash.after_cut` makes the flash
that a power cut could have left, each unsynced operation kept, lost or torn by itself.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, Protocol

from openami.firmware.errors import FirmwareError

PAGE_OCTETS: Final = 0x800
UNIT_OCTETS: Final = 8
ERASED: Final = b"\xff"
Choose = Callable[[int], int]
"""Returns a number from 0 up to, and without, the one that is given."""


class FlashError(FirmwareError):
    """The flash was asked for what it cannot do."""


class Flash(Protocol):
    """What this room needs of a flash."""

    def read(self, offset: int, count: int) -> bytes:
        """Return what is there."""
        ...

    def program(self, offset: int, octets: bytes) -> None:
        """Write whole units into erased cells."""
        ...

    def erase(self, offset: int) -> None:
        """Erase the page that begins at `offset`."""
        ...

    def sync(self) -> None:
        """Return when everything before is durable."""
        ...


class Operation(NamedTuple):
    """What was done: octets were programmed, or a page was erased if there are none."""

    offset: int
    octets: bytes | None


SYNC: Final = None


class SimulatedFlash:
    """A flash in memory.

    Attributes:
        content: What is there now.
        operations: What was done since the beginning, in order; `SYNC` where it became durable.
    """

    def __init__(self, octets: int | bytes, *, page_octets: int = PAGE_OCTETS) -> None:
        """Begin with `octets`, or with so many erased ones."""
        self.content = bytearray(ERASED * octets if isinstance(octets, int) else octets)
        self.page_octets = page_octets
        self.operations: list[Operation | None] = []
        self._first = bytes(self.content)

    def read(self, offset: int, count: int) -> bytes:
        self._inside(offset, count)
        return bytes(self.content[offset : offset + count])

    def program(self, offset: int, octets: bytes) -> None:
        self._inside(offset, len(octets))
        if offset % UNIT_OCTETS or len(octets) % UNIT_OCTETS:
            problem = f"{len(octets)} octets at {offset:#x} are no whole units of {UNIT_OCTETS}"
            raise FlashError(f"{problem}: fill them up with FF")
        before = self.content[offset : offset + len(octets)]
        if before.strip(ERASED):
            dirty = offset + len(before) - len(before.lstrip(ERASED))
            raise FlashError(f"the flash at {dirty:#x} is not erased: erase its page first")
        self._do(Operation(offset, octets))

    def erase(self, offset: int) -> None:
        self._inside(offset, self.page_octets)
        if offset % self.page_octets:
            raise FlashError(f"no page begins at {offset:#x}")
        self._do(Operation(offset, None))

    def sync(self) -> None:
        self.operations.append(SYNC)

    def after_cut(self, done: int, choose: Choose) -> "SimulatedFlash":
        """Return a flash after a power cut behind the first `done` operations.

        What was synced is there; each other operation is as `choose` decides.
        """
        before = self.operations[:done]
        synced = max((at for at, each in enumerate(before) if each is SYNC), default=-1)
        flash = SimulatedFlash(self._first, page_octets=self.page_octets)
        for at, operation in enumerate(before):
            if operation is SYNC:
                continue
            if at < synced:
                flash._apply(operation)
            else:
                flash._maybe(operation, choose)
        return SimulatedFlash(bytes(flash.content), page_octets=self.page_octets)

    def _inside(self, offset: int, count: int) -> None:
        if not 0 <= offset <= offset + count <= len(self.content):
            raise FlashError(
                f"{count} octets at {offset:#x} are outside of a flash of {len(self.content):#x}"
            )

    def _do(self, operation: Operation) -> None:
        self.operations.append(operation)
        self._apply(operation)

    def _apply(self, operation: Operation) -> None:
        offset, octets = operation
        if octets is None:
            self.content[offset : offset + self.page_octets] = ERASED * self.page_octets
            return
        # Bits can only be cleared: where an erase was lost, old and new ones mix.
        old = int.from_bytes(self.content[offset : offset + len(octets)])
        mixed = old & int.from_bytes(octets)
        self.content[offset : offset + len(octets)] = mixed.to_bytes(len(octets))

    def _maybe(self, operation: Operation, choose: Choose) -> None:
        match choose(3):
            case 0:
                return
            case 1:
                self._apply(operation)
            case _:
                self._tear(operation, choose)

    def _tear(self, operation: Operation, choose: Choose) -> None:
        offset, octets = operation
        if octets is None:
            for at in range(offset, offset + self.page_octets):
                self.content[at] |= choose(256)
            return
        cut = choose(len(octets) + 1)
        self._apply(Operation(offset, octets[:cut]))
        if cut < len(octets):
            half = octets[cut] | choose(256)
            self._apply(Operation(offset + cut, bytes((half,))))
