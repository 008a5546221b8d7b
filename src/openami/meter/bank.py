# SPDX-License-Identifier: Apache-2.0
"""Metrology with its journal: one meter or many, every closed interval durable before it is shown.

======  =========  ===================================================================
octets  field      value of a journal record
======  =========  ===================================================================
1       kind       3 interval, 4 breaker, 5 supply
4       meter      meter id
n       record     `metrology.ClosedInterval`, `BreakerChange`, `SupplyChange`
======  =========  ===================================================================

Kinds 1 and 2 are the same with a meter id of two octets, as earlier journals have them.

One `advance` is one write and one fdatasync, however many meters closed an interval.  When the disk
is full nothing stops: intervals go on being closed, wait in memory in their order, and are
written as soon as there is room.  The journal is shortened to what is still of use: for each meter
its state and as many of its newest intervals as `keep` says.
"""

import logging
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from openami.device.journal import Journal
from openami.device.storage import StorageError
from openami.meter.metrology import (
    BreakerChange,
    Change,
    ClosedInterval,
    Metrology,
    SupplyChange,
)

log = logging.getLogger(__name__)

HEAD: Final = struct.Struct(">BI")
SHORT_HEAD: Final = struct.Struct(">BH")
SHORT: Final = frozenset({1, 2})
INTERVAL: Final = 3
BREAKER: Final = 4
SUPPLY: Final = 5
KINDS: Final[dict[int, type[ClosedInterval | Change]]] = {
    1: ClosedInterval,
    2: BreakerChange,
    INTERVAL: ClosedInterval,
    BREAKER: BreakerChange,
    SUPPLY: SupplyChange,
}
NUMBERS: Final = {of: kind for kind, of in KINDS.items()}
LONGEST_OCTETS: Final = 4 * 1024 * 1024  # the journal is shortened beyond


class Closed(NamedTuple):
    """An interval of one meter, durable."""

    meter_id: int
    interval: ClosedInterval


class MetrologyBank:
    """Meters that share one journal.

    Attributes:
        meters: By meter id.
        kept: For each meter its newest durable intervals, oldest first: at the start all that the
            journal holds, later about `keep`.
        finding: A sentence if the journal was damaged.
        failing: Why the disk takes nothing now; empty while it does.
    """

    def __init__(
        self,
        path: Path,
        meters: Mapping[int, Metrology],
        *,
        keep: int,
        longest_octets: int = LONGEST_OCTETS,
    ) -> None:
        """Open the journal and bring every meter to the state that stands there.

        Raises:
            StorageError: The journal cannot be read or created.
        """
        self.meters = dict(meters)
        self.kept: dict[int, list[ClosedInterval]] = {meter_id: [] for meter_id in meters}
        self.failing = ""
        self._keep = keep
        self._longest_octets = longest_octets
        self._ready: list[Closed] = []
        self._waiting: list[tuple[int, ClosedInterval | Change]] = []
        self._journal, payloads, self.finding = Journal.open(path)
        for payload in payloads:
            self._restore(payload)

    def forget_old(self) -> None:
        """Keep no more intervals in memory than `keep` says, after a start gave all there are."""
        for kept in self.kept.values():
            del kept[: -self._keep]

    @property
    def waiting(self) -> int:
        """How many records wait for room on the disk."""
        return len(self._waiting)

    @property
    def is_long(self) -> bool:
        return self._journal.size_octets > self._longest_octets

    def advance(self, now_s: int) -> list[Closed]:
        """Close what has ended by `now_s`; return what is durable now and was not before."""
        for meter_id, meter in self.meters.items():
            if meter.next_end_s <= now_s:
                self._waiting += [(meter_id, interval) for interval in meter.advance(now_s)]
        self._write()
        ready, self._ready = self._ready, []
        return ready

    def set_breaker(self, meter_id: int, now_s: int, *, closed: bool) -> BreakerChange | None:
        """Move a meter's breaker; None when it stands so already.

        What ended before is closed first, and comes with the next `advance`.  The transition is
        durable when this returns, unless the disk is full: a breaker is not kept waiting for that.
        """
        change = self._settled(meter_id, now_s).set_breaker(now_s, closed=closed)
        self._changed(meter_id, change)
        return change

    def set_supply(self, meter_id: int, now_s: int, *, supplied: bool) -> None:
        """Let a meter lose its supply, or have it back; as durable as `set_breaker`."""
        self._changed(meter_id, self._settled(meter_id, now_s).set_supply(now_s, supplied=supplied))

    def _settled(self, meter_id: int, now_s: int) -> Metrology:
        """Return a meter whose intervals that have ended are closed."""
        meter = self.meters[meter_id]
        self._waiting += [(meter_id, interval) for interval in meter.advance(now_s)]
        return meter

    def _changed(self, meter_id: int, change: Change | None) -> None:
        if change is not None:
            self._waiting.append((meter_id, change))
        self._write()

    def shorten(self) -> None:
        """Rewrite the journal with what is still of use; a full disk leaves it as it is."""
        if self._waiting:
            return
        records: list[bytes] = []
        for meter_id, meter in self.meters.items():
            state: list[ClosedInterval | Change] = [*self.kept[meter_id], *meter.changes]
            records += [_encode(meter_id, record) for record in state]
        try:
            self._journal.rewrite(records)
        except StorageError as error:
            self._note(str(error))
        else:
            self._longest_octets = max(self._longest_octets, 2 * self._journal.size_octets)

    def close(self) -> None:
        """Write what waits, sync, close."""
        self._write()
        try:
            self._journal.close()
        except StorageError as error:
            self._note(str(error))

    def _write(self) -> None:
        """Make what waits durable; the intervals among it are ready then."""
        if not self._waiting:
            return
        try:
            self._journal.append([_encode(meter_id, one) for meter_id, one in self._waiting])
            self._journal.sync()
        except StorageError as error:
            self._note(str(error))
            return
        if self.failing:
            log.warning("the journal of metrology is written again")
            self.failing = ""
        written, self._waiting = self._waiting, []
        closed = [Closed(id_, one) for id_, one in written if isinstance(one, ClosedInterval)]
        for one in closed:
            self._note_interval(one.meter_id, one.interval)
            if len(kept := self.kept[one.meter_id]) > 2 * self._keep + 16:
                del kept[: -self._keep]
        self._ready += closed

    def _note(self, sentence: str) -> None:
        if not self.failing:
            log.error("%s", sentence)
        self.failing = sentence

    def _restore(self, payload: bytes) -> None:
        meter_id, record = decode_record(payload)
        meter = self.meters.get(meter_id)
        if meter is None:
            return  # carried by another process now
        meter.restore(record)
        if isinstance(record, ClosedInterval):
            self._note_interval(meter_id, record)

    def _note_interval(self, meter_id: int, interval: ClosedInterval) -> None:
        kept = self.kept[meter_id]
        if kept and interval.sequence <= kept[-1].sequence:
            return  # written twice, because the disk failed between writing and syncing
        kept.append(interval)


def decode_record(payload: bytes) -> tuple[int, ClosedInterval | Change]:
    """Return a journal record, and the meter id it is of.

    Raises:
        struct.error: The octets are not those of a record.
    """
    head = SHORT_HEAD if payload[:1] and payload[0] in SHORT else HEAD
    kind, meter_id = head.unpack_from(payload)
    of = KINDS.get(kind)
    if of is None:
        raise struct.error(f"{kind} is no kind of record")
    return meter_id, of.decode(payload[head.size :])


def _encode(meter_id: int, record: ClosedInterval | Change) -> bytes:
    return HEAD.pack(NUMBERS[type(record)], meter_id) + record.encode()
