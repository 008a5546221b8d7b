# SPDX-License-Identifier: Apache-2.0
"""Meters that had files of their own come into a fleet's.

Earlier fleets kept four files a meter and one journal of metrology.  What stands there is taken
over once: above all the invocation counters, which must never come twice.  The files are removed
when the fleet's own are durable.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.device.journal import Journal
from openami.device.ring import Ring
from openami.device.storage import StorageError
from openami.meter.alarms import AlarmRecord
from openami.meter.bank import decode_record
from openami.meter.config import MeterConfig
from openami.meter.fleet_profile import FleetProfile
from openami.meter.fleet_records import FleetRecords
from openami.meter.metrology import Change, ClosedInterval
from openami.meter.profile import EVENT, INTERVAL
from openami.meter.records import AlarmCell
from openami.meter.state import CounterStore, ManagementState, StateStore
from openami.runtime.clock import real_us

JOURNAL: Final = "metrology.journal"
FILES: Final = ("profile.ring", "events.ring", "management.cell", "counters.cell", "alarms.cell")

Void = npt.NDArray[np.void]


@dataclass(slots=True)
class Found:
    """What one meter's files say.

    Attributes:
        intervals: By grid number.
        events: As the log holds them, oldest first.
        state: Of management.
        following: The first invocation counter that was never used.
        alarms: Its alarm registers; None if it never had one.
        changes: The breaker's transitions since the newest interval.
        findings: A sentence for each file that was damaged.
    """

    intervals: dict[int, Void] = field(default_factory=dict)
    events: list[bytes] = field(default_factory=list)
    state: ManagementState = field(default_factory=ManagementState)
    following: int = 1
    alarms: AlarmRecord | None = None
    changes: list[Change] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)


def has_files(config: MeterConfig) -> bool:
    """Tell whether a meter has files of its own."""
    return (config.home / "management.cell").exists()


def adopt(
    home: Path, configs: Sequence[MeterConfig], there: Container[int], records: FleetRecords
) -> dict[int, Found]:
    """Take what meters have in files of their own into the journal; return it, by meter id.

    It is first in the journal, then in a profile, then nowhere else; cut off anywhere, the next
    start goes on.

    Args:
        home: The fleet's folder.
        configs: Of meters that have files.
        there: Ids of meters that are in a profile.
        records: The fleet's journal.

    Raises:
        StorageError: A file can be neither read nor set aside, or the disk refused.
    """
    left = [
        config
        for config in configs
        if config.meter_id not in there or not records.knows(config.meter_id)
    ]
    adopted = look(home, left, real_us)
    for meter_id, found in adopted.items():
        if records.knows(meter_id):
            continue
        records.adopt(meter_id, found.state, found.following, (found.events, found.changes))
        if found.alarms is not None:
            records.keep_alarms(meter_id, found.alarms, durable=False)
    if adopted:
        records.shorten()
    return adopted


def look(
    home: Path, configs: Sequence[MeterConfig], real_us: Callable[[], int]
) -> dict[int, Found]:
    """Return what stands in the own files of meters, by meter id.

    Args:
        home: The fleet's folder.
        configs: Of meters that have files.
        real_us: Real UTC.

    Raises:
        StorageError: A file can be neither read nor set aside.
    """
    found = {config.meter_id: _look(config, real_us) for config in configs}
    if found and (path := home / JOURNAL).exists():
        journal, payloads, finding = Journal.open(path)
        journal.close()
        if finding is not None:
            for each in found.values():
                each.findings.append(finding)
        periods = {config.meter_id: config.capture_period_s for config in configs}
        for meter_id, record in map(decode_record, payloads):
            if meter_id in found:
                _add(found[meter_id], record, periods[meter_id])
    return found


def write_intervals(profile: FleetProfile, found: dict[int, Found]) -> None:
    """Write what was found into an empty file of load profiles, durably.

    Raises:
        StorageError: The disk refused.
    """
    columns = {meter_id: column for column, meter_id in enumerate(profile.ids)}
    grids = sorted({grid for each in found.values() for grid in each.intervals})
    for grid in grids[-profile.capacity :]:
        block = np.zeros(len(profile.ids), INTERVAL)
        for meter_id, each in found.items():
            if grid in each.intervals:
                block[columns[meter_id]] = each.intervals[grid]
        profile.write(grid, block)
    profile.sync()


def remove_files(configs: Iterable[MeterConfig]) -> None:
    """Remove files that were taken over."""
    for config in configs:
        for name in FILES:
            (config.home / name).unlink(missing_ok=True)


def _look(config: MeterConfig, real_us: Callable[[], int]) -> Found:
    found = Found()
    home = config.home
    ring = _ring(found, home / "profile.ring", INTERVAL.itemsize, config.profile_entries)
    for row in ring:
        interval = ClosedInterval.decode(row.tobytes())
        _add(found, interval, config.capture_period_s)
    found.events = [
        row.tobytes()
        for row in _ring(found, home / "events.ring", EVENT.itemsize, config.event_entries)
    ]
    state = StateStore(home / "management.cell")
    counters = CounterStore(home / "counters.cell", real_us, begun=True)
    try:
        found.state, found.following = state.state, counters.reserve(0)
    finally:
        state.close()
        counters.close()
    found.findings += [each for each in (state.finding, counters.finding) if each is not None]
    if (home / "alarms.cell").exists():
        alarms = AlarmCell(home / "alarms.cell")
        found.alarms = alarms.load()
        alarms.close()
        found.findings += [] if alarms.finding is None else [alarms.finding]
    return found


def _ring(found: Found, path: Path, payload_octets: int, capacity: int) -> Iterable[np.void]:
    if not path.exists():
        return ()
    ring, finding = Ring.open(path, payload_octets=payload_octets, capacity=capacity)
    if finding is not None:
        found.findings.append(finding)
    rows = ring.read(ring.first, ring.last)
    try:
        ring.close()
    except StorageError as error:
        found.findings.append(str(error))
    return iter(rows)


def _add(found: Found, record: ClosedInterval | Change, period_s: int) -> None:
    if isinstance(record, Change):
        found.changes.append(record)
    else:
        grid = record.end_s // period_s
        found.intervals[grid] = np.frombuffer(record.encode(), INTERVAL)[0]
