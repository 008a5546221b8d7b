# SPDX-License-Identifier: Apache-2.0
"""A release of the meter's firmware: both programs in one signed image."""

import uuid
from dataclasses import dataclass
from typing import Final

from openami.device.payload.container import Payload
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import CLASS_ID, SW_TYPE, VENDOR_ID
from openami.device.payload.pack import Packed, pack
from openami.device.payload.parts import PROGRAMS, Program
from openami.device.payload.sources import Library
from openami.firmware.bank import M2351
from openami.firmware.image import Image, Version
from openami.firmware.keys import PrivateKey
from openami.firmware.sign import Recipe, sign
from openami.firmware.tlv import Tlv

AROUND_OCTETS: Final = 0x200 + 1024
"""Header and TLVs of an image, at most."""


def verify_room(packed: Packed) -> None:
    """Accept a program that fits its room.

    Raises:
        PayloadError: It is larger.
    """
    if packed.spare_octets < 0:
        name, room = packed.program.name, packed.program.room_octets
        raise PayloadError(
            f"program {name} has {len(packed.octets):,} octets, {-packed.spare_octets:,} "
            f"more than its room of {room:,}: see `openami image budget`"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Single:
    """A release of one program, which is the payload as it is."""

    program: Program
    sw_type: str
    class_id: uuid.UUID

    def image(
        self,
        library: Library,
        version: Version,
        security_counter: int,
        key: PrivateKey,
        carried: tuple[Tlv, ...] = (),
    ) -> Image:
        """Return the signed image of a package's program, with TLVs that it carries besides.

        Raises:
            PayloadError: It needs what it may not have, or more room than there is.
        """
        packed = pack(self.program, library)
        verify_room(packed)
        recipe = Recipe(
            version=version,
            security_counter=security_counter,
            sw_type=self.sw_type,
            vendor_id=VENDOR_ID.bytes,
            class_id=self.class_id.bytes,
            custom=carried,
        )
        return sign(packed.octets, recipe, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """Everything that goes into an image, before it is signed."""

    programs: tuple[Packed, ...]

    @classmethod
    def of(cls, library: Library) -> "Release":
        """Make the programs out of a package.

        Raises:
            PayloadError: One of them needs what it may not have.
        """
        return cls(programs=tuple(pack(program, library) for program in PROGRAMS))

    @property
    def payload(self) -> Payload:
        octets = {packed.program.name: packed.octets for packed in self.programs}
        return Payload(secure=octets.get("secure", b""), management=octets["management"])

    @property
    def spare_octets(self) -> int:
        """What the slot has left; below 0 the release does not fit."""
        return M2351.room - AROUND_OCTETS - len(self.payload.encode())

    def verify_budget(self) -> None:
        """Accept programs that fit.

        Raises:
            PayloadError: One is larger than its room, or both than the slot.
        """
        for packed in self.programs:
            verify_room(packed)
        if self.spare_octets < 0:
            problem = f"both programs are {-self.spare_octets:,} octets more than the slot holds"
            raise PayloadError(f"{problem}: see `openami image budget`")

    def image(
        self,
        version: Version,
        security_counter: int,
        key: PrivateKey,
        carried: tuple[Tlv, ...] = (),
    ) -> Image:
        """Return the signed image, with TLVs that it carries besides.

        Raises:
            PayloadError: It does not fit.
        """
        self.verify_budget()
        recipe = Recipe(
            version=version,
            security_counter=security_counter,
            sw_type=SW_TYPE,
            vendor_id=VENDOR_ID.bytes,
            class_id=CLASS_ID.bytes,
            custom=carried,
        )
        return sign(self.payload.encode(), recipe, key)
