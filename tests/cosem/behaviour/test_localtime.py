# SPDX-License-Identifier: Apache-2.0
"""Local time, compared with the time zones of the system's own tables where they agree."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.behaviour.localtime import (
    DAY_US,
    MINUTE_US,
    SECOND_US,
    UTC_ZONE,
    Rule,
    Zone,
    days_of_month,
    matches,
    next_boundary,
    times_of_day,
    to_us,
)
from openami.dlms.datetimes import (
    DAYLIGHT_SAVINGS_BEGIN,
    LAST_DAY,
    SECOND_LAST_DAY,
    ClockStatus,
    CosemDate,
    CosemDateTime,
    CosemTime,
)


def rule(month: int, day: int, hour: int, weekday: int = 7) -> CosemDateTime:
    return CosemDateTime(year=None, month=month, day=day, day_of_week=weekday, hour=hour, minute=0)


BERLIN = Zone(-60, rule(3, LAST_DAY, 2), rule(10, LAST_DAY, 3), 60, enabled=True)
SYDNEY = Zone(-600, rule(10, 1, 2), rule(4, 1, 3), 60, enabled=True)
NEW_YORK = Zone(300, rule(3, 8, 2), rule(11, 1, 2), 60, enabled=True)
ZONES = {"Europe/Berlin": BERLIN, "Australia/Sydney": SYDNEY, "America/New_York": NEW_YORK}
MOMENTS = st.datetimes(datetime(2009, 1, 1), datetime(2036, 12, 31), timezones=st.just(UTC))  # noqa: DTZ001


def at(text: str) -> int:
    return to_us(datetime.fromisoformat(text).replace(tzinfo=UTC))


@pytest.mark.parametrize("name", ZONES)
@given(MOMENTS)
def test_local_time_is_that_of_the_system_tables(name: str, moment: datetime) -> None:
    expected = moment.astimezone(ZoneInfo(name)).replace(tzinfo=None)
    assert ZONES[name].local(to_us(moment)) == expected


@pytest.mark.parametrize("zone", ZONES.values(), ids=ZONES)
@given(MOMENTS)
def test_a_local_time_comes_back_to_its_moment(zone: Zone, moment: datetime) -> None:
    now_us = to_us(moment)
    local = zone.local(now_us)
    assert now_us in {zone.moment(local), zone.moment(local, second_time=True)}


@pytest.mark.parametrize(
    ("zone", "local", "first", "second"),
    [
        (BERLIN, "2026-03-29T01:59", "2026-03-29T00:59", "2026-03-29T00:59"),
        (BERLIN, "2026-03-29T02:30", "2026-03-29T01:00", "2026-03-29T01:00"),  # skipped
        (BERLIN, "2026-03-29T03:00", "2026-03-29T01:00", "2026-03-29T01:00"),
        (BERLIN, "2026-10-25T02:30", "2026-10-25T00:30", "2026-10-25T01:30"),  # comes twice
        (SYDNEY, "2026-04-05T02:30", "2026-04-04T15:30", "2026-04-04T16:30"),
        (SYDNEY, "2026-10-04T02:10", "2026-10-03T16:00", "2026-10-03T16:00"),
    ],
)
def test_hours_that_are_skipped_or_repeated(
    zone: Zone, local: str, first: str, second: str
) -> None:
    when = datetime.fromisoformat(local)
    assert zone.moment(when) == at(first)
    assert zone.moment(when, second_time=True) == at(second)


def test_days_have_23_24_or_25_hours() -> None:
    def hours(zone: Zone, day: date) -> float:
        return (zone.midnight(day + timedelta(days=1)) - zone.midnight(day)) / (3600 * SECOND_US)

    assert [hours(BERLIN, date(2026, 3, d)) for d in (28, 29, 30)] == [24, 23, 24]
    assert [hours(BERLIN, date(2026, 10, d)) for d in (24, 25, 26)] == [24, 25, 24]
    assert [hours(SYDNEY, date(2026, 4, d)) for d in (4, 5, 6)] == [24, 25, 24]
    assert [hours(SYDNEY, date(2026, 10, d)) for d in (3, 4, 5)] == [24, 23, 24]


def test_what_a_clock_shows() -> None:
    summer = BERLIN.shown(at("2026-07-01T12:00"))
    assert (summer.hour, summer.deviation_minutes) == (14, -120)
    assert summer.clock_status == ClockStatus.DAYLIGHT_SAVING_ACTIVE
    winter = BERLIN.shown(at("2026-01-01T12:00"), ClockStatus.DOUBTFUL_VALUE)
    assert (winter.hour, winter.deviation_minutes) == (13, -60)
    assert winter.clock_status == ClockStatus.DOUBTFUL_VALUE


def test_changes_that_tell_their_year_or_deviation() -> None:
    begin = CosemDateTime(year=2026, month=3, day=29, hour=1, minute=0, deviation_minutes=0)
    end = CosemDateTime(year=2026, month=10, day=25, hour=1, minute=0, deviation_minutes=0)
    once = Zone(-60, begin, end, 60, enabled=True)
    for moment in ("2026-03-29T00:59:59", "2026-03-29T01:00", "2026-10-25T01:00"):
        assert once.is_saving(at(moment)) is BERLIN.is_saving(at(moment))
    assert not once.is_saving(at("2027-07-01T00:00"))
    assert BERLIN.is_saving(at("2027-07-01T00:00"))


OPEN = b"\xff" * 9 + b"\x80\x00"


@pytest.mark.parametrize(
    "begin",
    [
        None,
        CosemDateTime.decode(OPEN + b"\xff"),
        CosemDateTime.decode(OPEN + b"\x00"),
        CosemDateTime(year=None, month=3, day=1, hour=None, minute=0),
    ],
)
def test_daylight_saving_that_never_begins(begin: CosemDateTime | None) -> None:
    zone = Zone(-60, begin, rule(10, LAST_DAY, 3), 60, enabled=True)
    assert not zone.is_saving(at("2026-07-01T00:00"))
    assert not Zone(-60, BERLIN.begin, BERLIN.end, 60).is_saving(at("2026-07-01T00:00"))


@pytest.mark.parametrize(
    ("octets", "year", "month", "days"),
    [
        ("ffffffffff", 2026, 2, list(range(1, 29))),
        ("ffffff01ff", 2026, 2, [1]),
        ("fffffffeff", 2028, 2, [29]),
        ("fffffffeff", 2026, 2, [28]),
        ("fffffffdff", 2028, 2, [28]),
        ("ffff02fe07", 2026, 2, [22]),  # last Sunday
        ("ffff02fd07", 2026, 2, [15]),  # last Sunday but one
        ("ffffffff01", 2026, 2, [2, 9, 16, 23]),
        ("ffff030807", 2026, 3, [8]),  # second Sunday
        ("ffff030807", 2027, 3, [14]),
        ("ffff020806", 2026, 3, []),
        ("07ea0307ff", 2026, 3, [7]),
        ("07ea030706", 2026, 3, [7]),
        ("07ea030701", 2026, 3, []),  # the 7th is no Monday
        ("07ea03ffff", 2027, 3, []),
        ("ffff021dff", 2026, 2, []),
        ("ffff021dff", 2028, 2, [29]),
        ("fffffe01ff", 2026, 3, [1]),  # in the month in which daylight saving begins
        ("fffffe01ff", 2026, 4, []),
        ("fffffd01ff", 2026, 10, [1]),
    ],
)
def test_days_that_match(octets: str, year: int, month: int, days: list[int]) -> None:
    found = CosemDate.decode(bytes.fromhex(octets))
    assert days_of_month(found, year, month, BERLIN) == days
    for day in days:
        assert matches(found, date(year, month, day), BERLIN)


def test_a_month_of_daylight_saving_needs_daylight_saving() -> None:
    begins = CosemDate(year=None, month=DAYLIGHT_SAVINGS_BEGIN, day=1)
    assert days_of_month(begins, 2026, 3, UTC_ZONE) == []
    assert days_of_month(CosemDate(year=None, month=1, day=SECOND_LAST_DAY), 2026, 1, UTC_ZONE) == [
        30
    ]


@pytest.mark.parametrize(
    ("time", "day", "after", "expected"),
    [
        ("06000000", "ffffffffff", "2026-01-01T04:00", "2026-01-01T05:00"),
        ("06000000", "ffffffffff", "2026-01-01T05:00", "2026-01-02T05:00"),
        ("ff1e0000", "ffffffffff", "2026-01-01T05:00", "2026-01-01T05:30"),
        ("ffff0000", "ffffffffff", "2026-01-01T05:00:30", "2026-01-01T05:01"),
        ("00000000", "ffff021dff", "2026-01-01T05:00", "2028-02-28T23:00"),
        ("00000000", "07e50101ff", "2026-01-01T05:00", None),
        ("021e0000", "07ea031dff", "2026-03-28T12:00", "2026-03-29T01:00"),  # skipped
        ("021e0000", "ffffffffff", "2026-10-25T00:30", "2026-10-26T01:30"),  # no second time
        ("0200ffff", "ffffffffff", "2026-10-24T12:00", "2026-10-25T00:00"),
    ],
)
def test_when_a_rule_comes_round(time: str, day: str, after: str, expected: str | None) -> None:
    found = Rule.of_octets(bytes.fromhex(time), bytes.fromhex(day)).after(at(after), BERLIN)
    assert found == (at(expected) if expected else None)


def test_the_last_time_a_rule_came_round() -> None:
    daily = Rule(CosemDate(year=None, month=None, day=None), CosemTime(hour=6, minute=0))
    now = at("2026-01-04T12:00")
    assert daily.before(now, UTC_ZONE, since_us=now - 3 * DAY_US) == at("2026-01-04T06:00")
    assert daily.before(now, UTC_ZONE, since_us=at("2026-01-04T06:00")) is None


@pytest.mark.parametrize("zone", [BERLIN, SYDNEY], ids=["Berlin", "Sydney"])
@pytest.mark.parametrize("period_s", [900, 1800, 3600, 6 * 3600])
@given(MOMENTS)
def test_periods_end_at_multiples_after_local_midnight(
    zone: Zone, period_s: int, moment: datetime
) -> None:
    now_us = to_us(moment)
    end_us = next_boundary(now_us, period_s, zone)
    assert now_us < end_us <= now_us + (period_s + 3600) * SECOND_US
    local = zone.local(end_us)
    assert (local.hour * 3600 + local.minute * 60 + local.second) % period_s == 0
    # Nothing in between is an end.
    for early_us in range(now_us + 1, end_us, max(1, (end_us - now_us) // 7)):
        assert next_boundary(early_us, period_s, zone) == end_us


def test_a_day_is_one_period_whatever_its_length() -> None:
    ends = [at("2026-03-28T12:00")]
    for _ in range(3):
        ends.append(next_boundary(ends[-1], 86_400, BERLIN))
    assert ends[1:] == [at("2026-03-28T23:00"), at("2026-03-29T22:00"), at("2026-03-30T22:00")]


def test_quarters_of_a_long_day() -> None:
    now_us, ends = BERLIN.midnight(date(2026, 10, 25)), 0
    while now_us < BERLIN.midnight(date(2026, 10, 26)):
        now_us = next_boundary(now_us, 900, BERLIN)
        ends += 1
    assert ends == 100


def test_a_period_that_divides_no_day_counts_from_1970() -> None:
    assert next_boundary(0, 7 * 60, BERLIN) == 7 * MINUTE_US
    assert next_boundary(at("2026-01-01T00:00"), 7 * 60, BERLIN) % (7 * MINUTE_US) == 0


@pytest.mark.parametrize(
    ("zone", "now", "ends"),
    [
        # 0, 6 and 12 o'clock, of a day of 23 and of one of 25 hours
        (BERLIN, "2026-03-28T23:00", ["2026-03-29T04:00", "2026-03-29T10:00"]),
        (BERLIN, "2026-10-24T22:00", ["2026-10-25T05:00", "2026-10-25T11:00"]),
        (SYDNEY, "2026-10-03T14:00", ["2026-10-03T19:00", "2026-10-04T01:00"]),
        (SYDNEY, "2026-04-04T13:00", ["2026-04-04T20:00", "2026-04-05T02:00"]),
    ],
)
def test_quarters_of_a_day_end_by_the_clock_on_the_wall(
    zone: Zone, now: str, ends: list[str]
) -> None:
    first = next_boundary(at(now), 6 * 3600, zone)
    assert [first, next_boundary(first, 6 * 3600, zone)] == [at(end) for end in ends]


def test_a_period_that_a_change_cuts_short_ends_again_by_the_clock_on_the_wall() -> None:
    # Two o'clock comes twice: the period of two hours ends at each.
    found = [at("2026-10-24T22:00")]
    for _ in range(4):
        found.append(next_boundary(found[-1], 7200, BERLIN))
    assert [BERLIN.local(each).hour for each in found] == [0, 2, 2, 4, 6]


@pytest.mark.parametrize("zone", [BERLIN, SYDNEY], ids=["Berlin", "Sydney"])
@settings(max_examples=30)
@given(MOMENTS, st.sampled_from(["ff000000", "ffff0000", "ff1e0000", "02ff0000", "021e0000"]))
def test_the_next_time_is_the_first_of_all_that_match(
    zone: Zone, moment: datetime, octets: str
) -> None:
    found = Rule.of_octets(bytes.fromhex(octets), b"\xff" * 5)
    now_us = to_us(moment)
    today = zone.local(now_us).date()
    expected = min(
        at_us
        for days in (-1, 0, 1, 2)
        for each in times_of_day(found.at)
        if (at_us := zone.moment(datetime.combine(today + timedelta(days), each))) > now_us
    )
    assert found.after(now_us, zone) == expected
