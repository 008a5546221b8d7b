# SPDX-License-Identifier: Apache-2.0
"""Flash that remembers what was done to it, and every way in which a power cut can leave it.

All writes of all flashes stand in one record, in their order.  A cut after any of them keeps what
was synchronised before; of what was not, each write may be there, missing, or torn.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from openami.psa.flash import ERASED, PAGE_OCTETS, MemoryFlash

MOST_SUBSETS = 5
"""Of so many writes that were not synchronised, all subsets are tried; of more, some."""


@dataclass(frozen=True)
class Write:
    """One write: octets at an offset, or an erased page."""

    flash: int
    offset: int
    octets: bytes

    def torn(self) -> "Write":
        """Return the write as far as half of it."""
        return Write(self.flash, self.offset, self.octets[: len(self.octets) // 2])


@dataclass(frozen=True)
class Synchronised:
    """All writes of a flash up to here are durable."""

    flash: int


@dataclass
class Record:
    """What was done to some flashes since they held `before`."""

    before: list[bytes]
    steps: list[Write | Synchronised] = field(default_factory=list)

    def flashes(self) -> list["RecordedFlash"]:
        """Return the flashes, to be used from here on."""
        return [RecordedFlash(self, number) for number in range(len(self.before))]

    def cuts(self, start: int = 0) -> Iterator[tuple[int, list[bytes]]]:
        """Yield each moment from `start` on with each content that a cut can leave."""
        for moment in range(start, len(self.steps) + 1):
            for left in self.left(moment):
                yield moment, left

    def left(self, moment: int) -> list[list[bytes]]:
        """Return each content that a cut at a moment can leave."""
        steps = self.steps[:moment]
        last = {
            number: max(
                (at for at, step in enumerate(steps) if step == Synchronised(number)), default=-1
            )
            for number in range(len(self.before))
        }
        durable = [
            (at, step)
            for at, step in enumerate(steps)
            if isinstance(step, Write) and at < last[step.flash]
        ]
        pending = [
            (at, step)
            for at, step in enumerate(steps)
            if isinstance(step, Write) and at > last[step.flash]
        ]
        if len(pending) <= MOST_SUBSETS:
            fates = list(itertools.product((0, 1, 2), repeat=len(pending)))
        else:
            count = len(pending)
            fates = [tuple(int(at < kept) for at in range(count)) for kept in range(count + 1)]
            fates += [tuple(2 * int(at == torn) for at in range(count)) for torn in range(count)]
            fates += [
                tuple(1 if at < torn else 2 * int(at == torn) for at in range(count))
                for torn in range(count)
            ]
        return [self._made(durable, pending, fate) for fate in fates]

    def _made(
        self,
        durable: list[tuple[int, Write]],
        pending: list[tuple[int, Write]],
        fate: tuple[int, ...],
    ) -> list[bytes]:
        happened = dict(durable)
        for (at, write), how in zip(pending, fate, strict=True):
            if how:
                happened[at] = write if how == 1 else write.torn()
        made = [bytearray(each) for each in self.before]
        for at in sorted(happened):
            write = happened[at]
            made[write.flash][write.offset : write.offset + len(write.octets)] = write.octets
        return [bytes(each) for each in made]


class RecordedFlash(MemoryFlash):
    def __init__(self, record: Record, number: int) -> None:
        super().__init__(len(record.before[number]) // PAGE_OCTETS)
        self.octets[:] = record.before[number]
        self._record = record
        self._number = number

    def program(self, offset: int, octets: bytes) -> None:
        super().program(offset, octets)
        self._record.steps.append(Write(self._number, offset, octets))

    def erase(self, offset: int) -> None:
        super().erase(offset)
        blank = bytes((ERASED,)) * PAGE_OCTETS
        self._record.steps.append(Write(self._number, offset, blank))

    def sync(self) -> None:
        self._record.steps.append(Synchronised(self._number))


def blank(pages: int) -> bytes:
    """Return pages as they come from the factory."""
    return bytes((ERASED,)) * (pages * PAGE_OCTETS)
