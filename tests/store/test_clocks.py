# SPDX-License-Identifier: Apache-2.0
"""What is kept of meters' clocks, how fast they drift, what was made of that."""

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from openami.exchange.commands import CommandKind, CommandState
from openami.runtime.clock import MICROSECONDS
from openami.store import clocks, commands
from openami.store.clocks import Kept, Measured, Suspicion, drift

DAY_US = 86_400 * MICROSECONDS


def measured(
    day: float, off_s: float | None, meter_id: int = 1, *, moved: bool = False
) -> Measured:
    return Measured(
        meter_id=meter_id,
        measured_us=round(day * DAY_US),
        deviation_s=off_s,
        uncertainty_s=0.25,
        status=0,
        moved=moved,
        worker="headend",
    )


def record(engine: Engine, each: Measured, *, settled: bool = False, keep: int = 30) -> Kept:
    return clocks.record(engine, each, tolerated_s=30.0, settled=settled, keep=keep)


@pytest.mark.parametrize(
    ("history", "drift_s", "uncertainty_s"),
    [
        ([(0, 1.0), (1, 3.0), (2, 5.5)], 2.25, 0.25),
        ([(0, 10.0), (1, 14.0), (1.5, 0.0, True), (2.5, 4.0)], 4.0, 0.5),  # a command between
        ([(0, 10.0), (1, 14.0), (2, 500.0), (3, 504.0)], 4.0, 0.5),  # somebody else turned it
        ([(0, 1.0), (1, None), (2, 5.0), (3, 6.0)], 1.0, 0.5),  # it told no time in between
    ],
)
def test_a_drift_is_told_from_what_nobody_turned(
    history: list[tuple[float, float]], drift_s: float, uncertainty_s: float
) -> None:
    rows = [measured(day, off, moved=bool(moved)) for day, off, *moved in history]
    found = drift(rows)
    assert found is not None
    assert found.drift_s == pytest.approx(drift_s)
    assert found.uncertainty_s == pytest.approx(uncertainty_s)


@pytest.mark.parametrize(
    "history",
    [[], [(0, 1.0)], [(0, 1.0), (0.01, 1.1)], [(0, 1.0), (1, 900.0)], [(0, 1), (1, None)]],
)
def test_what_tells_no_drift_tells_none(history: list[tuple[float, float | None]]) -> None:
    assert drift([measured(day, off) for day, off in history]) is None


def test_a_clock_is_kept_as_it_was_measured_last_with_a_bounded_history(engine: Engine) -> None:
    for day in range(8):
        kept = record(engine, measured(day, 2.0 * day), keep=5)
        record(engine, measured(day, 0.0, meter_id=2), keep=5)
    assert clocks.latest(engine, 1) == kept
    assert (kept.deviation_s, kept.measured_us) == (14.0, 7 * DAY_US)
    assert kept.drift_s == pytest.approx(2.0)
    assert kept.drift_uncertainty_s == pytest.approx(0.125)
    assert [each.deviation_s for each in clocks.history(engine, 1)] == [6.0, 8.0, 10.0, 12.0, 14.0]
    assert len(clocks.history(engine, 2)) == 5
    assert clocks.latest(engine, 3) is None
    assert clocks.of(engine, [1, 2, 3]).keys() == {1, 2}


def test_what_was_made_of_a_measurement_stands_until_the_next_is_judged(engine: Engine) -> None:
    first = record(engine, measured(1, -90.0))
    record(engine, measured(1.1, 0.2, meter_id=2), settled=True)
    assert clocks.to_judge(engine, DAY_US - 1, 10) == []
    assert clocks.to_judge(engine, DAY_US, 10) == [first]

    clocks.judge(engine, first, said="90 s slow", notice=True, asked=(5, "command"))
    assert clocks.to_judge(engine, 9 * DAY_US, 10) == []
    second = record(engine, measured(2, -91.0))
    assert (second.judged, second.notice, second.said) == (False, True, "90 s slow")
    assert (second.asked_us, second.command_id) == (5, "command")
    clocks.judge(engine, first, said="too late", notice=False)  # of an older measurement
    assert clocks.latest(engine, 1) == second
    assert clocks.noticed_count(engine) == 1
    third = record(engine, measured(3, 0.1), settled=True)
    assert (third.judged, third.notice, third.said, third.asked_us) == (True, False, "", 5)
    assert clocks.corrected_since(engine, 5) == 1
    assert clocks.corrected_since(engine, 6) == 0


def test_the_sample_has_the_newest_and_none_that_follow_a_command(engine: Engine) -> None:
    for each in (measured(1, 5.0), measured(2, 6.0), measured(2.1, 0.0, moved=True)):
        record(engine, each)
    record(engine, measured(3, None, meter_id=2))
    assert [each.measured_us // DAY_US for each in clocks.sample(engine, 0, 10)] == [3, 2, 1]
    assert [each.meter_id for each in clocks.sample(engine, 0, 1)] == [2]
    assert clocks.sample(engine, 4 * DAY_US, 10) == []


def test_all_clocks_at_a_glance(engine: Engine) -> None:
    assert clocks.summary(engine).measured == 0
    for meter_id, off_s in enumerate([0.0, 20.0, -40.0, None], start=1):
        record(engine, measured(0, 0.0, meter_id))
        kept = record(engine, measured(meter_id, off_s, meter_id))
        clocks.judge(engine, kept, said="", notice=off_s is None)
    found = clocks.summary(engine)
    assert (found.measured, found.within, found.noticed, found.timeless) == (4, 2, 1, 1)
    assert found.ahead_s == pytest.approx(10.0)
    assert found.drift_s == pytest.approx((0 + 10 - 40 / 3) / 3)
    assert found.oldest_us == DAY_US
    assert [each.meter_id for each in clocks.worst(engine)] == [4, 3, 2, 1]
    assert [each.meter_id for each in clocks.worst(engine, 10, notice=True)] == [4]
    assert clocks.workers(engine) == ["headend"]


def test_whom_a_person_trusts_stays_trusted(engine: Engine) -> None:
    suspected = Suspicion(worker="a", suspected_us=7, sentence="all are slow")
    clocks.suspect(engine, [suspected])
    clocks.trust(engine, ["a", "b"], 100)
    found = clocks.suspicions(engine)
    assert found["a"] == replace(suspected, sentence="", trusted_until_us=100)
    assert found["b"] == Suspicion(worker="b", trusted_until_us=100)
    clocks.suspect(engine, [replace(suspected, suspected_us=8)])
    assert clocks.suspicions(engine)["a"].trusted_until_us == 100


def test_open_commands_of_an_asker_are_counted(engine: Engine) -> None:
    for meter_id, who in ((1, "clock keeping"), (2, "clock keeping"), (3, "somebody")):
        last = commands.ask(
            engine, meter_id=meter_id, kind=CommandKind.CLOCK, asked_by=who, reason="slow"
        )
    assert clocks.under_way(engine, "clock keeping") == 2
    commands.advance(engine, last, {CommandState.REQUESTED}, CommandState.CANCELLED, "")
    assert clocks.under_way(engine, "somebody") == 0
