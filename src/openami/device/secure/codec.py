# SPDX-License-Identifier: Apache-2.0
"""Calls over the wall as octets; both sides use this module, neither does input or output here.

A request and its reply are one message each, on a socket that keeps their borders::

    request  function 2 | tag 2 | arguments
    reply    tag 2 | status 4 | results, or problem and place where the status is below 0

Numbers are little-endian.  The tag is the caller's and comes back as it was.  Fields follow one
another without gaps, each as its row in `calls` says; octets that no field accounts for are a
fault, as are fields without octets.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from openami.psa.attributes import ATTRIBUTES_OCTETS, KeyAttributes
from openami.psa.status import PsaError, Status

LARGEST_MESSAGE_OCTETS: Final = 0x12000
"""An APDU of 65,535 octets and what goes with it; a longer message is none."""
LARGEST_RESULT_OCTETS: Final = 0x10000
"""What a caller may ask for in one call, as random or derived octets."""

Value: TypeAlias = int | bytes | KeyAttributes

_REQUEST: Final = struct.Struct("<HH")
_REPLY: Final = struct.Struct("<Hi")
_LENGTH: Final = struct.Struct("<I")


class CodecError(Exception):
    """Octets that are no call, or no reply to one."""


class Field(Protocol):
    """How one argument or result travels."""

    def write(self, value: Value) -> bytes:
        """Return the octets of a value."""

    def read(self, octets: bytes, at: int) -> tuple[Value, int]:
        """Return the value that begins at an offset, and where the next one begins."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number; not above `most`."""

    form: struct.Struct
    most: int = 0xFFFFFFFFFFFFFFFF

    def write(self, value: Value) -> bytes:
        try:
            return self.form.pack(value)
        except struct.error:
            raise CodecError(f"{value!r} is no number of {self.form.size} octets") from None

    def read(self, octets: bytes, at: int) -> tuple[Value, int]:
        end = at + self.form.size
        if end > len(octets):
            raise _short(octets, at, self.form.size)
        (value,) = self.form.unpack_from(octets, at)
        if value > self.most:
            raise CodecError(f"{value} at octet {at} is more than {self.most}")
        return int(value), end


@dataclass(frozen=True, slots=True)
class Octets:
    """Any octets behind their length."""

    def write(self, value: Value) -> bytes:
        if not isinstance(value, bytes):
            raise CodecError(f"{value!r} is no octet string")
        return _LENGTH.pack(len(value)) + value

    def read(self, octets: bytes, at: int) -> tuple[Value, int]:
        start = at + _LENGTH.size
        if start > len(octets):
            raise _short(octets, at, _LENGTH.size)
        (length,) = _LENGTH.unpack_from(octets, at)
        end = start + length
        if end > len(octets):
            raise _short(octets, start, length)
        return octets[start:end], end


@dataclass(frozen=True, slots=True)
class Attributes:
    """Attributes of a key (psa_key_attributes_t)."""

    def write(self, value: Value) -> bytes:
        if not isinstance(value, KeyAttributes):
            raise CodecError(f"{value!r} are no attributes of a key")
        try:
            return value.encode()
        except struct.error as error:
            raise CodecError(f"attributes of a key: {error}") from None

    def read(self, octets: bytes, at: int) -> tuple[Value, int]:
        end = at + ATTRIBUTES_OCTETS
        if end > len(octets):
            raise _short(octets, at, ATTRIBUTES_OCTETS)
        return KeyAttributes.decode(octets[at:end]), end


U32: Final = Number(struct.Struct("<I"), 0xFFFFFFFF)
I32: Final = Number(struct.Struct("<i"))
U64: Final = Number(struct.Struct("<Q"))
SIZE: Final = Number(struct.Struct("<I"), LARGEST_RESULT_OCTETS)
"""How much the caller wants to have."""
OCTETS: Final = Octets()
ATTRIBUTES: Final = Attributes()

Shape: TypeAlias = tuple[Field, ...]


def write(shape: Shape, values: Sequence[Value]) -> bytes:
    """Return the octets of values.

    Raises:
        CodecError: They are not of this shape.
    """
    if len(values) != len(shape):
        raise CodecError(f"{len(values)} values where {len(shape)} are due")
    return b"".join(field.write(value) for field, value in zip(shape, values, strict=True))


def read(shape: Shape, octets: bytes, at: int = 0) -> tuple[Value, ...]:
    """Return the values from an offset to the end.

    Raises:
        CodecError: The octets are not of this shape.
    """
    found = []
    for field in shape:
        value, at = field.read(octets, at)
        found.append(value)
    if at != len(octets):
        raise CodecError(f"{len(octets) - at} octets too many, from octet {at}")
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Request:
    """A call: which function, and its arguments as they travel."""

    function: int
    tag: int
    body: bytes

    def encode(self) -> bytes:
        return _REQUEST.pack(self.function, self.tag) + self.body

    @classmethod
    def decode(cls, octets: bytes) -> "Request":
        """Raise `CodecError` where the head is not whole."""
        if len(octets) < _REQUEST.size:
            raise _short(octets, 0, _REQUEST.size)
        function, tag = _REQUEST.unpack_from(octets)
        return cls(function, tag, octets[_REQUEST.size :])


@dataclass(frozen=True, slots=True)
class Reply:
    """What a call came to; `body` are its results, or its refusal."""

    tag: int
    status: int
    body: bytes

    @classmethod
    def refusing(cls, tag: int, error: PsaError) -> "Reply":
        """Return the reply that carries a refusal."""
        said = (error.problem.encode(), error.place.encode())
        return cls(tag, error.status, write((OCTETS, OCTETS), said))

    def encode(self) -> bytes:
        return _REPLY.pack(self.tag, self.status) + self.body

    @classmethod
    def decode(cls, octets: bytes) -> "Reply":
        """Raise `CodecError` where the head is not whole."""
        if len(octets) < _REPLY.size:
            raise _short(octets, 0, _REPLY.size)
        tag, status = _REPLY.unpack_from(octets)
        return cls(tag, status, octets[_REPLY.size :])

    def results(self, shape: Shape) -> tuple[Value, ...]:
        """Return the results.

        Raises:
            CodecError: They are not of this shape.
            PsaError: The call was refused.
        """
        if self.status >= 0:
            return read(shape, self.body)
        problem, place = read((OCTETS, OCTETS), self.body)
        try:
            status = Status(self.status)
        except ValueError:
            raise CodecError(f"{self.status} is no status") from None
        if not (isinstance(problem, bytes) and isinstance(place, bytes)):
            raise CodecError("a refusal is told in octets")
        raise PsaError(status, problem.decode(errors="replace"), place.decode(errors="replace"))


def _short(octets: bytes, at: int, wanted: int) -> CodecError:
    return CodecError(f"{wanted} octets are due at octet {at}, and {len(octets) - at} are there")
