# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace
from itertools import product

import pytest

from firmware.device import (
    ANCIENT,
    BLOCK,
    FIRST,
    FLASH_OCTETS,
    POLICY,
    SEALED,
    SECOND,
    SMALL,
    THIRD,
    Device,
)
from firmware.made import image_of
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank
from openami.firmware.boot import PrepareError, Recovery, boot, prepare
from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.state import CALLS, Call, UpdateState, UpdateStateError
from openami.firmware.transfer import TransferError
from openami.firmware.update import Update, psa_status

IMAGES = pytest.mark.parametrize("image", [SECOND, SEALED], ids=["clear", "encrypted"])


def spoil(device: Device, bank: Bank) -> None:
    device.flash.content[SMALL.slot(bank).offset + 300] ^= 1


@IMAGES
def test_an_update_is_tried_and_confirmed(image: Image) -> None:
    device = Device()
    assert device.version == "1.2.3+0"
    device.stage(image)
    trial = device.boot()
    assert (str(trial.verified.version), trial.trial, trial.bank) == ("1.3.0+0", True, Bank.B)
    assert device.state.counter == 5, "an image on trial has no say yet"
    assert device.update.conclude({"metrology": lambda: True}) is None
    assert (device.state.confirmed, device.state.counter) == (Bank.B, 6)
    again = device.boot()
    assert (str(again.verified.version), again.trial) == ("1.3.0+0", False)
    assert device.update.standing().state is UpdateState.UPDATED


def test_a_trial_that_nobody_confirms_is_reverted() -> None:
    device = Device()
    device.stage(SECOND)
    assert device.boot().trial
    reverted = device.boot()
    assert (str(reverted.verified.version), reverted.trial) == ("1.2.3+0", False)
    standing = device.update.standing()
    assert (standing.state, standing.error) == (UpdateState.FAILED, "not-confirmed")
    assert standing.security_counter == 5


def test_a_self_test_that_fails_reverts_with_its_name() -> None:
    device = Device()
    device.stage(SECOND)
    device.boot()
    ran: list[str] = []
    checks: dict[str, Callable[[], bool]] = {
        "flash": lambda: not ran.append("flash"),
        "link": lambda: False,
        "never": lambda: not ran.append("never"),
    }
    assert device.update.conclude(checks) == "link"
    assert ran == ["flash"]
    assert device.update.state is UpdateState.REJECTED
    assert str(device.boot().verified.version) == "1.2.3+0"
    assert device.update.standing().error == "link"


def test_one_update_follows_the_other_from_bank_to_bank() -> None:
    device = Device()
    for image, bank in ((SECOND, Bank.B), (THIRD, Bank.A)):
        device.stage(image)
        assert device.boot().bank is bank
        device.update.accept()
        device.update.clean()
    assert device.state.counter == 9
    assert device.version == "1.4.0+0"


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (ANCIENT, Reason.COUNTER_LOW),
        (image_of(counter=None), Reason.COUNTER_MISSING),
        (replace(SECOND, payload=bytes(2000)), Reason.HASH_WRONG),
        (replace(SECOND, unprotected=SECOND.unprotected[:1]), Reason.SIGNATURE_MISSING),
        (image_of(counter=9, address=0x1400, flags=0x100), Reason.ADDRESS),
        (replace(SEALED, unprotected=SEALED.unprotected[:3]), Reason.ENCRYPTION_MISSING),
        (replace(SECOND, rest=b"\xff" * 8 + b"\x00"), Reason.TRAILING),
    ],
)
def test_what_is_not_good_never_becomes_a_candidate(image: Image, reason: Reason) -> None:
    device = Device()
    update = device.receive(image)
    with pytest.raises(ImageError) as caught:
        update.finish()
    assert caught.value.reason is reason
    assert psa_status(caught.value) < 0
    assert device.update.standing().error == reason.word
    assert device.update.state is UpdateState.FAILED
    assert device.version == "1.2.3+0"
    device.update.clean()
    device.carry_on(SECOND)
    assert device.version == "1.3.0+0"


def test_an_encrypted_image_without_a_key_is_refused() -> None:
    device = Device()
    device.receive(SEALED)
    update = Update(device.flash, SMALL, replace(POLICY, decryption_key=None))
    with pytest.raises(ImageError) as caught:
        update.finish()
    assert caught.value.reason is Reason.ENCRYPTED


def test_what_lies_encrypted_in_a_bank_never_runs() -> None:
    flash = SimulatedFlash(FLASH_OCTETS, page_octets=SMALL.page_octets)
    with pytest.raises(ImageError) as caught:
        prepare(flash, SMALL, POLICY, SEALED.encode())
    assert caught.value.reason is Reason.ENCRYPTED


def test_blocks_come_in_any_order_and_again_and_after_a_restart() -> None:
    device = Device()
    update = device.start(SECOND)
    octets = SECOND.encode()
    blocks = [octets[at : at + BLOCK] for at in range(0, len(octets), BLOCK)]
    for number in (3, 1, len(blocks) - 1, 3):
        update.write(number, blocks[number])
    again = device.update
    assert again.transfer is not None
    assert [n for n, there in enumerate(again.transfer.received) if there] == [
        1,
        3,
        len(blocks) - 1,
    ]
    assert again.transfer.terms.identifier == b"1.3.0+0"
    with pytest.raises(TransferError, match="blocks are missing, the first are 0, 2, 4"):
        again.finish()
    assert again.state is UpdateState.WRITING
    before = len(device.flash.operations)
    again.write(3, blocks[3])
    assert len(device.flash.operations) == before, "what is there is not written again"
    with pytest.raises(TransferError, match="with other octets"):
        again.write(3, bytes(BLOCK))
    for number, octets, problem in (
        (len(blocks), b"", "is none"),
        (-1, b"", "is none"),
        (0, b"short", "not 64"),
    ):
        with pytest.raises(TransferError, match=problem):
            again.write(number, octets)
    device.carry_on(SECOND)
    assert device.version == "1.3.0+0"


@IMAGES
def test_an_image_whose_size_nobody_tells(image: Image) -> None:
    device = Device()
    device.update.start(b"open", None, 128)
    octets = image.encode()
    for number in range(-(-len(octets) // 128)):
        if number != 4:
            device.update.write(number, octets[number * 128 : (number + 1) * 128])
    update = device.update
    with pytest.raises(TransferError, match="1 blocks are missing, the first are 4"):
        update.finish()
    with pytest.raises(TransferError, match="not 128"):
        update.write(4, b"")
    update.write(4, octets[4 * 128 : 5 * 128])
    update.write(4, octets[4 * 128 : 5 * 128])
    assert update.transfer is not None
    assert (update.transfer.terms.identifier, update.transfer.terms.open_ended) == (b"open", True)
    update.finish()
    update.install()
    assert device.boot().trial


@pytest.mark.parametrize(
    ("identifier", "size", "block", "problem"),
    [
        (b"", 0, 64, "do not fit"),
        (b"", 4097, 64, "do not fit"),
        (b"", 100, 0, "power of two"),
        (b"", 100, 4, "power of two"),
        (b"", 100, 96, "power of two"),
        (b"", 100, 512, "power of two"),
        (b"", 4000, 32, "larger blocks"),
        (bytes(112), 100, 64, "identifier"),
    ],
)
def test_a_transfer_that_cannot_be_is_refused(
    identifier: bytes, size: int, block: int, problem: str
) -> None:
    device = Device()
    with pytest.raises(TransferError, match=problem):
        device.update.start(identifier, size, block)
    assert device.update.state is UpdateState.READY


def test_a_bad_image_makes_way_for_the_other_bank() -> None:
    device = Device()
    device.carry_on(image_of("1.3.0", counter=5, octets=1200))
    spoil(device, Bank.B)
    found = device.boot()
    assert found.bank is Bank.A
    assert found.replaced is not None
    assert found.replaced.reason is Reason.HASH_WRONG
    assert device.state.error == "hash-wrong"
    assert device.boot().replaced is None, "it is the confirmed one from now on"


def test_an_older_image_is_no_way_out() -> None:
    device = Device()
    device.carry_on(SECOND)
    spoil(device, Bank.B)
    found = boot(device.flash, SMALL, POLICY)
    assert isinstance(found, Recovery)
    assert found.reasons[Bank.A].reason is Reason.COUNTER_LOW
    assert found.reasons[Bank.B].reason is Reason.HASH_WRONG
    assert "bank B: the image was altered" in str(found)


def test_a_device_that_recovers_takes_a_new_image() -> None:
    device = Device()
    device.carry_on(SECOND)
    for bank in Bank:
        spoil(device, bank)
    assert isinstance(boot(device.flash, SMALL, POLICY), Recovery)
    device.update.clean()
    device.carry_on(THIRD)
    assert device.version == "1.4.0+0"


def test_a_candidate_that_went_bad_is_not_tried() -> None:
    device = Device()
    device.stage(SECOND)
    spoil(device, Bank.B)
    assert str(device.boot().verified.version) == "1.2.3+0"
    assert device.update.standing().error == "hash-wrong"


def test_a_staged_image_can_be_given_up() -> None:
    device = Device()
    device.stage(SECOND)
    device.update.reject("the operator")
    assert device.version == "1.2.3+0"
    assert device.update.standing().error == "the operator"


def test_a_device_that_was_never_prepared_recovers() -> None:
    flash = SimulatedFlash(FLASH_OCTETS, page_octets=SMALL.page_octets)
    found = boot(flash, SMALL, POLICY)
    assert isinstance(found, Recovery)
    assert "prepare the device" in str(found)
    with pytest.raises(FirmwareError, match="prepare"):
        Update(flash, SMALL, POLICY)


def test_a_device_is_prepared_once() -> None:
    device = Device()
    with pytest.raises(PrepareError):
        prepare(device.flash, SMALL, POLICY, SECOND.encode())
    prepare(device.flash, SMALL, POLICY, SECOND.encode(), erase=True)
    assert device.version == "1.3.0+0"
    assert device.state.counter == 6


CALL: dict[Call, Callable[[Update], object]] = {
    Call.START: lambda update: update.start(b"", 100, 64),
    Call.WRITE: lambda update: update.write(0, bytes(64)),
    Call.FINISH: lambda update: update.finish(),
    Call.CANCEL: lambda update: update.cancel(),
    Call.CLEAN: lambda update: update.clean(),
    Call.INSTALL: lambda update: update.install(),
    Call.REJECT: lambda update: update.reject(),
    Call.ACCEPT: lambda update: update.accept(),
}


def in_state(state: UpdateState) -> Device:
    device = Device()
    if state is UpdateState.READY:
        return device
    if state is UpdateState.WRITING:
        device.start(SECOND)
        return device
    device.receive(SECOND).finish()
    if state is UpdateState.CANDIDATE:
        return device
    device.update.install()
    if state is UpdateState.STAGED:
        return device
    device.boot()
    match state:
        case UpdateState.UPDATED:
            device.update.accept()
        case UpdateState.REJECTED | UpdateState.FAILED:
            device.update.reject()
    if state is UpdateState.FAILED:
        device.boot()
    return device


@pytest.mark.parametrize(
    ("state", "call"), list(product(UpdateState, Call)), ids=lambda each: each.name
)
def test_every_state_meets_every_call(state: UpdateState, call: Call) -> None:
    device = in_state(state)
    assert device.update.state is state
    after = CALLS.get((state, call))
    before = bytes(device.flash.content)
    if after is None:
        with pytest.raises(UpdateStateError, match=f"{call.value} has no place") as caught:
            CALL[call](device.update)
        assert caught.value.psa_status == -137
        assert bytes(device.flash.content) == before, "nothing was changed"
    elif call is Call.FINISH:
        with pytest.raises(TransferError, match="missing"):
            CALL[call](device.update)
    else:
        CALL[call](device.update)
        assert device.update.state is after
    assert device.boot()


def test_the_whole_part_takes_a_whole_image() -> None:
    """512 KiB in two banks, an encrypted image of 220 KiB in blocks of 1 KiB."""
    flash = SimulatedFlash(M2351_FLASH_OCTETS)
    prepare(flash, M2351, POLICY, FIRST.encode())
    overhead = len(image_of(counter=6, octets=16, encrypted=True).encode()) - 16
    octets = image_of("2.0.0", 6, (M2351.room - overhead) // 16 * 16, encrypted=True).encode()
    assert M2351.room - 32 < len(octets) <= M2351.room
    update = Update(flash, M2351, POLICY)
    update.start(b"2.0.0", len(octets), 1024)
    for number in range(-(-len(octets) // 1024)):
        update.write(number, octets[number * 1024 : (number + 1) * 1024])
    update.finish()
    update.install()
    assert not isinstance(boot(flash, M2351, POLICY), Recovery)
    Update(flash, M2351, POLICY).accept()
    assert Update(flash, M2351, POLICY).standing().security_counter == 6
