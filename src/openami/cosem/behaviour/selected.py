# SPDX-License-Identifier: Apache-2.0
"""Values of listed attributes, or of the parts of them that a list names.

DLMS UA 1000-1 Ed. 12, 4.4.8 (push object list) and 4.4.9 (data protection).  A ``data_index`` of 0
means the whole attribute, 1 to 0FFF an element of it; what higher ones mean sources do not agree
on, so they are refused.  Attribute 0 means all attributes, as a structure.  A restriction and a
choice of columns concern the rows of a profile.
"""

from typing import Any, Final

from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.classes.references import ByDate, ByEntryNumber, Restriction
from openami.cosem.device import LogicalDevice
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import Array, Data, OctetString, Structure
from openami.dlms.obis import Obis

LAST_ELEMENT: Final = 0x0FFF
_CLOCK: Final = 8
_OPEN_TIME: Final = b"\xff" * 12


def value_of(  # noqa: PLR0913  the members of a push object
    device: LogicalDevice,
    class_id: int,
    at: Obis,
    attribute: int,
    *,
    data_index: int = 0,
    restriction: Restriction = None,
    columns: tuple[CaptureObject, ...] = (),
) -> Data:
    """Return what a list element names.

    Raises:
        Refused: There is no such object, attribute, element, row or column now.
    """
    thing = _find(device, class_id, at)
    if attribute == 0:
        if restriction is not None or columns or data_index:
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
        return Structure(_read(thing, row.index) for row in thing.attributes())
    if restriction is None and not columns:
        return _element(_read(thing, attribute), data_index)
    if data_index:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    return _rows(thing, attribute, restriction, columns)


def _find(device: LogicalDevice, class_id: int, at: Obis) -> InterfaceClass:
    try:
        thing = device[at]
    except KeyError:
        raise Refused(DataAccessResult.OBJECT_UNDEFINED) from None
    if thing.class_id != class_id:
        raise Refused(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
    return thing


def _read(thing: InterfaceClass, attribute: int) -> Data:
    reader = thing.reader(attribute)
    if reader is None:
        raise Refused(DataAccessResult.OBJECT_UNAVAILABLE)
    return axdr_data.decode(reader())


def _element(value: Data, data_index: int) -> Data:
    if data_index == 0:
        return value
    if not isinstance(value, Array | Structure) or not data_index <= min(len(value), LAST_ELEMENT):
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    return value[data_index - 1]


def _rows(
    thing: InterfaceClass,
    attribute: int,
    restriction: Restriction,
    columns: tuple[CaptureObject, ...],
) -> Data:
    select = thing.selections.get(attribute)
    if select is None or not isinstance(thing, ProfileGeneric):
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    if isinstance(restriction, ByEntryNumber):
        entries = ByEntry(from_entry=restriction.from_entry, to_entry=restriction.to_entry)
        return _columns(thing, axdr_data.decode(select(entries.access())), columns)
    start, end = restriction or ByDate(b"", b"")
    wanted = ByRange(
        restricting_object=_clock(thing),
        from_value=OctetString(_date_time(start, b"\x00\x00\x00\x00")),
        to_value=OctetString(_date_time(end, b"\x17\x3b\x3b\x63")),
        selected_columns=columns,
    )
    return axdr_data.decode(select(wanted.access()))


def _clock(profile: ProfileGeneric) -> CaptureObject:
    for column in profile.capture_objects:
        if column.class_id == _CLOCK:
            return column
    raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)


def _date_time(octets: bytes, time: bytes) -> bytes:
    """Return an end of a range in 12 octets: as it is, of a date of 5, or open if there is none."""
    match len(octets):
        case 0:
            return _OPEN_TIME
        case 5:
            return octets + time + b"\x80\x00\xff"
        case _:
            return octets


def _columns(profile: ProfileGeneric, rows: Data, columns: tuple[CaptureObject, ...]) -> Data:
    if not columns:
        return rows
    known: tuple[Any, ...] = profile.capture_objects
    try:
        chosen = [known.index(column) for column in columns]
    except ValueError:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED) from None
    found = rows if isinstance(rows, Array) else Array()
    return Array(
        Structure(row[index] for index in chosen) for row in found if isinstance(row, Structure)
    )
