# SPDX-License-Identifier: Apache-2.0
"""Campaigns in the store: each step once, whoever takes it; nothing started after a stop."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import pytest
from sqlalchemy import Engine, update

from openami.exchange.campaign import Act, CampaignState, MeterState, Reason
from openami.exchange.waves import Next, Plan, Share
from openami.runtime.errors import UserError
from openami.store import campaign_meters, campaigns, leases, registry, releases
from openami.store.campaign_meters import NotRunningError, Target
from openami.store.database import transaction
from openami.store.leases import Lease, LostLeaseError, Worker
from openami.store.registry import Meter
from openami.store.releases import Release
from openami.store.tables import releases as table

S: Final = MeterState
HERE, THERE = Worker("here", "1"), Worker("there", "1")
QUICK: Final = Plan(waves=(Share(count=1), Share(count=1)), soak_s=0.0)
WAY: Final = (S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED, S.ACTIVATING, S.CONFIRMED)
Claimed = list[tuple[Target, Lease]]


@pytest.fixture
def release(engine: Engine) -> Release:
    """Return a release in a store whose meters, all but 4, are dialled."""
    registry.import_meters(
        engine,
        [
            Meter(
                meter_id=n,
                title=b"OAM" + n.to_bytes(5),
                ldn=f"OAM{n:013}",
                region="north",
                concentrator=bytes([n % 2] * 8),
                installed_us=0,
                capture_period_s=1800,
                address=None if n == 4 else "tcp://127.0.0.1:1",
            )
            for n in (1, 2, 3, 4)
        ],
    )
    made = Release.of(
        b"octets", name="m.bin", version="1.1.0+0", digest=b"d", keyhash=b"k", by="ada"
    )
    releases.add(engine, made, b"octets")
    releases.add(engine, made, b"octets")
    return made


def planned(engine: Engine, release: Release, *meter_ids: int, plan: Plan = QUICK) -> str:
    campaign_id, _ = campaigns.plan_campaign(
        engine,
        name="spring",
        release_id=release.release_id,
        meter_ids=meter_ids,
        plan=plan,
        asked_by="ada",
        reason="test",
    )
    return campaign_id


def do(engine: Engine, campaign_id: str, act: Act) -> CampaignState:
    return campaigns.act(engine, campaign_id, act, by="ada", reason="test").state


def claim(
    engine: Engine,
    campaign_id: str,
    worker: Worker = HERE,
    *,
    full: tuple[bytes, ...] = (),
    follow: bool | None = None,
) -> Claimed:
    return campaign_meters.claim(
        engine,
        worker,
        seconds=60.0,
        limit=10,
        sending=[campaign_id],
        calendar_us=0,
        full=full,
        follow=follow,
    )


def goes(engine: Engine, given: tuple[Target, Lease], *states: MeterState) -> Target:
    target, lease = given
    for state in states:
        target = campaign_meters.advance(engine, target, state, "", lease=lease, activate_us=0)
    return target


def test_those_that_were_started_take_no_place_from_others(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1, 2, plan=Plan(waves=(Share(count=2),)))
    do(engine, campaign_id, Act.START)
    given = {target.meter_id: (target, lease) for target, lease in claim(engine, campaign_id)}
    goes(engine, given[1], S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED, S.ACTIVATING)
    leases.release(engine, [lease for _, lease in given.values()])
    found = {}
    for follow in (False, True):
        kept = claim(engine, campaign_id, follow=follow)
        found[follow] = [target.meter_id for target, _ in kept]
        leases.release(engine, [lease for _, lease in kept])
    assert found == {False: [2], True: [1]}


def test_only_meters_of_opened_waves_are_given_and_each_once(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1, 2, 3)
    assert claim(engine, campaign_id) == []
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    assert (given[0].meter_id, given[0].wave) == (1, 0)
    assert claim(engine, campaign_id, THERE) == []
    goes(engine, given, *WAY)
    assert campaigns.conduct(engine, campaign_id).next is Next.OPEN
    assert [target.meter_id for target, _ in claim(engine, campaign_id, THERE)] == [2]


def test_two_that_conduct_at_once_open_a_wave_once(engine: Engine, release: Release) -> None:
    campaign_id = planned(engine, release, 1, 2, 3)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    goes(engine, given, *WAY)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: campaigns.conduct(engine, campaign_id), range(8)))
    assert campaigns.campaign(engine, campaign_id).wave == 1
    assert [step.wave for step in campaigns.history(engine, campaign_id)] == [-1, 0, 1]


@pytest.mark.parametrize("act", [Act.PAUSE, Act.CANCEL])
def test_nothing_is_started_once_a_campaign_does_not_run(
    engine: Engine, release: Release, act: Act
) -> None:
    campaign_id = planned(engine, release, 1)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    target = goes(engine, given, S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED)
    do(engine, campaign_id, act)
    with pytest.raises(NotRunningError):
        campaign_meters.advance(engine, target, S.ACTIVATING, "", lease=given[1], only_running=True)
    (found,) = campaign_meters.targets(engine, campaign_id)
    assert found.state is (S.SKIPPED if act is Act.CANCEL else S.VERIFIED)
    assert found.activated_real_us is None


def test_what_was_told_to_start_is_followed_after_a_cancel(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    target = goes(engine, given, S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED, S.ACTIVATING)
    do(engine, campaign_id, Act.CANCEL)
    again = campaign_meters.claim(
        engine, Worker("here", "2"), seconds=60.0, limit=10, sending=[], calendar_us=0
    )
    assert [found.state for found, _ in again] == [S.ACTIVATING]
    with pytest.raises(LostLeaseError):
        campaign_meters.advance(engine, target, S.CONFIRMED, "", lease=given[1])
    goes(engine, again[0], S.CONFIRMED)


def test_a_meter_that_was_never_started_is_free_again_after_a_cancel(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    target = goes(engine, given, S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED, S.ACTIVATING)
    do(engine, campaign_id, Act.CANCEL)
    found = goes(engine, (target, given[1]), S.VERIFIED)  # the request never arrived
    assert (found.state, found.reason) == (S.SKIPPED, Reason.CANCELLED.value)
    planned(engine, release, 1)  # it is free for another one


def test_a_rule_stops_the_campaign_in_the_step_that_breaks_it(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1, 2, plan=replace(QUICK, waves=(Share(count=2),)))
    do(engine, campaign_id, Act.START)
    first, second = claim(engine, campaign_id)
    goes(engine, first, S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED, S.ACTIVATING, S.REVERTED)
    target = goes(engine, second, S.TRANSFERRING, S.TRANSFERRED, S.VERIFIED)
    with pytest.raises(NotRunningError):  # though nobody has conducted since
        campaign_meters.advance(
            engine, target, S.ACTIVATING, "", lease=second[1], only_running=True
        )
    assert campaigns.campaign(engine, campaign_id).state is CampaignState.STOPPED


def test_what_was_sent_before_a_break_is_counted(engine: Engine, release: Release) -> None:
    campaign_id = planned(engine, release, 1)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    target = replace(goes(engine, given, S.TRANSFERRING), blocks_sent=3, octets_sent=3072)
    campaign_meters.postpone(engine, target, "", pause_s=0.0, attempts=1, lease=given[1])
    (found,) = campaign_meters.targets(engine, campaign_id)
    assert (found.blocks_sent, found.octets_sent) == (3, 3072)


def test_full_concentrators_and_closed_windows_give_no_transfers(
    engine: Engine, release: Release
) -> None:
    campaign_id = planned(engine, release, 1, 2, plan=replace(QUICK, waves=(Share(count=2),)))
    do(engine, campaign_id, Act.START)
    assert [
        target.meter_id for target, _ in claim(engine, campaign_id, full=(bytes([1] * 8),))
    ] == [2]
    assert (
        campaign_meters.claim(engine, THERE, seconds=1.0, limit=9, sending=[], calendar_us=0) == []
    )


def test_a_meter_is_in_one_open_campaign(engine: Engine, release: Release) -> None:
    first = planned(engine, release, 1, 2)
    with pytest.raises(UserError, match="no meter is left"):
        planned(engine, release, 1, 2)
    second, left_out = campaigns.plan_campaign(
        engine,
        name="other",
        release_id=release.release_id,
        meter_ids=[1, 3],
        plan=QUICK,
        asked_by="ada",
        reason="test",
    )
    assert left_out == [1]
    assert [each.meter_id for each in campaign_meters.targets(engine, second)] == [3]
    do(engine, first, Act.CANCEL)
    assert {each.reason for each in campaign_meters.targets(engine, first)} == {
        Reason.CANCELLED.value
    }
    planned(engine, release, 1, 2)


def test_steps_that_do_not_exist_are_refused(engine: Engine, release: Release) -> None:
    campaign_id = planned(engine, release, 1)
    with pytest.raises(UserError, match="what does is start or cancel"):
        do(engine, campaign_id, Act.RESUME)
    do(engine, campaign_id, Act.START)
    (given,) = claim(engine, campaign_id)
    with pytest.raises(UserError, match="never followed by"):
        goes(engine, given, S.CONFIRMED)


def test_octets_that_were_altered_in_the_store_are_not_sent(
    engine: Engine, release: Release
) -> None:
    assert releases.octets_of(engine, release.release_id) == b"octets"
    with transaction(engine) as connection:
        connection.execute(update(table).values(octets=b"other"))
    with pytest.raises(UserError, match="not those verified"):
        releases.octets_of(engine, release.release_id)
