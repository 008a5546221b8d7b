# SPDX-License-Identifier: Apache-2.0
"""Compact data: captured values without any tag, their types beside them (class 62, 4.3.10).

template_description followed by the length of compact_buffer and the buffer is the content of a
compact-array with one structure; so whoever has read the description once can read buffers.  Where
the capture method is implicit, reading the buffer captures first.  Version 1 can restrict a
captured profile to rows and columns.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from openami.cosem.behaviour.capture import element
from openami.cosem.behaviour.host import Life
from openami.cosem.classes.data_tables import (
    CaptureMethod,
    CompactColumn,
    CompactData,
    CompactDataV1,
)
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.classes.references import ByDate, ByEntryNumber, RestrictedAttribute, Restriction
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.axdr import encode_length
from openami.dlms.data import Array, CompactArray, Data, OctetString, Structure

Captured: TypeAlias = CaptureObject | RestrictedAttribute | CompactColumn
Compact: TypeAlias = CompactData | CompactDataV1

CLOCK_CLASS: Final = 8
BUFFER: Final = 2
_DAY_BEGINS: Final = b"\x00\x00\x00\x00\x80\x00\xff"
_DAY_ENDS: Final = b"\x17\x3b\x3b\x63\x80\x00\xff"


class CompactState(NamedTuple):
    """What of compact data outlives a restart: the last capture."""

    buffer: bytes
    description: bytes


class CompactCapture:
    """Serves one object of compact data, of either version."""

    def __init__(self, row: Compact, life: Life) -> None:
        self._row = row
        self._life = life
        self._capturing = False
        held = row.values
        held.setdefault(6, CaptureMethod.INVOKE)
        self._buffer: bytes = held.get(2, b"")
        self._description: bytes = held.get(5, b"")
        made = type(row)
        row.bind(made.compact_buffer, self._read_buffer)
        row.bind(made.template_description, self._read_description)
        row.bind_method(made.reset, lambda _argument: self.reset())
        row.bind_method(made.capture, lambda _argument: self.capture())
        if isinstance(row, CompactDataV1):
            row.bind_sink(CompactDataV1.capture_objects, lambda _value: self.reset())
        else:
            row.bind_sink(CompactData.capture_objects, lambda _value: self.reset())

    def capture(self) -> None:
        """Capture the values of now.

        Raises:
            Refused: A value cannot stand in a compact-array: an array of mixed types.
        """
        self._capturing = True
        try:
            captured = Structure(self._value(each) for each in self._row.capture_objects)
        finally:
            self._capturing = False
        try:
            self._description = describe(captured)
            self._buffer = untagged(captured)
        except ValueError:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None

    def reset(self) -> None:
        """Forget the last capture."""
        self._buffer = self._description = b""

    def state(self) -> CompactState:
        return CompactState(self._buffer, self._description)

    def restore(self, state: Any) -> None:  # noqa: ANN401  a CompactState
        self._buffer, self._description = state

    def _read_buffer(self) -> bytes:
        self._capture_if_implicit()
        return self._buffer

    def _read_description(self) -> bytes:
        self._capture_if_implicit()
        return self._description

    def _capture_if_implicit(self) -> None:
        # An object that captures itself has the capture before in its columns.
        if self._row.capture_method == CaptureMethod.IMPLICIT and not self._capturing:
            self.capture()

    def _value(self, of: Captured) -> Data:
        if isinstance(of, CaptureObject):
            return self._plain(of.class_id, of.instance_id, of.attribute_id, of.data_index)
        columns = of.columns if isinstance(of, CompactColumn) else ()
        thing = self._thing(of)
        if (of.restriction is None and not columns) or thing is None:
            return self._plain(*of[:4])
        return element(_rows(thing, of.restriction, columns), of.data_index)

    def _plain(self, class_id: int, at: Any, attribute: int, index: int) -> Data:  # noqa: ANN401
        if attribute == 0:
            return self._life.read_all(class_id, at)
        value = element(self._life.read(class_id, at, attribute), index)
        return axdr_data.expand(value) if isinstance(value, CompactArray) else value

    def _thing(self, of: RestrictedAttribute | CompactColumn) -> ProfileGeneric | None:
        if of.class_id != ProfileGeneric.class_id or of.attribute_index != BUFFER:
            return None
        try:
            found = self._life.device[of.logical_name]
        except KeyError:
            return None
        return found if isinstance(found, ProfileGeneric) else None


def _rows(
    profile: ProfileGeneric, restriction: Restriction, columns: Sequence[CaptureObject]
) -> Data:
    """Return rows of a profile, restricted to some of them and to some columns."""
    captured = profile.capture_objects
    select = profile.selections.get(BUFFER)
    if select is None:
        return None
    try:
        found = axdr_data.decode(select(_access(restriction, captured)))
        chosen = [captured.index(column) for column in columns] or range(len(captured))
    except (Refused, ValueError):
        return None
    rows = found if isinstance(found, Array) else Array()
    return Array(
        Structure(row[index] for index in chosen) for row in rows if isinstance(row, Structure)
    )


def _access(restriction: Restriction, captured: Sequence[CaptureObject]) -> SelectiveAccess:
    if isinstance(restriction, ByDate):
        clock = next((each for each in captured if each.class_id == CLOCK_CLASS), captured[0])
        first, last = restriction
        return ByRange(
            restricting_object=clock,
            from_value=OctetString(first + _DAY_BEGINS if len(first) == 5 else first),
            to_value=OctetString(last + _DAY_ENDS if len(last) == 5 else last),
        ).access()
    if isinstance(restriction, ByEntryNumber):
        return ByEntry(from_entry=restriction.from_entry, to_entry=restriction.to_entry).access()
    return ByEntry(from_entry=1).access()


def describe(value: Data) -> bytes:
    """Return the TypeDescription of a value (IEC 62056-5-3, 9.5).

    Raises:
        ValueError: An array has elements of different types.
    """
    if isinstance(value, Structure):
        inside = b"".join(map(describe, value))
        return bytes((Structure.TAG,)) + encode_length(len(value)) + inside
    if isinstance(value, Array):
        kinds = {describe(each) for each in value} or {b"\x00"}
        if len(kinds) > 1:
            raise ValueError("an array of mixed types has no type description")
        return bytes((Array.TAG,)) + len(value).to_bytes(2) + kinds.pop()
    return axdr_data.encode(value)[:1]


def untagged(value: Data) -> bytes:
    """Return the octets of a value as they stand in a compact-array: no tags, no counts."""
    if isinstance(value, Structure | Array):
        return b"".join(map(untagged, value))
    return axdr_data.encode(value)[1:]


def bind_compact_data(row: Compact, life: Life) -> CompactCapture:
    """Bind compact data to what it captures."""
    return CompactCapture(row, life)
