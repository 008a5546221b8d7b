# SPDX-License-Identifier: Apache-2.0
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN
from openami.cosem.behaviour import windows
from openami.cosem.behaviour.localtime import UTC_ZONE, Zone
from openami.cosem.classes.references import Window
from openami.dlms.datetimes import DAYLIGHT_SAVINGS_BEGIN, LAST_DAY, SECOND_LAST_DAY, CosemDateTime


def us(*fields: int) -> int:
    year, month, day, *time = fields
    moment = datetime(year, month, day, *time, tzinfo=UTC)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def at(**fields: Any) -> CosemDateTime:
    known: dict[str, Any] = dict.fromkeys(("year", "month", "day", "hour", "minute"))
    return CosemDateTime(**{**known, **fields})


NOW = us(2026, 2, 27, 10, 30)  # a Friday


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (at(hour=10, minute=30), us(2026, 2, 28, 10, 30)),
        (at(hour=10, minute=31), us(2026, 2, 27, 10, 31)),
        (at(minute=0), us(2026, 2, 27, 11, 0)),
        (at(hour=3), us(2026, 2, 28, 3, 0)),
        (at(day=1), us(2026, 3, 1)),
        (at(month=1), us(2027, 1, 1)),
        (at(day=LAST_DAY, hour=0, minute=0), us(2026, 2, 28)),
        (at(day=SECOND_LAST_DAY, hour=12, minute=0), us(2026, 2, 27, 12)),
        (at(day_of_week=1, hour=6, minute=0), us(2026, 3, 2, 6)),
        (at(month=2, day=29, hour=0, minute=0), us(2028, 2, 29)),
        (at(year=2026, month=2, day=27, hour=10, minute=30), None),
        (at(year=2025, month=1, day=1, hour=0, minute=0), None),
        (at(year=2030, month=1, day=1, hour=0, minute=0, second=5), us(2030, 1, 1, 0, 0, 5)),
        (at(month=DAYLIGHT_SAVINGS_BEGIN, hour=0, minute=0), None),
        (at(), None),
        (at(hour=10, minute=31, deviation_minutes=-60), us(2026, 2, 28, 9, 31)),
        (at(second=20, day=28), us(2026, 2, 28, 0, 0, 20)),
        (at(year=2099, month=12, day=31, hour=23, minute=59), us(2099, 12, 31, 23, 59)),
        (at(year=2099, month=2, day=30, hour=23, minute=59), None),
        (at(year=9999, month=1, day=1, hour=0, minute=0), us(9999, 1, 1)),
        (at(year=2027, month=1, day=1, day_of_week=1, hour=0, minute=0), None),
    ],
)
def test_next(pattern: CosemDateTime, expected: int | None) -> None:
    assert windows.next_us(pattern, NOW) == expected


def test_a_pattern_without_deviation_takes_that_of_the_meter() -> None:
    assert windows.next_us(at(hour=11, minute=31), NOW, Zone(-60)) == us(2026, 2, 27, 10, 31)


NIGHT = Window(at(hour=22, minute=0), at(hour=4, minute=0))
YEAR = Window(
    at(year=2026, month=1, day=1, hour=0, minute=0), at(year=2027, month=1, day=1, hour=0, minute=0)
)
FROM_2026 = Window(at(year=2026, month=1, day=1, hour=0, minute=0), at())


@pytest.mark.parametrize(
    ("window", "time_us", "expected"),
    [
        (NIGHT, us(2026, 2, 27, 21, 59, 59), False),
        (NIGHT, us(2026, 2, 27, 22), True),
        (NIGHT, us(2026, 2, 28, 3, 59, 59), True),
        (NIGHT, us(2026, 2, 28, 4), False),
        (YEAR, us(2025, 12, 31, 23), False),
        (YEAR, us(2026, 1, 1), True),
        (YEAR, us(2027, 1, 1), False),
        (FROM_2026, us(2025, 6, 1), False),
        (FROM_2026, us(2040, 6, 1), True),
        (Window(at(), at(year=2026, month=6, day=1, hour=0, minute=0)), NOW, True),
        (Window(at(), at()), NOW, True),
    ],
)
def test_windows(window: Window, time_us: int, *, expected: bool) -> None:
    assert windows.is_open((window,), time_us) is expected


def test_no_window_is_always_open_and_never_closes() -> None:
    assert windows.is_open((), NOW)
    assert windows.opens_us((), NOW) == NOW
    assert windows.closes_us((), NOW) is None


def test_the_next_opening_and_closing() -> None:
    assert windows.opens_us((NIGHT,), NOW) == us(2026, 2, 27, 22)
    assert windows.opens_us((NIGHT,), us(2026, 2, 27, 23)) == us(2026, 2, 27, 23)
    assert windows.closes_us((NIGHT, YEAR), us(2026, 2, 27, 23)) == us(2027, 1, 1)
    assert windows.opens_us((YEAR,), us(2027, 1, 2)) is None


@given(
    st.integers(us(2000, 1, 1), us(2100, 1, 1)),
    st.builds(
        at,
        month=st.none() | st.integers(1, 12),
        day=st.none() | st.integers(1, 28),
        hour=st.none() | st.integers(0, 23),
        minute=st.none() | st.integers(0, 59),
    ),
)
def test_what_comes_next_matches_and_comes_later(now_us: int, pattern: CosemDateTime) -> None:
    found = windows.next_us(pattern, now_us)
    if windows.is_unspecified(pattern):
        assert found is None
        return
    assert found is not None
    assert found > now_us
    shown = UTC_ZONE.shown(found)
    for name in ("month", "day", "hour", "minute"):
        assert getattr(pattern, name) in (None, getattr(shown, name))


def test_months_that_the_clock_knows() -> None:
    begins = at(year=2026, month=DAYLIGHT_SAVINGS_BEGIN, day=29, hour=12, minute=0)
    assert windows.next_us(begins, NOW, BERLIN) == us(2026, 3, 29, 10)
