# SPDX-License-Identifier: Apache-2.0
"""An image under a seal: verified at every start, changed only by whoever holds the seal's key.

Metrology is what the law looks at: its program is not updated with management's, and not by the
vendor's keys.  Who approved it signs it; the hash of that key is burned at the factory.

==================  ====================================================================
file                what
==================  ====================================================================
``image.bin``       the signed image; its payload is the program
``seal-pub.pem``    public key of the seal
``otp.bin``         hash of that key, one-time-programmable
``counter.cell``    least security counter: that of the newest image that ever ran
==================  ====================================================================

The host plays the mask ROM, as for the other module (`device.power`), which here verifies the
signature itself: there is no boot in between.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from openami.device.alone import alone
from openami.device.cell import Cell
from openami.device.files import OTP_FILE
from openami.device.otp import BLANK, BOOT, BOOT_ENTRIES, ENTRY_OCTETS, Otp
from openami.device.payload.identity import METROLOGY_CLASS_ID, METROLOGY_SW_TYPE, VENDOR_ID
from openami.device.payload.parts import METROLOGY
from openami.device.payload.release import Single
from openami.device.payload.sources import here
from openami.firmware.errors import ImageError, KeyFormatError
from openami.firmware.image import Image, Version
from openami.firmware.keys import PrivateKey, VerifyingKey, fresh_p256, private_key, public_key
from openami.firmware.verify import Policy, Verified, verify
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_durably

IMAGE_FILE: Final = "image.bin"
SEAL_FILE: Final = "seal-pub.pem"
COUNTER_FILE: Final = "counter.cell"
COUNTER: Final = struct.Struct(">I")
SEAL_KEY: Final = "development-seal-key.pem"
FACTORY_IMAGE: Final = "factory.bin"
FIRST_VERSION: Final = Version(0, 1, 0)
FIRST_COUNTER: Final = 1


class SealBrokenError(UserError):
    """What lies there is not what the seal covers; nothing of it runs."""


@dataclass(frozen=True, slots=True)
class SealedDelivery:
    """What the factory gets: an image, and the public key that it is sealed with."""

    image: bytes = field(repr=False)
    key: bytes


def sealed_image(version: Version, counter: int, key: PrivateKey) -> Image:
    """Make metrology's image out of this package.

    Raises:
        PayloadError: It needs what it may not have, or more room than there is.
    """
    single = Single(program=METROLOGY, sw_type=METROLOGY_SW_TYPE, class_id=METROLOGY_CLASS_ID)
    return single.image(here(), version, counter, key)


def delivered(folder: Path) -> SealedDelivery:
    """Return what lies in a folder; make a seal for development and an image where nothing does.

    Raises:
        PayloadError: The image cannot be made.
        UserError: The folder cannot be written, or what lies there cannot be used.
    """
    image, seal, own = folder / FACTORY_IMAGE, folder / SEAL_FILE, folder / SEAL_KEY
    try:
        if not (image.exists() and seal.exists()):
            folder.mkdir(parents=True, exist_ok=True)
            with alone(folder):  # meters of one factory are first started at the same moment
                _make_what_is_missing(image, seal, own)
        return SealedDelivery(image.read_bytes(), seal.read_bytes())
    except (OSError, KeyFormatError) as error:
        remedy = "deliver image and public key of the seal"
        raise UserError(f"no metrology in {folder} ({error}): {remedy}") from None


def _make_what_is_missing(image: Path, seal: Path, own: Path) -> None:
    if not seal.exists():
        key = fresh_p256(os.urandom)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_durably(own, pem, mode=PRIVATE)
        public = key.public_key()
        write_durably(seal, public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    if not image.exists() and own.exists():
        made = sealed_image(FIRST_VERSION, FIRST_COUNTER, private_key(own.read_bytes()))
        write_durably(image, made.encode())


def is_made(folder: Path) -> bool:
    """Tell whether the factory has burned the seal."""
    return (folder / OTP_FILE).exists() and _burned(folder) != BLANK * ENTRY_OCTETS * BOOT_ENTRIES


def make(folder: Path, delivery: SealedDelivery) -> None:
    """Put an image under its seal; may be cut off anywhere and called again until `is_made`.

    Raises:
        SealBrokenError: The seal does not cover the image.
        UserError: The disk refused, or the key is none.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    write_durably(folder / IMAGE_FILE, delivery.image)
    write_durably(folder / SEAL_FILE, delivery.key)
    key = _key(folder)
    _verified(folder, key, 0)
    otp = Otp.open(folder / OTP_FILE)
    try:
        otp.burn(BOOT, key.keyhash)  # last: says that the module is whole
    finally:
        otp.close()


def start(folder: Path) -> Verified:
    """Return the image that may run; raise the counter to its own.

    Raises:
        SealBrokenError: None may.
        StorageError: The counter can be neither read nor written.
    """
    if (owner := folder.stat().st_uid) != os.geteuid():
        raise SealBrokenError(f"{folder} belongs to user {owner}, who may have exchanged it")
    key = _key(folder)
    if key.keyhash != _burned(folder):
        raise SealBrokenError(
            f"{folder / SEAL_FILE} is not the seal that was burned at the factory: "
            "bring the file back"
        )
    cell, finding = Cell.open(folder / COUNTER_FILE, initial=COUNTER.pack(0))
    try:
        if finding is not None:
            raise SealBrokenError(f"{finding}: nobody knows the counter any more")
        (counter,) = COUNTER.unpack(cell.value)
        verified = _verified(folder, key, counter)
        if (own := verified.security_counter or 0) > counter:
            cell.store(COUNTER.pack(own))
    finally:
        cell.close()
    return verified


def _burned(folder: Path) -> bytes:
    otp = Otp.open(folder / OTP_FILE)
    try:
        return otp.read(BOOT, BOOT_ENTRIES)
    finally:
        otp.close()


def _key(folder: Path) -> VerifyingKey:
    try:
        return public_key((folder / SEAL_FILE).read_bytes())
    except (OSError, KeyFormatError) as error:
        raise SealBrokenError(f"{folder / SEAL_FILE}: {error}: bring the file back") from None


def _verified(folder: Path, key: VerifyingKey, counter: int) -> Verified:
    path = folder / IMAGE_FILE
    policy = Policy(
        keys=(key,),
        counter=counter,
        vendor_id=VENDOR_ID.bytes,
        class_id=METROLOGY_CLASS_ID.bytes,
    )
    try:
        return verify(Image.decode(path.read_bytes()), policy)
    except (OSError, ImageError) as error:
        remedy = "put the image back that the seal covers"
        raise SealBrokenError(f"{path}: {error}: {remedy}") from None
