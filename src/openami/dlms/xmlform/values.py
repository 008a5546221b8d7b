# SPDX-License-Identifier: Apache-2.0
"""Data as elements: one element for each type of IEC 62056-5-3, 9.5, by the type's name."""

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from openami.dlms import data
from openami.dlms.data import (
    DONT_CARE,
    INTEGER_TYPES,
    Array,
    BitString,
    CompactArray,
    Data,
    DateOctets,
    DateTimeOctets,
    DontCare,
    FixedInteger,
    FixedOctets,
    Float32,
    Float64,
    OctetString,
    Structure,
    TimeOctets,
    Utf8String,
    VisibleString,
)
from openami.dlms.errors import DecodeError
from openami.dlms.recordings.tree import type_name
from openami.dlms.xmlform.element import Element

NULL: Final = "null-data"
BOOLEAN: Final = "boolean"
DONT: Final = "dont-care"
TYPE_DESCRIPTION: Final = "type-description"
HEX: Final = "hex"
"""Attribute of a value whose text XML cannot hold, or whose number is none: octets instead."""

FIXED_OCTETS: Final = MappingProxyType(
    {"date-time": DateTimeOctets, "date": DateOctets, "time": TimeOctets}
)


def hyphened(name: str) -> str:
    """Return the name of a class as the standard writes it: ``double-long-unsigned``."""
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


INTEGERS: Final = MappingProxyType({hyphened(kind.__name__): kind for kind in INTEGER_TYPES})
FLOATS: Final[Mapping[str, type[Float32 | Float64]]] = MappingProxyType(
    {"float32": Float32, "float64": Float64}
)
STRINGS: Final[Mapping[str, type[VisibleString | Utf8String]]] = MappingProxyType(
    {"visible-string": VisibleString, "utf8-string": Utf8String}
)
CONTAINERS: Final[Mapping[str, type[Array | Structure]]] = MappingProxyType(
    {"array": Array, "structure": Structure}
)
DATA: Final = (
    NULL,
    BOOLEAN,
    *INTEGERS,
    *FLOATS,
    "octet-string",
    *FIXED_OCTETS,
    *STRINGS,
    "bit-string",
    *CONTAINERS,
    "compact-array",
    DONT,
)
"""Every element that is a value."""


def octets_of(element: Element) -> bytes:
    """Return the octets that an element's text writes in hexadecimal."""
    return from_hex(element, element.text)


def from_hex(element: Element, text: str) -> bytes:
    """Return the octets that a text of an element writes in hexadecimal."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise element.refusal(f"is {text[:40]!r}, which is not hexadecimal") from None


def number_of(element: Element) -> int:
    """Return the number that an element's text writes, decimal or with 0x."""
    try:
        return int(element.text.strip(), 0)
    except ValueError:
        raise element.refusal(f"is {element.text.strip()[:40]!r}, which is no number") from None


def to_element(value: Data) -> Element:  # noqa: PLR0911  one row for each kind of value
    """Return a value as an element."""
    match value:
        case None:
            return Element(NULL)
        case DontCare():
            return Element(DONT)
        case bool():
            return Element(BOOLEAN, text="true" if value else "false")
        case Array() | Structure():
            name = type(value).__name__.lower()
            return Element(name, children=[to_element(each) for each in value])
        case CompactArray():
            kind = {TYPE_DESCRIPTION: value.type_description.hex()}
            return Element("compact-array", kind, value.contents.hex())
        case BitString():
            return _bits(value)
    return _scalar(value)


def _bits(value: BitString) -> Element:
    element = Element("bit-string", text=value.bits)
    if BitString.from_bits(value.bits) != value:  # bits behind the last one are set
        element.attributes[HEX] = value.octets.hex()
    return element


def _scalar(value: Data) -> Element:
    match value:
        case FixedInteger():
            return Element(type_name(value), text=str(int(value)))
        case Float32() | Float64():
            name = type(value).__name__.lower()
            octets = data.encode(value)[1:]
            made = struct.pack(value.FORMAT, float(repr(float(value))))
            attributes = {} if made == octets else {HEX: octets.hex()}
            return Element(name, attributes, repr(float(value)))
        case VisibleString() | Utf8String():
            return _text(type_name(value), str(value), value.CODEC)
        case FixedOctets():
            name = next(n for n, kind in FIXED_OCTETS.items() if kind is type(value))
            return Element(name, text=value.hex())
        case OctetString():
            return Element("octet-string", text=value.hex())
    raise TypeError(f"{type(value).__name__} is no DLMS data")


def _text(name: str, text: str, codec: str) -> Element:
    """Return a text; in hexadecimal where XML would not give it back."""
    plain = text == text.strip() and all(letter >= " " and letter.isprintable() for letter in text)
    if plain:
        return Element(name, text=text)
    return Element(name, {HEX: text.encode(codec).hex()})


def from_element(element: Element) -> Data:
    """Return the value that an element is.

    Raises:
        XmlError: It is none; the sentence tells the line.
    """
    reader = _READERS.get(element.name)
    if reader is None:
        raise element.refusal("is no type of data")
    try:
        return reader(element)
    except DecodeError as error:
        raise element.refusal(f"is no such value: {error.problem}") from None
    except ValueError as error:
        if element.line and str(error).startswith("line "):
            raise
        raise element.refusal(f"is no such value: {error}") from None


def _boolean(element: Element) -> Data:
    text = element.text.strip()
    if text not in {"true", "false"}:
        raise element.refusal(f"is {text[:40]!r}, neither true nor false")
    return text == "true"


def _float(element: Element) -> Data:
    kind = FLOATS[element.name]
    if HEX in element.attributes:
        octets = bytes((kind.TAG,)) + from_hex(element, element.attributes[HEX])
        return data.decode(octets)
    return kind(float(element.text))


def _string(element: Element) -> Data:
    kind = STRINGS[element.name]
    if HEX in element.attributes:
        octets = from_hex(element, element.attributes[HEX])
        return kind(octets.decode(kind.CODEC))
    return kind(element.text)


def _bit_string(element: Element) -> Data:
    bits = element.text.strip()
    if set(bits) - {"0", "1"}:
        raise element.refusal(f"is {bits[:40]!r}, which is not all bits")
    if HEX in element.attributes:
        return BitString(from_hex(element, element.attributes[HEX]), len(bits))
    return BitString.from_bits(bits)


def _compact(element: Element) -> Data:
    if TYPE_DESCRIPTION not in element.attributes:
        raise element.refusal(f"has no {TYPE_DESCRIPTION}")
    kind = from_hex(element, element.attributes[TYPE_DESCRIPTION])
    return CompactArray(kind, octets_of(element))


def _container(element: Element) -> Data:
    inside = [from_element(child) for child in element.children]
    return CONTAINERS[element.name](inside)


def _null(_element: Element) -> Data:
    return None


def _dont(_element: Element) -> Data:
    return DONT_CARE


_READERS: Final[MappingProxyType[str, Callable[[Element], Data]]] = MappingProxyType(
    {
        NULL: _null,
        DONT: _dont,
        BOOLEAN: _boolean,
        "octet-string": lambda element: OctetString(octets_of(element)),
        "bit-string": _bit_string,
        "compact-array": _compact,
    }
    | {name: lambda element, kind=kind: kind(number_of(element)) for name, kind in INTEGERS.items()}
    | dict.fromkeys(FLOATS, _float)
    | dict.fromkeys(STRINGS, _string)
    | dict.fromkeys(CONTAINERS, _container)
    | {
        name: lambda element, kind=kind: kind(octets_of(element))
        for name, kind in FIXED_OCTETS.items()
    }
)
