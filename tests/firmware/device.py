# SPDX-License-Identifier: Apache-2.0
"""A small device: a flash with two banks, its first image, and whoever updates it."""

import random
from typing import Final

from firmware.made import DEVICE, OURS, image_of
from openami.firmware.bank import FlashMap, Region
from openami.firmware.boot import Running, boot, prepare
from openami.firmware.flash import SimulatedFlash
from openami.firmware.image import Image
from openami.firmware.state import BootState, StateJournal, UpdateState
from openami.firmware.update import Update
from openami.firmware.verify import Policy

SMALL: Final = FlashMap(
    slots=(Region(0x0000, 0x1400), Region(0x1800, 0x1400)),
    state=Region(0x1400, 0x200),
    scratch=Region(0x1600, 0x100),
    log_octets=0x400,
    page_octets=0x100,
)
FLASH_OCTETS: Final = 0x2C00
POLICY: Final = Policy(keys=(OURS,), counter=0, decryption_key=DEVICE)
BLOCK: Final = 64
FIRST: Final = image_of("1.2.3", counter=5, octets=1500)
SECOND: Final = image_of("1.3.0", counter=6, octets=2000)
SEALED: Final = image_of("1.3.0", counter=6, octets=2000, encrypted=True)
THIRD: Final = image_of("1.4.0", counter=9, octets=1000)
ANCIENT: Final = image_of("0.9.0", counter=4, octets=1000)


class Device:
    """A device that was prepared with the first image."""

    def __init__(self, flash: SimulatedFlash | None = None) -> None:
        if flash is None:
            made = SimulatedFlash(FLASH_OCTETS, page_octets=SMALL.page_octets)
            prepare(made, SMALL, POLICY, FIRST.encode())
            flash = SimulatedFlash(bytes(made.content), page_octets=SMALL.page_octets)
        self.flash = flash

    def boot(self) -> Running:
        found = boot(self.flash, SMALL, POLICY)
        assert isinstance(found, Running), found
        return found

    @property
    def update(self) -> Update:
        return Update(self.flash, SMALL, POLICY)

    @property
    def state(self) -> BootState:
        found = StateJournal(self.flash, SMALL).read()
        assert found is not None
        return found

    @property
    def version(self) -> str:
        return str(self.boot().verified.version)

    def start(self, image: Image, block: int = BLOCK) -> Update:
        update = self.update
        update.start(str(image.header.version).encode(), len(image.encode()), block)
        return update

    def receive(self, image: Image, block: int = BLOCK, seed: int = 1) -> Update:
        """Start if nothing is there yet, and write what is missing, in any order."""
        update = self.update
        if update.transfer is None or update.state is UpdateState.READY:
            update = self.start(image, block)
        transfer = update.transfer
        assert transfer is not None
        missing = transfer.missing
        random.Random(seed).shuffle(missing)
        octets = image.encode()
        for number in missing:
            update.write(number, octets[number * block : (number + 1) * block])
        return update

    def stage(self, image: Image) -> None:
        update = self.receive(image)
        update.finish()
        update.install()

    def carry_on(self, image: Image) -> None:
        """Do whatever is still to be done until the image is confirmed."""
        for _ in range(12):
            update = self.update
            match update.state:
                case UpdateState.READY:
                    self.start(image)
                case UpdateState.WRITING if update.transfer is None:
                    update.cancel()
                case UpdateState.WRITING:
                    self.receive(image).finish()
                case UpdateState.CANDIDATE:
                    update.install()
                case UpdateState.STAGED | UpdateState.REJECTED:
                    self.boot()
                case UpdateState.TRIAL:
                    update.accept()
                case UpdateState.FAILED:
                    update.clean()
                case UpdateState.UPDATED:
                    return
        raise AssertionError(f"the update stands at {self.update.standing()}")
