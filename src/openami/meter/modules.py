# SPDX-License-Identifier: Apache-2.0
"""The modules of a meter as a pair: who belongs to whom, made at the factory or by a technician."""

import os
from pathlib import Path

from openami.device import pairing
from openami.device.files import MANAGEMENT, METROLOGY, SECURE
from openami.meter.config import MeterConfig


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


def _folders(home: Path) -> tuple[Path, Path]:
    folders = home / METROLOGY, home / MANAGEMENT
    for folder in folders:
        folder.mkdir(mode=0o700, exist_ok=True)
    return folders
