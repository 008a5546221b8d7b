# SPDX-License-Identifier: Apache-2.0
"""The power cut at every write of a whole update and of a revert, on a real flash file.

A device says how it is started and what its images are; what was not synced is lost, torn or there,
and whatever it is, the next start runs a valid image.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from device.power import Recorder, images
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import Verdict
from openami.device import flash as flash_module
from openami.device.flash import FlashFile
from openami.device.fwu import update_key
from openami.device.otp import Otp
from openami.device.trial import Trial
from openami.firmware.bank import Bank, FlashMap
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.keys import PrivateKey
from openami.firmware.sign import Encryption, recipe_of, sign
from openami.firmware.state import BootState, StateJournal, UpdateState
from openami.firmware.update import Update

BLOCK = 1024


class Ran(NamedTuple):
    """What a start came to: the version that the program says, where it lies, whether on trial."""

    version: str
    bank: Bank
    trial: bool


class Device(ABC):
    """A device that is powered on a flash file, with images 1.0.0 and 1.1.0.

    Attributes:
        flash_map: Of the flash.
        key: That signs its images.
        next_image: 1.1.0 with counter 2, in the clear.
    """

    flash_map: FlashMap
    key: PrivateKey
    next_image: Image
    otp: Otp

    def __init__(self, folder: Path, content: bytes | None = None) -> None:
        self.folder = folder
        (folder / "update.key").write_bytes(bytes(31) + b"\x07")
        path = folder / "flash.bin"
        octets = self.first_content() if content is None else content
        path.write_bytes(octets)
        self.flash = FlashFile.open(path, len(octets))
        self.otp = self.burned()

    @abstractmethod
    def first_content(self) -> bytes:
        """Return a flash with 1.0.0 in bank A, as it left the factory."""

    @abstractmethod
    def burned(self) -> Otp:
        """Open the one-time-programmable memory of the folder."""

    @abstractmethod
    def start(self) -> Ran:
        """Give it power."""

    @abstractmethod
    def update(self) -> Update:
        """Take up the update of its flash."""

    @property
    def sink(self) -> FirmwareSink:
        return FirmwareSink(self.update(), lambda: None)

    def trial(self, checks: dict[str, Callable[[], bool]]) -> None:
        Trial(self.update(), checks, until_s=0).tick(0)

    @property
    def state(self) -> BootState:
        found = StateJournal(self.flash, self.flash_map).read()
        assert found is not None
        return found

    def receive(self, what: Image) -> None:
        """Send what is missing of an image, and have it staged."""
        octets, sink = what.encode(), self.sink
        kept = sink.progress()
        if kept is None or self.state.state is not UpdateState.WRITING:
            sink.begin(b"next", len(octets), BLOCK)
            kept = sink.progress()
        assert kept is not None
        bits = "".join(f"{octet:08b}" for octet in kept.received)
        for number in range(-(-len(octets) // BLOCK)):
            if bits[number] == "0":
                sink.write(number, octets[number * BLOCK : (number + 1) * BLOCK])
        assert sink.verify() is Verdict.GOOD
        assert sink.activate() is Verdict.RUNNING

    def encrypted(self) -> Image:
        public = update_key(self.folder).public_key()
        encryption = Encryption(recipient=public, entropy=lambda size: bytes(range(1, size + 1)))
        clear = self.next_image
        return sign(clear.payload, recipe_of(clear), self.key, encryption=encryption)

    def close(self) -> None:
        self.flash.close()
        self.otp.close()


Make = Callable[[Path, bytes | None], Device]
Story = Callable[[Device, Image], None]


def updated(device: Device, what: Image) -> None:
    device.start()
    device.receive(what)
    assert device.start().trial
    device.trial({"link": lambda: True})
    device.start()


def reverted(device: Device, what: Image) -> None:
    device.start()
    device.receive(what)
    assert device.start().trial
    device.trial({"link": lambda: False})
    assert not device.start().trial


def cuts(
    make: Make, folder: Path, story: Story, *, sealed: bool
) -> Iterator[tuple[Image, int, bytes]]:
    """Tell a story; yield the image and each content that a cut at each of its writes leaves."""
    device = make(folder, None)
    what = device.encrypted() if sealed else device.next_image
    before = (folder / "flash.bin").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch, flash_module)
        story(device, what)
    device.close()
    for done, content in images(before, recorder.operations, Random(7)):
        yield what, done, content


def walk(make: Make, folder: Path, story: Story, every: int, *, sealed: bool) -> None:
    """Cut the power at each write of a story, or at every so many, and hold what is promised."""
    least, seen = 0, set()
    probe = make(folder, None)
    flash_map = probe.flash_map
    probe.close()
    for number, (what, done, content) in zip(
        count(), cuts(make, folder, story, sealed=sealed), strict=False
    ):
        durable = number % 5 == 4  # the last of each five: nothing unsynced is there
        if durable:
            state = StateJournal(SimulatedFlash(content), flash_map).read()
            assert state is not None
            least = max(least, state.counter)
        if number % every:
            continue
        device = make(folder, content)
        before = device.state
        assert before.counter >= (least if durable else 1)
        assert (before.confirmed is Bank.B) == (before.counter == 2), "both in one step"
        found = device.start()
        assert found.version in {"1.0.0", "1.1.0"}
        assert found.trial or found.bank is before.confirmed
        assert device.state.counter >= before.counter
        seen.add((before.state, found.version))
        if not found.trial and before.confirmed is Bank.A:
            device.receive(what)
            assert device.start().version == "1.1.0", done
        device.close()
    assert (UpdateState.WRITING, "1.0.0") in seen


STORIES = pytest.mark.parametrize(
    ("story", "sealed"),
    [(updated, True), (updated, False), (reverted, True), (reverted, False)],
    ids=["updated encrypted", "updated", "reverted encrypted", "reverted"],
)
