# SPDX-License-Identifier: Apache-2.0
"""Clocks as a person sees them: all at a glance and on the meter's page, in both schemes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import DESKTOP, PHONE, Scheme, window
from web.ami import UTILITY_PASSWORD, Ami, build
from web.clocked import SLOW, clock
from web.servers import served


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    ami: Ami = build(tmp_path_factory.mktemp("clocked"), meters=8)
    clock(ami)
    with served(ami) as address:
        yield address
    ami.engine.dispose()


@pytest.mark.parametrize(("scheme", "size"), [("light", DESKTOP), ("dark", PHONE)])
def test_clocks_are_seen_and_fit(
    browser: Browser, base: str, size: tuple[int, int], scheme: Scheme, shots: Path
) -> None:
    with window(browser, base, size=size, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.part("nav-clock").click()
        expect(seen.part("clocks-verdict")).to_contain_text("2 clocks wait for a person")
        assert seen.is_as_wide_as_the_screen()
        name = f"{scheme}-{size[0]}"
        seen.page.screenshot(path=shots / f"clocks-{name}.png", full_page=True)
        seen.part("clocks-worst").get_by_role("link", name=str(SLOW), exact=True).click()
        card = seen.part("clock")
        expect(card.get_by_role("img")).to_be_visible()
        expect(seen.part("clock-corrected")).to_contain_text("confirmed")
        card.locator("summary").click()
        expect(seen.part("clock-table").locator("tbody tr")).to_have_count(8)
        assert seen.is_as_wide_as_the_screen()
        card.screenshot(path=shots / f"clock-{name}.png")
        assert seen.complaints == []
