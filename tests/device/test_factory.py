# SPDX-License-Identifier: Apache-2.0
"""What an installation brings to its factory: sound, or named with its file and a remedy."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from device.sealedmeter import KEY, image
from openami.device.debugport import DebugPort
from openami.device.debugtoken import name_of
from openami.device.factory import DEBUG_FILE, FACTORY_IMAGE, SIGNING_KEY, development, make
from openami.device.otp import DEBUG, DEBUG_ENTRIES, Otp
from openami.psa.formats import public_point
from openami.runtime.errors import UserError


def test_an_image_or_key_that_is_none_is_named(tmp_path: Path) -> None:
    key, first = tmp_path / SIGNING_KEY, tmp_path / FACTORY_IMAGE
    first.write_bytes(b"junk")
    with pytest.raises(UserError, match=r"no MCUboot image.*bring an image") as refused:
        development(tmp_path)
    assert str(first) in str(refused.value)

    first.write_bytes(image().encode())  # sound, and somebody else's
    with pytest.raises(UserError, match="bring an image that is signed with a key beside it"):
        development(tmp_path)

    key.write_text("junk")
    with pytest.raises(UserError, match="bring a sound one, or remove it") as refused:
        development(tmp_path)
    assert str(key) in str(refused.value)


def prepared(folder: Path) -> Path:
    """Make the folder of an installation that need not build an image."""
    folder.mkdir(exist_ok=True)
    pem = KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / SIGNING_KEY).write_bytes(pem)
    (folder / FACTORY_IMAGE).write_bytes(image().encode())
    return folder


def test_a_debug_key_is_burned_if_one_was_brought(tmp_path: Path) -> None:
    home, firmware = tmp_path / "home", prepared(tmp_path / "firmware")
    home.mkdir()
    brought_key = ec.derive_private_key(9, ec.SECP256R1()).public_key()
    (firmware / DEBUG_FILE).write_bytes(
        brought_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    make(home, development(firmware))
    assert DebugPort(home / "secure", bytes).standing().has_key
    otp = Otp.open(home / "secure" / "otp.bin")
    assert otp.read(DEBUG, DEBUG_ENTRIES) == name_of(public_point(brought_key))
    otp.close()

    other = tmp_path / "other"
    other.mkdir()
    (firmware / DEBUG_FILE).unlink()
    make(other, development(firmware))
    assert not DebugPort(other / "secure", bytes).standing().has_key


def test_a_debug_key_on_another_curve_is_named(tmp_path: Path) -> None:
    found = ec.derive_private_key(9, ec.SECP384R1()).public_key()
    (tmp_path / DEBUG_FILE).write_bytes(
        found.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(UserError, match=r"debug\.pem is no key of P-256: bring one, or remove it"):
        development(prepared(tmp_path))
