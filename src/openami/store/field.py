# SPDX-License-Identifier: Apache-2.0
"""What concentrators say of themselves: how they are, what they run, their links, what happened."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, NamedTuple

from sqlalchemy import select

from openami.exchange.field import (
    ClockState,
    FirmwareState,
    Heartbeat,
    LinkState,
    Notice,
    NoticeCode,
    Word,
)
from openami.runtime.clock import from_us, to_us
from openami.store import supply
from openami.store.database import Database, insert_or, reading, transaction, upsert
from openami.store.field_tables import concentrator_clocks as clocks_table
from openami.store.field_tables import concentrator_firmware as firmware_table
from openami.store.field_tables import concentrators as concentrators_table
from openami.store.field_tables import links as links_table
from openami.store.field_tables import notices as notices_table

FAREWELLS: Final = frozenset({NoticeCode.RESTARTING, NoticeCode.STOPPED})


class Said(NamedTuple):
    """A word and who said it."""

    concentrator: bytes
    word: Word
    heard_real_us: int


def store(database: Database, group: Sequence[Said]) -> list[bool]:
    """Store words in one transaction; a notice that is known is left as it is."""
    with transaction(database) as connection:
        for concentrator, word, heard_us in group:
            if isinstance(word, Heartbeat):
                upsert(connection, concentrators_table, [_heartbeat(concentrator, word, heard_us)])
                continue
            if isinstance(word, ClockState):
                row = {"title": concentrator, "heard_real_us": heard_us, **asdict(word)}
                upsert(connection, clocks_table, [row])
                continue
            if isinstance(word, FirmwareState):
                row = {"title": concentrator, "heard_real_us": heard_us, **asdict(word)}
                upsert(connection, firmware_table, [row])
                continue
            upsert(
                connection,
                links_table,
                [_link(concentrator, link) for link in word if isinstance(link, LinkState)],
            )
            notices = [_notice(concentrator, one) for one in word if isinstance(one, Notice)]
            if notices:
                connection.execute(
                    insert_or(connection, notices_table).on_conflict_do_nothing(), notices
                )
    return [True] * len(group)


def heartbeats(database: Database) -> dict[bytes, dict[str, Any]]:
    """Return the last word of each concentrator on how it is, as rows of the table."""
    with reading(database) as connection:
        rows = connection.execute(select(concentrators_table)).mappings()
        return {row["title"]: dict(row) for row in rows}


def firmwares(database: Database) -> dict[bytes, FirmwareState]:
    """Return what each concentrator said last that it runs; none of those that nobody booted."""
    query = select(firmware_table)
    with reading(database) as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    for row in rows:
        del row["heard_real_us"]
    return {row.pop("title"): FirmwareState(**row) for row in rows}


class HeardClock(NamedTuple):
    """What a concentrator said last of its host's clock, and when."""

    state: ClockState
    heard_real_us: int


def clocks(database: Database) -> dict[bytes, HeardClock]:
    """Return what each concentrator said last of its host's clock; none of those that said none."""
    with reading(database) as connection:
        rows = [dict(row) for row in connection.execute(select(clocks_table)).mappings()]
    return {
        row.pop("title"): HeardClock(
            heard_real_us=row.pop("heard_real_us"), state=ClockState(**row)
        )
        for row in rows
    }


def links(database: Database, concentrator: bytes) -> list[LinkState]:
    """Return the links of a concentrator."""
    query = select(links_table).where(links_table.c.concentrator == concentrator)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(links_table.c.title)).mappings()
        return [
            LinkState(
                title=row["title"],
                bearer=row["bearer"],
                address=row["address"],
                attached=row["attached"],
                first_seen=from_us(row["first_seen_real_us"]),
                last_seen=from_us(row["last_seen_real_us"]),
                round_trip_us=row["round_trip_us"],
                sent=row["sent"],
                lost=row["lost"],
            )
            for row in rows
        ]


def notices(database: Database, concentrator: bytes, *, limit: int = 100) -> list[Notice]:
    """Return notices of a concentrator, newest first."""
    table = notices_table.c
    query = select(notices_table).where(table.concentrator == concentrator)
    query = query.order_by(table.at_real_us.desc(), table.number.desc()).limit(limit)
    with reading(database) as connection:
        return [
            Notice(
                number=row["number"],
                at=from_us(row["at_real_us"]),
                code=row["code"],
                title=row["title"],
                text=row["text"],
            )
            for row in connection.execute(query).mappings()
        ]


def farewell(database: Database, concentrator: bytes) -> Notice | None:
    """Return how a concentrator said that it goes, if that was the last that it told."""
    last = notices(database, concentrator, limit=1)
    return last[0] if last and last[0].code in FAREWELLS else None


class Reach(NamedTuple):
    """Whether a concentrator's uplink stands, since when, and whether it was stopped in order."""

    up: bool
    since_real_us: int
    stopped_real_us: int | None  # as it said itself; None: it did not, or is back


def reaches(database: Database) -> dict[bytes, Reach]:
    """Return how each concentrator that was ever connected is reached."""
    found = {}
    with reading(database) as connection:
        for uplink in supply.uplinks(connection):
            told = None if uplink.up else farewell(connection, uplink.concentrator)
            stopped = told is not None and told.code == NoticeCode.STOPPED
            found[uplink.concentrator] = Reach(
                up=uplink.up,
                since_real_us=uplink.since_real_us,
                stopped_real_us=to_us(told.at) if told is not None and stopped else None,
            )
    return found


def _heartbeat(concentrator: bytes, said: Heartbeat, heard_us: int) -> dict[str, object]:
    row = asdict(said)
    del row["at"]
    started = row.pop("started")
    return {
        "title": concentrator,
        "heard_real_us": heard_us,
        "started_real_us": to_us(started),
        **row,
    }


def _link(concentrator: bytes, link: LinkState) -> dict[str, object]:
    row = asdict(link)
    row["first_seen_real_us"] = to_us(row.pop("first_seen"))
    row["last_seen_real_us"] = to_us(row.pop("last_seen"))
    return {"concentrator": concentrator, **row}


def _notice(concentrator: bytes, notice: Notice) -> dict[str, object]:
    row = asdict(notice)
    row["at_real_us"] = to_us(row.pop("at"))
    return {"concentrator": concentrator, **row}
