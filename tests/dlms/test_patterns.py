# SPDX-License-Identifier: Apache-2.0
"""Dates and times with open fields: as text, and back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms import patterns
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime

ROWS = {
    "FFFF03FE0702000000FFC400": "*-03-last Sun 02:00:00 deviation -60",
    "FFFFFEFDFFFFFFFFFF8000FF": "*-dst-begin-second-last *:*:* deviation unspecified",
    "FFFFFDFFFF03000000800000": "*-dst-end-* 03:00:00 deviation unspecified",
    "FFFFFF01FF00000000003C00": "*-*-01 00:00:00 deviation 60",
    "07EA0B1A0411240632FFC400": "2026-11-26 17:36:06.50 deviation -60",
    "FFFFFFFFFFFF0F00FF8000FF": "*-*-* *:15:00.* deviation unspecified",
}


@pytest.mark.parametrize(("octets", "text"), ROWS.items())
def test_a_date_time_is_written_so_and_read_back(octets: str, text: str) -> None:
    moment = CosemDateTime.decode(bytes.fromhex(octets))
    assert patterns.date_time_text(moment) == text
    found = patterns.parse_date_time(text)
    assert found is not None
    assert patterns.date_time_text(found) == text


def test_the_end_of_a_text_may_be_left_out() -> None:
    found = patterns.parse_date_time("*-*-last 12:30")
    assert found == CosemDateTime(year=None, month=None, day=0xFE, hour=12, minute=30)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*-13-01 00:00",
        "*-03-32 00:00",
        "*-03-last So 02:00",
        "*-03-last Sun",
        "*-03-last Sun 24:00",
        "*-03-last 02:00 deviation 900",
        "*-3-1 00:00",
        "*-*-* *:*:*.*.*",
    ],
)
def test_what_is_no_date_time(text: str) -> None:
    assert patterns.parse_date_time(text) is None


def test_what_is_no_date_and_no_time() -> None:
    for text in ("*-00-01", "2026-02-00", "*-*", "02:00"):
        assert patterns.parse_date(text) is None
    for text in ("24:00", "*:60", "2026-01-01", "1:00"):
        assert patterns.parse_time(text) is None


def some(low: int, high: int, *special: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(low, high), *map(st.just, special))


DATES = st.builds(
    CosemDate,
    year=some(0, 9999),
    month=some(1, 12, 0xFD, 0xFE),
    day=some(1, 31, 0xFD, 0xFE),
    day_of_week=some(1, 7),
)
TIMES = st.builds(
    CosemTime, hour=some(0, 23), minute=some(0, 59), second=some(0, 59), hundredths=some(0, 99)
)


@given(DATES)
def test_a_date_comes_back_but_for_a_weekday_that_it_tells_itself(date: CosemDate) -> None:
    text = patterns.date_text(date)
    found = patterns.parse_date(text)
    assert found == (date if " " in text else replace(date, day_of_week=None))
    if date.day_of_week and " " not in text:
        assert None not in {date.year, date.month, date.day}


@given(TIMES)
def test_a_time_comes_back(time: CosemTime) -> None:
    assert patterns.parse_time(patterns.time_text(time)) == time
