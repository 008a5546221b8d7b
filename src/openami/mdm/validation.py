# SPDX-License-Identifier: Apache-2.0
"""Run the rules over local meter-days that changed; write findings and suspect versions.

A flagged interval keeps its value: a version with the SUSPECT mark stands beside it.  Days that
have not ended yet are looked at by the rules that can tell already, and again when they have.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from sqlalchemy import Engine

from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.mdm.coverage import recount
from openami.mdm.expectation import expected_range
from openami.mdm.intake import finding_entry
from openami.mdm.localdays import LocalDays
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.rules import validate
from openami.mdm.vee.series import Flag, Int64, Rule, Series
from openami.mdm.versions import MOST_VERSION
from openami.runtime.clock import MICROSECONDS
from openami.store import data_quality, due, live, registry
from openami.store.data_quality import Finding
from openami.store.database import transaction
from openami.store.due import DueDay
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import DAY_US, SCHEMA
from openami.store.registry import Meter

REGISTER_OF: Final = {
    Channel.IMPORT_WH: Channel.IMPORT_REGISTER,
    Channel.EXPORT_WH: Channel.EXPORT_REGISTER,
}
DAYS_AT_ONCE: Final = 200

Columns = Mapping[str, Int64]


@dataclass(frozen=True, slots=True)
class Validated:
    """What a pass did."""

    days: int = 0
    findings: int = 0
    suspects: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Validator:
    """Validation of one lake."""

    engine: Engine
    writer: IntervalWriter
    days: LocalDays
    period_s: int
    limits: Limits
    now_us: Callable[[], int]
    grace_us: Callable[[], int]

    def run(self, limit: int = DAYS_AT_ONCE) -> Validated:
        """Validate days that are due, the oldest day first."""
        now_us = self.now_us()
        waiting = due.due_days(self.engine, now_us, limit)
        if not waiting:
            return Validated()
        day = waiting[0].day
        mine = [each for each in waiting if each.day == day]
        whose = {each.meter_id for each in mine}
        meters = {meter.meter_id: meter for meter in registry.some(self.engine, whose)}
        findings, suspects, ended_us = self._day(day, mine, meters, now_us)
        self.writer.append_versions(suspects)
        touched = set()
        for finding in findings:
            touched.add((finding.meter_id, finding.start_us // DAY_US))
        counts = recount(self.writer.lake, meters, touched, now_us)
        with transaction(self.engine) as connection:
            new = data_quality.add_findings(connection, findings)
            live.append_feed(connection, [finding_entry(each) for each in new])
            data_quality.put_coverage(connection, counts)
            due.done_due(connection, mine)
            if ended_us > now_us:
                due.put_due(connection, mine, ended_us)
        return Validated(len(mine), len(new), suspects.height)

    def _day(
        self, day: int, due_days: Sequence[DueDay], meters: Mapping[int, Meter], now_us: int
    ) -> tuple[list[Finding], pl.DataFrame, int]:
        """Return findings, suspect versions, and when the day may be looked at as a whole."""
        period_us = self.period_s * MICROSECONDS
        # Intervals belong to the day in which they start; midnights need not be on their grid.
        from_us, to_us = (-(-edge // period_us) * period_us for edge in self.days.bounds(day))
        back = self.limits.zero_run_intervals + 1
        first_us = from_us - back * period_us
        ended_us = to_us + self.grace_us()
        starts = np.arange(first_us, to_us, period_us, dtype=np.int64)
        ids = [each.meter_id for each in due_days]
        frame = self.writer.lake.values(
            ids, list(REGISTER_OF) + list(REGISTER_OF.values()), first_us, to_us
        )
        frame = frame.with_columns(
            ((pl.col("start").dt.epoch("us") - first_us) // period_us).alias("place"),
            self._differing(frame).alias("differing"),
        )
        parts = frame.partition_by("meter_id", "channel", as_dict=True)
        findings: list[Finding] = []
        suspects: list[pl.DataFrame] = []
        for meter_id in ids:
            expected = self._expected(meters.get(meter_id), starts, now_us)
            for channel, register in REGISTER_OF.items():
                part = parts.get((meter_id, int(channel)))
                if part is None:
                    continue
                series = _series(
                    channel, part, parts.get((meter_id, int(register))), expected, back
                )
                flags = validate(series, self.limits, day_ended=now_us >= ended_us)
                findings += _findings(meter_id, channel, flags, starts, now_us)
                if flags:
                    suspects.append(_suspects(part, flags))
        versions = pl.concat(suspects) if suspects else pl.DataFrame(schema=SCHEMA)
        return findings, versions, ended_us

    def _expected(
        self, meter: Meter | None, starts: Int64, now_us: int
    ) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        if meter is None:
            return np.zeros(len(starts), np.bool_)
        until_us = now_us - self.grace_us()
        first, after = expected_range(meter, int(starts[0]), int(starts[-1]) + 1, until_us)
        return (starts >= first) & (starts < after)

    def _differing(self, frame: pl.DataFrame) -> pl.Series:
        """Tell for each row whether two measured values were received for it."""
        again = frame.filter(pl.col("version") > 1)
        if again.is_empty():
            return pl.Series([False] * frame.height, dtype=pl.Boolean)
        starts = again["start"].dt.epoch("us")
        low, high = starts.min(), starts.max()
        assert isinstance(low, int)  # noqa: S101  a column of integers that is not empty
        assert isinstance(high, int)  # noqa: S101
        versions = self.writer.lake.all_versions(
            again["meter_id"].unique().to_list(), again["channel"].unique().to_list(), low, high + 1
        )
        measured = versions.filter((pl.col("quality") & int(Quality.ESTIMATED)) == 0)
        counts = measured.group_by("meter_id", "channel", "start").agg(pl.col("value").n_unique())
        joined = frame.join(
            counts, on=["meter_id", "channel", "start"], how="left", maintain_order="left"
        )
        return (joined["value_right"].fill_null(1) > 1).rename("differing")


def _series(
    channel: Channel,
    part: pl.DataFrame,
    register: pl.DataFrame | None,
    expected: np.ndarray[tuple[int], np.dtype[np.bool_]],
    back: int,
) -> Series:
    size = len(expected)
    place = part["place"].to_numpy()
    values = np.zeros(size, np.int64)
    values[place] = part["value"].to_numpy()
    present, estimated, differing, dark = (np.zeros(size, np.bool_) for _ in range(4))
    present[place] = True
    estimated[place] = (part["quality"].to_numpy() & int(Quality.ESTIMATED)) != 0
    differing[place] = part["differing"].to_numpy()
    dark[place] = (part["quality"].to_numpy() & int(Quality.POWER_FAIL)) != 0
    totals, there = np.zeros(size, np.int64), np.zeros(size, np.bool_)
    if register is not None:
        totals[register["place"].to_numpy()] = register["value"].to_numpy()
        there[register["place"].to_numpy()] = True
    return Series(
        channel=channel,
        values=values,
        present=present,
        expected=expected,
        estimated=estimated,
        register=totals,
        register_present=there,
        differing=differing,
        dark=dark,
        day=back,
    )


def _findings(
    meter_id: int,
    channel: Channel,
    flags: Sequence[tuple[Rule, Flag]],
    starts: Int64,
    found_us: int,
) -> list[Finding]:
    return [
        Finding(
            meter_id=meter_id,
            channel=int(channel),
            start_us=int(starts[flag.at]),
            code=rule.code,
            numbers=dict(flag.numbers),
            found_us=found_us,
        )
        for rule, flag in flags
    ]


def _suspects(part: pl.DataFrame, flags: Sequence[tuple[Rule, Flag]]) -> pl.DataFrame:
    """Return the next versions of flagged measured intervals that do not have the mark yet."""
    places = {flag.at for rule, flag in flags if rule.suspect}
    marked = int(Quality.SUSPECT | Quality.ESTIMATED)
    return (
        part.filter(
            pl.col("place").is_in(list(places))
            & ((pl.col("quality") & marked) == 0)
            & (pl.col("version") < MOST_VERSION)
        )
        .with_columns(
            (pl.col("quality") | int(Quality.SUSPECT)).cast(pl.Int16),
            (pl.col("version") + 1).cast(pl.Int16),
        )
        .select(list(SCHEMA))
    )
