# SPDX-License-Identifier: Apache-2.0
"""The room of firmware campaigns as a person uses it: live, in both schemes, on a tablet."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from sqlalchemy import update

from browser.pages import Scheme, window
from openami.exchange.campaign import Act, CampaignState, MeterState
from openami.exchange.waves import Plan, Share
from openami.runtime.clock import MICROSECONDS, real_us
from openami.store import campaigns, releases
from openami.store.database import transaction
from openami.store.releases import Release
from openami.store.tables import campaign_meters
from openami.store.tables import campaigns as table
from web.ami import UTILITY_PASSWORD, Ami

TABLET = (820, 1180)
HOUR_US = 3600 * MICROSECONDS
S = MeterState


def campaign_of(ami: Ami) -> str:
    """Write a campaign in its second wave, with something of everything."""
    release = Release.of(
        b"octets", name="m.bin", version="1.1.0+0", digest=b"d", keyhash=b"k", by="ada"
    )
    releases.add(ami.engine, release, b"octets")
    campaign_id, _ = campaigns.plan_campaign(
        ami.engine,
        name="Spring release",
        release_id=release.release_id,
        meter_ids=range(1, 601),
        plan=Plan(waves=(Share(count=20), Share(percent=30))),
        asked_by="ada",
        reason="leap second",
    )
    campaigns.act(ami.engine, campaign_id, Act.START, by="ada", reason="canaries")
    now_us = real_us()
    with transaction(ami.engine) as connection:
        wanted = table.c.campaign_id == campaign_id
        connection.execute(update(table).where(wanted).values(wave=1, wave_real_us=now_us))
        for meter_id in range(1, 121):
            state = S.CONFIRMED if meter_id < 90 else (S.TRIAL if meter_id < 96 else S.TRANSFERRING)
            if meter_id == 50:
                state = S.FAILED
            at_us = now_us - 3 * HOUR_US + meter_id * 60 * MICROSECONDS
            connection.execute(
                update(campaign_meters)
                .where(campaign_meters.c.meter_id == meter_id)
                .values(
                    state=state.value,
                    note="put down at block 70 of 151" if state is S.TRANSFERRING else "it says so",
                    reason="unreachable" if state is S.FAILED else "",
                    blocks=151,
                    blocks_there=151 if state is not S.TRANSFERRING else meter_id,
                    blocks_sent=151,
                    octets_sent=153_685,
                    version_before="openami 1.0.0+0",
                    version_after="openami 1.1.0+0" if state in {S.CONFIRMED, S.TRIAL} else "",
                    transferred_real_us=at_us if state is not S.TRANSFERRING else None,
                    changed_real_us=at_us + 120 * MICROSECONDS,
                )
            )
    return campaign_id


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_campaign_is_watched_paused_and_resumed(
    browser: Browser, base: str, ami: Ami, shots: Path, scheme: Scheme
) -> None:
    campaign_id = campaign_of(ami) if scheme == "light" else ""
    if not campaign_id:
        campaign_id = campaigns.campaigns(ami.engine)[0].campaign_id
    with window(browser, base, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.part("nav-firmware").click()
        expect(seen.part("campaign")).to_have_count(1)
        seen.page.screenshot(path=shots / f"campaigns-{scheme}.png", full_page=True)
        seen.page.get_by_role("link", name="Spring release").click()
        seen.ready()
        expect(seen.part("confirmed")).to_contain_text("88 of 600")
        seen.page.screenshot(path=shots / f"campaign-{scheme}.png", full_page=True)
        for act, state in (("pause", "paused"), ("resume", "running")):
            seen.part(f"open-{act}").click()
            seen.part(f"reason-{act}").fill("a look at the canaries")
            if act == "pause":
                seen.page.screenshot(path=shots / f"campaign-ask-{scheme}.png", full_page=True)
            seen.part(f"confirm-{act}").click()
            expect(seen.part("campaign-chip")).to_have_text(state)
            seen.ready()
        assert seen.is_as_wide_as_the_screen()


def test_what_others_do_is_seen_without_a_click(browser: Browser, base: str, ami: Ami) -> None:
    (found,) = campaigns.campaigns(ami.engine)
    with window(browser, base, size=TABLET) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open(f"/console/firmware/{found.campaign_id}").ready()
        expect(seen.part("open-pause")).to_be_visible()
        with transaction(ami.engine) as connection:
            wanted = campaign_meters.c.meter_id == 100
            values = {"state": S.CONFIRMED.value}
            connection.execute(update(campaign_meters).where(wanted).values(values))
        expect(seen.part("confirmed")).to_contain_text("89 of 600")
        campaigns.act(ami.engine, found.campaign_id, Act.CANCEL, by="bob", reason="a bad batch")
        expect(seen.part("campaign-chip")).to_have_text(CampaignState.CANCELLED.value)
        expect(seen.part("open-pause")).to_have_count(0)
        assert seen.is_as_wide_as_the_screen()
