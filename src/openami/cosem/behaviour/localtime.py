# SPDX-License-Identifier: Apache-2.0
"""Local time from UTC, and the rules by which dates and times come round (4.1.6, 4.5.1).

A `Zone` is what a clock object says about local time.  A rule is a date, a time or both in which
fields may be left open, counted from the end of the month, or tied to daylight saving; `Rule.after`
finds when it comes round next.

What is due in an hour that daylight saving skips happens when the hour is skipped; what is due in
an hour that comes twice happens the first time.  So each rule is carried out once a day at most
(4.5.3: scripts of a skipped interval are executed, those of a repeated one are not repeated).
"""

import calendar
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from typing import Final, Self

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

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 86_400 * SECOND_US
DAY_S: Final = 86_400
SEARCHED_YEARS: Final = 9
"""How far ahead a rule is looked for: leap days are 8 years apart at most."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_US: Final = timedelta(microseconds=1)
_LAST_YEAR: Final = 9990
GOOD: Final = ClockStatus(0)


def to_us(moment: datetime) -> int:
    """Return an aware moment in microseconds UTC since 1970."""
    return (moment - _EPOCH) // _ONE_US


def from_us(now_us: int) -> datetime:
    """Return the aware moment of a calendar time in microseconds UTC."""
    return _EPOCH + now_us * _ONE_US


@dataclass(frozen=True, slots=True)
class Zone:
    """What a clock says about local time; signs as in the standard: UTC = local + deviation.

    Attributes:
        time_zone: Deviation of normal time, minutes: -60 is one hour east of Greenwich.
        begin: When daylight saving begins; local normal time, unless it tells its deviation.  A
            change that leaves its month or hour open never comes.
        end: When it ends; local daylight saving time, unless it tells its deviation.
        saving: By how much daylight saving time is ahead of normal time, minutes.
        enabled: Whether daylight saving is observed.
    """

    time_zone: int = 0
    begin: CosemDateTime | None = None
    end: CosemDateTime | None = None
    saving: int = 0
    enabled: bool = False

    def deviation(self, now_us: int) -> int:
        """Return what must be added to local time to get UTC, minutes."""
        return self.time_zone - (self.saving if self.is_saving(now_us) else 0)

    def is_saving(self, now_us: int) -> bool:
        """Return whether daylight saving time is shown."""
        if not self.enabled or not self.saving or self.begin is None or self.end is None:
            return False
        latest = False
        for at_us, begins in _changes(self, from_us(now_us).year):
            if at_us > now_us:
                break
            latest = begins
        return latest

    def local(self, now_us: int) -> datetime:
        """Return local date and time without a time zone."""
        return (from_us(now_us) - timedelta(minutes=self.deviation(now_us))).replace(tzinfo=None)

    def moment(self, local: datetime, *, second_time: bool = False) -> int:
        """Return when a local time comes: microseconds UTC.

        A time that is skipped comes when it is skipped, one that is repeated comes the first time.

        Args:
            local: Without a time zone.
            second_time: The second time instead, where it is repeated.
        """
        as_if_utc = to_us(local.replace(tzinfo=UTC))
        normal = as_if_utc + self.time_zone * MINUTE_US
        saving = normal - self.saving * MINUTE_US
        found = sorted(
            at_us
            for at_us, is_saving in ((normal, False), (saving, True))
            if self.is_saving(at_us) is is_saving
        )
        if not found:
            return self._skipped(min(normal, saving), max(normal, saving))
        return found[-1] if second_time else found[0]

    def _skipped(self, low: int, high: int) -> int:
        years = {from_us(low).year, from_us(high).year}
        changes = {at_us for year in years for at_us, _ in _changes(self, year)}
        # Between the two readings of a skipped time lies the change that skips it.
        return min((at_us for at_us in changes if low <= at_us <= high), default=high)

    def shown(self, now_us: int, status: ClockStatus = GOOD) -> CosemDateTime:
        """Return the date-time a clock shows, with the daylight saving bit in its status."""
        if self.is_saving(now_us):
            status |= ClockStatus.DAYLIGHT_SAVING_ACTIVE
        return CosemDateTime.from_utc(
            from_us(now_us), deviation_minutes=self.deviation(now_us), clock_status=status
        )

    def midnight(self, day: date) -> int:
        """Return when a local day begins: microseconds UTC."""
        return self.moment(datetime(day.year, day.month, day.day))  # noqa: DTZ001  local time


UTC_ZONE: Final = Zone()


@lru_cache(maxsize=256)
def _changes(zone: Zone, year: int) -> tuple[tuple[int, bool], ...]:
    """Return the changes of the years around `year`: when, and whether daylight saving begins."""
    found = []
    for rule, begins in ((zone.begin, True), (zone.end, False)):
        if rule is None or None in {rule.month, rule.hour}:
            continue
        deviation = rule.deviation_minutes
        if deviation is None:
            deviation = zone.time_zone - (0 if begins else zone.saving)
        when = Rule.of(rule)
        for each in (year - 1, year, year + 1):
            found += [
                (to_us(local.replace(tzinfo=UTC)) + deviation * MINUTE_US, begins)
                for local in when.within(each, UTC_ZONE)
            ]
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Rule:
    """A date and a time of day that come round as often as their fields are left open.

    Day and day of week stand together (4.1.6.1): with an open year or month they mean the weekday
    on or after that day; with the last or last but one day of the month, the last or last but one
    such weekday; where the date is given whole, one that contradicts its weekday never comes.  A
    second or hundredth that is not specified is 0.
    """

    on: CosemDate
    at: CosemTime

    @classmethod
    def of(cls, value: CosemDateTime) -> Self:
        """Return the rule in a date-time."""
        return cls(
            CosemDate(
                year=value.year, month=value.month, day=value.day, day_of_week=value.day_of_week
            ),
            CosemTime(
                hour=value.hour,
                minute=value.minute,
                second=value.second,
                hundredths=value.hundredths,
            ),
        )

    @classmethod
    def of_octets(cls, at: bytes, on: bytes) -> Self:
        """Return the rule in a time of 4 octets and a date of 5.

        Raises:
            DecodeError: They are no time or no date.
        """
        return cls(CosemDate.decode(on), CosemTime.decode(at))

    def after(self, now_us: int, zone: Zone) -> int | None:
        """Return the first time later than `now_us`; None if there is none in nine years."""
        local = zone.local(now_us)
        # A day earlier: a change of daylight saving may lie between.
        day = (local - timedelta(days=1)).date()
        times = _times(self.at)
        for each in self._dates(day, zone):
            # A later local time never comes earlier, so the first one after now can be bisected.
            comes = partial(_comes, zone, each)
            place = bisect_right(times, now_us, key=comes)
            if place < len(times):
                return comes(times[place])
        return None

    def before(self, now_us: int, zone: Zone, *, since_us: int) -> int | None:
        """Return the last time that is not later than `now_us` but later than `since_us`."""
        for back_us in (HOUR_US, DAY_US, 40 * DAY_US, 400 * DAY_US, now_us - since_us):
            start = max(since_us, now_us - back_us)
            latest, at_us = None, self.after(start, zone)
            while at_us is not None and at_us <= now_us:
                latest, at_us = at_us, self.after(at_us, zone)
            if latest is not None or start == since_us:
                return latest
        return None

    def within(self, year: int, zone: Zone) -> Iterator[datetime]:
        """Yield the local times of one year, in order."""
        for day in self._dates(date(year, 1, 1), zone, years=1):
            for each_time in times_of_day(self.at):
                yield datetime.combine(day, each_time)

    def _dates(self, first: date, zone: Zone, years: int = SEARCHED_YEARS) -> Iterator[date]:
        for year in range(first.year, min(first.year + years, _LAST_YEAR)):
            if self.on.year not in {None, year}:
                continue
            for month in range(1, 13):
                if (year, month) < (first.year, first.month):
                    continue
                for day in days_of_month(self.on, year, month, zone):
                    if (found := date(year, month, day)) >= first:
                        yield found


def days_of_month(rule: CosemDate, year: int, month: int, zone: Zone) -> list[int]:
    """Return the days of a month that match a date with open fields, in order."""
    if rule.year not in {None, year} or not _is_month(rule.month, year, month, zone):
        return []
    length = calendar.monthrange(year, month)[1]
    wanted = rule.day_of_week
    days = [
        day for day in range(1, length + 1) if wanted in {None, date(year, month, day).isoweekday()}
    ]
    match rule.day:
        case None:
            return days
        case d if d == LAST_DAY:
            return days[-1:]
        case d if d == SECOND_LAST_DAY:
            return days[-2:-1]
        case int() as number:
            if wanted is None or (rule.year is not None and rule.month is not None):
                return [day for day in days if day == number]
            return [day for day in days if number <= day < number + 7][:1]


def last_date(rule: CosemDate, day: date, zone: Zone) -> date | None:
    """Return the last day not after `day` that matches; None if there is none in nine years.

    A date that leaves everything open has held for ever: it gives the first day there is.
    """
    if rule.year is rule.month is rule.day is rule.day_of_week is None:
        return date.min
    month = day.year * 12 + day.month - 1
    for each in range(month, max(month - 12 * SEARCHED_YEARS, 12), -1):
        year, number = each // 12, each % 12 + 1
        for found in reversed(days_of_month(rule, year, number, zone)):
            if (candidate := date(year, number, found)) <= day:
                return candidate
    return None


def is_between(day: date, begin: CosemDate, end: CosemDate) -> bool:
    """Return whether a day lies between two dates, both included.

    Fields that are left open do not limit; without years a period may run over the new year.
    """
    here = (day.year, day.month, day.day)
    first, last = (_bound(rule, day) for rule in (begin, end))
    if begin.year is None and end.year is None and first > last:
        return here >= first or here <= last
    return first <= here <= last


def _bound(rule: CosemDate, day: date) -> tuple[int, int, int]:
    year = day.year if rule.year is None else rule.year
    month = day.month if rule.month is None else rule.month
    number = day.day if rule.day is None else rule.day
    if number in {LAST_DAY, SECOND_LAST_DAY} and 1 <= month <= 12:
        number = calendar.monthrange(year, month)[1] - (number == SECOND_LAST_DAY)
    return year, month, number


def _is_month(wanted: int | None, year: int, month: int, zone: Zone) -> bool:
    if wanted == DAYLIGHT_SAVINGS_BEGIN:
        rule = zone.begin
    elif wanted == DAYLIGHT_SAVINGS_END:
        rule = zone.end
    else:
        return wanted in {None, month}
    return rule is not None and rule.month == month and rule.year in {None, year}


def matches(rule: CosemDate, day: date, zone: Zone) -> bool:
    """Return whether a day matches a date with open fields."""
    return day.day in days_of_month(rule, day.year, day.month, zone)


def times_of_day(rule: CosemTime) -> Iterator[time]:
    """Yield the times of a day that match a time with open hours or minutes."""
    for hour in range(24) if rule.hour is None else (rule.hour,):
        for minute in range(60) if rule.minute is None else (rule.minute,):
            yield time(hour, minute, rule.second or 0, (rule.hundredths or 0) * 10_000)


def _comes(zone: Zone, day: date, at: time) -> int:
    return zone.moment(datetime.combine(day, at))


@lru_cache(maxsize=256)
def _times(rule: CosemTime) -> tuple[time, ...]:
    return tuple(times_of_day(rule))


def next_boundary(after_us: int, period_s: int, zone: Zone) -> int:
    """Return the next end of a period that is later than `after_us`.

    Periods that divide a day end at multiples of the period after local midnight; whole days at
    local midnight, so that days of 23 and 25 hours are one period each.  Any other period counts
    from 1970.  In a repeated hour short periods end at each of its passes.
    """
    if DAY_S % period_s and period_s % DAY_S:
        period_us = period_s * SECOND_US
        return (after_us // period_us + 1) * period_us
    local = zone.local(after_us)
    if period_s >= DAY_S:
        days = period_s // DAY_S
        day = date.fromordinal((local.toordinal() // days + 1) * days)
        return zone.midnight(day)
    elapsed = (local - datetime.combine(local.date(), time())) // _ONE_US
    step_us = period_s * SECOND_US
    at_us = after_us + step_us - elapsed % step_us
    # A change between here and there moves the boundary; what is skipped ends at the change.
    for change, _ in _changes(zone, local.year) if zone.enabled else ():
        if after_us < change <= at_us:
            landed = (zone.local(change) - datetime.combine(zone.local(change), time())) // _ONE_US
            return change + -landed % step_us
    return at_us
