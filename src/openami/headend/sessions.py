# SPDX-License-Identifier: Apache-2.0
"""Who may speak with which meter, and when: one association a meter, urgent work first.

Work comes as jobs.  Each meter has a desk with a queue of its own; a bounded number of desks work
at once, and a free place goes to the most urgent job of all meters, among equals to the oldest.  An
association stays open while there is work and a little longer, then it is released.
"""

import asyncio
import heapq
import itertools
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Generic, Protocol, TypeVar, cast

from openami.dlms.errors import DlmsError
from openami.exchange.commands import Priority
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


class OpenSession(Protocol):
    """An association that jobs use, one after another."""

    @property
    def usable(self) -> bool:
        """Whether a further job can use it."""

    async def close(self) -> None:
        """Release it; never raises for what the peer does."""


Opener = Callable[[int], Awaitable[S]]  # opens an association with a meter, by its number
Job = Callable[[S], Awaitable[T]]


class Slots:
    """A bounded number of places, given by urgency."""

    def __init__(self, places: int) -> None:
        self.free = places
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    async def acquire(self, urgency: Urgency) -> None:
        """Wait for a place."""
        if self.free and not self._waiting:
            self.free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (urgency, next(self._order), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release()  # it was given and is not wanted any more
            raise

    def wanted_before(self, urgency: Urgency) -> bool:
        """Tell whether somebody more urgent waits for a place."""
        return any(other < urgency and not turn.done() for other, _, turn in self._waiting)

    def release(self) -> None:
        """Give the place to whoever is next."""
        while self._waiting:
            _, _, turn = heapq.heappop(self._waiting)
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


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

    def put(self, task: _Task[S]) -> None:
        heapq.heappush(self.queue, task)
        self.arrived.set()


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
        group_of: Callable[[int], Hashable] = lambda _: None,
        group_parallel: int | None = None,
    ) -> None:
        """Bind the port; call inside a running loop.

        Args:
            opener: Opens an association with a meter.
            parallel: How many jobs run at once.
            idle_s: How long an association without work stays open.
            group_of: Names what meters share on their way, e.g. their concentrator; None
                for a meter that shares nothing.
            group_parallel: How many jobs run at once in a group; None: as many as in all.
        """
        self.opened = self.failed = 0
        self._opener = opener
        self._idle_s = idle_s
        self._slots = Slots(parallel)
        self._parallel = parallel
        self._group_of = group_of
        self._group_parallel = group_parallel or parallel
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

        That is for the same meter, or for a place among its group or among all.
        """
        desk = self._desks.get(meter_id)
        if desk is not None and desk.queue and desk.queue[0].urgency < urgency:
            return True
        group = self._groups.get(self._group_of(meter_id))
        return self._slots.wanted_before(urgency) or (
            group is not None and group.wanted_before(urgency)
        )

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

    async def _next(self, desk: _Desk[S]) -> None:
        group = self._group_of(desk.meter_id)
        if (slots := self._groups.get(group)) is None:
            places = self._parallel if group is None else self._group_parallel
            slots = self._groups[group] = Slots(places)
        # The group's place first: who waits for its narrow way takes no place from the others.
        await slots.acquire(desk.queue[0].urgency)
        try:
            if not desk.queue:  # it was refused meanwhile
                return
            await self._slots.acquire(desk.queue[0].urgency)
            try:
                if desk.queue:
                    await self._do(desk, heapq.heappop(desk.queue))
            finally:
                self._slots.release()
        finally:
            slots.release()

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
