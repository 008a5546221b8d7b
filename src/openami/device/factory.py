# SPDX-License-Identifier: Apache-2.0
"""The factory: makes the flash and the one-time-programmable memory of a new device.

======================  ================================================================
file                    what
======================  ================================================================
``secure/flash.bin``    boot region, bank A with the first image, the boot's state
``secure/otp.bin``      hash of the boot region, and of the debug key if there is one
``secure/update.key``   P-256 scalar that opens images encrypted for this device
``update-pub.pem``      its public key, for whoever encrypts them
======================  ================================================================

`brought` takes what `openami credentials delivery` made: ``factory.bin``, ``trusted/*.pem`` and
``root.pem``.  ``debug.pem`` beside them is the public key that opens debug ports; without it none
ever opens.  `development` makes keys and a first image for an installation that brought none.
Its private key lies on the same machine as the meters: what it signs proves nothing to anybody
else.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from openami.device.alone import alone
from openami.device.bootregion import MOST_KEYS, REGION, BootRegion
from openami.device.debugtoken import name_of
from openami.device.files import FLASH_FILE, OTP_FILE, SECURE, UPDATE_KEY_FILE
from openami.device.flash import FlashFile
from openami.device.fwu import SCALAR_OCTETS, update_key
from openami.device.otp import BLANK, BOOT, BOOT_ENTRIES, DEBUG, ENTRY_OCTETS, Otp
from openami.device.payload.judge import METER, Kind, policy
from openami.device.payload.pack import pack
from openami.device.payload.parts import BOOT as BOOT_PROGRAM
from openami.device.payload.release import Release
from openami.device.payload.sources import here
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, FlashMap
from openami.firmware.boot import prepare
from openami.firmware.errors import FirmwareError, ImageError, KeyFormatError
from openami.firmware.flash import ERASED, PAGE_OCTETS, UNIT_OCTETS
from openami.firmware.image import Image, Version
from openami.firmware.keys import PrivateKey, VerifyingKey, fresh_p256, private_key, public_key
from openami.firmware.verify import verify
from openami.psa.formats import public_point
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_durably

UPDATE_PUBLIC: Final = "update-pub.pem"
SIGNING_KEY: Final = "development-key.pem"
FACTORY_IMAGE: Final = "factory.bin"
ROOT_FILE: Final = "root.pem"
TRUSTED: Final = "trusted"
DEBUG_FILE: Final = "debug.pem"
FIRST_VERSION: Final = Version(0, 1, 0)
FIRST_COUNTER: Final = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What the factory makes.

    Attributes:
        kind: Of the device.
        flash_map: Where everything lies in its flash.
        boot: Makes the program in front of the banks; empty where the host verifies images itself.
        image: Makes an image out of this package, of a version, with a counter, signed with a key.
    """

    kind: Kind
    flash_map: FlashMap
    flash_octets: int
    boot: Callable[[], bytes]
    image: Callable[[Version, int, PrivateKey], Image]


METER_MODEL: Final = Model(
    kind=METER,
    flash_map=M2351,
    flash_octets=M2351_FLASH_OCTETS,
    boot=lambda: pack(BOOT_PROGRAM, here()).octets,
    image=lambda version, counter, key: Release.of(here()).image(version, counter, key),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What a factory gets from the vendor: the first image, and the keys that devices trust.

    Attributes:
        debug: 04 || x || y of the key that opens debug ports; empty for none.
    """

    image: bytes = field(repr=False)
    keys: tuple[VerifyingKey, ...]
    root: VerifyingKey | None = None
    debug: bytes = b""


def brought(folder: Path, model: Model = METER_MODEL) -> Delivery | None:
    """Return what a vendor delivered into a folder; None if nobody did.

    Raises:
        UserError: It cannot be read, or the image is not signed by one of the keys.
    """
    if not (folder / TRUSTED).is_dir():
        return None
    paths = sorted((folder / TRUSTED).glob("*.pem"))
    root, *keys = map(_public, (folder / ROOT_FILE, *paths))
    delivery = Delivery(
        image=_octets(folder / FACTORY_IMAGE),
        keys=tuple(keys),
        root=root,
        debug=_debug_point(folder),
    )
    return _judged(folder, delivery, model)


def development(folder: Path, model: Model = METER_MODEL) -> Delivery:
    """Return what is in a folder; make a signing key and a first image where they are missing.

    Raises:
        PayloadError: The image does not fit.
        UserError: The folder cannot be written, or what lies there is no key, or no image.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with alone(folder):
        key_file, image_file = folder / SIGNING_KEY, folder / FACTORY_IMAGE
        if not key_file.exists():
            pem = fresh_p256(os.urandom).private_bytes(
                Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
            )
            write_durably(key_file, pem, mode=PRIVATE)
        try:
            key = private_key(key_file.read_bytes())
        except KeyFormatError as error:
            raise UserError(f"{key_file}: {error}; bring a sound one, or remove it") from None
        if not image_file.exists():
            image = model.image(FIRST_VERSION, FIRST_COUNTER, key)
            write_durably(image_file, image.encode())
        keys = (VerifyingKey.of(key),)
        image_octets = image_file.read_bytes()
        delivery = Delivery(image=image_octets, keys=keys, debug=_debug_point(folder))
        return _judged(folder, delivery, model)


def _judged(folder: Path, delivery: Delivery, model: Model) -> Delivery:
    try:
        demanded = policy(delivery.keys, root=delivery.root, kind=model.kind)
        verify(Image.decode(delivery.image), demanded)
    except ImageError as error:
        remedy = "bring an image that is signed with a key beside it, or remove the file"
        raise UserError(f"{folder / FACTORY_IMAGE}: {error}: {remedy}") from None
    if not 0 < len(delivery.keys) <= MOST_KEYS:
        raise UserError(
            f"{folder / TRUSTED} holds {len(delivery.keys)} keys: a boot has room "
            f"for 1 to {MOST_KEYS}"
        )
    return delivery


def _public(path: Path) -> VerifyingKey:
    try:
        return public_key(_octets(path))
    except KeyFormatError as error:
        raise UserError(f"{path}: {error}") from None


def _debug_point(folder: Path) -> bytes:
    path = folder / DEBUG_FILE
    if not path.exists():
        return b""
    found = _public(path).key
    if not isinstance(found, ec.EllipticCurvePublicKey) or not isinstance(
        found.curve, ec.SECP256R1
    ):
        raise UserError(f"{path} is no key of P-256: bring one, or remove it")
    return public_point(found)


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): deliver it anew") from None


def is_made(home: Path) -> bool:
    """Tell whether the device in `home` left its factory."""
    path = home / SECURE / OTP_FILE
    if not path.exists():
        return False
    otp = Otp.open(path)
    try:
        return otp.read(BOOT, BOOT_ENTRIES) != BLANK * ENTRY_OCTETS * BOOT_ENTRIES
    finally:
        otp.close()


def make(home: Path, delivery: Delivery, model: Model = METER_MODEL) -> None:
    """Make the device in `home`; may be cut off anywhere and called again until `is_made`.

    Raises:
        FirmwareError: The image is not good, or there are too many keys.
        StorageError: The disk refused.
    """
    folder = home / SECURE
    folder.mkdir(mode=0o700, exist_ok=True)
    for name in (FLASH_FILE, OTP_FILE):
        (folder / name).unlink(missing_ok=True)
    _make_update_key(home)
    region = BootRegion(program=model.boot(), keys=delivery.keys, root=delivery.root)
    octets = region.encode()
    if len(octets) > REGION.octets:
        problem = f"boot and keys have {len(octets)} octets, their region {REGION.octets}"
        raise FirmwareError(f"{problem}: deliver fewer keys")
    flash = FlashFile.open(folder / FLASH_FILE, model.flash_octets)
    try:
        for at in range(0, len(octets), PAGE_OCTETS):
            page = octets[at : at + PAGE_OCTETS]
            flash.program(REGION.offset + at, page + ERASED * (-len(page) % UNIT_OCTETS))
        prepare(flash, model.flash_map, policy(delivery.keys, kind=model.kind), delivery.image)
    finally:
        flash.close()
    otp = Otp.open(folder / OTP_FILE)
    try:
        if delivery.debug:
            otp.burn(DEBUG, name_of(delivery.debug))
        otp.burn(BOOT, region.digest)  # last: says that the device is whole
    finally:
        otp.close()


def _make_update_key(home: Path) -> None:
    path = home / SECURE / UPDATE_KEY_FILE
    if not path.exists():
        scalar = fresh_p256(os.urandom).private_numbers().private_value
        write_durably(path, scalar.to_bytes(SCALAR_OCTETS), mode=PRIVATE)
    public = update_key(path.parent).public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_durably(home / UPDATE_PUBLIC, pem)
