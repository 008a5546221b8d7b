# SPDX-License-Identifier: Apache-2.0
"""An append-only journal on disk: what was written and synced survives kill -9 and a power cut.

======  ============  ==========================================================
octets  field         value
======  ============  ==========================================================
8       magic         `OAMJRN01`, once at the start of the file
2       length        of the payload, then for each record:
4       CRC-32        over length, sequence, synced and payload
4       sequence      1, 2, 3 … in this file
4       synced        sequence of the last record that was durable at this write
length  payload
======  ============  ==========================================================

A power cut loses at most what was not synced, in any pieces: records behind the first bad one are
cut off.  When a record behind it says that the bad one had been durable, it is not a power cut but
damage: the file is set aside and what stands before the bad record goes into a new one.  One
`append` is one write, one `sync` one fdatasync, for any number of records.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from openami.device.storage import StorageError, refusal, set_aside, synchronise, write_all
from openami.runtime.errors import UserError
from openami.runtime.files import write_durably

MAGIC: Final = b"OAMJRN01"
HEAD: Final = struct.Struct(">HIII")
PRIVATE: Final = 0o600


class Journal:
    """An open journal.

    Attributes:
        path: The file.
        size_octets: Its size; a long journal is shortened with `rewrite`.
    """

    def __init__(self, path: Path, descriptor: int, size_octets: int, sequence: int) -> None:
        self.path = path
        self.size_octets = size_octets
        self._descriptor = descriptor
        self._sequence = sequence
        self._synced = sequence

    @classmethod
    def open(cls, path: Path) -> tuple[Self, list[bytes], str | None]:
        """Open or create a journal; return it, its payloads, and a sentence if it was damaged.

        Raises:
            StorageError: The file cannot be read or created.
        """
        finding = None
        try:
            octets = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise StorageError(
                f"{path} cannot be read ({error.strerror}): permit reading it"
            ) from error
        payloads, end = _sound(octets)
        if (problem := _damage(octets, payloads, end)) is not None:
            finding = set_aside(path, problem)
            end = 0
        if end == 0:
            _replace(path, payloads)
            end = path.stat().st_size
        try:
            descriptor = os.open(path, os.O_RDWR)
            if end < len(octets):
                os.ftruncate(descriptor, end)
        except OSError as error:
            raise refusal(path, error) from error
        return cls(path, descriptor, end, len(payloads)), payloads, finding

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write records at the end; durable after `sync`.

        Raises:
            StorageError: The disk is full; the journal is as it was before.
        """
        octets = b"".join(_records(payloads, self._sequence, self._synced))
        try:
            write_all(self.path, self._descriptor, octets, self.size_octets)
        except StorageError:
            os.ftruncate(self._descriptor, self.size_octets)
            raise
        self.size_octets += len(octets)
        self._sequence += len(payloads)

    def sync(self) -> None:
        """Make every record durable.

        Raises:
            StorageError: The disk refused.
        """
        synchronise(self.path, self._descriptor)
        self._synced = self._sequence

    def rewrite(self, payloads: Sequence[bytes]) -> None:
        """Replace all records by `payloads`, durably and in one step.

        Raises:
            StorageError: The disk is full; the journal is as it was before.
        """
        _replace(self.path, payloads)
        os.close(self._descriptor)
        self._descriptor = os.open(self.path, os.O_RDWR)
        self.size_octets = self.path.stat().st_size
        self._sequence = self._synced = len(payloads)

    def close(self) -> None:
        """Sync and close."""
        try:
            self.sync()
        finally:
            os.close(self._descriptor)


def peek(path: Path) -> list[bytes]:
    """Return the payloads of a journal that another process has open; none where there is no file.

    Raises:
        StorageError: The file cannot be read.
    """
    try:
        octets = path.read_bytes() if path.exists() else b""
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read ({error.strerror}): permit reading it"
        ) from error
    return _sound(octets)[0]


def damage_of(path: Path) -> str | None:
    """Return what is damaged in a journal that must not lose a record; None if nothing is.

    Raises:
        StorageError: The file cannot be read.
    """
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read ({error.strerror}): permit reading it"
        ) from error
    return _damage(octets, *_sound(octets))


def _damage(octets: bytes, payloads: Sequence[bytes], end: int) -> str | None:
    """Return what is damaged that a power cut did not do."""
    if octets[: len(MAGIC)] != MAGIC[: len(octets)]:
        return "it does not begin as a journal"
    if _was_durable(octets, end, len(payloads) + 1):
        return f"a bad record at octet {end}, sound ones behind it"
    return None


def _body(length: int, sequence: int, synced: int, payload: bytes) -> bytes:
    return struct.pack(">HII", length, sequence, synced) + payload


def _records(payloads: Sequence[bytes], sequence: int, synced: int) -> Iterator[bytes]:
    for number, payload in enumerate(payloads, sequence + 1):
        crc = zlib.crc32(_body(len(payload), number, synced, payload))
        yield HEAD.pack(len(payload), crc, number, synced) + payload


def _record_at(octets: bytes, offset: int) -> tuple[int, int, bytes] | None:
    """Return sequence, synced and payload of a sound record at `offset`."""
    if offset + HEAD.size > len(octets):
        return None
    length, crc, sequence, synced = HEAD.unpack_from(octets, offset)
    payload = octets[offset + HEAD.size : offset + HEAD.size + length]
    if len(payload) < length or zlib.crc32(_body(length, sequence, synced, payload)) != crc:
        return None
    return sequence, synced, payload


def _sound(octets: bytes) -> tuple[list[bytes], int]:
    """Return the payloads up to the first bad record, and where they end; 0 without a file."""
    payloads: list[bytes] = []
    end = len(MAGIC)
    if octets[:end] != MAGIC:
        return payloads, 0
    while (found := _record_at(octets, end)) is not None and found[0] == len(payloads) + 1:
        payloads.append(found[2])
        end += HEAD.size + len(found[2])
    return payloads, end


def _was_durable(octets: bytes, end: int, missing: int) -> bool:
    """Return whether a sound record behind the bad one at `end` says that `missing` was synced."""
    offset = end + 1
    while offset <= len(octets) - HEAD.size:
        # Sequence numbers stay small: this spares most of the CRCs.
        found = _record_at(octets, offset) if octets[offset + 6] == 0 else None
        if found is None or found[0] <= missing:
            offset += 1
        elif found[1] >= missing:
            return True
        else:  # of the same write; what was written later may say it
            offset += HEAD.size + len(found[2])
    return False


def _replace(path: Path, payloads: Sequence[bytes]) -> None:
    try:
        records = _records(payloads, 0, len(payloads))  # durable as a whole
        write_durably(path, MAGIC + b"".join(records), mode=PRIVATE)
    except UserError as error:
        raise StorageError(str(error)) from error
