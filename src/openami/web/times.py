# SPDX-License-Identifier: Apache-2.0
"""Local days of the utility's zone, computed from stored UTC; a day has 23, 24 or 25 hours."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from openami.runtime.clock import from_us, to_us

MINUTE_US: Final = 60_000_000
HOUR_US: Final = 60 * MINUTE_US
DAY_US: Final = 24 * HOUR_US


class Span(NamedTuple):
    """A stretch of time, the end excluded."""

    from_us: int
    to_us: int


@dataclass(frozen=True, slots=True)
class LocalCalendar:
    """Days, weeks and months of one zone."""

    zone: ZoneInfo

    def local(self, us: int) -> datetime:
        """Return a stored moment as the zone's wall clock."""
        return from_us(us).astimezone(self.zone)

    def date_of(self, us: int) -> date:
        """Return the local date of a moment."""
        return self.local(us).date()

    def midnight_us(self, day: date) -> int:
        """Return the moment at which a local day begins."""
        return to_us(datetime.combine(day, time(), tzinfo=self.zone))

    def day(self, day: date) -> Span:
        """Return a local day."""
        return Span(self.midnight_us(day), self.midnight_us(day + timedelta(days=1)))

    def days(self, first: date, last: date) -> Span:
        """Return the local days from `first` to `last`, both included."""
        return Span(self.midnight_us(first), self.midnight_us(last + timedelta(days=1)))

    def text(self, us: int, pattern: str) -> str:
        """Return a moment in local time by a strftime pattern."""
        return self.local(us).strftime(pattern)


def week_of(day: date) -> tuple[date, date]:
    """Return Monday and Sunday of a day's week."""
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6)


def month_of(day: date) -> tuple[date, date]:
    """Return the first and last day of a day's month."""
    first = day.replace(day=1)
    return first, (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)


def each_day(first: date, last: date) -> Iterator[date]:
    """Yield the days from `first` to `last`, both included."""
    for number in range((last - first).days + 1):
        yield first + timedelta(days=number)


def duration(us: int) -> str:
    """Return a length of time in the largest unit that says enough: `12 min`, `3 h`, `2 days`."""
    us = abs(us)
    for size, unit, above in ((DAY_US, "days", 2 * DAY_US), (HOUR_US, "h", 2 * HOUR_US)):
        if us >= above:
            return f"{us // size}\u2009{unit}"
    if us >= 2 * MINUTE_US:
        return f"{us // MINUTE_US}\u2009min"
    return f"{us // 1_000_000}\u2009s"
