# SPDX-License-Identifier: Apache-2.0
"""The room of outages as a person watches it: live, in both schemes, on a telephone."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from blackout import Street, hang
from browser.pages import DESKTOP, PHONE, Scheme, window
from openami.exchange.events import EventCode
from web.ami import UTILITY_PASSWORD, Ami, build
from web.servers import served


@pytest.fixture(scope="module")
def street_and_base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Street, str]]:
    ami: Ami = build(tmp_path_factory.mktemp("street"), meters=16)
    hang(ami.engine, range(1, 17))
    with served(ami) as address:
        yield Street(ami.engine, ami.now_us - 3_600_000_000), address
    ami.engine.dispose()


def test_an_outage_comes_and_goes_while_the_page_stays_open(
    browser: Browser, street_and_base: tuple[Street, str]
) -> None:
    street, base = street_and_base
    with window(browser, base, size=DESKTOP) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        seen.part("nav-power").click()
        expect(seen.part("supply-verdict")).to_contain_text("Everybody has supply")
        street.gasp([1, 2, 3])
        street.sit(2.1)
        street.answer()
        expect(seen.part("outage")).to_have_count(1)
        expect(seen.part("outage")).to_contain_text("Transformer t1")
        expect(seen.part("supply-verdict")).to_contain_text("4 of 16 meters without supply")
        expect(seen.part("supply-tree").locator("a.meterdot.dark")).to_have_count(4)
        street.now_s += 600
        street.back([1, 2, 3, 4], 600)
        street.sit()
        expect(seen.part("outage")).to_have_count(0)
        expect(seen.part("ended-outages")).to_contain_text("Transformer t1")
        assert seen.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_rooms_fit_a_telephone(
    browser: Browser, street_and_base: tuple[Street, str], scheme: Scheme, shots: Path
) -> None:
    street, base = street_and_base
    street.now_s += 600
    street.gasp([5, 6, 7, 8])
    street.tell(6, EventCode.STRONG_FIELD)
    street.sit(2.1)
    street.answer()
    with window(browser, base, size=PHONE, scheme=scheme) as seen:
        seen.sign_in("utility", UTILITY_PASSWORD)
        for path in ("outages", "events", "sla", "outages/1"):
            seen.open(f"/console/{path}").ready()
            assert seen.is_as_wide_as_the_screen(), path
            seen.page.screenshot(path=shots / f"{path.replace('/', '-')}.png", full_page=True)
        assert seen.complaints == []
    street.now_s += 600
    street.back([5, 6, 7, 8], 600)
    street.sit()
