# SPDX-License-Identifier: Apache-2.0
"""A campaign over a fleet's meters: a bad image stops at its canary, a good one reaches all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from chain import Chain, running_chain, until
from headend.test_campaigns import do, state_of
from loops import in_loop
from meter.fleetware import KEY, image, make_factory
from openami.device.payload.judge import policy
from openami.exchange.campaign import Act, CampaignState, MeterState
from openami.exchange.waves import Plan, Share, Tries
from openami.firmware.image import Image
from openami.firmware.keys import VerifyingKey
from openami.firmware.verify import verify
from openami.lifecycle.plan import meter_title
from openami.meter.config import MeterConfig
from openami.meter.fleet import Fleet
from openami.meter.fleet_faults import FAULTS_FILE, Fault, store
from openami.runtime.clock import FixedClock
from openami.store import campaign_meters, campaigns, releases
from openami.store.releases import Release

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]

METERS: Final = 12
PATIENCE_S: Final = 240.0  # with a machine that others keep busy
GOOD, BAD = image(2), image(3)
PLAN: Final = Plan(
    waves=(Share(count=2), Share(percent=50)),
    soak_s=0.0,
    per_concentrator=8,
    tries=Tries(first_s=0.05, most_s=0.1),
)


@asynccontextmanager
async def fleet_of(chain: Chain) -> AsyncIterator[Fleet]:
    """Run all meters of a chain in one fleet."""
    home = chain.layout.fleet
    make_factory(home)
    store(home / FAULTS_FILE, [Fault(version="0.3.0", percent=100, check="storage", seed=1)])
    loaded = [MeterConfig.load(chain.layout.meter(meter_title(n))) for n in chain.meters]
    configs = [
        replace(config, uplink=replace(config.uplink, port=chain.meters_url.port))
        for config in loaded
    ]
    now_s = configs[0].installed_s + 4 * configs[0].capture_period_s
    fleet = Fleet(home, configs, FixedClock(now_s * 10**6))
    stop = asyncio.Event()
    running = asyncio.create_task(fleet.run(stop, chain.layout.run))
    try:
        for meter in fleet.meters:
            title = meter.management.config.title
            await until(lambda title=title: chain.headend.uplinks.has_route(title))  # type: ignore[misc]
        yield fleet
    finally:
        stop.set()
        await running


def started(chain: Chain, octets: bytes) -> str:
    good = verify(Image.decode(octets), policy((VerifyingKey.of(KEY),)))
    release = Release.of(
        octets,
        name=f"{good.version}.bin",
        version=str(good.version),
        digest=good.digest,
        keyhash=good.keyhash,
        by="ada",
    )
    releases.add(chain.engine, release, octets)
    campaign_id, _ = campaigns.plan_campaign(
        chain.engine,
        name="spring",
        release_id=release.release_id,
        meter_ids=list(chain.meters),
        plan=PLAN,
        asked_by="ada",
        reason="test",
    )
    do(chain, campaign_id, Act.START)
    return campaign_id


def wait_for_trials(fleet: Fleet, trial_s: float) -> None:
    for meter in fleet.meters:
        meter.management.config = replace(meter.management.config, trial_s=trial_s)


@pytest.fixture(autouse=True)
def disk_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(f"os.{name}", lambda _descriptor: None)


async def comes_to(chain: Chain, campaign_id: str, state: CampaignState) -> None:
    await until(lambda: state_of(chain, campaign_id) is state, chain.running_headend, PATIENCE_S)


@in_loop
async def test_a_bad_image_stops_at_its_canaries_and_a_good_one_reaches_all(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, METERS) as chain, fleet_of(chain) as fleet:
        assert fleet.firmware is not None
        wait_for_trials(fleet, 0.1)  # it fails, however long it is tried
        bad = started(chain, BAD)
        await comes_to(chain, bad, CampaignState.STOPPED)
        canaries = [each for each in campaign_meters.targets(chain.engine, bad) if each.wave == 0]
        await until(
            lambda: all(
                each.state is MeterState.REVERTED
                for each in campaign_meters.targets(chain.engine, bad)
                if each.wave == 0 and each.state is not MeterState.VERIFIED
            )
        )
        states = {each.state for each in campaign_meters.targets(chain.engine, bad) if each.wave}
        assert states == {MeterState.PLANNED}
        assert len(canaries) == 2
        assert 1 <= fleet.firmware.reverted <= 2
        do(chain, bad, Act.CANCEL)

        wait_for_trials(fleet, 600.0)
        good = started(chain, GOOD)
        await comes_to(chain, good, CampaignState.DONE)

        targets = campaign_meters.targets(chain.engine, good)
        assert {each.state for each in targets} == {MeterState.CONFIRMED}
        assert fleet.firmware.confirmed == METERS
        assert {fleet.firmware.of(n).version for n in chain.meters} == {"openami 0.2.0+0"}
