# SPDX-License-Identifier: Apache-2.0
"""The registry: which meters this concentrator has met, how good the way to each is, what happened.

A meter is entered when it is seen for the first time, by its certificate or on a line; nobody has
to announce it.  The registry is in memory and written behind: a new meter and a notice within
`FLUSH_S`, figures of links with them.  A power cut costs the last seconds of figures, never a
reading; those are the journal's.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from openami.concentrator.sqlitefile import Layout, open_file
from openami.exchange.field import LinkState, Notice, NoticeCode
from openami.runtime.clock import from_us, to_us

log = logging.getLogger(__name__)

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS meters (
    title BLOB PRIMARY KEY,
    bearer TEXT NOT NULL,
    address TEXT NOT NULL,
    attached INTEGER NOT NULL,
    first_seen_real_us INTEGER NOT NULL,
    last_seen_real_us INTEGER NOT NULL,
    round_trip_us INTEGER,
    sent INTEGER NOT NULL,
    lost INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS notices (
    number INTEGER PRIMARY KEY,
    at_real_us INTEGER NOT NULL,
    code INTEGER NOT NULL,
    title BLOB NOT NULL,
    text TEXT NOT NULL,
    told INTEGER NOT NULL
);
"""
LAYOUT: Final = Layout(
    name="registry", schema=SCHEMA, version=1, loss="meters are found again as they call"
)
FLUSH_S: Final = 1.0
UNTOLD_MOST: Final = 10_000  # notices for a head-end that is away
DROPPED_AT_ONCE: Final = 100  # the oldest, where there would be more
TOLD_KEPT: Final = 1000  # notices that the head-end has, kept for `openami concentrator status`
NEVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Seen(NamedTuple):
    """What a look at a link brings."""

    round_trip_us: int | None = None
    sent: int = 0  # more than at the look before
    lost: int = 0


@dataclass(slots=True)
class _Writes:
    """What the next flush writes."""

    meters: set[bytes]
    notices: list[Notice]
    told: list[int]
    dropped: list[int]

    @classmethod
    def none(cls) -> "_Writes":
        return cls(set(), [], [], [])

    def __bool__(self) -> bool:
        return bool(self.meters or self.notices or self.told or self.dropped)


class Registry:
    """The registry's file and what it says; all calls belong to the event loop.

    Attributes:
        failing: Why it cannot be written; empty when it can.
        set_aside: Name of a damaged file that was found in its place; empty: there was none.
        dropped: How many notices the head-end will never have, since this was opened.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; a damaged one is set aside.

        Raises:
            ConfigurationError: The file cannot be opened, or a newer OpenAMI wrote it.
        """
        self.path = path
        self.failing = ""
        self.dropped = 0
        self._connection, self.set_aside = open_file(path, LAYOUT)
        left = read_links(self._connection)
        self._links = {link.title: replace(link, attached=False) for link in left}
        self._untold = deque(read_notices(self._connection, told=False))
        (last,) = self._connection.execute("SELECT max(number) FROM notices").fetchone()
        self._next = (last or 0) + 1
        self._writes = _Writes.none()
        # Nobody is there yet, whatever a process that was killed has left in the file.
        self._writes.meters |= {link.title for link in left if link.attached}
        self._flushing = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._links)

    def __contains__(self, title: object) -> bool:
        return title in self._links

    # Meters -----------------------------------------------------------------------------------

    def links(self) -> list[LinkState]:
        """Return every meter that was ever met."""
        return list(self._links.values())

    def link(self, title: bytes) -> LinkState | None:
        """Return a meter, or None when it was never met."""
        return self._links.get(title)

    def attach(self, title: bytes, bearer: str, address: str, now: datetime) -> bool:
        """Learn that a meter is there; return whether it was never met before."""
        known = self._links.get(title)
        if known is None:
            self._links[title] = LinkState(
                title=title,
                bearer=bearer,
                address=address,
                attached=True,
                first_seen=now,
                last_seen=now,
            )
            self.note(NoticeCode.METER_FOUND, now, title, f"{bearer}, {address}")
        else:
            self._links[title] = replace(
                known, bearer=bearer, address=address, attached=True, last_seen=now
            )
        self._writes.meters.add(title)
        return known is None

    def detach(self, title: bytes, now: datetime) -> None:
        """Learn that a meter's connection is gone."""
        if (known := self._links.get(title)) is not None:
            self._links[title] = replace(known, attached=False, last_seen=now)
            self._writes.meters.add(title)

    def see(self, title: bytes, seen: Seen, now: datetime) -> None:
        """Learn what a look at a link brought."""
        if (known := self._links.get(title)) is None:
            return
        round_trip = known.round_trip_us if seen.round_trip_us is None else seen.round_trip_us
        self._links[title] = replace(
            known,
            last_seen=now,
            round_trip_us=round_trip,
            sent=known.sent + seen.sent,
            lost=known.lost + seen.lost,
        )
        self._writes.meters.add(title)

    # Notices ----------------------------------------------------------------------------------

    def note(self, code: NoticeCode, now: datetime, title: bytes = b"", text: str = "") -> int:
        """Keep a notice until the head-end has confirmed it; return its number.

        Of too many the oldest are dropped, and a notice says so.
        """
        if len(self._untold) >= UNTOLD_MOST:
            self._drop(len(self._untold) - UNTOLD_MOST + DROPPED_AT_ONCE, now)
        return self._keep(code, now, title, text)

    def _drop(self, count: int, now: datetime) -> None:
        gone = [self._untold.popleft() for _ in range(count)]
        numbers = {notice.number for notice in gone}
        self._writes.notices = [n for n in self._writes.notices if n.number not in numbers]
        self._writes.dropped.extend(numbers)
        self.dropped += count
        span = f"numbers {gone[0].number} to {gone[-1].number}"
        text = f"{count} notices, {span}; {self.dropped} since the start"
        self._keep(NoticeCode.NOTICES_DROPPED, now, b"", text)

    def _keep(self, code: NoticeCode, now: datetime, title: bytes, text: str) -> int:
        notice = Notice(number=self._next, at=now, code=int(code), title=title, text=text)
        self._next += 1
        self._untold.append(notice)
        self._writes.notices.append(notice)
        return notice.number

    def waits(self, number: int) -> bool:
        """Tell whether the head-end has not confirmed a notice yet."""
        return any(notice.number == number for notice in self._untold)

    def untold(self, most: int) -> list[Notice]:
        """Return the oldest notices that the head-end has not confirmed."""
        return [notice for notice, _ in zip(self._untold, range(most), strict=False)]

    def told(self, numbers: Iterable[int]) -> None:
        """Learn that the head-end has these notices."""
        known = set(numbers)
        self._untold = deque(notice for notice in self._untold if notice.number not in known)
        self._writes.told.extend(known)

    # The file ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Write behind until cancelled."""
        while True:
            await asyncio.sleep(FLUSH_S)
            await self.flush()

    async def flush(self) -> None:
        """Write what is new; what cannot be written is tried again at the next flush."""
        async with self._flushing:
            if not (writes := self._writes):
                return
            self._writes = _Writes.none()
            rows = [_row(self._links[title]) for title in writes.meters]
            try:
                await asyncio.to_thread(self._write, writes, rows)
            except sqlite3.Error as error:
                self._failed(writes, error)
            else:
                self.failing = ""

    async def close(self) -> None:
        """Write what is new, and close the file."""
        await self.flush()
        self._connection.close()

    def _failed(self, writes: _Writes, error: sqlite3.Error) -> None:
        if not self.failing:
            log.error("%s cannot be written (%s): free space or permit writing", self.path, error)
        self.failing = f"{self.path} cannot be written ({error}): free space or permit writing"
        self._writes.meters |= writes.meters
        self._writes.notices[:0] = writes.notices
        self._writes.told[:0] = writes.told
        self._writes.dropped[:0] = writes.dropped

    def _write(self, writes: _Writes, rows: list[tuple[object, ...]]) -> None:
        connection = self._connection
        connection.execute("BEGIN IMMEDIATE")
        try:
            connection.executemany(
                "INSERT OR REPLACE INTO meters VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
            )
            connection.executemany(
                "INSERT OR REPLACE INTO notices VALUES (?, ?, ?, ?, ?, 0)",
                [(n.number, to_us(n.at), n.code, n.title, n.text) for n in writes.notices],
            )
            connection.executemany(
                "DELETE FROM notices WHERE number = ?", [(n,) for n in writes.dropped]
            )
            connection.executemany(
                "UPDATE notices SET told = 1 WHERE number = ?", [(n,) for n in writes.told]
            )
            if writes.told:
                connection.execute(
                    "DELETE FROM notices WHERE told AND number <= (SELECT number FROM notices"
                    " WHERE told ORDER BY number DESC LIMIT 1 OFFSET ?)",
                    (TOLD_KEPT,),
                )
            connection.execute("COMMIT")
        except sqlite3.Error:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise


def read_links(connection: sqlite3.Connection) -> list[LinkState]:
    """Return the meters of a registry file, attached as its writer saw them last."""
    return [
        LinkState(
            title=title,
            bearer=bearer,
            address=address,
            attached=bool(attached),
            first_seen=from_us(first_us),
            last_seen=from_us(last_us),
            round_trip_us=round_trip_us,
            sent=sent,
            lost=lost,
        )
        for title, bearer, address, attached, first_us, last_us, round_trip_us, sent, lost in (
            connection.execute("SELECT * FROM meters ORDER BY title")
        )
    ]


def read_notices(
    connection: sqlite3.Connection, *, told: bool | None = None, newest: int | None = None
) -> list[Notice]:
    """Return notices of a registry file, oldest first.

    Args:
        connection: The file.
        told: Only those that the head-end has, or has not; None: both.
        newest: Only so many, the newest.
    """
    wanted = "" if told is None else f" WHERE told = {int(told)}"
    rows = connection.execute(
        f"SELECT number, at_real_us, code, title, text FROM notices{wanted}"  # noqa: S608
        f" ORDER BY number DESC LIMIT {-1 if newest is None else newest}"
    ).fetchall()
    return [
        Notice(number=number, at=from_us(at_us), code=code, title=title, text=text)
        for number, at_us, code, title, text in reversed(rows)
    ]


def _row(link: LinkState) -> tuple[object, ...]:
    return (
        link.title,
        link.bearer,
        link.address,
        link.attached,
        to_us(link.first_seen),
        to_us(link.last_seen),
        link.round_trip_us,
        link.sent,
        link.lost,
    )
