# SPDX-License-Identifier: Apache-2.0
"""A program in an execute-only region: called with octets, answering octets, never read.

What lies in a region::

    magic 4 `OAXO` | octets 4, little-endian | CRC-32 of the program 4 | program, a zipapp

It runs from a sealed copy in a process of its own, as a part's instruction fetch would get it, with
the argument on its standard input; what it writes is the answer.  Software of the device cannot
read it; where the process has a user of its own, a caller cannot look into it either.
"""

import os
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Final

from openami.device import sealed
from openami.device.files import FLASH_FILE
from openami.device.flash import FlashFile
from openami.device.partlocks import LockError, locks_of
from openami.device.payload import rom
from openami.device.power import environment
from openami.firmware.bank import M2351_FLASH_OCTETS
from openami.runtime.users import User

MAGIC: Final = b"OAXO"
HEAD: Final = struct.Struct("<4sII")
ANSWER_S: Final = 30.0  # a program that takes so long never answers


def packed(program: bytes) -> bytes:
    """Return a program as it lies in its region."""
    return HEAD.pack(MAGIC, len(program), zlib.crc32(program)) + program


def call(folder: Path, number: int, argument: bytes, user: User | None = None) -> bytes:
    """Run the program of a region on an argument; return its answer.

    Args:
        folder: Of the flash.
        number: Of the region.
        argument: What it is given.
        user: Whom it runs as; nobody else than the caller, without.

    Raises:
        LockError: There is no such program, or it failed.
        StorageError: The flash cannot be opened.
    """
    descriptor = sealed.seal("execute-only", _fetched(folder, number))
    try:
        done = subprocess.run(  # noqa: S603  the octets of the region, sealed
            rom.command(descriptor, rom.libraries()),
            input=argument,
            capture_output=True,
            timeout=ANSWER_S,
            pass_fds=(descriptor,),
            env=environment(),
            user=None if user is None else user.uid,
            group=None if user is None else user.gid,
            extra_groups=None if user is None else (),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise LockError(
            f"the program of region {number} did not answer in {ANSWER_S:g} s"
        ) from None
    finally:
        os.close(descriptor)
    if done.returncode:
        raise LockError(f"the program of region {number} ended with status {done.returncode}")
    return done.stdout


def _fetched(folder: Path, number: int) -> bytes:
    region = dict(locks_of(folder).execute_only).get(number)
    if region is None:
        raise LockError(f"no execute-only region {number} is in force")
    flash = FlashFile.open(folder / FLASH_FILE, M2351_FLASH_OCTETS)
    try:
        octets = flash.fetch(*region)
    finally:
        flash.close()
    magic, size, crc = HEAD.unpack_from(octets)
    program = octets[HEAD.size : HEAD.size + size]
    if magic != MAGIC or len(program) != size or zlib.crc32(program) != crc:
        raise LockError(f"region {number} holds no program")
    return program
