# SPDX-License-Identifier: Apache-2.0
"""The types of COSEM data: Python values that remember their DLMS type (IEC 62056-5-3, 9.5 `Data`).

Each type is a subclass of the Python type it behaves like, with the tag it travels under:
``DoubleLongUnsigned(5) == 5`` and ``Structure((Long(1), None)) == (1, None)``.  Three types are
Python's own: `None` is null-data, `bool` is boolean, and `DONT_CARE` is an enum member.  Octets
are the business of `data`; clock values inside octets are the business of `datetimes`.

Ranges are checked where a caller builds a value.  The decoder does not ask again: octets of the
right length cannot be out of range.
"""

import struct
from dataclasses import dataclass
from enum import Enum as PythonEnum
from typing import TYPE_CHECKING, ClassVar, Final, Self

if TYPE_CHECKING:
    from openami.dlms.data import Data

_FLOAT32: Final = struct.Struct(">f")


class FixedInteger(int):
    """An integer of fixed width; the base of all integer types."""

    __slots__ = ()

    TAG: ClassVar[int]
    FORMAT: ClassVar[str]
    LOW: ClassVar[int]
    HIGH: ClassVar[int]

    def __init_subclass__(cls, *, tag: int, form: str) -> None:
        """Take the tag and the format (a letter of `struct`), and derive the range."""
        cls.TAG = tag
        cls.FORMAT = ">" + form
        bits = 8 * struct.calcsize(cls.FORMAT)
        cls.LOW = -(1 << bits - 1) if form.islower() else 0
        cls.HIGH = (1 << bits - 1) - 1 if form.islower() else (1 << bits) - 1

    def __new__(cls, value: int) -> Self:
        if not cls.LOW <= value <= cls.HIGH:
            raise ValueError(f"{cls.__name__} holds {cls.LOW} to {cls.HIGH}, not {value}")
        return super().__new__(cls, value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"

    __str__ = int.__repr__


class Integer(FixedInteger, tag=0x0F, form="b"):
    """integer: 8 bits, signed."""


class Long(FixedInteger, tag=0x10, form="h"):
    """long: 16 bits, signed."""


class DoubleLong(FixedInteger, tag=0x05, form="i"):
    """double-long: 32 bits, signed."""


class Long64(FixedInteger, tag=0x14, form="q"):
    """long64: 64 bits, signed."""


class Unsigned(FixedInteger, tag=0x11, form="B"):
    """unsigned: 8 bits."""


class LongUnsigned(FixedInteger, tag=0x12, form="H"):
    """long-unsigned: 16 bits."""


class DoubleLongUnsigned(FixedInteger, tag=0x06, form="I"):
    """double-long-unsigned: 32 bits."""


class Long64Unsigned(FixedInteger, tag=0x15, form="Q"):
    """long64-unsigned: 64 bits."""


class Enum(FixedInteger, tag=0x16, form="B"):
    """enum: one of the codes that an attribute declares."""


class Bcd(FixedInteger, tag=0x0D, form="B"):
    """bcd: one octet that holds two decimal digits; the value is the octet as it stands."""


class DeltaInteger(FixedInteger, tag=0x1C, form="b"):
    """delta-integer: difference from the value before; known from one implementation only."""


class DeltaLong(FixedInteger, tag=0x1D, form="h"):
    """delta-long: as `DeltaInteger`, 16 bits."""


class DeltaDoubleLong(FixedInteger, tag=0x1E, form="i"):
    """delta-double-long: as `DeltaInteger`, 32 bits."""


class DeltaUnsigned(FixedInteger, tag=0x1F, form="B"):
    """delta-unsigned: as `DeltaInteger`, unsigned."""


class DeltaLongUnsigned(FixedInteger, tag=0x20, form="H"):
    """delta-long-unsigned: as `DeltaInteger`, 16 bits, unsigned."""


class DeltaDoubleLongUnsigned(FixedInteger, tag=0x21, form="I"):
    """delta-double-long-unsigned: as `DeltaInteger`, 32 bits, unsigned."""


class Float32(float):
    """float32: IEEE 754 single precision; a value is rounded to it when it is built."""

    __slots__ = ()
    TAG: ClassVar = 0x17
    FORMAT: ClassVar = ">f"

    def __new__(cls, value: float) -> Self:
        try:
            (rounded,) = _FLOAT32.unpack(_FLOAT32.pack(value))
        except OverflowError:
            raise ValueError(f"Float32 holds magnitudes up to 3.4e38, not {value}") from None
        return super().__new__(cls, rounded)

    def __repr__(self) -> str:
        return f"Float32({float(self)!r})"

    __str__ = float.__repr__


class Float64(float):
    """float64: IEEE 754 double precision."""

    __slots__ = ()
    TAG: ClassVar = 0x18
    FORMAT: ClassVar = ">d"

    def __repr__(self) -> str:
        return f"Float64({float(self)!r})"

    __str__ = float.__repr__


class OctetString(bytes):
    """octet-string: any octets, also logical names and, by old custom, clock values."""

    __slots__ = ()
    TAG: ClassVar = 0x09

    def __repr__(self) -> str:
        return f"OctetString({self.hex(' ')!r})"

    __str__ = bytes.hex


class FixedOctets(bytes):
    """Octets of a fixed number; the base of the three clock types."""

    __slots__ = ()
    TAG: ClassVar[int]
    SIZE: ClassVar[int]

    def __new__(cls, octets: bytes) -> Self:
        if len(octets) != cls.SIZE:
            raise ValueError(f"{cls.__name__} holds {cls.SIZE} octets, not {len(octets)}")
        return super().__new__(cls, octets)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.hex(' ')!r})"

    __str__ = bytes.hex


class DateTimeOctets(FixedOctets):
    """date-time: 12 octets, read by `datetimes.CosemDateTime`."""

    TAG: ClassVar = 0x19
    SIZE: ClassVar = 12


class DateOctets(FixedOctets):
    """date: 5 octets, read by `datetimes.CosemDate`."""

    TAG: ClassVar = 0x1A
    SIZE: ClassVar = 5


class TimeOctets(FixedOctets):
    """time: 4 octets, read by `datetimes.CosemTime`."""

    TAG: ClassVar = 0x1B
    SIZE: ClassVar = 4


class VisibleString(str):
    """visible-string: one octet a character.

    The standard allows ISO 646 only; meters also send other octets, which are kept as ISO 8859-1
    so that encoding gives back what arrived.
    """

    __slots__ = ()
    TAG: ClassVar = 0x0A
    CODEC: ClassVar = "latin-1"

    def __new__(cls, text: str) -> Self:
        if any(ord(character) > 0xFF for character in text):
            raise ValueError(f"VisibleString holds one octet a character, not {text!r}")
        return super().__new__(cls, text)

    def __repr__(self) -> str:
        return f"VisibleString({str.__repr__(self)})"


class Utf8String(str):
    """utf8-string."""

    __slots__ = ()
    TAG: ClassVar = 0x0C
    CODEC: ClassVar = "utf-8"

    def __repr__(self) -> str:
        return f"Utf8String({str.__repr__(self)})"


@dataclass(frozen=True, slots=True)
class BitString:
    """bit-string: `length_bits` bits, the first one in the top bit of the first octet."""

    TAG: ClassVar = 0x04

    octets: bytes
    length_bits: int

    def __post_init__(self) -> None:
        if (self.length_bits + 7) // 8 != len(self.octets):
            needed = (self.length_bits + 7) // 8
            raise ValueError(
                f"{self.length_bits} bits need {needed} octets, not {len(self.octets)}"
            )

    @classmethod
    def from_bits(cls, bits: str) -> Self:
        """Build one from its bits as text, ``"1011"``."""
        size = (len(bits) + 7) // 8
        return cls(int(bits.ljust(8 * size, "0") or "0", 2).to_bytes(size), len(bits))

    @property
    def bits(self) -> str:
        """The bits as text, first bit first."""
        return "".join(f"{octet:08b}" for octet in self.octets)[: self.length_bits]


class Array(list["Data"]):
    """array: any number of elements of one type."""

    __slots__ = ()
    TAG: ClassVar = 0x01

    def __repr__(self) -> str:
        return f"Array({list.__repr__(self)})"


class Structure(tuple["Data", ...]):
    """structure: a fixed number of elements, each of its own type."""

    __slots__ = ()
    TAG: ClassVar = 0x02

    def __repr__(self) -> str:
        return f"Structure({tuple.__repr__(self)})"


@dataclass(frozen=True, slots=True)
class CompactArray:
    """compact-array: the types once, then contents without tags; `data.expand` gives an array.

    Attributes:
        type_description: Octets of the TypeDescription that one element follows.
        contents: Octets of all elements, one after the other.
    """

    TAG: ClassVar = 0x13

    type_description: bytes
    contents: bytes


class DontCare(PythonEnum):
    """The type of `DONT_CARE`."""

    DONT_CARE = "dont-care"


DONT_CARE: Final = DontCare.DONT_CARE
"""dont-care (FF): any value would do."""
