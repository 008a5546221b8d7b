# SPDX-License-Identifier: Apache-2.0
"""What `openami decode` found, for programs: one object, and times as ISO 8601."""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Final, TypeAlias

from openami.cosem.obis_names import describe as describe_obis
from openami.dlms.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    DateTimeOctets,
    DontCare,
    OctetString,
    Structure,
    Utf8String,
    VisibleString,
    expand,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.recordings.readings import Reading
from openami.dlms.recordings.seals import Seal
from openami.dlms.recordings.translate import Node, Translation, type_name
from openami.dlms.units import symbol

Json: TypeAlias = str | int | float | bool | list["Json"] | dict[str, "Json"] | None

_DATE_TIME_OCTETS: Final = 12


def to_json(translation: Translation, *, inverted: bool = False) -> dict[str, Json]:
    """Return everything that was found.

    Args:
        translation: What was found.
        inverted: Whether the meter inverts the sign of deviations.
    """
    values: list[Json] = [_reading(each, inverted=inverted) for each in translation.readings]
    seals: list[Json] = [_seal(each) for each in translation.seals]
    shown: dict[str, Json] = {
        "framing": translation.framings[0],
        "framings": list(translation.framings),
        "security": seals[0] if seals else None,
        "securities": seals,
        "time": time_text(translation.moment, inverted=inverted) or None,
        "values": values,
        "readings": values,
        "findings": list(translation.findings),
        "notes": list(translation.notes),
        "complete": translation.complete,
        "tree": [_node(each) for each in translation.tree],
    }
    if translation.text:
        shown["text"] = translation.text
    return shown


def _node(node: Node) -> dict[str, Json]:
    shown: dict[str, Json] = {"label": node.label}
    if node.value:
        shown["value"] = node.value
    if node.children:
        shown["children"] = [_node(child) for child in node.children]
    return shown


def _seal(seal: Seal) -> dict[str, Json]:
    control = seal.control
    return {
        "envelope": seal.envelope,
        "security_control": int(control),
        "suite": int(control.suite),
        "authenticated": control.authenticated,
        "encrypted": control.encrypted,
        "system_title": seal.system_title.hex().upper() or None,
        "invocation_counter": seal.invocation_counter,
        "key": seal.key,
        "opened": seal.opened,
        "tag_checked": seal.tag_checked,
    }


def _reading(reading: Reading, *, inverted: bool) -> dict[str, Json]:
    value = reading.value
    quantity = reading.quantity
    shown: dict[str, Json] = {
        "obis": str(reading.obis),
        "name": describe_obis(reading.obis),
        "class": reading.class_id,
        "attribute": reading.attribute_id,
        "type": type_name(value) if value is not None else "null-data",
        "value": plain(value),
        "scaler": reading.scaler,
        "unit": unit_text(reading),
        "quantity": None if quantity is None else f"{quantity:f}",
        "time": time_text(reading.date_time, inverted=inverted) or None,
    }
    if isinstance(value, DateTimeOctets | OctetString) and len(value) == _DATE_TIME_OCTETS:
        shown["date_time"] = time_text(value, inverted=inverted) or None
    return shown


def plain(value: Data) -> Json:  # noqa: C901, PLR0911  one row for each kind of value
    """Return a value as JSON has it: numbers raw, texts as text, other octets in hexadecimal."""
    match value:
        case OctetString():
            return readable(value) if readable(value) is not None else value.hex()
        case VisibleString() | Utf8String():
            return str(value).rstrip("\x00")
        case bytes():
            return value.hex()
        case float():
            return float(value) if math.isfinite(value) else str(value)
        case bool() | None:
            return value
        case int():
            return int(value)
        case Array() | Structure():
            return [plain(each) for each in value]
        case CompactArray():
            try:
                return [plain(each) for each in expand(value)]
            except DecodeError:
                return value.contents.hex()
        case BitString():
            return value.bits
        case DontCare():
            return value.value


def readable(octets: bytes) -> str | None:
    """Return octets as the text that they are, nulls at its end taken off; None if they are not."""
    text = octets.rstrip(b"\x00")
    if not text and octets:
        return None
    return text.decode("ascii") if text.isascii() and text.decode("ascii").isprintable() else None


def unit_text(reading: Reading) -> str | None:
    """Return the symbol of a reading's unit."""
    return None if reading.unit is None else symbol(reading.unit)


def time_text(octets: bytes, *, inverted: bool = False) -> str:
    """Return a clock value as ISO 8601, local with the deviation that it tells; empty for none.

    What the clock leaves open is left out; a clock that tells no day, or no day that exists, is
    shown in hexadecimal.
    """
    if not octets:
        return ""
    clock = _clock(bytes(octets[:4]) + b"\xff" + bytes(octets[5:]))
    if clock is None:
        return octets.hex()
    year, month, day = clock.year, clock.month, clock.day
    if year is None or month is None or day is None:
        return octets.hex()
    try:
        date = datetime(year, month, day)  # noqa: DTZ001  the meter's own day
    except ValueError:
        return octets.hex()
    if clock.hour is None or clock.minute is None:
        return date.date().isoformat()
    local = date.replace(
        hour=clock.hour,
        minute=clock.minute,
        second=clock.second or 0,
        microsecond=(clock.hundredths or 0) * 10_000,
    )
    if clock.deviation_minutes is not None:
        east = clock.deviation_minutes if inverted else -clock.deviation_minutes
        local = local.replace(tzinfo=timezone(timedelta(minutes=east)))
    return local.isoformat()


def _clock(octets: bytes) -> CosemDateTime | None:
    """Return a clock value; without its deviation where that is none; None if it is no clock."""
    for attempt in (octets, octets[:9] + b"\x80\x00\xff"):
        try:
            return CosemDateTime.decode(attempt)
        except DecodeError:
            continue
    return None


def lines(translation: Translation, *, inverted: bool = False) -> Iterator[str]:
    """Yield the lines of a table of readings."""
    rows = [("OBIS", "value", "unit", "time", "name")]
    rows += [
        (
            str(each.obis),
            value_text(each, inverted=inverted),
            unit_text(each) or "",
            time_text(each.date_time, inverted=inverted),
            describe_obis(each.obis),
        )
        for each in translation.readings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def value_text(reading: Reading, *, inverted: bool) -> str:
    """Return a reading's value for people: scaled, a clock as ISO 8601."""
    if (quantity := reading.quantity) is not None:
        return f"{quantity:f}"
    value = reading.value
    if isinstance(value, bytes) and len(value) == _DATE_TIME_OCTETS:
        return time_text(value, inverted=inverted)
    return "" if value is None else str(plain(value))
