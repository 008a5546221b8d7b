# SPDX-License-Identifier: Apache-2.0
import hashlib
import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.behaviour.acting import Inside
from openami.cosem.behaviour.image import (
    TRANSITIONS,
    ImageEvent,
    ImageProgress,
    ImageReceiver,
    Verdict,
    image_transfer,
)
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageToActivate,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.device import LogicalDevice
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Integer
from openami.dlms.obis import Obis

IMAGE = Obis(0, 0, 44, 0, 0, 255)
BLOCK = 16
S = ImageTransferStatus


class Flash:
    """Keeps what it was given, as flash memory does; verifies by a digest at the end."""

    def __init__(self, *, rounds: int = 0) -> None:
        self.kept: ImageProgress | None = None
        self.blocks: dict[int, bytes] = {}
        self.writes = 0
        self.rounds = self.left = rounds
        self.verdict = Verdict.GOOD

    def progress(self) -> ImageProgress | None:
        if self.kept is None:
            return None
        bits = "".join("01"[number in self.blocks] for number in range(200))
        return replace(self.kept, received=int(bits, 2).to_bytes(25))

    def begin(self, identifier: bytes, size: int, block_size: int) -> None:
        if size > 1000:
            raise Refused(ActionResult.HARDWARE_FAULT)
        self.kept = ImageProgress(
            identifier=identifier,
            size=size,
            block_size=block_size,
            received=b"",
            status=S.INITIATED,
        )
        self.blocks.clear()

    def write(self, number: int, value: bytes) -> None:
        self.writes += 1
        self.blocks[number] = value

    def remember(self, status: ImageTransferStatus) -> None:
        assert self.kept is not None
        self.kept = replace(self.kept, status=status)

    def _running(self) -> bool:
        self.left -= 1
        if self.left >= 0:
            return True
        self.left = self.rounds
        return False

    @property
    def image(self) -> bytes:
        return b"".join(value for _, value in sorted(self.blocks.items()))

    def verify(self) -> Verdict:
        if self._running():
            return Verdict.RUNNING
        body, digest = self.image[:-32], self.image[-32:]
        return Verdict.GOOD if hashlib.sha256(body).digest() == digest else Verdict.BAD

    def images(self) -> tuple[ImageToActivate, ...]:
        return (ImageToActivate(len(self.image), b"v2", self.image[-32:]),)

    def activate(self) -> Verdict:
        return Verdict.RUNNING if self._running() else self.verdict


def made(size: int = 100) -> bytes:
    body = bytes(range(size - 32))
    return body + hashlib.sha256(body).digest()


GOOD = made()


def meter(flash: Flash, *, resumes: bool = False) -> ImageTransfer:
    thing = ImageTransfer(IMAGE, image_block_size=BLOCK, image_transfer_enabled=True)
    image_transfer(thing, ImageReceiver(thing, flash, resumes=resumes))
    return thing


def receiver_of(flash: Flash) -> tuple[ImageTransfer, ImageReceiver]:
    thing = ImageTransfer(IMAGE, image_block_size=BLOCK, image_transfer_enabled=True)
    return thing, image_transfer(thing, ImageReceiver(thing, flash))


def initiate(thing: ImageTransfer, image: bytes = GOOD) -> None:
    thing.invocations[1](ImageInitiation(b"meter", len(image)))


def send(thing: ImageTransfer, number: int, image: bytes = GOOD) -> None:
    thing.invocations[2](ImageBlock(number, image[number * BLOCK : (number + 1) * BLOCK]))


def refused(thing: ImageTransfer, method: int) -> ActionResult:
    with pytest.raises(Refused) as caught:
        thing.invocations[method](0)
    assert isinstance(caught.value.result, ActionResult)
    return caught.value.result


def test_seven_steps() -> None:
    thing = meter(Flash())
    assert thing.image_transfer_status is S.NOT_INITIATED
    assert thing.image_first_not_transferred_block_number == 0
    assert thing.image_transferred_blocks_status.bits == ""
    initiate(thing)
    for number in (0, 1, 4, 6):
        send(thing, number)
    assert thing.image_transferred_blocks_status.bits == "1100101"
    assert thing.image_first_not_transferred_block_number == 2
    assert refused(thing, 3) == refused(thing, 4) == ActionResult.DATA_BLOCK_UNAVAILABLE
    for number in (2, 3, 5):
        send(thing, number)
    assert thing.image_first_not_transferred_block_number == 7
    assert thing.image_to_activate_info == ()
    thing.invocations[3](0)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL
    assert thing.image_to_activate_info == (ImageToActivate(100, b"v2", GOOD[-32:]),)
    thing.invocations[4](0)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL


def test_blocks_have_their_size_and_number() -> None:
    flash = Flash()
    thing = meter(flash)
    initiate(thing)
    for number, size, result in (
        (0, BLOCK - 1, ActionResult.TYPE_UNMATCHED),
        (0, BLOCK + 1, ActionResult.TYPE_UNMATCHED),
        (6, BLOCK, ActionResult.TYPE_UNMATCHED),  # the last has 4 octets
        (7, BLOCK, ActionResult.SCOPE_OF_ACCESS_VIOLATED),
    ):
        with pytest.raises(Refused) as caught:
            thing.invocations[2](ImageBlock(number, bytes(size)))
        assert caught.value.result == result
    send(thing, 0)
    send(thing, 0)
    assert flash.writes == 1


def test_an_image_of_whole_blocks_has_no_short_one() -> None:
    image = made(6 * BLOCK)
    thing = meter(Flash())
    initiate(thing, image)
    for number in range(6):
        send(thing, number, image)
    thing.invocations[3](0)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL


def test_a_bad_image_is_not_activated() -> None:
    bad = bytes(100)
    thing = meter(Flash())
    initiate(thing, bad)
    for number in range(7):
        send(thing, number, bad)
    assert refused(thing, 3) == ActionResult.OTHER_REASON
    assert thing.image_transfer_status is S.VERIFICATION_FAILED
    assert refused(thing, 4) == ActionResult.OTHER_REASON
    initiate(thing)
    assert thing.image_first_not_transferred_block_number == 0


def test_activation_that_fails_can_be_tried_again() -> None:
    flash = Flash()
    thing = meter(flash)
    initiate(thing)
    for number in range(7):
        send(thing, number)
    flash.verdict = Verdict.BAD
    assert refused(thing, 4) == ActionResult.OTHER_REASON
    assert thing.image_transfer_status is S.ACTIVATION_FAILED
    flash.verdict = Verdict.GOOD
    thing.invocations[4](0)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL


def test_what_takes_long_is_a_temporary_failure_until_it_is_done() -> None:
    thing, receiver = receiver_of(Flash(rounds=2))
    initiate(thing)
    for number in range(7):
        send(thing, number)
    assert receiver.due_us() is None
    assert refused(thing, 3) == ActionResult.TEMPORARY_FAILURE
    assert thing.image_transfer_status is S.VERIFICATION_INITIATED
    with pytest.raises(Refused) as caught:
        initiate(thing)
    assert caught.value.result == ActionResult.TEMPORARY_FAILURE
    receiver.tick(10)
    assert receiver.due_us() == 1_000_010
    receiver.tick(1_000_010)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL
    assert refused(thing, 4) == ActionResult.TEMPORARY_FAILURE
    assert thing.image_transfer_status is S.ACTIVATION_INITIATED
    assert refused(thing, 4) == ActionResult.TEMPORARY_FAILURE
    receiver.tick(2_000_010)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL
    assert receiver.due_us() is None


def test_activation_without_verification_verifies_first() -> None:
    thing, receiver = receiver_of(Flash(rounds=1))
    initiate(thing)
    for number in range(7):
        send(thing, number)
    assert refused(thing, 4) == ActionResult.TEMPORARY_FAILURE
    assert thing.image_transfer_status is S.VERIFICATION_INITIATED
    receiver.tick(1)
    assert thing.image_transfer_status is S.ACTIVATION_INITIATED
    receiver.tick(2)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL


def test_nothing_begins_while_transfers_are_not_enabled() -> None:
    thing = meter(Flash())
    thing.image_transfer_enabled = False
    for method, argument in ((1, ImageInitiation(b"", 1)), (2, ImageBlock(0, b"")), (3, 0), (4, 0)):
        with pytest.raises(Refused):
            thing.invocations[method](argument)
    thing.image_transfer_enabled = True
    with pytest.raises(Refused) as caught:
        thing.invocations[1](ImageInitiation(b"", 1001))  # the sink's own refusal
    assert caught.value.result == ActionResult.HARDWARE_FAULT
    with pytest.raises(Refused):
        thing.invocations[1](ImageInitiation(b"", 0))
    assert thing.image_transfer_status is S.NOT_INITIATED


@pytest.mark.parametrize(("resumes", "first"), [(True, 1), (False, 0)])
def test_initiating_the_same_image_again(*, resumes: bool, first: int) -> None:
    thing = meter(Flash(), resumes=resumes)
    initiate(thing)
    send(thing, 0)
    initiate(thing)
    assert thing.image_first_not_transferred_block_number == first


def test_a_script_activates_later() -> None:
    thing = meter(Flash())
    inside = Inside(LogicalDevice(objects=(thing,), associations=()))
    initiate(thing)
    for number in range(7):
        send(thing, number)
    thing.invocations[3](0)
    inside.invoke(18, IMAGE, 4, Integer(0))
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL


@pytest.mark.parametrize("cut", range(13))
def test_a_restart_before_every_step(cut: int) -> None:
    flash = Flash(rounds=1)
    thing, receiver = receiver_of(flash)
    for step in range(12):
        if step == cut:
            thing, receiver = receiver_of(flash)
        if step == 0:
            initiate(thing)
        elif step <= 7:
            send(thing, step - 1)
            assert thing.image_first_not_transferred_block_number == step
        elif step in {8, 10}:
            assert refused(thing, 3 + (step == 10)) == ActionResult.TEMPORARY_FAILURE
        else:
            receiver.tick(step)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL
    assert flash.image == GOOD


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40))
def test_whatever_is_lost_or_repeated_the_missing_blocks_complete_it(
    sent: list[tuple[int, bool]],
) -> None:
    flash = Flash()
    thing = meter(flash)
    initiate(thing)
    there: set[int] = set()
    for number, restarts in sent:
        if restarts:
            thing = meter(flash)
        send(thing, number)
        there.add(number)
        bits = "".join("01"[each in there] for each in range(7))
        assert thing.image_transferred_blocks_status.bits == bits
    while (number := thing.image_first_not_transferred_block_number) < 7:
        send(thing, number)
    thing.invocations[3](0)
    assert flash.image == GOOD
    assert flash.writes == 7


@pytest.mark.parametrize(("status", "event"), list(itertools.product(S, ImageEvent)))
def test_every_status_meets_every_method(status: ImageTransferStatus, event: ImageEvent) -> None:
    flash = Flash()
    flash.begin(b"meter", 100, BLOCK)
    for number in range(7):
        flash.write(number, GOOD[number * BLOCK : (number + 1) * BLOCK])
    flash.remember(status)
    thing = meter(flash)
    calls = {
        ImageEvent.INITIATE: (1, ImageInitiation(b"other", 5)),
        ImageEvent.BLOCK: (2, ImageBlock(0, GOOD[:BLOCK])),
        ImageEvent.VERIFY: (3, 0),
        ImageEvent.ACTIVATE: (4, 0),
    }
    after = TRANSITIONS.get((status, event))
    if event not in calls:
        running = {S.VERIFICATION_INITIATED, S.ACTIVATION_INITIATED}
        assert (after is None) or status in running
        return
    method, argument = calls[event]
    if after is None and (status, event) != (S.INITIATED, ImageEvent.ACTIVATE):
        with pytest.raises(Refused):
            thing.invocations[method](argument)
        assert thing.image_transfer_status is status
    else:
        thing.invocations[method](argument)
        assert thing.image_transfer_status is not S.NOT_INITIATED


def test_activation_that_found_a_bad_image_is_forgotten() -> None:
    flash = Flash(rounds=1)
    thing, receiver = receiver_of(flash)
    initiate(thing)
    for number in range(7):
        send(thing, number)
    good = flash.blocks[0]
    flash.blocks[0] = bytes(BLOCK)
    assert refused(thing, 4) == ActionResult.TEMPORARY_FAILURE
    receiver.tick(1)
    assert thing.image_transfer_status is S.VERIFICATION_FAILED
    flash.blocks[0] = good
    assert refused(thing, 3) == ActionResult.TEMPORARY_FAILURE
    receiver.tick(2)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL
    receiver.tick(3)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL


def test_asking_again_whether_it_is_verified_also_activates_what_was_to_be() -> None:
    thing, receiver = receiver_of(Flash(rounds=1))
    initiate(thing)
    for number in range(7):
        send(thing, number)
    assert refused(thing, 4) == ActionResult.TEMPORARY_FAILURE
    thing.invocations[3](0)
    assert thing.image_transfer_status is S.ACTIVATION_INITIATED
    receiver.tick(1)
    assert thing.image_transfer_status is S.ACTIVATION_SUCCESSFUL
    initiate(thing)  # what was to be activated is; the next image is not
    for number in range(7):
        send(thing, number)
    assert refused(thing, 3) == ActionResult.TEMPORARY_FAILURE
    receiver.tick(2)
    assert thing.image_transfer_status is S.VERIFICATION_SUCCESSFUL
