# SPDX-License-Identifier: Apache-2.0
"""Campaigns whose blocks go to the meters of a line together, and what these lack to each alone."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import pytest

from chain import CONCENTRATOR, Chain, until
from cli.runs import Run
from concentrator.lines.sharedline import Drop, SharedLine
from concentrator.lines.test_service import FIRST, all_found, chain_with_line
from headend.test_campaigns import NEW, QUICK, do, planned, state_of, target
from headend.updatable import (
    BLOCK_OCTETS,
    BLOCKS,
    SECOND,
    UpdatableMeter,
    add_release,
    image,
    make_updatable,
)
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.cosem.asking.image import unconfirmed_block
from openami.cosem.server import ServerConnection
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.reader import FrameReader
from openami.dlms.sap import ALL_STATION
from openami.dlms.security.broadcast import GroupKeys, seal_broadcast
from openami.dlms.security.counters import InvocationCounter
from openami.exchange.campaign import Act, CampaignState, MeterState
from openami.exchange.orders import Broadcast, encode_broadcast
from openami.exchange.uplink import BROADCAST_CLIENT
from openami.exchange.waves import Plan, PlanError, Share, Tries
from openami.headend.broadcasting import COUNTERS
from openami.headend.campaign_report import Report, report
from openami.headend.config import HeadEndConfig
from openami.lifecycle.plan import HEAD_END_TITLE
from openami.store import broadcasts, campaigns, group_changes
from openami.store.broadcasts import GroupState, Listens

TOGETHER: Final = replace(QUICK, waves=(Share(percent=100),), per_concentrator=8, broadcast=2)
UNTIRING: Final = Tries(first_s=0.05, most_s=0.1, attempts_most=10_000)
BAUD: Final = 460_800  # the line gives the pace, and these tests little time
S: Final = MeterState


@asynccontextmanager
async def street(
    folder: Path,
    meters: int = 3,
    on_line: int | None = None,
    prepare: Callable[[Chain], None] = lambda _chain: None,
) -> AsyncIterator[tuple[Chain, SharedLine, dict[int, UpdatableMeter]]]:
    """Start a chain whose meters can be updated, the first `on_line` of them on one line."""
    made: dict[int, UpdatableMeter] = {}

    def make(chain: Chain) -> None:
        made.update(make_updatable(chain))
        prepare(chain)

    async with chain_with_line(
        folder, meters, on_line=on_line, prepare=make, baud=BAUD, poll_events_s=0.0
    ) as (chain, shared):
        for number, meter in made.items():
            online = shared.online.get(FIRST + number - 1)
            if online is None:
                meter.url = chain.meters_url
                await chain.attach(number)
            else:
                meter.replug = partial(_restarted, online, meter)
        await all_found(chain)
        yield chain, shared, made


def _restarted(online: object, meter: UpdatableMeter) -> None:
    online.server = ServerConnection(meter.device, entropy=os.urandom)  # type: ignore[attr-defined]


def begin(chain: Chain, plan: Plan = TOGETHER) -> str:
    campaign_id = planned(chain, plan)
    do(chain, campaign_id, Act.START)
    return campaign_id


async def done(chain: Chain, campaign_id: str) -> Report:
    await until(
        lambda: state_of(chain, campaign_id) is not CampaignState.RUNNING, chain.running_headend
    )
    assert state_of(chain, campaign_id) is CampaignState.DONE
    return report(chain.engine, campaign_id)


def lossy(drop: Drop, loses: Callable[[Frame], bool]) -> None:
    """Let a meter miss frames."""
    hear = drop.octets

    def octets(octets: bytes) -> None:
        found = [each for each in FrameReader().feed(octets) if isinstance(each, Frame)]
        hear(b"".join(each.encode() for each in found if not loses(each)))

    drop.octets = octets  # type: ignore[method-assign]


def group_of(chain: Chain) -> tuple[GroupKeys, broadcasts.Group]:
    (found,) = broadcasts.known_groups(chain.engine)
    unwrap = chain.headend.campaigns.broadcasting._custody.unwrap
    keys = GroupKeys(
        encryption=unwrap(found.encryption), authentication=unwrap(found.authentication)
    )
    return keys, found


@in_loop
async def test_blocks_go_to_all_together_and_gaps_to_each_alone(tmp_path: Path) -> None:
    async with street(tmp_path) as (chain, shared, made):
        draw = Random(1)
        lossy(shared.drops[FIRST], lambda frame: frame.destination.is_all and draw.random() < 0.1)
        told = await done(chain, begin(chain))

        assert told["broadcast"]["blocks"] == 2 * BLOCKS
        assert told["broadcast"]["groups"] == 1
        for number, meter in made.items():
            found = target(chain, told["campaign_id"], number)
            assert (found.state, meter.version) == (S.CONFIRMED, NEW)
            assert found.blocks_heard + found.blocks_sent == found.blocks == BLOCKS
            assert found.listens == Listens.ALONE
            assert (found.blocks_sent > 0) == (number == 1)
        assert told["blocks_heard"] + told["blocks_sent"] == 3 * BLOCKS


@in_loop
async def test_meters_on_a_line_and_with_connections_hear_the_same_octets(tmp_path: Path) -> None:
    async with street(tmp_path, 4, on_line=2) as (chain, _, made):
        told = await done(chain, begin(chain, replace(TOGETHER, broadcast=1)))

        assert told["broadcast"]["blocks"] == BLOCKS
        assert (told["blocks_heard"], told["blocks_sent"]) == (4 * BLOCKS, 0)
        assert all(meter.version == NEW for meter in made.values())
        assert chain.concentrator.broadcasts.said == 3 * BLOCKS


@in_loop
async def test_a_meter_that_takes_no_group_key_is_sent_all_alone(tmp_path: Path) -> None:
    async with street(tmp_path) as (chain, _, made):
        made[2].in_groups = False
        made[2].device = made[2]._device()
        made[2].replug()
        told = await done(chain, begin(chain, replace(TOGETHER, broadcast=1)))

        second = target(chain, told["campaign_id"], 2)
        assert (second.blocks_heard, second.blocks_sent) == (0, BLOCKS)
        assert (told["blocks_heard"], told["blocks_sent"]) == (2 * BLOCKS, BLOCKS)
        assert all(meter.version == NEW for meter in made.values())


@in_loop
async def test_replayed_and_foreign_broadcasts_change_nothing(tmp_path: Path) -> None:
    async with street(tmp_path) as (chain, shared, made):
        campaign_id = begin(chain)
        await until(lambda: len(made[1].came) >= 2, chain.running_headend)
        said = bytes(shared.heard)  # also what was broadcast until now
        again = [
            each
            for each in FrameReader().feed(said)
            if isinstance(each, Frame) and each.destination.is_all
        ]
        other = GroupKeys(encryption=os.urandom(16), authentication=os.urandom(16))
        apdu = unconfirmed_block(bytes(len(SECOND)), 20, BLOCK_OCTETS)
        foreign = seal_broadcast(other.cipher(), InvocationCounter(2**31), HEAD_END_TITLE, apdu)
        before = {number: list(meter.came) for number, meter in made.items()}
        shared.from_master(b"".join(each.encode() for each in again))
        for number in made:
            shared.online[FIRST + number - 1].frame(BROADCAST_CLIENT, ALL_STATION, foreign)
        assert {number: list(meter.came) for number, meter in made.items()} == before

        told = await done(chain, campaign_id)
        assert told["blocks_sent"] == 0
        assert all(meter.version == NEW for meter in made.values())


@in_loop
async def test_who_has_the_group_key_wastes_blocks_and_no_more(tmp_path: Path) -> None:
    async with street(tmp_path) as (chain, _, made):
        wanted = replace(TOGETHER, broadcast=1)
        campaign_id = begin(chain, wanted)

        def ready() -> bool:
            return all(
                target(chain, campaign_id, number).listens != Listens.NOT_YET for number in made
            )

        await until(ready, chain.running_headend)
        keys, _ = group_of(chain)
        bad = unconfirmed_block(bytes(len(SECOND)), BLOCKS - 2, BLOCK_OCTETS)
        sealed = seal_broadcast(keys.cipher(), InvocationCounter(2**31), HEAD_END_TITLE, bad)
        titles = (made[3].title,)
        order = Broadcast(client=BROADCAST_CLIENT, apdu=sealed, titles=titles)
        await chain.headend.uplinks.order(CONCENTRATOR, partial(encode_broadcast, order), 20.0)

        told = await done(chain, campaign_id)
        assert all(meter.version == NEW for meter in made.values())
        assert told["states"] == {"confirmed": 3}
        for number, meter in made.items():
            found = target(chain, campaign_id, number)
            assert found.initiated == 2  # it was found bad, and begun anew with blocks of ours
            # and the meter is out of the group: the key that is known opens nothing there now
            assert meter.group.keys != keys


@in_loop
async def test_a_head_end_that_dies_in_the_middle_is_followed_by_one_that_goes_on(
    tmp_path: Path,
) -> None:
    async with street(tmp_path) as (chain, _, made):
        campaign_id = begin(chain)
        await until(lambda: len(made[1].came) >= 5, chain.running_headend)
        (run,) = broadcasts.runs_of(chain.engine, campaign_id)
        assert run.state is GroupState.SENDING
        await chain.headend_ends()
        (run,) = broadcasts.runs_of(chain.engine, campaign_id)
        assert 0 < run.position < 2 * BLOCKS
        await chain.start_headend()
        told = await done(chain, campaign_id)

        assert 2 * BLOCKS <= told["broadcast"]["blocks"] <= 2 * BLOCKS + 1
        assert told["blocks_sent"] == 0
        assert all(meter.version == NEW for meter in made.values())


@in_loop
async def test_a_campaign_that_is_paused_stops_its_broadcast(tmp_path: Path) -> None:
    async with street(tmp_path) as (chain, _, made):
        campaign_id = begin(chain)
        await until(lambda: len(made[1].came) >= 5, chain.running_headend)
        do(chain, campaign_id, Act.PAUSE)
        await until(lambda: not chain.headend.campaigns.broadcasting._under_way)
        came = len(made[1].came)
        assert came < 2 * BLOCKS
        do(chain, campaign_id, Act.RESUME)
        await done(chain, campaign_id)
        assert all(meter.version == NEW for meter in made.values())


@in_loop
async def test_other_keys_reach_each_meter_before_it_listens_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with street(tmp_path, 2) as (chain, _, made):
        campaign_id = begin(chain, replace(TOGETHER, broadcast=1))
        await done(chain, campaign_id)
        keys, found = group_of(chain)
        assert holders(chain) == 2
        ask = ("keys", "broadcast", "--home", chain.layout.headend)
        run = partial(asyncio.to_thread, Run(capsys, "headend"), *ask)
        assert "epoch 1, held by 2 meters" in (await run()).out
        assert (await run("--change", "north")).status == 2  # without a reason
        assert "nothing to change" in (await run("--change", "south", "--reason", "no")).err
        told = await run("--change", "north", "--reason", "one was stolen", "--json")
        (row,) = json.loads(told.out)
        epoch = row["epoch"]
        assert row["meters"] == 0
        assert [deed.action for deed in audit_trail(chain.engine, 5)] == ["keys.broadcast"]
        changed, now = group_of(chain)
        assert (epoch, now.epoch, now.reason) == (2, 2, "one was stolen")
        assert now.next >= found.next  # counters go on
        assert changed != keys
        assert holders(chain) == 0
        assert all(meter.group.keys == keys for meter in made.values())

        third = add_release(chain.engine, image(2))
        again, _ = campaigns.plan_campaign(
            chain.engine,
            name="summer",
            release_id=third.release_id,
            meter_ids=list(made),
            plan=replace(TOGETHER, broadcast=1),
            asked_by="ada",
            reason="test",
        )
        do(chain, again, Act.START)
        told_then = await done(chain, again)
        assert told_then["blocks_sent"] == 0
        assert all(meter.group.keys == changed for meter in made.values())
        assert holders(chain) == 2


def holders(chain: Chain) -> int:
    (found,) = group_changes.holdings(chain.engine)
    return found.holders


@in_loop
async def test_keys_that_change_under_a_broadcast_end_it_and_gaps_are_filled(
    tmp_path: Path,
) -> None:
    async with street(tmp_path, 2) as (chain, shared, made):
        lossy(shared.drops[FIRST], lambda frame: frame.destination.is_all)
        campaign_id = begin(chain, replace(TOGETHER, broadcast=3))
        await until(lambda: len(made[2].came) >= 3, chain.running_headend)
        group_changes.ask(chain.engine, [CONCENTRATOR], asked_by="ada", reason="one was stolen")
        told = await done(chain, campaign_id)

        assert chain.headend.group_keys.changed == 1
        assert group_of(chain)[1].epoch == 2
        # What was reserved is sent; then nobody is left who could open more.
        assert told["broadcast"]["blocks"] == COUNTERS < 3 * BLOCKS
        assert told["blocks_sent"] == BLOCKS  # to the first, which heard nothing
        assert all(meter.version == NEW for meter in made.values())


def impatient(chain: Chain, seconds: float = 0.3) -> None:
    """Let the head-end wait for nobody for long."""
    made = chain.headend_config

    def config() -> HeadEndConfig:
        whole = made()
        return replace(whole, campaigns=replace(whole.campaigns, broadcast_wait_s=seconds))

    chain.headend_config = config  # type: ignore[method-assign]


@pytest.mark.long
@in_loop
async def test_a_meter_that_is_away_is_not_waited_for_and_gets_all_alone(tmp_path: Path) -> None:
    patient = replace(
        TOGETHER, broadcast=1, tries=Tries(first_s=0.05, most_s=0.1, attempts_most=10_000)
    )
    prepare = partial(impatient, seconds=0.5)
    async with street(tmp_path, prepare=prepare) as (chain, shared, made):
        shared.drops[FIRST + 2].is_cut = True
        gone = made[3].title
        campaign_id = begin(chain, patient)
        await until(lambda: not chain.headend.uplinks.has_route(gone), chain.running_headend)

        def is_over() -> bool:
            found = broadcasts.runs_of(chain.engine, campaign_id)
            return bool(found) and found[0].state is GroupState.DONE

        await until(is_over, chain.running_headend)
        assert target(chain, campaign_id, 3).blocks_there == 0
        shared.drops[FIRST + 2].is_cut = False
        told = await done(chain, campaign_id)
        late = target(chain, campaign_id, 3)
        assert (late.blocks_heard, late.blocks_sent) == (0, BLOCKS)
        assert told["blocks_heard"] + told["blocks_sent"] == 3 * BLOCKS
        assert all(meter.version == NEW for meter in made.values())


@in_loop
async def test_a_concentrator_that_stays_away_ends_the_broadcast_and_gaps_are_filled(
    tmp_path: Path,
) -> None:
    patient = replace(TOGETHER, tries=UNTIRING)
    async with street(tmp_path, prepare=impatient) as (chain, _, made):
        campaign_id = begin(chain, patient)
        await until(lambda: len(made[1].came) >= 3, chain.running_headend)
        await chain.concentrator_ends()

        def is_over() -> bool:
            return broadcasts.runs_of(chain.engine, campaign_id)[0].state is GroupState.DONE

        await until(is_over, chain.running_headend)
        (run,) = broadcasts.runs_of(chain.engine, campaign_id)
        assert run.note == "its concentrator did not come back"
        await chain.start_concentrator()
        told = await done(chain, campaign_id)
        assert told["blocks_heard"] + told["blocks_sent"] == 3 * BLOCKS
        assert min(told["blocks_heard"], told["blocks_sent"]) > 0
        assert all(meter.version == NEW for meter in made.values())


@pytest.mark.parametrize("rounds", [-1, 10])
def test_a_plan_with_too_many_rounds_is_refused(rounds: int) -> None:
    with pytest.raises(PlanError, match="0 to 9 times"):
        Plan(broadcast=rounds)


def test_a_plan_of_before_broadcasts_nothing() -> None:
    told = TOGETHER.as_dict()
    assert Plan.of(told).broadcast == 2
    del told["broadcast"]
    assert Plan.of(told).broadcast == 0
