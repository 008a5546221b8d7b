# SPDX-License-Identifier: Apache-2.0
"""The server's side of a profile generic: rows from a buffer, whole or selected.

DLMS UA 1000-1 Ed. 12, 4.3.6.2.  A buffer keeps its rows as they travel: a range of a ring on disk
is answered without building a Python object for any cell.  Only a choice of columns, or a range
over another column than the clock, looks inside the rows.
"""

from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, Protocol

from openami.cosem.classes.measurement import ProfileGeneric, SortMethod
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.axdr import encode_length
from openami.dlms.data import Array, FixedInteger, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError

CLOCK_CLASS: Final = 8
STATIC: Final = frozenset({3, 4, 5, 6, 8})
"""The attributes that describe the rows; they are fixed where the buffer cannot follow them.

`behaviour.capture` binds profiles that can.
"""
UNSPECIFIED: Final = b"\xff" * 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EncodedRows(NamedTuple):
    """Rows as they travel: structures, one after the other, without the head of an array."""

    rows: int
    octets: bytes

    def as_array(self) -> bytes:
        """Return the encoded array of the rows."""
        return b"\x01" + encode_length(self.rows) + self.octets


class ProfileBuffer(Protocol):
    """Where the rows are; a port that the meter binds.  Rows stand oldest first."""

    def count(self) -> int:
        """Return how many rows there are."""
        ...

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        """Return the rows whose clock lies in a range, both ends included.

        Times are microseconds UTC; None leaves that end open.
        """
        ...

    def entries(self, first: int, last: int) -> EncodedRows:
        """Return the rows `first` to `last`, counted from 1; both exist."""
        ...


class MemoryBuffer:
    """A ring of rows in memory: the oldest makes room for the newest."""

    def __init__(self, capacity: int) -> None:
        self._rows: deque[tuple[int, bytes]] = deque(maxlen=capacity)

    def append(self, time_us: int, row: Structure) -> None:
        """Capture one row."""
        self._rows.append((time_us, axdr_data.encode(row)))

    def clear(self) -> None:
        """Forget all rows."""
        self._rows.clear()

    def count(self) -> int:
        return len(self._rows)

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        return _join(
            [
                row
                for time_us, row in self._rows
                if (start_us is None or start_us <= time_us)
                and (end_us is None or time_us <= end_us)
            ]
        )

    def entries(self, first: int, last: int) -> EncodedRows:
        return _join([row for _, row in list(self._rows)[first - 1 : last]])


def _join(rows: Sequence[bytes]) -> EncodedRows:
    return EncodedRows(len(rows), b"".join(rows))


def profile_generic(
    profile: ProfileGeneric,
    buffer: ProfileBuffer,
    *,
    time_zone_minutes: Callable[[], int] = lambda: 0,
) -> ProfileGeneric:
    """Bind a profile to its buffer, with selective access by range and by entry.

    Args:
        profile: With its capture objects and capture period.
        buffer: The rows.
        time_zone_minutes: Deviation of a range whose ends leave theirs open (UTC = local + it).
    """
    if (columns := profile.capture_objects) and 6 not in profile.values:
        profile.sort_object = columns[0]
    profile.values.setdefault(5, SortMethod.FIFO)
    profile.bind(ProfileGeneric.entries_in_use, buffer.count)
    rows = Rows(columns, buffer, time_zone_minutes)
    profile.bind_octets(ProfileGeneric.buffer, rows.all)
    profile.bind_selection(ProfileGeneric.buffer, rows.select)
    profile.fixed = STATIC
    return profile


class Rows:
    """Answers selective access to one buffer."""

    def __init__(
        self,
        columns: Sequence[CaptureObject],
        buffer: ProfileBuffer,
        time_zone_minutes: Callable[[], int],
    ) -> None:
        self._columns = tuple(columns)
        self._buffer = buffer
        self._time_zone_minutes = time_zone_minutes

    def all(self) -> bytes:
        """Return every row, as an encoded array."""
        count = self._buffer.count()
        return (self._buffer.entries(1, count) if count else EncodedRows(0, b"")).as_array()

    def select(self, access: SelectiveAccess) -> bytes:
        """Return what a selective access asks for, as an encoded array.

        Raises:
            Refused: The selector, a column, or a value has no place in this profile.
        """
        try:
            if access.selector == ByRange.SELECTOR:
                return self._by_range(ByRange.from_access(access))
            if access.selector == ByEntry.SELECTOR:
                return self._by_entry(ByEntry.from_access(access))
        except (ValueError, DecodeError):
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

    def _by_range(self, wanted: ByRange) -> bytes:
        chosen = [self._index(column) for column in wanted.selected_columns]
        restricting = self._index(wanted.restricting_object)
        if wanted.restricting_object.class_id == CLOCK_CLASS:
            rows = self._buffer.between(
                self._time_us(wanted.from_value), self._time_us(wanted.to_value)
            )
            return _choose(rows, chosen) if chosen else rows.as_array()
        low, high = wanted.from_value, wanted.to_value
        if not isinstance(low, FixedInteger) or not isinstance(high, FixedInteger):
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        found = Array()
        for row in _decode(self.all()):
            value = row[restricting]
            if isinstance(value, FixedInteger) and low <= value <= high:
                found.append(_pick(row, chosen))
        return axdr_data.encode(found)

    def _by_entry(self, wanted: ByEntry) -> bytes:
        count = self._buffer.count()
        first, last = max(wanted.from_entry, 1), min(wanted.to_entry or count, count)
        left, right = wanted.from_selected_value or 1, wanted.to_selected_value
        width = len(self._columns)
        if not 1 <= left <= (right or width) <= width:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        rows = self._buffer.entries(first, last) if first <= last else EncodedRows(0, b"")
        chosen = list(range(left - 1, right or width))
        return rows.as_array() if len(chosen) == width else _choose(rows, chosen)

    def _index(self, column: CaptureObject) -> int:
        try:
            return self._columns.index(column)
        except ValueError:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED) from None

    def _time_us(self, value: axdr_data.Data) -> int | None:
        """Return one end of a range in microseconds UTC; None where its date is left open."""
        if not isinstance(value, bytes) or len(value) != 12:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        if value.startswith(UNSPECIFIED):
            return None
        moment = CosemDateTime.decode(bytes(value)).to_utc(
            assume_deviation_minutes=self._time_zone_minutes()
        )
        return (moment - _EPOCH) // timedelta(microseconds=1)


def _decode(octets: bytes) -> list[Structure]:
    found = axdr_data.decode(octets)
    return [row for row in found if isinstance(row, Structure)] if isinstance(found, Array) else []


def _pick(row: Structure, chosen: Sequence[int]) -> Structure:
    return Structure(row[index] for index in chosen) if chosen else row


def _choose(rows: EncodedRows, chosen: Sequence[int]) -> bytes:
    return axdr_data.encode(Array(_pick(row, chosen) for row in _decode(rows.as_array())))
