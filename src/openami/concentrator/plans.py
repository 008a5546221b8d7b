# SPDX-License-Identifier: Apache-2.0
"""Plans of sealed requests, on disk: what the concentrator asks by itself, and what became of it.

SQLite in WAL mode with synchronous=FULL: a plan is confirmed to the head-end only when it will
outlive a power cut, and a request is marked as sent before it goes out, for the meter takes each
once.  A new plan of a meter takes the place of the one before.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

from openami.concentrator.sqlitefile import Layout, open_file
from openami.exchange.orders import Plan
from openami.runtime.clock import to_us

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS requests (
    title BLOB NOT NULL,
    number INTEGER NOT NULL,
    due_real_us INTEGER NOT NULL,
    offline_only INTEGER NOT NULL,
    octets BLOB NOT NULL,
    state INTEGER NOT NULL,
    PRIMARY KEY (title, number)
);
CREATE INDEX IF NOT EXISTS waiting ON requests (state, due_real_us);
"""
LAYOUT: Final = Layout(
    name="plans", schema=SCHEMA, version=1, loss="the head-end sends its plans again"
)


class RequestState(IntEnum):
    """What became of a sealed request."""

    WAITING = 0
    SENT = 1  # no answer came: it may have been carried out
    ANSWERED = 2
    REFUSED = 3
    PASSED = 4  # a later one of the same meter was sent first


class Due(NamedTuple):
    """A sealed request whose time has come."""

    title: bytes
    number: int
    octets: bytes


class Plans:
    """The file of plans; any thread.

    Attributes:
        set_aside: Name of a damaged file that was found in its place; empty: there was none.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it.

        Raises:
            ConfigurationError: It cannot be opened, or a newer OpenAMI wrote it.
        """
        self._connection, self.set_aside = open_file(path, LAYOUT)
        self._lock = threading.Lock()

    def replace(self, plan: Plan) -> None:
        """Take a plan in place of the meter's plan before, durable when this returns.

        Raises:
            sqlite3.Error: Nothing was changed.
        """
        rows = [
            (plan.title, number, to_us(one.due), plan.offline_only, one.octets)
            for number, one in enumerate(plan.requests)
        ]
        with self._transaction() as connection:
            connection.execute("DELETE FROM requests WHERE title = ?", (plan.title,))
            connection.executemany("INSERT INTO requests VALUES (?, ?, ?, ?, ?, 0)", rows)

    def due(self, now_real_us: int, *, offline: bool, most: int) -> list[Due]:
        """Return for each meter the latest waiting request whose time has come, oldest first.

        Of several that are due the latest asks for all that the others would have.
        """
        with self._lock:
            rows = self._connection.execute(
                "SELECT title, max(number), octets FROM requests WHERE state = ?"
                " AND due_real_us <= ? AND (offline_only = 0 OR ?)"
                " GROUP BY title ORDER BY min(due_real_us) LIMIT ?",
                (RequestState.WAITING, now_real_us, offline, most),
            ).fetchall()
        return [Due(*row) for row in rows]

    def note(self, title: bytes, number: int, state: RequestState) -> None:
        """Note what became of a request; with `SENT` those before it have passed.

        Raises:
            sqlite3.Error: Nothing was changed.
        """
        with self._transaction() as connection:
            connection.execute(
                "UPDATE requests SET state = ? WHERE title = ? AND number = ?",
                (state, title, number),
            )
            if state is RequestState.SENT:
                connection.execute(
                    "UPDATE requests SET state = ? WHERE title = ? AND number < ? AND state = ?",
                    (RequestState.PASSED, title, number, RequestState.WAITING),
                )

    def counts(self) -> dict[RequestState, int]:
        """Return how many requests stand in which state."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT state, count(*) FROM requests GROUP BY state"
            ).fetchall()
        return {RequestState(state): count for state, count in rows}

    def close(self) -> None:
        """Close the file; what it holds stays."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise
