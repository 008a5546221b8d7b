# SPDX-License-Identifier: Apache-2.0
"""Writing the lake: appends that are remembered by batch, and days rewritten in order.

One process writes a lake; a lock file in its folder says which.  `append` is exactly once: each
table remembers the last batch it has in the same commit as the rows.  `reduce` puts a (day, bucket)
in order: superseded versions go to the history first, then the partition is overwritten by the
highest versions, sorted; cut anywhere, it can be done again.
"""

import fcntl
import os
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Final

import polars as pl

from openami.runtime.errors import UserError
from openami.runtime.files import sync_folder
from openami.store.delta import DataFile, DeltaFolder
from openami.store.intervals import (
    BUCKET_METERS,
    IDENTITY,
    SCHEMA,
    Lake,
    current,
    with_partitions,
)

DRAINER: Final = "mdm"
RAW_FILES_MOST: Final = 50  # small files of one day of `raw` before they are put into one


class IntervalWriter:
    """The one writer of a lake."""

    def __init__(self, folder: Path) -> None:
        """Open a lake for writing; make its tables when there are none.

        Raises:
            UserError: Another process writes it, it is damaged, or the folder cannot be written.
        """
        self._lock = _lock(folder)
        self.lake = Lake(folder)
        try:
            for table in self._tables():
                table.open_for_writing()
        except BaseException:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let another process write."""
        os.close(self._lock)

    def _tables(self) -> Sequence[DeltaFolder]:
        return (self.lake.readings, self.lake.readings_history, self.lake.raw)

    def last_batch(self) -> int:
        """Return the highest batch number that any table has; 0 at the start."""
        tables = (self.lake.readings, self.lake.raw)
        return max(table.last_batch(_application(table)) or 0 for table in tables)

    def lacks_batch(self, batch_id: int) -> bool:
        """Tell whether the readings or the raw messages of a batch are not there (any more)."""
        tables = (self.lake.readings, self.lake.raw)
        return any((table.last_batch(_application(table)) or 0) < batch_id for table in tables)

    def append(self, batch_id: int, readings: pl.DataFrame, raw: pl.DataFrame) -> None:
        """Append a batch to the tables that do not have it yet, durable when this returns."""
        frames = ((self.lake.readings, with_partitions(readings)), (self.lake.raw, raw))
        for table, frame in frames:
            application = _application(table)
            done = table.last_batch(application)
            if done is not None and done >= batch_id:
                continue
            # An empty batch is written too: its number must be remembered.
            table.append(_in_order(table, frame), application, batch_id)

    def append_versions(self, readings: pl.DataFrame) -> None:
        """Append versions that came from no message (estimates, marks), durable on return."""
        if not readings.is_empty():
            table = self.lake.readings
            table.append(_in_order(table, with_partitions(readings)))

    def reduce(self, day: date, bucket: int, batch: pl.DataFrame | None = None) -> bool:
        """Put a partition in order, with `batch` (columns of `readings`) added to it.

        Keeps the highest version of each identity; what it supersedes goes to the history first.
        Returns False when there was nothing to do.
        """
        partition = {"day": str(day), "bucket": str(bucket)}

        def change(files: Sequence[DataFile]) -> pl.DataFrame | None:
            if not files and batch is None:
                return None
            rows = _read(files)
            if batch is not None:
                rows = pl.concat([rows, batch.select(list(SCHEMA))])
            elif len(files) == 1 and files[0].rows == rows.select(IDENTITY).n_unique():
                return None
            kept = current(rows)
            self._keep_history(rows, kept, partition)
            return _in_order(self.lake.readings, with_partitions(kept))

        return self.lake.readings.rewrite(partition, change)

    def _keep_history(
        self, rows: pl.DataFrame, kept: pl.DataFrame, partition: dict[str, str]
    ) -> None:
        """Write superseded versions to the history, those that are not there yet."""
        if kept.height == rows.height:
            return
        key = [*IDENTITY, "version"]
        old = rows.unique(key, keep="first").join(kept, on=key, how="anti")
        if old.is_empty():
            return
        table = self.lake.readings_history
        there = [file for file in table.files() if _is_in(file, partition)]
        old = old.join(_read(there), on=key, how="anti").sort(key)
        if not old.is_empty():
            table.append(_in_order(table, with_partitions(old)))

    def partitions(self) -> list[tuple[date, int, int]]:
        """Return (day, bucket, files) of every partition of `readings`, newest day last."""
        counts: dict[tuple[date, int], int] = {}
        for file in self.lake.readings.files():
            day, bucket = file.partition["day"], file.partition["bucket"]
            if isinstance(day, date) and isinstance(bucket, int):
                counts[day, bucket] = counts.get((day, bucket), 0) + 1
        return [(day, bucket, count) for (day, bucket), count in sorted(counts.items())]

    def compact_next(self, *, files_at_least: int, settled: date | None = None) -> bool:
        """Rewrite the partition with the most files; tell whether one was worth it.

        Days before `settled` are rewritten whenever they have more than one file.
        """
        candidates = [
            (count, day, bucket)
            for day, bucket, count in self.partitions()
            if count >= files_at_least or (count > 1 and settled is not None and day < settled)
        ]
        ranked = sorted(candidates, reverse=True)
        return any(self.reduce(day, bucket) for _, day, bucket in ranked)

    def compact_raw_next(self) -> bool:
        """Put the small files of a day of `raw` into one; tell whether there was such a day."""
        counts: dict[str, int] = {}
        for file in self.lake.raw.files():
            day = str(file.partition["day"])
            counts[day] = counts.get(day, 0) + 1
        if not counts:
            return False
        day = max(counts, key=counts.__getitem__)
        if counts[day] < RAW_FILES_MOST:
            return False
        return self.lake.raw.rewrite({"day": day}, lambda files: _raw_day(files, day))

    def maintain(self) -> None:
        """Checkpoints, and removal of files that no reader needs any more."""
        for table in self._tables():
            table.maintain()


def _application(table: DeltaFolder) -> str:
    return f"inbox/{DRAINER}/{table.form.name}"


def _in_order(table: DeltaFolder, frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(list(table.form.columns))


def _is_in(file: DataFile, partition: dict[str, str]) -> bool:
    return all(str(file.partition[name]) == value for name, value in partition.items())


def _read(files: Iterable[DataFile]) -> pl.DataFrame:
    paths = [file.path for file in files]
    if not paths:
        return pl.DataFrame(schema=SCHEMA)
    return pl.read_parquet(paths, hive_partitioning=False, schema=SCHEMA)


def _raw_day(files: Sequence[DataFile], day: str) -> pl.DataFrame:
    rows = pl.read_parquet([file.path for file in files], hive_partitioning=False)
    return rows.with_columns(pl.lit(date.fromisoformat(day)).alias("day")).sort("message_id")


def bucket_of(meter_id: int) -> int:
    """Return the partition of a meter."""
    return meter_id // BUCKET_METERS


def _lock(folder: Path) -> int:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
        descriptor = os.open(folder / ".writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        sentence = f"{folder} cannot be written ({error.strerror}): permit writing there"
        raise UserError(sentence) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        sentence = f"another process writes the lake {folder}: end it before starting this one"
        raise UserError(sentence) from error
    return descriptor
