# SPDX-License-Identifier: Apache-2.0
"""The power is cut at every write of a concentrator's update and of a revert, on its flash file.

The code is the concentrator's own: the launcher's decision, flash file, image transfer's sink, the
trial; banks are small, as each cut writes a whole flash.
"""

from pathlib import Path

import pytest

from concentrator.own.flashes import KEY, MAP, content, image, otp_of, version_of
from device.cutting import STORIES, Device, Ran, Story, walk
from openami.concentrator.own.banks import KIND
from openami.device.boothost import decide
from openami.device.fwu import update_of
from openami.device.otp import Otp
from openami.firmware.boot import Running
from openami.firmware.update import Update


class Concentrator(Device):
    """A concentrator that is powered on a flash file."""

    flash_map = MAP
    key = KEY
    next_image = image("1.1.0", 2)

    def first_content(self) -> bytes:
        return content()

    def burned(self) -> Otp:
        return otp_of(self.folder)

    def update(self) -> Update:
        return update_of(self.flash, self.folder, MAP, KIND)

    def start(self) -> Ran:
        _, found = decide(self.flash, self.otp, MAP, KIND)
        assert isinstance(found, Running), found
        return Ran(version_of(found.verified.image.payload), found.bank, found.trial)


@STORIES
def test_the_power_may_be_cut_now_and_then(
    tmp_path: Path,
    story: Story,
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(Concentrator, tmp_path, story, 7, sealed=sealed)


@pytest.mark.long
@pytest.mark.timeout(3000)
@STORIES
def test_the_power_may_be_cut_at_every_write(
    tmp_path: Path,
    story: Story,
    sealed: bool,  # noqa: FBT001
) -> None:
    walk(Concentrator, tmp_path, story, 1, sealed=sealed)
