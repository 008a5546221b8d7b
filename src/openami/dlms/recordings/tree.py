# SPDX-License-Identifier: Apache-2.0
"""Messages and values as lines of a tree that a person reads."""

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, IntFlag
from typing import Final

from openami.dlms.apdu.codes import Code
from openami.dlms.apdu.invocation import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.data import (
    Array,
    BitString,
    CompactArray,
    Data,
    FixedInteger,
    FixedOctets,
    Float32,
    Float64,
    OctetString,
    Structure,
    Utf8String,
    VisibleString,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.dlms.patterns import date_time_text

_DATE_TIME_OCTETS: Final = 12
_LOGICAL_NAME_OCTETS: Final = 6
_TYPED: Final = (
    FixedInteger,
    Float32,
    Float64,
    VisibleString,
    Utf8String,
    OctetString,
    FixedOctets,
    BitString,
    CompactArray,
)
_ORDINARY_DATE_TIME: Final = ("tagged_date_time", False)


@dataclass(frozen=True, slots=True)
class Node:
    """One line of the tree and what stands below it."""

    label: str
    value: str = ""
    children: tuple["Node", ...] = ()


def rows(message: object, *without: str) -> tuple[Node, ...]:
    """Return the fields of a message that are there, in wire order; secrets by their size only."""
    assert is_dataclass(message)  # noqa: S101  all APDUs are
    lines = []
    for row in fields(message):
        value = getattr(message, row.name)
        if value is None or row.name in without or (row.name, value) == _ORDINARY_DATE_TIME:
            continue
        if not row.repr and isinstance(value, bytes):
            value = f"{len(value)} octets, not shown"
        lines.append(node(row.name, value))
    return tuple(lines)


def node(label: str, value: object) -> Node:
    """Return a value and what it holds."""
    if isinstance(value, Array | Structure):
        inside = tuple(node(str(number), element) for number, element in enumerate(value, 1))
        return Node(label, f"{type(value).__name__.lower()} of {len(value)}", inside)
    if isinstance(value, tuple) and not isinstance(value, Obis):
        inside = tuple(node(str(number), element) for number, element in enumerate(value, 1))
        return Node(label, str(len(value)), inside)
    if is_dataclass(value) and not isinstance(value, BitString | CompactArray):
        return Node(label, "", rows(value))
    return Node(label, _text(value))


def _text(value: object) -> str:
    if value is None:
        return "null-data"
    if isinstance(value, _TYPED):
        return f"{type_name(value)} {_contents(value)}"
    if isinstance(value, bytes):
        return octets_text(value)
    if isinstance(value, int):
        return _number_text(value)
    return str(value)


def _number_text(value: int) -> str:
    if isinstance(value, IntFlag):
        names = ", ".join(flag.name or "" for flag in value)
        return names.lower().replace("_", "-") or "none"
    if isinstance(value, Code):
        return f"{value} ({int(value)})"
    if isinstance(value, InvokeIdAndPriority):
        return f"{value:02X} (id {value.invoke_id}{_service_class(value)})"
    if isinstance(value, LongInvokeIdAndPriority):
        return f"{value:08X} (id {value.long_invoke_id}{_service_class(value)})"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _service_class(value: InvokeIdAndPriority | LongInvokeIdAndPriority) -> str:
    confirmed = ", confirmed" if value.confirmed else ", unconfirmed"
    return confirmed + (", high priority" if value.high_priority else "")


def _contents(value: Data) -> str:
    if isinstance(value, bytes):
        return octets_text(value)
    if isinstance(value, BitString):
        return value.bits
    if isinstance(value, CompactArray):
        return f"{value.type_description.hex(' ')} | {value.contents.hex(' ')}"
    return str(value)


def type_name(value: Data) -> str:
    """Return the standard's name of a value's type, ``double-long-unsigned``."""
    name = type(value).__name__.removesuffix("Octets")
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


def octets_text(octets: bytes) -> str:
    """Return octets in hexadecimal, and what they read as: a clock, a logical name, a text."""
    plain = bytes(octets)
    if isinstance(octets, Enum):
        return f"{plain.hex(' ')} ({octets.name.lower().replace('_', '-')})"
    if len(plain) == _DATE_TIME_OCTETS:
        try:
            return f"{plain.hex(' ')} ({date_time_text(CosemDateTime.decode(plain))})"
        except DecodeError:
            pass
    if plain and plain.isascii() and plain.decode("ascii").isprintable():
        return f"{plain.hex(' ')} ({plain.decode('ascii')!r})"
    if len(plain) == _LOGICAL_NAME_OCTETS and plain[5] == 0xFF:
        return f"{plain.hex(' ')} ({Obis.decode(plain)})"
    return plain.hex(" ")
