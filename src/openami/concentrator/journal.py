# SPDX-License-Identifier: Apache-2.0
"""The journal: what meters pushed and the head-end has not yet confirmed, on disk.

SQLite in WAL mode with synchronous=FULL: when `put` returns, its entries survive a power cut.
An entry is the same as another when meter, long-invoke-id and octets are the same: a meter sends
again until it is confirmed, and is confirmed again without a second entry.

There is one policy when it is full, and it is never to drop: a meter may have `quota` entries
waiting, and all of them together `most_octets`.  Beyond that a new entry is answered `FULL` or
`NO_ROOM`, the meter gets no receipt, keeps the reading and sends it again.  An entry that is here
stays until the head-end has confirmed it.
"""

import contextlib
import hashlib
import sqlite3
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path
from typing import Final, NamedTuple

from openami.concentrator.sqlitefile import Layout, open_file

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    title BLOB NOT NULL,
    long_invoke_id INTEGER NOT NULL,
    digest BLOB NOT NULL,
    received_real_us INTEGER NOT NULL,
    octets BLOB NOT NULL,
    UNIQUE (title, long_invoke_id, digest)
);
"""
FORMAT: Final = 1  # PRAGMA user_version
LAYOUT: Final = Layout(
    name="journal",
    schema=SCHEMA,
    version=FORMAT,
    loss="the head-end reads from the meters what was only there",
)
MOST_OCTETS: Final = 2**30


class Outcome(Enum):
    """What became of an entry that was put."""

    STORED = auto()
    KNOWN = auto()  # the same one waits already
    FULL = auto()  # the meter's quota is used up; nothing was stored
    NO_ROOM = auto()  # the journal has no room for anybody; nothing was stored


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


@dataclass(slots=True)
class Group:
    """What one transaction adds and takes away."""

    entries: Counter[bytes] = field(default_factory=Counter)  # by meter
    octets: int = 0

    def count(self, title: bytes, entries: int, octets: int) -> None:
        self.entries[title] += entries
        self.octets += octets


class Journal:
    """The journal's file; `apply` belongs to one thread, `after` to any.

    Attributes:
        quota: Entries that a meter may have waiting.
        most_octets: Octets of APDUs that all entries together may have.
        depth: How many entries wait.
        octets: How many octets of APDUs wait.
        set_aside: Name of a damaged file that was found in its place; empty: there was none.
    """

    def __init__(self, path: Path, *, quota: int, most_octets: int = MOST_OCTETS) -> None:
        """Open the file, or make it; a damaged one is set aside with a warning.

        Raises:
            ConfigurationError: The file cannot be opened, or a newer OpenAMI wrote it.
        """
        self.path = path
        self.quota = quota
        self.most_octets = most_octets
        self._writer, self.set_aside = open_file(path, LAYOUT)
        self._reader = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._reading = threading.Lock()
        counted = self._writer.execute(
            "SELECT title, count(*), sum(length(octets)) FROM entries GROUP BY title"
        ).fetchall()
        self._waiting: dict[bytes, int] = {title: count for title, count, _ in counted}
        self.depth = sum(self._waiting.values())
        self.octets = sum(octets for _, _, octets in counted)

    def apply(self, changes: Sequence[Put | Remove]) -> list[Outcome]:
        """Carry out `changes` in one transaction, durable when this returns.

        Returns:
            One outcome a change; `STORED` for a removal.

        Raises:
            sqlite3.Error: Nothing was changed, e.g. because the disk is full.
        """
        added = Group()
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
        for title, count in added.entries.items():
            self._waiting[title] = self._waiting.get(title, 0) + count
        self.depth += added.entries.total()
        self.octets += added.octets
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

    def next_of(self, key: tuple[bytes, int], after: int, until: int) -> Entry | None:
        """Return the first entry of a name behind `after`, up to `until`; None for none."""
        with self._reading:
            row = self._reader.execute(
                "SELECT sequence, title, long_invoke_id, octets FROM entries WHERE sequence ="
                " (SELECT min(sequence) FROM entries WHERE title = ? AND long_invoke_id = ?"
                " AND sequence > ? AND sequence <= ?)",
                (*key, after, until),
            ).fetchone()
        return None if row is None else Entry(*row)

    def oldest_real_us(self) -> int | None:
        """Return when the oldest entry was received; None when nothing waits."""
        with self._reading:
            row = self._reader.execute(
                "SELECT received_real_us FROM entries ORDER BY sequence LIMIT 1"
            ).fetchone()
        return None if row is None else int(row[0])

    def full_meters(self) -> int:
        """Return how many meters have used up their quota."""
        return sum(count >= self.quota for count in list(self._waiting.values()))

    def close(self) -> None:
        """Close the file; what it holds stays."""
        self._reader.close()
        self._writer.close()

    def _put(self, put: Put, added: Group) -> Outcome:
        key = (put.title, put.long_invoke_id, hashlib.sha256(put.octets).digest())
        refusal = self._refusal(put, added)
        if refusal is not None:
            found = self._writer.execute(
                "SELECT 1 FROM entries WHERE title = ? AND long_invoke_id = ? AND digest = ?", key
            ).fetchone()
            return Outcome.KNOWN if found else refusal
        stored = self._writer.execute(
            "INSERT INTO entries (title, long_invoke_id, digest, received_real_us, octets)"
            " VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (*key, put.received_real_us, put.octets),
        ).rowcount
        if not stored:
            return Outcome.KNOWN
        added.count(put.title, 1, len(put.octets))
        return Outcome.STORED

    def _refusal(self, put: Put, added: Group) -> Outcome | None:
        """Return why a new entry may not come in; None when it may."""
        if self._waiting.get(put.title, 0) + added.entries[put.title] >= self.quota:
            return Outcome.FULL
        octets = self.octets + added.octets + len(put.octets)
        return Outcome.NO_ROOM if octets > self.most_octets else None

    def _remove(self, remove: Remove, added: Group) -> Outcome:
        removed = self._writer.execute(
            "DELETE FROM entries WHERE sequence = ? RETURNING title, length(octets)", remove
        ).fetchone()
        if removed is not None:
            title, octets = removed
            added.count(title, -1, -octets)
        return Outcome.STORED


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
