# SPDX-License-Identifier: Apache-2.0
"""The modules of a meter as a pair: who belongs to whom, made at the factory or by a technician."""

import os
import stat
from pathlib import Path

from openami.device import pairing
from openami.device.files import JOURNAL, MANAGEMENT, METROLOGY, SECURE
from openami.meter.config import MeterConfig
from openami.runtime.users import Part, User, Users


def pair_new(home: Path) -> None:
    """Let the modules of the meter in `home` know each other if neither ever knew one.

    Raises:
        UserError: The disk refused.
    """
    metrology, management = _folders(home)
    for name in (pairing.KEY_FILE, pairing.PEER_FILE):  # where they were before there was a wall
        if (former := home / SECURE / name).exists():
            former.replace(management / name)
    if pairing.is_new(metrology, management):
        pairing.pair(metrology, management, os.urandom)


def pair(home: Path) -> None:
    """Let the modules in `home` know each other, whomever they knew before.

    Raises:
        ConfigurationError: There is no meter.
        UserError: A key cannot be used, or the disk refused.
    """
    MeterConfig.load(home)
    pairing.pair(*_folders(home), os.urandom)


def give_metrology(home: Path, users: Users) -> tuple[User | None, str]:
    """Give metrology's folder to its user; return the user, or None and why it has none.

    Raises:
        OSError: The system refused.
    """
    folder = home / METROLOGY
    before = home / JOURNAL  # of meters that were made before metrology had a folder
    if before.exists() and not (folder / JOURNAL).exists():
        before.replace(folder / JOURNAL)
    user = users.get(Part.METROLOGY)
    if user is None:
        return None, users.reduced
    closed = [each for each in (home, *home.parents) if not each.stat().st_mode & stat.S_IXOTH]
    if closed:
        return None, f"{closed[-1]} is closed to other users"
    users.hand_over(folder, Part.METROLOGY, 0o700)
    for path in folder.iterdir():
        found = path.lstat()
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:  # nobody else's by another name
            users.hand_over(path, Part.METROLOGY, 0o600)
    return user, ""


def _folders(home: Path) -> tuple[Path, Path]:
    folders = home / METROLOGY, home / MANAGEMENT
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
    return folders
