# SPDX-License-Identifier: Apache-2.0
"""Intake: drain the inbox into the lake, exactly once.

A batch is claimed under a number; the lake's tables remember that number in the commit that holds
the rows; everything SQL knows of the batch (latest, feed, coverage, findings, what is to be
validated) and the deletion of its messages is one transaction at the end.  What a batch becomes
follows from its messages and from what the lake held before it, so after kill -9 at any point the
same batch gives the same rows again, and the tables that have them skip them.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

import polars as pl
from sqlalchemy import Connection, Engine

from openami.exchange.channels import Channel
from openami.mdm.expectation import expected_in_day
from openami.mdm.rows import Decoded, decode_messages
from openami.mdm.versions import Versioned, assign, coverage_changes
from openami.runtime.clock import MICROSECONDS
from openami.store import data_quality, due, inbox, live, publishing, registry
from openami.store.data_quality import Coverage, Finding
from openami.store.database import transaction
from openami.store.due import DueDay
from openami.store.inbox import Claim, Rejected
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import SCHEMA, day_of
from openami.store.live import Entry, Latest
from openami.store.publishing import Publication
from openami.store.registry import Meter

log = logging.getLogger(__name__)

BATCH_MESSAGES: Final = 5000
AHEAD_US: Final = 86_400 * MICROSECONDS  # a clock further ahead of its reception is implausible
CHANGED: Final = "intake.changed"
OFF_GRID: Final = "intake.off_grid"
UNSTEADY: Final = "intake.unsteady"
IMPLAUSIBLE: Final = "intake.implausible_time"


@dataclass(frozen=True, slots=True)
class Drained:
    """What one batch brought."""

    messages: int = 0
    rows: int = 0
    rejected: int = 0
    changed: int = 0


@dataclass(slots=True)
class Intake:
    """The drainer of one inbox into one lake."""

    engine: Engine
    writer: IntervalWriter
    zone: ZoneInfo
    period_s: int
    now_us: Callable[[], int]
    batch_messages: int = BATCH_MESSAGES
    publishes: bool = False  # readings and findings go to the outbox, too

    def __post_init__(self) -> None:
        # A database older than the lake would give numbers that the lake takes for done.
        inbox.number_batches_beyond(self.engine, self.writer.last_batch())

    def drain(self) -> Drained:
        """Drain one batch; its messages are gone from the inbox when this returns."""
        claim = inbox.claim(self.engine, self.batch_messages)
        if not claim.messages:
            return Drained()
        whose = {message.meter_id for message in claim.messages}
        meters = {meter.meter_id: meter for meter in registry.some(self.engine, whose)}
        decoded = decode_messages(claim.messages, self.period_s)
        sound, doubts = self._plausible(decoded.rows)
        versioned = assign(sound, self._existing(claim, sound))
        self.writer.append(claim.batch_id, versioned.readings, _raw(claim, decoded))
        findings = [*doubts, *self._refused(versioned), *self._changes(versioned)]
        with transaction(self.engine) as connection:
            self._tell(connection, versioned, findings, meters)
            inbox.reject(connection, _rejected(decoded, meters))
            inbox.finish(connection, claim.batch_id)
        return Drained(
            messages=len(claim.messages),
            rows=versioned.readings.height,
            rejected=len(decoded.unreadable),
            changed=versioned.changed().height,
        )

    def _existing(self, claim: Claim, rows: pl.DataFrame) -> pl.DataFrame:
        """Return the current values that the rows may supersede, without the batch's own."""
        if rows.is_empty():
            return pl.DataFrame(schema=SCHEMA)
        starts = rows["start"].dt.epoch("us")
        low, high = starts.min(), starts.max()
        assert isinstance(low, int)  # noqa: S101  a column of integers that is not empty
        assert isinstance(high, int)  # noqa: S101
        lake = self.writer.lake
        versions = lake.versions(rows["meter_id"].unique().to_list(), None, low, high + 1)
        if versions.is_empty():
            return versions
        mine = [message.message_id for message in claim.messages]
        others = versions.filter(~pl.col("message_id").is_in(mine))
        key = ("meter_id", "channel", "start")
        return others.sort("version").unique(key, keep="last", maintain_order=False)

    def _plausible(self, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
        """Return rows whose time can be, and findings on the others (`raw` keeps them)."""
        start = pl.col("start").dt.epoch("us")
        on_grid = (start % (self.period_s * MICROSECONDS)) == 0
        plausible = start.is_between(0, pl.col("received_us") + AHEAD_US)
        sound = rows.filter(on_grid & plausible)
        if sound.height == rows.height:
            return rows, []
        found_us = self.now_us()
        findings = [
            Finding(
                meter_id=row["meter_id"],
                channel=row["channel"],
                start_us=row["start_us"],
                code=OFF_GRID if row["plausible"] else IMPLAUSIBLE,
                numbers={"value": row["value"], "message_id": row["message_id"]},
                found_us=found_us,
            )
            for row in rows.with_columns(start.alias("start_us"), plausible.alias("plausible"))
            .filter(~(on_grid & plausible))
            .to_dicts()
        ]
        return sound, findings

    def _refused(self, versioned: Versioned) -> list[Finding]:
        """Return findings on values that changed too often to be kept (`raw` has them)."""
        numbers = {"value": "value", "message_id": "message_id"}
        return self._findings(versioned.refused, UNSTEADY, numbers)

    def _changes(self, versioned: Versioned) -> list[Finding]:
        numbers = {"before": "old_value", "after": "value", "version": "version"}
        return self._findings(versioned.changed(), CHANGED, numbers)

    def _findings(
        self, values: pl.DataFrame, code: str, numbers: Mapping[str, str]
    ) -> list[Finding]:
        """Return a finding on each value; `numbers` names the columns of what it tells."""
        found_us = self.now_us()
        rows = values.with_columns(pl.col("start").dt.epoch("us").alias("start_us"))
        return [
            Finding(
                meter_id=row["meter_id"],
                channel=row["channel"],
                start_us=row["start_us"],
                code=code,
                numbers={name: row[column] for name, column in numbers.items()},
                found_us=found_us,
            )
            for row in rows.to_dicts()
        ]

    def _tell(
        self,
        connection: Connection,
        versioned: Versioned,
        findings: list[Finding],
        meters: Mapping[int, Meter],
    ) -> None:
        """Write what SQL knows of the batch."""
        now_us = self.now_us()
        newest = _newest(versioned.readings)
        live.put_latest(connection, newest)
        intervals = [each for each in newest if each.channel == Channel.IMPORT_WH]
        live.append_feed(connection, [_entry(each) for each in intervals])
        changes = coverage_changes(versioned.before, Channel.IMPORT_WH)
        counts = [
            Coverage(expected=_expected(meters, row["meter_id"], row["day"], now_us), **row)
            for row in changes.to_dicts()
        ]
        data_quality.add_coverage(connection, counts)
        new = data_quality.add_findings(connection, findings)
        live.append_feed(connection, [finding_entry(each) for each in new])
        if self.publishes:
            publishing.put(connection, _publications(versioned.readings, new))
        due.put_due(connection, self._local_days(versioned.readings), now_us)

    def _local_days(self, readings: pl.DataFrame) -> list[DueDay]:
        local = pl.col("start").dt.convert_time_zone(self.zone.key).dt.date().dt.epoch("d")
        days = readings.select("meter_id", local.alias("day")).unique()
        return [DueDay(meter_id, day) for meter_id, day in days.iter_rows()]


def _publications(readings: pl.DataFrame, findings: list[Finding]) -> list[Publication]:
    """Return a message for each meter with readings, and one for each finding."""
    columns = ("channel", "start_us", "value", "quality", "version")
    rows = readings.with_columns(pl.col("start").dt.epoch("us").alias("start_us"))
    of_meters = rows.sort("meter_id", "channel", "start").partition_by("meter_id", as_dict=True)
    told = [
        publishing.publication(
            "readings",
            meter_id,
            {"columns": columns, "readings": part.select(columns).rows()},
        )
        for (meter_id,), part in of_meters.items()
    ]
    return told + [
        publishing.publication(
            "findings",
            each.meter_id,
            {
                "code": each.code,
                "channel": each.channel,
                "start_us": each.start_us,
                "numbers": each.numbers,
            },
        )
        for each in findings
    ]


def finding_entry(finding: Finding) -> Entry:
    """Return the feed's entry for a finding."""
    body: live.Body = {
        "code": finding.code,
        "channel": finding.channel,
        "start_us": finding.start_us,
    }
    return Entry(kind="finding", meter_id=finding.meter_id, at_us=finding.found_us, body=body)


def _entry(value: Latest) -> Entry:
    body: live.Body = {"start_us": value.start_us, "wh": value.value, "quality": value.quality}
    return Entry(kind="interval", meter_id=value.meter_id, at_us=value.received_us, body=body)


def _expected(meters: Mapping[int, Meter], meter_id: int, day: int, now_us: int) -> int:
    meter = meters.get(meter_id)
    return 0 if meter is None else expected_in_day(meter, day, now_us)


def _newest(readings: pl.DataFrame) -> list[Latest]:
    """Return the newest value of each meter and channel."""
    last = readings.sort("start", "version").group_by("meter_id", "channel").last()
    return [
        Latest(
            meter_id=row["meter_id"],
            channel=row["channel"],
            start_us=row["start_us"],
            value=row["value"],
            quality=row["quality"],
            received_us=row["received_us"],
        )
        for row in last.with_columns(pl.col("start").dt.epoch("us").alias("start_us"))
        .sort("start", "meter_id", "channel")
        .to_dicts()
    ]


def _raw(claim: Claim, decoded: Decoded) -> pl.DataFrame:
    """Return the messages as received, those that could not be decoded too."""
    messages = claim.messages
    return pl.DataFrame(
        {
            "message_id": [message.message_id for message in messages],
            "meter_id": [message.meter_id for message in messages],
            "day": [day_of(message.received_us) for message in messages],
            "received_us": [message.received_us for message in messages],
            "kind": [message.kind for message in messages],
            "key_epoch": [message.epoch for message in messages],
            "hops": [message.hops for message in messages],
            "clock_status": [decoded.clock_status.get(each.message_id, 0) for each in messages],
            "octets": [message.octets for message in messages],
        },
        schema_overrides={
            "meter_id": pl.Int32,
            "key_epoch": pl.Int32,
            "clock_status": pl.Int16,
            "octets": pl.Binary,
        },
    )


def _rejected(decoded: Decoded, meters: Mapping[int, Meter]) -> list[Rejected]:
    found = []
    for message, reason in ((each.message, each.reason) for each in decoded.unreadable):
        meter = meters.get(message.meter_id)
        log.warning("meter %d: message %d: %s", message.meter_id, message.message_id, reason)
        found.append(
            Rejected(
                title=b"" if meter is None else meter.title,
                concentrator=None if meter is None else meter.concentrator,
                received_us=message.received_us,
                reason=f"profile rows: {reason}",
                octets=message.octets,
            )
        )
    return found
