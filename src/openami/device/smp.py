# SPDX-License-Identifier: Apache-2.0
"""The Simple Management Protocol over a serial line, as MCUboot's recovery speaks it.

A message::

    octet   op: 0 read, 1 its response, 2 write, 3 its response
    octet   flags
    u16     octets of the body, big-endian as all here
    u16     group: 0 system, 1 image
    octet   sequence
    octet   command
    body    a map in CBOR

On the line: length u16 (of message and CRC), message, CRC-16/XMODEM, in base64, cut into lines of
127 octets at most; the first line begins with 06 09, the following with 04 14.  Both ends are here;
neither does any input or output.
"""

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, Self

from openami.firmware import cbor

HEAD: Final = struct.Struct(">BBHHBB")
FIRST: Final = b"\x06\x09"
FOLLOWING: Final = b"\x04\x14"
END: Final = b"\n"
LINE_OCTETS: Final = 127
MOST_OCTETS: Final = 2048
"""Of a message."""


class SmpError(Exception):
    """Octets that are no message."""


class Op(IntEnum):
    """What a message is."""

    READ = 0
    READ_RESPONSE = 1
    WRITE = 2
    WRITE_RESPONSE = 3


class Group(IntEnum):
    """Whom it is for."""

    SYSTEM = 0
    IMAGE = 1


class Code(IntEnum):
    """Results, as the field `rc` carries them."""

    DONE = 0
    UNKNOWN = 1
    NO_MEMORY = 2
    INVALID = 3
    TIMEOUT = 4
    NO_ENTRY = 5
    BAD_STATE = 6
    TOO_LARGE = 7
    NOT_SUPPORTED = 8


ECHO, RESET = 0, 5
"""Commands of the system."""
STATE, UPLOAD = 0, 1
"""Commands of images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Smp:
    """One message."""

    op: Op
    group: int
    command: int
    sequence: int = 0
    body: Mapping[object, object] = field(default_factory=dict)

    def encode(self) -> bytes:
        body = cbor.encode(dict(self.body))
        head = (self.op, 0, len(body), self.group, self.sequence, self.command)
        return HEAD.pack(*head) + body

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a message.

        Raises:
            SmpError: It is none.
        """
        if len(octets) < HEAD.size:
            raise SmpError(f"a message has {HEAD.size} octets or more, not {len(octets)}")
        op, _, length, group, sequence, command = HEAD.unpack_from(octets)
        if length != len(octets) - HEAD.size:
            raise SmpError(f"the body has {len(octets) - HEAD.size} octets, its head says {length}")
        try:
            body = cbor.decode(octets[HEAD.size :])
            operation = Op(op & 7)
        except (cbor.CborError, ValueError) as error:
            raise SmpError(str(error)) from None
        if not isinstance(body, dict):
            raise SmpError("the body is no map")
        return cls(op=operation, group=group, command=command, sequence=sequence, body=body)

    @property
    def is_request(self) -> bool:
        """Whether somebody wants an answer."""
        return self.op in {Op.READ, Op.WRITE}

    def answer(self, body: Mapping[object, object]) -> "Smp":
        """Return the response to this request."""
        return Smp(
            op=Op(self.op + 1),
            group=self.group,
            command=self.command,
            sequence=self.sequence,
            body=body,
        )


def to_lines(message: Smp) -> bytes:
    """Return what goes onto the line."""
    octets = message.encode()
    whole = (len(octets) + 2).to_bytes(2) + octets + binascii.crc_hqx(octets, 0).to_bytes(2)
    text = base64.b64encode(whole)
    room = (LINE_OCTETS - len(FIRST) - len(END)) // 4 * 4
    parts = [text[at : at + room] for at in range(0, len(text), room)]
    marks = [FIRST, *[FOLLOWING] * (len(parts) - 1)]
    return b"".join(mark + part + END for mark, part in zip(marks, parts, strict=True))


class LineReader:
    """Finds messages among what comes over a line; anything else is passed over."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._whole = b""

    def feed(self, octets: bytes) -> Iterator[Smp]:
        """Take octets; yield the messages that are complete and sound."""
        for octet in octets.replace(b"\r", END):
            if octet != END[0]:
                if len(self._line) < 2 * LINE_OCTETS:
                    self._line.append(octet)
                continue
            line, self._line = bytes(self._line), bytearray()
            if (message := self._take(line)) is not None:
                yield message

    def _take(self, line: bytes) -> Smp | None:
        mark, text = line[:2], line[2:]
        if mark == FIRST:
            self._whole = b""
        elif mark != FOLLOWING or not self._whole:
            return None
        try:
            self._whole += base64.b64decode(text, validate=True)
        except binascii.Error:
            self._whole = b""
            return None
        wanted = int.from_bytes(self._whole[:2])
        if len(self._whole) > MOST_OCTETS or len(self._whole) < wanted + 2:
            return None
        octets, crc = self._whole[2:wanted], self._whole[wanted : wanted + 2]
        self._whole = b""
        if binascii.crc_hqx(octets, 0) != int.from_bytes(crc):
            return None
        try:
            return Smp.decode(octets)
        except SmpError:
            return None
