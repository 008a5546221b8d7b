# SPDX-License-Identifier: Apache-2.0
"""Rows of a profile in the order of its sort method (class 7, 4.3.6).

A profile that is not sorted keeps its rows as they came: the oldest first (FIFO) or the newest
first (LIFO), and the oldest makes room.  A sorted one puts a new row where it belongs, behind
those of the same rank, and the last one makes room; a row that would come last in a full buffer is
not retained at all.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from openami.cosem.classes.measurement import SortMethod
from openami.cosem.serving.profile import EncodedRows, ProfileBuffer
from openami.dlms import data as axdr_data
from openami.dlms.data import BitString, Data, FixedInteger, Float32, Float64, Structure

UNSORTED: Final = frozenset({SortMethod.FIFO, SortMethod.LIFO})


class CaptureBuffer(ProfileBuffer, Protocol):
    """A buffer that rows can be captured into; a host binds one that outlives a restart."""

    def append(self, time_us: int, row: Structure) -> None:
        """Keep one row; what makes room for it is the buffer's business."""
        ...

    def clear(self) -> None:
        """Forget all rows."""
        ...


class _Row(NamedTuple):
    rank: float
    time_us: int
    octets: bytes


@dataclass(frozen=True, slots=True)
class RowsState:
    """The rows of a buffer in memory, as they stand: time in microseconds UTC, and octets."""

    rows: tuple[tuple[int, bytes], ...]


class SortedBuffer:
    """Rows in memory, in the order of a sort method.

    Args:
        capacity: The most rows.
        method: The order.
        column: The index of the column that ranks rows; None leaves them unsorted.
    """

    def __init__(
        self, capacity: int, method: SortMethod = SortMethod.FIFO, column: int | None = None
    ) -> None:
        self._capacity = capacity
        self._column = column
        if column is None and method not in UNSORTED:
            method = SortMethod.FIFO
        self._method = method
        self._rows: list[_Row] = []

    def append(self, time_us: int, row: Structure) -> None:
        rank = 0.0
        if self._method not in UNSORTED and self._column is not None:
            rank = rank_of(row[self._column], self._method)
        self._insert(_Row(rank, time_us, axdr_data.encode(row)))

    def clear(self) -> None:
        self._rows.clear()

    def count(self) -> int:
        return len(self._rows)

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        return _join(
            [
                row
                for row in self._rows
                if (start_us is None or start_us <= row.time_us)
                and (end_us is None or row.time_us <= end_us)
            ]
        )

    def entries(self, first: int, last: int) -> EncodedRows:
        return _join(self._rows[first - 1 : last])

    def state(self) -> RowsState:
        return RowsState(tuple((row.time_us, row.octets) for row in self._rows))

    def restore(self, state: Any) -> None:  # noqa: ANN401  a RowsState
        self._rows.clear()
        rows = state.rows
        for time_us, octets in reversed(rows) if self._method is SortMethod.LIFO else rows:
            row = axdr_data.decode(octets)
            if isinstance(row, Structure):
                self.append(time_us, row)

    def _insert(self, row: _Row) -> None:
        if not self._capacity:
            return
        if self._method is SortMethod.FIFO:
            self._rows.append(row)
            del self._rows[: -self._capacity]
            return
        place = 0
        if self._method is not SortMethod.LIFO:
            place = bisect_right(self._rows, row.rank, key=lambda each: each.rank)
        self._rows.insert(place, row)
        del self._rows[self._capacity :]


def rank_of(value: Data, method: SortMethod) -> float:
    """Return where a value belongs: the smallest rank stands first, what has no order last."""
    number: float
    if isinstance(value, FixedInteger | bool):
        number = int(value)
    elif isinstance(value, Float32 | Float64):
        number = float(value)
    elif isinstance(value, bytes):
        number = int.from_bytes(value)
    elif isinstance(value, BitString):
        number = int.from_bytes(value.octets)
    else:
        return float("inf")
    match method:
        case SortMethod.LARGEST:
            return -number
        case SortMethod.NEAREST_TO_ZERO:
            return abs(number)
        case SortMethod.FURTHEST_FROM_ZERO:
            return -abs(number)
        case _:
            return number


def _join(rows: Sequence[_Row]) -> EncodedRows:
    return EncodedRows(len(rows), b"".join(row.octets for row in rows))
