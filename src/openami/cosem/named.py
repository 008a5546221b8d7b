# SPDX-License-Identifier: Apache-2.0
"""COSEM data as JSON with the names that an interface class gives, and back.

::

    {"scaler": -3, "unit": 30}    "2026-03-01T00:00:00Z"    "1.0.1.8.0.255"    "connected"

`to_named` and `from_named` follow the `Kind` that a class declares.  What a class leaves open
(CHOICE) is read back in the type that the value has now; anything may stand in the typed form of
`literals` instead.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

from openami.cosem.kinds import (
    DATE_OCTETS,
    TIME_OCTETS,
    Kind,
    KindError,
    Shape,
    describe,
)
from openami.cosem.literals import (
    CLOCKS,
    NUMBERS,
    Json,
    LiteralError,
    clock_octets,
    from_typed,
    is_typed,
    moment_text,
    obis_octets,
    octets_of,
    of_type,
    plain,
    scalar,
    shortly,
    text_octets,
    type_name,
)
from openami.dlms import patterns
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import (
    DEEPEST,
    INTEGER_TYPES,
    Array,
    BitString,
    Data,
    DateOctets,
    DateTimeOctets,
    Enum,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    TimeOctets,
    Utf8String,
    VisibleString,
)
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

_PLAIN_OCTETS: Final = frozenset({"octet-string"})


def to_named(kind: Kind[Any], value: Data) -> Json:
    """Return a value with the names that its class gives; plain where it does not fit."""
    match kind.shape:
        case Shape.ARRAY if isinstance(value, Array):
            return [to_named(kind.parts[0], each) for each in value]
        case Shape.STRUCTURE if isinstance(value, Structure) and len(value) == len(kind.parts):
            members = [to_named(part, each) for part, each in zip(kind.parts, value, strict=True)]
            names = getattr(kind.made_of, "_fields", None)
            return dict(zip(names, members, strict=True)) if names else members
        case Shape.CHOICE:
            for part in kind.parts:
                if _fits(part, value):
                    return to_named(part, value)
        case _ if kind in {TIME_OCTETS, DATE_OCTETS} and _fits(kind, value):
            return _clock_text(kind.from_data(value)) or plain(value)
    return _named_simple(kind, value)


def _named_simple(kind: Kind[Any], value: Data) -> Json:
    try:
        meant = kind.from_data(value)
    except KindError:
        return plain(value)
    match meant:
        case IntEnum():
            return meant.name.lower().replace("_", "-")
        case CosemDateTime():
            return moment_text(meant)
        case Obis():
            return str(meant)
        case CaptureObject():
            return {
                "class_id": meant.class_id,
                "logical_name": str(meant.instance_id),
                "attribute_index": meant.attribute_id,
                "data_index": meant.data_index,
            }
    return plain(value)


def _clock_text(octets: bytes) -> str:
    """Return a time or a date that can be read back as it is; empty if there is none."""
    try:
        if len(octets) == TimeOctets.SIZE:
            text = patterns.time_text(CosemTime.decode(octets))
            return text if CLOCKS[TimeOctets](text) == octets else ""
        text = patterns.date_text(CosemDate.decode(octets))
    except DecodeError:
        return ""
    return text if CLOCKS[DateOctets](text) == octets else ""


def _fits(kind: Kind[Any], value: Data) -> bool:
    try:
        kind.from_data(value)
    except KindError:
        return False
    return True


def from_named(kind: Kind[Any], found: Json, example: Data = None, levels: int = DEEPEST) -> Data:
    """Return the value that somebody wrote for an attribute or an argument.

    Args:
        kind: What the class declares.
        found: JSON; anything in it may also stand in the typed form.
        example: The value there now, for what the class leaves open.
        levels: How many arrays and structures may still stand inside each other.

    Raises:
        LiteralError: It does not fit the class.
    """
    if is_typed(found):
        value = from_typed(found, levels)
        if not kind.is_choice and not _strictly(kind, value):
            raise LiteralError(f"{describe(value)} is not {kind.name}, which the class declares")
        return value
    match kind.shape:
        case Shape.ARRAY:
            if not isinstance(found, list):
                raise _no(found, kind, "write [ … ]")
            return Array(from_named(kind.parts[0], each, levels=levels - 1) for each in found)
        case Shape.STRUCTURE:
            return _structure(kind, found, levels - 1)
        case Shape.CHOICE:
            return _alternative(kind, found, levels)
        case Shape.SIMPLE:
            return like(example, found, levels) if kind.is_choice else _simple(kind, found, example)


def _alternative(kind: Kind[Any], found: Json, levels: int) -> Data:
    for part in kind.parts:
        try:
            return from_named(part, found, levels=levels)
        except LiteralError:
            continue
    raise _no(found, kind, "write it as {TYPE: VALUE}")


def _simple(kind: Kind[Any], found: Json, example: Data) -> Data:
    for value in _candidates(found, kind):
        if _strictly(kind, value):
            return value
    if example is not None:
        value = like(example, found)
        if _strictly(kind, value):
            return value
    raise _no(found, kind, _hint(kind))


def _hint(kind: Kind[Any]) -> str:
    names = [code.name.lower().replace("_", "-") for codes in kind.codes for code in codes]
    if names:
        return f"use one of {', '.join(names)}"
    if "date-time" in kind.name:
        return "write 2026-03-01T12:30:00+01:00 or *-03-last Sun 02:00:00"
    if kind.name == "logical name":
        return "write six numbers, such as 1.0.1.8.0.255"
    if kind.name == "boolean":
        return "write true or false"
    for of in INTEGER_TYPES:
        if kind.name == of.__name__:
            return f"write a whole number from {of.LOW} to {of.HIGH}"
    return "write one that fits, or {TYPE: VALUE}"


def _no(found: Json, kind: Kind[Any], remedy: str) -> LiteralError:
    return LiteralError(f"{shortly(found)} is no {kind.name}: {remedy}")


def _strictly(kind: Kind[Any], value: Data) -> bool:
    try:
        kind.strict(value)
    except (KindError, ValueError, TypeError, DecodeError):
        return False
    return True


def _structure(kind: Kind[Any], found: Json, levels: int) -> Data:
    names: tuple[str, ...] = getattr(kind.made_of, "_fields", ())
    if isinstance(found, dict):
        if set(found) != set(names):
            raise LiteralError(f"{shortly(found)} needs exactly the members {', '.join(names)}")
        found = [found[name] for name in names]
    if not isinstance(found, list) or len(found) != len(kind.parts):
        wanted = f"{len(kind.parts)} values" + (f": {', '.join(names)}" if names else "")
        raise _no(found, kind, f"write a list of {wanted}")
    pairs = zip(kind.parts, found, strict=True)
    return Structure(from_named(part, each, levels=levels) for part, each in pairs)


def _candidates(found: Json, kind: Kind[Any]) -> Iterator[Data]:
    """Yield what `found` may mean, the likeliest first."""
    match found:
        case None | bool():
            yield found
        case int() | float():
            for of in NUMBERS:
                try:
                    yield scalar(of, found)
                except LiteralError:
                    continue
            yield from _texts(str(found))
        case str():
            yield from _codes(found, kind)
            yield from _octets(found, clocks=kind.name not in _PLAIN_OCTETS)
            if not set(found) - {"0", "1"}:
                yield BitString.from_bits(found)
            yield from _texts(found)
        case {
            "class_id": int() as class_id,
            "logical_name": str() as name,
            "attribute_index": int() as index,
            **rest,
        }:
            obis = OctetString(obis_octets(name) or b"")
            part = rest.get("data_index", 0)
            if isinstance(part, int):
                yield Structure((LongUnsigned(class_id), obis, Integer(index), LongUnsigned(part)))


def _codes(text: str, kind: Kind[Any]) -> Iterator[Data]:
    wanted = text.lower().replace("-", "_").replace(" ", "_")
    for codes in kind.codes:
        for code in codes:
            if code.name.lower() == wanted:
                yield Enum(int(code))


def _octets(text: str, *, clocks: bool) -> Iterator[Data]:
    if text[:2].lower() == "0x":
        octets = octets_of(text[2:])
        yield OctetString(octets)
        for fixed in (DateTimeOctets, DateOctets, TimeOctets):
            if len(octets) == fixed.SIZE:
                yield fixed(octets)
        return
    if not clocks:
        return
    if (name := obis_octets(text)) is not None:
        yield OctetString(name)
    for of, read in CLOCKS.items():
        if (octets_ := read(text)) is not None:
            yield OctetString(octets_)
            made: Any = of
            yield made(octets_)


def _texts(text: str) -> Iterator[Data]:
    yield OctetString(text_octets(text))
    if all(ord(letter) < 0x100 for letter in text):
        yield VisibleString(text)
    yield Utf8String(text)


def like(example: Data, found: Json, levels: int = DEEPEST) -> Data:
    """Return `found` in the type that `example` has, at most `levels` deep.

    Raises:
        LiteralError: It does not fit that type, or the type is not known.
    """
    if is_typed(found):
        return from_typed(found, levels)
    match example:
        case None:
            raise LiteralError(f"the type of {shortly(found)} is not known here: give --type")
        case bool():
            return of_type("boolean", found)
        case Array() | Structure():
            return _like_elements(example, found, levels - 1)
        case OctetString():
            return _like_octets(example, str(found))
        case _:
            return scalar(type(example), found)


def _like_elements(example: Array | Structure, found: Json, levels: int) -> Data:
    if not isinstance(found, list):
        raise LiteralError(f"{shortly(found)} is no {type_name(type(example))}: write [ … ]")
    if isinstance(example, Array):
        return Array(like(example[0] if example else None, each, levels) for each in found)
    if len(found) != len(example):
        raise LiteralError(f"{shortly(found)} has {len(found)} members, not {len(example)}")
    return Structure(like(e, each, levels) for e, each in zip(example, found, strict=True))


def _like_octets(example: OctetString, text: str) -> Data:
    """Return octets: a clock where a clock is, a logical name where one is, else text."""
    if text[:2].lower() == "0x":
        return OctetString(octets_of(text[2:]))
    if len(example) == 12 and (clock := clock_octets(text)) is not None:
        return OctetString(clock)
    if len(example) == 6 and (name := obis_octets(text)) is not None:
        return OctetString(name)
    return OctetString(text_octets(text))
