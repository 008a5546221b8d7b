# SPDX-License-Identifier: Apache-2.0
"""Keys and images for tests, the same in each run."""

import json
import random
import zlib
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from openami.firmware.image import Image, Version
from openami.firmware.keys import Entropy, VerifyingKey, decryption_key, public_key
from openami.firmware.sign import Encryption, Recipe, sign

FOLDER: Final = Path(__file__).resolve().parent.parent / "vectors" / "firmware"
MANIFEST: Final[dict[str, Any]] = json.loads((FOLDER / "manifest.json").read_text("utf-8"))
VECTORS: Final[list[dict[str, Any]]] = MANIFEST["images"]
TRUSTED: Final = public_key((FOLDER / "fw-key-0-pub.pem").read_bytes())
OPENS: Final = decryption_key((FOLDER / "enc-key.pem").read_bytes())

SIGNS: Final = ec.derive_private_key(0x1234567, ec.SECP256R1())
OURS: Final = VerifyingKey.of(SIGNS)
DEVICE: Final = ec.derive_private_key(0x7654321, ec.SECP256R1())


def entropy(seed: int = 1) -> Entropy:
    return random.Random(seed).randbytes


def payload_of(octets: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(octets)


def image_of(
    version: str = "1.0.0",
    counter: int | None = 1,
    octets: int = 3000,
    *,
    header_octets: int = 64,
    encrypted: bool = False,
    **more: Any,
) -> Image:
    recipe = Recipe(
        version=Version.parse(version),
        security_counter=counter,
        header_octets=header_octets,
        **more,
    )
    encryption = Encryption(recipient=DEVICE.public_key(), entropy=entropy())
    payload = payload_of(octets, zlib.crc32(version.encode()))
    return sign(payload, recipe, SIGNS, encryption=encryption if encrypted else None)
