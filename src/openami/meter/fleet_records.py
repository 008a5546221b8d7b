# SPDX-License-Identifier: Apache-2.0
"""What the managements of a fleet must not forget, in one journal: states, counters, events.

======  =========  ===================================================================
octets  field      value
======  =========  ===================================================================
1       kind       1 state, 2 counters, 3 event, 4 breaker, 5 supply, 6 alarms,
                   7 firmware
4       meter      meter id
n       record     `state.ManagementState`; u64, the first counter that is not reserved (of
                   meter 0: that no meter begins below);
                   u32 time and u16 code; `metrology.BreakerChange`, `SupplyChange`;
                   `alarms.AlarmRecord`; `fleet_firmware.Note`
======  =========  ===================================================================

Invocation counters are reserved for all meters together, so that a start costs one fdatasync and
not one a meter.  Should the journal be gone or in any doubt, every meter goes on above all it can
have used, as `state.CounterStore` does; those that join later, too.
"""

import logging
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from enum import IntEnum
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.device.journal import Journal
from openami.device.storage import StorageError
from openami.dlms.security.counters import EXHAUSTED, InvocationCounter
from openami.meter.alarms import AlarmRecord
from openami.meter.metrology import BreakerChange, Change, SupplyChange
from openami.meter.profile import EVENT, MICROSECONDS, lost_since
from openami.meter.state import COUNTERS_SINCE_S, SPARE_PER_S, ManagementState

log = logging.getLogger(__name__)

RECORDS_FILE: Final = "management.journal"
HEAD: Final = struct.Struct(">BI")
COUNTER: Final = struct.Struct(">Q")
POOL: Final = 1024  # counters that are reserved for a meter at a time
LOW: Final = 256  # so many left, and more are reserved with everybody's
MOST_TRANSITIONS: Final = 256  # of one breaker
LONGEST_OCTETS: Final = 4 * 1024 * 1024  # the journal is shortened beyond
EVERYBODY: Final = 0  # no meter's id: the least counter of any, once the journal was damaged

Void = npt.NDArray[np.void]


class Kind(IntEnum):
    """What a record of the journal holds."""

    STATE = 1
    COUNTERS = 2
    EVENT = 3
    BREAKER = 4
    SUPPLY = 5
    ALARMS = 6
    FIRMWARE = 7


class FleetRecords:
    """The journal, and what stands in it.

    Attributes:
        path: The file.
        finding: A sentence if the journal was damaged.
        states: By meter id.
        firmware: Notes of `fleet_firmware`, by meter id.
        breaker: By meter id the transitions of breaker and supply, oldest first.  With them a start
            can close again every interval that the profiles have lost.
    """

    def __init__(
        self,
        path: Path,
        real_us: Callable[[], int],
        *,
        begun: bool,
        event_entries: int,
    ) -> None:
        """Open or create the journal.

        Args:
            path: The file.
            real_us: Real UTC.
            begun: Meters of this fleet have counted before, so the file has to be there.
            event_entries: How many events a meter's log keeps.

        Raises:
            StorageError: It can be neither read nor created.
        """
        self.path = path
        gone = begun and not path.exists()
        self._journal, payloads, self.finding = Journal.open(path)
        self.states: dict[int, ManagementState] = {}
        self.firmware: dict[int, bytes] = {}
        self.breaker: dict[int, list[Change]] = {}
        self._events: dict[int, EventRing] = {}
        self._alarms: dict[int, AlarmRecord] = {}
        self._reserved: dict[int, int] = {}
        self._following: dict[int, int] = {}
        self._dirty: set[int] = set()
        self._few: set[int] = set()  # meters that have few counters left
        self._notes = 0
        self._deferred = 0
        self._longest_octets = LONGEST_OCTETS
        self._event_entries = event_entries
        self._least = 1
        if gone:
            self.finding = f"{path} is gone: counting goes on above all that can have been used"
        if self.finding is not None:
            elapsed_s = max(0, real_us() // MICROSECONDS - COUNTERS_SINCE_S)
            self._least = min(elapsed_s * SPARE_PER_S + 1, EXHAUSTED)
        for payload in payloads:
            self._restore(payload)
        if self.finding is not None:
            self._keep_least()
        else:
            self._least = self._reserved.get(EVERYBODY, 1)
            for meter_id, end in self._reserved.items():
                self._reserved[meter_id] = max(end, self._least)

    def _keep_least(self) -> None:
        """Let a meter that joins later, too, go on above all that it can have used."""
        self._append([HEAD.pack(Kind.COUNTERS, EVERYBODY) + COUNTER.pack(self._least)])
        self._journal.sync()
        self._reserved[EVERYBODY] = self._least

    @classmethod
    def of(cls, home: Path, real_us: Callable[[], int], *, event_entries: int) -> "FleetRecords":
        """Open the journal of the fleet in `home`; meters have counted if profiles are there.

        Raises:
            StorageError: It can be neither read nor created.
        """
        begun = any(home.glob("profile-*.blocks*"))  # those set aside count, too
        return cls(home / RECORDS_FILE, real_us, begun=begun, event_entries=event_entries)

    # States -----------------------------------------------------------------------------------

    def state(self, meter_id: int) -> ManagementState:
        """Return a meter's state."""
        return self.states.get(meter_id) or self.states.setdefault(meter_id, ManagementState())

    def note(self, meter_id: int, *, durable: bool = False, **changes: int) -> None:
        """Change a meter's state; without `durable` it is written with the next `flush`.

        Raises:
            StorageError: The disk refused; the state is as it was.
        """
        before = self.state(meter_id)
        changed = replace(before, **changes)  # type: ignore[arg-type]  # fields by name
        if changed == before and not durable:
            return
        self.states[meter_id] = changed
        self._dirty.add(meter_id)
        self._notes += 1
        if durable:
            try:
                self.flush()
                self.sync()
            except StorageError:
                self.states[meter_id] = before
                self._dirty.add(meter_id)  # what may stand in the journal is written over
                raise

    def flush(self) -> None:
        """Write states that changed; they survive a crash then, not a power cut.

        Raises:
            StorageError: The disk is full; they are written later.
        """
        if self._dirty:
            self._append([self._state_record(meter_id) for meter_id in self._dirty])
            self._dirty.clear()

    def sync(self) -> None:
        """Make what was written durable; inside `together`, at its end.

        Raises:
            StorageError: The disk refused.
        """
        if not self._deferred:
            self._journal.sync()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Make many changes durable by one fdatasync at the end."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1
        self.sync()

    def receipted(self, meter_ids: Sequence[int]) -> npt.NDArray[np.int64]:
        """Return for each meter the sequence that its last receipt covers."""
        states, none = self.states, ManagementState()
        return np.array([states.get(each, none).receipted for each in meter_ids], np.int64)

    @property
    def notes(self) -> int:
        """How often states were changed: whoever has looked need not look again before."""
        return self._notes

    def knows(self, meter_id: int) -> bool:
        """Tell whether anything stands in the journal of a meter's state and counters."""
        return meter_id in self.states or meter_id in self._reserved

    def adopt(
        self,
        meter_id: int,
        state: ManagementState,
        following: int,
        kept: tuple[Sequence[bytes], Sequence[Change]],
    ) -> None:
        """Take over what a meter had in files of its own; durable with the next `shorten`.

        Args:
            meter_id: The meter's.
            state: Of its management.
            following: It goes on with this invocation counter, or above.
            kept: Its events, and its breaker's transitions.
        """
        self.states[meter_id] = state
        for payload in kept[0]:
            self.events(meter_id).restore(payload)
        self.breaker.setdefault(meter_id, []).extend(kept[1])
        known = self._reserved.get(meter_id, self._least)
        self._reserved[meter_id] = self._following[meter_id] = max(known, following)

    # Counters ---------------------------------------------------------------------------------

    def stock_up(self, meter_ids: Iterable[int] = ()) -> None:
        """Reserve counters, durably, for these meters, and for all that have few.

        Raises:
            StorageError: The disk refused; nobody has more than before.
        """
        few = self._few.union(meter_ids)
        ends = {meter_id: self._end_of_more(meter_id) for meter_id in few}
        if not ends:
            return
        self._append(
            [HEAD.pack(Kind.COUNTERS, each) + COUNTER.pack(end) for each, end in ends.items()]
        )
        self._journal.sync()
        for meter_id, end in ends.items():
            self._following.setdefault(meter_id, self._next(meter_id))  # where it stood before
            self._reserved[meter_id] = end
        self._few.clear()

    def reserve(self, meter_id: int, count: int) -> InvocationCounter:
        """Return the first of `count` counters of a meter that nobody used.

        Raises:
            StorageError: The disk refused.
        """
        if self._left(meter_id) < count:
            self.stock_up([meter_id])
        first = self._next(meter_id)
        self._following[meter_id] = min(first + count, EXHAUSTED)
        if self._left(meter_id) < LOW:
            self._few.add(meter_id)
        return InvocationCounter(first)

    def following(self, meter_id: int) -> int:
        """Return the first invocation counter of a meter that nobody used."""
        return self._next(meter_id)

    def _next(self, meter_id: int) -> int:
        return self._following.get(meter_id, self._reserved.get(meter_id, self._least))

    def _left(self, meter_id: int) -> int:
        return self._reserved.get(meter_id, self._least) - self._next(meter_id)

    def _end_of_more(self, meter_id: int) -> int:
        return min(self._reserved.get(meter_id, self._least) + POOL, EXHAUSTED)

    # Events and the breaker -------------------------------------------------------------------

    def events(self, meter_id: int) -> "EventRing":
        """Return a meter's event log."""
        if meter_id not in self._events:
            self._events[meter_id] = EventRing(self, meter_id, self._event_entries)
        return self._events[meter_id]

    def log_event(self, meter_id: int, payload: bytes) -> None:
        """Write an event; durable after `sync`.

        Raises:
            StorageError: The disk is full.
        """
        self._append([HEAD.pack(Kind.EVENT, meter_id) + payload])

    def alarms(self, meter_id: int) -> AlarmRecord | None:
        """Return a meter's alarms; None if it never had one."""
        return self._alarms.get(meter_id)

    def keep_alarms(self, meter_id: int, record: AlarmRecord, *, durable: bool) -> None:
        """Write a meter's alarms; `durable`, they survive a power cut after `sync`.

        Raises:
            StorageError: The disk refused.
        """
        self._append([_alarms_record(meter_id, record)])
        self._alarms[meter_id] = record
        if durable:
            self.sync()

    def keep_firmware(self, meter_id: int, note: bytes) -> None:
        """Write down what a meter runs, durably.

        Raises:
            StorageError: The disk refused.
        """
        self._append([HEAD.pack(Kind.FIRMWARE, meter_id) + note])
        self.sync()
        self.firmware[meter_id] = note

    def lost_since(self, meter_id: int) -> int | None:
        """Return since which second a meter's supply is lost, by its event log."""
        ring = self._events.get(meter_id)
        return None if ring is None else lost_since(ring.read(ring.first, ring.last))

    def move_breaker(self, meter_id: int, change: Change) -> None:
        """Write a transition durably; neither breaker nor supply waits for a full disk."""
        self.breaker.setdefault(meter_id, []).append(change)
        try:
            self._append([_transition(meter_id, change)])
            self.sync()
        except StorageError as error:
            log.error("%s", error)  # noqa: TRY400

    # The file ---------------------------------------------------------------------------------

    @property
    def is_long(self) -> bool:
        return self._journal.size_octets > self._longest_octets

    def shorten(self) -> None:
        """Rewrite the journal with what is still of use.

        Raises:
            StorageError: The disk is full; the journal is as it was.
        """
        payloads = [self._state_record(meter_id) for meter_id in self.states]
        payloads += [
            HEAD.pack(Kind.COUNTERS, meter_id) + COUNTER.pack(end)
            for meter_id, end in self._reserved.items()
        ]
        for meter_id, ring in self._events.items():
            payloads += [HEAD.pack(Kind.EVENT, meter_id) + each for each in ring.payloads]
        payloads += [_alarms_record(meter_id, each) for meter_id, each in self._alarms.items()]
        payloads += [HEAD.pack(Kind.FIRMWARE, of) + note for of, note in self.firmware.items()]
        for meter_id, changes in self.breaker.items():
            del changes[:-MOST_TRANSITIONS]
            payloads += [_transition(meter_id, each) for each in changes]
        self._journal.rewrite(payloads)
        self._dirty.clear()
        self._longest_octets = max(LONGEST_OCTETS, 2 * self._journal.size_octets)

    def close(self) -> None:
        """Write what changed, sync, close.

        Raises:
            StorageError: The disk refused.
        """
        try:
            self.flush()
        finally:
            self._journal.close()

    def _append(self, payloads: Sequence[bytes]) -> None:
        self._journal.append(payloads)

    def _state_record(self, meter_id: int) -> bytes:
        return HEAD.pack(Kind.STATE, meter_id) + self.states[meter_id].encode()

    def _restore(self, payload: bytes) -> None:
        kind, meter_id = HEAD.unpack_from(payload)
        body = payload[HEAD.size :]
        match Kind(kind):
            case Kind.STATE:
                self.states[meter_id] = ManagementState.decode(body)
            case Kind.COUNTERS:
                (end,) = COUNTER.unpack(body)
                self._reserved[meter_id] = max(end, self._least)
            case Kind.EVENT:
                self.events(meter_id).restore(body)
            case Kind.ALARMS:
                self._alarms[meter_id] = AlarmRecord.decode(body)
            case Kind.FIRMWARE:
                self.firmware[meter_id] = body
            case Kind.BREAKER:
                self.breaker.setdefault(meter_id, []).append(BreakerChange.decode(body))
            case Kind.SUPPLY:
                self.breaker.setdefault(meter_id, []).append(SupplyChange.decode(body))


def _alarms_record(meter_id: int, record: AlarmRecord) -> bytes:
    return HEAD.pack(Kind.ALARMS, meter_id) + record.encode()


def _transition(meter_id: int, change: Change) -> bytes:
    kind = Kind.BREAKER if isinstance(change, BreakerChange) else Kind.SUPPLY
    return HEAD.pack(kind, meter_id) + change.encode()


class MeterState:
    """The state of one meter's management (`state.StateStore`)."""

    __slots__ = ("_meter_id", "_records")

    finding: str | None = None  # one journal for all: the fleet tells of it

    def __init__(self, records: FleetRecords, meter_id: int) -> None:
        self._records, self._meter_id = records, meter_id

    @property
    def state(self) -> ManagementState:
        return self._records.state(self._meter_id)

    def note(self, *, durable: bool = False, **changes: int) -> None:
        """Change the state (`FleetRecords.note`)."""
        self._records.note(self._meter_id, durable=durable, **changes)

    def reserve(self, count: int) -> InvocationCounter:
        """Reserve invocation counters (`security.counters.CounterReserve`)."""
        return self._records.reserve(self._meter_id, count)

    def load(self) -> AlarmRecord | None:
        """Return its alarms (`alarms.AlarmStore`)."""
        return self._records.alarms(self._meter_id)

    def keep(self, record: AlarmRecord, *, durable: bool) -> None:
        """Keep its alarms (`FleetRecords.keep_alarms`)."""
        self._records.keep_alarms(self._meter_id, record, durable=durable)

    def close(self) -> None:
        """Nothing: the journal is everybody's."""


class EventRing:
    """One meter's event log, as `device.ring.Ring` shows its records."""

    __slots__ = ("_entries", "_meter_id", "_records", "last", "payloads")

    holes: frozenset[int] = frozenset()

    def __init__(self, records: FleetRecords, meter_id: int, entries: int) -> None:
        self._records, self._meter_id, self._entries = records, meter_id, entries
        self.last = 0
        self.payloads: deque[bytes] = deque(maxlen=entries)

    @property
    def first(self) -> int:
        return self.last - len(self.payloads) + 1

    def __len__(self) -> int:
        return len(self.payloads)

    def append(self, payloads: Sequence[bytes]) -> None:
        """Write events; durable after `sync`.

        Raises:
            StorageError: The disk is full; they are not in the log.
        """
        for payload in payloads:
            self._records.log_event(self._meter_id, payload)
            self.restore(payload)

    def restore(self, payload: bytes) -> None:
        """Take an event that stands in the journal."""
        self.payloads.append(payload)
        self.last += 1

    def sync(self) -> None:
        """Make them durable (`FleetRecords.sync`)."""
        self._records.sync()

    def read(self, first: int, last: int) -> Void:
        """Return the events `first` to `last` that are there."""
        start = max(first, self.first) - self.first
        found = list(self.payloads)[start : last - self.first + 1]
        return np.frombuffer(b"".join(found), EVENT)

    def close(self) -> None:
        """Nothing: the journal is everybody's."""
