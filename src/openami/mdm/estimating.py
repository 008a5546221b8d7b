# SPDX-License-Identifier: Apache-2.0
"""Fill gaps with estimates, after reading again had its chance.

A gap waits `estimate_after` from when it was found and until it was asked for again at least once
(or longer, when nobody can ask).  An open end, a meter that is still silent, is estimated a day at
a time.  Estimates are versions with their quality bits; a measured value arriving later is the
next version.  A lower rank never replaces a higher one: measured, estimate scaled to registers,
estimate not scaled, nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy import Engine

from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.mdm.coverage import recount
from openami.mdm.intake import finding_entry
from openami.mdm.localdays import LocalDays
from openami.mdm.validation import REGISTER_OF
from openami.mdm.vee.estimation import Estimate, Window, estimate
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Int64
from openami.runtime.clock import MICROSECONDS
from openami.store import data_quality, due, live, registry
from openami.store.data_quality import Finding, Gap
from openami.store.database import transaction
from openami.store.due import DueDay
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import DAY_US, SCHEMA

ESTIMATED: Final = "vee.estimated"
REFUSED: Final = "vee.estimate_refused"
DOUBTFUL: Final = int(Quality.ESTIMATED | Quality.SUSPECT | Quality.POWER_FAIL)
GAPS_AT_ONCE: Final = 5  # a few, so that live values do not wait


@dataclass(slots=True, kw_only=True)
class Estimator:
    """Estimation for one lake."""

    engine: Engine
    writer: IntervalWriter
    days: LocalDays
    period_s: int
    limits: Limits
    now_us: Callable[[], int]
    wait_us: Callable[[], int]
    _tried: dict[int, tuple[int, int]] = field(default_factory=dict)

    def run(self, limit: int = GAPS_AT_ONCE) -> int:
        """Estimate gaps whose time has come; return how many intervals got an estimate."""
        now_us = self.now_us()
        ready = []
        found = data_quality.gaps(self.engine, states=[data_quality.OPEN], limit=None)
        there = {gap.gap_id for gap in found}
        self._tried = {number: tried for number, tried in self._tried.items() if number in there}
        for gap in found:
            after_us = self._ready_until(gap, now_us)
            if after_us > gap.from_us and self._tried.get(gap.gap_id) != (gap.from_us, after_us):
                ready.append((gap, after_us))
        written = 0
        for gap, after_us in ready[:limit]:
            written += self._fill(gap, after_us, now_us)
            self._tried[gap.gap_id] = (gap.from_us, after_us)
        return written

    def _ready_until(self, gap: Gap, now_us: int) -> int:
        """Return up to where a gap may be estimated now; its beginning if it may not."""
        wait_us = self.wait_us()
        unasked_us = max(wait_us, round(self.limits.estimate_unasked_s * MICROSECONDS))
        age_us = now_us - gap.found_us
        if age_us < wait_us or (gap.attempts == 0 and age_us < unasked_us):
            return gap.from_us
        old_us = now_us - wait_us
        if gap.to_us <= old_us:
            return gap.to_us
        return gap.from_us + max(0, old_us - gap.from_us) // DAY_US * DAY_US

    def _fill(self, gap: Gap, after_us: int, now_us: int) -> int:
        meters = {each.meter_id: each for each in registry.some(self.engine, [gap.meter_id])}
        versions: list[pl.DataFrame] = []
        findings: list[Finding] = []
        frame, grid = self._around(gap)
        for channel, register in REGISTER_OF.items():
            window = self._window(frame, grid, gap, channel, register)
            result = estimate(window, self.limits)
            if result is None:
                continue
            numbers: data_quality.Numbers = {
                "intervals": len(result.values),
                "sum_wh": int(result.values.sum()),
                "quality": int(result.quality),
            }
            refused = int(result.values.max()) > self.limits.high_limit_wh
            finding = Finding(
                meter_id=gap.meter_id,
                channel=int(channel),
                start_us=gap.from_us,
                code=REFUSED if refused else ESTIMATED,
                numbers=numbers,
                found_us=now_us,
            )
            if not refused:
                stored = frame.filter(pl.col("channel") == int(channel))
                versions.append(self._versions(stored, gap, channel, result, after_us))
            if refused or channel is Channel.IMPORT_WH:
                findings.append(finding)
        written = pl.concat(versions) if versions else pl.DataFrame(schema=SCHEMA)
        self.writer.append_versions(written)
        counts = recount(self.writer.lake, meters, _utc_days(gap), now_us)
        with transaction(self.engine) as connection:
            new = data_quality.add_findings(connection, findings)
            live.append_feed(connection, [finding_entry(each) for each in new])
            data_quality.put_coverage(connection, counts)
            if versions and after_us >= gap.to_us:
                data_quality.close_gaps(connection, [gap.gap_id], data_quality.ESTIMATED)
            due.put_due(connection, self._local_days(gap), now_us)
        return written.filter(pl.col("channel") == int(Channel.IMPORT_WH)).height

    def _around(self, gap: Gap) -> tuple[pl.DataFrame, Int64]:
        """Return all values that an estimate may lean on, and their grid."""
        period_us = self.period_s * MICROSECONDS
        around_us = self.limits.like_days_within * DAY_US + DAY_US
        first_us = max(0, gap.from_us - around_us // period_us * period_us)
        grid = np.arange(first_us, gap.to_us + around_us, period_us, dtype=np.int64)
        channels = [*REGISTER_OF, *REGISTER_OF.values()]
        frame = self.writer.lake.values([gap.meter_id], channels, int(grid[0]), int(grid[-1]) + 1)
        place = (pl.col("start").dt.epoch("us") - first_us) // period_us
        return frame.with_columns(place.alias("place")), grid

    def _window(
        self, frame: pl.DataFrame, grid: Int64, gap: Gap, channel: Channel, register: Channel
    ) -> Window:
        period_us = self.period_s * MICROSECONDS
        first, after = ((edge - int(grid[0])) // period_us for edge in (gap.from_us, gap.to_us))
        values, valid = np.zeros(len(grid), np.int64), np.zeros(len(grid), np.bool_)
        part = frame.filter(pl.col("channel") == int(channel))
        values[part["place"].to_numpy()] = part["value"].to_numpy()
        valid[part["place"].to_numpy()] = (part["quality"].to_numpy() & DOUBTFUL) == 0
        totals = frame.filter(pl.col("channel") == int(register))
        known = dict(zip(totals["place"], totals["value"], strict=True))
        total = None
        if first - 1 in known and after in known and after < len(grid) and valid[after]:
            # The register stands at the end of its interval: take the one after the gap off again.
            total = int(known[after]) - int(values[after]) - int(known[first - 1])
        day, slot = self.days.days_and_slots(grid, self.period_s)
        return Window(
            values=values, valid=valid, day=day, slot=slot, gap=(first, after), total=total
        )

    def _versions(
        self,
        stored: pl.DataFrame,
        gap: Gap,
        channel: Channel,
        result: Estimate,
        after_us: int,
    ) -> pl.DataFrame:
        """Return the versions to write: where nothing is, or where the estimate is better now."""
        period_us = self.period_s * MICROSECONDS
        inside = pl.col("start").dt.epoch("us").is_between(gap.from_us, gap.to_us, closed="left")
        there = _by_start(stored.filter(inside))
        scaled = bool(result.quality & Quality.SCALED)
        old_sum = sum(value for value, _, _ in there.values())
        rows = []
        for number, value in enumerate(result.values.tolist()):
            start_us = gap.from_us + number * period_us
            if start_us >= after_us:
                break
            _, quality, version = there.get(start_us, (0, 0, 0))
            measured = version > 0 and not quality & Quality.ESTIMATED
            better = scaled and (not quality & Quality.SCALED or old_sum != result.values.sum())
            if measured or quality & Quality.EDITED or (version > 0 and not better):
                continue
            rows.append((start_us, value, version + 1))
        return pl.DataFrame(
            {
                "meter_id": [gap.meter_id for _ in rows],
                "channel": [int(channel) for _ in rows],
                "start": [start_us for start_us, _, _ in rows],
                "value": [value for _, value, _ in rows],
                "quality": [int(result.quality) for _ in rows],
                "version": [version for _, _, version in rows],
                "received_us": [self.now_us() for _ in rows],
                "message_id": [0 for _ in rows],
            }
        ).select(pl.col(name).cast(kind) for name, kind in SCHEMA.items())

    def _local_days(self, gap: Gap) -> list[DueDay]:
        first, last = self.days.day_of(gap.from_us), self.days.day_of(gap.to_us - 1)
        return [DueDay(gap.meter_id, day) for day in range(first, last + 1)]


def _by_start(frame: pl.DataFrame) -> Mapping[int, tuple[int, int, int]]:
    starts = frame["start"].dt.epoch("us")
    columns = (frame["value"], frame["quality"], frame["version"])
    return dict(zip(starts, zip(*columns, strict=True), strict=True))


def _utc_days(gap: Gap) -> set[tuple[int, int]]:
    days = range(gap.from_us // DAY_US, (gap.to_us - 1) // DAY_US + 1)
    return {(gap.meter_id, day) for day in days}
