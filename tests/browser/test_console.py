# SPDX-License-Identifier: Apache-2.0
"""The console in a browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import PHONE, Scheme, window
from openami.exchange.commands import CommandKind, CommandState
from openami.store import commands, registry
from web.ami import DETACHED_METER, ESTIMATED_METER, UTILITY_PASSWORD, Ami, advance, tell_power

pytestmark = pytest.mark.browser


def test_the_front_door_leads_in_and_out(browser: Browser, base: str) -> None:
    with window(browser, base) as seen:
        seen.open("/console/jobs")
        expect(seen.part("login-form")).to_be_visible()
        seen.sign_in("utility", UTILITY_PASSWORD)
        expect(seen.part("verdict")).to_contain_text("need a look")
        seen.part("logout").click()
        expect(seen.part("login-form")).to_be_visible()
        seen.open("/console")
        expect(seen.part("login-form")).to_be_visible()


def test_today_draws_the_regions_and_renews_itself(browser: Browser, base: str, ami: Ami) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.drawn("load-chart")
        expect(seen.part("regions")).to_contain_text("north")
        expect(seen.part("tile-attached")).to_contain_text(f"{ami.meters - 1}")
        registry.set_attached(ami.engine, {DETACHED_METER: True}, ami.now_us)
        expect(seen.part("alarms")).not_to_contain_text("Meter detached", timeout=8000)
        registry.set_attached(ami.engine, {DETACHED_METER: False}, ami.now_us)
        expect(seen.part("alarms")).to_contain_text("Meter detached", timeout=8000)


def test_the_table_is_filtered_while_one_types(browser: Browser, base: str) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open("/console/meters").ready()
        seen.part("filter-state").select_option("detached")
        expect(seen.part("meter-row")).to_have_count(1)
        assert "state=detached" in seen.page.url
        seen.page.reload()
        seen.ready()
        expect(seen.part("meter-row")).to_have_count(1)
        seen.part("filter-state").select_option("")
        seen.part("filter-q").fill("4F414D000000000A")
        expect(seen.part("meters-found")).to_contain_text("1 of 24")
        expect(seen.part("meter-row")).to_contain_text("4F414D000000000A")
        seen.part("meter-row").get_by_role("link").first.click()
        expect(seen.page).to_have_url(re.compile(r"/console/meters/10$"))


def test_a_meters_day_tells_its_lineage_on_a_click(browser: Browser, base: str) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open(f"/console/meters/{ESTIMATED_METER}?day=2026-10-14")
        chart = seen.drawn("day-chart")
        chart.locator(".u-over").click(position={"x": 200, "y": 120})
        expect(seen.part("lineage")).to_contain_text("lineage")
        expect(seen.part("lineage")).to_contain_text("estimated: mean of like days")
        chart.focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("Enter")
        expect(seen.part("lineage")).to_be_visible()
        seen.part("day-before").click()
        expect(seen.part("day-card")).to_contain_text("Tue 13 Oct")


def test_live_values_of_a_meter_come_by_themselves(browser: Browser, base: str, ami: Ami) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open("/console/meters/4")
        expect(seen.part("live-power")).to_have_text("640\u2009W")
        tell_power(ami, 4, 2345)
        expect(seen.part("live-power")).to_have_text("2.35\u2009kW")


def test_a_disconnect_is_asked_shown_and_taken_back(browser: Browser, base: str, ami: Ami) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.disconnect(8, "moved out on 15 October")
        expect(seen.part("command-state")).to_have_text("requested")
        asked = commands.commands(ami.engine, meter_id=8)[0]
        assert (asked.kind, asked.state) == (CommandKind.DISCONNECT, CommandState.REQUESTED)
        assert (asked.asked_by, asked.reason) == ("utility", "moved out on 15 October")

        advance(ami, asked.command_id, CommandState.SENT)
        expect(seen.part("command-state")).to_have_text("sent", timeout=8000)
        registry.set_breaker(ami.engine, 8, 0, ami.now_us)
        advance(ami, asked.command_id, CommandState.CONFIRMED)
        expect(seen.part("command-state")).to_have_text("confirmed", timeout=8000)
        expect(seen.part("supply-state")).to_contain_text("Disconnected")

        seen.connect("new tenant")
        expect(seen.part("command-state")).to_have_text("requested")
        assert commands.commands(ami.engine, meter_id=8)[0].kind is CommandKind.CONNECT
        seen.part("nav-jobs").click()
        expect(seen.part("job").first).to_contain_text("connect")


def test_a_disconnect_can_be_thought_better_of(browser: Browser, base: str, ami: Ami) -> None:
    with window(browser, base) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open("/console/meters/10")
        seen.part("open-disconnect").click()
        seen.page.get_by_role("button", name="Cancel").click()
        expect(seen.part("reason")).to_be_hidden()
    assert commands.commands(ami.engine, meter_id=10) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_room_fits_a_phone_too(browser: Browser, base: str, scheme: Scheme) -> None:
    with window(browser, base, size=PHONE, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        for path in ("", "/meters", "/meters/2", "/quality", "/jobs"):
            seen.open(f"/console{path}")
            assert seen.is_as_wide_as_the_screen(), path


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_meter_is_asked_by_forms_that_keep_what_was_typed(
    browser: Browser, base: str, ami: Ami, shots: Path, scheme: Scheme
) -> None:
    meter_id = {"light": 11, "dark": 12}[scheme]
    with window(browser, base, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open(f"/console/meters/{meter_id}").ready()
        form = seen.part("form-limit")
        form.locator("summary").first.click()
        seen.part("limit-normal").fill("much")
        seen.part("reason-limit").fill("overloaded feeder")
        seen.part("send-limit").click()
        expect(form.get_by_test_id("asking-problem")).to_contain_text("give a whole number")
        seen.part("limit-normal").fill("5000")  # the rest is still there
        seen.part("send-limit").click()
        expect(form.get_by_test_id("asking-done")).to_be_visible()
        expect(seen.part("command-row").first).to_contain_text("overloaded feeder")
        asked = commands.commands(ami.engine, meter_id=meter_id)[0]
        assert asked.argument == {"normal": 5000}
        seen.page.screenshot(path=shots / f"asking-{scheme}.png", full_page=True)
        advance(ami, asked.command_id, CommandState.CONFIRMED)
        first = seen.part("command-row").first
        expect(first).to_contain_text("confirmed", timeout=8000)  # the list renews itself
        seen.part("form-tariff").locator("summary").first.click()
        seen.part("command-more").first.click()
        assert seen.is_as_wide_as_the_screen()
        seen.page.screenshot(path=shots / f"asked-{scheme}.png", full_page=True)
