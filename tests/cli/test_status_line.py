# SPDX-License-Identifier: Apache-2.0
"""The live line of `openami up`."""

from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from openami.cli.status_line import calendar_text, silent, status_line
from openami.runtime.status import Figures, Status
from openami.runtime.supervisor import Child, ChildState, Program


def said(process: str, age_s: float = 0.5, **figures: int) -> Status:
    named: Figures = {name.replace("_", " "): value for name, value in figures.items()}
    return Status(process, 1, age_s, named)


def child(name: str, state: ChildState = ChildState.RUNNING, restarts: int = 0) -> Child:
    return Child(Program(name, ()), Path(name), state=state, restarts=restarts)


STATUSES = [
    said("concentrator-north", meters_attached=50, journal=3),
    said("concentrator-south", meters_attached=50, journal=4),
    said("mdm", inbox=7, rows_stored=164_600, gaps_open=2),
    said("web", requests=99),
]
SUNDAY = datetime(2026, 11, 22, 21, 5, tzinfo=ZoneInfo("Australia/Sydney"))


def test_the_line_sums_and_fits_a_terminal() -> None:
    line = status_line(calendar_text(SUNDAY, 120.0), STATUSES, [child("web"), child("mdm")])
    assert line.plain == (
        "Sun 22 Nov 21:05 AEDT ×120 · 2/2 processes · 100 meters · 164,600 values · 2 gaps"
        " · journals 7 · inbox 7"
    )
    assert len(line.plain) < 120


def test_what_a_silent_process_said_does_not_count() -> None:
    hung = [said("concentrator-south", 60.0, meters_attached=50), *STATUSES[:1]]
    children = [child("web", ChildState.PAUSING, restarts=2), child("mdm")]
    line = status_line("", hung, children).plain
    assert "50 meters" in line
    assert "1/2 processes" in line
    assert line.endswith("restarts 2")


def test_silent_are_those_who_spoke_since_the_start() -> None:
    found = [said("fresh", 1.0), said("hung", 30.0), said("of an earlier start", 500.0)]
    assert silent(found, up_s=100.0) == ["hung"]
