# SPDX-License-Identifier: Apache-2.0
"""Who may speak with which meter, and when: one association a meter, urgent work first.

Work comes as jobs.  Each meter has a desk with a queue of its own; a bounded number of desks work
at once, in all, through one concentrator and in one cell, and a free place goes to the most urgent
job of all meters, among equals to the oldest.  A long job gives way where it can be interrupted.
An association stays open while there is work and a little longer, then it is released.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar, cast

from openami.dlms.errors import DlmsError
from openami.exchange.commands import Priority
from openami.headend.slots import Gate, Place, Slots, Turn
from openami.runtime.errors import UserError

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S", bound="OpenSession")


class Urgency(IntEnum):
    """Whose turn it is; smaller numbers first."""

    URGENT = 0
    COMMAND = 1
    WATCH = 2  # somebody looks at the meter now
    SCHEDULE = 3
    BACKFILL = 4
    UPDATE = 5  # blocks of firmware: whenever nobody else wants the meter, or the way to it

    @classmethod
    def of(cls, priority: Priority) -> "Urgency":
        """Return the turn of a command."""
        return {Priority.URGENT: cls.URGENT, Priority.LOW: cls.SCHEDULE}.get(priority, cls.COMMAND)


Group = tuple[Hashable, int] | Gate
"""Its name and how many jobs run in it at once; or who gives places of it, to others too."""


class OpenSession(Protocol):
    """An association that jobs use, one after another."""

    @property
    def usable(self) -> bool:
        """Whether a further job can use it."""

    async def close(self) -> None:
        """Release it; never raises for what the peer does."""


Opener = Callable[[int], Awaitable[S]]  # opens an association with a meter, by its number
Job = Callable[[S], Awaitable[T]]


@dataclass(order=True, slots=True)
class _Task(Generic[S]):
    """A job in a desk's queue."""

    urgency: Urgency
    number: int
    job: "Job[S, Any]" = field(compare=False)
    done: "asyncio.Future[Any]" = field(compare=False)


class _Desk(Generic[S]):
    """One meter's queue and the association it works with."""

    def __init__(self, meter_id: int) -> None:
        self.meter_id = meter_id
        self.queue: list[_Task[S]] = []
        self.session: S | None = None
        self.arrived = asyncio.Event()
        self.places: list[Place] = []  # held by the job that runs
        self.waits: Turn | None = None  # the last that was waited for

    def put(self, task: _Task[S]) -> None:
        before = self.queue[0].urgency if self.queue else None
        heapq.heappush(self.queue, task)
        # Nothing else is queued where a long job of the meter waits for the places that it gave up.
        if self.waits is not None and (before is None or task.urgency < before):
            self.waits.promote(task.urgency)
        self.arrived.set()

    def wait_for(self, turn: Turn) -> None:
        self.waits = turn


class Sessions(Generic[S]):
    """All associations of the head-end.

    Attributes:
        opened: How many associations were opened.
        failed: How many jobs ended with an error of route, association or protection.
    """

    def __init__(
        self,
        opener: Opener[S],
        *,
        parallel: int,
        idle_s: float,
        groups_of: Callable[[int], Sequence[Group]] = lambda _: (),
    ) -> None:
        """Bind the port; call inside a running loop.

        Args:
            opener: Opens an association with a meter.
            parallel: How many jobs run at once.
            idle_s: How long an association without work stays open.
            groups_of: What a meter shares with others on its way, e.g. its cell and its
                concentrator: always in the same order, so that no two wait for each other.
        """
        self.opened = self.failed = 0
        self._opener = opener
        self._idle_s = idle_s
        self._slots = Slots(parallel)
        self._groups_of = groups_of
        self._groups: dict[Hashable, Slots] = {}
        self._desks: dict[int, _Desk[S]] = {}
        self._workers: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count()
        self._stopping = False

    @property
    def active(self) -> int:
        """How many associations are open."""
        return sum(desk.session is not None for desk in self._desks.values())

    @property
    def waiting(self) -> int:
        """How many jobs wait."""
        return sum(len(desk.queue) for desk in self._desks.values())

    def busy(self, meter_id: int) -> bool:
        """Tell whether jobs wait or run for a meter."""
        return meter_id in self._desks and bool(self._desks[meter_id].queue)

    def outranked(self, meter_id: int, urgency: Urgency) -> bool:
        """Tell whether a long job should end and queue again: somebody more urgent waits.

        That is for the same meter, or for a place that the job has in a group or among all.
        """
        desk = self._desks.get(meter_id)
        if desk is None:
            return False
        waits = bool(desk.queue) and desk.queue[0].urgency < urgency
        return waits or any(place.wanted_before(urgency) for place in desk.places)

    def in_place(self, meter_id: int) -> bool:
        """Tell whether a job of a meter still has the places it runs with."""
        desk = self._desks.get(meter_id)
        return desk is None or all(place.lasts() for place in desk.places)

    async def run(self, meter_id: int, urgency: Urgency, job: Job[S, T]) -> T:
        """Queue a job and return its result.

        Raises:
            UserError: The meter has no route, does not answer, or the head-end stops.
            DlmsError: The peer broke the protocol or the protection.
            Exception: What the job itself raises.
        """
        if self._stopping:
            raise UserError(f"meter {meter_id} was not asked: the head-end stops")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        desk = self._desks.get(meter_id)
        if desk is None:
            desk = self._desks[meter_id] = _Desk(meter_id)
            worker = asyncio.create_task(self._work(desk))
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        desk.put(_Task(urgency, next(self._numbers), job, done))
        return await done

    async def stop(self, grace_s: float = 5.0) -> None:
        """Let running jobs end, refuse those that wait, release every association."""
        self._stopping = True
        for desk in self._desks.values():
            refused, desk.queue = desk.queue, []
            for task in refused:
                _fail(task.done, UserError(f"meter {desk.meter_id} was not asked: we stop"))
            desk.arrived.set()
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=grace_s)
            for worker in late:
                worker.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _work(self, desk: _Desk[S]) -> None:
        """Do a desk's jobs until none came for a while."""
        while desk.queue or desk.session is not None:
            if desk.queue:
                await self._next(desk)
            elif self._stopping or not await self._arrives(desk):
                await self._close(desk)
        # No await since the last look at the queue: no job can be lost.
        del self._desks[desk.meter_id]

    async def give_way(self, meter_id: int, urgency: Urgency) -> None:
        """Let go first what is more urgent; call it from a job, where it can be interrupted.

        More urgent jobs of the meter are done in the association of the calling job, which may be
        unusable then.  Its places are given up for a moment where more urgent jobs of other meters
        wait for them.
        """
        desk = self._desks.get(meter_id)
        if desk is None:
            return
        await self._do_before(desk, urgency)
        if any(place.wanted_before(urgency) for place in desk.places):
            places, desk.places = desk.places, []
            for place in reversed(places):
                place.release()
            await self._take_places(desk, urgency)
            await self._do_before(desk, urgency)

    async def _do_before(self, desk: _Desk[S], urgency: Urgency) -> None:
        """Do the jobs of a desk that are more urgent."""
        while desk.queue and desk.queue[0].urgency < urgency:
            await self._do(desk, heapq.heappop(desk.queue))

    async def _take_places(self, desk: _Desk[S], urgency: Urgency) -> None:
        """Wait for the places that a job needs.

        The groups' first: who waits for its narrow way takes no place from the others.
        """
        wanted = [self._gate(group) for group in self._groups_of(desk.meter_id)]
        for gate in (*wanted, self._slots):
            # It may have become more urgent while it waited for the place before.
            most_urgent = min([urgency, *(task.urgency for task in desk.queue[:1])])
            desk.places.append(await gate.acquire(most_urgent, desk.wait_for))

    def _gate(self, group: Group) -> Gate:
        if not isinstance(group, tuple):
            return group
        name, places = group
        if (slots := self._groups.get(name)) is None:
            slots = self._groups[name] = Slots(places)
        return slots

    async def _next(self, desk: _Desk[S]) -> None:
        try:
            await self._take_places(desk, desk.queue[0].urgency)
            if desk.queue:  # it was not refused meanwhile
                await self._do(desk, heapq.heappop(desk.queue))
        finally:
            for place in reversed(desk.places):
                place.release()
            desk.places.clear()

    async def _arrives(self, desk: _Desk[S]) -> bool:
        """Wait a while for a job; tell whether one came."""
        desk.arrived.clear()
        try:
            async with asyncio.timeout(self._idle_s):
                await desk.arrived.wait()
        except TimeoutError:
            return bool(desk.queue)
        return True

    async def _do(self, desk: _Desk[S], task: _Task[S]) -> None:
        if task.done.done():
            return  # whoever asked went away
        try:
            if desk.session is None:
                desk.session = await self._opener(desk.meter_id)
                self.opened += 1
            result = await task.job(desk.session)
        except asyncio.CancelledError:
            _fail(task.done, UserError(f"meter {desk.meter_id}: the read was cut by the stop"))
            raise
        except (UserError, DlmsError) as error:
            self.failed += 1
            _fail(task.done, error)
        except Exception as error:  # noqa: BLE001  it is raised where `run` is awaited
            _fail(task.done, error)
        else:
            if not task.done.done():
                task.done.set_result(result)
        if desk.session is not None and not desk.session.usable:
            await self._close(desk)

    async def _close(self, desk: _Desk[S]) -> None:
        session, desk.session = cast("S", desk.session), None
        await session.close()


def _fail(done: "asyncio.Future[Any]", error: Exception) -> None:
    if not done.done():
        done.set_exception(error)
