# SPDX-License-Identifier: Apache-2.0
"""How a Python value stands in COSEM data, declared once for each attribute and method.

A `Kind` is a pair of inverse functions and a name.  Interface classes use kinds in their rows, so
client, server and documentation agree on what an attribute holds.  Reading is lenient where
meters differ (any integer type whose value fits, clock values as octet-string or date-time);
writing always gives the type of the standard.  A server that must be strict compares what it was
sent with what the kind itself would have sent (`Kind.strict`).

Kinds of different types stand side by side in a structure, which Python's types cannot say:
`Kind[Any]` is used here, as in `model`, and nowhere else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum as PythonEnum
from enum import IntEnum
from typing import Any, Final, Generic, TypeVar

from openami.dlms import data as axdr_data
from openami.dlms.data import (
    Array,
    BitString,
    Data,
    DateTimeOctets,
    DoubleLong,
    DoubleLongUnsigned,
    Enum,
    FixedInteger,
    Integer,
    Long,
    Long64Unsigned,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis

T = TypeVar("T")
E = TypeVar("E", bound=IntEnum)


@dataclass(eq=False)
class KindError(DlmsError):
    """A value has another type or range than its attribute or method declares."""

    wanted: str
    found: str

    def __str__(self) -> str:
        return f"the value is {self.found}, where the class declares {self.wanted}"


class Shape(PythonEnum):
    """How a kind is made of others."""

    SIMPLE = "simple"
    ARRAY = "array"
    STRUCTURE = "structure"
    CHOICE = "choice"


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A Python type and its place in COSEM data.

    Attributes:
        name: The type in the words of the standard.
        to_data: Value to data, in exactly the standard's type.
        from_data: Data to value; raises `KindError`.
        is_choice: Whether the value brings its own type, which a client may not change.
        shape: What `parts` are: elements, members or alternatives.
        parts: The kind of an array's elements, of each member, of each alternative.
        made_of: The NamedTuple that names the members of a structure.
        codes: The codes of an enum, the bits of a bit-string or number.
        size: How many octets or bits, where that is fixed.
    """

    name: str
    to_data: Callable[[T], Data]
    from_data: Callable[[Data], T]
    is_choice: bool = False
    shape: Shape = Shape.SIMPLE
    parts: tuple["Kind[Any]", ...] = ()
    made_of: Callable[..., T] | None = None
    codes: tuple[type[IntEnum], ...] = ()
    size: int | None = None

    def strict(self, data: Data) -> T:
        """Return the value, and refuse data of any other type than this kind would send."""
        value = self.from_data(data)
        if axdr_data.encode(self.to_data(value)) != axdr_data.encode(data):
            raise KindError(self.name, describe(data))
        return value


def describe(data: Data) -> str:
    """Return the type of `data` and, if short, its value, for a sentence."""
    text = f"{type(data).__name__} {data}" if data is not None else "null-data"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _any_from(data: Data) -> Data:
    return data


def integer(of_type: type[FixedInteger]) -> Kind[int]:
    """Return the kind of an integer of one width."""
    name = of_type.__name__

    def from_data(found: Data) -> int:
        if not isinstance(found, FixedInteger) or not of_type.LOW <= found <= of_type.HIGH:
            raise KindError(name, describe(found))
        return int(found)

    def to_data(value: int) -> Data:
        # Every concrete subclass is a member of Data; the base itself cannot be built.
        made: Any = of_type(value)
        result: Data = made
        return result

    return Kind(name, to_data, from_data)


def enumeration(codes: type[E]) -> Kind[E]:
    """Return the kind of an enum with the codes of `codes`."""
    name = f"enum {codes.__name__}"

    def from_data(found: Data) -> E:
        if isinstance(found, FixedInteger):
            try:
                return codes(int(found))
            except ValueError:
                pass
        raise KindError(name, describe(found))

    return Kind(name, Enum, from_data, codes=(codes,))


def array(of: Kind[T]) -> Kind[tuple[T, ...]]:
    """Return the kind of an array whose elements are all of kind `of`."""

    def to_data(values: tuple[T, ...]) -> Data:
        return Array(of.to_data(value) for value in values)

    def from_data(found: Data) -> tuple[T, ...]:
        if not isinstance(found, Array):
            raise KindError(f"array of {of.name}", describe(found))
        return tuple(of.from_data(element) for element in found)

    return Kind(f"array of {of.name}", to_data, from_data, shape=Shape.ARRAY, parts=(of,))


def structure(make: Callable[..., T], *members: Kind[Any]) -> Kind[T]:
    """Return the kind of a structure that `make` (a NamedTuple) holds, member by member."""
    name = f"structure {getattr(make, '__name__', '')} of {len(members)}"

    def to_data(value: Any) -> Data:  # noqa: ANN401  a NamedTuple, whose members vary
        elements: Sequence[Any] = value
        return Structure(kind.to_data(e) for kind, e in zip(members, elements, strict=True))

    def from_data(found: Data) -> T:
        if not isinstance(found, Structure) or len(found) != len(members):
            raise KindError(name, describe(found))
        return make(*(kind.from_data(e) for kind, e in zip(members, found, strict=True)))

    return Kind(name, to_data, from_data, shape=Shape.STRUCTURE, parts=members, made_of=make)


def octets(size: int | None = None, meant: str = "") -> Kind[bytes]:
    """Return the kind of an octet-string, of `size` octets if that is given; `meant` names it."""
    name = meant or ("octet-string" if size is None else f"octet-string of {size}")

    def to_data(value: bytes) -> Data:
        if size is not None and len(value) != size:
            raise ValueError(f"an {name} cannot hold {len(value)} octets")
        return OctetString(value)

    def from_data(found: Data) -> bytes:
        if not isinstance(found, OctetString) or (size is not None and len(found) != size):
            raise KindError(name, describe(found))
        return bytes(found)

    return Kind(name, to_data, from_data, size=size)


TIME_OCTETS: Final = octets(4, "octet-string time")
"""Hour, minute, second, hundredths; each may be a wildcard (4.1.6.1)."""
DATE_OCTETS: Final = octets(5, "octet-string date")
"""Year, month, day of month, day of week; each may be a wildcard (4.1.6.1)."""


def _number_to(value: int) -> Data:
    if not isinstance(value, FixedInteger):
        raise TypeError(
            f"{value!r} does not know its DLMS type: build it as DoubleLongUnsigned({value!r}) or "
            "another integer type of openami.dlms.data"
        )
    made: Any = value
    result: Data = made
    return result


def _number_from(found: Data) -> int:
    if not isinstance(found, FixedInteger):
        raise KindError("an integer of any width", describe(found))
    return found


def _boolean_from(found: Data) -> bool:
    if not isinstance(found, bool):
        raise KindError("boolean", describe(found))
    return found


def _bit_string_from(found: Data) -> BitString:
    if not isinstance(found, BitString):
        raise KindError("bit-string", describe(found))
    return found


def _obis_to(value: Obis) -> Data:
    return OctetString(value.encode())


def _obis_from(found: Data) -> Obis:
    if not isinstance(found, OctetString) or len(found) != 6:
        raise KindError("logical name, octet-string of 6", describe(found))
    return Obis.decode(found)


def _date_time_from(found: Data) -> CosemDateTime:
    if not isinstance(found, OctetString | DateTimeOctets) or len(found) != 12:
        raise KindError("date-time in 12 octets", describe(found))
    return CosemDateTime.decode(bytes(found))


def _date_time_to_octets(value: CosemDateTime) -> Data:
    return OctetString(value.encode())


def _date_time_to_tagged(value: CosemDateTime) -> Data:
    return DateTimeOctets(value.encode())


def _null_from(found: Data) -> None:
    if found is not None:
        raise KindError("null-data", describe(found))


def _boolean_to(value: bool) -> Data:  # noqa: FBT001  the value itself
    return value


def _null_to(_value: None) -> Data:
    return None


def _bit_string_to(value: BitString) -> Data:
    return value


ANY: Final[Kind[Data]] = Kind("CHOICE", _any_from, _any_from, is_choice=True)
"""A CHOICE of several types; the value keeps the type it came with."""

NUMBER: Final[Kind[int]] = Kind("CHOICE of integers", _number_to, _number_from, is_choice=True)
"""A measured integer of any width; it keeps its width."""

NOTHING: Final[Kind[None]] = Kind("null-data", _null_to, _null_from)
BOOLEAN: Final[Kind[bool]] = Kind("boolean", _boolean_to, _boolean_from)
BITS: Final[Kind[BitString]] = Kind("bit-string", _bit_string_to, _bit_string_from)
OCTETS: Final = octets()
LOGICAL_NAME: Final[Kind[Obis]] = Kind("logical name", _obis_to, _obis_from)
DATE_TIME: Final[Kind[CosemDateTime]] = Kind(
    "octet-string date-time", _date_time_to_octets, _date_time_from
)
TAGGED_DATE_TIME: Final[Kind[CosemDateTime]] = Kind(
    "date-time", _date_time_to_tagged, _date_time_from
)
INTEGER: Final = integer(Integer)
LONG: Final = integer(Long)
DOUBLE_LONG: Final = integer(DoubleLong)
UNSIGNED: Final = integer(Unsigned)
LONG_UNSIGNED: Final = integer(LongUnsigned)
DOUBLE_LONG_UNSIGNED: Final = integer(DoubleLongUnsigned)
LONG64_UNSIGNED: Final = integer(Long64Unsigned)
ENUM: Final = integer(Enum)
