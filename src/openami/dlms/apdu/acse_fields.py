# SPDX-License-Identifier: Apache-2.0
"""How the fields of ACSE APDUs are written: each kind of field turns a value into BER and back.

DLMS UA 1000-2 Ed. 10, 9.5 (ACSE part).  `acse` declares which fields an APDU has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from openami.dlms.apdu.codes import Code
from openami.dlms.axdr import Reader
from openami.dlms.ber import encode_tlv, expect_tlv, read_tlv
from openami.dlms.datatypes import BitString
from openami.dlms.errors import DecodeError

CLAUSE: Final = "IEC 62056-5-3, 9.5, ACSE"
_INTEGER: Final = 0x02


class Field(Protocol):
    """One row of an APDU's table."""

    @property
    def tag(self) -> int:
        """The context tag."""

    @property
    def name(self) -> str:
        """The attribute of the APDU that holds the value."""

    def contents(self, value: Any) -> bytes:  # noqa: ANN401  each kind has its own type
        """Return the octets behind tag and length."""

    def read(self, inside: Reader) -> object:
        """Return the value; `inside` holds the contents and nothing else."""


def _same(octets: bytes) -> bytes:
    return octets


@dataclass(frozen=True, slots=True)
class OctetsField:
    """A primitive field: its contents are the value."""

    tag: int
    name: str
    make: Callable[[bytes], bytes] = _same

    def contents(self, value: bytes) -> bytes:
        return bytes(value)

    def read(self, inside: Reader) -> bytes:
        return self.make(inside.rest())


@dataclass(frozen=True, slots=True)
class ExplicitOctets:
    """A constructed field with one value of octets inside, under its own tag."""

    tag: int
    name: str
    inner_tag: int
    make: Callable[[bytes], bytes] = _same

    def contents(self, value: bytes) -> bytes:
        return encode_tlv(self.inner_tag, bytes(value))

    def read(self, inside: Reader) -> bytes:
        return self.make(expect_tlv(inside, self.inner_tag, self.name).rest())


@dataclass(frozen=True, slots=True)
class BitStringField:
    """A primitive bit string: the number of unused bits, then the octets."""

    tag: int
    name: str

    def contents(self, value: BitString) -> bytes:
        return bytes((8 * len(value.octets) - value.length_bits,)) + value.octets

    def read(self, inside: Reader) -> BitString:
        unused = inside.unsigned(1, f"unused bits of {self.name}")
        octets = inside.rest()
        if unused > 7 or unused > 8 * len(octets):
            problem = f"{self.name} cannot have {unused} unused bits"
            raise inside.refusal(problem, back=len(octets) + 1, clause=CLAUSE)
        return BitString(octets, 8 * len(octets) - unused)


def _integer_octets(value: int) -> bytes:
    return int(value).to_bytes(value.bit_length() // 8 + 1, signed=True)


@dataclass(frozen=True, slots=True)
class SmallInteger:
    """A primitive integer whose values are named."""

    tag: int
    name: str
    make: Callable[[int], int]

    def contents(self, value: int) -> bytes:
        return _integer_octets(value)

    def read(self, inside: Reader) -> int:
        return _read_integer(inside, self.name, self.make)


@dataclass(frozen=True, slots=True)
class ExplicitInteger:
    """A constructed field with one integer inside."""

    tag: int
    name: str
    make: Callable[[int], int] = int

    def contents(self, value: int) -> bytes:
        return encode_tlv(_INTEGER, _integer_octets(value))

    def read(self, inside: Reader) -> int:
        return _read_integer(expect_tlv(inside, _INTEGER, self.name), self.name, self.make)


@dataclass(frozen=True, slots=True)
class SourceDiagnostic:
    """A constructed field with a choice inside: who found it, and the number of what was found."""

    tag: int
    name: str
    sources: Mapping[int, type[Code]]

    def contents(self, value: Code) -> bytes:
        for tag, source in self.sources.items():
            if isinstance(value, source):
                return encode_tlv(tag, encode_tlv(_INTEGER, _integer_octets(value)))
        raise TypeError(f"{self.name} is an acse-service-user or -provider code, not {value!r}")

    def read(self, inside: Reader) -> int:
        start = inside.offset
        tag, choice = read_tlv(inside, self.name)
        if tag not in self.sources:
            inside.offset = start
            raise inside.refusal(f"{tag:02X} is no choice of {self.name}", clause=CLAUSE)
        number = expect_tlv(choice, _INTEGER, self.name)
        choice.end()
        return _read_integer(number, self.name, self.sources[tag])


def _read_integer(inside: Reader, name: str, make: Callable[[int], int]) -> int:
    start, size = inside.offset, inside.remaining
    if size == 0:
        raise inside.refusal(f"{name} needs 1 octet", clause=CLAUSE)
    number = inside.signed(size, name)
    try:
        return make(number)
    except ValueError:
        inside.offset = start
        raise inside.refusal(f"{name} cannot be {number}", clause=CLAUSE) from None


def encode_fields(tag: int, table: Sequence[Field], apdu: object) -> bytes:
    """Return the APDU under `tag`: the fields of `table` that are not None."""
    parts = []
    for row in table:
        value = getattr(apdu, row.name)
        if value is not None:
            parts.append(encode_tlv(row.tag, row.contents(value)))
    return encode_tlv(tag, b"".join(parts))


def decode_fields(
    octets: bytes,
    tag: int,
    table: Sequence[Field],
    tolerated: Mapping[int, int] | None = None,
    *,
    required: Sequence[str] = (),
) -> dict[str, Any]:
    """Return the fields of the APDU under `tag` by name; they may stand in any order.

    Args:
        octets: The whole APDU.
        tag: What the APDU must begin with.
        table: The fields that it may have.
        tolerated: Tags that stand for another one.
        required: Fields that it must have.
    """
    whole = Reader(octets)
    body = expect_tlv(whole, tag, "APDU")
    whole.end()
    rows = {row.tag: row for row in table}
    found: dict[str, Any] = {}
    while body.remaining:
        start = body.offset
        field_tag, inside = read_tlv(body, "field")
        row = rows.get((tolerated or {}).get(field_tag, field_tag))
        if row is None:
            problem = f"{field_tag:02X} is no field of this APDU"
            raise DecodeError(problem, octets, start, CLAUSE)
        if row.name in found:
            raise DecodeError(f"{row.name} stands there twice", octets, start, CLAUSE)
        found[row.name] = row.read(inside)
        inside.end()
    for name in required:
        if name not in found:
            raise DecodeError(f"{name} is missing", octets, len(octets), CLAUSE)
    return found
