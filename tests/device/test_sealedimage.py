# SPDX-License-Identifier: Apache-2.0
"""Metrology's image: under its seal or not at all."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from openami.device import sealedimage
from openami.device.payload.release import Release
from openami.device.payload.sources import here
from openami.device.sealedimage import SealBrokenError, delivered, is_made, make, start
from openami.firmware.image import Version
from openami.firmware.keys import fresh_p256, private_key
from openami.runtime.errors import UserError


@pytest.fixture
def vendor(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vendor")
    delivered(folder)
    return folder


@pytest.fixture
def module(vendor: Path, tmp_path: Path) -> Path:
    assert not is_made(tmp_path)
    make(tmp_path, delivered(vendor))
    assert is_made(tmp_path)
    return tmp_path


def test_what_the_factory_sealed_runs(module: Path) -> None:
    verified = start(module)
    assert str(verified.version) == "0.1.0+0"
    assert start(module).digest == verified.digest
    assert verified.image.payload[:2] == b"PK"


def test_meters_that_start_at_once_get_one_seal(tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        deliveries = set(pool.map(delivered, [tmp_path / "firmware" / "metrology"] * 6))
    (delivery,) = deliveries
    make(tmp_path / "meter", delivery)
    start(tmp_path / "meter")


def test_every_file_of_it_can_be_spoilt_and_nothing_runs(module: Path) -> None:
    for name in (sealedimage.IMAGE_FILE, sealedimage.SEAL_FILE, sealedimage.COUNTER_FILE):
        start(module)
        path = module / name
        sound = path.read_bytes()
        path.write_bytes(bytes(octet ^ 0x10 for octet in sound))
        with pytest.raises(SealBrokenError, match=name):
            start(module)
        path.write_bytes(sound)
    (module / sealedimage.IMAGE_FILE).unlink()
    with pytest.raises(SealBrokenError, match="put the image back"):
        start(module)


def test_another_seal_is_not_the_burned_one(
    module: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = delivered(tmp_path_factory.mktemp("other"))
    (module / sealedimage.IMAGE_FILE).write_bytes(other.image)
    with pytest.raises(SealBrokenError, match=r"image\.bin"):
        start(module)
    (module / sealedimage.SEAL_FILE).write_bytes(other.key)
    with pytest.raises(SealBrokenError, match="not the seal that was burned"):
        start(module)


def test_a_newer_image_of_the_same_seal_runs_and_an_older_one_no_more(
    module: Path, vendor: Path
) -> None:
    key = private_key((vendor / sealedimage.SEAL_KEY).read_bytes())
    first = (module / sealedimage.IMAGE_FILE).read_bytes()
    newer = sealedimage.sealed_image(Version(0, 2, 0), 2, key)
    (module / sealedimage.IMAGE_FILE).write_bytes(newer.encode())
    assert str(start(module).version) == "0.2.0+0"
    (module / sealedimage.IMAGE_FILE).write_bytes(first)
    with pytest.raises(SealBrokenError, match="counter"):
        start(module)


def test_firmware_of_the_other_module_is_no_metrology(module: Path, vendor: Path) -> None:
    key = private_key((vendor / sealedimage.SEAL_KEY).read_bytes())
    image = Release.of(here()).image(Version(1, 0, 0), 9, key)
    (module / sealedimage.IMAGE_FILE).write_bytes(image.encode())
    with pytest.raises(SealBrokenError, match="class"):
        start(module)


def test_a_vendor_delivers_without_the_seals_private_key(vendor: Path, tmp_path: Path) -> None:
    (vendor / sealedimage.SEAL_KEY).unlink()
    make(tmp_path, delivered(vendor))
    start(tmp_path)
    (vendor / sealedimage.FACTORY_IMAGE).unlink()
    with pytest.raises(UserError, match="deliver image and public key"):
        delivered(vendor)


def test_a_factory_refuses_what_the_seal_does_not_cover(vendor: Path, tmp_path: Path) -> None:
    image = sealedimage.sealed_image(Version(0, 1, 0), 1, fresh_p256(os.urandom))
    (vendor / sealedimage.FACTORY_IMAGE).write_bytes(image.encode())
    with pytest.raises(SealBrokenError):
        make(tmp_path, delivered(vendor))
    assert not is_made(tmp_path)


def test_a_folder_of_somebody_else_is_not_believed(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    with pytest.raises(SealBrokenError, match="belongs to user"):
        start(module)
