# SPDX-License-Identifier: Apache-2.0
"""`openami headend clocks`: at a glance, one meter, and a head-end that is trusted."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from cli.runs import Run
from openami.access.accounts import audit_trail
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime.clock import CalendarState
from openami.runtime.layout import Layout
from openami.store import clocks
from openami.store.clocks import Measured, Suspicion
from openami.store.database import open_database

NOW_US = 1_700_000_000 * 10**6
DAY_US = 86_400 * 10**6


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(capsys, "headend")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "var")
    provision(layout, Plan(meters=3, regions=("north",), installed_us=1800 * 10**6))
    state = CalendarState(
        base_us=NOW_US, epoch_monotonic_s=0.0, speed=1.0, running=False, boot="test"
    )
    state.store(layout.clock)
    return layout


@pytest.fixture
def engine(layout: Layout) -> Iterator[Engine]:
    engine = open_database(layout.database_url, create=True)
    import_shipment(engine, load_shipment(layout.headend / "shipment.json"))
    yield engine
    engine.dispose()


def measure(engine: Engine, meter_id: int, day: int, off_s: float | None) -> clocks.Kept:
    measured = Measured(
        meter_id=meter_id,
        measured_us=NOW_US + day * DAY_US,
        deviation_s=off_s,
        uncertainty_s=0.2,
        status=0,
        worker="headend",
    )
    return clocks.record(engine, measured, tolerated_s=30.0, settled=False, keep=30)


def test_clocks_are_told_at_a_glance_and_one_by_one(
    layout: Layout, engine: Engine, run: Run
) -> None:
    def told(*words: object) -> str:
        done = run("clocks", "--home", layout.headend, *words)
        assert done.status == 0, done.out + done.err
        return done.out

    assert told().startswith("0 measured")
    assert "never measured" in told("--meter", 1)
    for day in range(3):
        measure(engine, 1, day, -40.0 - 4 * day)
    far = measure(engine, 2, 0, 5000.0)
    clocks.judge(engine, far, said="far off", notice=True, asked=(NOW_US, "an-id"))
    measure(engine, 3, 0, None)
    shown = told()
    assert "3 measured, 0 within what is tolerated, 1 for a person" in shown
    assert [line.split()[1] for line in shown.splitlines()[1:]] == ["3", "2", "1"]
    assert "meter 1  -48.0 ± 0.2 s off" in shown
    assert "-4.0 ± 0.2 s a day  beyond 30 s" in shown
    assert "for a person  (far off)" in shown
    assert told("--notices").count("meter ") == 1
    one = told("--meter", 2)
    assert "by command an-id" in one
    said: dict[str, Any] = json.loads(told("--json"))
    assert said["summary"]["measured"] == 3
    assert len(json.loads(told("--meter", 1, "--json"))["history"]) == 3
    refused = run("clocks", "--home", layout.headend, "--meter", 9)
    assert refused.status == 1
    assert "no meter 9" in refused.sentence


def test_a_head_end_that_is_right_is_trusted_and_that_is_written_down(
    layout: Layout, engine: Engine, run: Run
) -> None:
    measure(engine, 1, 0, -90.0)
    clocks.suspect(engine, [Suspicion(worker="headend", suspected_us=5, sentence="all are slow")])
    home = ("--home", layout.headend)
    assert "head-end headend: all are slow" in run("clocks", *home).out
    trust = ("clocks", "trust", *home, "--reason", "chronyc says 3 ms")
    odd = run(*trust, "--worker", "b")
    assert odd.status == 1
    assert "head-end b has measured no clock: there are headend" in odd.sentence
    done = run(*trust, "--hours", "2")
    assert done.out == "headend trusted for 2 h\n"
    held = clocks.suspicions(engine)["headend"]
    assert (held.sentence, held.trusted_until_us) == ("", NOW_US + 7200 * 10**6)
    (line,) = audit_trail(engine, 1)
    assert (line.action, line.object) == ("clocks.trust", "headend: chronyc says 3 ms")
