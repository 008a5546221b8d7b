# SPDX-License-Identifier: Apache-2.0
"""Reading attributes by name: find the class, fetch, scale, and say it for people or programs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from openami.cli.places import VALUE, Objects, Place, Target
from openami.cli.profiles import SCALED, SCALER_UNIT, Cell, read_scaler_unit, read_shape
from openami.cli.values import shown
from openami.cosem.asking.association import Steps
from openami.cosem.classes.access_control import AssociationLn
from openami.cosem.classes.associations import AssociationSn
from openami.cosem.classes.measurement import ProfileGeneric, ScalerUnit
from openami.cosem.client import Client
from openami.cosem.dump import is_secret
from openami.cosem.literals import plain
from openami.cosem.model import Attribute, declared
from openami.cosem.named import to_named
from openami.cosem.obis_names import describe as describe_obis
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.data import Array, Data, Structure
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.dlms.units import scaled, symbol
from openami.runtime.errors import ExitCode, UserError

ASSOCIATIONS: Final = frozenset({AssociationLn.class_id, AssociationSn.class_id})
ALL: Final = "all"
LONG: Final = frozenset({ProfileGeneric.class_id, *ASSOCIATIONS})
DATE_TIMES: Final[Mapping[int, frozenset[int]]] = {  # octet-strings that are date-times
    4: frozenset({5}),
    5: frozenset({6, 7}),
    8: frozenset({2, 5, 6}),
}

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
    words: str = ""
    row: str = ""
    members: str = ""

    @property
    def text(self) -> str:
        """The value for people; codes and members by their names."""
        shown = self.words or self.members or said(self.value)
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
        """Read one target; with the row ``all`` every attribute of the object."""
        if target.row == ALL:
            return (yield from self._whole(target))
        place = yield from self._objects.attribute(target)
        class_id, attribute = place.class_id, place.index
        found = Found(target.obis, class_id, attribute)
        row = place.row.name if isinstance(place.row, Attribute) else ""
        if class_id == ProfileGeneric.class_id and attribute == VALUE:
            return (yield from self._profile(target.obis, period))
        value = yield from self._client.get_data(class_id, target.obis, attribute)
        if class_id in ASSOCIATIONS and attribute == VALUE:
            return _object_table(found, value)
        if attribute in SCALED.get(class_id, ()) and isinstance(value, int):
            meaning = yield from read_scaler_unit(self._client, class_id, target.obis)
            if meaning is not None:
                number = scaled(int(value), meaning.scaler)
                return Reading(found, number, symbol(meaning.unit), row=row)
        dated = attribute in DATE_TIMES.get(class_id, ())
        named = attribute == 1 and isinstance(value, bytes) and len(value) == 6
        if named and isinstance(value, bytes):
            return Reading(found, str(Obis.decode(value)), row=row)
        return Reading(
            found,
            plain(value, dated=dated),
            words=_words(place, value),
            row=row,
            members=_members(place, value),
        )

    def _whole(self, target: Target) -> Steps[Table]:
        """Read every attribute of an object, in one request where the meter takes that."""
        class_id, version = yield from self._objects.class_of(target)
        rows = _rows_of(class_id, version, target)
        # A buffer or an object list is asked for by itself, and so is a secret.
        left = {VALUE} if class_id in LONG else set[int]()
        rows = [row for row in rows if row.index not in left and not is_secret(class_id, row.index)]
        results = yield from self._client.get_list([(row, target.obis) for row in rows])
        meaning = None
        for row, result in zip(rows, results, strict=True):
            if row.index == SCALER_UNIT.get(class_id):
                meaning = _meaning(result)
        cells: list[list[Cell]] = []
        for row, result in zip(rows, results, strict=True):
            cells.append([row.index, row.name, _shown(class_id, row, result, meaning)])
        place = Found(target.obis, class_id, 0)
        return Table(place, ["attribute", "name", "value"], cells)

    def _profile(self, obis: Obis, period: Period) -> Steps[Table]:
        client = self._client
        shape = yield from read_shape(client, obis)
        bounds, clock = period.bounds, shape.clock
        if bounds is not None and clock is not None:
            at = shape.columns[clock].capture.instance_id
            octets = yield from client.profile(obis, *bounds, clock=at)
        else:
            octets = yield from client.get_raw(ProfileGeneric.class_id, obis, VALUE)
        headings = [column.heading for column in shape.columns]
        return Table(Found(obis, ProfileGeneric.class_id, VALUE), headings, shape.rows(octets))


def _words(place: Place, value: Data) -> str:
    """Return the name of a code; empty for what has none."""
    if not isinstance(place.row, Attribute) or not place.row.kind.codes:
        return ""
    named = to_named(place.row.kind, value)
    return named if isinstance(named, str) and isinstance(value, int) else ""


def _members(place: Place, value: Data) -> str:
    """Return a structure or an array with the names of its class; empty for all else."""
    if place.index == SCALER_UNIT.get(place.class_id) and (meaning := _meaning(value)):
        return f"10^{meaning.scaler} {symbol(meaning.unit)}".rstrip()
    if isinstance(place.row, Attribute) and isinstance(value, Structure | Array):
        return shown(place.row.kind, value)
    return ""


def _rows_of(class_id: int, version: int, target: Target) -> list[Attribute[Any]]:
    of = declared(class_id, version)
    if of is None:
        sentence = f"{target.obis} is of class {class_id}, whose attributes are not known here"
        raise UserError(f"{sentence}: name them by number", ExitCode.ASKED_WRONGLY)
    return list(of.attributes())


def _meaning(result: Data | DataAccessResult) -> ScalerUnit | None:
    match result:
        case Structure((int() as scaler, int() as unit)):
            return ScalerUnit(int(scaler), int(unit))
    return None


def _shown(
    class_id: int,
    row: Attribute[Any],
    result: Data | DataAccessResult,
    meaning: ScalerUnit | None,
) -> str:
    """Return a value with its unit and the names of its class, or why there is none."""
    if isinstance(result, DataAccessResult):
        return f"({result})"
    if row.index in SCALED.get(class_id, ()) and isinstance(result, int) and meaning is not None:
        return f"{scaled(int(result), meaning.scaler)} {symbol(meaning.unit)}".rstrip()
    if row.index == SCALER_UNIT.get(class_id) and meaning is not None:
        return f"10^{meaning.scaler} {symbol(meaning.unit)}".rstrip()
    return shown(row.kind, result)


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
