# SPDX-License-Identifier: Apache-2.0
"""Slots and bars: measured, estimated, missing, future are never mixed up."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.exchange.quality import Quality
from openami.web.times import LocalCalendar, Span, duration, each_day, month_of, week_of
from openami.web.usage import Series, State, bars, reason_of, slots, state_of

SYDNEY = LocalCalendar(ZoneInfo("Australia/Sydney"))
PERIOD_US = 1_800_000_000
PUT_FORWARD = date(2026, 10, 4)
PUT_BACK = date(2026, 4, 5)


@pytest.mark.parametrize(
    ("quality", "state"),
    [
        (Quality.MEASURED, State.MEASURED),
        (Quality.CLOCK_DOUBTFUL, State.MEASURED),
        (Quality.SUSPECT, State.SUSPECT),
        (Quality.ESTIMATED | Quality.INTERPOLATED, State.ESTIMATED),
        (Quality.ESTIMATED | Quality.SUSPECT, State.ESTIMATED),
        (Quality.EDITED | Quality.ESTIMATED, State.EDITED),
    ],
)
def test_a_quality_has_one_state(quality: Quality, state: State) -> None:
    assert state_of(quality) is state


def test_a_reason_names_the_method_once() -> None:
    assert reason_of(0) == ""
    assert reason_of(Quality.ESTIMATED) == "estimated"
    text = reason_of(Quality.ESTIMATED | Quality.LIKE_DAY | Quality.SCALED)
    assert text == "estimated: mean of like days, scaled to the register difference"


@pytest.mark.parametrize("quality", list(Quality))
def test_every_quality_has_words(quality: Quality) -> None:
    assert reason_of(quality)


@pytest.mark.parametrize(
    ("day", "hours"), [(PUT_FORWARD, 23), (PUT_BACK, 25), (date(2026, 7, 1), 24)]
)
def test_a_local_day_has_its_hours(day: date, hours: int) -> None:
    span = SYDNEY.day(day)
    assert span.to_us - span.from_us == hours * 3_600_000_000
    assert SYDNEY.date_of(span.from_us) == day
    assert SYDNEY.date_of(span.to_us - 1) == day


def columns(starts: list[int], quality: int = 0) -> Series:
    return Series(
        starts_us=starts,
        values=[100] * len(starts),
        qualities=[quality] * len(starts),
        versions=[1] * len(starts),
    )


@given(st.sets(st.integers(0, 47)), st.integers(0, 48), st.integers(0, 48))
def test_a_slot_without_a_value_is_before_missing_or_future(
    present: set[int], installed: int, settled: int
) -> None:
    span = SYDNEY.day(date(2026, 7, 1))
    starts = [span.from_us + n * PERIOD_US for n in sorted(present)]
    shown = slots(
        columns(starts),
        span,
        period_s=1800,
        installed_us=span.from_us + installed * PERIOD_US,
        settled_us=span.from_us + settled * PERIOD_US,
    )
    assert len(shown.values) == 48
    assert shown.total == 100 * len(present)
    for n, (value, state) in enumerate(zip(shown.values, shown.states, strict=True)):
        if n in present:
            assert (value, state) == (100, State.MEASURED)
        else:
            assert value is None, "a missing value is no zero"
            expected = State.FUTURE if n >= settled else State.MISSING
            assert state is (State.BEFORE if n < installed else expected)


def test_the_last_value_may_stand_before_a_gap() -> None:
    span = SYDNEY.day(date(2026, 7, 1))
    shown = slots(
        columns([span.from_us]), span, period_s=1800, installed_us=0, settled_us=span.to_us
    )
    assert shown.last_end_us == span.from_us + PERIOD_US
    nothing = slots(Series(), span, period_s=1800, installed_us=0, settled_us=span.to_us)
    assert nothing.last_end_us is None


def test_bars_keep_estimates_apart_and_know_what_is_finished() -> None:
    first, last = date(2026, 7, 1), date(2026, 7, 3)
    span = SYDNEY.days(first, last)
    day = SYDNEY.day(first)
    starts = list(range(day.from_us, day.to_us, PERIOD_US))
    series = columns(starts)
    series.qualities[:4] = [int(Quality.ESTIMATED)] * 4
    shown = slots(
        series, span, period_s=1800, installed_us=0, settled_us=day.to_us + 10 * PERIOD_US
    )
    whole, broken, future = bars(shown, SYDNEY, first, last)
    assert (whole.measured_wh, whole.estimated_wh, whole.missing) == (4400, 400, 0)
    assert (whole.finished, whole.empty) == (True, False)
    assert (broken.total_wh, broken.missing, broken.finished) == (0, 10, False)
    assert (future.empty, future.finished) == (True, False)


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)))
def test_weeks_and_months_hold_their_day(day: date) -> None:
    for first, last in (week_of(day), month_of(day)):
        assert first <= day <= last
        assert day in each_day(first, last)
    assert week_of(day)[0].weekday() == 0
    assert month_of(day)[0].day == 1
    assert (month_of(day)[1] - month_of(day)[0]).days in {27, 28, 29, 30}


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (5_000_000, "5\u2009s"),
        (-90_000_000, "90\u2009s"),
        (12 * 60_000_000, "12\u2009min"),
        (3 * 3_600_000_000, "3\u2009h"),
        (72 * 3_600_000_000, "3\u2009days"),
    ],
)
def test_a_duration_takes_the_unit_that_says_enough(us: int, text: str) -> None:
    assert duration(us) == text


def test_a_part_of_a_series_is_cut_by_start() -> None:
    series = columns([0, PERIOD_US, 2 * PERIOD_US])
    assert series.between(Span(1, 2 * PERIOD_US)).starts_us == [PERIOD_US]
    assert series.between(Span(5, 5)).values == []
