# SPDX-License-Identifier: Apache-2.0
"""When a date-time with open fields comes next, and whether a window is open.

DLMS UA 1000-1 Ed. 12, 4.1.6.1.  `localtime.Rule` knows how dates and times come round.  Here
fields finer than the finest one that is specified count from their beginning, so that
``*-*-01 *:*:*`` is one moment a month, its first; and a date-time with nothing specified is no
moment: as an end of a window it leaves that end open.

A window is open if, of its two ends, the closing one comes next.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time

from openami.cosem.behaviour.localtime import MINUTE_US, UTC_ZONE, Rule, Zone, to_us
from openami.cosem.classes.references import Window
from openami.dlms.datetimes import LAST_DAY, SECOND_LAST_DAY, CosemDateTime


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
    return pattern.year is not None and _is_month(pattern.month) and _is_day(pattern.day)


def _is_month(month: int | None) -> bool:
    return month is not None and month <= 12


def _is_day(day: int | None) -> bool:
    return day is not None and day not in {LAST_DAY, SECOND_LAST_DAY}


def next_us(pattern: CosemDateTime, after_us: int, zone: Zone = UTC_ZONE) -> int | None:
    """Return the first moment after `after_us` that matches; None if there is none any more.

    Args:
        pattern: A date-time, perhaps with open fields.
        after_us: Microseconds UTC since 1970; the answer is later than this.
        zone: Local time, for a pattern that does not tell its own deviation.
    """
    if is_unspecified(pattern):
        return None
    pattern = _from_the_beginning(pattern)
    deviation = pattern.deviation_minutes
    if deviation is not None:
        zone = Zone(time_zone=deviation)
    if is_moment(pattern):
        found = _moment_us(pattern, zone)
        return found if found is not None and found > after_us else None
    return Rule.of(pattern).after(after_us, zone)


def _from_the_beginning(pattern: CosemDateTime) -> CosemDateTime:
    """Return `pattern` with what is finer than its finest field set to where that begins."""
    if pattern.minute is not None or pattern.second:
        return pattern
    if pattern.hour is not None:
        return replace(pattern, minute=0)
    pattern = replace(pattern, hour=0, minute=0)
    if pattern.day is not None or pattern.day_of_week is not None:
        return pattern
    pattern = replace(pattern, day=1)
    return pattern if pattern.month is not None else replace(pattern, month=1)


def _moment_us(pattern: CosemDateTime, zone: Zone) -> int | None:
    year, month, day = pattern.year or 0, pattern.month or 0, pattern.day or 0
    try:
        found = date(year, month, day)
        if pattern.day_of_week not in {None, found.isoweekday()}:
            return None
        at = time(pattern.hour or 0, pattern.minute or 0, pattern.second or 0)
        local = datetime.combine(found, at)
        if not 1971 <= year <= 9990:  # a change of daylight saving is looked for a year around
            return to_us(local.replace(tzinfo=UTC)) + zone.time_zone * MINUTE_US
        return zone.moment(local)
    except ValueError:
        return None  # there is no such day


def is_open(windows: Iterable[Window], now_us: int, zone: Zone = UTC_ZONE) -> bool:
    """Tell whether `now_us` lies in one of the windows; no window at all is always open."""
    found = tuple(windows)
    return not found or any(_is_in(window, now_us, zone) for window in found)


def opens_us(windows: Iterable[Window], now_us: int, zone: Zone = UTC_ZONE) -> int | None:
    """Return the first moment, not before `now_us`, at which a window is open; None if never."""
    found = tuple(windows)
    if is_open(found, now_us, zone):
        return now_us
    return min(
        (start for window in found if (start := next_us(window.start, now_us, zone)) is not None),
        default=None,
    )


def closes_us(windows: Iterable[Window], now_us: int, zone: Zone = UTC_ZONE) -> int | None:
    """Return when the last of the windows that are open now closes; None if that is never."""
    ends = [next_us(window.end, now_us, zone) for window in windows if _is_in(window, now_us, zone)]
    known = [end for end in ends if end is not None]
    return max(known) if known and len(known) == len(ends) else None


def _is_in(window: Window, now_us: int, zone: Zone) -> bool:
    # What begins at this very moment has begun, what ends at it is over.
    end = next_us(window.end, now_us, zone)
    start = next_us(window.start, now_us, zone)
    if is_unspecified(window.end):
        return start is None or not is_moment(window.start)
    if end is None:
        return False
    return is_unspecified(window.start) or start is None or end < start
