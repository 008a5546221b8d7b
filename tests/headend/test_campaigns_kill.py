# SPDX-License-Identifier: Apache-2.0
"""kill -9 of head-ends in the middle of transfers: what a meter has is never sent to it again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from chain import until
from headend.test_workers import LEASE_S, Workers
from headend.updatable import UpdatableMeter, add_release, image
from loops import in_loop
from openami.exchange.campaign import Act, CampaignState, MeterState
from openami.exchange.waves import Plan, Share, Tries
from openami.store import broadcasts, campaign_meters, campaigns
from openami.store.broadcasts import GroupState
from openami.store.campaign_meters import Target
from postgres import Postgres, running_server

pytestmark = pytest.mark.faults

BIG: Final = image(1, 150_000)
BLOCKS: Final = -(-len(BIG) // 1024)
KILLED_AT: Final = (20, 70, 120)
PLAN: Final = Plan(
    waves=(Share(count=1),),
    soak_s=0.1,
    silence_s=60.0,
    tries=Tries(first_s=0.2, most_s=1.0, attempts_most=100),
)
SETTINGS: Final = """
[campaigns]
look_s = 0.1
flush_s = 0.2
ask_s = 0.2
later_s = 0.2
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_server() as running:
        yield running


def workers_of(folder: Path, database: str, names: tuple[str, ...]) -> Workers:
    """Make head-ends that are going to bring firmware to meters with two banks."""
    made = Workers(folder, database, names)
    config = made.layout.headend / "config.toml"
    config.write_text(config.read_text(encoding="utf-8") + SETTINGS, encoding="utf-8")
    made.meters = [UpdatableMeter(made.layout, each.meter_id) for each in made.meters]
    return made


def started(engine: Engine, meters: int, plan: Plan = PLAN) -> str:
    campaign_id, _ = campaigns.plan_campaign(
        engine,
        name="spring",
        release_id=add_release(engine, BIG).release_id,
        meter_ids=range(1, meters + 1),
        plan=plan,
        asked_by="ada",
        reason="test",
    )
    campaigns.act(engine, campaign_id, Act.START, by="ada", reason="test")
    return campaign_id


def targets(engine: Engine, campaign_id: str) -> list[Target]:
    return campaign_meters.targets(engine, campaign_id)


def updatable(made: Workers) -> list[UpdatableMeter]:
    return [each for each in made.meters if isinstance(each, UpdatableMeter)]


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param(False, id="one head-end", marks=pytest.mark.long),
        pytest.param(True, id="two over PostgreSQL"),
    ],
)
def test_a_killed_head_end_sends_only_what_is_missing(
    tmp_path: Path, server: Postgres, *, shared: bool
) -> None:
    names = ("east", "west") if shared else ("east",)
    database = server.new_database() if shared else f"sqlite:///{tmp_path}/store.db"
    made = workers_of(tmp_path, database, names)
    assert LEASE_S <= 2.0

    @in_loop
    async def test() -> None:
        canary, *others = updatable(made)
        async with made.running():
            await made.come_up()
            await until(lambda: made.worker_of(canary.meter_id) != "")
            killed: list[str] = []

            def kill(count: int) -> None:
                if count in KILLED_AT:
                    killed.append(made.worker_of(canary.meter_id))
                    made.workers[killed[-1]].kill()

            canary.receiver.on_block = kill
            campaign_id = started(made.engine, len(made.meters))
            for count in KILLED_AT:
                await until(lambda: bool(killed), timeout_s=120.0)
                name = killed.pop()
                assert len(canary.came) >= count  # the other head-end may be at work already
                await made.start_again(name)
            await until(
                lambda: campaigns.campaign(made.engine, campaign_id).state is CampaignState.DONE,
                timeout_s=120.0,
            )
            found = targets(made.engine, campaign_id)
            assert {each.state for each in found} == {MeterState.CONFIRMED}
            assert {each.initiated for each in found} == {1}
            # The block that was under way at a kill may come twice, and no other.
            assert set(canary.came) == set(range(BLOCKS))
            assert len(canary.came) <= BLOCKS + len(KILLED_AT)
            for meter in others:
                assert sorted(meter.came) == list(range(BLOCKS))
            assert {meter.version for meter in (canary, *others)} == {"openami 1.1.0+0"}
            steps = [step.state.value for step in campaigns.history(made.engine, campaign_id)]
            assert steps == ["planned", "running", "running", "done"]  # each wave opened once

    try:
        test()
    finally:
        made.close()


@pytest.mark.long
def test_a_killed_head_end_goes_on_with_its_broadcast(tmp_path: Path) -> None:
    made = workers_of(tmp_path, f"sqlite:///{tmp_path}/store.db", ("east",))
    plan = replace(PLAN, waves=(Share(percent=100),), broadcast=1)
    killed_at = (40, 100)

    @in_loop
    async def test() -> None:
        first, *others = updatable(made)
        async with made.running():
            await made.come_up()
            killed: list[int] = []

            def kill(count: int) -> None:
                if len(killed) < len(killed_at) and count >= killed_at[len(killed)]:
                    killed.append(count)
                    made.workers["east"].kill()

            first.receiver.on_block = kill
            campaign_id = started(made.engine, len(made.meters), plan)
            for number in range(1, len(killed_at) + 1):
                await until(lambda number=number: len(killed) >= number, timeout_s=120.0)  # type: ignore[misc]
                await made.start_again("east")
            await until(
                lambda: campaigns.campaign(made.engine, campaign_id).state is CampaignState.DONE,
                timeout_s=120.0,
            )
            found = targets(made.engine, campaign_id)
            assert {each.state for each in found} == {MeterState.CONFIRMED}
            assert {each.initiated for each in found} == {1}
            for meter in (first, *others):
                assert set(meter.came) == set(range(BLOCKS))
                assert meter.version == "openami 1.1.0+0"
            runs = broadcasts.runs_of(made.engine, campaign_id)
            assert {run.state for run in runs} == {GroupState.DONE}
            # What was said since the last note is said again, and is noted once.
            assert {run.blocks_sent for run in runs} == {BLOCKS}
            for each in found:
                assert each.blocks_heard + each.blocks_sent == BLOCKS

    try:
        test()
    finally:
        made.close()
