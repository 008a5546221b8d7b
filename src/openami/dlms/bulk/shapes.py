# SPDX-License-Identifier: Apache-2.0
"""Rows of one shape that follow each other: where their cells stand, and how many there are.

IEC 62056-6-2, 4.3.6 (buffer).  A shape is the tags and lengths of a row; rows of one shape are a
table of octets with a fixed stride.  In a compact-array tags stand once, in its type description,
and a row has only contents and the lengths of strings.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from openami.dlms import data
from openami.dlms.axdr import Reader, read_length
from openami.dlms.data import Array, CompactArray, Data, Structure
from openami.dlms.errors import DecodeError
from openami.dlms.typedescription import read_type_description

Column: TypeAlias = npt.NDArray[np.generic]
Table: TypeAlias = npt.NDArray[np.uint8]

NUMBERS: Final[tuple[type[data.FixedInteger | data.Float32 | data.Float64], ...]] = (
    *data.INTEGER_TYPES,
    data.Float32,
    data.Float64,
)
BOOLEAN: Final = 0x03
NULL: Final = 0x00
DTYPES: Final[dict[int, np.dtype[np.generic]]] = {
    kind.TAG: np.dtype(kind.FORMAT) for kind in NUMBERS
} | {BOOLEAN: np.dtype(np.bool_)}
KINDS: Final[dict[int, type]] = {kind.TAG: kind for kind in NUMBERS} | {BOOLEAN: bool}
_COUNTED: Final = frozenset({0x09, 0x0A, 0x0C})
_FIXED_OCTETS: Final[dict[int, int]] = {0x00: 0, 0xFF: 0, 0x19: 12, 0x1A: 5, 0x1B: 4}

_DESCRIBED: Final = frozenset(DTYPES) | _COUNTED | frozenset(_FIXED_OCTETS) | {Structure.TAG}

_FEWEST_ROWS: Final = 3
_SEGMENTS_BEFORE_JUDGING: Final = 32
_FIRST_LOOK: Final = 128
_FURTHER: Final = 64


@dataclass(frozen=True, slots=True)
class Cell:
    """Where one column stands in a row, from the row's first octet.

    Attributes:
        tag: Of its type.
        start: Where its tag or, in a compact-array, its length or contents stand.
        contents: Where its contents stand.
        end: Behind them.
        tagged: Whether the tag stands in the row.
    """

    tag: int
    start: int
    contents: int
    end: int
    tagged: bool = True


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows of one shape, as a table of octets."""

    table: Table
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Odd:
    """Rows without a shape, as values."""

    rows: tuple[Data, ...]


Part: TypeAlias = Segment | Odd
Shaper: TypeAlias = Callable[[bytes, int], tuple[tuple[Cell, ...], int] | None]
Decoder: TypeAlias = Callable[[bytes, int], tuple[Data, int]]


def parts(octets: bytes) -> list[Part] | None:
    """Return the rows of an encoded buffer by shape; None if row by row is the better way.

    That is so where shapes change all the time, and where the octets break a rule.
    """
    try:
        if octets[:1] == bytes((CompactArray.TAG,)):
            return _compact_parts(octets)
        if octets[:1] != bytes((Array.TAG,)):
            return None
        rows, first = read_length(octets, 1, "rows")
    except DecodeError:
        return None
    return _parts(octets, first, rows, _shape, _value)


def _value(octets: bytes, at: int) -> tuple[Data, int]:
    reader = Reader(octets, at)
    return data.read(reader), reader.offset


def _compact_parts(octets: bytes) -> list[Part] | None:
    kind, start = read_type_description(octets, 1, _DESCRIBED)
    length, first = read_length(octets, start, "contents of compact-array")
    if kind.tag != Structure.TAG or first + length != len(octets) or not length:
        return None
    flat = tuple(element.tag for element in kind.elements)
    if not all(tag in DTYPES or tag in _COUNTED or tag in _FIXED_OCTETS for tag in flat):
        return None

    def shape(octets: bytes, at: int) -> tuple[tuple[Cell, ...], int] | None:
        return _contents(octets, at, flat)

    return _parts(octets, first, None, shape, _no_value)


def _no_value(octets: bytes, at: int) -> tuple[Data, int]:
    raise DecodeError("no row stands here", octets, at, data.CLAUSE)


def _parts(
    octets: bytes, first: int, rows: int | None, shape: Shaper, decode: Decoder
) -> list[Part] | None:
    found: list[Part] = []
    odd: list[Data] = []
    at, done, end = first, 0, len(octets)
    while done < rows if rows is not None else at < end:
        shaped = shape(octets, at)
        if shaped is None:
            try:
                row, at = decode(octets, at)
            except DecodeError:
                return None
            odd.append(row)
            done += 1
            continue
        cells, head = shaped
        stride = cells[-1].end if cells else head
        most = (end - at) // stride if stride else 0
        most = most if rows is None else min(most, rows - done)
        if not most:
            return None
        if odd:
            found.append(Odd(tuple(odd)))
            odd = []
        table = np.frombuffer(octets, np.uint8, most * stride, at).reshape(most, stride)
        count = _alike(table, cells, head)
        found.append(Segment(table[:count], cells))
        at += count * stride
        done += count
        if len(found) >= _SEGMENTS_BEFORE_JUDGING and done < _FEWEST_ROWS * len(found):
            return None
    if odd:
        found.append(Odd(tuple(odd)))
    return found if at == end else None


def _alike(table: Table, cells: tuple[Cell, ...], head: int) -> int:
    """Return how many rows from the first on have its tags and lengths."""
    fixed = _fixed(cells, head)
    if not len(fixed):
        return len(table)
    expected = table[0, fixed]
    start, stop = 1, _FIRST_LOOK
    # Where shapes change often, looking far ahead would be for nothing: look further each time.
    while start < len(table):
        same = table[start:stop, fixed] == expected
        if not same.all():
            return start + int(same.all(axis=1).argmin())
        start, stop = stop, stop * _FURTHER
    return len(table)


@lru_cache(maxsize=1024)
def _fixed(cells: tuple[Cell, ...], head: int) -> npt.NDArray[np.intp]:
    """Return where in a row tags and lengths stand."""
    places = [at for cell in cells for at in range(cell.start, cell.contents)]
    return np.array([*range(head), *places], np.intp)


def _shape(octets: bytes, at: int) -> tuple[tuple[Cell, ...], int] | None:
    """Return the cells of the row at `at`; None if it is not flat and short."""
    if at + 2 > len(octets) or octets[at] != Structure.TAG or octets[at + 1] >= 0x80:
        return None
    cells: list[Cell] = []
    place = at + 2
    for _ in range(octets[at + 1]):
        if place >= len(octets):
            return None
        tag = octets[place]
        found = _size(octets, place + 1, tag)
        if found is None:
            return None
        contents, size = found
        end = contents + size
        cells.append(Cell(tag, place - at, contents - at, end - at))
        place = end
    return (tuple(cells), 2) if place <= len(octets) and cells else None


def _contents(octets: bytes, at: int, tags: tuple[int, ...]) -> tuple[tuple[Cell, ...], int] | None:
    """Return the cells of the row at `at` of a compact-array."""
    cells: list[Cell] = []
    place = at
    for tag in tags:
        found = _size(octets, place, tag)
        if found is None:
            return None
        contents, size = found
        cells.append(Cell(tag, place - at, contents - at, contents + size - at, tagged=False))
        place = contents + size
    return (tuple(cells), 0) if place <= len(octets) and cells else None


def _size(octets: bytes, at: int, tag: int) -> tuple[int, int] | None:
    """Return where contents start that stand at `at`, and their size; None if it is not short."""
    if tag in _COUNTED:
        if at >= len(octets) or octets[at] >= 0x80:
            return None
        return at + 1, octets[at]
    if tag in DTYPES:
        return at, DTYPES[tag].itemsize
    return (at, _FIXED_OCTETS[tag]) if tag in _FIXED_OCTETS else None


@lru_cache(maxsize=1024)
def _field_type(form: str, at: int, stride: int) -> np.dtype[np.void]:
    return np.dtype({"names": ["n"], "formats": [form], "offsets": [at], "itemsize": stride})


def number_field(table: Table, form: str, at: int) -> Column:
    """Return the numbers of one form that stand at place `at` of each row, in native order."""
    numbers: Column = table.view(_field_type(form, at, table.shape[1])).reshape(-1)["n"]
    native: Column = numbers.astype(numbers.dtype.newbyteorder("="))
    return native


def numbers(segment: Segment, cell: Cell) -> Column | None:
    """Return a column of numbers; None if it holds something else."""
    if cell.tag == BOOLEAN:
        return number_field(segment.table, "u1", cell.contents).astype(np.bool_)
    if cell.tag in DTYPES:
        return number_field(segment.table, DTYPES[cell.tag].str, cell.contents)
    return None


def values(segment: Segment, cell: Cell) -> Iterator[Data]:
    """Yield the values of a column, each as `data.decode` gives it."""
    column = numbers(segment, cell)
    if column is not None:
        kind = KINDS[cell.tag]
        yield from (kind(number) for number in column.tolist())
        return
    octets = np.ascontiguousarray(segment.table[:, cell.start : cell.end])
    head = b"" if cell.tagged else bytes((cell.tag,))
    if not octets.shape[1]:
        yield from [data.decode(head)] * len(octets)
        return
    # Strings repeat from row to row more often than not: one value for each run of equal ones.
    changes = np.flatnonzero((octets[1:] != octets[:-1]).any(axis=1)) + 1
    starts = [0, *changes.tolist(), len(octets)]
    for start, stop in pairwise(starts):
        value = data.decode(head + octets[start].tobytes())
        for _ in range(stop - start):
            yield value
