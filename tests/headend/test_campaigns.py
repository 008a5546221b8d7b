# SPDX-License-Identifier: Apache-2.0
"""Firmware campaigns over a real chain: waves, canaries, stop rules, resume, hand-over, caps."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chain import NOW, Chain, TestMeter, running_chain, until
from headend.updatable import BLOCKS, FIRST, UpdatableMeter, add_release, make_updatable
from loops import in_loop
from openami.cosem.classes.measurement import Data
from openami.cosem.model import InterfaceClass
from openami.dlms.data import VisibleString
from openami.exchange.campaign import Act, CampaignState, MeterState, Reason
from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.events import EventCode
from openami.exchange.waves import Plan, Share, StopRules, Tries, Window
from openami.headend.sessions import Urgency
from openami.meter.objects import FIRMWARE
from openami.runtime.errors import UserError
from openami.store import campaign_meters, campaigns, commands, releases
from openami.store.campaign_meters import Target

QUICK: Final = Plan(
    waves=(Share(count=1),),
    soak_s=0.1,
    silence_s=60.0,
    tries=Tries(first_s=0.05, most_s=0.1, attempts_most=4),
)
OLD: Final = "openami 1.0.0+0"
NEW: Final = "openami 1.1.0+0"
S: Final = MeterState


@asynccontextmanager
async def updatable(
    folder: Path, meters: int = 3
) -> AsyncIterator[tuple[Chain, dict[int, UpdatableMeter]]]:
    async with running_chain(folder, meters) as chain:
        made = make_updatable(chain)
        for meter in made.values():
            meter.url = chain.meters_url
        yield chain, made


def planned(chain: Chain, plan: Plan = QUICK, octets: bytes | None = None) -> str:
    release = add_release(chain.engine) if octets is None else add_release(chain.engine, octets)
    campaign_id, _ = campaigns.plan_campaign(
        chain.engine,
        name="spring",
        release_id=release.release_id,
        meter_ids=list(chain.meters),
        plan=plan,
        asked_by="ada",
        reason="test",
    )
    return campaign_id


def started(chain: Chain, plan: Plan = QUICK) -> str:
    campaign_id = planned(chain, plan)
    do(chain, campaign_id, Act.START)
    return campaign_id


def do(chain: Chain, campaign_id: str, act: Act) -> None:
    campaigns.act(chain.engine, campaign_id, act, by="ada", reason="test")


def state_of(chain: Chain, campaign_id: str) -> CampaignState:
    return campaigns.campaign(chain.engine, campaign_id).state


def target(chain: Chain, campaign_id: str, meter_id: int) -> Target:
    found = campaign_meters.targets(chain.engine, campaign_id)
    return next(each for each in found if each.meter_id == meter_id)


async def stands(chain: Chain, campaign_id: str, meter_id: int, *states: MeterState) -> Target:
    await until(lambda: target(chain, campaign_id, meter_id).state in states, chain.running_headend)
    return target(chain, campaign_id, meter_id)


async def comes_to(chain: Chain, campaign_id: str, state: CampaignState) -> None:
    await until(lambda: state_of(chain, campaign_id) is state, chain.running_headend)


@in_loop
async def test_a_canary_then_the_others_each_proven_by_what_it_runs(tmp_path: Path) -> None:
    async with updatable(tmp_path) as (chain, made):
        await chain.attach()
        campaign_id = started(chain)
        await comes_to(chain, campaign_id, CampaignState.DONE)
        for number, meter in made.items():
            found = target(chain, campaign_id, number)
            assert (found.state, found.wave) == (S.CONFIRMED, 0 if number == 1 else 1)
            assert (found.version_before, found.version_after) == (OLD, NEW)
            assert meter.version == NEW
            assert sorted(meter.came) == list(range(BLOCKS))  # each block once
            assert (found.blocks_sent, found.blocks) == (BLOCKS, BLOCKS)
            assert (
                found.octets_sent
                == releases.release(
                    chain.engine, campaigns.campaign(chain.engine, campaign_id).release_id
                ).size
            )
            said = releases.firmware(chain.engine, number)
            assert said is not None
            assert said.version == NEW
        first, *others = (target(chain, campaign_id, number) for number in made)
        assert all(first.changed_real_us <= (other.began_real_us or 0) for other in others)
        steps = [(s.state.value, s.wave) for s in campaigns.history(chain.engine, campaign_id)]
        assert steps == [("planned", -1), ("running", 0), ("running", 1), ("done", 1)]
        assert not chain.headend.campaigns._places  # nothing is kept of what is over
        assert not chain.headend.campaigns._carrying


@in_loop
async def test_an_image_that_is_reverted_stops_at_the_canary(tmp_path: Path) -> None:
    async with updatable(tmp_path) as (chain, made):
        for meter in made.values():
            meter.healthy = False
        await chain.attach()
        campaign_id = started(chain)
        await comes_to(chain, campaign_id, CampaignState.STOPPED)
        found = target(chain, campaign_id, 1)
        assert (found.state, found.version_after) == (S.REVERTED, OLD)
        assert "1 meter reverted, 0 allowed" in campaigns.campaign(chain.engine, campaign_id).note
        await asyncio.sleep(0.3)
        assert made[2].came == made[3].came == []
        # A person may go on: what was seen does not stop it again; what comes does.
        made[2].healthy = made[3].healthy = True
        do(chain, campaign_id, Act.RESUME)
        await comes_to(chain, campaign_id, CampaignState.DONE)
        assert [target(chain, campaign_id, n).state for n in made] == [
            S.REVERTED,
            S.CONFIRMED,
            S.CONFIRMED,
        ]


@in_loop
async def test_a_command_is_served_between_two_blocks_and_the_transfer_goes_on(
    tmp_path: Path,
) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        await chain.attach()
        campaign_id = started(chain)
        made[1].receiver.on_block = lambda count: made[1].hold() if count == 3 else None
        await until(lambda: len(made[1].came) >= 3)
        asked = commands.ask(
            chain.engine,
            meter_id=1,
            kind=CommandKind.DISCONNECT,
            asked_by="ada",
            reason="now",
        )
        moved_at: list[int] = []
        real = made[1].switch.move

        def move(state: object) -> None:
            moved_at.append(len(made[1].came))
            real(state)  # type: ignore[arg-type]

        made[1].switch.move = move  # type: ignore[method-assign]
        await until(lambda: chain.headend.sessions.outranked(1, Urgency.UPDATE))
        made[1].go_on()
        await until(lambda: commands.command(chain.engine, asked).state is CommandState.CONFIRMED)
        assert moved_at
        assert moved_at[0] < BLOCKS  # while blocks were still missing
        await comes_to(chain, campaign_id, CampaignState.DONE)
        assert sorted(made[1].came) == list(range(BLOCKS))


@in_loop
async def test_a_meter_that_restarts_in_the_middle_gets_only_what_it_lacks(
    tmp_path: Path,
) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        await chain.attach()
        campaign_id = started(chain)
        for least in (4, 11):
            await until(lambda least=least: len(made[1].came) >= least)  # type: ignore[misc]
            await made[1].restart()
        await comes_to(chain, campaign_id, CampaignState.DONE)
        # A block whose answer was cut off may come once more; no other does.
        assert len(made[1].came) <= BLOCKS + 2
        assert set(made[1].came) == set(range(BLOCKS))
        assert made[1].version == NEW


@in_loop
async def test_another_transfer_that_came_in_between_is_noticed(tmp_path: Path) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        await chain.attach()
        campaign_id = started(chain)
        await until(lambda: len(made[1].came) >= 5)
        do(chain, campaign_id, Act.PAUSE)
        await until(lambda: chain.headend.campaigns.work.under_way == 0)
        receiver = made[1].receiver
        receiver.status = type(receiver.status).NOT_INITIATED  # as after somebody's reset
        do(chain, campaign_id, Act.RESUME)
        await comes_to(chain, campaign_id, CampaignState.DONE)
        assert target(chain, campaign_id, 1).initiated == 2
        assert made[1].version == NEW


@in_loop
async def test_a_paused_campaign_sends_nothing_and_a_cancelled_one_never_will(
    tmp_path: Path,
) -> None:
    async with updatable(tmp_path) as (chain, made):
        await chain.attach()
        campaign_id = started(chain)
        await until(lambda: len(made[1].came) >= 3)
        do(chain, campaign_id, Act.PAUSE)
        await until(lambda: chain.headend.campaigns.work.under_way == 0)
        there = len(made[1].came)
        assert there < BLOCKS
        await asyncio.sleep(0.3)
        assert len(made[1].came) == there
        do(chain, campaign_id, Act.CANCEL)
        assert {
            (each.state, each.reason) for each in campaign_meters.targets(chain.engine, campaign_id)
        } == {(S.SKIPPED, Reason.CANCELLED.value)}
        again = started(chain)  # the meters are free for another campaign
        await comes_to(chain, again, CampaignState.DONE)
        assert sorted(made[1].came) == list(range(BLOCKS))  # what came before was not sent again


@in_loop
async def test_a_meter_that_nobody_reaches_ends_with_a_reason(tmp_path: Path) -> None:
    async with updatable(tmp_path, 2) as (chain, _):
        await chain.attach(2)
        campaign_id = started(chain)
        await comes_to(chain, campaign_id, CampaignState.DONE)
        found = target(chain, campaign_id, 1)
        assert (found.state, found.reason) == (S.FAILED, Reason.UNREACHABLE.value)
        assert "after 4 attempts" in found.note
        assert "no route" in found.note
        assert target(chain, campaign_id, 2).state is S.CONFIRMED


@in_loop
async def test_a_meter_that_takes_no_block_ends_with_a_reason(tmp_path: Path) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        made[1].receiver.refuse_block = True
        await chain.attach()
        campaign_id = started(chain)
        await comes_to(chain, campaign_id, CampaignState.STOPPED)
        found = target(chain, campaign_id, 1)
        assert (found.state, found.reason) == (S.FAILED, Reason.ATTEMPTS.value)


@in_loop
async def test_a_meter_that_forgets_its_blocks_for_ever_costs_so_much_and_no_more(
    tmp_path: Path,
) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        await chain.attach()
        campaign_id = started(chain, replace(QUICK, rules=StopRules(failed_percent=100)))

        async def forget() -> None:
            receiver, kinds = made[1].receiver, type(made[1].receiver.status)
            while True:
                await asyncio.sleep(0)
                if receiver.status is kinds.INITIATED and receiver.first_missing > BLOCKS // 2:
                    receiver.status = kinds.NOT_INITIATED

        task = asyncio.create_task(forget())
        found = await stands(chain, campaign_id, 1, S.FAILED)
        task.cancel()
        assert found.reason == Reason.OCTETS.value
        assert len(made[1].came) <= 3 * BLOCKS + 2


@in_loop
async def test_silence_after_an_activation_is_in_doubt_and_stops(tmp_path: Path) -> None:
    async with updatable(tmp_path) as (chain, made):
        made[1].deaf_after_activation = True
        await chain.attach()
        campaign_id = started(chain, replace(QUICK, silence_s=0.5))
        found = await stands(chain, campaign_id, 1, S.IN_DOUBT)
        assert "neither proven done nor not done" in found.note
        await comes_to(chain, campaign_id, CampaignState.STOPPED)
        assert made[2].came == []
        # It comes back, and says what it runs: also of a campaign that is stopped.
        made[1].deaf_after_activation = False
        await made[1].restart()
        found = await stands(chain, campaign_id, 1, S.CONFIRMED)
        assert found.version_after == NEW


@in_loop
async def test_an_alarm_after_the_activation_stops(tmp_path: Path) -> None:
    async with updatable(tmp_path) as (chain, made):
        made[1].logs = EventCode.STATE_RESTORED
        await chain.attach()
        campaign_id = started(chain, replace(QUICK, soak_s=60.0))
        await comes_to(chain, campaign_id, CampaignState.STOPPED)
        assert "with an alarm" in campaigns.campaign(chain.engine, campaign_id).note


@in_loop
async def test_meters_that_run_it_or_what_it_may_not_follow_are_skipped(tmp_path: Path) -> None:
    async with updatable(tmp_path, 2) as (chain, made):
        await chain.attach()
        first = planned(chain, QUICK, FIRST)
        do(chain, first, Act.START)
        await comes_to(chain, first, CampaignState.DONE)
        assert target(chain, first, 1).reason == Reason.RUNS_ALREADY.value
        other = started(chain, replace(QUICK, from_versions=("openami 0.9.0+0",)))
        await comes_to(chain, other, CampaignState.DONE)
        assert target(chain, other, 2).reason == Reason.OTHER_VERSION.value
        assert made[1].came == made[2].came == []


class Showing(TestMeter):
    """Shows its firmware, as a fleet's meter does, and takes no other."""

    __test__ = False

    def _objects(self) -> Iterator[InterfaceClass]:
        yield from super()._objects()
        yield Data(FIRMWARE, value=VisibleString(OLD))


@in_loop
async def test_meters_that_have_no_image_transfer_are_skipped_at_once(tmp_path: Path) -> None:
    async with running_chain(tmp_path, 2) as chain:
        chain.meters[2] = Showing(chain.layout, 2)
        await chain.attach()
        campaign_id = started(chain)
        await comes_to(chain, campaign_id, CampaignState.DONE)
        for number, lacks in ((1, "1.0.0.2.0.255"), (2, "0.0.44.0.0.255")):
            found = target(chain, campaign_id, number)
            assert (found.state, found.reason) == (S.SKIPPED, Reason.NO_OBJECT.value)
            assert lacks in found.note


@in_loop
async def test_blocks_only_in_the_window_and_a_start_only_at_its_hour(tmp_path: Path) -> None:
    async with updatable(tmp_path, 1) as (chain, made):
        await chain.attach()
        zone = chain.headend.campaigns._hours.zone
        local = NOW.astimezone(zone)  # 00:00 UTC of some day
        shut = Window((local.hour + 2) * 3600, (local.hour + 4) * 3600)
        plan = replace(QUICK, window=shut, activate_s=(local.hour + 5) * 3600)
        campaign_id = started(chain, plan)
        await asyncio.sleep(0.3)
        assert target(chain, campaign_id, 1).state is S.PLANNED
        chain.now = NOW.replace(hour=NOW.hour + 3)
        await stands(chain, campaign_id, 1, S.VERIFIED)
        await asyncio.sleep(0.3)
        assert made[1].version == OLD
        chain.now = NOW.replace(hour=NOW.hour + 5)
        await stands(chain, campaign_id, 1, S.CONFIRMED)


@in_loop
async def test_a_meter_is_in_one_campaign_at_a_time(tmp_path: Path) -> None:
    async with updatable(tmp_path, 2) as (chain, _):
        planned(chain)
        with pytest.raises(UserError, match="no meter is left"):
            planned(chain)
