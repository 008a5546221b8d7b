# SPDX-License-Identifier: Apache-2.0
"""How far the parts of one meter are kept apart, and what each part's user may touch.

====================  ==========================================================================
user of               what is its own
====================  ==========================================================================
secure                the folder ``secure``: flash, one-time-programmable memory, update key
tls                   the private key of TLS
management            files in the meter's folder, the folder ``management``
metrology             the folder ``metrology`` (`modules.give_metrology`)
who starts the meter  the meter's folder, ``seal``: metrology's image; it gives the power
====================  ==========================================================================

Management makes files in the meter's folder, which is sticky: nobody renames there what another
owns, or a part could put a flash of its own in place of the secure world's.  Only what who starts
the meter owns is ever given away, and no link is followed.

A meter that was not personalised has its keys in management, whatever the users.
"""

import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from openami.device.files import MANAGEMENT, SECURE
from openami.device.secure.access import Caller
from openami.meter.config import MeterConfig
from openami.runtime.users import Part, User, Users, users_here

NOT_PERSONALISED: Final = (
    "the meter's keys are not in its secure world: `openami meter personalise` brings them there"
)
METROLOGYS: Final = ("metrology",)
"""Beginnings of names that are metrology's."""
KEPT: Final = frozenset({".toml", ".crt", ".key", ".pem"})
"""Endings of names that stay ours: management reads what it is told, and need not write it; whom
attestation and encrypted images are proved by, it must not."""
STICKY_TO_ALL: Final = 0o1777
STICKY_TO_GROUP: Final = 0o1775
ENTER: Final = 0o001


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
    def tls(self) -> User | None:
        return self.users.get(Part.TLS)

    @property
    def callers(self) -> str:
        """Who may call the secure world, as `device.secure.process` reads it."""
        power = os.geteuid()
        if self.management is None:
            return f"{power}:{Caller.NON_SECURE:d}"
        return f"{self.management.uid}:{Caller.NON_SECURE:d},{power}:{Caller.POWER:d}"

    def hand_over(self, home: Path, run: Path, line: Path) -> None:
        """Give each part what is its own.

        Args:
            home: The meter's folder.
            run: Where statuses go.
            line: To metrology, where it is a serial one.
        """
        secure, management = self.secure, self.management
        if secure is None or management is None:
            return
        run.mkdir(parents=True, exist_ok=True)
        run.chmod(STICKY_TO_ALL)
        os.chown(home, os.geteuid(), management.gid)
        home.chmod(STICKY_TO_GROUP)
        for folder, user in ((home / SECURE, secure), (home / MANAGEMENT, management)):
            for path in (*folder.iterdir(), folder):
                _give(path, user, 0o700)
        for path in home.iterdir():
            kept = path.name.startswith(METROLOGYS) or path.suffix in KEPT
            if not path.is_dir() and not kept:
                _give(path, management, 0o777)
        if (status := run / "management.json").exists():
            _give(status, management, 0o777)
        if line.exists():
            os.chown(line, management.uid, management.gid)

    def give_tls(self, key: Path, *, apart: bool) -> None:
        """Give the private key of TLS to the partition where it ends, or to management."""
        if self.tls is None or self.management is None:
            return
        user = self.tls if apart else self.management
        _give(key, user, 0o600, of=(self.tls.uid, self.management.uid))


def _give(path: Path, user: User, mode: int, *, of: Collection[int] = ()) -> None:
    """Give a file or folder to a user if it is ours, or of one of these; leave others be."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return  # a link, or no file
    try:
        found = os.fstat(descriptor)
        alone = stat.S_ISDIR(found.st_mode) or (stat.S_ISREG(found.st_mode) and found.st_nlink == 1)
        if alone and found.st_uid in {os.geteuid(), *of}:
            os.fchmod(descriptor, found.st_mode & mode)
            os.fchown(descriptor, user.uid, user.gid)
    finally:
        os.close(descriptor)


def walls_of(config: MeterConfig, door: Path) -> Walls:
    """Return what keeps a meter's parts apart on this machine; may start processes to see."""
    if config.keys is not None:
        return Walls()
    users = users_for(config.home)
    return Walls(users=users, door=door, reduced=users.reduced)


def users_for(home: Path) -> Users:
    """Return the users of the parts of the meter in `home`; may start processes to see."""
    users = users_here()
    if not users.reduced:
        closed = [each for each in home.parents if not each.stat().st_mode & ENTER]
        if closed:
            reason = f"its users may not enter {closed[-1]}: permit it with `chmod o+x`"
            users = Users(reduced=reason)
    return users
