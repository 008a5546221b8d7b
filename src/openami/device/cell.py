# SPDX-License-Identifier: Apache-2.0
"""A few octets that must survive: two places written in turn, so that one is always whole.

Counters and states live here.  A write never touches the place that is known to be durable: it goes
over the other one, with a sequence number and a CRC-32.  A power cut in the middle leaves the value
that was durable last.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Final, Self

from openami.device.storage import (
    StorageError,
    create,
    refusal,
    set_aside,
    synchronise,
    synchronise_name,
    write_all,
)

HEAD: Final = struct.Struct(">IQ")  # CRC-32 over the rest, sequence
PLACE_OCTETS: Final = 512  # a sector each: a torn write cannot touch both


class Cell:
    """A durable value of a fixed number of octets.

    Attributes:
        value: What was stored last; `initial` when nothing ever was.
        doubtful: One of the places was not sound when the cell was opened: a write that a power
            cut tore, or damage, and then `value` may be older than what was stored last.
    """

    doubtful = False

    def __init__(self, path: Path, descriptor: int, value: bytes, sequence: int) -> None:
        self.path = path
        self.value = value
        self._descriptor = descriptor
        self._sequence = sequence
        self._durable_offset = 0
        self._unsure = False  # whether what was found is durable
        self._nameless = False  # the file is new and its name not durable yet

    @classmethod
    def open(cls, path: Path, *, initial: bytes) -> tuple[Self, str | None]:
        """Open or create a cell; return it, and a sentence if both its places are damaged.

        Raises:
            StorageError: The file cannot be read or created.
        """
        finding = None
        try:
            octets = path.read_bytes() if path.exists() else b""
            places = [(*_read(octets, at, len(initial)), at) for at in (0, PLACE_OCTETS)]
            sequence, value, offset = max(places)
            if sequence == 0:
                if octets:
                    finding = set_aside(path, "neither of its two places is sound")
                descriptor = create(path, _place(1, initial) + bytes(PLACE_OCTETS))
                cell = cls(path, descriptor, initial, 1)
                cell._nameless = True
                return cell, finding
            descriptor = os.open(path, os.O_RDWR)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be opened ({error.strerror}): permit reading and writing it"
            ) from error
        cell = cls(path, descriptor, value, sequence)
        cell._durable_offset = offset
        never_written = octets[PLACE_OCTETS:] == bytes(PLACE_OCTETS)
        cell.doubtful = not never_written and any(place[0] == 0 for place in places)
        return cell, finding

    def store(self, value: bytes, *, durable: bool = True) -> None:
        """Replace the value.

        Args:
            value: As many octets as before.
            durable: Without it, a power cut may bring back the value before; a crash may not.

        Raises:
            StorageError: The disk refused; the value before stands.
        """
        if value == self.value and not durable:
            return
        if len(value) != len(self.value):
            raise ValueError(f"{self.path.name} holds {len(self.value)} octets, not {len(value)}")
        if self._unsure:
            # What was found may stand in the system's memory only, and the place beside it on disk.
            synchronise(self.path, self._descriptor)
            self._unsure = False
        sequence = self._sequence + 1
        offset = PLACE_OCTETS - self._durable_offset
        write_all(self.path, self._descriptor, _place(sequence, value), offset)
        if durable:
            synchronise(self.path, self._descriptor)
            if self._nameless:
                synchronise_name(self.path)
                self._nameless = False
            self._durable_offset = offset
        self._sequence, self.value = sequence, value

    def close(self) -> None:
        """Sync and close."""
        try:
            synchronise(self.path, self._descriptor)
        except OSError as error:
            raise refusal(self.path, error) from error
        finally:
            os.close(self._descriptor)


def _place(sequence: int, value: bytes) -> bytes:
    body = sequence.to_bytes(8) + value
    return (zlib.crc32(body).to_bytes(4) + body).ljust(PLACE_OCTETS, b"\x00")


def _read(octets: bytes, offset: int, size: int) -> tuple[int, bytes]:
    """Return sequence and value at `offset`; sequence 0 when there is no sound one."""
    place = octets[offset : offset + HEAD.size + size]
    if len(place) < HEAD.size + size:
        return 0, b""
    crc, sequence = HEAD.unpack_from(place)
    if zlib.crc32(place[4:]) != crc:
        return 0, b""
    return sequence, place[HEAD.size :]
