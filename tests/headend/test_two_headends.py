# SPDX-License-Identifier: Apache-2.0
"""Two head-ends over one PostgreSQL: blocks for many, and alarms, whoever has the uplink."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import update

from chain import NOW, Chain, Running, until
from headend.test_campaigns import NEW, planned, target
from headend.test_campaigns_broadcast import TOGETHER, UNTIRING
from headend.test_workers import Balancer
from headend.updatable import BLOCKS, UpdatableMeter, make_updatable
from loops import in_loop
from openami.exchange.campaign import Act, CampaignState
from openami.exchange.events import EventCode
from openami.headend.associations import MeterSession
from openami.headend.config import HeadEndConfig
from openami.headend.process import HeadEnd
from openami.headend.reading import read_control_state
from openami.headend.sessions import Urgency
from openami.runtime.clock import to_us
from openami.runtime.errors import UserError
from openami.store import alarms, broadcasts, campaigns, registry
from openami.store.broadcasts import GroupState, Listens, Run
from openami.store.campaigns import Campaign
from openami.store.database import open_database, transaction
from openami.store.leases import Kind, LostLeaseError, store_now_us
from openami.store.tables import leases
from ports import free_ports
from postgres import Postgres, running_server

pytestmark = pytest.mark.faults

LEASE_S: Final = 60.0  # no lease runs out by itself, however slow the machine is
PLAN: Final = replace(TOGETHER, broadcast=1, tries=UNTIRING)
PATIENCE_S: Final = 200.0
CELL: Final = "north 1"
FIELD: Final = 2  # bit of the magnetic field


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_server() as running:
        yield running


class Pair(Chain):
    """A chain with two head-ends in this loop; `headend` is the one that has the uplink first."""

    def __init__(self, folder: Path, database: str) -> None:
        super().__init__(folder)
        self.database = database
        self._engine = open_database(database, create=True)
        self.name = "east"
        self.patience_s = 300.0
        self.sessions = replace(self.sessions, answer_timeout_s=PATIENCE_S)
        self.other: HeadEnd
        self.running_other: Running

    def headend_config(self) -> HeadEndConfig:
        whole = super().headend_config()
        return replace(
            whole,
            database=self.database,
            worker=replace(whole.worker, name=self.name, lease_s=LEASE_S),
            campaigns=replace(whole.campaigns, broadcast_wait_s=self.patience_s),
        )

    def swap(self) -> None:
        """Look at the other head-end as the chain's."""
        self.headend, self.other = self.other, self.headend
        self.running_headend, self.running_other = self.running_other, self.running_headend


@asynccontextmanager
async def pair(
    folder: Path, database: str
) -> AsyncIterator[tuple[Pair, Balancer, dict[int, UpdatableMeter]]]:
    """Start the second head-end, the first, a balancer before the first, and a concentrator."""
    chain = Pair(folder, database)
    made = make_updatable(chain)
    chain.name, chain.patience_s = "west", 0.05  # it soon thinks that a concentrator is late
    await chain.start_headend()
    chain.other, chain.running_other = chain.headend, chain.running_headend
    any_port = replace(chain.uplink_url, port=0)
    chain.uplink_url, chain.name, chain.patience_s = any_port, "east", 300.0
    await chain.start_headend()
    assert chain.uplink_url.port is not None
    balancer = Balancer([chain.uplink_url.port])
    (port,) = free_ports(1)
    async with balancer.listening(port):
        chain.uplink_url = replace(chain.uplink_url, port=port)
        await chain.start_concentrator()
        try:
            await until(lambda: chain.concentrator.uplink.is_up, chain.running_concentrator)
            for meter in made.values():
                meter.url = chain.meters_url
            yield chain, balancer, made
        finally:
            for meter in made.values():
                if meter.wire is not None:
                    meter.wire.close()
            await chain.concentrator_ends()
            await chain.running_other.end()
            if not chain.running_headend.task.done():
                await chain.headend_ends()
            chain.close()


def watched(headend: HeadEnd) -> list[bool]:
    """Return what will say of each broadcast that a head-end took up whether it was late."""
    looks: list[bool] = []
    broadcasting = headend.campaigns.broadcasting
    look = broadcasting._try

    async def seen(one: Run, campaign: Campaign, *, late: bool) -> None:
        await look(one, campaign, late=late)
        looks.append(late)

    broadcasting._try = seen  # type: ignore[method-assign]
    return looks


class Gate:
    """Holds the blocks of a head-end back after so many, until it is let go."""

    def __init__(self, headend: HeadEnd, after: int) -> None:
        self.waits = False
        self._after, self._open = after, asyncio.Event()
        order = headend.uplinks.order

        async def gated(concentrator: bytes, encode: Callable[[int], bytes], wait_s: float) -> None:
            if headend.campaigns.broadcasting.blocks == self._after:
                self.waits = True
                await self._open.wait()
            await order(concentrator, encode, wait_s)

        headend.uplinks.order = gated  # type: ignore[method-assign]

    def go(self, after: int) -> None:
        """Let blocks go until there are so many."""
        self.waits = False
        opened, self._open = self._open, asyncio.Event()
        self._after = after
        opened.set()


def holds_broadcast(headend: HeadEnd) -> bool:
    return any(lease.kind is Kind.BROADCAST for lease in headend.holdings._ends)


def hand_over(chain: Pair, group_id: int, holder: str, seconds: float) -> None:
    """Give the lease of a broadcast to somebody, as if it had run out before."""
    wanted = (leases.c.kind == Kind.BROADCAST.value) & (leases.c.item == str(group_id))
    with transaction(chain.engine) as connection:
        until_us = store_now_us(connection) + round(seconds * 1e6)
        values = {"holder": holder, "fence": leases.c.fence + 1, "until_real_us": until_us}
        connection.execute(update(leases).where(wanted).values(values))


def run_out(chain: Pair, holder: str) -> None:
    """Let all leases of a head-end run out."""
    with transaction(chain.engine) as connection:
        mine = leases.c.holder.startswith(holder)
        connection.execute(update(leases).where(mine).values(until_real_us=0))


@in_loop
async def test_a_broadcast_and_alarms_go_on_with_the_other_head_end(
    tmp_path: Path, server: Postgres
) -> None:
    async with pair(tmp_path, server.new_database()) as (chain, balancer, made):
        await chain.attach()
        campaign_id = planned(chain, PLAN)

        # One meter keeps the others waiting, and the head-end without the uplink grows impatient.
        impatient, looks = watched(chain.other), watched(chain.headend)
        made[3].hold()
        campaigns.act(chain.engine, campaign_id, Act.START, by="ada", reason="test")
        await until(lambda: True in impatient, chain.running_headend, PATIENCE_S)
        (run,) = broadcasts.runs_of(chain.engine, campaign_id)
        assert (run.state, run.note) == (GroupState.GATHERING, "")
        assert target(chain, campaign_id, 3).listens == Listens.NOT_YET

        # An alarm comes while blocks go out.
        first = chain.headend.campaigns.broadcasting
        gate = Gate(chain.headend, after=3)
        made[3].go_on()
        await until(lambda: gate.waits, chain.running_headend, PATIENCE_S)
        made[2].alarms.event(EventCode.STRONG_FIELD, to_us(NOW) // 10**6)
        (told,) = made[2].outbox.values()
        await until(lambda: bool(alarms.of(chain.engine, 2)), chain.running_headend)

        # The lease is lost in the middle: the block under way is the last until it is free again.
        hand_over(chain, run.group_id, "stranger/1", 600.0)
        gate.go(after=8)
        await until(lambda: not holds_broadcast(chain.headend), chain.running_headend)
        seen = len(looks)
        await until(lambda: len(looks) >= seen + 2, chain.running_headend)
        assert first.blocks == 4
        hand_over(chain, run.group_id, "stranger/1", 0.0)
        await until(lambda: gate.waits, chain.running_headend, PATIENCE_S)

        # The head-end is gone without giving anything back; the concentrator finds the other.
        async def keeps(*_: object) -> None:
            """Give no lease back, as somebody who was killed."""

        chain.headend.holdings.give_back = keeps  # type: ignore[method-assign, assignment]
        assert chain.other.listener is not None
        assert chain.other.listener.url.port is not None
        balancer.ports[:] = [chain.other.listener.url.port]
        await chain.headend_ends()
        run_out(chain, "east/")
        chain.swap()
        await until(
            lambda: campaigns.campaign(chain.engine, campaign_id).state is CampaignState.DONE,
            chain.running_headend,
            PATIENCE_S,
        )
        (run,) = broadcasts.runs_of(chain.engine, campaign_id)
        second = chain.headend.campaigns.broadcasting
        assert run.blocks_sent == BLOCKS
        # What was said when the lease was lost is not known to have been, and said once more.
        assert (first.blocks, second.blocks) == (8, BLOCKS - 7)
        assert {meter.version for meter in made.values()} == {NEW}
        for number in made:
            found = target(chain, campaign_id, number)
            assert (found.blocks_heard, found.blocks_sent) == (BLOCKS, 0)

        # What the first had stored is known to the second: one alarm, one event.
        repeated = chain.headend.notifications.repeated
        assert made[2].wire is not None
        made[2].wire.send(1, 64, told)
        await until(lambda: chain.repeated(repeated + 1), chain.running_headend)
        codes = [each.code for each in registry.events(chain.engine, meter_id=2)]
        assert codes.count(EventCode.STRONG_FIELD) == 1
        (alarm,) = alarms.of(chain.engine, 2)
        assert (alarm.bit, alarm.state) == (FIELD, "standing")


@in_loop
async def test_a_cell_has_one_place_for_both_and_who_lost_it_says_nothing_more(
    tmp_path: Path, server: Postgres
) -> None:
    chain = Pair(tmp_path, server.new_database())
    chain.sessions, chain.name = replace(chain.sessions, cell_parallel=1), "west"
    await chain.start_headend()
    west, chain.running_other = chain.headend, chain.running_headend
    await until(lambda: west.cells.alone, chain.running_other)
    chain.uplink_url, chain.name = replace(chain.uplink_url, port=0), "east"
    await chain.start_headend()
    east = chain.headend
    registry.set_cells(chain.engine, dict.fromkeys(chain.meters, CELL))
    for each in (west, east):
        each.directory.refresh()
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def job(session: MeterSession) -> int:
        begun.set()
        await go_on.wait()
        go_on.clear()
        return int(await read_control_state(session))

    await chain.start_concentrator()
    try:
        await chain.attach()
        running = asyncio.create_task(east.sessions.run(1, Urgency.SCHEDULE, job))
        west.cells._company_s = 0.0  # as if its lease were to be renewed
        west.cells._stirred.set()
        await begun.wait()
        waits = asyncio.create_task(west.sessions.run(2, Urgency.URGENT, job))
        await until(lambda: east.cells.of(CELL).ahead is not None, chain.running_headend)
        assert east.sessions.outranked(1, Urgency.SCHEDULE)
        go_on.set()
        assert await running == 1
        with pytest.raises(UserError, match="not attached"):  # it had its turn
            await waits

        running = asyncio.create_task(east.sessions.run(3, Urgency.SCHEDULE, job))
        await until(lambda: bool(east.cells.of(CELL).running), chain.running_headend)
        await until(lambda: east.sessions.active > 0, chain.running_headend)
        (place,) = east.cells.of(CELL).running
        assert place.lease is not None
        east.holdings.drop([place.lease])
        go_on.set()
        with pytest.raises(LostLeaseError, match="meter 3 lost its place in its cell"):
            await running
    finally:
        for meter in chain.meters.values():
            if meter.wire is not None:
                meter.wire.close()
        await chain.concentrator_ends()
        await chain.running_other.end()
        await chain.headend_ends()
        chain.close()
