# SPDX-License-Identifier: Apache-2.0
"""Places for jobs: how many run at once, and who is next.

A gate gives places; `Slots` is one that this head-end has for itself, `headend.cells` has those
that it shares with others.  Who waits is ordered by urgency, among equals by age.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Place(Protocol):
    """What a job holds while it runs."""

    def lasts(self) -> bool:
        """Tell whether it is still ours."""

    def wanted_before(self, urgency: int) -> bool:
        """Tell whether somebody more urgent waits for such a place."""

    def release(self) -> None:
        """Give it to whoever is next."""


class Gate(Protocol):
    """Gives places."""

    async def acquire(self, urgency: int, waits: "Callable[[Turn], None]") -> Place:
        """Wait for a place; `waits` is told the turn that is waited for, if it is."""


class Row(NamedTuple):
    """Somebody who waits."""

    urgency: int  # smaller numbers first
    order: int
    since_s: float  # of the loop's clock
    turn: "asyncio.Future[Place]"


class Queue:
    """Who waits for places of one sort."""

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._rows)

    def join(self, urgency: int) -> "Turn":
        """Wait from now on."""
        loop = asyncio.get_running_loop()
        turn: asyncio.Future[Place] = loop.create_future()
        heapq.heappush(self._rows, Row(urgency, next(self._order), loop.time(), turn))
        return Turn(self, turn)

    def promote(self, turn: "asyncio.Future[Place]", urgency: int) -> None:
        """Let somebody who waits be more urgent than before."""
        # What it waited with before is passed over once its turn has come.
        now_s = asyncio.get_running_loop().time()
        heapq.heappush(self._rows, Row(urgency, next(self._order), now_s, turn))

    def wanted_before(self, urgency: int) -> bool:
        """Tell whether somebody more urgent waits."""
        return any(row.urgency < urgency and not row.turn.done() for row in self._rows)

    def waiting(self) -> Iterator[Row]:
        """Return who waits, each once, the next first."""
        seen: set[asyncio.Future[Place]] = set()
        for row in sorted(self._rows, key=lambda row: row[:2]):
            if not row.turn.done() and row.turn not in seen:
                seen.add(row.turn)
                yield row

    def next(self) -> "asyncio.Future[Place] | None":
        """Take out whose turn it is; None when nobody waits."""
        while self._rows:
            turn = heapq.heappop(self._rows).turn
            if not turn.done():
                return turn
        return None


@dataclass(frozen=True, slots=True)
class Turn:
    """What somebody waits for."""

    queue: Queue
    given: "asyncio.Future[Place]"

    def promote(self, urgency: int) -> None:
        """Be more urgent than before, unless it is given already."""
        if not self.given.done():
            self.queue.promote(self.given, urgency)

    async def come(self) -> Place:
        """Wait for it; who goes away meanwhile gives back what it was given."""
        try:
            return await self.given
        except asyncio.CancelledError:
            if self.given.done() and not self.given.cancelled():
                self.given.result().release()  # it was given and is not wanted any more
            raise


class Slots:
    """A bounded number of places of this head-end alone; it is each of them."""

    def __init__(self, places: int) -> None:
        self.free = places
        self._queue = Queue()

    async def acquire(
        self, urgency: int, waits: Callable[[Turn], None] = lambda _turn: None
    ) -> Place:
        """Wait for a place; `waits` is told the turn that is waited for, if it is."""
        if self.free and not self._queue:
            self.free -= 1
            return self
        turn = self._queue.join(urgency)
        waits(turn)
        return await turn.come()

    def lasts(self) -> bool:
        """Tell whether it is still ours: it always is."""
        return True

    def wanted_before(self, urgency: int) -> bool:
        """Tell whether somebody more urgent waits for a place."""
        return self._queue.wanted_before(urgency)

    def release(self) -> None:
        """Give the place to whoever is next."""
        turn = self._queue.next()
        if turn is None:
            self.free += 1
        else:
            turn.set_result(self)
