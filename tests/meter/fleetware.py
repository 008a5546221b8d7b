# SPDX-License-Identifier: Apache-2.0
"""Firmware for meters of a fleet in tests: small images, and a flash that began with one."""

from functools import cache
from pathlib import Path
from random import Random
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec

from openami.device.bootregion import REGION, BootRegion
from openami.device.payload.container import Payload
from openami.device.payload.identity import CLASS_ID, SW_TYPE, VENDOR_ID
from openami.device.payload.judge import policy
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS
from openami.firmware.boot import prepare
from openami.firmware.flash import ERASED, UNIT_OCTETS, SimulatedFlash
from openami.firmware.image import Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.sign import Recipe, sign
from openami.meter.fleet_flash import IMAGE_FILE

KEY: Final = ec.derive_private_key(0x0F1EE7, ec.SECP256R1())


@cache
def image(minor: int, octets: int = 5000, key: ec.EllipticCurvePrivateKey = KEY) -> bytes:
    """Return a signed image 0.`minor`.0 with a program of so many octets."""
    recipe = Recipe(
        version=Version(0, minor, 0),
        security_counter=minor,
        sw_type=SW_TYPE,
        vendor_id=VENDOR_ID.bytes,
        class_id=CLASS_ID.bytes,
    )
    program = Random(minor).randbytes(octets)
    return sign(Payload(secure=b"", management=program).encode(), recipe, key).encode()


@cache
def flash_image() -> bytes:
    """Return the flash of meters that left their factory with 0.1.0."""
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    keys = (VerifyingKey.of(KEY),)
    octets = BootRegion(program=b"boot", keys=keys).encode()
    flash.program(REGION.offset, octets + ERASED * (-len(octets) % UNIT_OCTETS))
    prepare(flash, M2351, policy(keys), image(1))
    return bytes(flash.content)


def make_factory(home: Path) -> None:
    """Let the meters of the fleet in `home` have left a factory."""
    home.mkdir(parents=True, exist_ok=True)
    (home / IMAGE_FILE).write_bytes(flash_image())
