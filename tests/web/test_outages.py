# SPDX-License-Identifier: Apache-2.0
"""The rooms of outages and events, and their twins over REST."""

import re
from datetime import datetime

import pytest
from sqlalchemy import event

from blackout import NORTH, S, Street, hang
from openami.access.accounts import audit_trail
from openami.exchange.events import EventCode
from openami.exchange.supply import Evidence, Scope
from openami.runtime.clock import to_us
from openami.store import outage_members, outages, topology
from openami.store.database import transaction
from openami.store.outage_members import Member
from openami.store.outages import Outage
from openami.store.supply import UplinkState, set_uplinks
from openami.web import outageview
from web.ami import Ami
from web.clients import TestClient, sign_in


@pytest.fixture
def street(fresh: Ami) -> Street:
    """Two transformers of four; t1 is without supply."""
    hang(fresh.engine, range(1, 9))
    street = Street(fresh.engine, fresh.now_us - 60_000_000)
    street.gasp([1, 2, 3])
    street.sit(2.1)
    street.answer()
    street.tell(6, EventCode.TERMINAL_COVER_REMOVED)
    return street


@pytest.fixture
def client(fresh: Ami, street: Street) -> TestClient:
    assert street.open()
    return sign_in(fresh, "utility")


def test_the_page_shows_who_is_without_supply(client: TestClient) -> None:
    page = client.get("/console/outages").text
    assert "4 of 8 meters without supply" in page
    assert 'data-scope="transformer" data-place="t1"' in page
    assert len(re.findall(r'class="meterdot dark" href', page)) == 4
    assert len(re.findall(r'class="meterdot lit" href', page)) == 4
    assert 'hx-trigger="every 1s"' in page
    state = client.get("/console/outages/state").text
    assert "<html" not in state
    assert "4 of 8 meters without supply" in state


def test_one_outage_is_shown_and_acknowledged(fresh: Ami, client: TestClient) -> None:
    (outage,) = client.get("/api/outages").json()
    address = f"/console/outages/{outage['outage_id']}"
    page = client.get(address).text
    assert "last gasp" in page
    assert "silent" in page
    answer = client.post(f"{address}/acknowledge", data={"note": "<b>crew</b> sent"})
    assert (answer.status_code, answer.headers["location"]) == (303, address)
    page = client.get(address).text
    assert "&lt;b&gt;crew&lt;/b&gt; sent" in page
    assert audit_trail(fresh.engine, 1)[0].action == "outage.acknowledge"


def test_outages_over_rest(client: TestClient, street: Street) -> None:
    (outage,) = client.get("/api/outages").json()
    assert (outage["scope"], outage["place"], outage["verified"]) == ("transformer", "t1", True)
    whole = client.get(f"/api/outages/{outage['outage_id']}").json()
    assert [each["meter_id"] for each in whole["meters"]] == [1, 2, 3, 4]
    assert whole["history"]
    acknowledged = client.post(
        f"/api/outages/{outage['outage_id']}/acknowledge", json={"note": "crew sent"}
    ).json()
    assert acknowledged["acknowledged_by"] == "utility"
    assert client.get("/api/meters/1/supply").json()["supplied"] is False
    assert client.get("/api/meters/8/supply").json()["supplied"] is True
    street.now_s = 700.0
    street.back([1, 2, 3, 4], 700)
    street.sit()
    assert client.get("/api/outages").json() == []
    (over,) = client.get("/api/outages?state=ended").json()
    assert over["ended_us"] - over["began_us"] == 700_000_000
    assert client.get("/api/meters/1/supply").json()["supplied"] is True
    (feeder,) = client.get("/api/outages/reliability").json()
    assert (feeder["feeder"], feeder["customers"], feeder["sustained"]) == ("f1", 8, 4)
    assert feeder["saidi_min"] == pytest.approx(700 / 60 * 4 / 8)


def test_the_meters_of_an_outage_come_a_page_at_a_time(
    client: TestClient, street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of a feeder are in the outages of its transformers."""
    street.gasp(range(5, 9))
    street.sit(2.1)
    street.answer()
    trunk = {each["scope"]: each for each in client.get("/api/outages").json()}["feeder"]
    assert len(client.get("/api/outages?limit=2").json()) == 2
    address = f"/api/outages/{trunk['outage_id']}"
    whole = client.get(address).json()
    assert [each["meter_id"] for each in whole["meters"]] == list(range(1, 9))
    assert (whole["dark"], whole["back"], len(whole["parts"])) == (8, 0, 2)
    some = client.get(f"{address}?limit=3&after=2").json()
    assert [each["meter_id"] for each in some["meters"]] == [3, 4, 5]
    assert some["dark"] == 8
    assert client.get(f"{address}?limit=0").status_code == 422
    monkeypatch.setattr("openami.web.routes.outages.PAGE", 5)
    monkeypatch.setattr("openami.web.outageview.MOST_STEPS", 1)
    page = client.get(f"/console/outages/{trunk['outage_id']}?page=2").text
    assert re.findall(r'href="/console/meters/(\d+)"', page) == ["6", "7", "8"]
    assert "8 dark, 0 back" in page
    assert "page 2 of 2" in page
    assert "1 earlier steps are not shown" in page
    assert "The first page" in client.get(f"/console/outages/{trunk['outage_id']}?page=3").text


def test_the_reliability_of_an_earlier_month(fresh: Ami, client: TestClient) -> None:
    """Midnights are the zone's: an interruption of the last hour of a month belongs to it."""
    zone = fresh.context.config.zone
    began = datetime(2026, 2, 28, 23, 30, tzinfo=zone)
    hang(fresh.engine, range(1, 9))
    street = Street(fresh.engine, to_us(began))
    street.gasp([5])
    street.sit(2.1)
    street.answer(lit=[6, 7, 8])
    street.now_s = 7200.0
    street.back([5], 7200)
    street.sit()

    def sustained(month: str) -> int:
        (feeder,) = client.get(f"/api/outages/reliability?month={month}").json()
        return int(feeder["sustained"])

    assert [sustained(month) for month in ("2026-01", "2026-02", "2026-03")] == [0, 1, 0]
    page = client.get("/console/outages?month=2026-02").text
    assert "February 2026 by feeder" in page
    assert 'hx-get="/console/outages/state?month=2026-02"' in page
    assert "?month=2026-01" in page
    assert "?month=2026-03" in page
    for wrong in ("2026-13", "2026-00", "0000-01", "2026-2", "2026-02%0A", "x"):
        assert client.get(f"/api/outages/reliability?month={wrong}").status_code == 422


def test_unknown_outages_are_not_here(client: TestClient) -> None:
    for path in ("/console/outages/99", "/api/outages/99"):
        assert client.get(path).status_code == 404
    assert client.post("/api/outages/99/acknowledge", json={"note": "why"}).status_code == 404
    assert client.get("/api/outages/0").status_code == 422


def test_a_concentrator_out_of_reach_is_no_outage_of_supply(
    fresh: Ami, client: TestClient, street: Street
) -> None:
    away = UplinkState(concentrator=NORTH, up=False, worker="w", since_us=1, since_real_us=1)
    set_uplinks(fresh.engine, [away])
    street.bench._directory.of_concentrator = lambda _title: [  # type: ignore[method-assign]
        street.bench._directory.by_id(1)
    ]
    street.sit(6.0)
    page = client.get("/console/outages").text
    assert "Concentrator north out of reach" in page
    assert "4 of 8 meters without supply" in page


def test_events_are_filtered_and_acknowledged(client: TestClient) -> None:
    found = client.get("/api/events?kind=tamper&acknowledged=no").json()
    assert {event["severity"] for event in found} <= {"harm", "info"}
    mine = [event for event in found if event["meter_id"] == 6]
    assert [event["code"] for event in mine] == [40]
    page = client.get("/console/events?severity=harm").text
    assert "terminal cover removed" in page
    assert "power failed" not in page
    number = mine[0]["event_id"]
    answer = client.post(
        "/console/events/acknowledge",
        data={"event": number, "note": "installer", "back": "/console/events?kind=tamper"},
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/events?kind=tamper")
    assert "utility</bdi>: <bdi>installer" in client.get("/console/events?acknowledged=yes").text
    again = client.post(
        "/api/events/acknowledge", json={"event_ids": [number], "note": "once more"}
    )
    assert again.json() == {"acknowledged": 0}
    astray = client.post(
        "/console/events/acknowledge", data={"event": number, "note": "xyz", "back": "//evil"}
    )
    assert astray.headers["location"] == "/console/events"


def test_tamper_and_supply_are_on_the_first_page_and_on_the_meters(client: TestClient) -> None:
    page = client.get("/console").text
    assert "Tamper" in page
    assert "4 meters without supply" in page
    assert 'data-testid="no-supply"' in client.get("/console/meters/1").text
    assert 'data-testid="no-supply"' not in client.get("/console/meters/8").text
    assert "terminal cover removed" in client.get("/console/meters/6").text


def test_a_household_sees_its_own_supply_only(fresh: Ami, street: Street) -> None:
    home = sign_in(fresh, "home-002")
    assert street.open()
    assert home.get("/api/meters/2/supply").json()["supplied"] is False
    assert home.get("/api/meters/1/supply").status_code == 403
    for path in ("/console/outages", "/console/events", "/api/outages", "/api/events"):
        assert home.get(path).status_code == 403


def test_the_empty_rooms_say_what_to_do(empty: Ami) -> None:
    client = sign_in(empty, "utility")
    assert "No topology yet" in client.get("/console/outages").text
    assert "No event fits" in client.get("/console/events").text
    assert outages.open_outages(empty.engine) == []


def test_the_line_of_a_day_counts_who_was_without_supply_in_each_quarter_hour(fresh: Ami) -> None:
    """Also who lost it forty days before; one that ends as a step begins is not in that."""
    hang(fresh.engine, range(1, 9))
    day_s = 86_400
    for number, began_s, ended_s in (
        (1, -40 * day_s, None),
        (5, 450.0, 500.0),
        (6, 900.0, 1800.0),
        (7, day_s - 100.0, None),
        (8, -5000.0, -4000.0),
    ):
        street = Street(fresh.engine, fresh.now_us - day_s * S)
        street._counter = number * 100
        street.now_s = began_s
        street.gasp([number])
        street.sit(2.1)
        street.answer(lit={*range(2, 9)} - {number})
        if ended_s is not None:
            street.tell(
                number, EventCode.POWER_RETURNED, seconds=round(ended_s - began_s), at_s=ended_s
            )
            street.sit()
    counts = outageview.state(fresh.context, fresh.now_us).line.counts
    assert counts == [2, 2, *[1] * 93, 2]


def test_a_storm_is_shown_in_parts(fresh: Ami, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty outages at most stand in the list, and each more costs no more questions."""

    def begin(numbers: range) -> None:
        with transaction(fresh.engine) as connection:
            for number in numbers:
                outage_id = outages.begin(
                    connection,
                    Outage(
                        scope=Scope.METER,
                        place=f"meter {number}",
                        region="north",
                        began_us=fresh.now_us,
                        found_real_us=1,
                        verified=True,
                        sentence="it is silent",
                    ),
                )
                outage_members.put_members(
                    connection,
                    [
                        Member(
                            outage_id=outage_id,
                            meter_id=number,
                            lost_us=fresh.now_us - 1,
                            returned_us=None,
                            evidence=Evidence.PRESUMED,
                        )
                    ],
                )

    asked: list[str] = []
    begin(range(1, 3))
    event.listen(fresh.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    few = outageview.state(fresh.context, fresh.now_us)
    assert [(row.dark, row.presumed, row.back) for row in few.open] == [(1, 1, 0)] * 2
    once = len(asked)
    begin(range(3, 63))
    asked.clear()
    many = outageview.state(fresh.context, fresh.now_us)
    assert len(asked) == once
    assert (len(many.open), many.open_in_all) == (50, 62)
    assert many.line.counts[-1] == 62
    client = sign_in(fresh, "utility")
    assert "and 12 more, of fewer meters each" in client.get("/console/outages").text
    monkeypatch.setattr("openami.web.outageview.MOST_DOTS", 40)  # so three at a feeder
    hang(fresh.engine, range(1, 9))
    page = client.get("/console/outages/state").text
    assert "4 supplied" in page
    assert "meterdot lit" in page


def test_of_many_feeders_the_dark_and_the_worst_are_shown(fresh: Ami) -> None:
    names = [f"f{number:02}" for number in range(60)]
    rows = [
        topology.Place(meter_id=number, transformer=f"{name}-t", feeder=name)
        for number, name in enumerate(names, 1)
    ]
    topology.put(fresh.engine, rows)
    quiet = outageview.state(fresh.context, fresh.now_us)
    assert [branch.name for branch in quiet.tree] == names[: outageview.MOST_FEEDERS]
    assert (quiet.meters, quiet.other_feeders, quiet.others_lit) == (60, 48, False)

    street = Street(fresh.engine, fresh.now_us - 3600 * S)
    street.gasp([8])
    street.sit(2.1)
    street.answer(lit=set())
    street.sit(6.1)
    found = outageview.state(fresh.context, fresh.now_us)
    assert [(branch.name, branch.dark) for branch in found.tree] == [("f07", 1)]
    assert (found.other_feeders, found.others_lit, found.feeders) == (59, True, 60)
    assert len(found.months) == outageview.MOST_MONTHS
    assert (found.months[0].feeder, found.months[0].indices.sustained) == ("f07", 1)
    page = sign_in(fresh, "utility").get("/console/outages").text
    assert "59 more feeders with supply everywhere" in page
    assert "The 50 of 60 feeders that were without supply longest" in page
