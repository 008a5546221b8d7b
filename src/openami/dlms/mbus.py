# SPDX-License-Identifier: Apache-2.0
"""Wired M-Bus: APDUs in long frames, in segments (EN 13757-2 and EN 13757-3, DLMS transport).

======  =========  ==================================================================
octets  field      value
======  =========  ==================================================================
1       start      68
2       length     of C to the end of the data, twice
1       start      68
1       C          control; 53 is SND_UD
1       A          address; FF is everybody
1       CI         bits 0 to 3 number of the segment, bit 4 last segment
1       STSAP      source
1       DTSAP      destination
n       data       a part of the APDU
1       checksum   sum of C to the end of the data, modulo 256
1       stop       16
======  =========  ==================================================================

Meters push such frames on customer ports; nothing is acknowledged.
"""

from dataclasses import dataclass, field
from typing import Final, NamedTuple, Self

from openami.dlms.errors import DecodeError
from openami.dlms.sap import Sap

CLAUSE: Final = "EN 13757-2, 5.2"
CLAUSE_SEGMENTS: Final = "EN 13757-3, DLMS transport"

START: Final = 0x68
STOP: Final = 0x16
SND_UD: Final = 0x53
EVERYBODY: Final = 0xFF

LAST_SEGMENT: Final = 0x10
SEGMENTS: Final = 16
LARGEST_CI: Final = 0x1F

HEADER_OCTETS: Final = 5
"""C, A, CI, STSAP, DTSAP."""
LONGEST_DATA_OCTETS: Final = 0xFF - HEADER_OCTETS
FRAME_OCTETS: Final = 6
"""What stands around C to data: start, length, length, start, checksum, stop."""


class MbusFrame(NamedTuple):
    """One long frame."""

    source: Sap
    destination: Sap
    data: bytes
    segment: int = 0
    last: bool = True
    control: int = SND_UD
    address: int = EVERYBODY

    def encode(self) -> bytes:
        if len(self.data) > LONGEST_DATA_OCTETS:
            longest = LONGEST_DATA_OCTETS
            raise ValueError(f"{len(self.data)} octets do not fit into an M-Bus frame of {longest}")
        ci = self.segment | LAST_SEGMENT * self.last
        body = bytes((self.control, self.address, ci, self.source, self.destination)) + self.data
        size = len(body)
        return bytes((START, size, size, START)) + body + bytes((sum(body) & 0xFF, STOP))

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read exactly one frame."""
        size = _size(octets, 0)
        if size is None or len(octets) < size:
            problem = f"the frame ends after {len(octets)} octets"
            raise DecodeError(problem, octets, len(octets), CLAUSE)
        if len(octets) > size:
            raise DecodeError("octets after the end", octets, size, CLAUSE)
        return cls(*_read(octets, 0, size))


def _size(octets: bytes, start: int) -> int | None:
    """Return how long the frame at `start` is, all included; None if more octets are needed."""
    head = octets[start : start + 4]
    for place, found in enumerate(head):
        if place in {0, 3} and found != START:
            problem = f"start octet is {found:02X}, not 68"
            raise DecodeError(problem, octets, start + place, CLAUSE)
        if place == 2 and found != head[1]:
            problem = f"the length is {head[1]} and then {found}"
            raise DecodeError(problem, octets, start + place, CLAUSE)
        if place == 1 and found < HEADER_OCTETS:
            raise DecodeError(f"length {found} is too short", octets, start + place, CLAUSE)
    return head[1] + FRAME_OCTETS if len(head) == 4 else None


def _read(octets: bytes, start: int, size: int) -> MbusFrame:
    end = start + size
    body = octets[start + 4 : end - 2]
    if octets[end - 1] != STOP:
        problem = f"stop octet is {octets[end - 1]:02X}, not 16"
        raise DecodeError(problem, octets, end - 1, CLAUSE)
    if sum(body) & 0xFF != octets[end - 2]:
        problem = f"checksum is {octets[end - 2]:02X}, not {sum(body) & 0xFF:02X}"
        raise DecodeError(problem, octets, end - 2, CLAUSE)
    control, address, ci, source, destination = body[:HEADER_OCTETS]
    if ci > LARGEST_CI:
        problem = f"CI is {ci:02X}, not the DLMS transport 00 to 1F"
        raise DecodeError(problem, octets, start + 6, CLAUSE_SEGMENTS)
    return MbusFrame(
        Sap(source),
        Sap(destination),
        body[HEADER_OCTETS:],
        ci & 0x0F,
        bool(ci & LAST_SEGMENT),
        control,
        address,
    )


def cut(source: Sap, destination: Sap, apdu: bytes) -> list[MbusFrame]:
    """Return the frames that carry an APDU.

    Raises:
        ValueError: It needs more than 16 segments.
    """
    parts = [
        apdu[start : start + LONGEST_DATA_OCTETS]
        for start in range(0, len(apdu), LONGEST_DATA_OCTETS)
    ]
    if len(parts) > SEGMENTS:
        most = SEGMENTS * LONGEST_DATA_OCTETS
        raise ValueError(f"an APDU of {len(apdu)} octets does not fit: M-Bus carries {most}")
    last = len(parts) - 1
    return [MbusFrame(source, destination, part, n, n == last) for n, part in enumerate(parts)]


@dataclass(slots=True)
class MbusReader:
    """Finds frames in a stream; what is wrong is dropped and the search goes on behind it."""

    _pending: bytes = field(default=b"", repr=False)

    def feed(self, octets: bytes) -> list[MbusFrame | DecodeError]:
        """Return the frames that `octets` complete and, as errors, what had to be dropped."""
        octets = self._pending + octets
        found: list[MbusFrame | DecodeError] = []
        position = 0
        while position < len(octets):
            start = octets.find(START, position)
            if start != position:
                stop = len(octets) if start < 0 else start
                problem = f"{stop - position} octets stand outside of a frame"
                found.append(DecodeError(problem, octets, position, CLAUSE))
            if start < 0:
                position = len(octets)
                break
            position = start
            try:
                size = _size(octets, start)
                if size is None or len(octets) < start + size:
                    break
                found.append(_read(octets, start, size))
                position = start + size
            except DecodeError as error:
                found.append(error)
                position = start + 1
        self._pending = octets[position:]
        return found

    @property
    def pending(self) -> int:
        """How many octets of an unfinished frame are held."""
        return len(self._pending)


@dataclass(slots=True)
class MbusAssembler:
    """Puts an APDU together from the segments of one sender."""

    _parts: list[bytes] = field(default_factory=list)

    def accept(self, frame: MbusFrame) -> bytes | None:
        """Take a segment; return the APDU that it completes.

        Raises:
            DecodeError: A segment is missing; those before it are forgotten.
        """
        if frame.segment == 0:
            self._parts.clear()
        if frame.segment != len(self._parts):
            problem = f"segment {frame.segment} comes where {len(self._parts)} is expected"
            self._parts.clear()
            raise DecodeError(problem, frame.encode(), 6, CLAUSE_SEGMENTS)
        self._parts.append(frame.data)
        if not frame.last:
            return None
        apdu = b"".join(self._parts)
        self._parts.clear()
        return apdu
