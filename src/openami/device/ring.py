# SPDX-License-Identifier: Apache-2.0
"""A ring of fixed records on disk: the newest takes the place of the oldest.

======  =========  ===================================================================
octets  field      value
======  =========  ===================================================================
20      head       magic `OAMRNG01`, then as u32 the payload size, the capacity, and the base:
                   the sequence before the ring's first record ever; then each slot:
4       sequence   1, 2, 3 …; the slot is (sequence - 1) modulo capacity
4       synced     sequence of the last record that was durable at this write
size    payload
4       CRC-32     over the three before
======  =========  ===================================================================

Records are written in place and made durable by `sync`, one fdatasync for any number of them.
After a power cut unsynced records may be there, missing or torn, each by itself.  The marks of what
was durable tell that apart from damage: opened again, the ring ends where its unbroken run behind
the last durable record ends.  A record that had been durable and is bad now is a *hole*: a copy of
the file is set aside, reading passes over the hole, and `put` can fill it again.
"""

import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from openami.device.storage import (
    StorageError,
    create,
    refusal,
    set_aside,
    synchronise,
    synchronise_name,
    write_all,
)

MAGIC: Final = b"OAMRNG01"
HEAD: Final = struct.Struct(">8sIII")
MARKS: Final = struct.Struct(">II")


class Ring:
    """An open ring.

    Attributes:
        first: Sequence of the oldest record; `last` + 1 when empty.
        last: Sequence of the newest record; 0 when nothing was ever written.
        holes: Sequences between them that are not sound.
        damaged: How many of them no power cut can explain, when the ring was opened.
    """

    def __init__(self, path: Path, payload_octets: int, capacity: int) -> None:
        self.path = path
        self.payload_octets = payload_octets
        self.capacity = capacity
        self.first = 1
        self.last = 0
        self.holes: set[int] = set()
        self.damaged = 0
        self._half = max(1, capacity // 2)
        self._synced = 0
        self._nameless = False  # the file is new and its name not durable yet
        self._descriptor = -1
        self._record = np.dtype(
            [
                ("sequence", ">u4"),
                ("synced", ">u4"),
                ("payload", f"V{payload_octets}"),
                ("crc", ">u4"),
            ]
        )

    @classmethod
    def open(cls, path: Path, *, payload_octets: int, capacity: int) -> tuple[Self, str | None]:
        """Open or create a ring; return it, and a sentence if the file was damaged.

        Raises:
            StorageError: The file cannot be read or created.
        """
        ring = cls(path, payload_octets, capacity)
        finding = None
        try:
            octets = path.read_bytes() if path.exists() else b""
            if any(octets) and not ring._begins(octets):
                finding = set_aside(path, "it does not begin as a ring of this size")
                octets = b""
            elif not ring._find_run(octets) and any(octets[ring._place(ring._half) :]):
                finding = set_aside(path, "none of its records is sound")
                octets = b""
            if any(octets):
                ring._descriptor = os.open(path, os.O_RDWR)
            else:
                ring._make(0)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened ({error.strerror}): permit reading and writing it"
            ) from error
        if ring.damaged:
            finding = ring._keep_copy()
        return ring, finding

    def __len__(self) -> int:
        return self.last - self.first + 1

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records behind the last; durable after `sync`.

        Never more than half of the ring waits for a sync: a power cut can then spoil only the
        older half.

        Raises:
            StorageError: The disk is full; the ring shows none of those it has no room for.
        """
        half = self._half
        for start in range(0, len(payloads), half):
            part = payloads[start : start + half]
            if self.last + len(part) - self._synced > half:
                self.sync()
            self._write(self.last + 1, part)
            self.last += len(part)
            self.first = max(self.first, self.last - self.capacity + 1)
        self.holes = {hole for hole in self.holes if hole >= self.first}

    def start_after(self, sequence: int) -> None:
        """Let an empty ring begin behind `sequence`.

        Raises:
            StorageError: The disk is full; the ring begins where it did.
        """
        if len(self) == 0 and sequence != self.last:
            before = self._descriptor
            self._make(sequence)
            os.close(before)

    def put(self, sequence: int, payload: bytes) -> None:
        """Write one record in its place: the next one, or one that is in the ring already."""
        if sequence == self.last + 1:
            self.append([payload])
        elif self.first <= sequence <= self.last:
            self._write(sequence, [payload])
            self.holes.discard(sequence)

    def sync(self) -> None:
        """Make every record durable.

        Raises:
            StorageError: The disk refused.
        """
        synchronise(self.path, self._descriptor)
        if self._nameless:
            synchronise_name(self.path)
            self._nameless = False
        self._synced = self.last

    def read(self, first: int, last: int) -> npt.NDArray[np.void]:
        """Return the payloads of the records `first` to `last` that are there and sound."""
        first, last = max(first, self.first), min(last, self.last)
        if first > last:
            return np.zeros(0, dtype=self._record)["payload"]
        parts = []
        while first <= last:
            slot = (first - 1) % self.capacity
            count = min(last - first + 1, self.capacity - slot)
            octets = os.pread(self._descriptor, count * self._record.itemsize, self._place(slot))
            rows = np.frombuffer(octets, dtype=self._record)
            if self.holes:
                rows = rows[[first + index not in self.holes for index in range(count)]]
            parts.append(rows["payload"])
            first += count
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def newest(self) -> bytes | None:
        """Return the payload of the last record; None without a sound one there."""
        rows = self.read(self.last, self.last)
        return bytes(rows[0]) if len(rows) else None

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)

    def _place(self, slot: int) -> int:
        return HEAD.size + slot * self._record.itemsize

    def _write(self, first: int, payloads: Iterable[bytes]) -> None:
        records = []
        for sequence, payload in enumerate(payloads, first):
            if len(payload) != self.payload_octets:
                raise ValueError(
                    f"{self.path.name} holds {self.payload_octets} octets, not {len(payload)}"
                )
            body = MARKS.pack(sequence, self._synced) + payload
            records.append(body + zlib.crc32(body).to_bytes(4))
        slot = (first - 1) % self.capacity
        before_the_end = self.capacity - slot
        for start, part in ((slot, records[:before_the_end]), (0, records[before_the_end:])):
            write_all(self.path, self._descriptor, b"".join(part), self._place(start))

    def _begins(self, octets: bytes) -> bool:
        """Return whether the head is that of a ring of this size; take its base."""
        if len(octets) < HEAD.size:
            return False
        *head, base = HEAD.unpack_from(octets)
        self.first, self.last, self._synced = base + 1, base, base
        return head == [MAGIC, self.payload_octets, self.capacity]

    def _make(self, base: int) -> None:
        """Create the file, empty, to begin behind `base`; durable with the first sync."""
        head = HEAD.pack(MAGIC, self.payload_octets, self.capacity, base)
        self._descriptor = create(self.path, head)
        self._nameless = True
        self.first, self.last, self._synced = base + 1, base, base

    def _find_run(self, octets: bytes) -> bool:
        """Find first, last and holes among the slots; return whether any record is sound."""
        size = self._record.itemsize
        base = self.last
        found: set[int] = set()
        durable = base
        for slot, offset in enumerate(range(HEAD.size, len(octets) - size + 1, size)):
            sequence, synced = MARKS.unpack_from(octets, offset)
            crc = int.from_bytes(octets[offset + size - 4 : offset + size])
            in_place = sequence > base and (sequence - 1) % self.capacity == slot
            if in_place and zlib.crc32(octets[offset : offset + size - 4]) == crc:
                found.add(sequence)
                durable = max(durable, synced)
        last = durable
        while last + 1 in found:
            last += 1
        first = max(base + 1, last - self.capacity + 1)
        # A slot as old as this may be the torn write of a record that is newer than the last.
        spoilt = last - self.capacity + self._half
        while first <= spoilt and first not in found:
            first += 1
        self.first, self.last, self._synced = first, last, durable
        self.holes = {n for n in range(first, last + 1) if n not in found}
        self.damaged = sum(hole > spoilt for hole in self.holes)
        return bool(found)

    def _keep_copy(self) -> str:
        """Copy a ring with holes aside."""
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        try:
            shutil.copyfile(self.path, aside)
        except OSError as error:
            raise refusal(aside, error) from error
        return f"{self.path} has {self.damaged} bad records: a copy was set aside as {aside.name}"
