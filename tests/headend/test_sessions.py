# SPDX-License-Identifier: Apache-2.0
"""Sessions: one association a meter, bounded work, urgent work first."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from chain import until
from loops import in_loop
from openami.headend.sessions import Group, Sessions, Urgency
from openami.headend.slots import Slots
from openami.runtime.errors import UserError


@dataclass
class Fake:
    """An association that remembers what became of it."""

    meter_id: int
    usable: bool = True
    closed: bool = False
    used: list[str] = field(default_factory=list)

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed = True


class Meters:
    """Opens fake associations; refuses, and blocks, when told."""

    def __init__(self, *, parallel: int = 10, idle_s: float = 0.05) -> None:
        self.opened: list[Fake] = []
        self.refuse = False
        self.sessions: Sessions[Fake] = Sessions(self.open, parallel=parallel, idle_s=idle_s)

    async def open(self, meter_id: int) -> Fake:
        await asyncio.sleep(0)
        if self.refuse:
            raise UserError("no route")
        standing = [fake for fake in self.opened if fake.meter_id == meter_id and not fake.closed]
        assert not standing, "a second association with the same meter"
        self.opened.append(Fake(meter_id))
        return self.opened[-1]


@in_loop
async def test_jobs_of_a_meter_share_an_association_one_after_another() -> None:
    meters = Meters()
    inside = 0

    async def job(session: Fake) -> int:
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0.001)
        inside -= 1
        return session.meter_id

    runs = [meters.sessions.run(7, Urgency.SCHEDULE, job) for _ in range(5)]
    assert await asyncio.gather(*runs) == [7] * 5
    assert len(meters.opened) == 1
    assert not meters.opened[0].closed
    await until(lambda: meters.opened[0].closed)  # it is released when no work comes
    await meters.sessions.run(7, Urgency.SCHEDULE, job)
    assert len(meters.opened) == 2
    await meters.sessions.stop()


@in_loop
async def test_an_urgent_job_overtakes_those_that_wait() -> None:
    meters = Meters()
    order: list[str] = []
    gate = asyncio.Event()

    async def first(_session: Fake) -> None:
        await gate.wait()

    def named(name: str) -> Callable[[Fake], Awaitable[None]]:
        async def job(_session: Fake) -> None:
            order.append(name)

        return job

    tasks = [asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, first))]
    await asyncio.sleep(0.01)
    for name, urgency in (
        ("gap", Urgency.BACKFILL),
        ("daily", Urgency.SCHEDULE),
        ("watch", Urgency.WATCH),
        ("gap 2", Urgency.BACKFILL),
        ("disconnect", Urgency.COMMAND),
    ):
        tasks.append(asyncio.create_task(meters.sessions.run(1, urgency, named(name))))
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["disconnect", "watch", "daily", "gap", "gap 2"]
    await meters.sessions.stop()


@in_loop
async def test_no_more_jobs_run_at_once_than_there_are_places() -> None:
    meters = Meters(parallel=3)
    inside = most = 0

    async def job(_session: Fake) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await asyncio.sleep(0.001)
        inside -= 1

    runs = [meters.sessions.run(n, Urgency.SCHEDULE, job) for n in range(30)]
    await asyncio.gather(*runs)
    assert most == 3
    await meters.sessions.stop()


@in_loop
async def test_a_free_place_goes_to_the_most_urgent_meter() -> None:
    slots = Slots(1)
    order: list[str] = []
    await slots.acquire(Urgency.SCHEDULE)

    async def want(name: str, urgency: Urgency) -> None:
        await slots.acquire(urgency)
        order.append(name)
        slots.release()

    waiting = [
        asyncio.create_task(want("gap", Urgency.BACKFILL)),
        asyncio.create_task(want("command", Urgency.COMMAND)),
    ]
    given_up = asyncio.create_task(want("never", Urgency.COMMAND))
    await asyncio.sleep(0)
    given_up.cancel()
    await asyncio.sleep(0)
    slots.release()
    await asyncio.gather(*waiting)
    assert order == ["command", "gap"]
    assert slots.free == 1


@in_loop
async def test_an_unusable_association_is_closed_and_opened_anew() -> None:
    meters = Meters()

    async def breaks(session: Fake) -> None:
        session.usable = False
        raise UserError("no answer")

    async def works(session: Fake) -> Fake:
        return session

    with pytest.raises(UserError, match="no answer"):
        await meters.sessions.run(1, Urgency.WATCH, breaks)
    session = await meters.sessions.run(1, Urgency.WATCH, works)
    assert [fake.closed for fake in meters.opened] == [True, False]
    assert session is meters.opened[1]
    assert meters.sessions.failed == 1
    await meters.sessions.stop()


@in_loop
async def test_a_meter_without_a_route_refuses_each_job_for_itself() -> None:
    meters = Meters()
    meters.refuse = True

    async def job(session: Fake) -> int:
        return session.meter_id

    with pytest.raises(UserError, match="no route"):
        await meters.sessions.run(1, Urgency.WATCH, job)
    meters.refuse = False
    assert await meters.sessions.run(1, Urgency.WATCH, job) == 1
    await meters.sessions.stop()


@in_loop
async def test_an_error_of_the_job_itself_reaches_who_asked() -> None:
    meters = Meters()

    async def job(_session: Fake) -> None:
        raise KeyError("a fault of ours")

    with pytest.raises(KeyError, match="a fault of ours"):
        await meters.sessions.run(1, Urgency.WATCH, job)
    await meters.sessions.stop()


@in_loop
async def test_stop_lets_what_runs_end_refuses_what_waits_and_releases_all() -> None:
    meters = Meters(idle_s=60.0)
    gate = asyncio.Event()

    async def slow(_session: Fake) -> str:
        await gate.wait()
        return "done"

    running = asyncio.create_task(meters.sessions.run(1, Urgency.COMMAND, slow))
    await asyncio.sleep(0.01)
    waiting = asyncio.create_task(meters.sessions.run(1, Urgency.COMMAND, slow))
    await asyncio.sleep(0)
    stopping = asyncio.create_task(meters.sessions.stop())
    await asyncio.sleep(0)
    gate.set()
    assert await running == "done"
    with pytest.raises(UserError, match="we stop"):
        await waiting
    await stopping
    assert all(fake.closed for fake in meters.opened)
    with pytest.raises(UserError, match="the head-end stops"):
        await meters.sessions.run(1, Urgency.COMMAND, slow)


@in_loop
async def test_a_job_that_does_not_end_is_cut_by_the_stop() -> None:
    meters = Meters()

    async def endless(_session: Fake) -> None:
        await asyncio.Event().wait()

    running = asyncio.create_task(meters.sessions.run(1, Urgency.COMMAND, endless))
    await asyncio.sleep(0.01)
    await meters.sessions.stop(grace_s=0.01)
    with pytest.raises(UserError, match="cut by the stop"):
        await running


@in_loop
async def test_a_narrow_way_is_not_flooded_and_takes_no_place_from_others() -> None:
    """Meters 0 to 9 share one concentrator, 10 to 19 another, 20 and above are dialled."""
    meters = Meters()
    meters.sessions = Sessions(
        meters.open,
        parallel=6,
        idle_s=0.01,
        groups_of=lambda meter_id: [] if meter_id >= 20 else [(meter_id // 10, 2)],
    )
    inside: Counter[int] = Counter()
    most: Counter[int] = Counter()
    gate = asyncio.Event()

    async def job(session: Fake) -> None:
        group = session.meter_id // 10
        inside[group] += 1
        most[group] = max(most[group], inside[group])
        if group == 0:
            await gate.wait()
        await asyncio.sleep(0)
        inside[group] -= 1

    slow = [asyncio.create_task(meters.sessions.run(n, Urgency.SCHEDULE, job)) for n in range(10)]
    await until(lambda: inside[0] == 2)
    others = [meters.sessions.run(n, Urgency.SCHEDULE, job) for n in range(10, 30)]
    await asyncio.gather(*others)  # though ten wait before the first concentrator
    gate.set()
    await asyncio.gather(*slow)
    assert most[0] == most[1] == 2
    assert 2 < most[2] <= 6
    await meters.sessions.stop()


@in_loop
async def test_an_urgent_command_comes_between_the_pieces_of_a_long_job() -> None:
    meters = Meters()
    order: list[str] = []

    async def piece(_session: Fake) -> None:
        order.append("block")
        await asyncio.sleep(0.002)

    async def disconnect(_session: Fake) -> None:
        await asyncio.sleep(0)
        order.append("disconnect")

    async def firmware() -> None:
        for _ in range(30):
            await meters.sessions.run(1, Urgency.BACKFILL, piece)

    long = asyncio.create_task(firmware())
    await until(lambda: len(order) >= 3)
    await meters.sessions.run(1, Urgency.URGENT, disconnect)
    assert order.index("disconnect") < 30
    await long
    assert order.count("block") == 30
    assert len(meters.opened) == 1  # the association was handed over, not opened anew
    await meters.sessions.stop()


@in_loop
async def test_a_cell_is_narrow_whatever_concentrators_its_meters_hang_on() -> None:
    """Even meters are of one cell; each ten share a concentrator."""
    meters = Meters()

    def ways(meter_id: int) -> list[Group]:
        cell = [("cell", 2)] if meter_id % 2 == 0 else []
        return [*cell, (meter_id // 10, 3)]

    meters.sessions = Sessions(meters.open, parallel=20, idle_s=0.01, groups_of=ways)
    inside: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def job(session: Fake) -> None:
        names = [str(name) for name, _ in ways(session.meter_id)]
        inside.update(names)
        for name in names:
            most[name] = max(most[name], inside[name])
        await asyncio.sleep(0.001)
        inside.subtract(names)

    runs = [meters.sessions.run(n, Urgency.SCHEDULE, job) for n in range(40)]
    await asyncio.gather(*runs)
    assert most["cell"] == 2
    assert all(most[str(n)] == 3 for n in range(4))
    await meters.sessions.stop()


@in_loop
async def test_a_long_job_gives_way_to_more_urgent_work_of_its_meter() -> None:
    meters = Meters()
    order: list[str] = []
    begun = asyncio.Event()

    async def long(session: Fake) -> None:
        for _ in range(3):
            order.append("block")
            begun.set()
            await asyncio.sleep(0.01)
            await meters.sessions.give_way(session.meter_id, Urgency.BACKFILL)

    def named(name: str) -> Callable[[Fake], Awaitable[None]]:
        async def job(session: Fake) -> None:
            await asyncio.sleep(0)
            assert not session.closed
            order.append(name)

        return job

    running = asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, long))
    await begun.wait()
    equal = asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, named("equal")))
    await meters.sessions.run(1, Urgency.URGENT, named("disconnect"))
    await asyncio.gather(running, equal)
    assert order == ["block", "disconnect", "block", "block", "equal"]
    assert len(meters.opened) == 1
    await meters.sessions.stop()


@in_loop
async def test_a_long_job_gives_its_place_to_more_urgent_work_of_another_meter() -> None:
    meters = Meters(parallel=1)
    order: list[str] = []
    begun = asyncio.Event()

    async def long(session: Fake) -> None:
        for _ in range(3):
            order.append("block")
            begun.set()
            await asyncio.sleep(0.01)
            await meters.sessions.give_way(session.meter_id, Urgency.BACKFILL)

    async def disconnect(_session: Fake) -> None:
        await asyncio.sleep(0)
        order.append("disconnect")

    running = asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, long))
    await begun.wait()
    await meters.sessions.run(2, Urgency.URGENT, disconnect)
    await running
    assert order == ["block", "disconnect", "block", "block"]
    assert [fake.meter_id for fake in meters.opened] == [1, 2]  # neither was opened anew
    assert meters.sessions._slots.free == 1
    await meters.sessions.stop()


@in_loop
async def test_a_long_job_that_gave_up_its_place_waits_as_the_urgent_job_behind_it() -> None:
    meters = Meters(parallel=1)
    order: list[str] = []
    begun, gate, holds = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def long(session: Fake) -> None:
        begun.set()
        await gate.wait()
        await meters.sessions.give_way(session.meter_id, Urgency.BACKFILL)
        order.append("block")

    async def other(_session: Fake) -> None:
        holds.set()
        gate.clear()
        await gate.wait()

    def run(meter_id: int, urgency: Urgency, name: str) -> "asyncio.Task[None]":
        async def job(_session: Fake) -> None:
            await asyncio.sleep(0)
            order.append(name)

        return asyncio.create_task(meters.sessions.run(meter_id, urgency, job))

    tasks = [asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, long))]
    await begun.wait()
    tasks.append(asyncio.create_task(meters.sessions.run(2, Urgency.COMMAND, other)))
    await asyncio.sleep(0)
    gate.set()
    await holds.wait()  # meter 1 waits in the middle of its job
    tasks += [run(3, Urgency.SCHEDULE, "daily"), run(1, Urgency.URGENT, "disconnect")]
    await asyncio.sleep(0)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["disconnect", "block", "daily"]
    assert meters.sessions._slots.free == 1
    await meters.sessions.stop()


@in_loop
async def test_a_meter_that_waits_for_a_place_becomes_as_urgent_as_its_most_urgent_job() -> None:
    meters = Meters(parallel=1)
    order: list[str] = []
    gate = asyncio.Event()

    async def first(_session: Fake) -> None:
        await gate.wait()

    def named(name: str) -> Callable[[Fake], Awaitable[None]]:
        async def job(_session: Fake) -> None:
            await asyncio.sleep(0)
            order.append(name)

        return job

    def run(meter_id: int, urgency: Urgency, name: str) -> "asyncio.Task[None]":
        return asyncio.create_task(meters.sessions.run(meter_id, urgency, named(name)))

    tasks = [asyncio.create_task(meters.sessions.run(1, Urgency.COMMAND, first))]
    await asyncio.sleep(0.01)
    tasks += [run(2, Urgency.BACKFILL, "gap"), run(3, Urgency.SCHEDULE, "daily")]
    await asyncio.sleep(0.01)  # both wait for the place
    tasks.append(run(2, Urgency.URGENT, "disconnect"))
    await asyncio.sleep(0.01)
    gate.set()
    await asyncio.gather(*tasks)
    assert order == ["disconnect", "daily", "gap"]
    assert meters.sessions._slots.free == 1
    await meters.sessions.stop()


@in_loop
async def test_a_job_that_gave_way_to_one_that_broke_the_association_is_told() -> None:
    meters = Meters()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def long(session: Fake) -> bool:
        begun.set()
        await go_on.wait()
        await meters.sessions.give_way(session.meter_id, Urgency.BACKFILL)
        return session.usable

    async def breaking(session: Fake) -> None:
        await asyncio.sleep(0)
        session.usable = False

    running = asyncio.create_task(meters.sessions.run(1, Urgency.BACKFILL, long))
    await begun.wait()
    urgent = asyncio.create_task(meters.sessions.run(1, Urgency.URGENT, breaking))
    await asyncio.sleep(0)
    go_on.set()
    await urgent
    assert await running is False
    assert await meters.sessions.run(1, Urgency.COMMAND, named_id) == 1
    assert [fake.closed for fake in meters.opened] == [True, False]
    await meters.sessions.stop()


async def named_id(session: Fake) -> int:
    await asyncio.sleep(0)
    return session.meter_id
