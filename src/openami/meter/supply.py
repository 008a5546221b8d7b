# SPDX-License-Identifier: Apache-2.0
"""What of a home's energy flows while its supply is not what it should be, and which way.

A home draws from L1 like a resistor: a sag, a swell, a lost phase and the harmonics of the voltage
change what it takes, by the square of the RMS voltage.  A current that is reversed flows the other
way, as much of it: the meter counts it as export.

That all phases are gone `metrology` is told apart: such intervals say so in their status.

Each change is a `Share`, noted with its second and durable before anything is counted by it; so a
meter that starts again counts the same.  What flowed before a change stays as it was::

    at_s 4 | imported 4 | exported 4    parts per million of what a sound supply would give
"""

import struct
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from openami.device.journal import Journal, peek
from openami.device.storage import StorageError
from openami.meter.load import INTERVAL_S, Load

MILLION: Final = 1_000_000
SUPPLY: Final = "supply.journal"
"""In metrology's folder."""
LONGEST_OCTETS: Final = 256 * 1024
"""The journal is shortened beyond."""


class Way(Enum):
    """Through the meter."""

    IMPORT = 0
    EXPORT = 1


class Share(NamedTuple):
    """What of a sound supply's energy flows, from a second on."""

    at_s: int
    imported: int = MILLION
    exported: int = 0

    def part(self, way: Way) -> int:
        return self.imported if way is Way.IMPORT else self.exported

    def same_as(self, other: "Share") -> bool:
        return self[1:] == other[1:]


_FORM: Final = struct.Struct(">III")
SOUND: Final = Share(0)


class SupplyHistory:
    """How the supply stood, second by second."""

    def __init__(self, shares: Sequence[Share] = ()) -> None:
        self._shares = [SOUND, *shares]

    @property
    def now(self) -> Share:
        return self._shares[-1]

    def stretches(self, start_s: int, stop_s: int) -> Iterator[tuple[int, int, Share]]:
        """Yield stretches of one share each, which make up a span."""
        place = bisect_right(self._shares, start_s, key=lambda share: share.at_s) - 1
        while start_s < stop_s:
            following = self._shares[place + 1 : place + 2]
            end_s = min([stop_s, *(share.at_s for share in following)])
            if end_s > start_s:
                yield start_s, end_s, self._shares[place]
            start_s, place = end_s, place + 1

    def add(self, share: Share) -> Share | None:
        """Take a change; None where the supply stands so already.

        Nothing is changed that was: a second before the last change becomes the last change's.
        """
        share = share._replace(at_s=max(share.at_s, self.now.at_s))
        if share.same_as(self.now):
            return None
        self._shares.append(share)
        return share

    def forget(self, before_s: int) -> tuple[Share, ...]:
        """Forget what is over before a second; return the changes that are left."""
        place = bisect_right(self._shares, before_s, key=lambda share: share.at_s) - 1
        self._shares = [self._shares[place]._replace(at_s=0), *self._shares[place + 1 :]]
        return tuple(self._shares)


def peeked(path: Path) -> SupplyHistory:
    """Return the history in a journal that another process has open; sound where there is none.

    Raises:
        StorageError: It cannot be read.
    """
    return SupplyHistory([_decode(each) for each in peek(path)])


class SupplyLog:
    """The history of a supply, on disk.

    Attributes:
        history: As it stands.
        finding: A sentence if the journal was damaged.
        failing: Why the disk takes nothing now; empty while it does.
    """

    def __init__(self, path: Path) -> None:
        """Open the journal.

        Raises:
            StorageError: It can be neither read nor created.
        """
        self._journal, payloads, self.finding = Journal.open(path)
        self.history = SupplyHistory([_decode(each) for each in payloads])
        self.failing = ""
        self._waiting: list[bytes] = []

    def note(self, share: Share, counted_s: int) -> None:
        """Note how the supply stands; durable when this returns, unless the disk is full.

        Args:
            share: With the second from which it is so.
            counted_s: Up to which everything is counted for good.
        """
        added = self.history.add(share)
        if added is not None:
            self._waiting.append(_encode(added))
        if not self._waiting:
            return
        try:
            if self._journal.size_octets > LONGEST_OCTETS:
                # Spans are counted from the grid on: what the last half-hour began with stays.
                left = self.history.forget(counted_s - counted_s % INTERVAL_S)
                self._journal.rewrite([_encode(each) for each in left])
            else:
                self._journal.append(self._waiting)
                self._journal.sync()
        except StorageError as error:
            self.failing = str(error)
        else:
            self._waiting, self.failing = [], ""

    def close(self) -> None:
        self._journal.close()


class Portion:
    """What flows of a load one way, as the supply stands (a `meter.load.Load`).

    Args:
        load: What a sound supply would give.
        history: Of the supply.
        way: Which part of it this is.
    """

    def __init__(self, load: Load, history: SupplyHistory, way: Way) -> None:
        self._load, self._history, self._way = load, history, way

    def interval_ws(self, start_s: int) -> int:
        return self._up_to(start_s, start_s + INTERVAL_S)

    def energy_ws(self, start_s: int, stop_s: int) -> int:
        grid_s = start_s - start_s % INTERVAL_S
        return self._up_to(grid_s, stop_s) - self._up_to(grid_s, start_s)

    def power_w(self, at_s: int) -> int:
        return self.energy_ws(at_s, at_s + 1)

    def _up_to(self, grid_s: int, stop_s: int) -> int:
        """Return the energy from a half-hour's start; the sum is rounded, so that spans add up."""
        stretches = list(self._history.stretches(grid_s, stop_s))
        if stop_s == grid_s + INTERVAL_S and len(stretches) == 1:
            return self._load.interval_ws(grid_s) * stretches[0][2].part(self._way) // MILLION
        flowed = sum(
            self._load.energy_ws(start, stop) * share.part(self._way)
            for start, stop, share in stretches
        )
        return flowed // MILLION


def _encode(share: Share) -> bytes:
    return _FORM.pack(*share)


def _decode(payload: bytes) -> Share:
    return Share(*_FORM.unpack(payload))
