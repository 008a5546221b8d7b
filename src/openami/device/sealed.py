# SPDX-License-Identifier: Apache-2.0
"""Octets that nobody can change any more: a memory file with all its seals.

What was verified is copied into one and run from there, by its descriptor: whoever may write the
file on the disk, or the flash, changes nothing of what runs.
"""

import fcntl
import os
from typing import Final

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class SealError(Exception):
    """A descriptor is no sealed memory file."""


def seal(name: str, octets: bytes) -> int:
    """Return the descriptor of a sealed memory file; `name` is for people who look at processes."""
    descriptor = os.memfd_create(name, os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    view = memoryview(octets)
    while view:
        view = view[os.write(descriptor, view) :]
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def octets_of(descriptor: int) -> bytes:
    """Return what a sealed memory file holds.

    Raises:
        SealError: It could still be changed.
    """
    try:
        seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
    except OSError:
        seals = 0
    if seals & SEALS != SEALS:
        raise SealError(f"descriptor {descriptor} is no sealed memory file")
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)
