# SPDX-License-Identifier: Apache-2.0
"""Values with their names in a data notification: what a push says, whatever shape it has.

The standard leaves the body of a push to its maker.  These shapes are in the field, also nested
and mixed, and are understood without knowing the meter:

- a structure whose first element is the push object list, an array of {class, logical name,
  attribute, index}, with the values behind it in that order (IEC 62056-6-2, 4.4.8);
- structures of {logical name, value} or {logical name, value, {scaler, unit}};
- a logical name followed by its value, side by side.

A body without logical names has no readings; its tree still shows every value.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final

from openami.dlms.data import (
    Array,
    Data,
    DateTimeOctets,
    Enum,
    FixedInteger,
    Integer,
    OctetString,
    Structure,
)
from openami.dlms.obis import Obis
from openami.dlms.units import scaled

_LOGICAL_NAME_OCTETS: Final = 6
_VALUE: Final = 2
_SCALER_UNIT: Final = 3
_REGISTERS: Final = frozenset({3, 4, 5})


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a push.

    Attributes:
        obis: Which object.
        attribute_id: Which attribute, where the push says so.
        value: As it arrived, without its scaler.
        scaler: Power of ten, where the push carries it.
        unit: Code of the unit, where the push carries it.
        date_time: The 12 octets of when it was sent or captured; empty where nothing says so.
    """

    obis: Obis
    attribute_id: int | None = None
    value: Data
    scaler: int | None = None
    unit: int | None = None
    date_time: bytes = b""

    @property
    def quantity(self) -> Decimal | None:
        """The value with its scaler applied, exact; None if it is no number with a scaler."""
        if isinstance(self.value, FixedInteger) and self.scaler is not None:
            return scaled(int(self.value), self.scaler)
        return None


def readings(body: Data, date_time: bytes = b"") -> tuple[Reading, ...]:
    """Return what a notification body says, in its order.

    Args:
        body: The notification body.
        date_time: The date-time of the notification; without one the first clock value in the
            body counts.
    """
    found = list(_readings(body))
    moment = date_time or _first_clock(body)
    return tuple(replace(reading, date_time=moment) for reading in found)


def _readings(value: Data) -> Iterator[Reading]:
    if not isinstance(value, Array | Structure):
        return
    elements = list(value)
    columns = _push_object_list(elements)
    if columns:
        yield from _listed(columns, elements)
        return
    single = _named(elements)
    if single is not None:
        yield single
        return
    at = 0
    while at < len(elements):
        element = elements[at]
        follower = elements[at + 1] if at + 1 < len(elements) else None
        name = _logical_name(element)
        if (
            name is not None
            and follower is not None
            and not isinstance(follower, Array | Structure)
        ):
            yield Reading(obis=name, value=follower)
            at += 2
            continue
        yield from _readings(element)
        at += 1


def _logical_name(value: Data) -> Obis | None:
    if isinstance(value, OctetString) and len(value) == _LOGICAL_NAME_OCTETS:
        return Obis.decode(value)
    return None


def _named(elements: list[Data]) -> Reading | None:
    """Return the reading of {logical name, value} or {logical name, value, {scaler, unit}}."""
    if len(elements) not in {2, 3}:
        return None
    name = _logical_name(elements[0])
    if name is None or isinstance(elements[1], Array | Structure):
        return None
    if len(elements) == 2:
        return Reading(obis=name, value=elements[1])
    match elements[2]:
        case Structure((Integer() as scaler, Enum() as unit)):
            return Reading(obis=name, value=elements[1], scaler=int(scaler), unit=int(unit))
    return None


def _push_object_list(elements: list[Data]) -> list[tuple[int, Obis, int]]:
    """Return class, name and attribute of each element, if the first element lists them."""
    if not elements or not isinstance(elements[0], Array) or len(elements[0]) != len(elements):
        return []
    columns = []
    for definition in elements[0]:
        match definition:
            case Structure((FixedInteger() as class_id, OctetString() as name, attribute, *_)):
                if len(name) != _LOGICAL_NAME_OCTETS or not isinstance(attribute, FixedInteger):
                    return []
                columns.append((int(class_id), Obis.decode(name), int(attribute)))
            case _:
                return []
    return columns


def _listed(columns: list[tuple[int, Obis, int]], elements: list[Data]) -> Iterator[Reading]:
    units = {
        name: (int(scaler), int(unit))
        for (class_id, name, attribute), element in zip(columns, elements, strict=True)
        if class_id in _REGISTERS and attribute == _SCALER_UNIT
        for scaler, unit in _scaler_units(element)
    }
    for (class_id, name, attribute), element in list(zip(columns, elements, strict=True))[1:]:
        if class_id in _REGISTERS and attribute == _SCALER_UNIT:
            continue
        scaler, unit = (None, None)
        if class_id in _REGISTERS and attribute == _VALUE:
            scaler, unit = units.get(name, (None, None))
        yield Reading(obis=name, attribute_id=attribute, value=element, scaler=scaler, unit=unit)


def _scaler_units(value: Data) -> Iterator[tuple[Integer, Enum]]:
    match value:
        case Structure((Integer() as scaler, Enum() as unit)):
            yield scaler, unit


def _first_clock(value: Data) -> bytes:
    if isinstance(value, DateTimeOctets) or (isinstance(value, OctetString) and len(value) == 12):
        return bytes(value)
    if isinstance(value, Array | Structure):
        for element in value:
            if moment := _first_clock(element):
                return moment
    return b""
