# SPDX-License-Identifier: Apache-2.0
"""The metrology module in its host: verified at each start, and run from a sealed copy.

An image that its seal does not cover does not run: the module stands still and the meter's alarm
says why, since what it would measure is of no use to anybody.  The other module's attestation names
the image (`told`).
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.device import power, sealed, sealedimage
from openami.device.files import METROLOGY, SEAL
from openami.device.handover import Component
from openami.device.payload import rom
from openami.device.payload.identity import METROLOGY_SW_TYPE
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
        user: Whom it runs as; None for who started the meter.
        together: Why it has no user of its own.
        from_source: Run the package instead of the image.
        told: What the other module's attestation says of this one, once an image was good.
        verified: The image of the last start.
    """

    home: Path = field(kw_only=True)
    line: int = field(kw_only=True)
    user: User | None = field(default=None, kw_only=True)
    together: str = field(default="", kw_only=True)
    from_source: bool = field(default=False, kw_only=True)
    told: tuple[Component, ...] = ()
    verified: Verified | None = None

    async def run_once(self, stop: asyncio.Event) -> int:
        """Verify, seal and run the image; return its exit status."""
        self.verified = None
        self._show_status()
        if self.from_source:
            words = ("--home", self.home, "--descriptor", self.line)
            command = [sys.executable, "-m", "openami", "meter", NAME, *map(str, words)]
            self.program = Program(NAME, command, (self.line,), self.user)
            return await Child.run_once(self, stop)
        self.verified = await self.verify()
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

    async def verify(self) -> Verified:
        """Return the image that may run; the other module's attestation is told of it.

        Raises:
            SealBrokenError: None may.
            StorageError: Its counter can be neither read nor written.
        """
        found = await asyncio.to_thread(sealedimage.start, self.home / SEAL)
        version = str(found.version)
        self.told = (Component(METROLOGY_SW_TYPE, found.digest, found.keyhash, version),)
        return found

    def _show_status(self) -> None:
        """Let what metrology says, in its own folder, be seen beside what the others say."""
        own, shown = self.home / METROLOGY / f"{NAME}.json", self.log.with_suffix(".json")
        if not shown.is_symlink():
            own.unlink(missing_ok=True)  # of an earlier run of the meter
            shown.parent.mkdir(parents=True, exist_ok=True)
            shown.unlink(missing_ok=True)
            shown.symlink_to(own)

    def _command(self, image: int, digest: bytes) -> Sequence[str]:
        words = (self.home, self.line, data_file(), digest.hex())
        return rom.command(image, rom.libraries(), *words)

    def figures(self) -> Figures:
        """Return what the meter's status says of metrology's program and user."""
        return self._program_figures() | {"metrology runs as": self.runs_as}

    @property
    def runs_as(self) -> str:
        """Whom metrology runs as, for people."""
        if self.user is None:
            return f"who started the meter: {self.together}"
        return f"user {self.user.uid}, alone"

    def _program_figures(self) -> Figures:
        if self.from_source:
            return {"metrology": SOURCE}
        if self.verified is None:
            why = self.last_words.removeprefix(COMMAND)
            return {"metrology": f"none: {why}"} if why else {}
        verified = self.verified
        return {"metrology": f"{verified.version}, {verified.digest.hex()[:16]}"}
