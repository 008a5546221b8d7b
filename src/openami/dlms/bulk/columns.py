# SPDX-License-Identifier: Apache-2.0
"""The buffer of a profile generic to numpy columns, without a Python object for each value.

IEC 62056-6-2, 4.3.6 (buffer) and 4.1.6 (date-time).  Meters write thousands of rows of one shape:
the same tags at the same places.  `decode_profile` takes rows of one shape together and reads their
columns by stride; where the shape changes (a null that repeats the row before, another width) the
next rows are taken together again.  Rows that are not flat are read as `data.decode` reads them,
and so is the whole buffer where shapes change all the time: slower by a factor of hundreds, with
equal columns as the result.

`ProfileStream` takes the APDUs of a long answer as they come, ciphered or not, in blocks of a
service or of general-block-transfer, and `from_blocks` does so with all of them at once.
"""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from openami.dlms.apdu import block, ciphered
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.axdr import read_length
from openami.dlms.bulk import clock as columnclock
from openami.dlms.bulk import groups as columngroups
from openami.dlms.bulk import rows as columnrows
from openami.dlms.bulk import shapes as columnshapes
from openami.dlms.bulk.clock import CLAUSE, Clock, ClockRules, Int64
from openami.dlms.bulk.groups import Group
from openami.dlms.bulk.shapes import Column, Odd, Part, Segment
from openami.dlms.data import Data, Structure
from openami.dlms.errors import DecodeError

__all__ = ["CLAUSE", "Column", "Columns", "ProfileStream", "decode_profile", "from_blocks"]


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
        exact_path: Whether rows were read one by one: they are not flat, their shapes change all
            the time, or a clock needs a closer look.
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

    def mapping(self) -> dict[str, Column]:
        """Return the columns by their names, as ``polars.DataFrame`` and ``pyarrow.table`` take it.

        The clock is ``datetime64[us]``, in UTC.

        Raises:
            ValueError: The columns have no names.
        """
        if len(self.names) != len(self.values):
            raise ValueError(f"{len(self.values)} columns have {len(self.names)} names: give names")
        named = dict(zip(self.names, self.values, strict=True))
        return {
            name: column.view("M8[us]") if column is self.times_us else column
            for name, column in named.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What the caller asks for."""

    clock_column: int | None
    rules: ClockRules
    columns: Sequence[int] | None

    def chosen(self, octets: bytes, width: int) -> Sequence[int]:
        if self.columns is None:
            return range(width)
        for position in self.columns:
            if not 0 <= position < width:
                problem = f"rows have {width} columns, number {position} is asked for"
                raise DecodeError(problem, octets, 0, CLAUSE)
        return self.columns


def decode_profile(  # noqa: PLR0913  each of its own matter, and named
    octets: bytes,
    *,
    names: Sequence[str] = (),
    clock_column: int | None = 0,
    capture_period_s: int = 0,
    assume_deviation_minutes: int | None = None,
    columns: Sequence[int] | None = None,
) -> Columns:
    """Return the columns of an encoded buffer: ``01 rows 02 columns …``, blocks joined.

    Args:
        octets: The encoded array or compact-array; of a long answer the raw data of all blocks.
        names: What to call the columns, all of them.
        clock_column: Which column is the clock; None for none.
        capture_period_s: Seconds between rows, where the clock is null: previous plus period.
        assume_deviation_minutes: For clocks that do not tell their deviation from UTC.
        columns: Which columns to return, by their position; None for all.  The others are not read.

    Raises:
        DecodeError: The octets are no array of rows, rows differ in their number of columns, or
            a clock is no moment.
    """
    rules = ClockRules(capture_period_s, assume_deviation_minutes)
    wish = _Wish(clock_column=clock_column, rules=rules, columns=columns)
    fast = decode_by_shape(octets, wish)
    if fast is None:
        clock, cells, rows = columnrows.decode(octets, clock_column, rules)
        width = len(cells)
        chosen = wish.chosen(octets, width) if rows else ()
        values = tuple(
            clock.times_us
            if clock is not None and position == clock_column
            else columnrows.column(cells[position])
            for position in chosen
        )
        exact = True
    else:
        clock, values, rows, width, exact = fast
    if names and rows and len(names) != width:
        problem = f"rows have {width} columns, not {len(names)} as the profile declares"
        raise DecodeError(problem, octets, 0, CLAUSE)
    called = names if columns is None or not names else [names[position] for position in columns]
    return Columns(
        names=tuple(called),
        times_us=None if clock is None else clock.times_us,
        deviation_minutes=None if clock is None else clock.deviation_minutes,
        clock_status=None if clock is None else clock.status,
        values=values,
        rows=rows,
        exact_path=exact,
    )


_Fast: TypeAlias = tuple[Clock | None, tuple[Column, ...], int, int, bool]
"""Clock, chosen columns, number of rows, number of all columns, whether some were read alone."""


def decode_by_shape(octets: bytes, wish: _Wish) -> _Fast | None:
    """Return the columns, rows of one shape together; None if row by row is the better way."""
    parts = columnshapes.parts(octets)
    if not parts:
        return None
    widths = {width for part in parts for width in _widths(part)}
    if len(widths) != 1:
        return None
    (width,) = widths
    rows = sum(_rows(part) for part in parts)
    position = wish.clock_column
    segments = [part for part in parts if isinstance(part, Segment)]
    groups: list[Group] = []
    if len(parts) == len(segments) > 1:
        groups = columngroups.grouped(segments)
    clock, closer = None, False
    if position is not None:
        if not 0 <= position < width:
            return None
        clock = columngroups.clock(groups, position, rows, wish.rules) if groups else None
        if clock is None:
            clock, closer = _clock(octets, parts, position, wish.rules)
    values = tuple(
        clock.times_us
        if clock is not None and chosen == position
        else _column(parts, groups, chosen, rows)
        for chosen in wish.chosen(octets, width)
    )
    return clock, values, rows, width, closer or len(parts) > len(segments)


def _rows(part: Part) -> int:
    return len(part.rows) if isinstance(part, Odd) else len(part.table)


def _widths(part: Part) -> Iterable[int]:
    """Yield how many columns the rows of a part have; -1 for what is no row."""
    if isinstance(part, Segment):
        yield len(part.cells)
        return
    for row in part.rows:
        yield len(row) if isinstance(row, Structure) else -1


def _cells(part: Part, position: int) -> Iterable[Data]:
    if isinstance(part, Segment):
        return columnshapes.values(part, part.cells[position])
    return [row[position] for row in part.rows if isinstance(row, Structure)]


def _clock(
    octets: bytes, parts: list[Part], position: int, rules: ClockRules
) -> tuple[Clock, bool]:
    """Return the clock of all rows, and whether some were read one by one."""
    clocks: list[Clock] = []
    first, closer = 0, False
    for part in parts:
        before = clocks[-1] if clocks else None
        cell = part.cells[position] if isinstance(part, Segment) else None
        found = None
        if isinstance(part, Segment) and cell is not None:
            if cell.tag == columnshapes.NULL and before is not None:
                found = columnclock.nulls(octets, len(part.table), rules, before, first)
            elif columnclock.is_date_time(cell):
                found = columnclock.by_stride(part.table, cell, rules.assumed_deviation_minutes)
        if found is None:
            closer = True
            found = columnclock.row_by_row(
                octets, list(_cells(part, position)), rules, before, first
            )
        clocks.append(found)
        first += _rows(part)
    return columnclock.joined(clocks), closer


def _column(parts: list[Part], groups: list[Group], position: int, rows: int) -> Column:
    numbers = None
    if groups:
        numbers = columngroups.numbers(groups, position, rows)
    elif len(parts) == 1 and isinstance(parts[0], Segment):
        numbers = columnshapes.numbers(parts[0], parts[0].cells[position])
    if numbers is not None:
        return numbers
    cells: list[Data] = []
    for part in parts:
        for cell in _cells(part, position):
            columnrows.filled(cells, cell)
    return columnrows.column(cells)


# The APDUs of a long answer.

_GET_RESPONSE: Final = 0xC4
_NORMAL: Final = 0x01
_WITH_DATABLOCK: Final = 0x02
_RESULT: Final = 3
_BLOCK_NUMBER: Final = 4
_BLOCK_RESULT: Final = 8
# A block of 256 to 65535 octets, which is what most are, taken in one step: its length is 82 and
# two octets.
_LONG_BLOCK: Final = struct.Struct(">BBBBIBBH")
_LONG_BLOCK_OCTETS: Final = _LONG_BLOCK.size
_EXPECTED: Final = (_GET_RESPONSE, _WITH_DATABLOCK, 0, 0x82)
_CLAUSE_BLOCKS: Final = "IEC 62056-5-3, 9.5, Get-Response"
_CIPHERED: Final = (
    frozenset(ciphered.BY_GLO)
    | frozenset(ciphered.BY_DED)
    | {
        ciphered.GENERAL_GLO_CIPHERING,
        ciphered.GENERAL_DED_CIPHERING,
        ciphered.GENERAL_CIPHERING,
    }
)


@dataclass(slots=True)
class ProfileStream:
    """Gathers the buffer of a profile from the APDUs that bring it; decodes it once.

    Attributes:
        unprotect: Takes the protection off an APDU; None if nothing is ciphered.
        done: Whether the last block was taken.
    """

    unprotect: Callable[[bytes], bytes] | None = None
    done: bool = False
    _raw: list[bytes] = field(default_factory=list, repr=False)
    _blocks: int = field(default=0, repr=False)
    _general: block.Assembler = field(
        default_factory=lambda: block.Assembler(max_apdu_octets=0xFFFFFFFF), repr=False
    )

    def take(self, apdu: bytes) -> bool:
        """Take the next APDU; return whether it was the last one.

        Raises:
            DecodeError: It is no part of an answer to GET, a block is missing, or the meter
                answers with a data-access-result.
            RemoteProtocolError: A block of general-block-transfer is missing.
            SecurityError: `unprotect` refuses it.
        """
        tag = apdu[0] if apdu else None
        if tag == block.GeneralBlockTransfer.TAG:
            whole = self._general.take(block.GeneralBlockTransfer.decode(apdu))
            return self.done if whole is None else self.take(whole)
        if tag in _CIPHERED and self.unprotect is not None:
            apdu = self.unprotect(apdu)
        self._take_plain(apdu)
        return self.done

    def _take_plain(self, apdu: bytes) -> None:
        if len(apdu) > _LONG_BLOCK_OCTETS and not self.done:
            tag, choice, _, last, number, result, form, length = _LONG_BLOCK.unpack_from(apdu)
            if (
                (tag, choice, result, form) == _EXPECTED
                and number == self._blocks + 1
                and length == len(apdu) - _LONG_BLOCK_OCTETS
            ):
                self._raw.append(apdu[_LONG_BLOCK_OCTETS:])
                self._blocks = number
                self.done = last != 0
                return
        head = apdu[:2]
        if self.done:
            raise DecodeError("the last block was there already", apdu, 0, _CLAUSE_BLOCKS)
        if head == bytes((_GET_RESPONSE, _NORMAL)) and not self._blocks:
            _check_result(apdu, _RESULT)
            self._raw.append(apdu[_RESULT + 1 :])
            self.done = True
            return
        if head != bytes((_GET_RESPONSE, _WITH_DATABLOCK)):
            raise DecodeError("no block of an answer to GET stands here", apdu, 0, _CLAUSE_BLOCKS)
        number = int.from_bytes(apdu[_BLOCK_NUMBER:_BLOCK_RESULT])
        if number != self._blocks + 1:
            problem = f"block {number} comes where {self._blocks + 1} is expected"
            raise DecodeError(problem, apdu, _BLOCK_NUMBER, _CLAUSE_BLOCKS)
        _check_result(apdu, _BLOCK_RESULT)
        length, start = read_length(apdu, _BLOCK_RESULT + 1, "raw-data")
        if start + length != len(apdu):
            problem = f"raw-data needs {length} octets, {len(apdu) - start} are there"
            raise DecodeError(problem, apdu, start, _CLAUSE_BLOCKS)
        self._raw.append(apdu[start:])
        self._blocks = number
        self.done = bool(apdu[_RESULT])

    def buffer(self) -> bytes:
        """Return the encoded buffer.

        Raises:
            DecodeError: The last block is not there yet.
        """
        octets = b"".join(self._raw)
        if not self.done:
            problem = f"{self._blocks} blocks came, the last one is missing"
            raise DecodeError(problem, octets, len(octets), _CLAUSE_BLOCKS)
        return octets


def _check_result(apdu: bytes, place: int) -> None:
    if apdu[place : place + 1] == b"\x00":
        return
    problem = "the answer ends before its result"
    if apdu[place : place + 1] == b"\x01" and len(apdu) > place + 1:
        problem = f"the meter answers {DataAccessResult(apdu[place + 1])}"
    raise DecodeError(problem, apdu, min(place, len(apdu)), _CLAUSE_BLOCKS)


def from_blocks(  # noqa: PLR0913  those of `decode_profile`, and one
    apdus: Iterable[bytes],
    *,
    unprotect: Callable[[bytes], bytes] | None = None,
    names: Sequence[str] = (),
    clock_column: int | None = 0,
    capture_period_s: int = 0,
    assume_deviation_minutes: int | None = None,
    columns: Sequence[int] | None = None,
) -> Columns:
    """Return the columns of a buffer that the APDUs of an answer bring.

    Args:
        apdus: Get-responses, in blocks or whole, or blocks of general-block-transfer.
        unprotect: Takes the protection off an APDU; None if nothing is ciphered.
        names: As for `decode_profile`, and so are the others.
        clock_column: Which column is the clock.
        capture_period_s: Seconds between rows.
        assume_deviation_minutes: For clocks that do not tell their deviation.
        columns: Which columns to return.

    Raises:
        DecodeError: As `ProfileStream.take` and `decode_profile` say.
    """
    stream = ProfileStream(unprotect=unprotect)
    for apdu in apdus:
        stream.take(apdu)
    return decode_profile(
        stream.buffer(),
        names=names,
        clock_column=clock_column,
        capture_period_s=capture_period_s,
        assume_deviation_minutes=assume_deviation_minutes,
        columns=columns,
    )
