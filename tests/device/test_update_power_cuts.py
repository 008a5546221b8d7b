# SPDX-License-Identifier: Apache-2.0
"""The power is cut at every write of a whole update and of a revert, on a real flash file.

The code is the meter's own: boot, flash file, image transfer's sink, PSA's functions, the trial.
What was not synced is lost, torn or there; whatever it is, the next start runs a valid image.
"""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from random import Random

import pytest

from device.power import Recorder, images
from device.sealedmeter import KEY, KEYS, flash_with, image, otp_with
from openami.cosem.behaviour.firmware_sink import FirmwareSink
from openami.cosem.behaviour.image import Verdict
from openami.device import flash as flash_module
from openami.device.boothost import Measured, Started, start
from openami.device.flash import FlashFile
from openami.device.fwu import update_key, update_of
from openami.device.trial import Trial
from openami.firmware.bank import M2351, M2351_FLASH_OCTETS, Bank
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.sign import Encryption, recipe_of, sign
from openami.firmware.state import BootState, StateJournal, UpdateState

SEED = bytes(32)
BLOCK = 1024
PAYLOAD = image("1.1.0").payload
CLEAR = image("1.1.0", 2)
VERSIONS = {"runs 1.0.0", "runs 1.1.0"}


class Meter:
    """A meter whose module is powered on a flash file."""

    def __init__(self, folder: Path, content: bytes | None = None) -> None:
        self.folder = folder
        (folder / "update.key").write_bytes(bytes(31) + b"\x07")
        path = folder / "flash.bin"
        path.write_bytes(bytes(flash_with().content) if content is None else content)
        self.flash = FlashFile.open(path, M2351_FLASH_OCTETS)
        self.otp = otp_with(folder / "otp.bin")

    def start(self) -> Started:
        found = start(self.flash, self.otp, SEED, "", Measured(rom=SEED))
        assert isinstance(found, Started), found
        return found

    @property
    def sink(self) -> FirmwareSink:
        return FirmwareSink(update_of(self.flash, self.folder), lambda: None)

    def trial(self, checks: dict[str, Callable[[], bool]]) -> None:
        Trial(update_of(self.flash, self.folder), checks, until_s=0).tick(0)

    @property
    def state(self) -> BootState:
        found = StateJournal(self.flash, M2351).read()
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

    def close(self) -> None:
        self.flash.close()
        self.otp.close()


def encrypted(folder: Path) -> Image:
    public = update_key(folder).public_key()
    encryption = Encryption(recipient=public, entropy=lambda size: bytes(range(1, size + 1)))
    return sign(PAYLOAD, recipe_of(CLEAR), KEY, encryption=encryption)


def updated(meter: Meter, what: Image) -> None:
    meter.start()
    meter.receive(what)
    assert meter.start().record.trial
    meter.trial({"link": lambda: True})
    meter.start()


def reverted(meter: Meter, what: Image) -> None:
    meter.start()
    meter.receive(what)
    assert meter.start().record.trial
    meter.trial({"link": lambda: False})
    assert not meter.start().record.trial


def cuts(
    folder: Path, story: Callable[[Meter, Image], None], *, sealed: bool
) -> Iterator[tuple[Image, int, bytes]]:
    """Tell a story; yield the image and each content that a cut at each of its writes leaves."""
    meter = Meter(folder)
    what = encrypted(folder) if sealed else CLEAR
    before = (folder / "flash.bin").read_bytes()
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(patch, flash_module)
        story(meter, what)
    meter.close()
    for done, content in images(before, recorder.operations, Random(7)):
        yield what, done, content


def walk(folder: Path, story: Callable[[Meter, Image], None], every: int, *, sealed: bool) -> None:
    least, seen = 0, set()
    for number, (what, done, content) in zip(
        count(), cuts(folder, story, sealed=sealed), strict=False
    ):
        durable = number % 5 == 4  # the last of each five: nothing unsynced is there
        if durable:
            state = StateJournal(SimulatedFlash(content), M2351).read()
            assert state is not None
            least = max(least, state.counter)
        if number % every:
            continue
        meter = Meter(folder, content)
        before = meter.state
        assert before.counter >= (least if durable else 1)
        assert (before.confirmed is Bank.B) == (before.counter == 2), "both in one step"
        found = meter.start()
        assert found.payload.management.decode() in VERSIONS
        of_one_release = found.payload.management.replace(b"runs", b"secure")
        assert found.payload.secure == of_one_release, "both worlds in one step"
        assert found.record.trial or found.record.bank is before.confirmed
        assert meter.state.counter >= before.counter
        seen.add((before.state, found.payload.management))
        if not found.record.trial and before.confirmed is Bank.A:
            meter.receive(what)
            assert meter.start().payload.management == b"runs 1.1.0", done
        meter.close()
    assert (UpdateState.WRITING, b"runs 1.0.0") in seen


EACH = pytest.mark.parametrize(
    ("story", "sealed"),
    [(updated, True), (updated, False), (reverted, True), (reverted, False)],
    ids=["updated encrypted", "updated", "reverted encrypted", "reverted"],
)


@EACH
def test_the_power_may_be_cut_now_and_then(
    tmp_path: Path,
    story: Callable[[Meter, Image], None],
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(tmp_path, story, 23, sealed=sealed)


@pytest.mark.long
@pytest.mark.timeout(3000)
@EACH
def test_the_power_may_be_cut_at_every_write(
    tmp_path: Path,
    story: Callable[[Meter, Image], None],
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(tmp_path, story, 1, sealed=sealed)


def test_the_keys_of_the_meter_are_those_of_the_boot_region(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.start().record.components[2].signer == KEYS[0].keyhash
    meter.close()
