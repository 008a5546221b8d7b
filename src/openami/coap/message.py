# SPDX-License-Identifier: Apache-2.0
"""One CoAP message (RFC 7252, 3).

======  ==========  ===========================================================
octets  field       value
======  ==========  ===========================================================
1       header      version 1 (2 bits), type (2 bits), token length (4 bits)
1       code        class (3 bits), detail (5 bits)
2       message id  pairs acknowledgements, and knows duplicates
0 to 8  token       pairs responses with requests
n       options     number as the difference to the one before, length, value
1       marker      FF; only before a payload
n       payload     at least one octet, to the end of the datagram
======  ==========  ===========================================================

A difference or length up to 12 stands in its four bits; 13 adds one octet, 14 adds two, 15 is
reserved.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from openami.coap.errors import MessageFormatError
from openami.coap.numbers import OPTIONS, OptionNumber, Type, code_text, is_critical

VERSION: Final = 1
HEADER_OCTETS: Final = 4
LONGEST_TOKEN_OCTETS: Final = 8
PAYLOAD_MARKER: Final = 0xFF
RESERVED_CLASSES: Final = frozenset({1, 6, 7})
CLAUSE_OPTIONS: Final = "RFC 7252, 3.1"

Option = tuple[int, bytes]


def uint(value: int) -> bytes:
    """Return an option value of format uint: no octet for 0, none too many (RFC 7252, 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8)


def path_options(path: str) -> tuple[Option, ...]:
    """Return the Uri-Path options of ``/d/1``; the root has none."""
    parts = [part for part in path.split("/") if part]
    return tuple((int(OptionNumber.URI_PATH), part.encode()) for part in parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message; options may be given in any order, and are sent in that of their numbers."""

    type: Type
    code: int
    message_id: int
    token: bytes = b""
    options: tuple[Option, ...] = ()
    payload: bytes = b""

    def __str__(self) -> str:
        more = f" {len(self.payload)} octets" if self.payload else ""
        return f"{self.type.name} {code_text(self.code)} {self.message_id}{more}"

    @property
    def is_empty(self) -> bool:
        """Whether it only acknowledges, resets or pings."""
        return self.code == 0

    def first(self, number: int) -> bytes | None:
        """Return the value of an option; None where it is absent."""
        return next((value for each, value in self.options if each == number), None)

    def uint(self, number: int) -> int | None:
        """Return the value of a uint option; None where it is absent."""
        return None if (value := self.first(number)) is None else int.from_bytes(value)

    @property
    def path(self) -> str:
        """The resource that is asked for, ``/`` for the root."""
        parts = [value for number, value in self.options if number == OptionNumber.URI_PATH]
        return "/" + "/".join(part.decode("utf-8", "replace") for part in parts)

    def not_understood(self) -> list[int]:
        """Return the critical options that are unknown, misshapen or said twice."""
        found, before = [], -1
        for number, value in sorted(self.options, key=_number):
            row = OPTIONS.get(number)
            bad = row is None or not row.shortest <= len(value) <= row.longest
            bad = bad or (number == before and row is not None and not row.repeatable)
            if bad and is_critical(number):
                found.append(number)
            before = number
        return found

    def encode(self) -> bytes:
        """Return the datagram.

        Raises:
            ValueError: The token is too long, or a number does not fit.
        """
        if len(self.token) > LONGEST_TOKEN_OCTETS:
            raise ValueError(f"a CoAP token has up to 8 octets, not {len(self.token)}")
        first = VERSION << 6 | self.type << 4 | len(self.token)
        octets = bytearray((first, self.code))
        octets += self.message_id.to_bytes(2) + self.token
        before = 0
        for number, value in sorted(self.options, key=_number):
            delta, delta_more = _nibble(number - before)
            length, length_more = _nibble(len(value))
            octets.append(delta << 4 | length)
            octets += delta_more + length_more + value
            before = number
        if self.payload:
            octets.append(PAYLOAD_MARKER)
            octets += self.payload
        return bytes(octets)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a datagram.

        Raises:
            MessageFormatError: It is no CoAP message of version 1.
        """
        if len(octets) < HEADER_OCTETS:
            raise MessageFormatError("a CoAP message has 4 octets at least", octets, len(octets))
        first, code = octets[0], octets[1]
        if first >> 6 != VERSION:
            raise MessageFormatError(f"CoAP version is {first >> 6}, not 1", octets, 0)
        size = first & 0x0F
        if size > LONGEST_TOKEN_OCTETS:
            raise MessageFormatError(f"token length {size} is reserved", octets, 0)
        if code >> 5 in RESERVED_CLASSES:
            raise MessageFormatError(f"code class {code >> 5} is reserved", octets, 1)
        start = HEADER_OCTETS + size
        if code == 0 and len(octets) > HEADER_OCTETS:
            problem = "an empty message has nothing behind its header"
            raise MessageFormatError(problem, octets, HEADER_OCTETS, "RFC 7252, 4.1")
        if len(octets) < start:
            raise MessageFormatError(f"token needs {size} octets", octets, len(octets))
        options, end = _read_options(octets, start)
        return cls(
            type=Type(first >> 4 & 0x03),
            code=code,
            message_id=int.from_bytes(octets[2:4]),
            token=octets[HEADER_OCTETS:start],
            options=options,
            payload=octets[end:],
        )


def _number(option: Option) -> int:
    return option[0]


def _nibble(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, bytes((value - 13,))
    return 14, (value - 269).to_bytes(2)


def _read_options(octets: bytes, start: int) -> tuple[tuple[Option, ...], int]:
    """Return the options, and where the payload begins."""
    options: list[Option] = []
    number, position = 0, start
    while position < len(octets):
        if octets[position] == PAYLOAD_MARKER:
            if position + 1 == len(octets):
                problem = "no payload stands behind the payload marker"
                raise MessageFormatError(problem, octets, len(octets))
            return tuple(options), position + 1
        delta, length = octets[position] >> 4, octets[position] & 0x0F
        position += 1
        delta, position = _extended(octets, position, delta, "option delta")
        length, position = _extended(octets, position, length, "option length")
        number += delta
        if number > 0xFFFF:
            problem = f"option number {number} is above 65535"
            raise MessageFormatError(problem, octets, position, CLAUSE_OPTIONS)
        if position + length > len(octets):
            problem = f"the value of option {number} needs {length} octets"
            raise MessageFormatError(problem, octets, len(octets), CLAUSE_OPTIONS)
        options.append((number, octets[position : position + length]))
        position += length
    return tuple(options), position


def _extended(octets: bytes, position: int, nibble: int, what: str) -> tuple[int, int]:
    if nibble < 13:
        return nibble, position
    if nibble == 15:
        raise MessageFormatError(f"{what} 15 is reserved", octets, position - 1, CLAUSE_OPTIONS)
    size, base = (1, 13) if nibble == 13 else (2, 269)
    if position + size > len(octets):
        problem = f"{what} needs {size} more octets"
        raise MessageFormatError(problem, octets, len(octets), CLAUSE_OPTIONS)
    value = int.from_bytes(octets[position : position + size])
    return base + value, position + size


def without(options: Iterable[Option], *numbers: int) -> tuple[Option, ...]:
    """Return options except those with these numbers."""
    return tuple(option for option in options if option[0] not in numbers)
