# SPDX-License-Identifier: Apache-2.0
"""Clock columns: date-times of many rows to microseconds since 1970 (IEC 62056-6-2, 4.1.6)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from openami.dlms.bulk.shapes import Cell, Table, number_field
from openami.dlms.data import Data
from openami.dlms.datetimes import UNSPECIFIED_DEVIATION, CosemDateTime
from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-6-2, 4.3.6, buffer"

Int64: TypeAlias = npt.NDArray[np.int64]

_DATE_TIME_OCTETS: Final = 12
_DATE_TIMES: Final = frozenset({0x09, 0x19})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WIDEST_DEVIATION: Final = 840


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of each row: its moment, and what it says of deviation and status."""

    times_us: Int64
    deviation_minutes: npt.NDArray[np.int16]
    status: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ClockRules:
    """How clocks are read.

    Attributes:
        capture_period_s: Seconds between rows, where the clock is null; 0 if it is not known.
        assumed_deviation_minutes: For clocks that do not tell their deviation; None for none.
    """

    capture_period_s: int = 0
    assumed_deviation_minutes: int | None = None


def is_date_time(cell: Cell) -> bool:
    """Whether the cells of a column are date-times, by type or as octet-strings."""
    return cell.tag in _DATE_TIMES and cell.end - cell.contents == _DATE_TIME_OCTETS


def by_stride(table: Table, cell: Cell, assumed: int | None) -> Clock | None:
    """Return the clock column, or None if one row needs a closer look."""
    if cell.end - cell.contents != _DATE_TIME_OCTETS or cell.tag not in {0x09, 0x19}:
        return None
    start = cell.contents
    days = _days(number_field(table, ">u4", start).astype(np.int64))
    time_us = _time_of_day_us(number_field(table, ">u4", start + 5).astype(np.int64))
    deviation = number_field(table, ">i2", start + 9).astype(np.int16)
    if days is None or time_us is None:
        return None
    applied = deviation
    if (deviation == UNSPECIFIED_DEVIATION).any():
        if assumed is None:
            return None
        applied = np.where(deviation == UNSPECIFIED_DEVIATION, np.int16(assumed), deviation)
    if applied.min() < -_WIDEST_DEVIATION or applied.max() > _WIDEST_DEVIATION:
        return None
    times_us = days * 86_400_000_000 + time_us + applied.astype(np.int64) * 60_000_000
    return Clock(times_us, deviation, number_field(table, "u1", start + 11).astype(np.uint8))


def _days(date: Int64) -> Int64 | None:
    """Return days since 1970-01-01 of octets year, month, day; None if one is no date.

    Rows of one day follow each other, so the calendar is asked once for each day.
    """
    starts = np.flatnonzero(np.concatenate(([True], date[1:] != date[:-1])))
    heads = date[starts]
    year, month, day = heads >> 16, heads >> 8 & 0xFF, heads & 0xFF
    # Close to the ends of the calendar a deviation may leave it: those rows are read one by one.
    if (year < 2).any() or (year > 9998).any() or (month < 1).any() or (month > 12).any():
        return None
    months = (year - 1970) * 12 + month - 1
    first_days = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    next_months = (months + 1).astype("M8[M]").astype("M8[D]").astype(np.int64)
    days = first_days + day - 1
    if (day < 1).any() or (days >= next_months).any():
        return None
    return np.repeat(days, np.diff(starts, append=len(date)))


def _time_of_day_us(clock: Int64) -> Int64 | None:
    """Return microseconds since midnight of octets hour, minute, second, hundredths."""
    hour, minute, low = clock >> 24, clock >> 16 & 0xFF, clock & 0xFFFF
    if hour.max() > 23 or minute.max() > 59:
        return None
    time_us: Int64 = hour * 3_600_000_000 + minute * 60_000_000
    if not low.any():
        return time_us
    second, hundredths = low >> 8, low & 0xFF
    second[second == 0xFF] = 0
    hundredths[hundredths == 0xFF] = 0
    if second.max() > 59 or hundredths.max() > 99:
        return None
    time_us += second * 1_000_000 + hundredths * 10_000
    return time_us


def row_by_row(
    octets: bytes, cells: list[Data], rules: ClockRules, before: Clock | None = None, first: int = 0
) -> Clock:
    """Return the clock of each row from its value.

    Args:
        octets: The buffer, for errors.
        cells: The values.
        rules: How they are read.
        before: The rows before, which a null counts from.
        first: Number of the first row, for errors.

    Raises:
        DecodeError: A clock is no moment, or null with nothing to count from.
    """
    times_us: list[int] = []
    deviations: list[int] = []
    states: list[int] = []
    last = None if before is None or not len(before.times_us) else _last(before)
    for number, cell in enumerate(cells, first):
        if cell is None and last is not None:
            if rules.capture_period_s <= 0:
                problem = f"row {number} has no clock and the capture period was not given"
                raise DecodeError(problem, octets, 0, CLAUSE)
            last = (last[0] + rules.capture_period_s * 1_000_000, *last[1:])
        elif not isinstance(cell, bytes) or len(cell) != _DATE_TIME_OCTETS:
            problem = f"clock of row {number} is {cell!r}, not a date-time of 12 octets"
            raise DecodeError(problem, octets, 0, CLAUSE)
        else:
            moment = _moment_us(octets, number, cell, rules.assumed_deviation_minutes)
            last = (moment, int.from_bytes(cell[9:11], signed=True), cell[11])
        times_us.append(last[0])
        deviations.append(last[1])
        states.append(last[2])
    return Clock(
        np.array(times_us, np.int64), np.array(deviations, np.int16), np.array(states, np.uint8)
    )


def nulls(octets: bytes, count: int, rules: ClockRules, before: Clock, first: int) -> Clock:
    """Return the clock of `count` rows whose clocks are null: a period behind each other."""
    if rules.capture_period_s <= 0 or not len(before.times_us):
        return row_by_row(octets, [None] * count, rules, before, first)
    time_us, deviation, status = _last(before)
    steps = np.arange(1, count + 1, dtype=np.int64) * (rules.capture_period_s * 1_000_000)
    return Clock(
        steps + time_us, np.full(count, deviation, np.int16), np.full(count, status, np.uint8)
    )


def joined(clocks: list[Clock]) -> Clock:
    """Return the clocks of rows that follow each other."""
    if len(clocks) == 1:
        return clocks[0]
    return Clock(
        np.concatenate([np.empty(0, np.int64), *(each.times_us for each in clocks)]),
        np.concatenate([np.empty(0, np.int16), *(each.deviation_minutes for each in clocks)]),
        np.concatenate([np.empty(0, np.uint8), *(each.status for each in clocks)]),
    )


def _last(clock: Clock) -> tuple[int, int, int]:
    return int(clock.times_us[-1]), int(clock.deviation_minutes[-1]), int(clock.status[-1])


def _moment_us(octets: bytes, number: int, cell: bytes, assumed: int | None) -> int:
    # The day of the week follows from the date; a wrong one is no reason to lose the row.
    clock = cell[:4] + b"\xff" + cell[5:]
    try:
        moment = CosemDateTime.decode(clock).to_utc(assume_deviation_minutes=assumed)
    except DecodeError as error:
        problem = f"clock of row {number}: {error.problem}"
        raise DecodeError(problem, octets, 0, CLAUSE) from None
    except ValueError as error:
        raise DecodeError(f"clock of row {number}: {error}", octets, 0, CLAUSE) from None
    elapsed = moment - _EPOCH
    return (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000 + elapsed.microseconds
