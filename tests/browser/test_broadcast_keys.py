# SPDX-License-Identifier: Apache-2.0
"""Keys for broadcasts as a person sees them, and asks for others."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import DESKTOP, PHONE, Scheme, window
from openami.store import broadcasts, group_changes, registry
from web.ami import UTILITY_PASSWORD, Ami, build
from web.servers import served

SIZES: list[tuple[Scheme, tuple[int, int]]] = [("light", DESKTOP), ("dark", PHONE)]


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ami, str]]:
    ami = build(tmp_path_factory.mktemp("groups"), meters=8)
    for title in {meter.concentrator for meter in registry.meters(ami.engine)}:
        broadcasts.group(ami.engine, title, lambda: b"wrapped")
    with served(ami) as address:
        yield ami, address
    ami.engine.dispose()


def test_keys_are_seen_and_others_are_asked_for(
    browser: Browser, here: tuple[Ami, str], shots: Path
) -> None:
    ami, base = here
    for scheme, size in SIZES:
        with window(browser, base, size=size, scheme=scheme) as seen:
            seen.sign_in("utility", UTILITY_PASSWORD)
            seen.page.goto(f"{base}/console/firmware")
            seen.page.get_by_role("link", name="keys for broadcasts").click()
            expect(seen.part("groups").locator("tbody tr")).to_have_count(2)
            seen.part("open-keys").click()
            seen.part("reason-keys").fill("one meter was stolen")
            assert seen.is_as_wide_as_the_screen()
            seen.page.screenshot(path=shots / f"keys-{scheme}.png", full_page=True)
            seen.page.get_by_label("Whose").select_option("north")
            seen.part("confirm-keys").click()
            if scheme == "light":
                expect(seen.part("groups")).to_contain_text("no head-end is alive")
            else:
                expect(seen.part("keys-problem")).to_contain_text("are being changed already")
            seen.page.screenshot(path=shots / f"keys-asked-{scheme}.png", full_page=True)
            assert seen.complaints == []
    (change,) = group_changes.due(ami.engine, 10)
    assert (change.asked_by, change.reason) == ("utility", "one meter was stolen")
