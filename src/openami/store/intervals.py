# SPDX-License-Identifier: Apache-2.0
"""The lake: every interval ever received, in every version, as Delta tables; reading it.

Identity of a value is (meter_id, channel, start); the highest version is the value.  Appends come
many times an hour, so readers de-duplicate until `interval_writer` has rewritten a day.  A read
opens only files that can hold an answer: the table's own statistics (day, bucket, lowest and
highest meter and start of each file) are cached in memory and cost nothing to ask.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Final

import polars as pl

from openami.exchange.quality import Quality
from openami.runtime.clock import from_us as as_datetime
from openami.store.delta import DataFile, DeltaFolder, Form, sentences

BUCKET_METERS: Final = 50_000  # meters in a partition: a rewrite stays below 5 M rows
DAY_US: Final = 86_400_000_000
FIRST_DAY: Final = date(1970, 1, 1)
FEW_METERS: Final = 100

READINGS: Final = Form(
    name="readings",
    columns={
        "meter_id": "integer",
        "channel": "byte",
        "start": "timestamp",
        "value": "long",
        "quality": "short",
        "version": "short",
        "received_us": "long",
        "message_id": "long",
        "day": "date",
        "bucket": "integer",
    },
    partition_by=("day", "bucket"),
    statistics=("meter_id", "start"),
    packed=("start", "value", "received_us", "message_id"),
)
HISTORY: Final = Form(
    name="readings_history",
    columns=READINGS.columns,
    partition_by=READINGS.partition_by,
    statistics=READINGS.statistics,
    packed=READINGS.packed,
)
RAW: Final = Form(
    name="raw",
    columns={
        "message_id": "long",
        "meter_id": "integer",
        "day": "date",
        "received_us": "long",
        "kind": "string",
        "key_epoch": "integer",
        "hops": "string",
        "clock_status": "short",
        "octets": "binary",
    },
    partition_by=("day",),
    statistics=("message_id", "meter_id"),
    packed=("message_id", "received_us"),
)

SCHEMA: Final[dict[str, pl.DataType]] = {
    "meter_id": pl.Int32(),
    "channel": pl.Int8(),
    "start": pl.Datetime("us", "UTC"),
    "value": pl.Int64(),
    "quality": pl.Int16(),
    "version": pl.Int16(),
    "received_us": pl.Int64(),
    "message_id": pl.Int64(),
}
RAW_SCHEMA: Final[dict[str, pl.DataType]] = {
    "message_id": pl.Int64(),
    "meter_id": pl.Int32(),
    "received_us": pl.Int64(),
    "kind": pl.String(),
    "key_epoch": pl.Int32(),
    "hops": pl.String(),
    "clock_status": pl.Int16(),
    "octets": pl.Binary(),
}
IDENTITY: Final = ("meter_id", "channel", "start")


@dataclass(frozen=True, slots=True)
class TableSize:
    """What a table costs."""

    rows: int
    octets: int
    files: int


class Lake:
    """The tables for a reader; it may be opened before the first writer has made them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.readings = DeltaFolder(folder / READINGS.name, READINGS)
        self.readings_history = DeltaFolder(folder / HISTORY.name, HISTORY)
        self.raw = DeltaFolder(folder / RAW.name, RAW)

    def series(self, meter_id: int, channel: int, from_us: int, to_us: int) -> pl.DataFrame:
        """Return a meter's current values with start in [from_us, to_us), by start."""
        return self.values([meter_id], [channel], from_us, to_us)

    def values(
        self,
        meter_ids: Collection[int] | None,
        channels: Collection[int] | None,
        from_us: int,
        to_us: int,
    ) -> pl.DataFrame:
        """Return current values of many meters, by (meter_id, channel, start); None means all."""
        return current(self.versions(meter_ids, channels, from_us, to_us))

    def versions(
        self,
        meter_ids: Collection[int] | None,
        channels: Collection[int] | None,
        from_us: int,
        to_us: int,
    ) -> pl.DataFrame:
        """Return what `readings` holds, with versions that are not yet moved to the history."""
        return self._read(self.readings, meter_ids, channels, from_us, to_us)

    def sums(
        self,
        meter_ids: Collection[int] | None,
        channel: int,
        from_us: int,
        to_us: int,
    ) -> pl.DataFrame:
        """Return the sum over meters of each interval: start, value, meters, estimated."""
        estimated = (pl.col("quality") & int(Quality.ESTIMATED)) != 0
        return (
            self.values(meter_ids, [channel], from_us, to_us)
            .group_by("start")
            .agg(
                pl.col("value").sum(),
                pl.len().cast(pl.Int64).alias("meters"),
                estimated.sum().cast(pl.Int64).alias("estimated"),
            )
            .sort("start")
        )

    def all_versions(
        self,
        meter_ids: Collection[int] | None,
        channels: Collection[int] | None,
        from_us: int,
        to_us: int,
    ) -> pl.DataFrame:
        """Return every version, superseded ones too, by identity and version."""
        where = (meter_ids, channels, from_us, to_us)
        tables = (self.readings_history, self.readings)
        parts = [self._read(table, *where) for table in tables]
        return (
            pl.concat(parts).unique([*IDENTITY, "version"], keep="first").sort(*IDENTITY, "version")
        )

    def first_received_us(self) -> int | None:
        """Return when the first of the values that are held came; None without any.

        No value comes before it is measured, so days after the first coming are not looked at.
        """
        tables = (self.readings_history, self.readings)
        found = [self._retry(table, partial(self._first, table)) for table in tables]
        came: int | None = pl.concat(found)["received_us"].min()  # type: ignore[assignment]
        return came

    def _first(self, table: DeltaFolder) -> pl.DataFrame:
        """Return the first coming, in no row or one."""
        days: dict[date, list[str]] = {}
        for file in self._files(table):
            if isinstance(day := file.partition["day"], date):
                days.setdefault(day, []).append(file.path)
        found = pl.DataFrame(schema={"received_us": SCHEMA["received_us"]})
        for day in sorted(days):
            if found.height and day_number(day) * DAY_US > found.item():
                break
            rows = pl.scan_parquet(days[day], hive_partitioning=False, schema=SCHEMA)
            came = rows.select(pl.col("received_us").min()).collect()
            found = pl.concat([found, came]).min().drop_nulls()
        return found

    def history(self, meter_id: int, channel: int, start_us: int) -> pl.DataFrame:
        """Return every version of one interval, oldest first."""
        return self.all_versions([meter_id], [channel], start_us, start_us + 1)

    def raw_message(self, message_id: int) -> dict[str, object] | None:
        """Return the message that brought a value, as received."""

        def scan() -> pl.DataFrame:
            paths = [
                file.path
                for file in self._files(self.raw)
                if _between(file, "message_id", message_id, message_id)
            ]
            return _scan(paths, RAW_SCHEMA, pl.col("message_id") == message_id)

        rows = self._retry(self.raw, scan).to_dicts()
        return rows[0] if rows else None

    def sizes(self) -> dict[str, TableSize]:
        """Return what each table costs on disk."""
        tables = (self.readings, self.readings_history, self.raw)
        return {
            table.form.name: TableSize(
                rows=sum(file.rows for file in self._files(table)),
                octets=sum(file.octets for file in self._files(table)),
                files=len(self._files(table)),
            )
            for table in tables
        }

    def _files(self, table: DeltaFolder) -> list[DataFile]:
        return table.files() if table.exists() else []

    def _read(
        self,
        table: DeltaFolder,
        meter_ids: Collection[int] | None,
        channels: Collection[int] | None,
        from_us: int,
        to_us: int,
    ) -> pl.DataFrame:
        if to_us <= from_us or (meter_ids is not None and not meter_ids):
            return pl.DataFrame(schema=SCHEMA)
        within = pl.col("start").is_between(_moment(from_us), _moment(to_us), closed="left")
        wanted = pl.lit(value=True)
        if meter_ids is not None:
            wanted &= _one_of("meter_id", meter_ids, pl.Int32())
        if channels is not None:
            wanted &= _one_of("channel", channels, pl.Int8())
        # To compare `start` while scanning, all of the packed column must be unpacked: for a few
        # meters it is twice as fast to compare what is left of them.
        few = meter_ids is not None and len(meter_ids) <= FEW_METERS
        scanned = wanted if few else wanted & within

        def scan() -> pl.DataFrame:
            paths = prune(self._files(table), meter_ids, from_us, to_us)
            rows = _scan(paths, SCHEMA, scanned)
            return rows.filter(within) if few else rows

        return self._retry(table, scan)

    def _retry(self, table: DeltaFolder, scan: Callable[[], pl.DataFrame]) -> pl.DataFrame:
        """Read; when a file was vacuumed under our feet, look at the table anew and read again."""
        try:
            return scan()
        except (FileNotFoundError, pl.exceptions.ComputeError):
            table.forget()
        with sentences(table.folder):
            return scan()


def _moment(moment_us: int) -> pl.Expr:
    """Return a moment as a literal of the type that `start` has."""
    return pl.lit(moment_us, pl.Int64).cast(pl.Datetime("us", "UTC"))


def prune(
    files: Iterable[DataFile], meter_ids: Collection[int] | None, from_us: int, to_us: int
) -> list[str]:
    """Return the paths of files that can hold rows of these meters and times."""
    first, last = day_of(from_us), day_of(to_us - 1)
    lowest, highest = as_datetime(from_us), as_datetime(to_us)
    low_meter = min(meter_ids) if meter_ids else None
    high_meter = max(meter_ids) if meter_ids else None
    found = []
    for file in files:
        day = file.partition["day"]
        if not (isinstance(day, date) and first <= day <= last):
            continue
        if not _between(file, "meter_id", low_meter, high_meter):
            continue
        if not _between(file, "start", lowest, highest):
            continue
        found.append(file.path)
    return found


def _between(file: DataFile, column: str, low: object, high: object) -> bool:
    """Tell whether a file's statistics allow values of `column` from `low` to `high`."""
    lowest, highest = file.low.get(column), file.high.get(column)
    if lowest is None or highest is None or low is None or high is None:
        return True
    return bool(lowest <= high and highest >= low)  # type: ignore[operator]


def _one_of(column: str, values: Collection[int], kind: pl.DataType) -> pl.Expr:
    numbers = sorted({int(value) for value in values})
    if len(numbers) == 1:
        return pl.col(column) == numbers[0]
    return pl.col(column).is_in(pl.Series(numbers, dtype=kind).implode())


def _scan(paths: list[str], schema: dict[str, pl.DataType], wanted: pl.Expr) -> pl.DataFrame:
    if not paths:
        return pl.DataFrame(schema=schema)
    rows = pl.scan_parquet(paths, hive_partitioning=False, schema=schema)
    return rows.filter(wanted).collect()


def current(versions: pl.DataFrame) -> pl.DataFrame:
    """Return the highest version of each identity, by (meter_id, channel, start)."""
    if versions.is_empty():
        return versions
    ordered = versions.sort(*IDENTITY, "version", "message_id")
    last = pl.any_horizontal(
        [pl.col(name) != pl.col(name).shift(-1) for name in IDENTITY]
    ).fill_null(value=True)
    return ordered.filter(last)


def day_of(moment_us: int) -> date:
    """Return the UTC day of a moment: the partition of an interval that starts then."""
    return FIRST_DAY + timedelta(days=moment_us // DAY_US)


def day_number(day: date) -> int:
    """Return a day as days since 1970-01-01, as SQL tables hold it."""
    return (day - FIRST_DAY).days


def start_us(frame: pl.DataFrame) -> list[int]:
    """Return the column `start` as microseconds UTC."""
    return frame["start"].dt.epoch("us").to_list()


def with_partitions(frame: pl.DataFrame) -> pl.DataFrame:
    """Add the partition columns that follow from start and meter_id."""
    return frame.with_columns(
        pl.col("start").dt.date().alias("day"),
        (pl.col("meter_id") // BUCKET_METERS).cast(pl.Int32).alias("bucket"),
    )
