# SPDX-License-Identifier: Apache-2.0
"""Power cuts: record writes and syncs, then rebuild every file that a cut could have left."""

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

import pytest

from openami.device import storage

SYNC: Final = None
Write = tuple[int, bytes]


class Recorder:
    """Records what goes to one file through `storage`."""

    def __init__(self, patch: pytest.MonkeyPatch, module: object) -> None:
        self.operations: list[Write | None] = []
        patch.setattr(module, "write_all", self._write)
        patch.setattr(module, "synchronise", self._sync)

    def _write(self, path: Path, descriptor: int, octets: bytes, offset: int) -> None:
        self.operations.append((offset, octets))
        storage.write_all(path, descriptor, octets, offset)

    def _sync(self, path: Path, descriptor: int) -> None:
        self.operations.append(SYNC)
        storage.synchronise(path, descriptor)


def images(
    before: bytes, operations: list[Write | None], draw: Random
) -> Iterator[tuple[int, bytes]]:
    """Yield (operations done, content) after a cut at every point, unsynced writes lost or torn."""
    durable = before
    waiting: list[Write] = []
    for done in range(len(operations) + 1):
        for _ in range(3):
            yield done, _cut(durable, waiting, draw)
        yield done, apply(durable, waiting)
        yield done, durable
        if done < len(operations):
            operation = operations[done]
            if operation is SYNC:
                durable = apply(durable, waiting)
                waiting = []
            else:
                waiting.append(operation)


def _cut(durable: bytes, waiting: list[Write], draw: Random) -> bytes:
    kept = []
    for offset, octets in waiting:
        pieces = [(offset, octets[:7]), (offset + 7, octets[7:])]
        cut = draw.randrange(len(octets) + 1)
        choices = [[], [(offset, octets)], [(offset, octets[:cut])], [(offset + cut, octets[cut:])]]
        kept += draw.choice([*choices, [draw.choice(pieces)]])
    return apply(durable, kept)


def apply(content: bytes, writes: list[Write]) -> bytes:
    """Return `content` with the writes in it."""
    octets = bytearray(content)
    for offset, written in writes:
        octets.extend(bytes(max(0, offset + len(written) - len(octets))))
        octets[offset : offset + len(written)] = written
    return bytes(octets)
