# SPDX-License-Identifier: Apache-2.0
"""The TLS partition of a meter in its host: its doors, its program, its key.

Where a meter's keys are behind the wall, that of TLS belongs to a user of its own.  Management
knocks at one door to have its uplink dialled, and takes callers at another.  An image of former
days ends TLS in management: the key's file is management's then.
"""

import contextlib
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from openami.device import power
from openami.device.payload import rom
from openami.device.power import Booted
from openami.device.secure.door import open_door
from openami.meter.config import MeterConfig
from openami.meter.through import Through
from openami.meter.tlspart import WORD
from openami.meter.walls import Walls
from openami.runtime.supervisor import Program

NAME: Final = "tls"
UPLINK_DOOR: Final = "tls.door"
CALLERS_DOOR: Final = "callers.door"


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    """One start of the partition."""

    through: Through
    program: Program


@contextlib.contextmanager
def partition_of(
    config: MeterConfig, walls: Walls, run: Path, found: Booted
) -> Iterator[Partition | None]:
    """Lend the doors and the program of the partition; None where TLS does not end in one."""
    listens = config.protected_listener is not None
    has_one = walls.door is not None and found.secure is not None
    if not has_one or not (config.uplink.encrypted or listens):
        walls.give_tls(config.identity.key, apart=False)
        yield None
        return
    walls.give_tls(config.identity.key, apart=True)
    with contextlib.ExitStack() as doors:
        uplink = doors.enter_context(_opened(run / UPLINK_DOOR))
        callers = doors.enter_context(_opened(run / CALLERS_DOOR)) if listens else None
        user = os.geteuid() if walls.tls is None else walls.tls.uid
        near = os.geteuid() if walls.management is None else walls.management.uid
        inside = str(run / CALLERS_DOOR) if listens else ""
        words = (WORD, config.home, uplink.fileno(), near, inside)
        yield Partition(
            through=Through(
                run / UPLINK_DOOR if config.uplink.encrypted else None,
                None if callers is None else callers.fileno(),
                user,
            ),
            program=Program(
                NAME,
                rom.command(found.management, rom.libraries(), *words),
                (found.management, uplink.fileno()),
                user=walls.tls,
                environment=power.environment(),
            ),
        )


def _opened(path: Path) -> socket.socket:
    return open_door(path, socket.SOCK_STREAM)
