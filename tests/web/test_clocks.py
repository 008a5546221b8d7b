# SPDX-License-Identifier: Apache-2.0
"""Clocks on the pages and over REST."""

import html
import re
from dataclasses import replace

import pytest

from openami.access.accounts import audit_trail
from openami.store import clocks
from openami.store.clocks import Measured, Suspicion
from openami.web.clockview import HIGH, WIDE, picture
from web.ami import Ami
from web.clients import TestClient, sign_in
from web.clocked import FAR, FINE, SLOW, TIMELESS, clock


@pytest.fixture
def client(fresh: Ami) -> TestClient:
    clock(fresh)
    return sign_in(fresh, "utility")


def part(page: str, testid: str) -> str:
    """Return a section of a page as text."""
    found = part_html(page, testid)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", found)))


def test_a_meters_page_shows_deviation_drift_and_last_correction(client: TestClient) -> None:
    page = client.get(f"/console/meters/{SLOW}").text
    shown = part(page, "clock")
    assert "Off \u22122.9 s ± 0.2" in shown
    assert "Tolerated ± 30 s within" in shown
    assert re.search("Drift \u22122.\\d\\d s ± 0.\\d\\d a day", shown)
    assert "shift by +18 s confirmed" in shown
    assert page.count('class="mark moved"') == 1
    assert page.count('class="line"') == 6  # five before the command, one after it
    assert "after a command" in shown


def test_a_meters_page_says_what_waits_for_a_person(client: TestClient) -> None:
    shown = part(client.get(f"/console/meters/{FAR}").text, "clock")
    assert "for a person +3600.0 s off, more than 900 s" in shown
    assert "none since the head-end keeps it" in shown
    timeless = part(client.get(f"/console/meters/{TIMELESS}").text, "clock")
    assert "tells no time" in timeless
    assert "invalid 01" in timeless
    never = part(client.get("/console/meters/8").text, "clock")
    assert "not measured yet" in never


def test_the_page_of_clocks_tells_all_at_a_glance(fresh: Ami, client: TestClient) -> None:
    page = client.get("/console/clocks").text
    assert "2 clocks wait for a person" in part(page, "clocks-verdict")
    assert "60.0 % 3 of 5 measured; 8 in the registry" in part(page, "clocks-within")
    worst = re.findall(r'href="/console/meters/(\d)#clock"', part_html(page, "clocks-worst"))
    assert worst == ["4", "3", "6", "2", "1"]
    assert "waits until others were heard" in part(page, "clocks-worst")
    assert 'data-testid="clocks-suspected"' not in page
    assert "2 clocks for a person to look at" in client.get("/console").text

    suspected = Suspicion(worker="headend", suspected_us=1, sentence="9 of the last 9 are off")
    clocks.suspect(fresh.engine, [suspected])
    page = client.get("/console/clocks/state").text
    assert "may be wrong: it corrects nobody" in part(page, "clocks-verdict")
    assert "headend may have a wrong clock" in client.get("/console").text


def test_a_clock_is_trusted_over_rest(fresh: Ami, client: TestClient) -> None:
    suspected = Suspicion(worker="headend", suspected_us=1, sentence="9 of the last 9 are off")
    clocks.suspect(fresh.engine, [suspected])
    refused = client.post("/api/clocks/trust", json={"reason": "NTP is fine", "workers": ["b"]})
    assert refused.status_code == 404
    assert "Head-end b has measured no clock: there are headend." in refused.json()["error"]
    assert client.get("/api/clocks").json()["suspected"] != []
    asked = client.post("/api/clocks/trust", json={"reason": "NTP is fine", "hours": 2})
    until_us = fresh.now_us + 7_200_000_000
    assert asked.json() == {"workers": ["headend"], "until_us": until_us}
    assert client.get("/api/clocks").json()["suspected"] == []
    (deed,) = [each for each in audit_trail(fresh.engine, 5) if each.action == "clocks.trust"]
    assert deed.object == "headend: NTP is fine"


def part_html(page: str, testid: str) -> str:
    section = rf'<section [^>]*data-testid="{testid}"[^>]*>.*?</section>'
    (found,) = re.findall(section, page, re.DOTALL)
    return str(found)


def test_without_a_measurement_the_page_says_so(fresh: Ami) -> None:
    page = sign_in(fresh, "utility").get("/console/clocks").text
    assert "No clock has been measured yet" in part(page, "clocks-verdict")


def test_other_programs_get_the_same(client: TestClient) -> None:
    found = client.get("/api/clocks?limit=2").json()
    assert (found["measured"], found["within"], found["noticed"]) == (5, 3, 2)
    assert [each["meter_id"] for each in found["worst"]] == [TIMELESS, FAR]
    one = client.get(f"/api/meters/{SLOW}/clock").json()
    assert one["clock"]["deviation_s"] == -2.9
    assert one["clock"]["drift_s_per_day"] == pytest.approx(-2.5, abs=0.1)
    assert len(one["history"]) == 8
    assert [each["after_command"] for each in one["history"]].count(True) == 1
    assert client.get("/api/meters/8/clock").json()["clock"] is None
    paths = client.get("/api/openapi.json").json()["paths"]
    assert {"/api/clocks", "/api/meters/{meter_id}/clock"} <= set(paths)


@pytest.mark.parametrize("path", ["/api/clocks", f"/api/meters/{FINE}/clock", "/console/clocks"])
def test_a_household_sees_no_clocks(fresh: Ami, path: str) -> None:
    assert sign_in(fresh, "home-001").get(path).status_code == 403


def test_a_picture_stays_in_its_frame_and_breaks_where_a_clock_was_moved() -> None:
    one = Measured(
        meter_id=1, measured_us=0, deviation_s=-40.0, uncertainty_s=2.0, status=0, worker="a"
    )
    rows = [
        one,
        replace(one, measured_us=10, deviation_s=None),
        replace(one, measured_us=20, deviation_s=-41.0),
        replace(one, measured_us=21, deviation_s=0.0, moved=True),
        replace(one, measured_us=30, deviation_s=5.0),
    ]
    drawn = picture(rows, 30.0)
    assert drawn is not None
    assert len(drawn.lines) == 1
    assert len(drawn.marks) == 4
    for mark in drawn.marks:
        assert 0 <= mark.x <= WIDE
        assert 0 <= mark.high <= mark.y <= mark.low <= HIGH
    assert drawn.zero == HIGH / 2
    assert picture([], 30.0) is None
    single = picture([one], 30.0)
    assert single is not None
    assert single.marks[0].x == WIDE / 2
