# SPDX-License-Identifier: Apache-2.0
"""Gaps are exactly what is expected and not measured, whatever the order of arrival."""

import shutil
import tempfile
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from mdm.made import DAY_US, PERIOD_US, T0, fleet, load, message
from openami.mdm.expectation import expected_in_day, expected_range
from openami.mdm.gaps import GapFinder
from openami.mdm.intake import Intake
from openami.runtime.clock import FixedClock
from openami.store import data_quality, inbox, registry
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter

GRACE_US = 600_000_000


def finder(engine: Engine, writer: IntervalWriter, clock: FixedClock) -> GapFinder:
    return GapFinder(
        engine=engine, lake=writer.lake, now_us=clock.now_us, grace_us=lambda: GRACE_US
    )


def ranges(engine: Engine, meter_id: int = 1) -> list[tuple[int, int]]:
    return [
        ((gap.from_us - T0) // PERIOD_US, (gap.to_us - T0) // PERIOD_US)
        for gap in data_quality.gaps(engine, meter_id=meter_id)
    ]


def test_a_gap_opens_grows_splits_and_closes(
    engine: Engine, intake: Intake, clock: FixedClock
) -> None:
    gaps = finder(engine, intake.writer, clock)

    def arrive(*slots: int) -> None:
        inbox.put(engine, [(message(meter, load(slots, meter)), None) for meter in (1, 2, 3)])
        intake.drain()

    arrive(0, 1)
    clock.set(T0 + 2 * PERIOD_US + GRACE_US)
    assert gaps.run() == 0
    clock.set(T0 + 5 * PERIOD_US + GRACE_US - 1)  # the grace of the fifth is not over
    assert gaps.run() == 3
    assert ranges(engine) == [(2, 4)]
    clock.set(T0 + 50 * PERIOD_US + GRACE_US)
    gaps.run()
    assert ranges(engine) == [(2, 50)]  # over midnight in one piece
    arrive(10, 11, 49)
    gaps.run()
    assert ranges(engine) == [(2, 10), (12, 49)]
    assert gaps.run() == 0
    arrive(*range(2, 49))
    gaps.run()
    assert ranges(engine) == []
    assert data_quality.count_gaps(engine) == {"filled": 6}


def test_a_filled_gap_that_is_there_again_begins_anew(
    engine: Engine, intake: Intake, clock: FixedClock
) -> None:
    data_quality.open_gaps(engine, [(1, T0, T0 + PERIOD_US)], 5)
    (gap,) = data_quality.gaps(engine)
    data_quality.attempt(engine, gap.gap_id, 0)
    data_quality.close_gaps(engine, [gap.gap_id], data_quality.FILLED)
    clock.set(T0 + PERIOD_US + GRACE_US)

    finder(engine, intake.writer, clock).run()

    gap = data_quality.gaps(engine, meter_id=1)[0]
    assert (gap.found_us, gap.attempts, gap.state) == (clock.now_us(), 0, "open")


def test_nothing_is_read_from_the_lake_while_nothing_changes(
    engine: Engine, intake: Intake, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gaps = finder(engine, intake.writer, clock)
    gaps.run()

    def never(*_arguments: object) -> None:
        raise AssertionError("read")

    monkeypatch.setattr("openami.store.intervals.Lake.values", never)
    assert gaps.run() == 0


@given(
    st.lists(st.sets(st.integers(0, 120), min_size=1), min_size=1, max_size=4),
    st.lists(st.integers(1, 130), min_size=4, max_size=4),
)
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
def test_gaps_are_what_is_expected_and_not_there(
    arriving: list[set[int]], moments: list[int]
) -> None:
    folder = Path(tempfile.mkdtemp())
    engine = open_database(f"sqlite:///{folder / 'x.db'}", create=True)
    registry.import_meters(engine, fleet(1))
    writer = IntervalWriter(folder / "lake")
    clock = FixedClock(T0)
    intake = Intake(engine, writer, ZoneInfo("UTC"), 1800, clock.now_us)
    gaps = finder(engine, writer, clock)
    there: set[int] = set()
    try:
        for slots, moment in zip(arriving, sorted(moments), strict=False):
            inbox.put(engine, [(message(1, load(sorted(slots))), None)])
            intake.drain()
            there |= slots
            clock.set(T0 + moment * PERIOD_US + GRACE_US)
            gaps.run()
            found = [slot for first, after in ranges(engine) for slot in range(first, after)]
            assert found == [slot for slot in range(moment) if slot not in there]
    finally:
        writer.close()
        engine.dispose()
        shutil.rmtree(folder)


def test_expectation_begins_with_the_meter_and_ends_now() -> None:
    (meter,) = fleet(1, installed_us=T0 + 1)  # between two captures: the next one is the first
    day = T0 // DAY_US

    assert expected_in_day(meter, day, T0 + DAY_US) == 47
    assert expected_in_day(meter, day, T0 + 3 * PERIOD_US + 5) == 2
    assert expected_in_day(meter, day - 1, T0 + DAY_US) == 0
    assert expected_in_day(meter, day + 1, T0 + DAY_US) == 0
    assert expected_in_day(meter, day + 1, T0 + 9 * DAY_US) == 48
    assert expected_range(meter, T0, T0 + DAY_US, 0) == (T0 + PERIOD_US, T0 + PERIOD_US)


def test_days_that_are_over_are_not_remembered(
    engine: Engine, intake: Intake, clock: FixedClock
) -> None:
    gaps = finder(engine, intake.writer, clock)
    for day in (40, 41):
        clock.set(T0 + day * DAY_US + GRACE_US)
        gaps.run()
        assert len(gaps._expected) == 3  # of three meters the running day
    again = finder(engine, intake.writer, clock)
    again.run()
    assert len(again._expected) == 3
    counts = data_quality.coverage(engine, meter_id=1)
    assert [row.expected for row in counts] == [48] * 41 + [0] * (len(counts) - 41)


def test_gaps_beyond_the_first_ten_thousand_are_closed(
    engine: Engine, intake: Intake, clock: FixedClock
) -> None:
    """Those of meters with low numbers must not hide them."""
    registry.import_meters(engine, fleet(4)[3:])
    data_quality.open_gaps(engine, [(3, day, day + 1) for day in range(10_001)], 5)
    inbox.put(engine, [(message(4, load(range(1, 48), 4)), None)])
    intake.drain()
    clock.set(T0 + DAY_US + GRACE_US)
    gaps = finder(engine, intake.writer, clock)
    gaps.run()
    (gap,) = data_quality.gaps(engine, meter_id=4)
    assert gap.state == data_quality.OPEN
    data_quality.open_gaps(engine, [(3, day, day + 1) for day in range(10_001)], 5)
    inbox.put(engine, [(message(4, load([0], 4)), None)])
    intake.drain()
    gaps.run()
    assert data_quality.gaps(engine, meter_id=4) == []
