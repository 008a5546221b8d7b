# SPDX-License-Identifier: Apache-2.0
"""Clock values: date-time, date and time (IEC 62056-6-2, 4.1.6).

A field that is not specified is `None`; encoded it is FF (the year FFFF, the deviation 8000).  The
deviation is what has to be **added** to local time to get UTC, in minutes: -60 is one hour east
of Greenwich.  Some meters in the field invert the sign; whoever talks to them corrects it.
Many clock values at once are the business of `columns`.
"""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntFlag
from typing import Final, Self

from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-6-2, 4.1.6"

DAYLIGHT_SAVINGS_END: Final = 0xFD
"""A `month` that is the one in which daylight saving ends."""
DAYLIGHT_SAVINGS_BEGIN: Final = 0xFE
"""A `month` that is the one in which daylight saving begins."""
SECOND_LAST_DAY: Final = 0xFD
"""A `day` that is the last but one of its month."""
LAST_DAY: Final = 0xFE
"""A `day` that is the last of its month."""

UNSPECIFIED: Final = 0xFF
UNSPECIFIED_YEAR: Final = 0xFFFF
UNSPECIFIED_DEVIATION: Final = -0x8000

_DATE_TIME: Final = struct.Struct(">HBBBBBBBhB")
_DATE: Final = struct.Struct(">HBBB")
_TIME: Final = struct.Struct(">BBBB")


class ClockStatus(IntFlag):
    """clock_status: how far the time can be trusted."""

    INVALID_VALUE = 0x01
    DOUBTFUL_VALUE = 0x02
    DIFFERENT_CLOCK_BASE = 0x04
    INVALID_CLOCK_STATUS = 0x08
    DAYLIGHT_SAVING_ACTIVE = 0x80


_GOOD: Final = ClockStatus(0)

# Field, lowest and highest value, and the special codes beside them.
_DATE_RANGES: Final = (
    ("year", 0, 0xFFFE, ()),
    ("month", 1, 12, (DAYLIGHT_SAVINGS_END, DAYLIGHT_SAVINGS_BEGIN)),
    ("day", 1, 31, (SECOND_LAST_DAY, LAST_DAY)),
    ("day_of_week", 1, 7, ()),
)
_TIME_RANGES: Final = (
    ("hour", 0, 23, ()),
    ("minute", 0, 59, ()),
    ("second", 0, 59, ()),
    ("hundredths", 0, 99, ()),
)
# The standard says -720 to 840; the other sign is in the field.
_ZONE_RANGES: Final = (("deviation_minutes", -840, 840, ()), ("clock_status", 0, 0xFE, ()))


def _check(value: object, ranges: tuple[tuple[str, int, int, tuple[int, ...]], ...]) -> None:
    for name, low, high, special in ranges:
        number = getattr(value, name)
        if number is None or low <= number <= high or number in special:
            continue
        raise ValueError(f"{name} is {low} to {high}, or None for not specified; not {number}")


def _octet(number: int | None) -> int:
    return UNSPECIFIED if number is None else number


def _year(number: int | None) -> int:
    return UNSPECIFIED_YEAR if number is None else number


def _specified(number: int, unspecified: int = UNSPECIFIED) -> int | None:
    return None if number == unspecified else number


def _unpack(form: struct.Struct, octets: bytes, what: str) -> tuple[int, ...]:
    if len(octets) != form.size:
        problem = f"{what} has {form.size} octets, not {len(octets)}"
        raise DecodeError(problem, octets, min(len(octets), form.size), CLAUSE)
    return form.unpack(octets)


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemDate:
    """date: a day, or a rule that days match.

    ======  ============  =======================================================
    octets  field         value
    ======  ============  =======================================================
    2       year          FFFF not specified
    1       month         1 to 12, FD end and FE begin of daylight saving, FF
    1       day           1 to 31, FD last but one, FE last of the month, FF
    1       day_of_week   1 Monday to 7 Sunday, FF
    ======  ============  =======================================================
    """

    year: int | None
    month: int | None
    day: int | None
    day_of_week: int | None = None

    def __post_init__(self) -> None:
        _check(self, _DATE_RANGES)

    def encode(self) -> bytes:
        return _DATE.pack(
            _year(self.year), _octet(self.month), _octet(self.day), _octet(self.day_of_week)
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        year, month, day, weekday = _unpack(_DATE, octets, "date")
        try:
            return cls(
                year=_specified(year, UNSPECIFIED_YEAR),
                month=_specified(month),
                day=_specified(day),
                day_of_week=_specified(weekday),
            )
        except ValueError as error:
            raise DecodeError(str(error), octets, 0, CLAUSE) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemTime:
    """time: a time of day, or a rule that times match.

    ======  ===========  =======================
    octets  field        value
    ======  ===========  =======================
    1       hour         0 to 23, FF
    1       minute       0 to 59, FF
    1       second       0 to 59, FF
    1       hundredths   0 to 99, FF
    ======  ===========  =======================
    """

    hour: int | None
    minute: int | None
    second: int | None = 0
    hundredths: int | None = 0

    def __post_init__(self) -> None:
        _check(self, _TIME_RANGES)

    def encode(self) -> bytes:
        return _TIME.pack(
            _octet(self.hour), _octet(self.minute), _octet(self.second), _octet(self.hundredths)
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        hour, minute, second, hundredths = map(_specified, _unpack(_TIME, octets, "time"))
        try:
            return cls(hour=hour, minute=minute, second=second, hundredths=hundredths)
        except ValueError as error:
            raise DecodeError(str(error), octets, 0, CLAUSE) from None


@dataclass(frozen=True, slots=True, kw_only=True)
class CosemDateTime:
    """date-time: a moment as a meter tells it, or a rule that moments match.

    ======  ==================  ====================================================
    octets  field               value
    ======  ==================  ====================================================
    5       year … day_of_week  as `CosemDate`
    4       hour … hundredths   as `CosemTime`
    2       deviation_minutes   local time to UTC, -720 to 840; 8000 not specified
    1       clock_status        bits of `ClockStatus`; FF not specified
    ======  ==================  ====================================================
    """

    year: int | None
    month: int | None
    day: int | None
    day_of_week: int | None = None
    hour: int | None
    minute: int | None
    second: int | None = 0
    hundredths: int | None = 0
    deviation_minutes: int | None = None
    clock_status: ClockStatus | None = None

    def __post_init__(self) -> None:
        _check(self, _DATE_RANGES)
        _check(self, _TIME_RANGES)
        _check(self, _ZONE_RANGES)

    def encode(self) -> bytes:
        deviation = self.deviation_minutes
        return _DATE_TIME.pack(
            _year(self.year),
            _octet(self.month),
            _octet(self.day),
            _octet(self.day_of_week),
            _octet(self.hour),
            _octet(self.minute),
            _octet(self.second),
            _octet(self.hundredths),
            UNSPECIFIED_DEVIATION if deviation is None else deviation,
            _octet(self.clock_status),
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        year, *fields, deviation, status = _unpack(_DATE_TIME, octets, "date-time")
        month, day, weekday, hour, minute, second, hundredths = map(_specified, fields)
        try:
            return cls(
                year=_specified(year, UNSPECIFIED_YEAR),
                month=month,
                day=day,
                day_of_week=weekday,
                hour=hour,
                minute=minute,
                second=second,
                hundredths=hundredths,
                deviation_minutes=_specified(deviation, UNSPECIFIED_DEVIATION),
                clock_status=None if status == UNSPECIFIED else ClockStatus(status),
            )
        except ValueError as error:
            raise DecodeError(str(error), octets, 0, CLAUSE) from None

    @classmethod
    def from_utc(
        cls,
        moment: datetime,
        *,
        deviation_minutes: int = 0,
        clock_status: ClockStatus | None = _GOOD,
    ) -> Self:
        """Return the date-time of an aware `moment`, as a clock with this deviation shows it."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone: give an aware datetime")
        local = moment.astimezone(UTC) - timedelta(minutes=deviation_minutes)
        return cls(
            year=local.year,
            month=local.month,
            day=local.day,
            day_of_week=local.isoweekday(),
            hour=local.hour,
            minute=local.minute,
            second=local.second,
            hundredths=local.microsecond // 10_000,
            deviation_minutes=deviation_minutes,
            clock_status=clock_status,
        )

    def to_utc(self, *, assume_deviation_minutes: int | None = None) -> datetime:
        """Return the moment as an aware datetime; seconds not specified count as 0.

        Args:
            assume_deviation_minutes: The deviation of a clock that does not tell its own.

        Raises:
            ValueError: A field is not specified, or there is no such day.
        """
        deviation = self.deviation_minutes
        if deviation is None:
            deviation = assume_deviation_minutes
        if deviation is None:
            raise ValueError(
                f"{self} does not tell its deviation from UTC: assume one for this meter"
            )
        year, month, day, hour, minute = self.year, self.month, self.day, self.hour, self.minute
        if year is None or month is None or day is None or hour is None or minute is None:
            raise ValueError(f"{self} is no moment: year, month, day, hour and minute are needed")
        try:
            local = datetime(
                year,
                month,
                day,
                hour,
                minute,
                self.second or 0,
                (self.hundredths or 0) * 10_000,
                UTC,
            )
            return local + timedelta(minutes=deviation)
        except (ValueError, OverflowError):
            raise ValueError(f"{self} is no moment: there is no such day") from None

    def __str__(self) -> str:
        date = f"{_text(self.year, 4)}-{_text(self.month)}-{_text(self.day)}"
        time = f"{_text(self.hour)}:{_text(self.minute)}:{_text(self.second)}"
        deviation = self.deviation_minutes
        return f"{date} {time} deviation {'unspecified' if deviation is None else deviation}"


def _text(number: int | None, digits: int = 2) -> str:
    return "*" if number is None else f"{number:0{digits}d}"
