# SPDX-License-Identifier: Apache-2.0
"""How far the parts of one meter are kept apart, and what each part's user may touch.

====================  ==========================================================================
user of               what is its own
====================  ==========================================================================
secure                the folder ``secure``: flash, one-time-programmable memory, update key
management            the meter's folder and its files, the folder ``management``
who starts the meter  ``metrology`` and the journal; it gives the power
====================  ==========================================================================

A meter that was not personalised has its keys in management, whatever the users.
"""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.device.files import MANAGEMENT, SECURE
from openami.meter.config import MeterConfig
from openami.runtime.users import Part, User, Users, users_here

NOT_PERSONALISED: Final = (
    "the meter's keys are not in its secure world: `openami meter personalise` brings them there"
)
METROLOGYS: Final = ("metrology",)
"""Beginnings of names that are metrology's."""
STICKY_TO_ALL: Final = 0o1777
SECURE_CLIENT, ENTER = "-1", 0o001


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What keeps the parts of a meter apart.

    Attributes:
        users: Of the parts; empty where all are one.
        door: Of the secure world; None where the keys are not in there.
        reduced: Why the parts are not apart; empty if they are.
    """

    users: Users = field(default_factory=Users)
    door: Path | None = None
    reduced: str = NOT_PERSONALISED

    @property
    def management(self) -> User | None:
        return self.users.get(Part.MANAGEMENT)

    @property
    def secure(self) -> User | None:
        return self.users.get(Part.SECURE)

    @property
    def callers(self) -> str:
        """Who may call the secure world, as `device.secure.process` reads it."""
        uid = os.geteuid() if self.management is None else self.management.uid
        return f"{uid}:{SECURE_CLIENT}"

    def hand_over(self, home: Path, run: Path, line: Path) -> None:
        """Give each part what is its own.

        Args:
            home: The meter's folder.
            run: Where statuses go.
            line: To metrology, where it is a serial one.
        """
        if not self.users.of:
            return
        run.mkdir(parents=True, exist_ok=True)
        run.chmod(STICKY_TO_ALL)
        self._give(home / SECURE, Part.SECURE, private=True)
        self._give(home / MANAGEMENT, Part.MANAGEMENT, private=True)
        own = [path for path in home.iterdir() if path.is_file()]
        own += [run / "management.json", line]
        for path in (home, *own):
            if path.exists() and not path.name.startswith(METROLOGYS):
                self.users.hand_over(path, Part.MANAGEMENT, path.stat().st_mode & 0o7777)

    def _give(self, folder: Path, part: Part, *, private: bool) -> None:
        for path in (folder, *folder.iterdir()):
            mode = path.stat().st_mode & (0o700 if private else 0o777)
            self.users.hand_over(path, part, mode)


def walls_of(config: MeterConfig, door: Path) -> Walls:
    """Return what keeps a meter's parts apart on this machine; may start processes to see."""
    if config.keys is not None:
        return Walls()
    users = users_here()
    if not users.reduced:
        closed = [each for each in config.home.parents if not each.stat().st_mode & ENTER]
        if closed:
            reason = f"its users may not enter {closed[-1]}: permit it with `chmod o+x`"
            users = Users(reduced=reason)
    return Walls(users=users, door=door, reduced=users.reduced)
