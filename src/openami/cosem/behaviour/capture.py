# SPDX-License-Identifier: Apache-2.0
"""Profiles that capture: at the end of each period, or when told (class 7, 4.3.6).

Reading and selecting rows is the business of `cosem.serving.profile`; `sorting` keeps them in
order.  A period that ended while the device was off, or that a set clock skipped, leaves no row;
one that a clock set back by a synchronisation ends again leaves none either.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from openami.cosem.behaviour.due import Done, Next
from openami.cosem.behaviour.host import Kept, Life
from openami.cosem.behaviour.localtime import MINUTE_US, next_boundary, to_us
from openami.cosem.behaviour.null_data import expand, tell_with_null_data
from openami.cosem.behaviour.results import as_action
from openami.cosem.behaviour.sorting import UNSORTED, CaptureBuffer, SortedBuffer
from openami.cosem.classes.measurement import ProfileGeneric, ProfileGenericV0, SortMethod
from openami.cosem.model import Attribute, Refused
from openami.cosem.serving.profile import profile_generic
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import Array, Data, OctetString, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

CLOCK_CLASS: Final = 8
NO_OBJECT: Final = CaptureObject(class_id=0, instance_id=Obis(0, 0, 0, 0, 0, 0), attribute_id=0)
"""The sort object of a profile that is not sorted."""
LATE_US: Final = MINUTE_US
"""How late a tick may be for the end of a period to be captured still."""
DEFAULT_ENTRIES: Final = 1000
MOST_ENTRIES: Final = 100_000
PLAIN_INDEXES: Final = 0x1000
"""Larger values of data_index select parts of profiles; how is not checked."""


@dataclass(frozen=True, slots=True)
class CaptureState:
    """What of a profile outlives a restart.

    Attributes:
        done_us: Until when periods were captured, microseconds UTC.
        rows: The rows, where the buffer is in memory.
    """

    done_us: int | None
    rows: object | None


class Capturing:
    """Serves one profile generic.

    Args:
        profile: The object.
        life: Its device.
        buffer: Makes a buffer for the profile as it is now; None keeps rows in memory.
    """

    def __init__(
        self,
        profile: ProfileGeneric,
        life: Life,
        buffer: Callable[[ProfileGeneric], CaptureBuffer | None],
    ) -> None:
        self.profile = profile
        self._life = life
        self._make = buffer
        self._done = Done(life.now_us())
        self._next = Next()
        profile.values.setdefault(4, 0)
        profile.values.setdefault(5, SortMethod.FIFO)
        profile.values.setdefault(8, DEFAULT_ENTRIES)
        dumped = profile.values.pop(2, None)
        self._bind()
        self._load(dumped)
        profile.bind_method(ProfileGeneric.reset, lambda _argument: self.reset())
        profile.bind_method(ProfileGeneric.capture, lambda _argument: self.capture(life.now_us()))
        if isinstance(profile, ProfileGenericV0):
            self._bind_old(profile)
        # Whatever describes the rows makes those that are there meaningless.
        static: tuple[Attribute[Any], ...] = (
            ProfileGeneric.capture_objects,
            ProfileGeneric.capture_period,
            ProfileGeneric.sort_method,
            ProfileGeneric.sort_object,
            ProfileGeneric.profile_entries,
        )
        for row in static:
            profile.bind_sink(row, self._sink(row.index))

    def due_us(self) -> int | None:
        period_s, since = self.profile.capture_period, self._done.until_us
        if not period_s or since is None:
            return None
        zone = self._life.zone()
        return self._next.after(
            since, (zone, period_s), lambda start: next_boundary(start, period_s, zone)
        )

    def tick(self, now_us: int) -> None:
        """Capture if a period has just ended."""
        if self._done.passes(now_us, self.due_us()):
            return
        since, period_s = self._done.since(now_us), self.profile.capture_period
        if not period_s:
            return
        zone = self._life.zone()
        end_us = next_boundary(max(since, now_us - LATE_US - 1), period_s, zone)
        while (following := next_boundary(end_us, period_s, zone)) <= now_us:
            end_us = following
        if end_us <= now_us:
            self.capture(end_us)

    def capture(self, now_us: int) -> None:
        """Add one row with the values of now, under the time `now_us`."""
        row = Structure(self._value(column, now_us) for column in self.profile.capture_objects)
        self.buffer.append(now_us, row)

    def reset(self) -> None:
        """Forget all rows; profiles that capture this one forget theirs."""
        self.buffer.clear()
        name = self.profile.logical_name
        for each in list(self._life.acting.values()):
            if isinstance(each, Capturing) and each is not self and each.captures(name):
                each.buffer.clear()

    def captures(self, name: object) -> bool:
        """Return whether a column is of the object with this logical name."""
        return any(column.instance_id == name for column in self.profile.capture_objects)

    def state(self) -> CaptureState:
        rows = self.buffer.state() if isinstance(self.buffer, Kept) else None
        return CaptureState(self._done.until_us, rows)

    def restore(self, state: Any) -> None:  # noqa: ANN401  a CaptureState
        self._done.until_us = state.done_us
        if isinstance(self.buffer, Kept) and state.rows is not None:
            self.buffer.restore(state.rows)

    def _value(self, column: CaptureObject, now_us: int) -> Data:
        if column.class_id == CLOCK_CLASS and column.attribute_id == 2:
            return OctetString(self._life.shown(now_us).encode())
        if column.attribute_id == 0:
            return self._life.read_all(column.class_id, column.instance_id)
        value = self._life.read(column.class_id, column.instance_id, column.attribute_id)
        return element(value, column.data_index)

    def _bind(self) -> None:
        profile = self.profile
        method, columns = profile.sort_method, profile.capture_objects
        if not columns:
            profile.values.setdefault(6, NO_OBJECT)
        wanted = profile.values.get(6)
        sorting = columns.index(wanted) if wanted in columns else None
        if method not in UNSORTED and sorting is None:
            self._life.report(
                profile.logical_name, "sort_object is no captured column: rows stand as they come"
            )
        entries = min(profile.profile_entries, MOST_ENTRIES)
        self.buffer = self._make(profile) or SortedBuffer(entries, method, sorting)
        profile_generic(
            profile,
            self.buffer,
            time_zone_minutes=lambda: self._life.zone().deviation(self._life.now_us()),
        )
        profile.fixed = frozenset()
        if self._life.host.null_data:
            tell_with_null_data(profile)
        # A server keeps what it once got from an object: let that always find the rows of now.
        self._whole = profile.octet_sources[ProfileGeneric.buffer.index]
        self._selected = profile.selections[ProfileGeneric.buffer.index]
        profile.bind_octets(ProfileGeneric.buffer, self._read)
        profile.bind_selection(ProfileGeneric.buffer, self._select)
        profile.bind(ProfileGeneric.entries_in_use, self._count)

    def _read(self) -> bytes:
        return self._whole()

    def _select(self, access: SelectiveAccess) -> bytes:
        return self._selected(access)

    def _count(self) -> int:
        return self.buffer.count()

    def _bind_old(self, profile: ProfileGenericV0) -> None:
        """Bind what selective access has replaced: the buffer by range and by entry."""

        def by(selector: int, parameters: Data) -> Data:
            access = SelectiveAccess(selector=selector, parameters=parameters)
            return axdr_data.decode(self._select(access))

        profile.bind_method(
            ProfileGenericV0.get_buffer_by_range,
            as_action(lambda parameters: by(ByRange.SELECTOR, parameters)),
        )
        profile.bind_method(
            ProfileGenericV0.get_buffer_by_index,
            as_action(lambda parameters: by(ByEntry.SELECTOR, parameters)),
        )

    def _load(self, dumped: Data) -> None:
        """Take rows that the object was given as a value, e.g. from a dump."""
        clock = next(
            (i for i, each in enumerate(self.profile.capture_objects) if each.class_id == 8), None
        )
        width = len(self.profile.capture_objects)
        found = [
            row
            for row in (dumped if isinstance(dumped, Array) else ())
            if isinstance(row, Structure) and len(row) == width
        ]
        for row in expand(found, self.profile.capture_period):
            self.buffer.append(_time_us(row[clock]) if clock is not None else 0, row)

    def _sink(self, index: int) -> Callable[[Any], None]:
        def change(value: Any) -> None:  # noqa: ANN401  each attribute's own type
            if index == ProfileGeneric.profile_entries.index and not value:
                raise Refused(DataAccessResult.TYPE_UNMATCHED)
            self.profile.values[index] = value
            self.reset()
            self._bind()

        return change


def element(value: Data, index: int) -> Data:
    """Return what a data_index means: 0 the whole value, n its n-th element; null if not there."""
    if index == 0:
        return value
    if isinstance(value, Structure | Array) and index < PLAIN_INDEXES and index <= len(value):
        return value[index - 1]
    return None


def _time_us(value: Data) -> int:
    """Return the moment in a clock column; 0 where it is no moment."""
    if not isinstance(value, bytes) or len(value) != 12:
        return 0
    try:
        return to_us(CosemDateTime.decode(bytes(value)).to_utc(assume_deviation_minutes=0))
    except (DecodeError, ValueError):
        return 0


def bind_profile_generic(profile: ProfileGeneric, life: Life) -> Capturing:
    """Bind a profile to the host's rows, or to rows in memory."""
    return Capturing(profile, life, life.host.rows)
