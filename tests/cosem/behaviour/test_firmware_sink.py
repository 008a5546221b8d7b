# SPDX-License-Identifier: Apache-2.0
"""Image transfer over DLMS into the banks of a device, through restarts and power cuts."""

import random

import pytest

from firmware.device import ANCIENT, BLOCK, SEALED, SECOND, Device
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import ImageReceiver, image_transfer
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.obis import Obis
from openami.firmware.image import Image
from openami.firmware.state import UpdateState

S = ImageTransferStatus
IMAGES = pytest.mark.parametrize("image", [SECOND, SEALED], ids=["clear", "encrypted"])


class Meter:
    """A device whose firmware comes by image transfer; `restart` is what a reset does."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.restarts = 0
        self.restart()

    def restart(self) -> None:
        self.running = self.device.boot()
        self.update = self.device.update
        sink = FirmwareSink(self.update, self._asked)
        thing = ImageTransfer(
            Obis(0, 0, 44, 0, 0, 255), image_block_size=BLOCK, image_transfer_enabled=True
        )
        self.receiver = ImageReceiver(thing, sink, resumes=True)
        self.thing = image_transfer(thing, self.receiver) and thing

    def _asked(self) -> None:
        self.restarts += 1

    def send(self, image: Image, *, leave: int = 0) -> None:
        """Initiate, and write the missing blocks but for some."""
        octets = image.encode()
        self.receiver.initiate(ImageInitiation(b"app", len(octets)))
        shown = self.receiver.shown_blocks().bits
        missing = [number for number in range(self.receiver.blocks) if shown[number] == "0"]
        random.Random(3).shuffle(missing)
        for number in missing[: len(missing) - leave]:
            start = number * BLOCK
            self.receiver.take(ImageBlock(number, octets[start : start + BLOCK]))


def refusal(call: object, *arguments: object) -> ActionResult:
    assert callable(call)
    with pytest.raises(Refused) as caught:
        call(*arguments)
    result = caught.value.result
    assert isinstance(result, ActionResult)
    return result


@IMAGES
def test_an_image_is_transferred_verified_activated_and_confirmed(image: Image) -> None:
    meter = Meter(Device())
    assert meter.receiver.status is S.NOT_INITIATED
    meter.send(image)
    meter.receiver.verify()
    assert meter.receiver.status is S.VERIFICATION_SUCCESSFUL
    (shown,) = meter.receiver.shown_images()
    assert shown.image_identification == b"app"
    assert shown.image_size == len(image.encode())
    assert len(shown.image_signature) == 32
    assert refusal(meter.receiver.activate) is ActionResult.TEMPORARY_FAILURE
    assert meter.restarts == 1

    meter.restart()
    assert meter.running.trial
    assert meter.receiver.status is S.ACTIVATION_INITIATED
    meter.receiver.tick(0)
    assert meter.receiver.status is S.ACTIVATION_INITIATED, "it is on trial"
    meter.update.accept()
    meter.receiver.tick(1_000_000)
    assert meter.receiver.status is S.ACTIVATION_SUCCESSFUL
    meter.restart()
    assert meter.receiver.status is S.ACTIVATION_SUCCESSFUL
    assert str(meter.running.verified.version) == "1.3.0+0"


def test_a_transfer_goes_on_after_a_restart() -> None:
    meter = Meter(Device())
    meter.send(SECOND, leave=5)
    before = len(meter.device.flash.operations)
    meter.restart()
    assert meter.receiver.status is S.INITIATED
    assert refusal(meter.receiver.verify) is ActionResult.DATA_BLOCK_UNAVAILABLE
    meter.send(SECOND)
    written = [each for each in meter.device.flash.operations[before:] if each is not None]
    assert len(written) == 10, "five blocks and their marks"
    meter.receiver.verify()


def test_an_activation_that_is_not_confirmed_failed() -> None:
    meter = Meter(Device())
    meter.send(SECOND)
    meter.receiver.verify()
    refusal(meter.receiver.activate)
    meter.restart()
    meter.restart()
    meter.receiver.tick(0)
    assert meter.receiver.status is S.ACTIVATION_FAILED
    assert meter.update.standing().error == "not-confirmed"
    meter.send(SECOND)
    meter.receiver.verify()


def test_a_bad_image_fails_its_verification() -> None:
    meter = Meter(Device())
    meter.send(ANCIENT)
    assert refusal(meter.receiver.verify) is ActionResult.OTHER_REASON
    assert meter.receiver.status is S.VERIFICATION_FAILED
    assert meter.receiver.shown_images() == ()
    assert refusal(meter.receiver.verify) is ActionResult.OTHER_REASON
    meter.send(SECOND)
    meter.receiver.verify()
    meter.send(SECOND)
    assert meter.update.state is UpdateState.WRITING


def test_an_image_that_is_too_large_is_refused_and_nothing_lost() -> None:
    meter = Meter(Device())
    meter.send(SECOND, leave=3)
    large = ImageInitiation(b"large", 100_000)
    assert refusal(meter.receiver.initiate, large) is ActionResult.SCOPE_OF_ACCESS_VIOLATED
    assert meter.update.state is UpdateState.WRITING
    meter.send(SECOND)
    meter.receiver.verify()


def test_nothing_is_received_while_an_image_is_on_trial() -> None:
    meter = Meter(Device())
    meter.send(SECOND)
    meter.receiver.verify()
    refusal(meter.receiver.activate)
    meter.restart()
    what = ImageInitiation(b"app", 1000)
    assert refusal(meter.receiver.initiate, what) is ActionResult.TEMPORARY_FAILURE


@IMAGES
def test_the_power_is_cut_at_every_write(image: Image) -> None:
    meter = Meter(Device())
    meter.send(image)
    meter.receiver.verify()
    refusal(meter.receiver.activate)
    flash = meter.device.flash
    for done in range(len(flash.operations)):
        cut = flash.after_cut(done, random.Random(done).randrange)
        again = Meter(Device(cut))
        again.receiver.tick(0)
        if again.receiver.status in {S.NOT_INITIATED, S.INITIATED, S.VERIFICATION_FAILED}:
            again.send(image)
            again.receiver.verify()
        if again.receiver.status is S.VERIFICATION_SUCCESSFUL:
            refusal(again.receiver.activate)
        if not again.running.trial:
            again.restart()
        assert again.running.trial, done
        again.update.accept()
        again.receiver.tick(0)
        assert again.receiver.status is S.ACTIVATION_SUCCESSFUL, done
