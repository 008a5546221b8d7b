# SPDX-License-Identifier: Apache-2.0
"""COSEM data as JSON: typed without loss, or plain for people.

Forms, after the `Data` type of IEC 62056-5-3, 9.5::

    typed   {"double-long-unsigned": 5}, {"structure": [{"long": -1}, null]}    every type, exact
    plain   [-3, 30], "text", "0A1B"                                            for people

`named` has the third form, with the names that an interface class gives.  What nests deeper than
`data.DEEPEST` levels is refused: no peer would read it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Final

from openami.dlms import data as axdr_data
from openami.dlms import patterns
from openami.dlms.data import (
    DONT_CARE,
    Array,
    BitString,
    CompactArray,
    Data,
    DateOctets,
    DateTimeOctets,
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
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.obis import Obis

Json = Any  # what json.loads gives and json.dumps takes

NUMBERS: Final = (*axdr_data.INTEGER_TYPES, Float32, Float64)
_OCTET_TYPES: Final[tuple[type[OctetString | FixedOctets], ...]] = (
    OctetString,
    DateTimeOctets,
    DateOctets,
    TimeOctets,
)
_TEXTS: Final[tuple[type[VisibleString | Utf8String], ...]] = (VisibleString, Utf8String)


class LiteralError(ValueError):
    """Text or JSON that is no value of the wanted type: a sentence that ends in a remedy."""


def type_name(of: type) -> str:
    """Return the standard's name of a type of data, ``double-long-unsigned``."""
    name = of.__name__.removesuffix("Octets")
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name)[1:]


_BY_NAME: Final[Mapping[str, type]] = {
    type_name(of): of
    for of in (
        *NUMBERS,
        *_OCTET_TYPES,
        *_TEXTS,
        BitString,
        Array,
        Structure,
        CompactArray,
    )
}
TYPE_NAMES: Final = (*_BY_NAME, "boolean", "null-data", "dont-care")
"""Every type of data, by the standard's name."""


def to_typed(value: Data) -> Json:  # noqa: PLR0911  one case a type
    """Return a value as JSON that tells the type of everything in it."""
    name = type_name(type(value))
    match value:
        case None | bool():
            return value
        case axdr_data.DontCare():
            return {"dont-care": None}
        case Array() | Structure():
            return {name: [to_typed(element) for element in value]}
        case CompactArray():
            return {name: [value.type_description.hex(), value.contents.hex()]}
        case BitString():
            return {name: value.bits}
        case FixedInteger():
            return {name: int(value)}
        case Float32() | Float64():
            return {name: float(value)}
        case bytes():
            return {name: bytes(value).hex()}
        case _:
            return {name: str(value)}


def is_typed(found: Json) -> bool:
    """Tell whether JSON is in the typed form."""
    return isinstance(found, dict) and len(found) == 1 and next(iter(found)) in TYPE_NAMES


def from_typed(found: Json, levels: int = axdr_data.DEEPEST) -> Data:
    """Return the value that JSON in the typed form stands for.

    Args:
        found: JSON.
        levels: How many arrays and structures may still stand inside each other.

    Raises:
        LiteralError: It is no such form, or the value does not fit its type.
    """
    if found is None or isinstance(found, bool):
        return found
    if not is_typed(found):
        raise LiteralError(f"{shortly(found)} does not tell its type: write {{TYPE: VALUE}}")
    ((name, value),) = found.items()
    return of_type(name, value, levels)


def of_type(name: str, value: Json, levels: int = axdr_data.DEEPEST) -> Data:
    """Return a value of the type that the standard calls `name`, at most `levels` deep.

    Raises:
        LiteralError: There is no such type, or the value does not fit it.
    """
    match name:
        case "null-data":
            return None
        case "dont-care":
            return DONT_CARE
        case "boolean":
            if not isinstance(value, bool):
                raise LiteralError(f"{shortly(value)} is no boolean: write true or false")
            return value
        case "array" | "structure":
            elements = _elements(value, levels)
            return Array(elements) if name == "array" else Structure(elements)
        case "compact-array":
            match value:
                case [str() as described, str() as contents]:
                    return CompactArray(octets_of(described), octets_of(contents))
            raise LiteralError("a compact-array is [type description, contents], each in hex")
    of = _BY_NAME.get(name)
    if of is None:
        raise LiteralError(f"{name!r} is no type of data: use one of {', '.join(TYPE_NAMES)}")
    return scalar(of, value)


def _elements(value: Json, levels: int) -> list[Data]:
    if not isinstance(value, list):
        raise LiteralError(f"{shortly(value)} is no list: write [ … ] of typed values")
    if levels == 0:
        raise too_deep()
    return [from_typed(each, levels - 1) for each in value]


def too_deep() -> LiteralError:
    """Return the refusal of what nests too deep."""
    return LiteralError(f"the value is nested deeper than {axdr_data.DEEPEST} levels: flatten it")


def scalar(of: type, value: Json) -> Data:
    """Return a value of a type that holds no others; raises `LiteralError` if it does not fit."""
    made: Any = of
    try:
        if of in NUMBERS:
            whole = issubclass(of, FixedInteger)
            if isinstance(value, str):
                value = int(value, 0) if whole else float(value)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                kind = "whole number" if whole else "number"
                return _refuse(f"{shortly(value)} is no {type_name(of)}: write a {kind}")
            number: Data = made(value)
            return number
        if of in _OCTET_TYPES:
            octets: Data = made(_clock_octets(of, str(value)) or octets_of(str(value)))
            return octets
        if of is BitString:
            return BitString.from_bits(_bits(str(value)))
        text_octets(str(value))
        text: Data = made(str(value))
    except LiteralError:
        raise
    except (ValueError, TypeError) as error:
        sentence = f"{shortly(value)} is no {type_name(of)} ({error})"
        raise LiteralError(f"{sentence}: write one that fits") from None
    return text


def _refuse(sentence: str) -> Data:
    raise LiteralError(sentence)


def text_octets(text: str) -> bytes:
    """Return a text in UTF-8.

    Raises:
        LiteralError: It has half a pair of surrogates, as octets that are no UTF-8 become on the
            command line.
    """
    try:
        return text.encode()
    except UnicodeEncodeError:
        sentence = f"{shortly(text)} is no text in UTF-8: write its octets in hex after 0x"
        raise LiteralError(sentence) from None


def _clock_octets(of: type, text: str) -> bytes | None:
    reader = CLOCKS.get(of)
    return None if reader is None else reader(text)


def octets_of(text: str) -> bytes:
    """Return octets written in hex; raises `LiteralError` if they are not."""
    try:
        return bytes.fromhex(text.removeprefix("0x"))
    except ValueError:
        raise LiteralError(f"{text!r} is not hexadecimal: write two digits an octet") from None


def _bits(text: str) -> str:
    if set(text) - {"0", "1"}:
        raise LiteralError(f"{text!r} is no bit-string: write its bits as 0 and 1")
    return text


def shortly(value: Json) -> str:
    """Return JSON for a sentence."""
    try:
        text = repr(value)
    except RecursionError:
        return "a value that nests without end"
    return text if len(text) <= 40 else f"{text[:37]}..."


def obis_octets(text: str) -> bytes | None:
    """Return the octets of a logical name; None if the text is none."""
    try:
        return Obis.parse(text).encode()
    except ValueError:
        return None


def clock_octets(text: str) -> bytes | None:
    """Return the date-time of an ISO 8601 text, or of one with open fields (`patterns`).

    Without an offset its deviation is open.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        rule = patterns.parse_date_time(text)
        return None if rule is None else rule.encode()
    offset = moment.utcoffset()
    if offset is None:
        clock = CosemDateTime.from_utc(moment.replace(tzinfo=UTC)).encode()
        return clock[:9] + b"\x80\x00\xff"
    deviation = -int(offset.total_seconds() // 60)
    try:
        return CosemDateTime.from_utc(moment, deviation_minutes=deviation).encode()
    except OverflowError:  # in UTC it lies in no year from 1 to 9999
        return None


def _date_octets(text: str) -> bytes | None:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        rule = patterns.parse_date(text)
        return None if rule is None else rule.encode()
    return CosemDate(
        year=day.year, month=day.month, day=day.day, day_of_week=day.isoweekday()
    ).encode()


def _time_octets(text: str) -> bytes | None:
    for form in ("%H:%M:%S", "%H:%M"):
        try:
            time = datetime.strptime(text, form).replace(tzinfo=UTC)
        except ValueError:
            continue
        return CosemTime(hour=time.hour, minute=time.minute, second=time.second).encode()
    rule = patterns.parse_time(text)
    return None if rule is None else rule.encode()


CLOCKS: Final[Mapping[type, Callable[[str], bytes | None]]] = {
    DateTimeOctets: clock_octets,
    DateOctets: _date_octets,
    TimeOctets: _time_octets,
}


# Plain: without the class.


def plain(value: Data, *, dated: bool = False) -> Json:  # noqa: PLR0911  one case a type
    """Return a value as JSON takes it: octets as text where they are, otherwise as hex.

    Args:
        value: The value.
        dated: Whether an octet-string of 12 is a date-time.
    """
    match value:
        case None | bool() | str():
            return str(value) if isinstance(value, str) else value
        case int():
            return int(value)
        case float():
            return float(value)
        case DateTimeOctets():
            return _moment(bytes(value))
        case OctetString() if dated and len(value) == 12:
            return _moment(bytes(value))
        case bytes():
            return text_or_hex(bytes(value))
        case BitString():
            return value.bits
        case Array() | Structure():
            return [plain(element) for element in value]
        case CompactArray():
            return plain(axdr_data.expand(value))
        case _:
            return str(value)


def text_or_hex(octets: bytes) -> str:
    """Return octets as the text that they are, or in hex."""
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        return octets.hex().upper()
    return text if text.isprintable() else octets.hex().upper()


def _moment(octets: bytes) -> str:
    return moment_text(CosemDateTime.decode(octets))


def moment_text(clock: CosemDateTime) -> str:
    """Return a date-time as ISO 8601 with its offset; one with open fields as `patterns` does."""
    try:
        moment = clock.to_utc()
    except ValueError:
        return patterns.date_time_text(clock)
    east = timezone(timedelta(minutes=-(clock.deviation_minutes or 0)))
    exact = "milliseconds" if moment.microsecond else "seconds"
    return moment.astimezone(east).isoformat(timespec=exact).replace("+00:00", "Z")


def rows_of(value: Data) -> Sequence[Data]:
    """Return the elements of an array, also of a compact one; none of anything else."""
    if isinstance(value, CompactArray):
        value = axdr_data.expand(value)
    return value if isinstance(value, Array) else ()
