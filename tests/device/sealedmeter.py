# SPDX-License-Identifier: Apache-2.0
"""Devices with a secure boot for tests: a vendor, images of tiny programs, a flash in memory."""

import hashlib
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from openami.device.bootregion import REGION, BootRegion
from openami.device.factory import Delivery
from openami.device.otp import BOOT, Otp
from openami.device.payload.container import Payload
from openami.device.payload.identity import CLASS_ID, SW_TYPE, VENDOR_ID
from openami.device.payload.judge import policy
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank
from openami.firmware.boot import prepare
from openami.firmware.flash import ERASED, SimulatedFlash
from openami.firmware.image import Image, Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.sign import Recipe, sign
from openami.firmware.tlv import Tlv

KEY = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"a vendor of tests").digest()), ec.SECP256R1()
)
KEYS = (VerifyingKey.of(KEY),)


def image(
    version: str = "1.0.0",
    counter: int = 1,
    *,
    payload: bytes | None = None,
    key: object = KEY,
    carried: tuple[Tlv, ...] = (),
) -> Image:
    """Return an image whose programs say their version."""
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    programs = Payload(secure=b"secure " + version.encode(), management=b"runs " + version.encode())
    recipe = Recipe(
        version=Version.parse(version),
        security_counter=counter,
        sw_type=SW_TYPE,
        vendor_id=VENDOR_ID.bytes,
        class_id=CLASS_ID.bytes,
        custom=carried,
    )
    return sign(programs.encode() if payload is None else payload, recipe, key)


def delivery(first: Image | None = None) -> Delivery:
    return Delivery(image=(first or image()).encode(), keys=KEYS)


def flash_with(first: Image | None = None, program: bytes = b"boot") -> SimulatedFlash:
    """Return a prepared flash, its history forgotten."""
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    octets = BootRegion(program=program, keys=KEYS).encode()
    flash.program(REGION.offset, octets + ERASED * (-len(octets) % 8))
    prepare(flash, M2351, policy(KEYS), (first or image()).encode())
    return SimulatedFlash(bytes(flash.content))


def otp_with(path: Path, program: bytes = b"boot") -> Otp:
    otp = Otp.open(path)
    otp.burn(BOOT, BootRegion(program=program, keys=KEYS).digest)
    return otp


def spoil(flash: SimulatedFlash, bank: Bank) -> None:
    """Change one octet of a bank's image."""
    flash.content[M2351.slot(bank).offset + 0x210] ^= 0x01
