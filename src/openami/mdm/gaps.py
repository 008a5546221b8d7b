# SPDX-License-Identifier: Apache-2.0
"""What should be there and is not: gaps open, grow, split and close.

Cheap with many meters and months: coverage (one row a meter and day) names the days that lack
measured values; only days whose counts changed since the last look are read from the lake.  An
estimate does not fill a gap: the head-end goes on asking, and what it brings supersedes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy import Engine

from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.mdm.expectation import expected_in_day, expected_range
from openami.mdm.vee.series import Bool, runs
from openami.runtime.clock import MICROSECONDS
from openami.store import data_quality, registry
from openami.store.data_quality import ESTIMATED, FILLED, OPEN, Gap
from openami.store.database import transaction
from openami.store.intervals import DAY_US, Lake
from openami.store.registry import Meter

METERS_AT_ONCE: Final = 1000
Counts = tuple[int, int, int]  # expected, actual, estimated
NOTHING: Final[dict[int, Counts]] = {}


@dataclass(frozen=True, slots=True)
class Lack:
    """Intervals of a meter without measured value: [from_us, to_us)."""

    from_us: int
    to_us: int
    estimated: bool  # all of them have estimates


@dataclass(slots=True, kw_only=True)
class GapFinder:
    """Compares expected with stored for all meters."""

    engine: Engine
    lake: Lake
    now_us: Callable[[], int]
    grace_us: Callable[[], int]
    _expected: dict[tuple[int, int], int] = field(default_factory=dict)
    _seen: dict[int, dict[int, Counts]] = field(default_factory=dict)
    _since: dict[int, int] = field(default_factory=dict)

    def run(self) -> int:
        """Bring `gaps` up to date; return how many rows changed."""
        until_us = self.now_us() - self.grace_us()
        meters = {meter.meter_id: meter for meter in registry.meters(self.engine)}
        self._expect(meters.values(), until_us)
        lacking: dict[int, dict[int, Counts]] = {}
        # Counts do not tell for the day that is running: an interval within its grace may make up
        # for one that is missing.
        today = until_us // DAY_US
        running = data_quality.coverage(self.engine, from_day=today, to_day=today + 1)
        for row in (*data_quality.incomplete(self.engine), *running):
            if row.meter_id in meters:
                counts = (row.expected, row.actual, row.estimated)
                lacking.setdefault(row.meter_id, {})[row.day] = counts
        changed = [
            meter_id
            for meter_id in lacking.keys() | self._seen.keys() | self._stale(meters)
            if lacking.get(meter_id, NOTHING) != self._seen.get(meter_id)
        ]
        if not changed:
            return 0
        wanted = {meter_id: lacking.get(meter_id, NOTHING) for meter_id in sorted(changed)}
        found = self._lacks(wanted, meters, until_us)
        count = self._write(found)
        for meter_id in changed:
            self._seen[meter_id] = wanted[meter_id]
        return count

    def _stale(self, meters: Mapping[int, Meter]) -> set[int]:
        """Return meters with open gaps that this process has not looked at yet."""
        if self._seen:
            return set()
        found = data_quality.gaps(self.engine, limit=None)
        return {gap.meter_id for gap in found} & meters.keys()

    def _expect(self, meters: Collection[Meter], until_us: int) -> None:
        """Write how many intervals each day should have by now, where that is news.

        What is written of days that are over changes no more: it is not remembered.
        """
        today = until_us // DAY_US
        every = list(meters)
        for place in range(0, len(every), METERS_AT_ONCE):
            some = every[place : place + METERS_AT_ONCE]
            strange = [each.meter_id for each in some if each.meter_id not in self._since]
            written = data_quality.expected(self.engine, strange) if strange else {}
            news = []
            for meter in some:
                first = self._since.get(meter.meter_id, max(0, meter.installed_us // DAY_US))
                for day in range(first, today + 1):
                    expected = expected_in_day(meter, day, until_us)
                    key = (meter.meter_id, day)
                    if expected != self._expected.get(key, written.get(key, 0)):
                        news.append((*key, expected))
                    self._expected[key] = expected
                    if day < today:
                        del self._expected[key]
                self._since[meter.meter_id] = max(first, today)
            data_quality.expect(self.engine, news)

    def _lacks(
        self, wanted: Mapping[int, Mapping[int, Counts]], meters: Mapping[int, Meter], until_us: int
    ) -> dict[int, list[Lack]]:
        """Return what each meter lacks, by the lake."""
        days = sorted({day for each in wanted.values() for day in each})
        masks: dict[tuple[int, int], tuple[Bool, Bool]] = {}
        for day in days:
            mine = [meter_id for meter_id, each in wanted.items() if day in each]
            masks |= self._masks(mine, meters, day, until_us)
        return {
            meter_id: _joined(
                [
                    lack
                    for day in sorted(each)
                    for lack in _lacks_of_day(masks[meter_id, day], meters[meter_id], day)
                ]
            )
            for meter_id, each in wanted.items()
        }

    def _masks(
        self, meter_ids: Sequence[int], meters: Mapping[int, Meter], day: int, until_us: int
    ) -> dict[tuple[int, int], tuple[Bool, Bool]]:
        """Return for each meter which intervals of a UTC day lack a measured value, any value."""
        from_us, to_us = day * DAY_US, (day + 1) * DAY_US
        values = self.lake.values(meter_ids, [Channel.IMPORT_WH], from_us, to_us)
        rows = values.select("meter_id", pl.col("start").dt.epoch("us"), "quality")
        parts = rows.partition_by("meter_id", as_dict=True)
        masks = {}
        for meter_id in meter_ids:
            period_us = meters[meter_id].capture_period_s * MICROSECONDS
            starts = np.arange(from_us, to_us, period_us)
            first, after = expected_range(meters[meter_id], from_us, to_us, until_us)
            unmeasured = (starts >= first) & (starts < after)
            empty = unmeasured.copy()
            part = parts.get((meter_id,))
            if part is not None:
                place = (part["start"].to_numpy() - from_us) // period_us
                measured = (part["quality"].to_numpy() & int(Quality.ESTIMATED)) == 0
                unmeasured[place[measured]] = False
                empty[place] = False
            masks[meter_id, day] = (unmeasured, empty)
        return masks

    def _write(self, found: Mapping[int, list[Lack]]) -> int:
        """Open what is new, follow what moved, close what is filled."""
        found_us = self.now_us()
        opened: list[tuple[int, int, int]] = []
        closed: dict[str, list[int]] = {FILLED: [], ESTIMATED: []}
        known: dict[int, dict[int, Gap]] = {meter_id: {} for meter_id in found}
        for gap in data_quality.gaps(self.engine, limit=None):
            if gap.meter_id in known:
                known[gap.meter_id][gap.from_us] = gap
        for meter_id, lacks in found.items():
            for lack in lacks:
                before = known[meter_id].pop(lack.from_us, None)
                moved = before is None or before.to_us != lack.to_us
                if moved or (
                    before is not None and before.state == ESTIMATED and not lack.estimated
                ):
                    opened.append((meter_id, lack.from_us, lack.to_us))
                elif before is not None and before.state == OPEN and lack.estimated:
                    closed[ESTIMATED].append(before.gap_id)
            closed[FILLED] += [gap.gap_id for gap in known[meter_id].values()]
        with transaction(self.engine) as connection:
            data_quality.open_gaps(connection, opened, found_us)
            for state, gap_ids in closed.items():
                data_quality.close_gaps(connection, gap_ids, state)
        return len(opened) + sum(len(each) for each in closed.values())


def _lacks_of_day(masks: tuple[Bool, Bool], meter: Meter, day: int) -> list[Lack]:
    unmeasured, empty = masks
    period_us = meter.capture_period_s * MICROSECONDS
    return [
        Lack(
            day * DAY_US + first * period_us,
            day * DAY_US + after * period_us,
            not bool(empty[first:after].any()),
        )
        for first, after in runs(unmeasured)
    ]


def _joined(lacks: Sequence[Lack]) -> list[Lack]:
    """Join what meets at midnight."""
    joined: list[Lack] = []
    for lack in lacks:
        last = joined[-1] if joined else None
        if last is not None and last.to_us == lack.from_us:
            joined[-1] = Lack(last.from_us, lack.to_us, last.estimated and lack.estimated)
        else:
            joined.append(lack)
    return joined
