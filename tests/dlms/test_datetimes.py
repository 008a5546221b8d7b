# SPDX-License-Identifier: Apache-2.0
"""Clock values: octets, moments, what is no moment."""

import contextlib
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.datetimes import (
    DAYLIGHT_SAVINGS_BEGIN,
    DAYLIGHT_SAVINGS_END,
    LAST_DAY,
    SECOND_LAST_DAY,
    ClockStatus,
    CosemDate,
    CosemDateTime,
    CosemTime,
)
from openami.dlms.errors import DecodeError


def maybe(low: int, high: int, *special: int) -> st.SearchStrategy[int | None]:
    return st.one_of(st.none(), st.integers(low, high), st.sampled_from([low, *special]))


date_parts = {
    "year": maybe(0, 0xFFFE),
    "month": maybe(1, 12, DAYLIGHT_SAVINGS_BEGIN, DAYLIGHT_SAVINGS_END),
    "day": maybe(1, 31, LAST_DAY, SECOND_LAST_DAY),
    "day_of_week": maybe(1, 7),
}
time_parts = {
    "hour": maybe(0, 23),
    "minute": maybe(0, 59),
    "second": maybe(0, 59),
    "hundredths": maybe(0, 99),
}
date_times = st.builds(
    CosemDateTime,
    **date_parts,
    **time_parts,
    deviation_minutes=maybe(-840, 840),
    clock_status=st.none() | st.integers(0, 0xFE).map(ClockStatus),
)
moments = st.datetimes(
    datetime(2, 1, 1),  # noqa: DTZ001  hypothesis adds the time zone
    datetime(9998, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(lambda moment: moment.replace(microsecond=moment.microsecond // 10_000 * 10_000))


@given(date_times)
def test_a_date_time_comes_back(value: CosemDateTime) -> None:
    assert len(value.encode()) == 12
    assert CosemDateTime.decode(value.encode()) == value


@given(st.builds(CosemDate, **date_parts))
def test_a_date_comes_back(value: CosemDate) -> None:
    assert CosemDate.decode(value.encode()) == value


@given(st.builds(CosemTime, **time_parts))
def test_a_time_comes_back(value: CosemTime) -> None:
    assert CosemTime.decode(value.encode()) == value


@given(moments, st.integers(-720, 840))
def test_a_moment_comes_back_through_any_deviation(moment: datetime, deviation: int) -> None:
    value = CosemDateTime.from_utc(moment, deviation_minutes=deviation)
    again = CosemDateTime.decode(value.encode())

    assert again.to_utc() == moment
    assert again.day_of_week == (moment - timedelta(minutes=deviation)).isoweekday()


@given(st.binary(min_size=12, max_size=12))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert CosemDateTime.decode(octets).encode() == octets


@pytest.mark.parametrize("kind", [CosemDate, CosemTime, CosemDateTime])
@pytest.mark.parametrize("size", range(14))
def test_another_length_is_refused(
    kind: type[CosemDate | CosemTime | CosemDateTime], size: int
) -> None:
    sizes = {CosemDate: 5, CosemTime: 4, CosemDateTime: 12}
    if size != sizes[kind]:
        with pytest.raises(DecodeError, match=f"has {sizes[kind]} octets, not {size}"):
            kind.decode(bytes(size))


def test_central_european_summer_time() -> None:
    """What a meter in Central Europe sends in summer: deviation -120, daylight saving active."""
    value = CosemDateTime.decode(bytes.fromhex("07e6 06 0f 03 0c 1e 00 00 ff88 80"))

    assert value.deviation_minutes == -120
    assert value.clock_status == ClockStatus.DAYLIGHT_SAVING_ACTIVE
    assert value.to_utc() == datetime(2022, 6, 15, 10, 30, tzinfo=UTC)


def test_seconds_not_specified_count_as_zero() -> None:
    value = CosemDateTime.decode(bytes.fromhex("07e6 06 0f ff 0c 1e ff ff 0000 ff"))

    assert (value.second, value.hundredths, value.clock_status) == (None, None, None)
    assert value.to_utc() == datetime(2022, 6, 15, 12, 30, tzinfo=UTC)


def test_a_clock_without_deviation_needs_one() -> None:
    value = CosemDateTime.decode(bytes.fromhex("07e6 06 0f 03 0c 1e 00 00 8000 00"))

    with pytest.raises(ValueError, match="assume one for this meter"):
        value.to_utc()
    assert value.to_utc(assume_deviation_minutes=-60).hour == 11


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("ffff 06 0f ff 0c 1e 00 00 0000 00", "are needed"),
        ("07e6 ff 0f ff 0c 1e 00 00 0000 00", "are needed"),
        ("07e6 06 0f ff ff 1e 00 00 0000 00", "are needed"),
        ("07e6 fe fe ff 0c 1e 00 00 0000 00", "no such day"),
        ("07e6 02 1e ff 0c 1e 00 00 0000 00", "no such day"),
        ("0000 02 01 ff 0c 1e 00 00 0000 00", "no such day"),
        ("270f 0c 1f ff 17 3b 00 00 0001 00", "no such day"),
    ],
)
def test_what_is_no_moment(octets: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        CosemDateTime.decode(bytes.fromhex(octets)).to_utc()


@pytest.mark.parametrize(
    ("octets", "field"),
    [
        ("07e6 0d 0f ff 0c 1e 00 00 0000 00", "month is 1 to 12"),
        ("07e6 00 0f ff 0c 1e 00 00 0000 00", "month is 1 to 12"),
        ("07e6 06 20 ff 0c 1e 00 00 0000 00", "day is 1 to 31"),
        ("07e6 06 0f 08 0c 1e 00 00 0000 00", "day_of_week is 1 to 7"),
        ("07e6 06 0f ff 18 1e 00 00 0000 00", "hour is 0 to 23"),
        ("07e6 06 0f ff 0c 3c 00 00 0000 00", "minute is 0 to 59"),
        ("07e6 06 0f ff 0c 1e 3c 00 0000 00", "second is 0 to 59"),
        ("07e6 06 0f ff 0c 1e 00 64 0000 00", "hundredths is 0 to 99"),
        ("07e6 06 0f ff 0c 1e 00 00 0349 00", "deviation_minutes is -840 to 840"),
    ],
)
def test_a_field_out_of_range_is_refused(octets: str, field: str) -> None:
    with pytest.raises(DecodeError, match=field):
        CosemDateTime.decode(bytes.fromhex(octets))


def test_a_moment_has_a_time_zone() -> None:
    with pytest.raises(ValueError, match="aware"):
        CosemDateTime.from_utc(datetime(2022, 1, 1))  # noqa: DTZ001


def test_any_time_zone_is_taken() -> None:
    tokyo = timezone(timedelta(hours=9))
    value = CosemDateTime.from_utc(datetime(2022, 1, 1, 9, tzinfo=tokyo))

    assert (value.hour, value.deviation_minutes, value.clock_status) == (0, 0, ClockStatus(0))
    assert str(value) == "2022-01-01 00:00:00 deviation 0"


def test_a_rule_is_shown_with_stars() -> None:
    assert str(CosemDateTime(year=None, month=None, day=1, hour=0, minute=0)) == (
        "*-*-01 00:00:00 deviation unspecified"
    )
