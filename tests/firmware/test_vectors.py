# SPDX-License-Identifier: Apache-2.0
"""Every image that MCUboot's C code judged is judged here, as it did or more strictly."""

from typing import Any

import pytest

from firmware.made import FOLDER, MANIFEST, OPENS, TRUSTED, VECTORS
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Image, Version
from openami.firmware.trailer import trailer_octets
from openami.firmware.verify import Policy, verify

SLOT = int(MANIFEST["slot_size"])

WITH_COUNTER_5 = {
    "good-1.2.3.bin": None,
    "good-1.3.0.bin": None,
    "good-dep.bin": None,
    "good-test-padded.bin": None,
    "good-enc128.bin": Reason.ENCRYPTED,
    "rolledback-0.9.0.bin": Reason.COUNTER_LOW,
    "nosc.bin": Reason.COUNTER_MISSING,
    "bad-wrongkey.bin": Reason.KEY_UNKNOWN,
    "bad-unsigned.bin": Reason.SIGNATURE_MISSING,
    "bad-flip-payload.bin": Reason.HASH_WRONG,
    "bad-flip-sig.bin": Reason.SIGNATURE_WRONG,
    "bad-truncated-payload.bin": Reason.TRUNCATED,
    "bad-unprot-seccnt.bin": Reason.TLV_UNPROTECTED,
    "bad-empty.bin": Reason.NO_IMAGE,
}


def judged(file: str, counter: int | None, **more: Any) -> Reason | None:
    room = SLOT - trailer_octets(8)
    try:
        image = Image.decode((FOLDER / file).read_bytes(), room=room)
        verify(image, Policy(keys=(TRUSTED,), counter=counter, **more))
    except ImageError as error:
        return error.reason
    return None


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["file"])
@pytest.mark.parametrize("counter", [0, 5])
def test_what_mcuboot_refuses_is_refused(row: dict[str, Any], counter: int) -> None:
    said = row["mcuboot_c"][f"allow_list,nv={counter}"]
    assert (judged(row["file"], counter) is None) == (said == "VALID")


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["file"])
def test_the_reason_is_named(row: dict[str, Any]) -> None:
    assert judged(row["file"], 5) is WITH_COUNTER_5[row["file"]]


def test_the_hole_of_a_counter_that_no_signature_covers_is_closed() -> None:
    (row,) = [row for row in VECTORS if row["file"] == "bad-unprot-seccnt.bin"]
    assert row["mcuboot_c"]["no_allow_list,nv=5"] == "VALID"
    for counter in (None, 0, 5):
        assert judged(row["file"], counter) is Reason.TLV_UNPROTECTED


def test_the_encrypted_image_is_opened_with_its_key() -> None:
    assert judged("good-enc128.bin", 5, decryption_key=OPENS) is None


def test_a_dependency_is_judged_by_what_is_there() -> None:
    def with_images(images: dict[int, Version]) -> Reason | None:
        return judged("good-dep.bin", 5, images=images)

    assert with_images({}) is Reason.DEPENDENCY
    assert with_images({1: Version(1, 9, 9)}) is Reason.DEPENDENCY
    assert with_images({1: Version(2, 0, 0)}) is None
    assert with_images({1: Version(10)}) is None


@pytest.mark.parametrize("row", VECTORS, ids=lambda row: row["file"])
def test_encode_inverts_decode(row: dict[str, Any]) -> None:
    octets = (FOLDER / row["file"]).read_bytes()
    try:
        image = Image.decode(octets)
    except ImageError:
        return
    assert image.encode() == octets
    if "sec_cnt" in row:
        assert image.security_counter == row["sec_cnt"]
    if "version" in row:
        assert str(image.header.version) == row["version"]


def test_a_padded_image_tells_its_swap() -> None:
    image = Image.decode((FOLDER / "good-test-padded.bin").read_bytes())
    assert image.trailer is not None
    assert image.trailer.request == "test"
    assert not image.trailer.copy_done
    assert Image.decode((FOLDER / "good-1.2.3.bin").read_bytes()).trailer is None
