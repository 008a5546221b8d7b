# SPDX-License-Identifier: Apache-2.0
"""Dates and times with open fields as people write them, and back.

IEC 62056-6-2, 4.1.6.  An open field is ``*``; ``last`` and ``second-last`` are days of
the month (or, with a weekday, its last such day), ``dst-begin`` and ``dst-end`` the months in which
daylight saving begins and ends::

    *-03-last Sun 02:00:00 deviation -60       the last Sunday of March, each year
    *-*-01 00:00:00 deviation unspecified      the first of each month

A weekday stands where it says more than the date does.  Hundredths are left out where they are 0,
or open behind an open second.  The clock status is not told.  ``datetimes`` has the octets.
"""

import re
from typing import Final

from openami.dlms.datetimes import (
    DAYLIGHT_SAVINGS_BEGIN,
    DAYLIGHT_SAVINGS_END,
    LAST_DAY,
    SECOND_LAST_DAY,
    CosemDate,
    CosemDateTime,
    CosemTime,
)

WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
OPEN: Final = "*"
_MONTHS: Final = {DAYLIGHT_SAVINGS_BEGIN: "dst-begin", DAYLIGHT_SAVINGS_END: "dst-end"}
_DAYS: Final = {LAST_DAY: "last", SECOND_LAST_DAY: "second-last"}
_NUMBERS: Final = {word: number for words in (_MONTHS, _DAYS) for number, word in words.items()}

_FIELD: Final = r"\*|\d\d"
_DATE: Final = (
    rf"(?P<year>\*|\d{{4}})-(?P<month>{_FIELD}|dst-begin|dst-end)"
    rf"-(?P<day>{_FIELD}|last|second-last)(?: (?P<weekday>{'|'.join(WEEKDAYS)}))?"
)
_TIME: Final = (
    rf"(?P<hour>{_FIELD}):(?P<minute>{_FIELD})"
    rf"(?::(?P<second>{_FIELD})(?:\.(?P<hundredths>{_FIELD}))?)?"
)
_ZONE: Final = r"(?: deviation (?P<deviation>unspecified|[+-]?\d{1,3}))?"


def date_text(date: CosemDate | CosemDateTime) -> str:
    """Return a date, ``*-03-last Sun``."""
    number = None if _is_one_day(date) else date.day_of_week
    weekday = "" if number is None else f" {WEEKDAYS[number - 1]}"
    month = _MONTHS.get(date.month or 0) or _number(date.month)
    day = _DAYS.get(date.day or 0) or _number(date.day)
    return f"{_number(date.year, 4)}-{month}-{day}{weekday}"


def time_text(time: CosemTime | CosemDateTime) -> str:
    """Return a time of day, ``02:00:00`` or ``*:15:00``."""
    text = f"{_number(time.hour)}:{_number(time.minute)}:{_number(time.second)}"
    silent = None if time.second is None else 0
    return text if time.hundredths == silent else f"{text}.{_number(time.hundredths)}"


def date_time_text(moment: CosemDateTime) -> str:
    """Return a date-time without its clock status."""
    deviation = moment.deviation_minutes
    zone = "unspecified" if deviation is None else str(deviation)
    return f"{date_text(moment)} {time_text(moment)} deviation {zone}"


def parse_date(text: str) -> CosemDate | None:
    """Return the date that a text is; None if it is none."""
    found = re.fullmatch(_DATE, text)
    try:
        return None if found is None else CosemDate(**_date(found))
    except ValueError:
        return None


def parse_time(text: str) -> CosemTime | None:
    """Return the time that a text is; None if it is none."""
    found = re.fullmatch(_TIME, text)
    try:
        return None if found is None else CosemTime(**_time(found))
    except ValueError:
        return None


def parse_date_time(text: str) -> CosemDateTime | None:
    """Return the date-time that a text is, its clock status open; None if it is none."""
    found = re.fullmatch(f"{_DATE} {_TIME}{_ZONE}", text)
    if found is None:
        return None
    zone = found["deviation"]
    deviation = None if zone in {None, "unspecified"} else int(zone)
    try:
        date, time = CosemDate(**_date(found)), CosemTime(**_time(found))
        return CosemDateTime(
            year=date.year,
            month=date.month,
            day=date.day,
            day_of_week=date.day_of_week,
            hour=time.hour,
            minute=time.minute,
            second=time.second,
            hundredths=time.hundredths,
            deviation_minutes=deviation,
        )
    except ValueError:
        return None


def _is_one_day(date: CosemDate | CosemDateTime) -> bool:
    fields = (date.year, date.month, date.day)
    return None not in fields and date.month not in _MONTHS and date.day not in _DAYS


def _number(number: int | None, digits: int = 2) -> str:
    return OPEN if number is None else f"{number:0{digits}d}"


def _value(text: str) -> int | None:
    return None if text == OPEN else _NUMBERS.get(text) or int(text)


def _date(found: re.Match[str]) -> dict[str, int | None]:
    weekday = found["weekday"]
    return {
        "year": _value(found["year"]),
        "month": _value(found["month"]),
        "day": _value(found["day"]),
        "day_of_week": None if weekday is None else WEEKDAYS.index(weekday) + 1,
    }


def _time(found: re.Match[str]) -> dict[str, int | None]:
    second = _value(found["second"] or "00")
    silent = None if second is None else 0
    hundredths = found["hundredths"]
    return {
        "hour": _value(found["hour"]),
        "minute": _value(found["minute"]),
        "second": second,
        "hundredths": silent if hundredths is None else _value(hundredths),
    }
