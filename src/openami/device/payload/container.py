# SPDX-License-Identifier: Apache-2.0
"""The payload of an image: the programs of both worlds, one behind the other.

======  ==========  ==================================================
octets  field       value; numbers little-endian
======  ==========  ==================================================
4       magic       `OAMP`
4       secure      octets of the secure world's program, 0 for none
4       management  octets of the non-secure world's program
4       CRC-32      over what is before; the image's signature covers all
n       secure      fills up to a multiple of 8 with zeros
n       management
======  ==========  ==================================================

Both worlds travel in one image: they are verified, tried, confirmed and reverted together, and
neither ever runs beside another release of the other.
"""

import struct
import zlib
from dataclasses import dataclass, field
from typing import Final, Self

from openami.device.payload.errors import PayloadError

MAGIC: Final = b"OAMP"
HEAD: Final = struct.Struct("<4sIII")
UNIT: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Two programs."""

    secure: bytes = field(repr=False)
    management: bytes = field(repr=False)

    def encode(self) -> bytes:
        head = HEAD.pack(MAGIC, len(self.secure), len(self.management), 0)[:-4]
        head += zlib.crc32(head).to_bytes(4, "little")
        return head + self.secure + bytes(-len(self.secure) % UNIT) + self.management

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a payload; zeros may follow, as encryption fills up to its blocks.

        Raises:
            PayloadError: It is none.
        """
        if len(octets) < HEAD.size:
            raise PayloadError(f"a payload of {len(octets)} octets is too short to be one")
        magic, secure, management, crc = HEAD.unpack_from(octets)
        if magic != MAGIC or crc != zlib.crc32(octets[: HEAD.size - 4]):
            found = octets[: HEAD.size].hex(" ")
            raise PayloadError(f"the payload begins with {found}: it holds no programs of a meter")
        second = HEAD.size + secure + -secure % UNIT
        end = second + management
        if end > len(octets) or not management or any(octets[end:]):
            problem = f"programs of {secure} and {management} octets in {len(octets)}"
            raise PayloadError(f"the payload contradicts itself: {problem}")
        return cls(secure=octets[HEAD.size : HEAD.size + secure], management=octets[second:end])
