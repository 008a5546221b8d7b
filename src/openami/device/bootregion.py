# SPDX-License-Identifier: Apache-2.0
"""The boot region: the program that verifies images, and the keys it trusts; never written again.

======  ========  ======================================================
octets  field     value; numbers little-endian; at the flash's beginning
======  ========  ======================================================
4       magic     `OABL`
4       program   octets of the program
4       keys      octets of the keys
4       CRC-32    over what is before
n       program
n       keys      length u16 and SubjectPublicKeyInfo in DER, repeated
======  ========  ======================================================

A length with its top bit set is the root key's: it signs no image, it says which keys are given up
(`firmware.revocation`).  Which are stands in one-time-programmable memory, a bit for each place in
the list.

Its SHA-256 stands in one-time-programmable memory.  The mask ROM, here the host that gives the
module its power, compares both and runs the program, at each start.
"""

import hashlib
import struct
import zlib
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from openami.device.otp import (
    BOOT,
    BOOT_ENTRIES,
    REVOKED,
    REVOKED_ENTRIES,
    Otp,
)
from openami.firmware.bank import Region
from openami.firmware.flash import Flash
from openami.firmware.keys import VerifyingKey
from openami.firmware.revocation import name_of

MAGIC: Final = b"OABL"
HEAD: Final = struct.Struct("<4sIII")
REGION: Final = Region(0, 0x8000)
ROOT: Final = 0x8000
"""Marks the length of the root key."""
MOST_KEYS: Final = 16
"""So many, with the root's, have room behind the program; OTP could revoke 64."""


class BootRegionError(Exception):
    """What lies where the boot belongs must not run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRegion:
    """The boot of one device."""

    program: bytes = field(repr=False)
    keys: tuple[VerifyingKey, ...]
    root: VerifyingKey | None = None

    def encode(self) -> bytes:
        rows = [(0, _der(key)) for key in self.keys]
        if self.root is not None:
            rows.append((ROOT, _der(self.root)))
        keys = b"".join(
            (mark | len(octets)).to_bytes(2, "little") + octets for mark, octets in rows
        )
        head = HEAD.pack(MAGIC, len(self.program), len(keys), 0)[:-4]
        return head + zlib.crc32(head).to_bytes(4, "little") + self.program + keys

    @property
    def digest(self) -> bytes:
        return hashlib.sha256(self.encode()).digest()

    @classmethod
    def read(cls, flash: Flash) -> Self:
        """Take the boot out of a flash.

        Raises:
            BootRegionError: None is there.
        """
        octets = flash.read(*REGION)
        magic, program, keys, crc = HEAD.unpack_from(octets)
        end = HEAD.size + program + keys
        if magic != MAGIC or crc != zlib.crc32(octets[: HEAD.size - 4]) or end > len(octets):
            raise BootRegionError("the boot region of the flash holds no boot")
        found: list[VerifyingKey] = []
        root: VerifyingKey | None = None
        at = HEAD.size + program
        while at < end:
            mark = int.from_bytes(octets[at : at + 2], "little")
            size = mark & ~ROOT
            try:
                key = VerifyingKey.of(load_der_public_key(octets[at + 2 : at + 2 + size]))
            except ValueError:
                raise BootRegionError("a key in the boot region cannot be read") from None
            if mark & ROOT:
                root = key
            else:
                found.append(key)
            at += 2 + size
        program_octets = octets[HEAD.size : HEAD.size + program]
        return cls(program=program_octets, keys=tuple(found), root=root)

    def verify(self, otp: Otp) -> None:
        """Accept the boot whose hash was burned.

        Raises:
            BootRegionError: It is another.
        """
        burned = otp.read(BOOT, BOOT_ENTRIES)
        if self.digest != burned:
            found = f"{self.digest.hex()[:16]}…, burned is {burned.hex()[:16]}…"
            raise BootRegionError(f"the boot region was altered ({found}): exchange the device")

    def trusted(self, otp: Otp) -> tuple[VerifyingKey, ...]:
        """Return the keys that were not given up."""
        bits = otp.read(REVOKED, REVOKED_ENTRIES)
        return tuple(
            key for place, key in enumerate(self.keys) if bits[place // 8] >> place % 8 & 1
        )

    def revoke(self, names: Collection[bytes], otp: Otp) -> tuple[VerifyingKey, ...]:
        """Give up the keys of these names for good; return those that were believed until now.

        Unknown names are other devices' keys.

        Raises:
            StorageError: The disk refused.
        """
        gone = tuple(key for key in self.trusted(otp) if name_of(key) in names)
        bits = bytearray(otp.read(REVOKED, REVOKED_ENTRIES))
        for key in gone:
            place = self.keys.index(key)
            bits[place // 8] &= ~(1 << place % 8)
        if gone:
            otp.burn(REVOKED, bytes(bits))
        return gone


def _der(key: VerifyingKey) -> bytes:
    return key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
