# SPDX-License-Identifier: Apache-2.0
"""Alarms on the pages and over REST, and the command that clears them."""

import re

import pytest

from openami.store import commands, registry
from web.alarmed import alarm
from web.ami import Ami
from web.clients import TestClient, sign_in


@pytest.fixture
def client(fresh: Ami) -> TestClient:
    alarm(fresh)
    return sign_in(fresh, "utility")


def part(page: str, testid: str) -> str:
    """Return a section of a page as text."""
    (found,) = re.findall(
        rf'<section class="card" data-testid="{testid}">.*?</section>', page, re.DOTALL
    )
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", found))


def test_a_meters_page_shows_what_stands_since_when_and_who_cleared(client: TestClient) -> None:
    page = client.get("/console/meters/1").text
    assert re.findall(r'<tr data-state="(\w+)"', page) == [
        "standing",
        "standing",
        "over",
        "cleared",
    ]
    shown = part(page, "alarms")
    assert "terminal cover removed register 1, bit 0 standing" in shown
    assert "neutral lost register 1, bit 9 over" in shown
    assert "&lt;i&gt;ruth&lt;/i&gt;" in page
    assert "unknown alarm register 1, bit 31 standing" in shown
    assert "register 1 80000001 , descriptor 80000201 , filter FFFFFFFF" in shown


def test_a_meter_without_alarms_says_so(client: TestClient) -> None:
    shown = part(client.get("/console/meters/3").text, "alarms")
    assert "No alarm was ever told" in shown
    assert "registers not read yet" in shown


def test_the_room_of_events_counts_meters_by_region_and_kind(
    fresh: Ami, client: TestClient
) -> None:
    region = registry.meter(fresh.engine, 1).region
    shown = part(client.get("/console/events").text, "open-alarms")
    assert "4 open" in shown
    assert re.search(rf"{region} neutral-lost 1 +terminal-cover \d +unknown 1", shown)
    empty = part(client.get("/console/events?region=nowhere").text, "open-alarms")
    assert "No meter tells of an alarm" in empty


def test_alarms_over_rest(fresh: Ami, client: TestClient) -> None:
    found = client.get("/api/alarms?kind=terminal-cover").json()
    assert {each["meter_id"] for each in found} == {1, 2}
    assert {each["state"] for each in found} == {"standing"}
    region = registry.meter(fresh.engine, 1).region
    assert client.get("/api/alarms/regions").json()[region]["unknown"] == 1
    one = client.get("/api/meters/1/alarms").json()
    assert one["registers"]["1"]["descriptor"] == 0x80000201
    assert {each["state"] for each in one["alarms"]} == {"standing", "over", "cleared"}
    assert client.get("/api/meters/3/alarms").json()["as_of_us"] is None
    household = sign_in(fresh, "home-002")
    assert household.get("/api/alarms").status_code == 403


@pytest.mark.parametrize(
    ("fields", "argument"),
    [
        ({"action": "show"}, {"action": "show"}),
        ({"action": "clear", "register": "1", "bits": "0, 3"}, {"register": 1, "bits": [0, 3]}),
        ({"action": "filter", "register": "1", "value": "0xF"}, {"register": 1, "value": 15}),
    ],
)
def test_the_form_asks_for_a_command(
    fresh: Ami, client: TestClient, fields: dict[str, str], argument: dict[str, object]
) -> None:
    form = {"kind": "alarms", "reason": "a test", "asked": "1", **fields}
    assert client.post("/console/meters/1/commands", data=form).status_code in {200, 303}
    (asked, *_) = commands.commands(fresh.engine, meter_id=1, limit=1)
    assert asked.argument == {"action": fields["action"], **argument}


@pytest.mark.parametrize(
    "argument",
    [
        {"action": "forget"},
        {"action": "clear", "bits": [32]},
        {"action": "clear", "bits": []},
        {"action": "clear", "value": 1},
        {"action": "clear", "register": 11},
        {"action": "filter", "value": 1},
        {"action": "filter", "register": 1},
        {"action": "filter", "register": 1, "value": 2**32},
        {"action": "filter", "register": 1, "enable": [1], "disable": [1]},
        {"action": "filter", "register": 1, "value": 1, "enable": [1]},
    ],
)
def test_what_is_asked_wrongly_is_said_in_one_sentence(
    client: TestClient, argument: dict[str, object]
) -> None:
    body = {"kind": "alarms", "argument": argument, "reason": "a test"}
    answer = client.post("/api/meters/1/commands", json=body)
    assert answer.status_code == 422
    assert "larms" in answer.json()["error"]
