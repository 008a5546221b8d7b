# SPDX-License-Identifier: Apache-2.0
"""When something is wrong: a sentence on the page, no trace, the service goes on."""

import logging

import pytest

from openami.runtime.errors import UserError
from openami.store import live
from openami.web import fleet
from web.ami import Ami
from web.clients import TestClient, sign_in, visitor


def test_an_address_that_leads_nowhere(seen: Ami) -> None:
    answer = visitor(seen).get("/nowhere")
    assert answer.status_code == 404
    assert "There is no page at this address." in answer.text
    assert visitor(seen).get("/api/nowhere").json() == {
        "error": "There is no page at this address."
    }


def test_a_method_that_is_not_served(seen: Ami) -> None:
    assert visitor(seen).get("/logout").status_code == 405


def test_a_store_that_does_not_answer_is_told_in_a_sentence(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = sign_in(fresh, "utility")

    def refuse(*_: object) -> None:
        raise UserError("the disk is full: free space")

    monkeypatch.setattr(fleet, "today", refuse)
    answer = client.get("/console")
    assert answer.status_code == 503
    assert "the disk is full: free space" in answer.text
    assert client.get("/api/fleet").json() == {"error": "the disk is full: free space"}
    monkeypatch.setattr(live, "feed_end", refuse)
    assert client.get("/ready").status_code == 503


def test_a_fault_of_ours_has_a_reference_and_shows_no_trace(
    fresh: Ami, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    client = sign_in(fresh, "utility")

    def fail(*_: object) -> None:
        raise RuntimeError("the secret of the trace")

    monkeypatch.setattr(fleet, "today", fail)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/console")
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    record = next(record for record in caplog.records if "reference" in record.message)
    reference = record.message.rsplit(" ", 1)[1]
    assert reference in answer.text
    assert client.get("/console/jobs").status_code == 200, "the service goes on"
    assert answer.headers["content-security-policy"]


FAR = ("0001-01-01", "1970-01-01", "2200-01-01", "9999-12-31")
OUT_OF_REACH = [
    *(f"/api/meters/2/day?day={day}" for day in FAR),
    *(f"/api/meters/2/days?span=month&day={day}" for day in FAR),
    *(f"/api/regions/south/load?day={day}" for day in FAR),
    *(f"/api/meters/2/readings.csv?from={day}&to={day}" for day in FAR),
    *(f"/console/meters/2?day={day}" for day in FAR),
    f"/api/meters/2/versions?start_us={10**22}",
    "/api/meters/2/versions?start_us=-1",
    f"/console/meters/2/interval?start_us={10**22}",
    f"/api/meters/{10**22}",
    f"/console/meters/{10**22}",
]


@pytest.mark.parametrize("path", OUT_OF_REACH)
def test_days_and_numbers_out_of_reach_are_refused_in_a_sentence(
    path: str, utility: TestClient
) -> None:
    answer = utility.get(path)
    assert answer.status_code == 422
    assert "Input should be" in answer.text


@pytest.mark.parametrize("day", ["1970-01-02", "2199-12-30"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/meters/2/day?day={0}",
        "/api/meters/2/days?span=month&day={0}",
        "/api/meters/2/readings.csv?from={0}&to={0}",
        "/api/regions/south/load?day={0}",
        "/console/meters/2?day={0}",
    ],
)
def test_the_first_and_the_last_day_are_shown(path: str, day: str, utility: TestClient) -> None:
    assert utility.get(path.format(day)).status_code == 200


@pytest.mark.parametrize("span", ["day", "week", "month"])
@pytest.mark.parametrize("day", ["1970-01-02", "2199-12-30"])
def test_the_household_goes_as_far(span: str, day: str, home: TestClient) -> None:
    assert home.get(f"/home/use?span={span}&day={day}").status_code == 200
    assert home.get("/home/use?day=0001-01-01").status_code == 422
