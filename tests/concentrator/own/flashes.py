# SPDX-License-Identifier: Apache-2.0
"""Flashes of concentrators for tests: a vendor, images of tiny programs, small banks."""

import hashlib
import io
import json
import zipfile
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from openami.concentrator.module import RELEASE
from openami.concentrator.own.banks import KIND
from openami.device.bootregion import REGION, BootRegion
from openami.device.otp import BOOT, Otp
from openami.device.payload.identity import VENDOR_ID
from openami.device.payload.judge import policy
from openami.device.payload.parts import CONCENTRATOR
from openami.firmware.bank import two_banks
from openami.firmware.boot import prepare
from openami.firmware.flash import ERASED, PAGE_OCTETS, SimulatedFlash
from openami.firmware.image import Image, Version
from openami.firmware.keys import VerifyingKey
from openami.firmware.sign import Recipe, sign

KEY = ec.derive_private_key(
    int.from_bytes(hashlib.sha256(b"a vendor of concentrators").digest()), ec.SECP256R1()
)
KEYS = (VerifyingKey.of(KEY),)
MAP = two_banks(8 * PAGE_OCTETS)
REGION_OF_KEYS = BootRegion(program=b"", keys=KEYS)


def program(version: str, entry: str = CONCENTRATOR.entry) -> bytes:
    """Return a program's file that says its version."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("__main__.py", f"print({version!r})\n")
        archive.writestr("table", json.dumps({"entry": entry, "libraries": []}))
        archive.writestr("modules", version.encode() * 500)
    return target.getvalue()


def version_of(payload: bytes) -> str:
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        return archive.read("__main__.py").decode().split("'")[1]


def image(
    version: str = "1.0.0",
    counter: int = 1,
    *,
    payload: bytes | None = None,
    key: ec.EllipticCurvePrivateKey = KEY,
    class_id: bytes = RELEASE.class_id.bytes,
) -> Image:
    """Return an image whose program says its version."""
    recipe = Recipe(
        version=Version.parse(version),
        security_counter=counter,
        sw_type=RELEASE.sw_type,
        vendor_id=VENDOR_ID.bytes,
        class_id=class_id,
    )
    return sign(program(version) if payload is None else payload, recipe, key)


def content() -> bytes:
    """Return a flash with 1.0.0 in bank A, as it left the factory."""
    flash = SimulatedFlash(MAP.end)
    octets = REGION_OF_KEYS.encode()
    flash.program(REGION.offset, octets + ERASED * (-len(octets) % 8))
    prepare(flash, MAP, policy(KEYS, kind=KIND), image().encode())
    return bytes(flash.content)


def otp_of(folder: Path) -> Otp:
    otp = Otp.open(folder / "otp.bin")
    otp.burn(BOOT, REGION_OF_KEYS.digest)
    return otp


def make(home: Path) -> None:
    """Put a flash and its one-time-programmable memory into a concentrator's folder."""
    folder = home / "secure"
    folder.mkdir(parents=True)
    (folder / "flash.bin").write_bytes(content())
    (folder / "update.key").write_bytes(bytes(31) + b"\x07")
    otp_of(folder).close()
