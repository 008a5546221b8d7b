# SPDX-License-Identifier: Apache-2.0
"""The console: its figures, states, filters, commands."""

import re
from datetime import UTC, datetime
from html import unescape

import pytest
from sqlalchemy import insert, update

from openami.exchange.commands import CommandState
from openami.exchange.field import ClockState, FirmwareState, Notice, NoticeCode
from openami.runtime.clock import from_us, to_us
from openami.store import clocks, commands, data_quality, field, registry, supply, tables
from openami.store.database import transaction
from openami.store.registry import set_breaker
from openami.store.supply import UplinkState
from openami.web import fleet
from web.ami import (
    DETACHED_METER,
    ESTIMATED_METER,
    LATE_METER,
    PERIOD_US,
    UTILITY_PASSWORD,
    Ami,
    advance,
    tell_statuses,
)
from web.clients import TestClient, sign_in


def words(text: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).replace("\u2009", " ")


def test_today_names_every_cause(seen: Ami, utility: TestClient) -> None:
    tell_statuses(seen)
    text = words(utility.get("/console").text)
    for cause in (
        "Command in doubt",
        "Message rejected",
        "Meter detached",
        "Alarm event",
        "Gap resists",
    ):
        assert cause in text
    assert "5 things need a look" in text
    assert "demo calendar ×120" in text


def test_a_process_that_says_nothing_is_an_alarm(
    seen: Ami, utility: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_statuses(seen)
    monkeypatch.setattr("openami.runtime.status.FRESH_S", -1.0)
    text = words(utility.get("/console").text)
    assert "concentrator-north, concentrator-south, fleet and 2 more said nothing" in text


def test_today_measures_the_read_rate_against_what_should_be_here(seen: Ami) -> None:
    state = fleet.today(seen.context, seen.now_us)
    # 12 October 11:00 local is the UTC midnight; 14:20 less the pipeline's 24 minutes is 13:56.
    assert state.rate.expected == seen.meters * 5
    assert state.rate.actual == seen.meters * 5 - 5  # one meter is detached
    assert [region.name for region in state.regions] == ["north", "south"]
    assert state.regions[1].rate.share == 1.0
    assert len(state.days) == 14


def test_today_shows_what_a_concentrator_runs(fresh: Ami) -> None:
    title = b"OAM\xc0\x00\x00\x00\x01"
    runs = FirmwareState(
        version="1.1.0",
        digest=b"\x07" * 32,
        signer=b"\x08" * 32,
        counter=3,
        bank=1,
        trial=True,
        problem="",
    )
    page = sign_in(fresh, "utility")
    assert "concentrator-firmware" not in page.get("/console").text
    field.store(fresh.engine, [field.Said(title, runs, 8)])
    assert "firmware 1.1.0 in bank B, counter 3, on trial" in words(page.get("/console").text)


def clock_of(offset_us: int, *, kept: bool | None = None) -> ClockState:
    return ClockState(
        offset_us=offset_us,
        uncertainty_us=4000,
        limit_us=5_000_000,
        past_limit=abs(offset_us) > 5_000_000,
        kept=kept,
    )


def test_today_shows_whose_clock_is_off(fresh: Ami) -> None:
    north, south = b"OAM\xc0\x00\x00\x00\x01", b"OAM\xc0\x00\x00\x00\x02"
    page = sign_in(fresh, "utility")

    def said(concentrator: bytes, clock: ClockState) -> str:
        field.store(fresh.engine, [field.Said(concentrator, clock, 8)])
        return words(page.get("/console").text)

    text = said(north, ClockState(limit_us=5_000_000, past_limit=False))
    assert "clock not compared with the head-end's" in text
    text = said(north, clock_of(12_000))
    assert "clock 12 ms behind the head-end's, ±4 ms" in text
    assert "Clock off" not in text
    text = said(north, clock_of(-7_260_000_000))
    assert "clock 2 h ahead of the head-end's, ±4 ms" in text
    assert "the host of north has another time than the head-end" in text
    text = said(south, clock_of(-7_260_500_000))
    assert "north, south agree against the head-end" in text
    clocks.agree_against(fresh.engine, "headend", 1)  # the head-end follows: one alarm, not two
    text = words(page.get("/console").text)
    assert "agree against the head-end" not in text
    assert "headend may have a wrong clock, and corrects no meter's (the clocks of conc" in text
    clocks.agree_against(fresh.engine, "headend", 0)
    text = said(south, clock_of(1_300_000, kept=True))
    assert "clock 1.3 s behind" in text
    assert "the host of north has" in text


def test_today_shows_how_a_concentrator_is_reached(fresh: Ami) -> None:
    north = b"OAM\xc0\x00\x00\x00\x01"
    at_us = to_us(datetime(2026, 10, 15, 3, 0, tzinfo=UTC))
    for path in fresh.context.config.run.glob("concentrator-north*"):
        path.unlink()  # it runs on another machine

    def shown(*, up: bool) -> str:
        state = UplinkState(concentrator=north, up=up, worker="w", since_us=1, since_real_us=at_us)
        supply.set_uplinks(fresh.engine, [state])
        (found,) = re.findall(
            r'data-testid="concentrator">.*?</td>', page.get("/console").text, re.DOTALL
        )[:1]
        return words(found)

    page = sign_in(fresh, "utility")
    assert "connected" in shown(up=True)
    assert "away since 15 Oct 14:00" in shown(up=False)
    notice = Notice(number=1, at=from_us(at_us), code=NoticeCode.STOPPED)
    field.store(fresh.engine, [field.Said(north, [notice], at_us)])
    assert "stopped in order at 15 Oct 14:00" in shown(up=False)
    assert "connected" in shown(up=True)


def test_an_ami_without_troubles_is_normal(seen: Ami, empty: Ami) -> None:
    assert fleet.today(empty.context, empty.now_us).alarms == []
    assert fleet.today(seen.context, seen.now_us).alarms != []


def test_today_without_meters_says_where_they_come_from(empty: Ami) -> None:
    text = words(sign_in(empty, "utility").get("/console").text)
    assert "No meter is in the registry yet" in text
    assert "shipment file" in text


@pytest.mark.parametrize("path", ["/console/meters", "/console/quality", "/console/jobs"])
def test_every_room_has_an_empty_state(path: str, empty: Ami) -> None:
    assert 'class="empty"' in sign_in(empty, "utility").get(path).text


def rows(client: TestClient, query: str) -> list[int]:
    text = client.get(f"/console/meters?{query}").text
    return [
        int(number)
        for number in re.findall(r'<td class="number"><a href="/console/meters/(\d+)"', text)
    ]


def test_the_table_of_meters_is_filtered_by_the_address(seen: Ami, utility: TestClient) -> None:
    assert len(rows(utility, "")) == seen.meters
    assert all(number % 2 == 0 for number in rows(utility, "region=south"))
    assert rows(utility, "state=detached") == [DETACHED_METER]
    assert rows(utility, "state=gaps") == [ESTIMATED_METER, DETACHED_METER]
    assert rows(utility, "q=4F414D000000000A") == [10]
    assert rows(utility, "q=zzz") == []


def test_filtering_answers_htmx_with_the_table_alone(utility: TestClient) -> None:
    text = utility.get("/console/meters?q=7", headers={"HX-Target": "meters-table"}).text
    assert text.lstrip().startswith("<div")
    assert "<html" not in text


def test_a_meters_page_says_what_it_replays_and_labels_it(utility: TestClient) -> None:
    text = words(utility.get("/console/meters/2").text)
    assert "demo: real load replayed" in text
    assert "home 2, week of 2012-03-04, shifted by 5,110 days" in text
    assert "shape within the half-hour is simulated" in text
    assert "power failed" in text
    assert "vee.spike" in text


def test_a_day_of_the_past_has_its_own_address(utility: TestClient) -> None:
    text = words(utility.get("/console/meters/2?day=2026-10-14").text)
    assert "Wed 14 Oct" in text
    assert "mean of like days" in text


def test_a_day_of_the_future_is_today(utility: TestClient) -> None:
    assert "Thu 15 Oct · today" in words(utility.get("/console/meters/2?day=2030-01-01").text)


def test_lineage_shows_every_version_and_the_way_of_its_message(
    seen: Ami, utility: TestClient
) -> None:
    late = seen.context.settled_us(seen.now_us) // PERIOD_US * PERIOD_US - 58 * PERIOD_US
    text = words(utility.get(f"/console/meters/{LATE_METER}/interval?start_us={late}").text)
    assert "2 · now" in text
    assert "measured" in text
    assert "made by validation" in text
    assert "estimated: mean of like days" in text
    assert "profile by north · 412 octets · key epoch 1" in text
    assert "intake.changed" in text
    versions = utility.get(f"/api/meters/{LATE_METER}/versions?start_us={late}").json()
    assert [(row["version"], row["state"]) for row in versions] == [(1, "e"), (2, "m")]


def test_an_interval_without_a_value_says_so(utility: TestClient) -> None:
    text = words(utility.get("/console/meters/2/interval?start_us=1").text)
    assert "No value has come" in text


def ask(client: TestClient, meter_id: int, kind: str, reason: str = "unpaid since May") -> str:
    answer = client.post(
        f"/console/meters/{meter_id}/commands",
        data={"kind": kind, "reason": reason},
        headers={"HX-Request": "true"},
    )
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_disconnect_is_a_row_whose_progress_is_shown_until_its_end(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    text = ask(client, 4, "disconnect")
    command = commands.commands(fresh.engine, meter_id=4)[0]
    assert (command.state, command.reason) == (CommandState.REQUESTED, "unpaid since May")
    assert command.asked_by == "utility"
    assert 'hx-trigger="every 1s"' in text
    assert "asked by utility" in text

    assert "still works on a disconnect" in ask(client, 4, "disconnect"), "one at a time"
    assert len(commands.commands(fresh.engine, meter_id=4)) == 1

    advance(fresh, command.command_id, CommandState.CONFIRMED)
    set_breaker(fresh.engine, 4, 0, fresh.now_us)
    text = client.get("/console/meters/4/breaker").text
    assert "every 1s" not in text
    assert "Disconnected" in words(text)
    assert "Connect supply again" in words(text), "the way back"
    assert "the control state was read back" in words(text)
    assert "disconnect" in words(client.get("/console/jobs?state=confirmed").text)


def test_a_command_in_doubt_is_explained(utility: TestClient) -> None:
    text = words(utility.get("/console/meters/6").text)
    assert "neither done nor not done" in text
    assert "not sent again by itself" in text


def test_a_command_works_without_scripts(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    answer = client.post(
        "/console/meters/4/commands", data={"kind": "read", "reason": "read on demand"}
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/console/meters/4#supply")


def test_what_a_read_answered_stands_with_its_units(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    ask(client, 4, "read")
    asked = commands.commands(fresh.engine, meter_id=4)[0]
    advance(fresh, asked.command_id, CommandState.SENT)
    result: commands.Argument = {
        "power_w": 446,
        "voltage_dv": 2269,
        "import_wh": 77917,
        "note": "x",
    }
    commands.advance(
        fresh.engine,
        asked.command_id,
        {CommandState.SENT},
        CommandState.CONFIRMED,
        "registers read",
        result=result,
    )
    text = words(client.get("/console/meters/4/breaker").text)
    assert "446 W · 226.9 V · 77.917 kWh import · note x" in text


def test_a_finished_command_leaves_the_panel_but_not_the_list(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(fresh, "utility")
    path = "/console/meters/7"
    assert 'data-testid="progress"' in client.get(path).text
    monkeypatch.setattr("openami.web.routes.commands.SHOWN_US", 0)
    text = client.get(path).text
    assert 'data-testid="progress"' not in text
    assert "move out on 15 October" in text
    assert "in doubt" in words(client.get("/console/meters/6/breaker").text), "that one stays"


@pytest.mark.parametrize(
    "form",
    [
        {"kind": "explode", "reason": "because"},
        {"kind": "disconnect", "reason": ""},
        {"kind": "disconnect"},
        {"kind": "disconnect", "reason": "x" * 201},
    ],
)
def test_a_command_that_makes_no_sense_is_refused_in_a_sentence(
    form: dict[str, str], fresh: Ami
) -> None:
    client = sign_in(fresh, "utility")
    answer = client.post("/console/meters/4/commands", data=form)
    assert answer.status_code == 422
    assert "Not understood" in answer.text
    assert commands.commands(fresh.engine, meter_id=4) == []


def test_a_command_for_an_unknown_meter_is_refused(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    body = {"kind": "read", "reason": "curious"}
    assert client.post("/api/meters/999/commands", json=body).status_code == 404


def test_the_api_follows_a_command(fresh: Ami) -> None:
    client = sign_in(fresh, "utility", UTILITY_PASSWORD)
    body = {"kind": "read", "reason": "curious"}
    command_id = client.post("/api/meters/4/commands", json=body).json()["command_id"]
    answer = client.get(f"/api/commands/{command_id}").json()
    assert (answer["state"], answer["meter_id"]) == ("requested", 4)
    assert len(answer["history"]) == 1
    assert client.post("/api/meters/4/commands", json=body).status_code == 409
    assert client.get("/api/commands/nothing").status_code == 404


def test_data_quality_lists_gaps_findings_and_what_was_rejected(utility: TestClient) -> None:
    text = words(utility.get("/console/quality").text)
    assert "the meter is not attached" in text
    assert "the authentication tag is wrong" in text
    assert "intake.changed" in text
    only = words(utility.get("/console/quality?code=vee.spike").text)
    assert "ratio 2.31" in only
    assert "before_wh" not in only


def test_a_finding_names_its_channel(fresh: Ami) -> None:
    for number, name in ((1, "import"), (2, "export"), (4, "export register")):
        finding = data_quality.Finding(
            meter_id=4, channel=number, start_us=0, code="vee.made", numbers={}, found_us=0
        )
        data_quality.add_findings(fresh.engine, [finding])
        text = words(sign_in(fresh, "utility").get("/console/quality?code=vee.made").text)
        assert f"vee.made {name}" in text


def test_gaps_are_counted_in_intervals_of_their_meters(fresh: Ami) -> None:
    gaps = data_quality.gaps(fresh.engine, states=["open"])
    by_half_hours = sum(gap.to_us - gap.from_us for gap in gaps) // 1_800_000_000
    client = sign_in(fresh, "utility")
    assert client.get("/api/fleet").json()["gap_intervals"] == by_half_hours
    with transaction(fresh.engine) as connection:
        connection.execute(update(tables.meters).values(capture_period_s=900))
    assert client.get("/api/fleet").json()["gap_intervals"] == 2 * by_half_hours


def test_a_filled_gap_does_not_repeat_why_it_once_was_open(fresh: Ami) -> None:
    client = sign_in(fresh, "utility")
    (gap,) = data_quality.gaps(fresh.engine, meter_id=DETACHED_METER)
    page = f"/console/meters/{DETACHED_METER}"
    assert "the meter is not attached" in words(client.get(page).text)
    data_quality.close_gaps(fresh.engine, [gap.gap_id], data_quality.FILLED)
    text = words(client.get(page).text)
    assert "filled" in text
    assert "the meter is not attached" not in text


def test_what_comes_from_outside_is_escaped(fresh: Ami) -> None:
    registry.set_source(fresh.engine, 4, "<script>alert(1)</script>")
    data_quality.attempt(fresh.engine, 1, 0, '"><img src=x onerror=alert(1)>')
    client = sign_in(fresh, "utility")
    for path in ("/console/meters", "/console/meters/4", "/console/quality"):
        text = client.get(path).text
        assert "<script>alert" not in text
        assert "<img src=x" not in text


@pytest.mark.parametrize(
    "path",
    [
        *("/console", "/console/today/state", "/console/meters?region=north&q=1"),
        *("/console/meters/2", "/console/quality", "/console/events", "/console/outages/state"),
        *("/api/fleet", "/api/meters", "/home"),
    ],
)
def test_no_page_reads_the_whole_registry(
    path: str,
    seen: Ami,
    utility: TestClient,
    home: TestClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The console renews itself every other second; ten thousand meters are counted, not read."""

    def refuse(*_args: object, **_more: object) -> None:
        raise AssertionError(f"{path} reads every meter")

    monkeypatch.setattr(registry, "meters", refuse)
    monkeypatch.setattr(registry, "attachments", refuse)
    client = home if path == "/home" else utility
    assert client.get(path).status_code == 200
    assert seen.meters == 24


def test_more_commands_than_a_list_holds_are_counted(fresh: Ami) -> None:
    row = {
        "kind": "read",
        "argument": "{}",
        "state": "requested",
        "asked_by": "test",
        "reason": "many",
        "asked_real_us": 1,
        "valid_until_real_us": 2**50,
    }
    rows = [{**row, "command_id": f"c{n}", "meter_id": n} for n in range(1001)]
    with transaction(fresh.engine) as connection:
        connection.execute(insert(tables.commands), rows)
    assert fleet.today(fresh.context, fresh.now_us).commands_open == 1001


def test_meters_are_handed_out_so_many_at_once(utility: TestClient) -> None:
    found = utility.get("/api/meters?limit=3&after=4").json()
    assert [each["meter_id"] for each in found] == [5, 6, 7]
    found = utility.get("/api/meters?state=disconnected").json()
    assert [each["meter_id"] for each in found] == [7]
    assert utility.get("/api/meters?limit=10001").status_code == 422
