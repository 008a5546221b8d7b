# SPDX-License-Identifier: Apache-2.0
"""The figures of all processes, read back by Prometheus' own parser."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from openami.runtime.status import FRESH_S, Status
from openami.web.app import create_app
from openami.web.metrics import exposition
from web.ami import Ami
from web.clients import TestClient

TOKEN = "0123456789abcdef0123456789abcdef"


def read(*statuses: Status) -> dict[tuple[str, str], float]:
    text = exposition(statuses).decode()
    return {
        (sample.name, sample.labels["process"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_figure_is_a_gauge_of_its_process() -> None:
    found = read(
        Status("headend", 1, 0.5, {"meters attached": 7, "Link drops/s": 0.25, "note": "text"}),
        Status("mdm", 2, FRESH_S + 1, {"meters attached": 3}),
    )
    assert found["openami_meters_attached", "headend"] == 7
    assert found["openami_meters_attached", "mdm"] == 3
    assert found["openami_link_drops_s", "headend"] == 0.25
    assert found["openami_up", "headend"] == 1
    assert found["openami_up", "mdm"] == 0
    assert ("openami_note", "headend") not in found


def test_no_process_is_an_answer_too() -> None:
    assert read() == {}


def test_figures_whose_names_become_the_same_are_told_once() -> None:
    text = exposition([Status("web", 1, 0.0, {"a b": 1, "a  b": 2})]).decode()
    assert text.count('openami_a_b{process="web"}') == 1


def test_only_whoever_has_the_token_is_told(empty: Ami) -> None:
    client = TestClient(create_app(empty.context))
    assert client.get("/metrics").status_code == 404
    context = replace(empty.context, config=replace(empty.context.config, metrics_token=TOKEN))
    client = TestClient(create_app(context))
    for wrong in ({}, {"authorization": "Bearer wrong"}, {"authorization": f"Basic {TOKEN}"}):
        refused = client.get("/metrics", headers=wrong, follow_redirects=False)
        assert refused.status_code == 401, "a scraper would take the log-in for figures"
        assert refused.headers["www-authenticate"] == "Bearer"
    told = client.get("/metrics", headers={"authorization": f"Bearer {TOKEN}"})
    assert told.status_code == 200
    assert "# HELP openami_up" in told.text
