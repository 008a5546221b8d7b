# SPDX-License-Identifier: Apache-2.0
"""The journal: what meters pushed and the head-end has not yet confirmed, on disk.

SQLite in WAL mode with synchronous=FULL: when `put` returns, its entries survive a power cut.
An entry is the same as another when meter, long-invoke-id and octets are the same: a meter sends
again until it is confirmed, and is confirmed again without a second entry.

A meter may have `quota` entries waiting.  Beyond that nothing is dropped: a new entry is answered
`FULL`, the meter gets no receipt, keeps the reading and sends it again.
"""

import contextlib
import hashlib
import logging
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from openami.runtime.errors import ConfigurationError

log = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    title BLOB NOT NULL,
    long_invoke_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    received_real_us INTEGER NOT NULL,
    octets BLOB NOT NULL,
    UNIQUE (title, long_invoke_id, digest)
)
"""
FORMAT: Final = 1  # PRAGMA user_version
BUSY_MS: Final = 10_000


class Outcome(Enum):
    """What became of an entry that was put."""

    STORED = auto()
    KNOWN = auto()  # the same one waits already
    FULL = auto()  # the meter's quota is used up; nothing was stored


class Put(NamedTuple):
    """A push to be kept."""

    title: bytes
    long_invoke_id: int
    octets: bytes
    received_real_us: int


class Remove(NamedTuple):
    """An entry that the head-end has confirmed."""

    sequence: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A push that waits for the head-end."""

    sequence: int
    title: bytes
    long_invoke_id: int
    octets: bytes

    @property
    def key(self) -> tuple[bytes, int]:
        """What the head-end's confirm names."""
        return self.title, self.long_invoke_id


class Journal:
    """The journal's file; `apply` belongs to one thread, `after` to any."""

    def __init__(self, path: Path, *, quota: int) -> None:
        """Open the file, or make it; a damaged one is set aside with a warning.

        Raises:
            ConfigurationError: The file cannot be opened, or a newer OpenAMI wrote it.
        """
        self.path = path
        self.quota = quota
        try:
            self._writer = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                sentence = f"{path} cannot be opened ({error}): permit reading and writing there"
                raise ConfigurationError(sentence) from error
            self._set_aside(error)
            self._writer = self._open()
        self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._reading = threading.Lock()
        counted = self._writer.execute("SELECT title, count(*) FROM entries GROUP BY title")
        self._waiting: dict[bytes, int] = dict(counted.fetchall())
        self.depth = sum(self._waiting.values())

    def apply(self, changes: Sequence[Put | Remove]) -> list[Outcome]:
        """Carry out `changes` in one transaction, durable when this returns.

        Returns:
            One outcome a change; `STORED` for a removal.

        Raises:
            sqlite3.Error: Nothing was changed, e.g. because the disk is full.
        """
        added: Counter[bytes] = Counter()
        outcomes = []
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            for change in changes:
                match change:
                    case Put():
                        outcomes.append(self._put(change, added))
                    case Remove():
                        outcomes.append(self._remove(change, added))
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise
        for title, count in added.items():
            self._waiting[title] = self._waiting.get(title, 0) + count
        self.depth += added.total()
        return outcomes

    def after(self, sequence: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries behind `sequence`, in order of arrival."""
        with self._reading:
            rows = self._reader.execute(
                "SELECT sequence, title, long_invoke_id, octets FROM entries"
                " WHERE sequence > ? ORDER BY sequence LIMIT ?",
                (sequence, limit),
            ).fetchall()
        return [Entry(*row) for row in rows]

    def full_meters(self) -> int:
        """Return how many meters have used up their quota."""
        return sum(count >= self.quota for count in list(self._waiting.values()))

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._reader.close()
        self._writer.close()

    def _put(self, put: Put, added: Counter[bytes]) -> Outcome:
        key = (put.title, put.long_invoke_id, hashlib.sha256(put.octets).digest())
        if self._waiting.get(put.title, 0) + added[put.title] >= self.quota:
            found = self._writer.execute(
                "SELECT 1 FROM entries WHERE title = ? AND long_invoke_id = ? AND digest = ?", key
            ).fetchone()
            return Outcome.KNOWN if found else Outcome.FULL
        stored = self._writer.execute(
            "INSERT INTO entries (title, long_invoke_id, digest, received_real_us, octets)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*key, put.received_real_us, put.octets),
        ).rowcount
        if not stored:
            return Outcome.KNOWN
        added[put.title] += 1
        return Outcome.STORED

    def _remove(self, remove: Remove, added: Counter[bytes]) -> Outcome:
        removed = self._writer.execute(
            "DELETE FROM entries WHERE sequence = ? RETURNING title", remove
        ).fetchone()
        if removed is not None:
            added[removed[0]] -= 1
        return Outcome.STORED

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, check_same_thread=False, isolation_level=None)
        try:
            connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            (found,) = connection.execute("PRAGMA user_version").fetchone()
            self._verify_format(found)
            connection.execute(SCHEMA)
            connection.execute(f"PRAGMA user_version = {FORMAT}")
            connection.execute("SELECT count(*) FROM entries").fetchone()
        except BaseException:
            connection.close()
            raise
        return connection

    def _verify_format(self, found: int) -> None:
        if found not in (0, FORMAT):
            raise ConfigurationError(
                f"{self.path} has journal format {found}, this OpenAMI writes {FORMAT}: "
                "run the version that wrote it until the journal is empty"
            )

    def _set_aside(self, error: sqlite3.DatabaseError) -> None:
        number = 1
        while (kept := self.path.with_name(f"{self.path.name}.damaged-{number}")).exists():
            number += 1
        self.path.replace(kept)
        for suffix in ("-wal", "-shm"):
            beside = self.path.with_name(self.path.name + suffix)
            if beside.exists():
                beside.replace(kept.with_name(kept.name + suffix))
        log.error(
            "%s is damaged (%s): kept as %s, an empty journal goes on; "
            "the head-end reads from the meters what was only there",
            self.path,
            error,
            kept.name,
        )


def long_invoke_id(apdu: bytes) -> int | None:
    """Return the long-invoke-id of a push as it stands in the clear; None if it has none.

    General-ciphering carries it as its transaction-id of four octets; an unprotected
    DataNotification carries it itself.
    """
    if apdu[:2] == b"\xdd\x04" and len(apdu) > 6:
        return int.from_bytes(apdu[2:6])
    if apdu[:1] == b"\x0f" and len(apdu) > 5:
        return int.from_bytes(apdu[1:5])
    return None
