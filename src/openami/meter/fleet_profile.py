# SPDX-License-Identifier: Apache-2.0
"""The load profiles of many meters in one file: an interval of all of them is one block.

======  =========  ===================================================================
octets  field      value
======  =========  ===================================================================
8       magic      `OAMBLK01`, then as u32: meters, capacity (blocks), period in seconds
4 each  meters     their ids; then a CRC-32 over all before, and zeros up to a whole page;
                   then the blocks:
4       grid       the interval's end divided by the period; the slot is grid modulo capacity
4       synced     grid of the last block that was durable at this write
8       -          CRC-32 over both, and zeros
34 each records    a meter's interval (`profile.INTERVAL`) and its CRC-32; zeros without one
======  =========  ===================================================================

Closing an interval is one write and, with those before it, one fdatasync.  A power cut can only
spoil blocks that no other calls durable: they are cut off, and metrology closes those intervals
again with the same values.  A record that had been durable and is bad now is a hole, which reading
passes over.  The newest blocks, a day of half-hours, stay in memory.
"""

import logging
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.cosem.serving.profile import EncodedRows
from openami.device.storage import (
    StorageError,
    create,
    refusal,
    set_aside,
    synchronise,
    synchronise_name,
    write_all,
)
from openami.meter.profile import INTERVAL, MICROSECONDS, profile_rows

log = logging.getLogger(__name__)

MAGIC: Final = b"OAMBLK01"
HEAD: Final = struct.Struct(">8sIII")
BLOCK: Final = struct.Struct(">III4x")
PAGE_OCTETS: Final = 4096
RECENT: Final = 48  # blocks in memory
RECORD: Final = np.dtype([("interval", INTERVAL), ("crc", ">u4")])

Void = npt.NDArray[np.void]


def _crc_table() -> npt.NDArray[np.uint32]:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, 0xEDB88320 ^ (table >> 1), table >> 1).astype(np.uint32)
    return table


CRC_TABLE: Final = _crc_table()


def crc32_of_rows(rows: Void) -> npt.NDArray[np.uint32]:
    """Return the CRC-32 of each record of an array; `zlib.crc32` of many at once."""
    octets = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), rows.dtype.itemsize)
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in range(octets.shape[1]):
        crc = CRC_TABLE[(crc ^ octets[:, column]) & 0xFF] ^ (crc >> 8)
    return crc ^ np.uint32(0xFFFFFFFF)


class FleetProfile:
    """An open file of load profiles.

    Attributes:
        path: The file.
        ids: The meters' ids; a column is a place in this order.
        period_s: Capture period.
        oldest: Grid number of the oldest block; `newest` + 1 when there is none.
        newest: Grid number of the newest block; 0 when there is none.
        last: The newest record of each column; sequence 0 where there is none.
        holes: For a column the sequences that are known to be bad.
    """

    def __init__(self, path: Path, ids: Sequence[int], period_s: int, capacity: int) -> None:
        self.path = path
        self.ids = tuple(ids)
        self.period_s = period_s
        self.capacity = capacity
        self.oldest, self.newest = 1, 0
        self.last = np.zeros(len(ids), INTERVAL)
        self.holes: dict[int, set[int]] = {}
        self._synced = 0
        self._descriptor = -1
        self._nameless = False
        head = HEAD.size + 4 * len(ids) + 4
        self._begin = -(-head // PAGE_OCTETS) * PAGE_OCTETS
        self._block_octets = BLOCK.size + len(ids) * RECORD.itemsize
        self._recent = np.zeros((RECENT, len(ids)), RECORD)
        self._recent_grid = np.zeros(RECENT, np.int64)

    @classmethod
    def make(
        cls, path: Path, ids: Sequence[int], *, period_s: int, capacity: int
    ) -> "FleetProfile":
        """Create an empty file; its name is durable with the first sync.

        Raises:
            StorageError: The disk refused.
        """
        profile = cls(path, ids, period_s, capacity)
        head = HEAD.pack(MAGIC, len(ids), capacity, period_s)
        head += np.array(ids, ">u4").tobytes()
        head += zlib.crc32(head).to_bytes(4)
        profile._descriptor = create(path, head.ljust(profile._begin, b"\0"))
        profile._nameless = True
        return profile

    @classmethod
    def open(cls, path: Path) -> "tuple[FleetProfile | None, str | None]":
        """Open a file; return it, and a sentence if it was damaged: as a whole, then set aside.

        Raises:
            StorageError: The file cannot be read.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
            head = os.pread(descriptor, HEAD.size, 0)
            magic, meters, capacity, period_s = HEAD.unpack(head.ljust(HEAD.size, b"\0"))
            head = os.pread(descriptor, HEAD.size + 4 * meters + 4, 0)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened ({error.strerror}): permit reading and writing it"
            ) from error
        sound = zlib.crc32(head[:-4]) == int.from_bytes(head[-4:])
        if magic != MAGIC or len(head) < HEAD.size + 4 * meters + 4 or not sound or not meters:
            os.close(descriptor)
            return None, set_aside(path, "it does not begin as a file of load profiles")
        ids = np.frombuffer(head[HEAD.size : -4], ">u4").tolist()
        profile = cls(path, ids, period_s, capacity)
        profile._descriptor = descriptor
        return profile, profile._find()

    def write(self, grid: int, intervals: Void) -> None:
        """Write the intervals of all columns that end at `grid`; durable after `sync`.

        Args:
            grid: Their end, divided by the period.  In a block that is there already, what others
                have stays: a meter that was away is counted on.
            intervals: One a column, zeros where there is none.

        Raises:
            StorageError: The disk is full; the block is not there.
        """
        there = intervals["sequence"] > 0
        before = self._block(grid) if self.oldest <= grid <= self.newest else None
        records = np.zeros(len(self.ids), RECORD) if before is None else before.copy()
        records["interval"][there] = intervals[there]
        records["crc"][there] = crc32_of_rows(intervals[there])
        head = struct.pack(">II", grid, self._synced)
        octets = BLOCK.pack(grid, self._synced, zlib.crc32(head)) + records.tobytes()
        write_all(self.path, self._descriptor, octets, self._place(grid))
        self.oldest = min(self.oldest, grid) if self.newest else grid
        self.newest = max(self.newest, grid)
        self.oldest = max(self.oldest, self.newest - self.capacity + 1)
        self._keep(grid, records)
        self.last = self.last.copy()  # `np.where` would turn its octets around
        self.last[there] = intervals[there]

    def sync(self) -> None:
        """Make every block durable.

        Raises:
            StorageError: The disk refused.
        """
        synchronise(self.path, self._descriptor)
        if self._nameless:
            synchronise_name(self.path)
            self._nameless = False
        self._synced = self.newest

    def rename(self, path: Path) -> None:
        """Give the file another name, durably.

        Raises:
            StorageError: The folder cannot be written.
        """
        try:
            self.path.rename(path)
        except OSError as error:
            raise refusal(path, error) from error
        self.path = path
        synchronise_name(path)

    def back_to(self, newest: int, last: Void) -> None:
        """Forget blocks that could not be made durable: they are written again."""
        self.newest, self.last = newest, last
        self._recent_grid[self._recent_grid > newest] = 0

    def read(self, column: int, first_grid: int, last_grid: int) -> Void:
        """Return the sound intervals of a column in a range of blocks, oldest first."""
        first, last = max(first_grid, self.oldest), min(last_grid, self.newest)
        if first > last:
            return np.zeros(0, INTERVAL)
        grids = np.arange(first, last + 1)
        records = np.zeros(len(grids), RECORD)
        places = grids % RECENT
        held = self._recent_grid[places] == grids
        records[held] = self._recent[places[held], column]
        for index in np.flatnonzero(~held):
            records[index] = self._record(column, int(grids[index]))
        there = records["interval"]["sequence"] > 0
        sound = there & (crc32_of_rows(records["interval"]) == records["crc"])
        sound &= records["interval"]["end_s"] == grids * self.period_s
        if not sound.all():
            self._note_holes(column, grids[~sound])
        found: Void = records["interval"][sound]
        return found

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _place(self, grid: int) -> int:
        return self._begin + grid % self.capacity * self._block_octets

    def _record(self, column: int, grid: int) -> Void:
        at = self._place(grid) + BLOCK.size + column * RECORD.itemsize
        octets = os.pread(self._descriptor, RECORD.itemsize, at).ljust(RECORD.itemsize, b"\0")
        found: Void = np.frombuffer(octets, RECORD)[0]
        return found

    def _keep(self, grid: int, records: Void) -> None:
        self._recent[grid % RECENT] = records
        self._recent_grid[grid % RECENT] = grid

    def _note_holes(self, column: int, grids: npt.NDArray[np.int64]) -> None:
        """Remember what is bad between a column's first record and its last."""
        last = self.last[column]
        base = int(last["end_s"]) // self.period_s - int(last["sequence"])
        missing = {int(grid) - base for grid in grids if 0 < grid - base <= int(last["sequence"])}
        news = missing - self.holes.get(column, set())
        if news:
            log.error(
                "%s: %d intervals of meter %d are damaged", self.path, len(news), self.ids[column]
            )
            self.holes.setdefault(column, set()).update(news)

    def _find(self) -> str | None:
        """Find the blocks, and the newest record of each column; return a sentence on damage."""
        grids: dict[int, int] = {}
        durable = 0
        for slot in range(self.capacity):
            at = self._begin + slot * self._block_octets
            octets = os.pread(self._descriptor, BLOCK.size, at)
            if len(octets) < BLOCK.size:
                break
            grid, synced, crc = BLOCK.unpack(octets)
            if grid and grid % self.capacity == slot and zlib.crc32(octets[:8]) == crc:
                grids[grid] = slot
                durable = max(durable, synced)
        newest = durable if durable in grids else max((g for g in grids if g <= durable), default=0)
        while newest + 1 in grids or (not newest and grids):
            following = newest + 1 if newest else min(grids)
            if self._whole(following) is None:
                break
            newest = following
        mine = [grid for grid in grids if newest - self.capacity < grid <= newest]
        self.newest, self._synced = newest, min(durable, newest)
        self.oldest = min(mine, default=newest + 1)
        return self._load_recent()

    def _whole(self, grid: int) -> Void | None:
        """Return a block's records, None if one of them is bad."""
        records = self._block(grid)
        if records is None:
            return None
        return records if _sound(records).all() else None

    def _block(self, grid: int) -> Void | None:
        octets = os.pread(self._descriptor, self._block_octets, self._place(grid))
        if len(octets) < self._block_octets:
            return None
        return np.frombuffer(octets, RECORD, offset=BLOCK.size)

    def _load_recent(self) -> str | None:
        damaged = 0
        for grid in range(self.newest, max(self.oldest, self.newest - RECENT + 1) - 1, -1):
            records = self._block(grid)
            if records is None:
                continue
            sound = _sound(records)
            damaged += int((~sound).sum())
            self._keep(grid, records)
            self._take_last(records, sound)
        grid = self.newest - RECENT
        while grid >= self.oldest and (self.last["sequence"] == 0).any():
            records = self._block(grid)
            if records is not None:
                self._take_last(records, _sound(records))
            grid -= 1
        return f"{self.path} has {damaged} bad records of its last day" if damaged else None

    def _take_last(self, records: Void, sound: npt.NDArray[np.bool_]) -> None:
        unknown = (self.last["sequence"] == 0) & sound & (records["interval"]["sequence"] > 0)
        self.last[unknown] = records["interval"][unknown]


def _sound(records: Void) -> npt.NDArray[np.bool_]:
    """Tell which records are sound: empty ones, and those whose CRC holds."""
    empty = (records["interval"]["sequence"] == 0) & (records["crc"] == 0)
    found: npt.NDArray[np.bool_] = empty | (crc32_of_rows(records["interval"]) == records["crc"])
    return found


class ColumnRing:
    """One meter's load profile, as `device.ring.Ring` shows its records.

    Metrology alone writes it, all meters at once.
    """

    __slots__ = ("_base", "_column", "_entries", "_profile")

    def __init__(self, profile: FleetProfile, column: int, base: int, entries: int) -> None:
        """Show a column.

        Args:
            profile: The file.
            column: The meter's.
            base: Grid number of the last end before its first interval.
            entries: How many records it shows at most.
        """
        self._profile, self._column, self._base = profile, column, base
        self._entries = entries

    @property
    def path(self) -> Path:
        return self._profile.path

    @property
    def last(self) -> int:
        return int(self._profile.last["sequence"][self._column])

    @property
    def first(self) -> int:
        if (last := self.last) == 0:
            return 1
        return max(1, self._profile.oldest - self._base, last - self._entries + 1)

    @property
    def holes(self) -> set[int]:
        first = self.first
        return {each for each in self._profile.holes.get(self._column, ()) if each >= first}

    def __len__(self) -> int:
        return self.last - self.first + 1

    def read(self, first: int, last: int) -> Void:
        """Return the records `first` to `last` that are there and sound."""
        first, last = max(first, self.first), min(last, self.last)
        return self._profile.read(self._column, self._base + first, self._base + last)

    def newest(self) -> bytes | None:
        """Return the last record; None without a sound one."""
        rows = self.read(self.last, self.last)
        return rows[0].tobytes() if len(rows) else None

    def sequences(self, start_us: int | None, end_us: int | None) -> tuple[int, int]:
        """Return the first and last sequence whose ends lie in a range of time."""
        period_us = self._profile.period_s * MICROSECONDS
        first = self.first if start_us is None else -(-start_us // period_us) - self._base
        last = self.last if end_us is None else end_us // period_us - self._base
        return first, last


class ColumnBuffer:
    """Rows of a column, as a profile generic is served from (`cosem.serving.profile`)."""

    __slots__ = ("ring",)

    def __init__(self, ring: ColumnRing) -> None:
        self.ring = ring

    def count(self) -> int:
        return len(self.ring) - len(self.ring.holes)

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows:
        return profile_rows(self.ring.read(*self.ring.sequences(start_us, end_us)))

    def entries(self, first: int, last: int) -> EncodedRows:
        if self.ring.holes:
            return profile_rows(self.ring.read(self.ring.first, self.ring.last)[first - 1 : last])
        offset = self.ring.first - 1
        return profile_rows(self.ring.read(offset + first, offset + last))

    def since(self, sequence: int, most: int) -> EncodedRows:
        """Return up to `most` rows from a sequence on."""
        return profile_rows(self.ring.read(sequence, sequence + most - 1))
