# SPDX-License-Identifier: Apache-2.0
"""Values with their names in a notification: what a push says, whatever shape it has.

The standard leaves the body of a push to its maker.  These shapes are in the field, also nested
and mixed, and are understood without knowing the meter:

- a push object list, an array of {class, logical name, attribute, index}, with the values behind
  it in that order (IEC 62056-6-2, 4.4.8); the list may count itself or not, and the values may
  stand in a structure of their own; capture objects with the rows of a buffer likewise;
- structures of a logical name and its value, with {scaler, unit}, a time, both or neither, in
  any order: registers, extended registers, values of M-Bus devices;
- {class, logical name, attribute, value}, the first three also in a structure of their own;
- {value, class, {scaler, unit}, logical name};
- a logical name followed by its value, side by side, also with nulls between them;
- all logical names first, then as many values;
- values alone behind the identifier of a list that `LISTS` knows.

A body without any of these has no readings; its tree still shows every value.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from openami.dlms.data import (
    Array,
    Data,
    FixedInteger,
    LongUnsigned,
    OctetString,
    Structure,
    VisibleString,
)
from openami.dlms.obis import Obis
from openami.dlms.recordings.pushvalues import (
    DATE_TIME_OCTETS,
    LOGICAL_NAME_OCTETS,
    clock_octets,
    is_clock_value,
    is_time,
    logical_name,
    measured_of,
    scaler_unit,
    short_name,
)
from openami.dlms.units import scaled

_ALL_ATTRIBUTES: Final = 0
_VALUE: Final = 2
_SCALER_UNIT: Final = 3
_CAPTURE_OBJECTS: Final = 3
_REGISTERS: Final = frozenset({3, 4, 5})
_CAPTURE_TIMES: Final = MappingProxyType({4: 5, 5: 6})
"""Class of registers that tell when they were captured: the attribute that does."""
_PROFILE_GENERIC: Final = 7
_PUSH_SETUP: Final = 40


class Definition(NamedTuple):
    """One row of a push object list."""

    class_id: int | None
    obis: Obis
    attribute_id: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One value of a push.

    Attributes:
        obis: Which object.
        class_id: Of which class, where the push says so.
        attribute_id: Which attribute, where the push says so.
        value: As it arrived, without its scaler.
        scaler: Power of ten, where the push carries it.
        unit: Code of the unit, where the push carries it.
        date_time: The 12 octets of when it was sent or captured; empty where nothing says so.
    """

    obis: Obis
    class_id: int | None = None
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


def _names(*texts: str) -> tuple[Obis, ...]:
    return tuple(Obis.parse(text) for text in texts)


_LIST_HEAD: Final = _names("1.1.0.2.129.255", "0.0.96.1.0.255", "0.0.96.1.7.255")
_POWERS: Final = _names("1.0.1.7.0.255", "1.0.2.7.0.255", "1.0.3.7.0.255", "1.0.4.7.0.255")
_ONE_PHASE: Final = _names("1.0.31.7.0.255", "1.0.32.7.0.255")
_THREE_PHASES: Final = _names(
    *(f"1.0.{c}.7.0.255" for c in (31, 51, 71)), *(f"1.0.{c}.7.0.255" for c in (32, 52, 72))
)
_ENERGIES: Final = _names("0.0.1.0.0.255", *(f"1.0.{c}.8.0.255" for c in (1, 2, 3, 4)))

LISTS: Final = MappingProxyType(
    {
        "KFM_001": tuple(
            _LIST_HEAD + _POWERS + phases + energies
            for phases in (_ONE_PHASE, _THREE_PHASES)
            for energies in ((), _ENERGIES)
        ),
    }
)
"""Lists that carry values without names, by the identifier they begin with: one row a length.

KFM_001 is that of Kaifa meters in Norway and Sweden, as its owners describe it in public.
"""


def readings(body: Data, date_time: bytes = b"") -> tuple[Reading, ...]:
    """Return what a notification body says, in its order.

    Args:
        body: The notification body.
        date_time: The date-time of the notification; see `moment`.
    """
    found = tuple(_readings(body))
    when = moment(body, found, date_time)
    return tuple(each if each.date_time else replace(each, date_time=when) for each in found)


def moment(body: Data, found: Sequence[Reading] = (), date_time: bytes = b"") -> bytes:
    """Return the 12 octets of when a notification was made; empty where nothing says so.

    The date-time of the notification counts, else that of a clock object in the body, else one
    that leads the body.
    """
    clocks = (clock_octets(each.value) for each in found if is_clock(each))
    candidates = (date_time, *clocks, _leading_clock(body))
    return next((each for each in candidates if _tells_a_day(each)), b"")


def is_clock(reading: Reading) -> bool:
    """Whether a reading is the time of a clock: 0.b.1.0.e.255, attribute 2."""
    a, _, c, d, _, _ = reading.obis
    return (a, c, d) == (0, 1, 0) and reading.attribute_id in {None, _VALUE}


def _tells_a_day(octets: bytes) -> bool:
    return len(octets) == DATE_TIME_OCTETS and is_clock_value(octets)


def _leading_clock(value: Data) -> bytes:
    while isinstance(value, Array | Structure) and value:
        value = value[0]
    return clock_octets(value)


def _readings(value: Data) -> Iterator[Reading]:
    if not isinstance(value, Array | Structure) or not value:
        return
    elements = list(value)
    for understand in _UNDERSTAND:
        found = understand(elements)
        if found is not None:
            yield from found
            return
    yield from _side_by_side(elements)


# One value with its name.


def _reading(name: Obis, followers: Sequence[Data]) -> Iterator[Reading]:
    """Yield the reading of a name and what stands behind it."""
    measured = measured_of(followers)
    if measured is None:
        return
    if isinstance(measured.value, Array | Structure):
        inside = list(_readings(measured.value))
        if inside:
            yield from inside
            return
    value, scaler, unit, time = measured
    yield Reading(obis=name, value=value, scaler=scaler, unit=unit, date_time=time)


def _single(elements: list[Data]) -> Iterator[Reading] | None:
    """{logical name, value …}: two to five elements, one name in front and no other."""
    if not 2 <= len(elements) <= 5:
        return None
    name = logical_name(elements[0])
    if name is None and any(scaler_unit(each) for each in elements[1:]):
        name = short_name(elements[0])
    if name is None or any(_opens(each) for each in elements[2:]):
        return None
    return _reading(name, elements[1:])


def _opens(value: Data) -> bool:
    """Whether a name stands here, or in front of what stands here."""
    if isinstance(value, Structure | Array):
        return bool(value) and scaler_unit(value) is None and _opens(value[0])
    return logical_name(value) is not None


def _side_by_side(elements: list[Data]) -> Iterator[Reading]:
    at = 0
    while at < len(elements):
        name = logical_name(elements[at])
        at += 1
        if name is None:
            yield from _readings(elements[at - 1])
            continue
        if at < len(elements) and isinstance(elements[at], Array | Structure):
            stop = at + (not _opens(elements[at]))
        else:
            stop = min(at + 1, len(elements))
        while stop > at and stop < len(elements) and not _opens(elements[stop]):
            stop += 1
        yield from _reading(name, elements[at:stop])
        at = stop


def _names_first(elements: list[Data]) -> Iterator[Reading] | None:
    """As many names as values: all names stand in front."""
    half = len(elements) // 2
    names = [logical_name(each) for each in elements]
    if half < 2 or len(elements) % 2 or any(names[half:]) or None in names[:half]:
        return None
    return (
        Reading(obis=name, value=value)
        for name, value in zip(names[:half], elements[half:], strict=True)
        if name is not None
    )


# Lists of definitions, and the values that follow them.


def _definition(value: Data) -> Definition | None:
    match value:
        case Structure((FixedInteger() as class_id, OctetString() as name, attribute, *_)):
            if len(name) == LOGICAL_NAME_OCTETS and isinstance(attribute, FixedInteger):
                return Definition(int(class_id), Obis.decode(name), int(attribute))
        case OctetString() if len(value) == LOGICAL_NAME_OCTETS:
            return Definition(None, Obis.decode(value), None)
    return None


def _definitions(value: Data) -> list[Definition]:
    """Return the rows of a push object list or of capture objects; none if it is something else."""
    if not isinstance(value, Array) or not value:
        return []
    rows = [_definition(each) for each in value]
    known = [row for row in rows if row is not None]
    return known if len(known) == len(rows) else []


def _defined(elements: list[Data]) -> Iterator[Reading] | None:
    """A list of definitions and the values that it defines."""
    for place, element in enumerate(elements):
        rows = _definitions(element)
        if not rows:
            continue
        values = elements[place + 1 :]
        if len(values) == 1 and len(rows) > 1:
            alone = values[0]
            if isinstance(alone, Array) and alone and all(_is_row(each, rows) for each in alone):
                return _buffer(rows, alone)
            if isinstance(alone, Structure | Array) and len(alone) in {len(rows), len(rows) - 1}:
                values = list(alone)
        if len(values) == len(rows) - 1 or (len(values) < len(rows) and _is_own(rows[0])):
            rows = rows[1:]  # the list has a row for itself
        count = min(len(rows), len(values))  # a telegram that is cut off has fewer values
        return _listed(rows[:count], values[:count])
    return None


def _is_own(row: Definition) -> bool:
    """Whether a row of a push object list names that list."""
    return (row.class_id, row.attribute_id) == (_PUSH_SETUP, _VALUE)


def _is_row(value: Data, rows: list[Definition]) -> bool:
    return isinstance(value, Structure) and len(value) == len(rows)


def _listed(rows: list[Definition], values: list[Data]) -> Iterator[Reading]:
    beside = _Beside.of(rows, values)
    for row, value in zip(rows, values, strict=True):
        if beside.tells(row):
            continue
        columns = beside.captured.get(row.obis, [])
        if (
            row.attribute_id == _VALUE
            and isinstance(value, Array)
            and columns
            and all(_is_row(each, columns) for each in value)
        ):
            yield from _buffer(columns, value)
            continue
        reading = _listed_reading(row, value, beside.units.get(row.obis))
        if row.attribute_id == _VALUE and not reading.date_time:
            reading = replace(reading, date_time=beside.times.get(row.obis, b""))
        yield reading


@dataclass(frozen=True, slots=True)
class _Beside:
    """What rows of a push tell about the values of others: by object."""

    units: dict[Obis, tuple[int, int]]
    captured: dict[Obis, list[Definition]]
    times: dict[Obis, bytes]

    @classmethod
    def of(cls, rows: list[Definition], values: list[Data]) -> Self:
        beside = cls({}, {}, {})
        for row, value in zip(rows, values, strict=True):
            pair = scaler_unit(value)
            if row.class_id in _REGISTERS and row.attribute_id == _SCALER_UNIT and pair is not None:
                beside.units[row.obis] = pair
            elif row.class_id == _PROFILE_GENERIC and row.attribute_id == _CAPTURE_OBJECTS:
                beside.captured[row.obis] = _definitions(value)
            elif row.attribute_id == _CAPTURE_TIMES.get(row.class_id or 0) and is_time(value):
                beside.times[row.obis] = clock_octets(value)
        return beside

    def tells(self, row: Definition) -> bool:
        """Whether a row tells about another one, so that it is no reading itself."""
        if row.class_id in _REGISTERS and row.attribute_id == _SCALER_UNIT:
            return True
        if row.attribute_id == _CAPTURE_TIMES.get(row.class_id or 0):
            return row.obis in self.times
        return row.attribute_id == _CAPTURE_OBJECTS and bool(self.captured.get(row.obis))


def _listed_reading(row: Definition, value: Data, pair: tuple[int, int] | None) -> Reading:
    scaler, unit, time = None, None, b""
    timed = isinstance(value, Structure) and any(is_time(each) for each in value)
    if row.class_id is None or row.attribute_id == _ALL_ATTRIBUTES or timed:
        inside = [value]
        if isinstance(value, Structure):
            own_name = bool(value) and logical_name(value[0]) == row.obis
            inside = list(value[1:] if own_name else value)
        measured = measured_of(inside)
        if measured is not None and not isinstance(measured.value, Array | Structure):
            value, scaler, unit, time = measured
    elif row.class_id in _REGISTERS and row.attribute_id == _VALUE and pair is not None:
        scaler, unit = pair
    return Reading(
        obis=row.obis,
        class_id=row.class_id,
        attribute_id=row.attribute_id,
        value=value,
        scaler=scaler,
        unit=unit,
        date_time=time,
    )


def _buffer(columns: list[Definition], buffer: Array) -> Iterator[Reading]:
    """Yield the cells of a profile, each with the time of its row."""
    for row in buffer:
        cells = list(row) if isinstance(row, Structure) else []
        time = next((bytes(c) for c in cells if isinstance(c, bytes) and is_time(c)), b"")
        for column, cell in zip(columns, cells, strict=True):
            yield Reading(
                obis=column.obis,
                class_id=column.class_id,
                attribute_id=column.attribute_id,
                value=cell,
                date_time=time,
            )


def _descriptor_and_value(elements: list[Data]) -> Iterator[Reading] | None:
    """{{class, logical name, attribute}, value}."""
    if len(elements) != 2 or not isinstance(elements[0], Structure):
        return None
    row = _definition(elements[0])
    if row is None or (_definition(elements[1]) is not None and isinstance(elements[1], Structure)):
        return None
    return iter((_listed_reading(row, elements[1], None),))


def _attributed(elements: list[Data]) -> Iterator[Reading] | None:
    """Rows of {class, logical name, attribute, value}, or one of them.

    Rows that all end in the number 0 are a list of definitions, which end in a data index.
    """
    rows = [elements] if _definition(Structure(elements)) is not None else elements
    found: list[tuple[Definition, Data]] = []
    for row in rows:
        definition = _definition(row) if isinstance(row, Structure) else None
        if isinstance(row, list):
            definition = _definition(Structure(row))
        if definition is None or not isinstance(row, list | Structure) or len(row) != 4:
            return None
        found.append((definition, row[3]))
    if all(value == 0 and isinstance(value, LongUnsigned) for _, value in found):
        return iter(())
    return (_listed_reading(definition, value, None) for definition, value in found)


def _name_last(elements: list[Data]) -> Iterator[Reading] | None:
    """{value, class, {scaler, unit}, logical name}."""
    match elements:
        case [value, FixedInteger(), pair, OctetString() as last]:
            name = logical_name(last)
            if name is not None and scaler_unit(pair) is not None:
                return _reading(name, [value, pair])
    return None


def _known_list(elements: list[Data]) -> Iterator[Reading] | None:
    """Values alone, behind the identifier of a list that is known."""
    first = elements[0]
    if not isinstance(first, OctetString | VisibleString):
        return None
    text = first.decode("latin-1") if isinstance(first, bytes) else str(first)
    for names in LISTS.get(text, ()):
        if len(names) == len(elements):
            return (
                Reading(obis=name, value=value) for name, value in zip(names, elements, strict=True)
            )
    return None


_UNDERSTAND: Final[tuple[Callable[[list[Data]], Iterator[Reading] | None], ...]] = (
    _defined,
    _known_list,
    _attributed,
    _descriptor_and_value,
    _name_last,
    _names_first,
    _single,
)
"""The shapes, in the order in which they are looked for."""
