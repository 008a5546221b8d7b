# SPDX-License-Identifier: Apache-2.0
"""What management keeps, wherever that is: files of its own, or those of a whole fleet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from openami.cosem.serving.profile import EncodedRows
from openami.device.cell import Cell
from openami.device.ring import Ring
from openami.dlms.security.counters import CounterReserve
from openami.meter.alarms import AlarmRecord, AlarmStore
from openami.meter.config import MeterConfig
from openami.meter.profile import (
    EVENT,
    RingBuffer,
    lost_since,
    open_event_log,
    open_profile,
)
from openami.meter.state import CounterStore, ManagementState, StateStore


class Kept(Protocol):
    """Numbered records, the newest of which are there."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    def __len__(self) -> int: ...

    def read(self, first: int, last: int) -> npt.NDArray[np.void]: ...

    def newest(self) -> bytes | None: ...


class Log(Protocol):
    """Those that management writes."""

    @property
    def first(self) -> int: ...

    @property
    def last(self) -> int: ...

    def read(self, first: int, last: int) -> npt.NDArray[np.void]: ...

    def append(self, payloads: Sequence[bytes]) -> None: ...

    def sync(self) -> None: ...


class Rows(Protocol):
    """A profile's rows (`cosem.serving.profile.ProfileBuffer`)."""

    def count(self) -> int: ...

    def between(self, start_us: int | None, end_us: int | None) -> EncodedRows: ...

    def entries(self, first: int, last: int) -> EncodedRows: ...


class LoadProfile(Rows, Protocol):
    """The load profile."""

    @property
    def ring(self) -> Kept: ...

    def since(self, sequence: int, most: int) -> EncodedRows:
        """Return up to `most` rows from a sequence on."""


class EventLog(Rows, Protocol):
    """The event log."""

    @property
    def ring(self) -> Log: ...


class State(Protocol):
    """What survives a restart (`state.StateStore`)."""

    @property
    def state(self) -> ManagementState: ...

    def note(self, *, durable: bool = False, **changes: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """What one management keeps.

    Attributes:
        profile: Load profile.
        events: Event log.
        state: Its state.
        alarms: Its alarms.
        counters: Reserves invocation counters; None where the keys are behind a wall.
        own: The ring that management itself writes; None where metrology writes it.
        lost_at_s: Calendar second since which the supply is lost, as the log says; None: it is not.
        findings: A sentence for each file that was damaged.
        closing: Each closes a file.
    """

    profile: LoadProfile
    events: EventLog
    state: State
    alarms: AlarmStore
    counters: CounterReserve | None
    own: RingBuffer | None = None
    lost_at_s: int | None = None
    findings: tuple[str, ...] = ()
    closing: tuple[Callable[[], None], ...] = field(default=(), repr=False)


def open_records(config: MeterConfig, real_us: Callable[[], int], *, own_keys: bool) -> Records:
    """Open a meter's own files; damaged ones are set aside and begun anew.

    Raises:
        StorageError: A file can be neither read nor created.
    """
    profile, *findings = open_profile(config.home / "profile.ring", config.profile_entries)
    events, finding = open_event_log(config.home / "events.ring", config.event_entries)
    path = config.home / "management.cell"
    begun = path.exists()
    state = StateStore(path)
    findings += [finding, state.finding]
    alarms = AlarmCell(config.home / "alarms.cell")
    findings.append(alarms.finding)
    counters = None
    if own_keys:
        counters = CounterStore(config.home / "counters.cell", real_us, begun=begun)
        findings.append(counters.finding)
    closing = [lambda: _ring(profile).close(), lambda: _ring(events).close(), state.close]
    closing.append(alarms.close)
    return Records(
        profile=profile,
        events=events,
        state=state,
        alarms=alarms,
        counters=counters,
        own=profile,
        lost_at_s=_lost_since(events),
        findings=tuple(each for each in findings if each is not None),
        closing=tuple([*closing, counters.close] if counters else closing),
    )


class AlarmCell:
    """The alarms of one meter in a file of their own (`alarms.AlarmStore`).

    Attributes:
        finding: A sentence if the file was damaged.
    """

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            StorageError: It cannot be opened.
        """
        self._cell, self.finding = Cell.open(path, initial=bytes(1 + len(AlarmRecord().encode())))

    def load(self) -> AlarmRecord | None:
        kept = self._cell.value
        return AlarmRecord.decode(kept[1:]) if kept[0] else None

    def keep(self, record: AlarmRecord, *, durable: bool) -> None:
        """Replace the record; raises `StorageError`."""
        self._cell.store(b"\x01" + record.encode(), durable=durable)

    def close(self) -> None:
        """Sync and close."""
        self._cell.close()


def _lost_since(events: RingBuffer) -> int | None:
    ring = events.ring
    if len(ring) == 0:
        return None
    return lost_since(ring.read(ring.first, ring.last).view(EVENT))


def _ring(buffer: RingBuffer) -> Ring:
    return buffer.ring
