# SPDX-License-Identifier: Apache-2.0
"""COSEM data to octets and back: the `Data` type of the abstract syntax (IEC 62056-5-3, 9.5).

Every value starts with one octet that names its type; `encode` and `decode` are inverses and
`decode` accounts for every octet.  Nesting is limited to `DEEPEST` levels and counts to what the
octets can hold, so hostile input costs neither stack nor memory.  The Python types are declared
in `datatypes` and are re-exported here: ``from openami.dlms.data import Data, Unsigned, decode``.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from openami.dlms.axdr import Reader, encode_length, read_length
from openami.dlms.datatypes import (
    DONT_CARE,
    Array,
    Bcd,
    BitString,
    CompactArray,
    DateOctets,
    DateTimeOctets,
    DeltaDoubleLong,
    DeltaDoubleLongUnsigned,
    DeltaInteger,
    DeltaLong,
    DeltaLongUnsigned,
    DeltaUnsigned,
    DontCare,
    DoubleLong,
    DoubleLongUnsigned,
    Enum,
    FixedInteger,
    FixedOctets,
    Float32,
    Float64,
    Integer,
    Long,
    Long64,
    Long64Unsigned,
    LongUnsigned,
    OctetString,
    Structure,
    TimeOctets,
    Unsigned,
    Utf8String,
    VisibleString,
)
from openami.dlms.errors import DecodeError, in_octets
from openami.dlms.typedescription import TypeDescription, read_type_description

__all__ = [
    "DEEPEST",
    "DONT_CARE",
    "Array",
    "Bcd",
    "BitString",
    "CompactArray",
    "Data",
    "DateOctets",
    "DateTimeOctets",
    "DeltaDoubleLong",
    "DeltaDoubleLongUnsigned",
    "DeltaInteger",
    "DeltaLong",
    "DeltaLongUnsigned",
    "DeltaUnsigned",
    "DontCare",
    "DoubleLong",
    "DoubleLongUnsigned",
    "Enum",
    "FixedInteger",
    "FixedOctets",
    "Float32",
    "Float64",
    "Integer",
    "Long",
    "Long64",
    "Long64Unsigned",
    "LongUnsigned",
    "OctetString",
    "Structure",
    "TimeOctets",
    "Unsigned",
    "Utf8String",
    "VisibleString",
    "decode",
    "encode",
    "expand",
    "read",
]

CLAUSE: Final = "IEC 62056-5-3, 9.5, Data"
DEEPEST: Final = 32
"""How deep arrays and structures may nest."""

MOST_ELEMENTS: Final = 1_000_000
"""How many values one compact-array may expand to."""

INTEGER_TYPES: Final[tuple[type[FixedInteger], ...]] = (
    Integer,
    Long,
    DoubleLong,
    Long64,
    Unsigned,
    LongUnsigned,
    DoubleLongUnsigned,
    Long64Unsigned,
    Enum,
    Bcd,
    DeltaInteger,
    DeltaLong,
    DeltaDoubleLong,
    DeltaUnsigned,
    DeltaLongUnsigned,
    DeltaDoubleLongUnsigned,
)

Data: TypeAlias = (
    bool
    | FixedInteger
    | Float32
    | Float64
    | OctetString
    | FixedOctets
    | VisibleString
    | Utf8String
    | BitString
    | Array
    | Structure
    | CompactArray
    | DontCare
    | None
)
"""Any value: `FixedInteger` stands for the integer types, `FixedOctets` for the clock types."""

# A content reader takes the octets, the offset behind the tag and the levels left, and returns
# the value and the offset behind it.  Tuples and closures instead of a cursor object make a
# value cost about 0.4 microseconds.
_ContentReader: TypeAlias = Callable[[bytes, int, int], tuple[Data, int]]


def decode(octets: bytes, offset: int = 0) -> Data:
    """Return the value from `offset` to the end of `octets`; every octet is accounted for."""
    try:
        reader = _READERS[octets[offset]]
    except (IndexError, KeyError):
        raise _no_type(octets, offset) from None
    value, end = reader(octets, offset + 1, DEEPEST)
    if end != len(octets):
        raise DecodeError("octets after the end of the value", octets, end, CLAUSE)
    return value


def read(reader: Reader) -> Data:
    """Take one value off the front of `reader`."""
    value, reader.offset = _read(reader.octets, reader.offset, DEEPEST)
    return value


def encode(value: Data) -> bytes:
    """Return the octets of `value`, type tag first.

    Raises:
        TypeError: The value does not know its DLMS type, as a plain `int` does not.
    """
    encoder = _ENCODERS.get(type(value))
    if encoder is None:
        encoder = _encoder_of_base(value)
    return encoder(value)


def expand(compact: CompactArray) -> Array:
    """Return the array that a compact-array stands for."""
    kind, _ = read_type_description(compact.type_description, 0, _READERS)
    contents = compact.contents
    array = Array()
    offset = 0
    budget = _Budget()
    while offset < len(contents):
        start = offset
        element, offset = _read_described(kind, contents, offset, budget)
        if offset == start:
            problem = "an element without octets would repeat for ever"
            raise DecodeError(problem, compact.type_description, 0, CLAUSE)
        array.append(element)
    return array


def _read(octets: bytes, offset: int, levels: int) -> tuple[Data, int]:
    try:
        reader = _READERS[octets[offset]]
    except (IndexError, KeyError):
        raise _no_type(octets, offset) from None
    return reader(octets, offset + 1, levels)


def _no_type(octets: bytes, offset: int) -> DecodeError:
    if offset >= len(octets):
        return DecodeError("a value needs a type tag", octets, offset, CLAUSE)
    return DecodeError(f"{octets[offset]:02X} is no type of data", octets, offset, CLAUSE)


def _fixed(kind: type[FixedInteger | Float32 | Float64]) -> _ContentReader:
    unpack_from = struct.Struct(kind.FORMAT).unpack_from
    size = struct.calcsize(kind.FORMAT)
    # Around the range check of the type: octets of the right width are in range.
    make: Callable[..., Data] = int.__new__ if issubclass(kind, int) else float.__new__

    def read_fixed(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
        try:
            return make(kind, unpack_from(octets, offset)[0]), offset + size
        except struct.error:
            problem = f"{kind.__name__} needs {in_octets(size)}"
            raise DecodeError(problem, octets, offset, CLAUSE) from None

    return read_fixed


def _counted(octets: bytes, offset: int, what: str) -> tuple[bytes, int]:
    length, start = read_length(octets, offset, what)
    end = start + length
    if end > len(octets):
        raise DecodeError(f"{what} needs {in_octets(length)}", octets, start, CLAUSE)
    return octets[start:end], end


def _read_null(_octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    return None, offset


def _read_dont_care(_octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    return DONT_CARE, offset


def _read_boolean(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    if offset >= len(octets):
        raise DecodeError("boolean needs 1 octet", octets, offset, CLAUSE)
    return octets[offset] != 0, offset + 1


def _read_octet_string(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    content, end = _counted(octets, offset, "octet-string")
    return OctetString(content), end


def _read_visible_string(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    content, end = _counted(octets, offset, "visible-string")
    return str.__new__(VisibleString, content, VisibleString.CODEC), end


def _read_utf8_string(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    content, end = _counted(octets, offset, "utf8-string")
    try:
        return str.__new__(Utf8String, content, Utf8String.CODEC), end
    except UnicodeDecodeError as error:
        place = end - len(content) + error.start
        raise DecodeError("utf8-string is not UTF-8", octets, place, CLAUSE) from None


def _read_bit_string(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    bits, start = read_length(octets, offset, "bit-string")
    end = start + (bits + 7) // 8
    if end > len(octets):
        raise DecodeError(f"bit-string needs {in_octets(end - start)}", octets, start, CLAUSE)
    return BitString(octets[start:end], bits), end


def _fixed_octets(kind: type[FixedOctets]) -> _ContentReader:
    size = kind.SIZE

    def read_octets(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
        end = offset + size
        if end > len(octets):
            problem = f"{kind.__name__} needs {in_octets(size)}"
            raise DecodeError(problem, octets, offset, CLAUSE)
        return kind(octets[offset:end]), end

    return read_octets


def _elements(octets: bytes, offset: int, levels: int, what: str) -> tuple[list[Data], int]:
    count, at = read_length(octets, offset, what)
    if levels == 0:
        problem = f"{what} is nested deeper than {DEEPEST} levels"
        raise DecodeError(problem, octets, offset - 1, CLAUSE)
    if count > len(octets) - at:
        problem = f"{what} of {count} elements does not fit into {len(octets) - at} octets"
        raise DecodeError(problem, octets, offset, CLAUSE)
    elements: list[Data] = []
    append = elements.append
    levels -= 1
    for _ in range(count):
        try:
            reader = _READERS[octets[at]]
        except (IndexError, KeyError):
            raise _no_type(octets, at) from None
        value, at = reader(octets, at + 1, levels)
        append(value)
    return elements, at


def _read_array(octets: bytes, offset: int, levels: int) -> tuple[Data, int]:
    elements, end = _elements(octets, offset, levels, "array")
    return Array(elements), end


def _read_structure(octets: bytes, offset: int, levels: int) -> tuple[Data, int]:
    elements, end = _elements(octets, offset, levels, "structure")
    return Structure(elements), end


def _read_compact_array(octets: bytes, offset: int, _levels: int) -> tuple[Data, int]:
    _, end_of_type = read_type_description(octets, offset, _READERS)
    contents, end = _counted(octets, end_of_type, "contents of compact-array")
    return CompactArray(octets[offset:end_of_type], contents), end


@dataclass(slots=True)
class _Budget:
    """How many values are still allowed: types without octets could expand without end."""

    values: int = MOST_ELEMENTS


def _read_described(
    kind: TypeDescription, contents: bytes, offset: int, budget: _Budget
) -> tuple[Data, int]:
    """Return one value of type `kind`, which carries no tags, and the offset behind it."""
    budget.values -= 1
    if budget.values < 0:
        problem = f"compact-array expands to more than {MOST_ELEMENTS} values"
        raise DecodeError(problem, contents, offset, CLAUSE)
    if not kind.elements and kind.tag != Structure.TAG:
        return _READERS[kind.tag](contents, offset, 0)
    inside = kind.elements * kind.count if kind.tag == Array.TAG else kind.elements
    elements: list[Data] = []
    for element in inside:
        value, offset = _read_described(element, contents, offset, budget)
        elements.append(value)
    return (Array if kind.tag == Array.TAG else Structure)(elements), offset


_READERS: Final[dict[int, _ContentReader]] = {
    0x00: _read_null,
    Array.TAG: _read_array,
    Structure.TAG: _read_structure,
    0x03: _read_boolean,
    BitString.TAG: _read_bit_string,
    OctetString.TAG: _read_octet_string,
    VisibleString.TAG: _read_visible_string,
    Utf8String.TAG: _read_utf8_string,
    CompactArray.TAG: _read_compact_array,
    Float32.TAG: _fixed(Float32),
    Float64.TAG: _fixed(Float64),
    0xFF: _read_dont_care,
}
_READERS.update({kind.TAG: _fixed(kind) for kind in INTEGER_TYPES})
_READERS.update({k.TAG: _fixed_octets(k) for k in (DateTimeOctets, DateOctets, TimeOctets)})


def _encode_null(_value: object) -> bytes:
    return b"\x00"


def _encode_dont_care(_value: object) -> bytes:
    return b"\xff"


def _encode_boolean(value: bool) -> bytes:  # noqa: FBT001  the value itself is the matter
    return b"\x03\x01" if value else b"\x03\x00"


def _fixed_encoder(tag: int, form: str) -> Callable[[Any], bytes]:
    # Any: whole numbers must stay what they are, and compiled code makes a float where one is said.
    pack = struct.Struct(">B" + form[1:]).pack
    return lambda value: pack(tag, value)


def _encode_octet_string(value: OctetString) -> bytes:
    return b"\x09" + encode_length(len(value)) + value


def _encode_fixed_octets(value: FixedOctets) -> bytes:
    return bytes((value.TAG,)) + value


def _encode_text(value: VisibleString | Utf8String) -> bytes:
    content = value.encode(value.CODEC)
    return bytes((value.TAG,)) + encode_length(len(content)) + content


def _encode_bit_string(value: BitString) -> bytes:
    return b"\x04" + encode_length(value.length_bits) + value.octets


def _encode_elements(value: Array | Structure) -> bytes:
    parts = [bytes((value.TAG,)), encode_length(len(value))]
    parts += [encode(element) for element in value]
    return b"".join(parts)


def _encode_compact_array(value: CompactArray) -> bytes:
    length = encode_length(len(value.contents))
    return b"\x13" + value.type_description + length + value.contents


# The key and the argument of its encoder are of one type; a mapping cannot say that, so: Any.
_ENCODERS: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): _encode_null,
    bool: _encode_boolean,
    OctetString: _encode_octet_string,
    DateTimeOctets: _encode_fixed_octets,
    DateOctets: _encode_fixed_octets,
    TimeOctets: _encode_fixed_octets,
    VisibleString: _encode_text,
    Utf8String: _encode_text,
    BitString: _encode_bit_string,
    Array: _encode_elements,
    Structure: _encode_elements,
    CompactArray: _encode_compact_array,
    DontCare: _encode_dont_care,
    Float32: _fixed_encoder(Float32.TAG, Float32.FORMAT),
    Float64: _fixed_encoder(Float64.TAG, Float64.FORMAT),
}
_ENCODERS.update({kind: _fixed_encoder(kind.TAG, kind.FORMAT) for kind in INTEGER_TYPES})

_REMEDIES: Final[tuple[tuple[type, str], ...]] = (
    (int, "Unsigned(5) or DoubleLongUnsigned(5)"),
    (float, "Float32(0.5) or Float64(0.5)"),
    (str, "VisibleString('text') or Utf8String('text')"),
    (bytes, "OctetString(octets)"),
    (list, "Array(elements)"),
    (tuple, "Structure(elements)"),
)


def _encoder_of_base(value: object) -> Callable[[Any], bytes]:
    """Return the encoder of the nearest declared type that `value` is derived from."""
    for base in type(value).__mro__:
        if base in _ENCODERS:
            return _ENCODERS[base]
    name = type(value).__name__
    for python_type, remedy in _REMEDIES:
        if isinstance(value, python_type):
            raise TypeError(f"{name} does not say its DLMS type: write {remedy}")
    raise TypeError(f"{name} is no DLMS data: give one of the types in openami.dlms.data")
