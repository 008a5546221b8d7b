# SPDX-License-Identifier: Apache-2.0
"""The household app and what it reads."""

import csv
import io
import re
from dataclasses import replace
from html import unescape

from openami.exchange.channels import Channel
from openami.store import live, registry
from openami.web import fleet, meterview
from openami.web.money import load_prices
from web.ami import ESTIMATED_METER, PERIOD_US, ZONE, Ami
from web.clients import TestClient, sign_in


def words(text: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))).replace("\u2009", " ")


def test_now_shows_power_its_cost_and_its_label(home: TestClient) -> None:
    text = words(home.get("/home").text)
    assert "640 W" in text
    assert "$0.17 an hour · shoulder price" in text
    assert "shape within the half-hour is simulated" in text


def test_today_is_the_sum_of_the_day_and_its_price(seen: Ami, home: TestClient) -> None:
    span = seen.context.calendar.day(seen.context.calendar.date_of(seen.now_us))
    series = seen.context.readings.series(ESTIMATED_METER, Channel.IMPORT_WH, span)
    figures = home.get("/api/meters/2/today").json()
    assert figures["so_far_wh"] == sum(series.values)
    cost = load_prices(None, ZONE).cost(series.starts_us, series.values)
    assert figures["cost"] == f"{cost:.2f}"
    assert figures["unmeasured"] == 3  # the gap
    assert figures["usual_days"] == 7
    assert 0 < figures["usual_so_far_wh"] < figures["usual_wh"]


def test_a_usual_day_is_the_mean_of_whole_days(seen: Ami) -> None:
    calendar = seen.context.calendar
    meter = meterview.usual(seen.context, registry.meter(seen.engine, 2), seen.now_us)
    today = calendar.date_of(seen.now_us)
    totals = []
    for back in range(1, 8):
        span = calendar.day(today.fromordinal(today.toordinal() - back))
        totals.append(sum(seen.context.readings.series(2, Channel.IMPORT_WH, span).values))
    assert meter.usual_wh == round(sum(totals) / 7)


def test_a_region_is_shown_where_enough_homes_are_in_it(home: TestClient) -> None:
    text = words(home.get("/home").text)
    assert "Region south" in text
    assert "12 homes together" in text
    load = home.get("/api/regions/south/load").json()
    assert not load["hidden"]
    assert load["now_w"] > 0
    assert len(load["today"]["power_w"]) == 48
    assert load["today"]["power_w"][0] > 0
    assert load["today"]["power_w"][-1] is None, "the future is no zero"


def test_a_region_with_few_homes_stays_hidden_from_households(fresh: Ami) -> None:
    client = sign_in(fresh, "home-002")
    assert "at least 10 homes" in words(client.get("/home").text)
    load = client.get("/api/regions/south/load").json()
    assert load["hidden"]
    assert load["now_w"] is None
    assert set(load["today"]["power_w"]) == {None}
    assert not sign_in(fresh, "utility").get("/api/regions/south/load").json()["hidden"]


def test_estimates_and_gaps_are_told_apart_in_the_columns(home: TestClient) -> None:
    today = home.get("/api/meters/2/day").json()
    assert today["state"].count("x") == 3
    assert today["value"][today["state"].index("x")] is None
    assert today["state"].endswith("f")
    before = home.get("/api/meters/2/day?day=2026-10-14").json()
    assert before["state"].count("e") > 10
    assert len(before["state"]) == 48


def test_a_day_on_which_the_clock_is_put_forward_has_46_half_hours(home: TestClient) -> None:
    day = home.get("/api/meters/2/day?day=2026-10-04").json()
    assert len(day["start_s"]) == 46
    assert "x" not in day["state"]


def test_an_unfinished_day_is_marked_in_the_bars(home: TestClient) -> None:
    week = home.get("/api/meters/2/days?span=week").json()
    assert week["day"][0] == "2026-10-12"
    assert week["finished"] == [True, True, True, False, False, False, False]
    assert week["empty"] == [False, False, False, False, True, True, True]
    assert week["missing"][3] == 3
    assert week["estimated"][1] > 0


def test_use_says_what_is_not_measured_and_offers_table_and_file(home: TestClient) -> None:
    text = home.get("/home/use?span=week").text
    assert "half-hours are estimated" in text
    assert 'data-testid="use-table"' in text
    assert "from=2026-10-12&amp;to=2026-10-15" in text


def test_use_before_the_installation_says_so(home: TestClient) -> None:
    text = words(home.get("/home/use?span=day&day=2026-09-01").text)
    assert "Nothing was measured here" in text


def test_the_file_has_quality_and_version(home: TestClient) -> None:
    answer = home.get("/api/meters/2/readings.csv?from=2026-10-14&to=2026-10-15")
    assert answer.headers["content-type"].startswith("text/csv")
    assert "openami-meter-2-2026-10-14-2026-10-15.csv" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert rows[0]["start_local"] == "2026-10-14T00:00:00+11:00"
    assert rows[0]["start_utc"] == "2026-10-13T13:00:00Z"
    states = {row["state"] for row in rows}
    assert {"measured", "estimated", "suspect"} <= states
    assert all(row["version"] == "1" for row in rows)
    assert any("mean of like days" in row["reason"] for row in rows)


def test_the_file_of_a_mad_span_is_refused(home: TestClient) -> None:
    for query in ("from=2026-10-15&to=2026-10-14", "from=1990-01-01&to=2026-10-14"):
        answer = home.get(f"/api/meters/2/readings.csv?{query}")
        assert answer.status_code == 409
        assert "no span" in answer.json()["error"]


def test_a_question_that_cannot_be_read_is_refused(home: TestClient) -> None:
    answer = home.get("/api/meters/2/day?day=yesterday")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("day:")
    assert home.get("/api/meters/2/day?channel=77").status_code == 409
    assert home.get("/home/use?span=century").status_code == 422


def test_more_shows_the_meter_and_the_price(home: TestClient) -> None:
    text = words(home.get("/home/more").text)
    assert "4F414D0000000002" in text
    assert "$0.2700 a kWh" in text
    assert "demo: real load replayed" in text


def test_a_regions_power_is_known_while_some_meters_are_ahead(fresh: Ami) -> None:
    """The half-hour that all have told is shown until nearly all have told the next one."""
    meters = registry.meters(fresh.engine, region="south")
    before = fleet.load_now(fresh.context, "south")
    assert before[0] is not None
    for number, meter in enumerate(meters):
        if number % 2:
            (told,) = live.latest(fresh.engine, meter_ids=[meter.meter_id], channels=[1])
            ahead = replace(told, start_us=told.start_us + PERIOD_US, value=9999)
            live.put_latest(fresh.engine, [ahead])
    assert fleet.load_now(fresh.context, "south") == before
