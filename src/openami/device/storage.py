# SPDX-License-Identifier: Apache-2.0
"""What journal, ring and cell share: refusals of the disk, and files that are set aside.

A damaged file is never fatal and never thrown away: it is renamed `NAME.damaged-1`, the service
starts without it, and the caller is given one sentence to log.
"""

import errno
import os
from pathlib import Path
from typing import Final

from openami.runtime.errors import UserError
from openami.runtime.files import sync_folder

PRIVATE: Final = 0o600
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StorageError(UserError):
    """The disk took nothing; what was to be written is still the caller's, to be tried again."""


def refusal(path: Path, error: OSError) -> StorageError:
    """Return the sentence for a write that the system refused."""
    remedy = (
        "free space; what was not written is kept in memory and tried again"
        if error.errno in FULL
        else "check the disk and the rights of the folder; it is tried again"
    )
    return StorageError(f"{path} cannot be written ({error.strerror}): {remedy}")


def create(path: Path, octets: bytes) -> int:
    """Create a file with its first octets, not durable yet; return its descriptor.

    Whoever promises durability syncs the file, and its folder with `synchronise_name`.

    Raises:
        StorageError: The disk is full, or the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, PRIVATE)
    except OSError as error:
        raise refusal(path, error) from error
    try:
        write_all(path, descriptor, octets, 0)
    except StorageError:
        os.close(descriptor)
        raise
    return descriptor


def synchronise_name(path: Path) -> None:
    """Make the name of a new file durable.

    Raises:
        StorageError: The disk refused.
    """
    try:
        sync_folder(path.parent)
    except OSError as error:
        raise refusal(path, error) from error


def write_all(path: Path, descriptor: int, octets: bytes, offset: int) -> None:
    """Write `octets` at `offset`, all of them.

    Raises:
        StorageError: The disk is full or failing; some of the octets may stand in the file.
    """
    view = memoryview(octets)
    try:
        while view:
            written = os.pwrite(descriptor, view, offset)
            view = view[written:]
            offset += written
    except OSError as error:
        raise refusal(path, error) from error


def synchronise(path: Path, descriptor: int) -> None:
    """Make what was written to `descriptor` durable.

    Raises:
        StorageError: The disk refused; what was written since the last time may be lost.
    """
    try:
        os.fdatasync(descriptor)
    except OSError as error:
        raise refusal(path, error) from error


def set_aside(path: Path, problem: str) -> str:
    """Rename a damaged file out of the way and return the sentence that says so.

    Raises:
        StorageError: The folder cannot be written.
    """
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    try:
        path.rename(aside)
        sync_folder(path.parent)
    except OSError as error:
        raise refusal(path, error) from error
    return f"{path} is damaged ({problem}): it was set aside as {aside.name} for inspection"
