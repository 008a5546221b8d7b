# SPDX-License-Identifier: Apache-2.0
"""Several head-ends over one store: a cell has as many places as it has, for all of them."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from chain import until
from headend.test_sessions import Fake
from loops import in_loop
from openami.headend.books import Books
from openami.headend.cells import Cells
from openami.headend.holdings import Holdings
from openami.headend.sessions import Sessions, Urgency
from openami.runtime.errors import UserError
from openami.store import cells
from openami.store.cells import Answer, Ask
from openami.store.database import StoreUnavailableError, open_database, reading
from openami.store.leases import Lease, Worker

MOST = 3


@dataclass
class Air:
    """What really goes on in the cells, whoever does it."""

    inside: Counter[str] = field(default_factory=Counter)
    most: int = 0

    def enter(self, cell: str) -> None:
        self.inside[cell] += 1
        self.most = max(self.most, self.inside[cell])

    def leave(self, cell: str) -> None:
        self.inside[cell] -= 1


class Head:
    """What of a head-end has to do with cells; its meters answer nothing and are never late."""

    def __init__(self, engine: Engine, name: str, seconds: float) -> None:
        self.books = Books(engine)
        self.holdings = Holdings(self.books, Worker(name, name), seconds)
        self.cells = Cells(self.books, self.holdings, MOST)
        self.sessions: Sessions[Fake] = Sessions(
            self.open, parallel=20, idle_s=0.0, groups_of=lambda n: [self.cells.of(cell_of(n))]
        )
        self.tasks: list[asyncio.Task[None]] = []

    async def open(self, meter_id: int) -> Fake:
        await asyncio.sleep(0)
        return Fake(meter_id)

    def start(self, own: Lease) -> None:
        work = (self.holdings.run(own), self.cells.run())
        self.tasks = [asyncio.create_task(each) for each in work]

    async def kill(self) -> None:
        """End it as a crash does: it gives nothing back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def stop(self) -> None:
        await self.kill()
        self.cells.let_go()
        await self.sessions.stop()
        await self.holdings.stop()
        await self.books.stop()

    def job(
        self, air: Air, gate: Callable[[], Awaitable[object]]
    ) -> Callable[[Fake], Awaitable[None]]:
        async def work(session: Fake) -> None:
            assert self.sessions.in_place(session.meter_id)
            air.enter(cell_of(session.meter_id))
            try:
                await gate()
            finally:
                air.leave(cell_of(session.meter_id))

        return work


def cell_of(meter_id: int) -> str:
    return f"cell {meter_id % 3}"


async def moment() -> None:
    await asyncio.sleep(0.002)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    return open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)


@contextlib.asynccontextmanager
async def heads(
    engine: Engine, *names: str, seconds: float = 60.0
) -> AsyncIterator[Sequence[Head]]:
    made = [Head(engine, name, seconds) for name in names]
    alive = [await head.holdings.come_alive() for head in made]  # before any looks around
    for head, own in zip(made, alive, strict=True):
        head.start(own)
    yield made
    for head in made:
        await head.stop()


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 99), st.sampled_from(Urgency)),
        min_size=20,
        max_size=60,
    )
)
def test_all_jobs_of_three_head_ends_are_done_and_never_more_at_once(
    engine: Engine, jobs: list[tuple[int, int, Urgency]]
) -> None:
    @in_loop
    async def test() -> None:
        air = Air()
        async with heads(engine, "a", "b", "c", seconds=5.0) as made:
            runs = [
                made[head].sessions.run(
                    1000 * head + meter_id, urgency, made[head].job(air, moment)
                )
                for head, meter_id, urgency in jobs
            ]
            await asyncio.gather(*runs)
        assert 0 < air.most <= MOST
        assert set(air.inside.values()) == {0}

    test()


@in_loop
async def test_who_is_alone_asks_nobody(engine: Engine) -> None:
    air = Air()
    async with heads(engine, "a") as (head,):
        await until(lambda: head.cells.alone)
        statements: list[object] = []
        event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        await asyncio.gather(
            *(head.sessions.run(3 * n, Urgency.SCHEDULE, head.job(air, moment)) for n in range(30))
        )
        assert statements == []
        assert air.most == MOST


class Gates:
    """Jobs that run until they are let go, one after another."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self._ends: dict[int, asyncio.Event] = {}

    def run(self, head: Head, air: Air, meter_id: int, urgency: Urgency) -> "asyncio.Task[None]":
        end = self._ends[meter_id] = asyncio.Event()

        async def wait() -> None:
            self.begun.append(meter_id)
            await end.wait()

        return asyncio.create_task(head.sessions.run(meter_id, urgency, head.job(air, wait)))

    def end(self, meter_id: int) -> None:
        self._ends[meter_id].set()

    def end_all(self) -> None:
        for end in self._ends.values():
            end.set()


def ahead(head: Head) -> int | None:
    return head.cells.of(cell_of(0)).ahead


@in_loop
async def test_a_second_one_gets_places_once_the_first_knows_of_it_and_urgent_work_first(
    engine: Engine,
) -> None:
    air, gates = Air(), Gates()
    async with heads(engine, "a", seconds=1.5) as (first,):
        await until(lambda: first.cells.alone)
        tasks = [gates.run(first, air, 3 * n, Urgency.SCHEDULE) for n in range(5)]
        await until(lambda: len(gates.begun) == MOST)
        async with heads(engine, "b", seconds=1.5) as (second,):
            tasks.append(gates.run(second, air, 300, Urgency.URGENT))
            await until(lambda: ahead(first) == Urgency.URGENT)
            assert not first.cells.alone
            assert all(first.sessions.in_place(n) for n in gates.begun)
            assert first.sessions.outranked(0, Urgency.SCHEDULE)
            assert not first.sessions.outranked(0, Urgency.URGENT)
            gates.end(0)
            await until(lambda: len(gates.begun) > MOST)
            assert gates.begun[-1] == 300  # though two waited here before
            gates.end_all()
            await asyncio.gather(*tasks)
        await until(lambda: first.cells.alone)
        await first.sessions.run(0, Urgency.SCHEDULE, first.job(air, moment))
        assert air.most == MOST


@pytest.mark.parametrize(("turn_s", "following"), [(0.0, 300), (600.0, 9)])
def test_jobs_follow_each_other_in_a_place_for_a_while_though_older_ones_wait_elsewhere(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, turn_s: float, following: int
) -> None:
    monkeypatch.setattr("openami.headend.cells.TURN_S", turn_s)

    @in_loop
    async def test() -> None:
        air, gates = Air(), Gates()
        async with heads(engine, "a", "b") as (first, second):
            tasks = [gates.run(first, air, 3 * n, Urgency.SCHEDULE) for n in range(MOST)]
            await until(lambda: len(gates.begun) == MOST)
            tasks.append(gates.run(second, air, 300, Urgency.SCHEDULE))
            await until(lambda: ahead(first) == Urgency.SCHEDULE)
            tasks.append(gates.run(first, air, 9, Urgency.SCHEDULE))
            gates.end(0)
            await until(lambda: len(gates.begun) > MOST)
            assert gates.begun[-1] == following
            gates.end_all()
            await asyncio.gather(*tasks)
            assert air.most == MOST

    test()


@in_loop
async def test_a_long_job_gives_way_to_urgent_work_of_another_head_end(engine: Engine) -> None:
    air, gates = Air(), Gates()
    order: list[str] = []
    async with heads(engine, "a", "b") as (first, second):

        async def long(session: Fake) -> None:
            while "urgent" not in order:
                await asyncio.sleep(0.01)
                await first.sessions.give_way(session.meter_id, Urgency.UPDATE)
            order.append("long")

        async def urgent(_session: Fake) -> None:
            await asyncio.sleep(0)
            order.append("urgent")

        others = [gates.run(first, air, 3 * n, Urgency.COMMAND) for n in range(1, MOST)]
        await until(lambda: len(gates.begun) == MOST - 1)
        running = asyncio.create_task(first.sessions.run(0, Urgency.UPDATE, long))
        await second.sessions.run(300, Urgency.URGENT, urgent)
        await running
        gates.end_all()
        await asyncio.gather(*others)
        assert order == ["urgent", "long"]


@in_loop
async def test_places_of_one_that_was_killed_are_free_after_its_leases(engine: Engine) -> None:
    air, gates = Air(), Gates()
    async with heads(engine, "a", "b", seconds=1.0) as (first, second):
        lost = [gates.run(first, air, 3 * n, Urgency.SCHEDULE) for n in range(MOST)]
        await until(lambda: len(gates.begun) == MOST)
        waits = gates.run(second, air, 300, Urgency.SCHEDULE)
        await first.kill()
        await until(lambda: not first.sessions.in_place(0))
        assert first.sessions.outranked(0, Urgency.SCHEDULE) is False
        gates.end_all()
        await asyncio.gather(*lost)
        await waits
        assert air.most == MOST


@in_loop
async def test_who_waits_is_refused_when_the_head_end_stops(engine: Engine) -> None:
    air, gates = Air(), Gates()
    async with heads(engine, "a", "b") as (head, _):
        tasks = [gates.run(head, air, 3 * n, Urgency.SCHEDULE) for n in range(MOST + 1)]
        await until(lambda: len(gates.begun) == MOST)
        await head.kill()

        async def stop() -> None:
            head.cells.let_go()
            await head.sessions.stop(grace_s=600.0)

        stopping = asyncio.create_task(stop())
        await asyncio.sleep(0)
        assert head.sessions.in_place(0)  # what runs may end
        gates.end_all()
        await stopping
        assert isinstance((await asyncio.gather(*tasks, return_exceptions=True))[-1], UserError)
        assert len(gates.begun) == MOST


@in_loop
async def test_what_the_store_did_not_answer_for_is_not_used(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    air = Air()

    async def fail(_ask: Ask) -> Answer:
        await asyncio.sleep(0)
        raise StoreUnavailableError("the disk is full")

    async with heads(engine, "a", "b", seconds=1.0) as (head, _):
        await head.sessions.run(0, Urgency.SCHEDULE, head.job(air, moment))
        cell = head.cells.of(cell_of(0))
        (lease,) = cell.spare
        with monkeypatch.context() as broken:
            broken.setattr(head.books, "settle", fail)
            await until(lambda: not head.holdings.has(lease))  # it was to be given back
            assert not cell.spare

        def is_free() -> bool:
            with reading(engine) as connection:
                return not cells.live(connection, Worker("c", "c"), 0)

        await until(is_free)
