# SPDX-License-Identifier: Apache-2.0
"""A-XDR octet cursors (IEC 61334-6): fixed-length integers, counted octets, nothing else.

A length below 80 is one octet; 81, 82, 83 and 84 announce one to four octets of length.  Longer
lengths cannot occur: no APDU holds more than 4 GiB.  Values with a type tag are the business of
`data`.
"""

from dataclasses import dataclass
from typing import Final, Self

from openami.dlms.errors import DecodeError, in_octets

CLAUSE: Final = "IEC 61334-6, 6"
LONGEST_LENGTH: Final = 0xFFFFFFFF


def encode_length(length: int) -> bytes:
    """Return `length` (0 to 2**32 - 1) as the A-XDR length of what follows."""
    if 0 <= length < 0x80:
        return bytes((length,))
    if not 0 <= length <= LONGEST_LENGTH:
        raise ValueError(f"an A-XDR length is 0 to {LONGEST_LENGTH}, not {length}")
    octets = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes((0x80 | len(octets),)) + octets


def encode_octet_string(octets: bytes) -> bytes:
    """Return `octets` with their length in front, without a type tag."""
    return encode_length(len(octets)) + octets


def encode_optional_octet_string(octets: bytes | None) -> bytes:
    """Return OPTIONAL octets: 00 when absent, else 01, length, octets."""
    return b"\x00" if octets is None else b"\x01" + encode_octet_string(octets)


def read_length(octets: bytes, offset: int, what: str) -> tuple[int, int]:
    """Return the length at `offset`, and the offset behind it."""
    try:
        length = octets[offset]
    except IndexError:
        raise DecodeError(f"{what} needs a length", octets, offset, CLAUSE) from None
    if length < 0x80:
        return length, offset + 1
    size = length & 0x7F
    if not 1 <= size <= 4:
        raise DecodeError(f"length {length:02X} of {what} is not A-XDR", octets, offset, CLAUSE)
    end = offset + 1 + size
    if end > len(octets):
        raise DecodeError(f"length of {what} needs {in_octets(size)}", octets, offset + 1, CLAUSE)
    return int.from_bytes(octets[offset + 1 : end]), end


@dataclass(slots=True)
class Reader:
    """Takes values off the front of `octets`; every refusal names the octet it stopped at."""

    octets: bytes
    offset: int = 0

    @property
    def remaining(self) -> int:
        """How many octets are left."""
        return len(self.octets) - self.offset

    def peek(self) -> int | None:
        """Return the next octet without taking it; None at the end."""
        return self.octets[self.offset] if self.offset < len(self.octets) else None

    def take(self, count: int, what: str) -> bytes:
        """Return the next `count` octets."""
        end = self.offset + count
        if end > len(self.octets):
            raise DecodeError(f"{what} needs {in_octets(count)}", self.octets, self.offset, CLAUSE)
        taken = self.octets[self.offset : end]
        self.offset = end
        return taken

    def rest(self) -> bytes:
        """Return all octets that are left."""
        taken = self.octets[self.offset :]
        self.offset = len(self.octets)
        return taken

    def unsigned(self, size: int, what: str) -> int:
        """Return the next `size` octets as a big-endian unsigned integer."""
        return int.from_bytes(self.take(size, what))

    def signed(self, size: int, what: str) -> int:
        """Return the next `size` octets as a big-endian two's complement integer."""
        return int.from_bytes(self.take(size, what), signed=True)

    def boolean(self, what: str) -> bool:
        """Return one octet as a BOOLEAN: 00 is false, anything else is true."""
        return self.unsigned(1, what) != 0

    def present(self, what: str) -> bool:
        """Return the presence octet of an OPTIONAL or DEFAULT field, or which of two choices."""
        if (found := self.unsigned(1, what)) > 1:
            raise self.refusal(f"{what} is {found:02X}, neither 00 nor 01", back=1)
        return found == 1

    def length(self, what: str) -> int:
        """Return the A-XDR length of `what`."""
        length, self.offset = read_length(self.octets, self.offset, what)
        return length

    def count(self, what: str, *, least_octets: int = 1) -> int:
        """Return a number of elements; refuse more than the octets left can hold.

        Each element takes `least_octets` or more, so a false count cannot ask for memory.
        """
        start = self.offset
        count = self.length(what)
        if count * least_octets > self.remaining:
            problem = f"{count} {what} do not fit into {self.remaining} octets"
            raise DecodeError(problem, self.octets, start, CLAUSE)
        return count

    def octet_string(self, what: str) -> bytes:
        """Return octets that carry their length in front."""
        return self.take(self.length(what), what)

    def optional_octet_string(self, what: str) -> bytes | None:
        """Return OPTIONAL octets: 00 for none, else 01, length, octets."""
        return self.octet_string(what) if self.present(f"presence of {what}") else None

    def expect(self, value: int, what: str) -> Self:
        """Take one octet that can only be `value`."""
        if (found := self.unsigned(1, what)) != value:
            raise self.refusal(f"{what} is {found:02X}, not {value:02X}", back=1)
        return self

    def end(self) -> None:
        """Accept only if every octet was taken."""
        if self.offset != len(self.octets):
            raise self.refusal("octets after the end")

    def refusal(self, problem: str, *, back: int = 0, clause: str = CLAUSE) -> DecodeError:
        """Return the error for what was found `back` octets before the cursor."""
        return DecodeError(problem, self.octets, self.offset - back, clause)
