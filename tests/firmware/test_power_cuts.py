# SPDX-License-Identifier: Apache-2.0
"""The power is cut at every write of an update, of a confirmation and of a revert.

What was not synced is kept, lost or torn; whatever it is, the next start finds a valid image, the
counter has not gone back, and the update can be carried on to its end.
"""

import random
from collections.abc import Iterator

import pytest

from firmware.device import SEALED, SECOND, THIRD, Device
from openami.firmware.bank import Bank
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.state import UpdateState

SEEDS = 4


def confirmed(device: Device, image: Image) -> None:
    device.boot()
    device.stage(image)
    device.boot()
    device.update.accept()
    device.boot()


def reverted(device: Device, image: Image) -> None:
    device.boot()
    device.stage(image)
    device.boot()
    device.boot()


def rejected(device: Device, image: Image) -> None:
    device.stage(image)
    device.boot()
    device.update.reject("link")
    device.boot()


def cancelled(device: Device, image: Image) -> None:
    device.receive(image)
    device.update.cancel()
    device.update.clean()
    device.start(THIRD)
    device.boot()


STORIES = [
    (confirmed, SEALED),
    (confirmed, SECOND),
    (reverted, SECOND),
    (rejected, SEALED),
    (cancelled, SECOND),
]
EACH_STORY = pytest.mark.parametrize(
    ("story", "image"), STORIES, ids=lambda each: getattr(each, "__name__", "")
)


def cuts(flash: SimulatedFlash, every: int = 1) -> Iterator[tuple[int, Device]]:
    """Yield a device for each place of a cut, several times."""
    for done in range(0, len(flash.operations) + 1, every):
        yield done, Device(flash.after_cut(done, lambda _: 1))
        for seed in range(SEEDS):
            yield done, Device(flash.after_cut(done, random.Random(seed * 7919 + done).randrange))


def sure(flash: SimulatedFlash, done: int) -> Device:
    """Return what was durable."""
    return Device(flash.after_cut(done, lambda _: 0))


@EACH_STORY
def test_the_boot_always_finds_a_valid_image(story: object, image: Image) -> None:
    assert callable(story)
    device = Device()
    story(device, image)
    seen: set[tuple[str, UpdateState]] = set()
    for done, cut in cuts(device.flash):
        least = sure(device.flash, done).state
        state = cut.state
        assert state.counter >= least.counter, "the counter never goes back"
        assert (state.confirmed is Bank.B) == (state.counter == 6), "both in one step"
        found = cut.boot()
        if found.bank is not state.confirmed:
            assert found.trial, "an image runs because it is confirmed, or on trial"
        assert cut.state.counter >= state.counter
        seen.add((str(found.verified.version), state.state))
        assert str(cut.boot().verified.version) in {"1.2.3+0", "1.3.0+0"}
    assert ("1.2.3+0", UpdateState.WRITING) in seen
    if story is confirmed:
        assert ("1.3.0+0", UpdateState.UPDATED) in seen
    elif story is not cancelled:
        assert ("1.2.3+0", UpdateState.TRIAL) in seen


@EACH_STORY
def test_the_update_is_carried_on_after_a_cut(story: object, image: Image) -> None:
    assert callable(story)
    device = Device()
    story(device, image)
    for done, cut in cuts(device.flash, every=5):
        cut.boot()
        carried = image if story is not cancelled else None
        if carried is None:
            transfer = cut.update.transfer
            later = transfer is not None and transfer.terms.identifier != b"1.3.0+0"
            carried = THIRD if later else image
        cut.carry_on(carried)
        assert cut.version == str(carried.header.version), done
        assert cut.state.counter == carried.security_counter


def cut_again_and_again(seed: int, every: int) -> None:
    """Cut the power, start, carry on, and cut it again on the way, a few times."""
    draw = random.Random(seed)
    image = draw.choice([SECOND, SEALED])
    device = Device()
    confirmed(device, image)
    for done in range(draw.randrange(every), len(device.flash.operations), every):
        cut = Device(device.flash.after_cut(done, draw.randrange))
        for _ in range(4):
            least = cut.state.counter
            cut.boot()
            cut.carry_on(image)
            again = draw.randrange(len(cut.flash.operations) + 1)
            cut = Device(cut.flash.after_cut(again, draw.randrange))
            assert cut.state.counter >= least
        cut.boot()
        cut.carry_on(image)
        assert cut.version == "1.3.0+0"
        assert cut.state.counter == 6


@pytest.mark.parametrize("seed", range(10))
def test_the_power_is_cut_again_while_it_starts_and_carries_on(seed: int) -> None:
    cut_again_and_again(seed, every=17)


@pytest.mark.long
@pytest.mark.timeout(3000)
def test_the_power_is_cut_again_and_again() -> None:
    for seed in range(400):
        cut_again_and_again(seed, every=7)


def test_blocks_that_were_torn_are_asked_for_again_and_no_others() -> None:
    device = Device()
    device.receive(SECOND)
    blocks = -(-len(SECOND.encode()) // 64)
    asked: set[int] = set()
    for done, cut in cuts(device.flash):
        transfer = cut.update.transfer
        least = sure(device.flash, done).update.transfer
        if transfer is None or least is None:
            continue
        assert set(transfer.missing) <= set(least.missing), "what was durable is there"
        asked.add(len(transfer.missing))
    assert asked == set(range(blocks + 1))
