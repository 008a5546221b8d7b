# SPDX-License-Identifier: Apache-2.0
"""The metrology module in its host: verified at each start, and run from a sealed copy.

An image that its seal does not cover does not run: the module stands still and the meter's alarm
says why, since what it would measure is of no use to anybody.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.device import power, sealed, sealedimage
from openami.device.files import METROLOGY
from openami.device.payload import rom
from openami.firmware.verify import Verified
from openami.meter.replay import data_file
from openami.runtime.status import Figures
from openami.runtime.supervisor import COMMAND, Child, Program
from openami.runtime.users import User

NAME: Final = "metrology"
SOURCE: Final = "the package's source, unverified"


@dataclass(slots=True)
class MeasuringModule(Child):
    """The metrology module.

    Attributes:
        home: The meter's folder.
        line: Descriptor of its end of the link.
        user: Whom it runs as.
        from_source: Run the package instead of the image.
        verified: The image of the last start.
    """

    home: Path = field(kw_only=True)
    line: int = field(kw_only=True)
    user: User | None = field(default=None, kw_only=True)
    from_source: bool = field(default=False, kw_only=True)
    verified: Verified | None = None

    async def run_once(self, stop: asyncio.Event) -> int:
        """Verify, seal and run the image; return its exit status."""
        self.verified = None
        if self.from_source:
            words = ("--home", self.home, "--descriptor", self.line)
            command = [sys.executable, "-m", "openami", "meter", NAME, *map(str, words)]
            self.program = Program(NAME, command, (self.line,), self.user)
            return await Child.run_once(self, stop)
        self.verified = await asyncio.to_thread(sealedimage.start, self.home / METROLOGY)
        image = sealed.seal(NAME, self.verified.image.payload)
        try:
            self.program = Program(
                NAME,
                self._command(image, self.verified.digest),
                (image, self.line),
                self.user,
                power.environment(),
            )
            return await Child.run_once(self, stop)
        finally:
            os.close(image)

    def _command(self, image: int, digest: bytes) -> Sequence[str]:
        words = (self.home, self.line, data_file(), self.log.parent, digest.hex())
        return sealed.command(image, rom.libraries(), *words)

    def figures(self) -> Figures:
        """Return what the meter's status says of metrology's program."""
        if self.from_source:
            return {"metrology": SOURCE}
        if self.verified is None:
            why = self.last_words.removeprefix(COMMAND)
            return {"metrology": f"none: {why}"} if why else {}
        verified = self.verified
        return {"metrology": f"{verified.version}, {verified.digest.hex()[:16]}"}
