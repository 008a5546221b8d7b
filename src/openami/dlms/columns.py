# SPDX-License-Identifier: Apache-2.0
"""The buffer of a profile generic to numpy columns, without a Python object for each value.

IEC 62056-6-2, 4.3.6 (buffer) and 4.1.6 (date-time).  Meters write thousands of rows of one shape:
the same tags at the same places.  `decode_profile` takes the shape from the first row, checks
that all others have it, and reads the columns by stride.  Whatever is different in one row (a
null that repeats the row before, another width, a clock that is not set) sends the whole buffer
through `data.decode` instead: slower by a factor of hundreds, with equal columns as the result.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from openami.dlms import data
from openami.dlms.axdr import read_length
from openami.dlms.data import Array, Data, FixedInteger, Structure
from openami.dlms.datetimes import UNSPECIFIED_DEVIATION, CosemDateTime
from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-6-2, 4.3.6, buffer"

Int64: TypeAlias = npt.NDArray[np.int64]
Column: TypeAlias = npt.NDArray[np.generic]
_Table: TypeAlias = npt.NDArray[np.uint8]

_DATE_TIME_OCTETS: Final = 12
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_WIDEST_DEVIATION: Final = 840

_NUMBERS: Final[tuple[type[data.FixedInteger | data.Float32 | data.Float64], ...]] = (
    *data.INTEGER_TYPES,
    data.Float32,
    data.Float64,
)
_BOOLEAN: Final = 0x03
_DTYPES: Final[dict[int, np.dtype[np.generic]]] = {
    kind.TAG: np.dtype(kind.FORMAT) for kind in _NUMBERS
} | {_BOOLEAN: np.dtype(np.bool_)}
_TYPES: Final[dict[type, np.dtype[np.generic]]] = {
    kind: np.dtype(kind.FORMAT).newbyteorder("=") for kind in _NUMBERS
} | {bool: np.dtype(np.bool_)}
_COUNTED: Final = frozenset({0x09, 0x0A, 0x0C})
_FIXED_OCTETS: Final[dict[int, int]] = {0x00: 0, 0xFF: 0, 0x19: 12, 0x1A: 5, 0x1B: 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """A profile by columns; all arrays are `rows` long.

    Attributes:
        names: What the caller calls the columns; empty when it gave no names.
        times_us: Microseconds since 1970-01-01 UTC of the clock column; None without one.
        deviation_minutes: What each row's clock says of its deviation; -32768 for nothing.
        clock_status: The status octet of each row's clock; 255 for none.
        values: One array a column, in native byte order and of its DLMS type; the clock column is
            `times_us`; what is not a number is an array of Python values.
        rows: How many rows.
        exact_path: Whether the shape differed between rows, so that rows were read one by one.
    """

    names: tuple[str, ...]
    times_us: Int64 | None
    deviation_minutes: npt.NDArray[np.int16] | None
    clock_status: npt.NDArray[np.uint8] | None
    values: tuple[Column, ...]
    rows: int
    exact_path: bool

    @property
    def index(self) -> dict[str, int]:
        """Position of each named column."""
        return {name: position for position, name in enumerate(self.names)}


@dataclass(frozen=True, slots=True)
class _Cell:
    """Where one column stands in a row: its tag, and its contents behind tag and length."""

    tag: int
    start: int
    contents: int
    end: int


@dataclass(frozen=True, slots=True)
class _Clock:
    times_us: Int64
    deviation_minutes: npt.NDArray[np.int16]
    status: npt.NDArray[np.uint8]


def decode_profile(
    octets: bytes,
    *,
    names: Sequence[str] = (),
    clock_column: int | None = 0,
    capture_period_s: int = 0,
    assume_deviation_minutes: int | None = None,
) -> Columns:
    """Return the columns of an encoded buffer: ``01 rows 02 columns …``, blocks joined.

    Args:
        octets: The encoded array; of a long answer the raw data of all blocks.
        names: What to call the columns.
        clock_column: Which column is the clock; None for none.
        capture_period_s: Seconds between rows, where the clock is null: previous plus period.
        assume_deviation_minutes: For clocks that do not tell their deviation from UTC.

    Raises:
        DecodeError: The octets are no array of rows, rows differ in their number of columns, or
            a clock is no moment.
    """
    fast = _decode_by_stride(octets, clock_column, assume_deviation_minutes)
    if fast is None:
        clock, values, rows = _decode_row_by_row(
            octets, clock_column, capture_period_s, assume_deviation_minutes
        )
    else:
        clock, values, rows = fast
    if names and values and len(names) != len(values):
        problem = f"rows have {len(values)} columns, not {len(names)} as the profile declares"
        raise DecodeError(problem, octets, 0, CLAUSE)
    return Columns(
        names=tuple(names),
        times_us=None if clock is None else clock.times_us,
        deviation_minutes=None if clock is None else clock.deviation_minutes,
        clock_status=None if clock is None else clock.status,
        values=values,
        rows=rows,
        exact_path=fast is None,
    )


_Decoded: TypeAlias = tuple[_Clock | None, tuple[Column, ...], int]


def _decode_by_stride(
    octets: bytes, clock_column: int | None, assumed: int | None
) -> _Decoded | None:
    """Return the columns if all rows have the shape of the first; None if anything differs."""
    table, cells, first = _table(octets)
    if table is None:
        return None
    clock = None
    if clock_column is not None:
        if not 0 <= clock_column < len(cells):
            return None
        clock = _clock_by_stride(table, cells[clock_column], first, assumed)
        if clock is None:
            return None
    values = tuple(
        clock.times_us
        if clock is not None and position == clock_column
        else _values_by_stride(table, cell, first)
        for position, cell in enumerate(cells)
    )
    return clock, values, len(table)


def _table(octets: bytes) -> tuple[_Table | None, list[_Cell], int]:
    """Return the rows as a table of octets, if all have the tags and lengths of the first."""
    if len(octets) < 2 or octets[0] != Array.TAG:
        return None, [], 0
    rows, first = read_length(octets, 1, "rows")
    cells = _shape(octets, first)
    stride = cells[-1].end - first if cells else 0
    if not rows or not cells or rows * stride != len(octets) - first:
        return None, [], 0
    table = np.frombuffer(octets, np.uint8, offset=first).reshape(rows, stride)
    fixed = _fixed_positions(cells, first)
    if not (table[:, fixed] == table[0, fixed]).all():
        return None, [], 0
    return table, cells, first


def _shape(octets: bytes, first: int) -> list[_Cell]:
    """Return the cells of the row at `first`; none if the row is not flat and short."""
    if first + 2 > len(octets) or octets[first] != Structure.TAG or octets[first + 1] >= 0x80:
        return []
    cells = []
    at = first + 2
    for _ in range(octets[first + 1]):
        if at >= len(octets):
            return []
        tag = octets[at]
        contents = at + 1
        if tag in _COUNTED:
            if contents >= len(octets) or octets[contents] >= 0x80:
                return []
            contents, size = contents + 1, octets[contents]
        elif tag in _DTYPES:
            size = _DTYPES[tag].itemsize
        elif tag in _FIXED_OCTETS:
            size = _FIXED_OCTETS[tag]
        else:
            return []
        cells.append(_Cell(tag, at, contents, contents + size))
        at = contents + size
    return cells if at <= len(octets) else []


def _fixed_positions(cells: list[_Cell], first: int) -> list[int]:
    """Return where in a row tags and lengths stand."""
    head = [0, 1]
    return head + [at - first for cell in cells for at in range(cell.start, cell.contents)]


@lru_cache(maxsize=1024)
def _field_type(form: str, at: int, stride: int) -> np.dtype[np.void]:
    return np.dtype({"names": ["n"], "formats": [form], "offsets": [at], "itemsize": stride})


def _field(table: _Table, form: str, at: int) -> Column:
    """Return the numbers of one form that stand at place `at` of each row, in native order."""
    numbers: Column = table.view(_field_type(form, at, table.shape[1])).reshape(-1)["n"]
    native: Column = numbers.astype(numbers.dtype.newbyteorder("="))
    return native


def _values_by_stride(table: _Table, cell: _Cell, first: int) -> Column:
    if cell.tag == _BOOLEAN:
        return _field(table, "u1", cell.contents - first).astype(np.bool_)
    if cell.tag in _DTYPES:
        return _field(table, _DTYPES[cell.tag].str, cell.contents - first)
    octets = table[:, cell.start - first : cell.end - first]
    return _objects([data.decode(row.tobytes()) for row in octets])


def _clock_by_stride(table: _Table, cell: _Cell, first: int, assumed: int | None) -> _Clock | None:
    """Return the clock column, or None if one row needs a closer look."""
    if cell.end - cell.contents != _DATE_TIME_OCTETS or cell.tag not in {0x09, 0x19}:
        return None
    start = cell.contents - first
    days = _days(_field(table, ">u4", start).astype(np.int64))
    time_us = _time_of_day_us(_field(table, ">u4", start + 5).astype(np.int64))
    deviation = _field(table, ">i2", start + 9).astype(np.int16)
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
    return _Clock(times_us, deviation, _field(table, "u1", start + 11).astype(np.uint8))


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


def _decode_row_by_row(
    octets: bytes, clock_column: int | None, capture_period_s: int, assumed: int | None
) -> _Decoded:
    array = data.decode(octets)
    if not isinstance(array, Array):
        raise DecodeError("a buffer is an array of rows", octets, 0, CLAUSE)
    width = _width(octets, array, clock_column)
    columns: list[list[Data]] = [[] for _ in range(width)]
    for row in array:
        assert isinstance(row, Structure)  # noqa: S101  _width has looked at each row
        for column, cell in zip(columns, row, strict=True):
            column.append(column[-1] if cell is None and column else cell)
    clock = None
    if clock_column is not None:
        cells = [row[clock_column] for row in array if isinstance(row, Structure)]
        clock = _clock_row_by_row(octets, cells, capture_period_s, assumed)
    values = tuple(
        clock.times_us if clock is not None and position == clock_column else _column(column)
        for position, column in enumerate(columns)
    )
    return clock, values, len(array)


def _width(octets: bytes, array: Array, clock_column: int | None) -> int:
    """Return the number of columns, the same in all rows."""
    width = 0
    for number, row in enumerate(array):
        if not isinstance(row, Structure):
            problem = f"row {number} is {type(row).__name__}, not a structure"
            raise DecodeError(problem, octets, 0, CLAUSE)
        if number and len(row) != width:
            problem = f"row {number} has {len(row)} columns, the rows before {width}"
            raise DecodeError(problem, octets, 0, CLAUSE)
        width = len(row)
    if array and clock_column is not None and not 0 <= clock_column < width:
        problem = f"rows have {width} columns, the clock is said to be number {clock_column}"
        raise DecodeError(problem, octets, 0, CLAUSE)
    return width


def _clock_row_by_row(
    octets: bytes, cells: list[Data], capture_period_s: int, assumed: int | None
) -> _Clock:
    times_us: list[int] = []
    deviations: list[int] = []
    states: list[int] = []
    for number, cell in enumerate(cells):
        if cell is None and times_us:
            if capture_period_s <= 0:
                problem = f"row {number} has no clock and the capture period was not given"
                raise DecodeError(problem, octets, 0, CLAUSE)
            times_us.append(times_us[-1] + capture_period_s * 1_000_000)
            deviations.append(deviations[-1])
            states.append(states[-1])
            continue
        if not isinstance(cell, bytes) or len(cell) != _DATE_TIME_OCTETS:
            problem = f"clock of row {number} is {cell!r}, not a date-time of 12 octets"
            raise DecodeError(problem, octets, 0, CLAUSE)
        times_us.append(_moment_us(octets, number, cell, assumed))
        deviations.append(int.from_bytes(cell[9:11], signed=True))
        states.append(cell[11])
    return _Clock(
        np.array(times_us, np.int64), np.array(deviations, np.int16), np.array(states, np.uint8)
    )


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


def _column(cells: list[Data]) -> Column:
    """Return cells as numbers if one type of numpy holds them all exactly, else as they are."""
    dtypes = {_TYPES.get(type(cell)) for cell in cells}
    if not dtypes or None in dtypes:
        return _objects(cells)
    known = [dtype for dtype in dtypes if dtype is not None]
    if len(known) == 1:
        return np.array(cells, known[0])
    common = np.result_type(*known)
    if not all(isinstance(cell, FixedInteger) for cell in cells) or common.kind not in "iu":
        return _objects(cells)
    return np.array(cells, common)


def _objects(cells: Sequence[Data]) -> Column:
    column = np.empty(len(cells), np.object_)
    for position, cell in enumerate(cells):
        column[position] = cell
    return column
