# SPDX-License-Identifier: Apache-2.0
"""The modules of a meter as a pair: who belongs to whom, made at the factory or by a technician."""

import os
import stat
from pathlib import Path

from openami.device import pairing
from openami.device.files import JOURNAL, MANAGEMENT, METROLOGY, SECURE
from openami.device.secure.personal import link_point
from openami.device.storage import StorageError
from openami.meter.config import MeterConfig
from openami.psa.status import PsaError
from openami.runtime.errors import UserError
from openami.runtime.files import erase
from openami.runtime.users import Part, User, Users


def pair_new(config: MeterConfig) -> None:
    """Let the modules of a meter know each other if neither ever knew one.

    Raises:
        UserError: The disk refused, or its secure world cannot be opened.
    """
    home = config.home
    metrology, management = _folders(home)
    for name in (pairing.KEY_FILE, pairing.PEER_FILE):  # where they were before there was a wall
        if (former := home / SECURE / name).exists():
            former.replace(management / name)
    if pairing.is_new(metrology, management):
        pair_modules(config)


def pair(home: Path) -> None:
    """Let the modules in `home` know each other, whomever they knew before.

    Raises:
        ConfigurationError: There is no meter.
        UserError: A key cannot be used, or the disk refused.
    """
    pair_modules(MeterConfig.load(home))


def pair_modules(config: MeterConfig) -> None:
    """Let the modules of a meter know each other, whomever they knew before.

    Where management has a secure world, that has its key.  It may be cut off and called again.

    Raises:
        UserError: A key cannot be used, the disk refused, or the secure world cannot be opened.
    """
    metrology, management = _folders(config.home)
    if config.keys is not None:
        pairing.pair(metrology, management, os.urandom)
        return
    try:
        point = link_point(config.home / SECURE, os.urandom)
    except (PsaError, StorageError) as error:
        raise UserError(f"the modules of {config.name} cannot be paired: {error}") from error
    pairing.pair_walled(metrology, management, point, os.urandom)
    erase(management / pairing.KEY_FILE)  # last: until then it is the one that is used


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
