# SPDX-License-Identifier: Apache-2.0
"""Profile buffers row by row, as `data.decode` reads them: exact for whatever rows hold."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from openami.dlms import data
from openami.dlms.bulk.clock import CLAUSE, Clock, ClockRules, row_by_row
from openami.dlms.bulk.shapes import NUMBERS, Column
from openami.dlms.data import Array, CompactArray, Data, FixedInteger, Structure
from openami.dlms.errors import DecodeError

TYPES: Final[dict[type, np.dtype[np.generic]]] = {
    kind: np.dtype(kind.FORMAT).newbyteorder("=") for kind in NUMBERS
} | {bool: np.dtype(np.bool_)}


def decode(
    octets: bytes, clock_column: int | None, rules: ClockRules
) -> tuple[Clock | None, list[list[Data]], int]:
    """Return the clock, the cells of each column with nulls filled, and the number of rows.

    Raises:
        DecodeError: The octets are no array of rows of one width, or a clock is no moment.
    """
    array = data.decode(octets)
    if isinstance(array, CompactArray):
        array = data.expand(array)
    if not isinstance(array, Array):
        raise DecodeError("a buffer is an array of rows", octets, 0, CLAUSE)
    width = _width(octets, array, clock_column)
    columns: list[list[Data]] = [[] for _ in range(width)]
    for row in array:
        assert isinstance(row, Structure)  # noqa: S101  _width has looked at each row
        for column, cell in zip(columns, row, strict=True):
            filled(column, cell)
    clock = None
    if clock_column is not None:
        cells = [row[clock_column] for row in array if isinstance(row, Structure)]
        clock = row_by_row(octets, cells, rules)
    return clock, columns, len(array)


def filled(column: list[Data], cell: Data) -> None:
    """Append a cell to its column; a null repeats the row before."""
    column.append(column[-1] if cell is None and column else cell)


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


def column(cells: list[Data]) -> Column:
    """Return cells as numbers if one type of numpy holds them all exactly, else as they are."""
    dtypes = {TYPES.get(type(cell)) for cell in cells}
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
