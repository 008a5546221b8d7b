# SPDX-License-Identifier: Apache-2.0
"""Alarms as a person sees them: with the events and on the meter's page, in both schemes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import DESKTOP, PHONE, Scheme, window
from web.alarmed import alarm
from web.ami import UTILITY_PASSWORD, Ami, build
from web.servers import served


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ami: Ami = build(tmp_path_factory.mktemp("alarmed"), meters=8)
    alarm(ami)
    with served(ami) as address:
        yield address
    ami.engine.dispose()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_alarms_are_seen_and_fit(
    browser: Browser, base: str, size: tuple[int, int], scheme: Scheme, shots: Path
) -> None:
    with window(browser, base, size=size, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.open("/console/events").ready()
        expect(seen.part("alarms-table").locator("tbody tr")).to_have_count(4)
        expect(seen.part("alarm-counts")).to_contain_text("terminal-cover")
        assert seen.is_as_wide_as_the_screen()
        name = f"{scheme}-{size[0]}"
        seen.page.screenshot(path=shots / f"alarms-events-{name}.png")
        seen.part("alarms-table").get_by_role("link", name="1", exact=True).first.click()
        expect(seen.part("alarms").locator("tbody tr")).to_have_count(4)
        expect(seen.part("alarms")).to_contain_text("cleared")
        assert seen.is_as_wide_as_the_screen()
        seen.part("alarms").scroll_into_view_if_needed()
        seen.page.screenshot(path=shots / f"alarms-meter-{name}.png")
        seen.part("form-alarms").locator("summary").first.click()
        expect(seen.part("alarms-action")).to_be_visible()
        assert seen.is_as_wide_as_the_screen()
        assert seen.complaints == []
