# SPDX-License-Identifier: Apache-2.0
"""When a date-time with wildcards comes next, and whether a window is open.

DLMS UA 1000-1 Ed. 12, 4.1.6.1.  Fields that are not specified match anything; but those finer than
the finest one that is specified count from their beginning, so that ``*-*-01 *:*:*`` is one moment
a month, its first.  A date-time with nothing specified is no moment.  Codes for the months in which
daylight saving begins or ends match no month here: which ones those are only a clock knows.

A window is open if, of its two ends, the closing one comes next.
"""

import calendar
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Final

from openami.cosem.references import Window
from openami.dlms.datetimes import LAST_DAY, SECOND_LAST_DAY, CosemDateTime

SECOND_US: Final = 1_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FARTHEST: Final = timedelta(days=366 * 28)
"""After 28 years the days of the week fall on the same dates again."""


def date_time(now_us: int, deviation_minutes: int = 0) -> CosemDateTime:
    """Return calendar time (microseconds UTC) as a date-time."""
    moment = _EPOCH + timedelta(microseconds=now_us)
    return CosemDateTime.from_utc(moment, deviation_minutes=deviation_minutes)


def is_unspecified(pattern: CosemDateTime) -> bool:
    """Tell whether no field is specified but perhaps the second, hundredths and deviation."""
    return all(
        field is None
        for field in (
            pattern.year,
            pattern.month,
            pattern.day,
            pattern.day_of_week,
            pattern.hour,
            pattern.minute,
        )
    )


def is_moment(pattern: CosemDateTime) -> bool:
    """Tell whether `pattern` happens once: its date is specified."""
    return None not in (pattern.year, pattern.month, pattern.day)


def next_us(pattern: CosemDateTime, after_us: int, deviation_minutes: int = 0) -> int | None:
    """Return the first moment after `after_us` that matches; None if there is none any more.

    Args:
        pattern: A date-time, perhaps with wildcards.
        after_us: Microseconds UTC since 1970; the answer is later than this.
        deviation_minutes: Of a pattern that does not tell its own (UTC = local + it).
    """
    if is_unspecified(pattern):
        return None
    deviation = pattern.deviation_minutes
    shift = timedelta(minutes=deviation_minutes if deviation is None else deviation)
    local = _EPOCH + timedelta(microseconds=after_us) - shift
    for day in _days(pattern, local.date()):
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        for seconds in _seconds(pattern):
            moment = midnight + timedelta(seconds=seconds)
            if moment > local:
                return (moment + shift - _EPOCH) // timedelta(microseconds=1)
    return None


def is_open(windows: Iterable[Window], now_us: int, deviation_minutes: int = 0) -> bool:
    """Tell whether `now_us` lies in one of the windows; no window at all is always open."""
    found = tuple(windows)
    return not found or any(_is_in(window, now_us, deviation_minutes) for window in found)


def opens_us(windows: Iterable[Window], now_us: int, deviation_minutes: int = 0) -> int | None:
    """Return the first moment, not before `now_us`, at which a window is open; None if never."""
    found = tuple(windows)
    if is_open(found, now_us, deviation_minutes):
        return now_us
    return min(
        (
            start
            for window in found
            if (start := next_us(window.start, now_us, deviation_minutes)) is not None
        ),
        default=None,
    )


def closes_us(windows: Iterable[Window], now_us: int, deviation_minutes: int = 0) -> int | None:
    """Return when the last of the windows that are open now closes; None if that is never."""
    ends = [
        next_us(window.end, now_us, deviation_minutes)
        for window in windows
        if _is_in(window, now_us, deviation_minutes)
    ]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _is_in(window: Window, now_us: int, deviation_minutes: int) -> bool:
    # What begins at this very moment has begun, what ends at it is over.
    end = next_us(window.end, now_us, deviation_minutes)
    start = next_us(window.start, now_us, deviation_minutes)
    if is_unspecified(window.end):
        return start is None or not is_moment(window.start)
    if end is None:
        return False
    return is_unspecified(window.start) or start is None or end < start


def _days(pattern: CosemDateTime, first: date) -> Iterator[date]:
    if pattern.year is not None:
        if not first.year <= pattern.year <= 9999:
            return
        first = max(first, date(pattern.year, 1, 1))
    last = min(first + _FARTHEST, date(9999, 12, 31)) if first.year < 9900 else date(9999, 12, 31)
    day = first
    while day <= last and pattern.year in (None, day.year):
        if pattern.month not in (None, day.month):
            days = calendar.monthrange(day.year, day.month)[1]
            if day >= date(9999, 12, 1):
                return
            day = day.replace(day=days) + timedelta(days=1)
            continue
        if _is_day(pattern, day):
            yield day
        if day == last:
            return
        day += timedelta(days=1)


def _is_day(pattern: CosemDateTime, day: date) -> bool:
    wanted = pattern.day
    finer = (pattern.day_of_week, pattern.hour, pattern.minute, pattern.second or None)
    if wanted is None and finer == (None,) * 4:
        wanted = 1  # a month as such begins on its first day
    if wanted == LAST_DAY:
        wanted = calendar.monthrange(day.year, day.month)[1]
    elif wanted == SECOND_LAST_DAY:
        wanted = calendar.monthrange(day.year, day.month)[1] - 1
    return wanted in (None, day.day) and pattern.day_of_week in (None, day.isoweekday())


def _seconds(pattern: CosemDateTime) -> Iterator[int]:
    """Yield the times of day that match, in seconds."""
    hours: Iterable[int] = range(24)
    minutes: Iterable[int] = range(60)
    second = pattern.second or 0
    if pattern.hour is not None:
        hours = (pattern.hour,)
    elif pattern.minute is None and not second:
        hours = (0,)
    if pattern.minute is not None or not second:
        minutes = (pattern.minute or 0,)
    for hour in hours:
        for minute in minutes:
            yield 3600 * hour + 60 * minute + second
