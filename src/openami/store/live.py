# SPDX-License-Identifier: Apache-2.0
"""What pages show at once: latest values, the feed they follow, and who looks at which meter."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields
from typing import Final

from sqlalchemy import delete, func, select

from openami.runtime.clock import real_us
from openami.store import advisory
from openami.store.advisory import Lock
from openami.store.database import Database, insert_all, insert_or, reading, transaction
from openami.store.tables import feed as feed_table
from openami.store.tables import latest as latest_table
from openami.store.tables import watches

FEED_KEEP: Final = 20_000  # entries that stay when the old end is pruned

Body = dict[str, int | float | str | bool | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latest:
    """The newest value of a meter's channel."""

    meter_id: int
    channel: int
    start_us: int  # interval start, or the moment of a live value
    value: int
    quality: int
    received_us: int


LATEST_COLUMNS: Final = tuple(field.name for field in fields(Latest))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry of the feed; `feed_id` is 0 until the store has given it a number."""

    kind: str  # live, interval, attachment, command, finding
    meter_id: int | None
    at_us: int
    body: Body
    feed_id: int = 0


def put_latest(database: Database, values: Sequence[Latest]) -> None:
    """Replace the latest values; an older one never replaces a newer one."""
    if not values:
        return
    with transaction(database) as connection:
        statement = insert_or(connection, latest_table)
        changed = {
            name: statement.excluded[name]
            for name in ("start_us", "value", "quality", "received_us")
        }
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "channel"],
            set_=changed,
            where=latest_table.c.start_us <= statement.excluded.start_us,
        )
        # Not `asdict`: it copies deeply, at ten times the cost.
        rows = [{name: getattr(value, name) for name in LATEST_COLUMNS} for value in values]
        connection.execute(statement, rows)


def latest(
    database: Database,
    *,
    meter_ids: Collection[int] | None = None,
    channels: Collection[int] | None = None,
) -> list[Latest]:
    """Return latest values by meter and channel."""
    query = select(latest_table).order_by(latest_table.c.meter_id, latest_table.c.channel)
    if meter_ids is not None:
        query = query.where(latest_table.c.meter_id.in_(list(meter_ids)))
    if channels is not None:
        query = query.where(latest_table.c.channel.in_([int(channel) for channel in channels]))
    with reading(database) as connection:
        return [Latest(**row) for row in connection.execute(query).mappings()]


def append_feed(database: Database, entries: Sequence[Entry]) -> None:
    """Append to the feed."""
    if not entries:
        return
    rows = [
        {
            "kind": entry.kind,
            "meter_id": entry.meter_id,
            "at_us": entry.at_us,
            "body": json.dumps(entry.body, separators=(",", ":")),
        }
        for entry in entries
    ]
    with transaction(database) as connection:
        # Else a later number could be seen before an earlier one, and a reader would skip it.
        advisory.hold(connection, Lock.FEED)
        insert_all(connection, feed_table, rows)


def feed_after(database: Database, feed_id: int, limit: int = 1000) -> list[Entry]:
    """Return entries after a number, oldest first."""
    query = select(feed_table).where(feed_table.c.feed_id > feed_id)
    query = query.order_by(feed_table.c.feed_id).limit(limit)
    with reading(database) as connection:
        return [
            Entry(**{**row, "body": json.loads(row["body"])})
            for row in connection.execute(query).mappings()
        ]


def feed_end(database: Database) -> int:
    """Return the newest number of the feed; 0 when it is empty."""
    with reading(database) as connection:
        return int(connection.execute(select(func.max(feed_table.c.feed_id))).scalar() or 0)


def prune_feed(database: Database, keep: int = FEED_KEEP) -> None:
    """Remove the oldest entries but for the newest `keep`."""
    with transaction(database) as connection:
        end = connection.execute(select(func.max(feed_table.c.feed_id))).scalar() or 0
        connection.execute(delete(feed_table).where(feed_table.c.feed_id <= end - keep))


def watch(database: Database, meter_id: int, until_real_us: int) -> None:
    """Ask for live values of a meter until a real time; a later wish is never shortened."""
    with transaction(database) as connection:
        statement = insert_or(connection, watches)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id"],
            set_={"until_real_us": statement.excluded.until_real_us},
            where=watches.c.until_real_us < statement.excluded.until_real_us,
        )
        connection.execute(statement, [{"meter_id": meter_id, "until_real_us": until_real_us}])


def watched(database: Database, now_real_us: int | None = None) -> list[int]:
    """Return the meters that somebody looks at now."""
    now_real_us = real_us() if now_real_us is None else now_real_us
    query = select(watches.c.meter_id).where(watches.c.until_real_us > now_real_us)
    with reading(database) as connection:
        return [int(row.meter_id) for row in connection.execute(query.order_by("meter_id"))]
