# SPDX-License-Identifier: Apache-2.0
"""Reading attributes by name: find the class, fetch, scale, and say it for people or programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple

from openami.cli.places import VALUE, Objects, Target
from openami.cosem.access_control import AssociationLn
from openami.cosem.associations import AssociationSn
from openami.cosem.client import Client
from openami.cosem.client_association import Steps
from openami.cosem.literals import plain
from openami.cosem.measurement import ProfileGeneric, ScalerUnit
from openami.cosem.obis_names import describe as describe_obis
from openami.cosem.refusals import AccessError
from openami.cosem.time_event import Clock
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.columns import decode_profile
from openami.dlms.data import Array, Data, Structure
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.dlms.units import scaled, symbol

SCALER_UNIT: Final[Mapping[int, int]] = {3: 3, 4: 3, 5: 4}  # class to its scaler_unit
SCALED: Final[Mapping[int, frozenset[int]]] = {
    3: frozenset({2}),
    4: frozenset({2}),
    5: frozenset({2, 3}),
}
ASSOCIATIONS: Final = frozenset({AssociationLn.class_id, AssociationSn.class_id})
DATE_TIMES: Final[Mapping[int, frozenset[int]]] = {  # octet-strings that are date-times
    4: frozenset({5}),
    5: frozenset({6, 7}),
    8: frozenset({2, 5, 6}),
}

Cell = str | int | float | bool | None
Json = Any  # what json.dumps takes


class Found(NamedTuple):
    """Which attribute was read."""

    obis: Obis
    class_id: int
    attribute: int


@dataclass(frozen=True, slots=True)
class Reading:
    """One attribute as it was read."""

    place: Found
    value: Json
    unit: str = ""

    @property
    def text(self) -> str:
        """The value for people."""
        shown = said(self.value)
        return f"{shown} {self.unit}" if self.unit else shown


@dataclass(frozen=True, slots=True)
class Table:
    """Rows that were read: of a profile, or an object list."""

    place: Found
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True, slots=True)
class Period:
    """Which rows of a profile; both None for all."""

    start: datetime | None = None
    end: datetime | None = None

    @property
    def bounds(self) -> tuple[datetime, datetime] | None:
        """The two moments that travel; an open end reaches as far as date-time does."""
        if self.start is None and self.end is None:
            return None
        first = self.start or datetime(2000, 1, 1, tzinfo=UTC)
        return first, self.end or datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC)


class Reader:
    """Makes the conversations that read targets; remembers the object list.

    Args:
        client: An open association.
        name: Which client that is, for sentences.
    """

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._objects = Objects(client, name)

    def read(self, target: Target, period: Period) -> Steps[Reading | Table]:
        """Read one target."""
        place = yield from self._objects.attribute(target)
        class_id, attribute = place.class_id, place.index
        found = Found(target.obis, class_id, attribute)
        if class_id == ProfileGeneric.class_id and attribute == VALUE:
            return (yield from self._profile(target.obis, period))
        value = yield from self._client.get_data(class_id, target.obis, attribute)
        if class_id in ASSOCIATIONS and attribute == VALUE:
            return _object_table(found, value)
        if attribute in SCALED.get(class_id, ()) and isinstance(value, int):
            meaning = yield from self._scaler_unit(class_id, target.obis)
            if meaning is not None:
                number = scaled(int(value), meaning.scaler)
                return Reading(found, number, symbol(meaning.unit))
        dated = attribute in DATE_TIMES.get(class_id, ())
        named = attribute == 1 and isinstance(value, bytes) and len(value) == 6
        if named and isinstance(value, bytes):
            return Reading(found, str(Obis.decode(value)))
        return Reading(found, plain(value, dated=dated))

    def _scaler_unit(self, class_id: int, obis: Obis) -> Steps[ScalerUnit | None]:
        index = SCALER_UNIT[class_id]
        try:
            found = yield from self._client.get_data(class_id, obis, index)
        except AccessError:
            return None
        match found:
            case Structure((int() as scaler, int() as unit)):
                return ScalerUnit(int(scaler), int(unit))
        return None

    def _profile(self, obis: Obis, period: Period) -> Steps[Table]:
        client = self._client
        columns = yield from client.get(ProfileGeneric.capture_objects, at=obis)
        clock = next((n for n, c in enumerate(columns) if c.class_id == Clock.class_id), None)
        period_s = yield from client.get(ProfileGeneric.capture_period, at=obis)
        scalers: list[ScalerUnit | None] = []
        for column in columns:
            meaning = yield from self._column_scaler(column)
            scalers.append(meaning)
        bounds = period.bounds
        if bounds is not None and clock is not None:
            at = columns[clock].instance_id
            octets = yield from client.profile(obis, *bounds, clock=at)
        else:
            octets = yield from client.get_raw(ProfileGeneric.class_id, obis, VALUE)
        headings = [_heading(c, s) for c, s in zip(columns, scalers, strict=True)]
        rows = _rows(octets, clock, int(period_s), scalers)
        return Table(Found(obis, ProfileGeneric.class_id, VALUE), headings, rows)

    def _column_scaler(self, column: CaptureObject) -> Steps[ScalerUnit | None]:
        if column.attribute_id not in SCALED.get(column.class_id, ()):
            return None
        return (yield from self._scaler_unit(column.class_id, column.instance_id))


def _heading(column: CaptureObject, meaning: ScalerUnit | None) -> str:
    if column.class_id == Clock.class_id:
        return "time"
    unit = symbol(meaning.unit) if meaning else ""
    return f"{column.instance_id} [{unit}]" if unit else str(column.instance_id)


def _rows(
    octets: bytes, clock: int | None, period_s: int, scalers: Sequence[ScalerUnit | None]
) -> list[list[Cell]]:
    """Return the rows of a buffer: times in ISO 8601, numbers scaled."""
    found = decode_profile(octets, clock_column=clock, capture_period_s=period_s)
    columns: list[list[Cell]] = []
    for number, values in enumerate(found.values):
        if number == clock and found.times_us is not None:
            columns.append([_iso_us(int(us)) for us in found.times_us])
            continue
        meaning = scalers[number] if number < len(scalers) else None
        columns.append([_scaled_cell(value, meaning) for value in values.tolist()])
    return [list(row) for row in zip(*columns, strict=True)]


def _scaled_cell(value: Data, meaning: ScalerUnit | None) -> Cell:
    if meaning is not None and isinstance(value, int) and not isinstance(value, bool):
        number = scaled(int(value), meaning.scaler)
        return int(number) if meaning.scaler >= 0 else float(number)
    shown = plain(value)
    return shown if isinstance(shown, str | int | float | bool) or shown is None else said(shown)


def _iso_us(us: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    return moment.isoformat().replace("+00:00", "Z")


def _object_table(found: Found, value: Data) -> Table:
    rows: list[list[Cell]] = []
    for element in value if isinstance(value, Array) else ():
        match element:
            case Structure((int() as class_id, int() as version, bytes() as name, *_)) | Structure(
                (_, int() as class_id, int() as version, bytes() as name)
            ):
                listed = Obis.decode(bytes(name))
                named = describe_obis(listed)
                rows.append([str(listed), int(class_id), int(version), named])
            case _:
                raise DecodeError("an element is no object_list_element", b"", 0, "IEC 62056-6-2")
    rows.sort(key=lambda row: Obis.parse(str(row[0])))
    return Table(found, ["object", "class", "version", "name"], rows)


def said(value: Json) -> str:
    """Return a value for people."""
    match value:
        case None:
            return "null"
        case Decimal():
            return format(value, "f")
        case list():
            return "{" + ", ".join(said(element) for element in value) + "}"
        case _:
            return str(value)
