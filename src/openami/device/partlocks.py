# SPDX-License-Identifier: Apache-2.0
"""Who closes the locks of a part, puts programs where they only run, and erases everything.

What `lockwords` reads is programmed here, word for word, each durable before the next; a power cut
leaves a lock open or closed, and an execute-only region in force or not there.

A mass erase goes from what must not run to what must not open: boot first, then the rest of the
flash, the key for encrypted images, and the words last.  Cut off anywhere, the locks still stand.
"""

import os
from pathlib import Path
from typing import Final

from openami.device.files import FLASH_FILE, UPDATE_KEY_FILE
from openami.device.lockwords import (
    IN_FORCE,
    LOCKS_FILE,
    OPEN,
    WORD,
    XOM_REGIONS,
    XOM_STEP,
    Lock,
    Locks,
)
from openami.device.storage import StorageError, synchronise, write_all
from openami.firmware.bank import M2351_FLASH_OCTETS, M2351_LOG, Region
from openami.firmware.flash import ERASED, PAGE_OCTETS
from openami.runtime.files import PRIVATE, sync_folder, write_durably

XOM_ROOM: Final = M2351_LOG
"""Where an execute-only region may lie: in all else the device reads what it wrote."""
_CONTROL: Final = 8


def blank() -> bytes:
    """Return the words of a part that nobody locked."""
    page = bytearray(ERASED * PAGE_OCTETS)
    for lock in Lock:
        page[lock.value] = OPEN
    return bytes(page)


class LockError(Exception):
    """A word cannot become what was asked; the sentence says why."""


def close(folder: Path, lock: Lock) -> None:
    """Close a lock for good; a closed one stays as it is.

    Args:
        folder: Of flash and one-time-programmable memory.
        lock: Which.

    Raises:
        StorageError: The disk refused.
    """
    _program(folder, lock.value, 0)


def put_execute_only(folder: Path, number: int, region: Region, octets: bytes) -> None:
    """Put octets into the flash where they only run, from the next start on.

    Args:
        folder: Of the flash.
        number: Of the region, 0 to 3; each is used once between two mass erases.
        region: Whole pages inside of `XOM_ROOM`.
        octets: What is to run; they fit.

    Raises:
        LockError: The region is taken, or cannot be one.
        StorageError: The disk refused.
    """
    _check_region(number, region, len(octets))
    locks = Locks.beside(folder / FLASH_FILE)
    if number in dict(locks.execute_only) or locks.region_of(*region) is not None:
        raise LockError(f"region {number} at {region.offset:#x} is in force: only an erase ends it")
    path = folder / FLASH_FILE
    descriptor = _opened(path)
    try:
        write_all(path, descriptor, octets.ljust(region.octets, ERASED), region.offset)
        synchronise(path, descriptor)
    finally:
        os.close(descriptor)
    base = number * XOM_STEP
    _program(folder, base, region.offset)
    _program(folder, base + WORD.size, region.octets // PAGE_OCTETS)
    _program(folder, base + _CONTROL, IN_FORCE)


def mass_erase(folder: Path) -> None:
    """Erase the flash, the key for encrypted images, and the locks, in this order.

    Raises:
        StorageError: The disk refused; calling it again goes on.
    """
    path = folder / FLASH_FILE
    descriptor = _opened(path)
    try:
        for page in range(0, M2351_FLASH_OCTETS, PAGE_OCTETS):
            write_all(path, descriptor, ERASED * PAGE_OCTETS, page)
            synchronise(path, descriptor)
    finally:
        os.close(descriptor)
    erase_update_key(folder)
    write_durably(folder / LOCKS_FILE, blank(), mode=PRIVATE)


def erase_update_key(folder: Path) -> None:
    """Overwrite the key for encrypted images, and remove it.

    Raises:
        StorageError: The disk refused.
    """
    path = folder / UPDATE_KEY_FILE
    if not path.exists():
        return
    descriptor = _opened(path)
    try:
        write_all(path, descriptor, bytes(path.stat().st_size), 0)
        synchronise(path, descriptor)
    finally:
        os.close(descriptor)
    path.unlink()
    sync_folder(folder)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR)
    except OSError as error:
        problem = f"{path} cannot be opened ({error.strerror})"
        raise StorageError(f"{problem}: bring it back, or permit reading and writing it") from error


def _check_region(number: int, region: Region, octets: int) -> None:
    rules = (
        (0 <= number < XOM_REGIONS, f"there are regions 0 to {XOM_REGIONS - 1}"),
        (
            region.offset % PAGE_OCTETS == 0
            and region.octets > 0
            and region.octets % PAGE_OCTETS == 0,
            f"a region is made of pages of {PAGE_OCTETS} octets",
        ),
        (
            XOM_ROOM.offset <= region.offset and region.end <= XOM_ROOM.end,
            f"it lies inside of {XOM_ROOM.offset:#x} to {XOM_ROOM.end:#x}",
        ),
        (octets <= region.octets, f"{octets} octets do not fit into {region.octets}"),
    )
    for holds, rule in rules:
        if not holds:
            place = f"region {number}, {region.octets} octets at {region.offset:#x}"
            raise LockError(f"{place} cannot be execute-only: {rule}")


def _program(folder: Path, at: int, value: int) -> None:
    """Program a word: bits go from 1 to 0."""
    path = folder / LOCKS_FILE
    if not path.exists():
        write_durably(path, blank(), mode=PRIVATE)
    descriptor = _opened(path)
    try:
        (before,) = WORD.unpack(os.pread(descriptor, WORD.size, at))
        if value & ~before:
            problem = f"the word at {at:#x} holds {before:08x} and cannot become {value:08x}"
            raise LockError(f"{problem}: only a mass erase brings bits back")
        write_all(path, descriptor, WORD.pack(value), at)
        synchronise(path, descriptor)
    finally:
        os.close(descriptor)


def locks_of(folder: Path) -> Locks:
    """Return the locks of the device with this secure folder.

    Raises:
        StorageError: They cannot be read.
    """
    return Locks.beside(folder / FLASH_FILE)
