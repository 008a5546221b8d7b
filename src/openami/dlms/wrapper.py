# SPDX-License-Identifier: Apache-2.0
"""The wrapper: APDUs on TCP and UDP (IEC 62056-47).

::

    version 0001 | source wPort | destination wPort | length | APDU

Each of the four is 16 bits, big-endian.  TCP is a stream, so `WrapperReader` finds the frames in
whatever pieces arrive; a UDP datagram holds whole frames.
"""

from dataclasses import dataclass, field
from struct import Struct
from typing import Final, NamedTuple, Self

from openami.dlms.errors import DecodeError
from openami.dlms.sap import Sap

CLAUSE: Final = "IEC 62056-47, 6"

VERSION: Final = 0x0001
HEADER_OCTETS: Final = 8
LONGEST_APDU_OCTETS: Final = 0xFFFF

_HEADER: Final = Struct(">HHHH")


class WrapperFrame(NamedTuple):
    """One wrapper protocol data unit; a reply swaps source and destination."""

    source: Sap
    destination: Sap
    apdu: bytes

    def encode(self) -> bytes:
        if not 0 < len(self.apdu) <= LONGEST_APDU_OCTETS:
            raise ValueError(
                f"an APDU of {len(self.apdu)} octets does not fit into a wrapper frame, "
                f"which holds 1 to {LONGEST_APDU_OCTETS}; use block transfer"
            )
        return _HEADER.pack(VERSION, self.source, self.destination, len(self.apdu)) + self.apdu

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read exactly one frame."""
        reader = WrapperReader()
        frames = reader.feed(octets)
        reader.end()
        if len(frames) != 1:
            problem = f"{len(frames)} frames where one is expected"
            raise DecodeError(problem, octets, len(octets), CLAUSE)
        return cls(*frames[0])


@dataclass(slots=True)
class WrapperReader:
    """Splits a stream into frames; each connection has one.

    Attributes:
        max_apdu_octets: A longer announced APDU is refused before its octets are awaited.
    """

    max_apdu_octets: int = LONGEST_APDU_OCTETS
    _pending: bytearray = field(default_factory=bytearray, repr=False)
    _needed: int = field(default=HEADER_OCTETS, repr=False)
    _error: DecodeError | None = field(default=None, repr=False)

    def feed(self, octets: bytes) -> list[WrapperFrame]:
        """Take octets as they came and return the frames they complete.

        Frames ahead of a fault are still returned; the fault is raised when none is ahead of it,
        at the latest by the next call.

        Raises:
            DecodeError: The stream is lost, now and for good: the connection is to be closed.
        """
        if self._error is not None:
            raise self._error
        pending = self._pending
        if pending:
            pending += octets
            if len(pending) < self._needed:
                return []
            octets = bytes(pending)
            pending.clear()
        frames: list[WrapperFrame] = []
        offset, end = 0, len(octets)
        needed = HEADER_OCTETS
        while end - offset >= HEADER_OCTETS:
            version, source, destination, length = _HEADER.unpack_from(octets, offset)
            if version != VERSION or not 0 < length <= self.max_apdu_octets:
                self._error = self._refusal(octets, offset, version, length)
                if not frames:
                    raise self._error
                return frames
            needed = HEADER_OCTETS + length
            if end - offset < needed:
                break
            following = offset + needed
            apdu = octets[offset + HEADER_OCTETS : following]
            frames.append(WrapperFrame(Sap(source), Sap(destination), apdu))
            offset, needed = following, HEADER_OCTETS
        if offset < end:
            pending += memoryview(octets)[offset:]
            self._needed = needed
        return frames

    @property
    def pending(self) -> int:
        """How many octets of an unfinished frame are held."""
        return len(self._pending)

    def end(self) -> None:
        """Accept that the peer closed only if no frame is unfinished.

        Raises:
            DecodeError: The last frame was cut off, or an earlier fault was not raised yet.
        """
        if self._error is not None:
            raise self._error
        if self._pending:
            held = bytes(self._pending[:HEADER_OCTETS])
            problem = f"the stream ends after {len(self._pending)} of {self._needed} octets"
            raise DecodeError(problem, held, len(held), CLAUSE)

    def _refusal(self, octets: bytes, offset: int, version: int, length: int) -> DecodeError:
        header = octets[offset : offset + HEADER_OCTETS]
        if version != VERSION:
            problem = f"wrapper version is {version:04X}, not {VERSION:04X}; this is no DLMS/COSEM"
            return DecodeError(problem, header, 0, CLAUSE)
        problem = f"wrapper length is {length}, not 1 to {self.max_apdu_octets}"
        return DecodeError(problem, header, 6, CLAUSE)
