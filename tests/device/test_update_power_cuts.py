# SPDX-License-Identifier: Apache-2.0
"""The power is cut at every write of a whole update and of a revert, on a meter's flash file.

The code is the meter's own: boot, flash file, image transfer's sink, PSA's functions, the trial.
"""

from pathlib import Path

import pytest

from device.cutting import STORIES, Device, Ran, Story, walk
from device.sealedmeter import KEY, KEYS, flash_with, image, otp_with
from openami.device.boothost import Measured, Started, start
from openami.device.fwu import update_of
from openami.device.otp import Otp
from openami.firmware.bank import M2351
from openami.firmware.update import Update

SEED = bytes(32)


class Meter(Device):
    """A meter whose module is powered on a flash file."""

    flash_map = M2351
    key = KEY
    next_image = image("1.1.0", 2)

    def first_content(self) -> bytes:
        return bytes(flash_with().content)

    def burned(self) -> Otp:
        return otp_with(self.folder / "otp.bin")

    def update(self) -> Update:
        return update_of(self.flash, self.folder)

    def started(self) -> Started:
        found = start(self.flash, self.otp, SEED, "", Measured(rom=SEED))
        assert isinstance(found, Started), found
        return found

    def start(self) -> Ran:
        found = self.started()
        says = found.payload.management.decode().removeprefix("runs ")
        assert found.payload.secure == f"secure {says}".encode(), "both worlds in one step"
        return Ran(says, found.record.bank, found.record.trial)


@STORIES
def test_the_power_may_be_cut_now_and_then(
    tmp_path: Path,
    story: Story,
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(Meter, tmp_path, story, 23, sealed=sealed)


@pytest.mark.long
@pytest.mark.timeout(3000)
@STORIES
def test_the_power_may_be_cut_at_every_write(
    tmp_path: Path,
    story: Story,
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(Meter, tmp_path, story, 1, sealed=sealed)


def test_the_keys_of_the_meter_are_those_of_the_boot_region(tmp_path: Path) -> None:
    meter = Meter(tmp_path)
    assert meter.started().record.components[2].signer == KEYS[0].keyhash
    meter.close()
