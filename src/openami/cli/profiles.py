# SPDX-License-Identifier: Apache-2.0
"""The columns of a profile, and its rows as cells: times in ISO 8601, numbers scaled."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from openami.cosem.asking.association import Steps
from openami.cosem.classes.measurement import ProfileGeneric, ScalerUnit
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import Client
from openami.cosem.literals import plain
from openami.cosem.obis_names import describe
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.data import Data, FixedInteger, Structure
from openami.dlms.obis import Obis
from openami.dlms.units import scaled, symbol

SCALER_UNIT: Final = {3: 3, 4: 3, 5: 4}
"""Class to its scaler_unit."""
SCALED: Final = {3: frozenset({2}), 4: frozenset({2}), 5: frozenset({2, 3})}
"""Class to the attributes that its scaler_unit is for."""
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Cell = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a profile.

    Attributes:
        capture: What is captured.
        meaning: How its numbers are scaled; None for what has no unit.
    """

    capture: CaptureObject
    meaning: ScalerUnit | None = None

    @property
    def is_clock(self) -> bool:
        return self.capture.class_id == Clock.class_id and self.capture.attribute_id == 2

    @property
    def unit(self) -> str:
        """The symbol of its unit; empty without one."""
        return symbol(self.meaning.unit) if self.meaning else ""

    @property
    def place(self) -> str:
        """The object, and which attribute if it is not the second."""
        capture = self.capture
        index = "" if capture.attribute_id == 2 else f":{capture.attribute_id}"
        part = f"[{capture.data_index}]" if capture.data_index else ""
        return f"{capture.instance_id}{index}{part}"

    @property
    def heading(self) -> str:
        """A short name: object and unit."""
        if self.is_clock:
            return "time"
        return f"{self.place} [{self.unit}]" if self.unit else self.place

    @property
    def title(self) -> str:
        """A long name: object, what it is, unit."""
        if self.is_clock:
            return "time"
        words = f"{self.place} {describe(self.capture.instance_id)}"
        return f"{words} [{self.unit}]" if self.unit else words

    def to_json(self) -> dict[str, object]:
        capture = self.capture
        return {
            "heading": self.title,
            "obis": str(capture.instance_id),
            "name": describe(capture.instance_id),
            "class_id": capture.class_id,
            "attribute": capture.attribute_id,
            "data_index": capture.data_index,
            "unit": self.unit,
            "scaler": self.meaning.scaler if self.meaning else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a profile looks like.

    Attributes:
        columns: In their order.
        period_s: Seconds between rows; 0 where something else captures them.
        deviation_minutes: Of clocks that do not tell their own; None where nobody knows.
    """

    obis: Obis
    columns: tuple[Column, ...]
    period_s: int
    deviation_minutes: int | None = None

    @property
    def clock(self) -> int | None:
        """Which column is the clock; None without one."""
        return next((n for n, column in enumerate(self.columns) if column.is_clock), None)

    def only(self, chosen: Sequence[int]) -> "Shape":
        """Return the shape of rows with some of the columns."""
        return replace(self, columns=tuple(self.columns[n] for n in chosen))

    def rows(self, octets: bytes) -> list[list[Cell]]:
        """Return the rows of an encoded buffer.

        Raises:
            DecodeError: The octets are no rows of this shape.
        """
        clock = self.clock
        found = decode_profile(
            octets,
            clock_column=clock,
            capture_period_s=self.period_s,
            assume_deviation_minutes=self.deviation_minutes,
        )
        columns: list[list[Cell]] = []
        for number, values in enumerate(found.values):
            if number == clock and found.times_us is not None:
                columns.append([iso_of(int(us)) for us in found.times_us])
                continue
            meaning = self.columns[number].meaning if number < len(self.columns) else None
            columns.append([_cell(value, meaning) for value in values.tolist()])
        return [list(row) for row in zip(*columns, strict=True)]


def read_shape(client: Client, obis: Obis, *, deviation: bool = False) -> Steps[Shape]:
    """Read what a profile looks like.

    Args:
        client: An open association.
        obis: The profile.
        deviation: Whether to ask the clock for the time zone, for rows that tell none.
    """
    captured = yield from client.get(ProfileGeneric.capture_objects, at=obis)
    period_s = yield from client.get(ProfileGeneric.capture_period, at=obis)
    columns: list[Column] = []
    meanings: dict[tuple[int, Obis], ScalerUnit | None] = {}
    for each in captured:
        meaning = None
        if each.attribute_id in SCALED.get(each.class_id, ()):
            key = each.class_id, each.instance_id
            if key not in meanings:
                meanings[key] = yield from read_scaler_unit(client, *key)
            meaning = meanings[key]
        columns.append(Column(each, meaning))
    shape = Shape(obis=obis, columns=tuple(columns), period_s=int(period_s))
    if deviation and shape.clock is not None:
        at = columns[shape.clock].capture.instance_id
        try:
            zone = yield from client.get(Clock.time_zone, at=at)
        except AccessError:
            return shape
        return replace(shape, deviation_minutes=int(zone))
    return shape


def read_scaler_unit(client: Client, class_id: int, obis: Obis) -> Steps[ScalerUnit | None]:
    """Read what the numbers of a register mean; None where the meter keeps it to itself."""
    try:
        found = yield from client.get_data(class_id, obis, SCALER_UNIT[class_id])
    except AccessError:
        return None
    match found:
        case Structure((FixedInteger() as scaler, FixedInteger() as unit)):
            return ScalerUnit(int(scaler), int(unit))
    return None


def _cell(value: Data, meaning: ScalerUnit | None) -> Cell:
    if meaning is not None and isinstance(value, int) and not isinstance(value, bool):
        number = scaled(int(value), meaning.scaler)
        return int(number) if meaning.scaler >= 0 else float(number)
    shown = plain(value)
    if isinstance(shown, str | int | float | bool) or shown is None:
        return shown
    return "{" + ", ".join(map(str, shown)) + "}" if isinstance(shown, list) else str(shown)


def iso_of(us: int) -> str:
    """Return microseconds since 1970 UTC as ISO 8601."""
    return (EPOCH + timedelta(microseconds=us)).isoformat().replace("+00:00", "Z")
