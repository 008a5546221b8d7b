# SPDX-License-Identifier: Apache-2.0
"""The PSA Firmware Update API: every function in every state, statuses, manifests."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from device.sealedmeter import KEY, KEYS, flash_with, image
from openami.device.fwu import COMPONENT, WRITE_OCTETS, FirmwareUpdate, update_key, update_of
from openami.device.payload.identity import CLASS_ID, VENDOR_ID
from openami.device.payload.judge import policy
from openami.device.storage import StorageError
from openami.firmware import cbor
from openami.firmware.bank import M2351
from openami.firmware.boot import boot
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.manifest import seal
from openami.firmware.manifest_run import Code, Parameter
from openami.firmware.sign import Encryption, recipe_of, sign
from openami.firmware.state import CALLS, Call, UpdateState
from openami.firmware.update import Update
from openami.psa.status import PsaError, Status

S = UpdateState
NEW = image("1.1.0", 2)


class Device:
    def __init__(self, folder: Path) -> None:
        self.flash = flash_with()
        self.folder = folder
        (folder / "update.key").write_bytes(bytes(31) + b"\x07")
        self.reboots = 0
        self.open()

    def open(self) -> None:
        self.fwu = FirmwareUpdate(self.flash, update_of(self.flash, self.folder), self.reboot)

    def reboot(self) -> None:
        self.reboots += 1
        boot(self.flash, M2351, policy(KEYS))
        self.open()

    @property
    def state(self) -> UpdateState:
        return self.fwu.query(COMPONENT).state

    def write(self, what: Image = NEW) -> None:
        octets = what.encode()
        for at in range(0, len(octets), WRITE_OCTETS):
            self.fwu.write(COMPONENT, at, octets[at : at + WRITE_OCTETS])

    def reach(self, state: UpdateState) -> None:
        """Go to a state from READY."""
        fwu = self.fwu
        if state is S.READY:
            return
        fwu.start(COMPONENT)
        self.write()
        if state is S.WRITING:
            return
        if state is S.FAILED:
            fwu.cancel(COMPONENT)
            return
        fwu.finish(COMPONENT)
        if state is S.CANDIDATE:
            return
        assert fwu.install() is Status.SUCCESS_REBOOT
        if state is S.STAGED:
            return
        fwu.request_reboot()
        if state is S.REJECTED:
            assert self.fwu.reject() is Status.SUCCESS_REBOOT
        if state is S.UPDATED:
            self.fwu.accept()


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path)


FUNCTIONS: dict[Call, Callable[[FirmwareUpdate], object]] = {
    Call.START: lambda fwu: fwu.start(COMPONENT),
    Call.WRITE: lambda fwu: fwu.write(COMPONENT, 0, NEW.encode()[:WRITE_OCTETS]),
    Call.FINISH: lambda fwu: fwu.finish(COMPONENT),
    Call.CANCEL: lambda fwu: fwu.cancel(COMPONENT),
    Call.CLEAN: lambda fwu: fwu.clean(COMPONENT),
    Call.INSTALL: lambda fwu: fwu.install(),
    Call.REJECT: lambda fwu: fwu.reject(),
    Call.ACCEPT: lambda fwu: fwu.accept(),
}


@pytest.mark.parametrize("state", list(S), ids=lambda each: each.name)
@pytest.mark.parametrize("call", list(Call), ids=lambda each: each.value)
def test_every_function_in_every_state(device: Device, state: UpdateState, call: Call) -> None:
    device.reach(state)
    assert device.state is state
    if (after := CALLS.get((state, call))) is not None:
        FUNCTIONS[call](device.fwu)
        assert device.state is after
        return
    with pytest.raises(PsaError) as caught:
        FUNCTIONS[call](device.fwu)
    assert caught.value.status is Status.BAD_STATE
    assert device.state is state


def test_a_query_tells_version_room_and_flags(device: Device) -> None:
    info = device.fwu.query(COMPONENT)
    assert str(info.version) == "1.0.0+0"
    assert info.max_octets == 220 * 1024
    assert info.flags == 2
    device.reach(S.UPDATED)
    assert str(device.fwu.query(COMPONENT).version) == "1.1.0+0"
    for component in (1, 255):
        with pytest.raises(PsaError) as caught:
            device.fwu.query(component)
        assert caught.value.status is Status.DOES_NOT_EXIST


@pytest.mark.parametrize(("offset", "size"), [(1, 10), (0, 0), (0, WRITE_OCTETS + 1), (1 << 20, 8)])
def test_blocks_elsewhere_are_refused(device: Device, offset: int, size: int) -> None:
    device.fwu.start(COMPONENT)
    with pytest.raises(PsaError) as caught:
        device.fwu.write(COMPONENT, offset, bytes(size))
    assert caught.value.status is Status.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("what", "status"),
    [
        (image("0.9.0", 0), Status.NOT_PERMITTED),
        (image("1.1.0", 2, payload=b"no programs here" * 9), Status.DATA_INVALID),
    ],
    ids=["older", "no programs"],
)
def test_bad_images_fail_with_the_status_of_the_api(
    device: Device, what: Image, status: Status
) -> None:
    device.fwu.start(COMPONENT)
    device.write(what)
    with pytest.raises(PsaError) as caught:
        device.fwu.finish(COMPONENT)
    assert caught.value.status is status
    assert device.state is S.FAILED


def test_a_trial_that_nobody_accepts_is_over_at_the_next_reboot(device: Device) -> None:
    device.reach(S.TRIAL)
    device.fwu.request_reboot()
    info = device.fwu.query(COMPONENT)
    assert (info.state, info.error, str(info.version)) == (S.FAILED, "not-confirmed", "1.0.0+0")


def manifest(what: Image, sequence: int = 2, class_id: bytes = CLASS_ID.bytes) -> bytes:
    digest = cbor.encode([-16, hashlib.sha256(what.encode()).digest()])
    parameters = {
        Parameter.VENDOR.value: VENDOR_ID.bytes,
        Parameter.CLASS.value: class_id,
        Parameter.DIGEST.value: digest,
        Parameter.SIZE.value: len(what.encode()),
    }
    shared = [
        Code.OVERRIDE_PARAMETERS.value,
        parameters,
        Code.VENDOR.value,
        15,
        Code.CLASS.value,
        15,
    ]
    body: dict[object, object] = {
        1: 1,
        2: sequence,
        3: cbor.encode({2: [[b"meter"]], 4: cbor.encode(shared)}),
        7: cbor.encode([Code.IMAGE_MATCH.value, 15]),
    }
    return seal(body, KEY)


def test_a_manifest_admits_the_image_it_speaks_of_and_no_other(device: Device) -> None:
    device.fwu.start(COMPONENT, manifest(NEW))
    device.write()
    device.fwu.finish(COMPONENT)
    assert device.state is S.CANDIDATE
    device.fwu.cancel(COMPONENT)
    device.fwu.clean(COMPONENT)
    device.fwu.start(COMPONENT, manifest(image("1.2.0", 2)))
    device.open()  # a restart: what the manifest demands is not forgotten
    device.write()
    with pytest.raises(PsaError) as caught:
        device.fwu.finish(COMPONENT)
    assert caught.value.status is Status.INVALID_SIGNATURE
    assert device.state is S.FAILED


def test_a_manifest_speaks_of_an_encrypted_image_as_it_travels(device: Device) -> None:
    programs, recipe = NEW.payload, recipe_of(NEW)
    public = update_key(device.folder).public_key()
    encryption = Encryption(recipient=public, entropy=lambda size: bytes(range(1, size + 1)))
    sealed = sign(programs, recipe, KEY, encryption=encryption)
    device.fwu.start(COMPONENT, manifest(sealed))
    device.write(sealed)
    device.fwu.finish(COMPONENT)
    device.fwu.cancel(COMPONENT)
    device.fwu.clean(COMPONENT)
    device.fwu.start(COMPONENT, manifest(NEW))
    device.write(sealed)
    with pytest.raises(PsaError, match="another image"):
        device.fwu.finish(COMPONENT)


def test_manifests_that_are_older_altered_or_for_others_are_refused(device: Device) -> None:
    good = bytearray(manifest(NEW))
    good[-1] ^= 1
    for octets in (manifest(NEW, 0), manifest(NEW, class_id=bytes(16)), bytes(good), b""):
        with pytest.raises(PsaError) as caught:
            device.fwu.start(COMPONENT, octets)
        assert caught.value.status is Status.INVALID_SIGNATURE
        assert device.state is S.READY


def test_a_candidate_outlives_a_power_cut(device: Device) -> None:
    device.reach(S.CANDIDATE)
    device.flash = SimulatedFlash(bytes(device.flash.content))
    device.reboot()
    assert device.state is S.CANDIDATE
    assert Update(device.flash, M2351, policy(KEYS)).state is S.CANDIDATE


@pytest.mark.parametrize("octets", [None, b"", b"short\n", bytes(32), b"\xff" * 32, bytes(33)])
def test_without_a_sound_key_images_in_the_clear_are_taken_and_the_log_says_so(
    tmp_path: Path, octets: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "update.key"
    if octets is not None:
        path.write_bytes(octets)
    with pytest.raises(StorageError, match="no encrypted image can be opened: restore it") as said:
        update_key(tmp_path)
    assert str(path) in str(said.value)

    flash = flash_with()
    fwu = FirmwareUpdate(flash, update_of(flash, tmp_path), lambda: None)
    fwu.start(COMPONENT)
    image_octets = NEW.encode()
    for at in range(0, len(image_octets), WRITE_OCTETS):
        fwu.write(COMPONENT, at, image_octets[at : at + WRITE_OCTETS])
    fwu.finish(COMPONENT)

    assert fwu.query(COMPONENT).state is S.CANDIDATE
    assert str(said.value) in caplog.text
