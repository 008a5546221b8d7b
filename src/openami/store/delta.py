# SPDX-License-Identifier: Apache-2.0
"""One Delta table in a folder, made durable by us.

delta-rs writes data files, then a log entry, and never fsyncs.  After each commit this module
fsyncs the files the entry names, their folders, the entry and the log folder; only then may a
caller forget what it wrote, and only then comes the next commit.  So a power cut can tear the
newest entry, or files that it names: opening for writing takes such an entry back.  An older one
that is not sound is damage, and refused: nothing that was acknowledged is ever thrown away.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple, cast
from urllib.parse import unquote

import polars as pl
from deltalake import (
    ColumnProperties,
    CommitProperties,
    DeltaTable,
    Field,
    PostCommitHookProperties,
    Schema,
    Transaction,
    WriterProperties,
    write_deltalake,
)
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.schema import PrimitiveType

from openami.runtime.errors import UserError
from openami.runtime.files import sync_folder
from openami.store.database import StoreUnavailableError, os_full
from openami.store.torn import CHECKED_ENTRIES, take_back_torn

ROW_GROUP_ROWS: Final = 122_880
CHECKPOINT_EVERY: Final = 50  # commits
ATTEMPTS: Final = 8  # of a change that another writer crossed
READERS_HOLD_H: Final = 1  # vacuum keeps removed files as long as the longest reader may need them
SAID_CHARACTERS: Final = 80  # of what delta-rs says; it may print whole structures
FULL: Final = ("no space left", "os error 28", "quota", "os error 122", "file too large")

NO_HOOKS: Final = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a table looks: its columns, partitions, and what is packed and kept as statistics."""

    name: str
    columns: Mapping[str, str]  # Delta primitive types
    partition_by: tuple[str, ...]
    statistics: tuple[str, ...]
    packed: tuple[str, ...] = ()  # DELTA_BINARY_PACKED

    def schema(self) -> Schema:
        return Schema(
            [
                Field(name, PrimitiveType(kind), nullable=False)
                for name, kind in self.columns.items()
            ]
        )

    def configuration(self) -> dict[str, str | None]:
        return {
            "delta.dataSkippingStatsColumns": ",".join(self.statistics),
            "delta.deletedFileRetentionDuration": f"interval {READERS_HOLD_H} hours",
            "delta.logRetentionDuration": "interval 1 days",
        }

    def writer(self) -> WriterProperties:
        packed = ColumnProperties(dictionary_enabled=False, encoding="DELTA_BINARY_PACKED")
        return WriterProperties(
            compression="ZSTD",
            max_row_group_size=ROW_GROUP_ROWS,
            column_properties=dict.fromkeys(self.packed, packed),
        )


class DataFile(NamedTuple):
    """A live data file, with what is known of it without opening it."""

    path: str
    octets: int
    rows: int
    partition: Mapping[str, object]
    low: Mapping[str, object]
    high: Mapping[str, object]


@dataclass(slots=True)
class DeltaFolder:
    """A table of one form; readers share it with writers of other processes."""

    folder: Path
    form: Form
    _table: DeltaTable | None = None
    _synced: int = -1  # newest version known to be durable
    _indexed: int = -1  # version the file index shows
    _files: list[DataFile] = field(default_factory=list)

    @property
    def _log(self) -> Path:
        return self.folder / "_delta_log"

    def open_for_writing(self) -> None:
        """Create the table, or check and make durable what the last writer left.

        Raises:
            UserError: The table is damaged or the folder cannot be written.
        """
        with sentences(self.folder):
            if self._log.is_dir() and any(self._log.glob("*.json")):
                take_back_torn(self._log)
            if not any(self._log.glob("*.json")):
                self.folder.mkdir(parents=True, exist_ok=True)
                DeltaTable.create(
                    self.folder,
                    self.form.schema(),
                    mode="ignore",
                    partition_by=list(self.form.partition_by),
                    configuration=self.form.configuration(),
                )
                sync_folder(self.folder.parent)
                sync_folder(self.folder)
            self._table = DeltaTable(self.folder)
            self._synced = max(-1, self._table.version() - CHECKED_ENTRIES)
            self.sync()

    def last_batch(self, application: str) -> int | None:
        """Return the last batch that `application` wrote here."""
        return self._fresh().transaction_version(application)

    def append(self, frame: pl.DataFrame, application: str = "", batch_id: int = 0) -> None:
        """Append rows, durable when this returns; a named batch is remembered with them."""
        marks = [Transaction(application, batch_id)] if application else None
        with sentences(self.folder):
            write_deltalake(
                self._fresh(),
                frame,
                mode="append",
                writer_properties=self.form.writer(),
                commit_properties=CommitProperties(app_transactions=marks),
                post_commithook_properties=NO_HOOKS,
            )
            self.sync()

    def rewrite(
        self,
        partition: Mapping[str, str],
        change: Callable[[Sequence[DataFile]], pl.DataFrame | None],
    ) -> bool:
        """Overwrite a partition by what `change` makes of its files, durable when this returns.

        When another writer added to the partition meanwhile, it is read and changed again.
        `change` returns None to leave it as it is.

        Raises:
            StoreUnavailableError: Others kept crossing.
        """
        predicate = " AND ".join(f"{name} = '{value}'" for name, value in partition.items())
        for _ in range(ATTEMPTS):
            table = self._fresh()
            mine = [file for file in self.files() if _matches(file, partition)]
            frame = change(mine)
            if frame is None:
                return False
            try:
                with sentences(self.folder):
                    write_deltalake(
                        table,
                        frame,
                        mode="overwrite",
                        predicate=predicate,
                        writer_properties=self.form.writer(),
                        commit_properties=CommitProperties(max_commit_retries=0),
                        post_commithook_properties=NO_HOOKS,
                    )
                    self.sync()
            except CommitFailedError:
                continue
            return True
        sentence = f"{self.folder} ({predicate}) is changed by others all the time: try again later"
        raise StoreUnavailableError(sentence)

    def files(self) -> list[DataFile]:
        """Return the live data files; cached until the table's version changes."""
        table = self._fresh()
        if table.version() != self._indexed:
            self._files = _index(table, self.folder)
            self._indexed = table.version()
        return self._files

    def exists(self) -> bool:
        """Tell whether there is a table; a reader may come before the first writer."""
        return (
            self._table is not None
            or (self._log / f"{0:020}.json").exists()
            or (self._log / "_last_checkpoint").exists()
        )

    def forget(self) -> None:
        """Read everything anew, e.g. after a file was found to be gone."""
        self._table = None
        self._indexed = -1

    def sync(self) -> None:
        """Fsync what was committed since the last time: data files, folders, log entries."""
        table = self._fresh()
        newest = table.version()
        folders = set()
        for version in range(self._synced + 1, newest + 1):
            entry = self._log / f"{version:020}.json"
            if not entry.exists():
                continue  # an entry that a checkpoint replaced, durable for long
            for name in _added(entry.read_bytes()):
                path = self.folder / name
                if path.exists():
                    _sync_file(path)
                    folders.update(_folders_between(path.parent, self.folder))
            _sync_file(entry)
        if newest > self._synced:
            for folder in sorted(folders, reverse=True):
                sync_folder(folder)
            sync_folder(self._log)
        self._synced = newest

    def maintain(self) -> None:
        """Write a checkpoint when enough commits have come, then remove what nobody reads."""
        table = self._fresh()
        hint = self._log / "_last_checkpoint"
        last = json.loads(hint.read_bytes())["version"] if hint.exists() else 0
        if table.version() - last < CHECKPOINT_EVERY:
            return
        with sentences(self.folder):
            self.sync()
            table.create_checkpoint()
            for path in (*self._log.glob(f"{table.version():020}.checkpoint*.parquet"), hint):
                _sync_file(path)
            sync_folder(self._log)
            table.vacuum(
                retention_hours=READERS_HOLD_H,
                dry_run=False,
                enforce_retention_duration=False,
                post_commithook_properties=NO_HOOKS,
            )
            table.cleanup_metadata()
            self.forget()
            self.sync()

    def _fresh(self) -> DeltaTable:
        if self._table is None:
            with sentences(self.folder):
                self._table = DeltaTable(self.folder)
        else:
            self._table.update_incremental()
        return self._table


@contextmanager
def sentences(folder: Path) -> Iterator[None]:
    """Turn what delta-rs and the disk say into a sentence; crossed commits pass as they are.

    Raises:
        StoreUnavailableError: The disk is full.
        UserError: The table is missing or damaged.
    """
    try:
        yield
    except CommitFailedError:
        raise
    except (DeltaError, OSError, pl.exceptions.ComputeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if os_full(error) or any(word in str(error).lower() for word in FULL):
            sentence = f"{folder} cannot be written ({said}): free space on its disk"
            raise StoreUnavailableError(sentence) from error
        if isinstance(error, TableNotFoundError):
            raise UserError(f"there is no table at {folder}: start `openami mdm run`") from error
        if isinstance(error, PermissionError):
            raise UserError(f"{folder} cannot be written ({said}): permit writing") from error
        sentence = (
            f"{folder} cannot be used ({said[:SAID_CHARACTERS]}): restore {folder.parent} from a "
            "backup, or move it away to have it read from the meters again"
        )
        raise UserError(sentence) from error


def _index(table: DeltaTable, folder: Path) -> list[DataFile]:
    actions = pl.DataFrame(table.get_add_actions(flatten=True))
    named = {
        kind: [name for name in actions.columns if name.startswith(f"{kind}.")]
        for kind in ("partition", "min", "max")
    }

    def part(row: Mapping[str, object], kind: str) -> dict[str, object]:
        return {name.removeprefix(f"{kind}."): row[name] for name in named[kind]}

    return [
        DataFile(
            path=str(folder / unquote(row["path"])),
            octets=row["size_bytes"],
            rows=row["num_records"],
            partition=part(row, "partition"),
            low=part(row, "min"),
            high=part(row, "max"),
        )
        for row in actions.iter_rows(named=True)
    ]


def _matches(file: DataFile, partition: Mapping[str, str]) -> bool:
    return all(str(file.partition[name]) == value for name, value in partition.items())


def _added(entry: bytes) -> list[str]:
    """Return the data files that a log entry adds.

    Raises:
        ValueError: The entry is torn.
    """
    actions = [cast("dict[str, dict[str, str]]", json.loads(line)) for line in entry.splitlines()]
    if not actions:
        raise ValueError("the entry is empty")
    return [unquote(action["add"]["path"]) for action in actions if "add" in action]


def _sync_file(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _folders_between(folder: Path, root: Path) -> list[Path]:
    """Return `folder` and its parents up to and with `root`."""
    found = [folder]
    while found[-1] != root:
        found.append(found[-1].parent)
    return found
