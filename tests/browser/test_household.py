# SPDX-License-Identifier: Apache-2.0
"""The household app in a browser of a phone's size."""

import pytest
from playwright.sync_api import Browser, expect

from browser.pages import PHONE, Scheme, window
from openami.store import live
from web.ami import HOME_PASSWORD, Ami, tell_power

pytestmark = pytest.mark.browser

PATHS = ("", "/use", "/use?span=week", "/use?span=month", "/use?day=2026-09-01", "/more")


def test_power_now_follows_the_meter(browser: Browser, base: str, ami: Ami) -> None:
    with window(browser, base, size=PHONE) as seen:
        seen.sign_in("home-002", HOME_PASSWORD)
        expect(seen.part("shape-note")).to_be_visible()
        expect(seen.part("power-now")).to_contain_text("640")
        for power_w, shown in ((812, "812"), (1530, "1.53"), (96, "96")):
            tell_power(ami, 2, power_w)
            expect(seen.part("power-now")).to_contain_text(shown)
        expect(seen.part("cost-now")).to_have_text("$0.03")
        assert 2 in live.watched(ami.engine)
        seen.drawn("region-chart")
        expect(seen.part("today-words")).to_contain_text("usual")
    tell_power(ami, 2, 640)


def test_the_first_screen_of_a_phone_holds_power_and_today(browser: Browser, base: str) -> None:
    with window(browser, base, size=PHONE) as seen:
        seen.sign_in("home-002", HOME_PASSWORD)
        for name in ("now", "today"):
            box = seen.part(name).bounding_box()
            assert box is not None
            assert box["y"] + box["height"] <= PHONE[1] - 60, "above the bar at the bottom"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, (1280, 800)], ids=["phone", "desktop"])
def test_every_page_fits_and_the_browser_has_no_complaint(
    browser: Browser, base: str, size: tuple[int, int], scheme: Scheme
) -> None:
    with window(browser, base, size=size, scheme=scheme) as seen:
        seen.sign_in("home-002", HOME_PASSWORD)
        for path in PATHS:
            seen.open(f"/home{path}")
            if "use" in path and "2026-09" not in path:
                seen.drawn("use-chart")
            assert seen.is_as_wide_as_the_screen(), path


def test_from_a_month_to_its_half_hours_and_their_file(browser: Browser, base: str) -> None:
    with window(browser, base, size=PHONE) as seen:
        seen.sign_in("home-002", HOME_PASSWORD)
        seen.part("nav-use").click()
        seen.part("span-week").click()
        expect(seen.part("use-note")).to_contain_text("estimated")
        chart = seen.drawn("use-chart")
        chart.focus()
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("ArrowRight")
        seen.page.keyboard.press("Enter")
        expect(seen.part("when")).to_have_text("Tuesday 13 October")
        seen.ready().drawn("use-chart")  # what is drawn moves what stands below it, the link too
        with seen.page.expect_download() as download:
            seen.part("csv").click()
        assert download.value.suggested_filename == "openami-meter-2-2026-10-13-2026-10-13.csv"
        assert "estimated" in download.value.path().read_text()


def test_estimated_bars_look_different(browser: Browser, base: str) -> None:
    with window(browser, base) as seen:
        seen.sign_in("home-002", HOME_PASSWORD).open("/home/use?day=2026-10-13")
        chart = seen.drawn("use-chart")
        colours = """canvas => {
            const copy = document.createElement("canvas");
            copy.width = canvas.width;
            copy.height = canvas.height;
            const pen = copy.getContext("2d", { willReadFrequently: true });
            pen.drawImage(canvas, 0, 0);
            const row = (left, right) => {
                const width = Math.round(canvas.width * (right - left));
                const at = Math.round(canvas.height * 0.8);
                return pen.getImageData(Math.round(canvas.width * left), at, width, 1).data;
            };
            const share = (data) => {
                let solid = 0;
                for (let n = 0; n < data.length; n += 4) {
                    if (data[n + 3] > 200 && data[n + 2] > 150 && data[n] < 40) solid += 1;
                }
                return solid / (data.length / 4);
            };
            return [share(row(0.2, 0.35)), share(row(0.78, 0.93))];
        }"""
        measured, estimated = chart.locator("canvas").evaluate(colours)
        assert measured > 0.6, "the morning is measured: solid"
        assert 0.05 < estimated < 0.6, "the evening is estimated: hatched"


def test_another_meter_is_not_ours_to_see(browser: Browser, base: str) -> None:
    with window(browser, base) as seen:
        seen.sign_in("home-002", HOME_PASSWORD).open("/console/meters/3")
        expect(seen.part("error-sentence")).to_contain_text("its own meter only")
        seen.complaints.clear()  # the browser tells of the 403 on its console
