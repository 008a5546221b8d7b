# SPDX-License-Identifier: Apache-2.0
"""A street goes dark: real meters, concentrators, head-end and console, seen from outside."""

import json
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from typing import Any
from urllib.parse import urlencode

import pytest

from openami.cli.meter_supply import set_supply
from openami.store import topology
from openami.store.database import open_database
from system.ami import Ami
from web.clients import TOKEN

METERS = 34  # four transformers of eight, and two of one
WEAK = "\n[notices]\nreserve_s = 0.7\njitter_s = 2.0\n"  # two of three last gasps are never sent


class Dark(Ami):
    """An AMI of which the meters of south-t1 have weak capacitors."""

    def start(self) -> None:
        for meter_id in range(2, 17, 2):
            path = self.layout.meters / f"4F414D{meter_id:010X}" / "device.toml"
            if "[notices]" not in (text := path.read_text()):
                path.write_text(text + WEAK)
        super().start()


class Console:
    """The utility, signed in."""

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._open = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(CookieJar())
        ).open
        token = TOKEN.search(self.page("/login"))
        assert token is not None
        form = {"login": "utility", "password": ami.logins["utility"], "csrf": token[1]}
        self._open(f"{ami.address}/login", urlencode(form).encode()).close()

    def page(self, path: str) -> str:
        with self._open(f"{self._ami.address}{path}") as answer:
            return str(answer.read().decode())

    def json(self, path: str) -> Any:
        return json.loads(self.page(path))

    def open(self) -> dict[tuple[str, str], set[int]]:
        """Return the open outages, and who is dark in each."""
        return {
            (each["scope"], each["place"]): {
                member["meter_id"]
                for member in self.json(f"/api/outages/{each['outage_id']}")["meters"]
                if member["returned_us"] is None
            }
            for each in self.json("/api/outages")
        }


@pytest.fixture(scope="module")
def ami(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ami]:
    with Dark(tmp_path_factory.mktemp("dark"), meters=METERS, speed=60) as ami:
        ami.until(
            lambda: ami.figures("headend").get("meters reachable") == METERS, "all are there", 180
        )
        yield ami


@pytest.fixture(scope="module")
def console(ami: Ami) -> Console:
    return Console(ami)


@pytest.fixture(scope="module")
def hanging(ami: Ami) -> dict[str, set[int]]:
    database = open_database(ami.layout.database_url)
    found: dict[str, set[int]] = {}
    for place in topology.read(database).values():
        found.setdefault(place.transformer, set()).add(place.meter_id)
    database.dispose()
    return found


@pytest.mark.long
def test_a_transformer_is_one_outage_with_its_meters_and_comes_back(
    ami: Ami, console: Console, hanging: dict[str, set[int]]
) -> None:
    """Among its meters is the full one: two processes, keys in its secure world."""
    mine = hanging["north-t1"]
    assert 1 in mine
    set_supply(ami.layout, mine, on=False)
    ami.until(lambda: console.open() == {("transformer", "north-t1"): mine}, "one outage", 60)
    assert "8 of 34 meters without supply" in console.page("/console/outages/state")
    set_supply(ami.layout, mine, on=True)
    ami.until(lambda: console.open() == {}, "all are back", 90)
    (over,) = console.json("/api/outages?state=ended")
    meters = console.json(f"/api/outages/{over['outage_id']}")["meters"]
    assert {each["meter_id"] for each in meters} == mine
    assert all(each["returned_us"] > each["lost_us"] for each in meters)


@pytest.mark.long
def test_lost_gasps_still_make_the_transformers_outage(
    ami: Ami, console: Console, hanging: dict[str, set[int]]
) -> None:
    mine = hanging["south-t1"]
    before = ami.figures("fleet")["last gasps"]
    set_supply(ami.layout, mine, on=False)
    ami.until(lambda: console.open() == {("transformer", "south-t1"): mine}, "one outage", 90)
    ami.until(lambda: ami.figures("fleet")["without supply"] == len(mine), "all are dark", 10)
    assert ami.figures("fleet")["last gasps"] - before < len(mine)
    set_supply(ami.layout, mine, on=True)
    ami.until(lambda: console.open() == {}, "all are back", 90)


@pytest.mark.long
def test_a_concentrator_whose_line_is_cut_is_no_outage_of_supply(
    ami: Ami, console: Console
) -> None:
    ami.cut("south")
    ami.until(lambda: console.open() == {("concentrator", "south"): set()}, "out of reach", 60)
    assert "is not known" in console.page("/console/outages/state")
    ami.mend("south")
    ami.until(lambda: console.open() == {}, "within reach", 90)
    ami.until(lambda: ami.figures("headend")["meters reachable"] == METERS, "all are there", 90)


@pytest.mark.long
def test_a_head_end_that_is_killed_meanwhile_loses_no_gasp(
    ami: Ami, console: Console, hanging: dict[str, set[int]]
) -> None:
    mine = hanging["north-t2"]
    set_supply(ami.layout, mine, on=False)
    ami.kill("headend")
    ami.until(lambda: console.open() == {("transformer", "north-t2"): mine}, "one outage", 90)
    set_supply(ami.layout, mine, on=True)
    ami.kill("headend")
    ami.until(lambda: console.open() == {}, "all are back", 120)
    failed = [
        event["meter_id"]
        for event in console.json("/api/events?kind=supply&limit=1000")
        if event["code"] == 1 and event["meter_id"] in mine
    ]
    assert sorted(failed) == sorted(mine)  # each once
    assert ami.tracebacks() == {}
