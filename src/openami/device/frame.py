# SPDX-License-Identifier: Apache-2.0
"""Frames on a serial line: consistent overhead byte stuffing, with CRC-16/X.25 outside.

A frame is the stuffed octets of header, payload and CRC, ended by one zero octet.  Zero stands
nowhere else: a reader that joins in the middle, or lost octets, is in step again at the next zero.

======  ========  ====================================================================
octets  field     value
======  ========  ====================================================================
1       kind      what the frame is; 0 to 7 belong to the link itself
4       session   names the keys that protect it; 0 while a session is being opened
6       counter   of the frames sent in the session, 1, 2, 3 …; 0 while one is being opened
1       sequence  of a numbered message, modulo 256
1       ack       the sequence that is expected next from the peer
n       payload   ciphertext and tag (`device.session`), in clear while a session is opened
2       CRC       CRC-16/X.25 over all of it, least significant octet first
======  ========  ====================================================================

The CRC finds what a line spoils; whether a frame is the peer's only its tag says.
"""

import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

LONGEST_PAYLOAD: Final = 1024  # of a message
TAG_OCTETS: Final = 8
LONGEST_BODY: Final = LONGEST_PAYLOAD + TAG_OCTETS
COUNTER_OCTETS: Final = 6
HEAD: Final = struct.Struct(f">BI{COUNTER_OCTETS}sBB")


def _table() -> tuple[int, ...]:
    rows = []
    for octet in range(256):
        value = octet
        for _ in range(8):
            value = value >> 1 ^ (0x8408 if value & 1 else 0)
        rows.append(value)
    return tuple(rows)


_CRC: Final = _table()


def crc16(octets: bytes) -> int:
    """Return CRC-16/X.25, the frame check sequence of HDLC (ISO/IEC 13239, annex A)."""
    value = 0xFFFF
    for octet in octets:
        value = value >> 8 ^ _CRC[(value ^ octet) & 0xFF]
    return value ^ 0xFFFF


def stuff(octets: bytes) -> bytes:
    """Return `octets` without a zero among them."""
    stuffed = bytearray()
    for run in octets.split(b"\x00"):
        part = run
        while len(part) >= 254:
            stuffed.append(255)
            stuffed += part[:254]
            part = part[254:]
        stuffed.append(len(part) + 1)
        stuffed += part
    return bytes(stuffed)


def unstuff(stuffed: bytes) -> bytes | None:
    """Return what `stuff` was given; None when it cannot have been so."""
    octets = bytearray()
    offset = 0
    while offset < len(stuffed):
        code = stuffed[offset]
        end = offset + code
        if code == 0 or end > len(stuffed):
            return None
        octets += stuffed[offset + 1 : end]
        if code < 255 and end < len(stuffed):
            octets.append(0)
        offset = end
    return bytes(octets)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One frame, as in the table above."""

    NUMBERED_FROM: ClassVar = 64  # kinds from here on carry a sequence and are delivered in order

    kind: int
    session: int
    counter: int
    sequence: int
    ack: int
    payload: bytes = b""

    @property
    def head(self) -> bytes:
        """Everything in front of the payload."""
        counter = self.counter.to_bytes(COUNTER_OCTETS)
        return HEAD.pack(self.kind, self.session, counter, self.sequence, self.ack)

    def encode(self) -> bytes:
        body = self.head + self.payload
        return stuff(body + crc16(body).to_bytes(2, "little")) + b"\x00"

    @classmethod
    def decode(cls, stuffed: bytes) -> Self | None:
        """Read the octets before a zero; None when they are no whole, sound frame."""
        octets = unstuff(stuffed)
        if octets is None or not HEAD.size + 2 <= len(octets) <= HEAD.size + LONGEST_BODY + 2:
            return None
        body = octets[:-2]
        if crc16(body) != int.from_bytes(octets[-2:], "little"):
            return None
        kind, session, counter, sequence, ack = HEAD.unpack_from(body)
        return cls(
            kind=kind,
            session=session,
            counter=int.from_bytes(counter),
            sequence=sequence,
            ack=ack,
            payload=body[HEAD.size :],
        )


class FrameReader:
    """Takes octets as they come and returns the sound frames among them.

    Attributes:
        spoilt: How many stretches between zeros were no frame.
    """

    LONGEST: ClassVar = HEAD.size + LONGEST_BODY + 16

    def __init__(self) -> None:
        self.spoilt = 0
        self._waiting = b""

    def feed(self, octets: bytes) -> list[Frame]:
        """Return the frames that end within `octets`."""
        *ended, self._waiting = (self._waiting + octets).split(b"\x00")
        frames = []
        for stuffed in ended:
            if stuffed:
                frame = Frame.decode(stuffed)
                if frame is None:
                    self.spoilt += 1
                else:
                    frames.append(frame)
        if len(self._waiting) > self.LONGEST:
            # Noise without an end: keep too much of it, so that it is refused when it ends.
            self._waiting = self._waiting[: self.LONGEST]
        return frames
