# SPDX-License-Identifier: Apache-2.0
"""Events of all meters as people work on them: searched, looked at, acknowledged with a note."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import func, select, update

from openami.store.database import Database, reading, transaction
from openami.store.tables import events as events_table
from openami.store.tables import meters as meters_table


@dataclass(frozen=True, slots=True, kw_only=True)
class BookedEvent:
    """One event, and who has looked at it."""

    event_id: int
    meter_id: int
    region: str
    at_us: int
    code: int
    received_us: int
    acknowledged_by: str | None
    acknowledged_real_us: int | None
    note: str | None


def search(  # noqa: PLR0913  a table has these filters
    database: Database,
    *,
    codes: Collection[int] | None = None,
    without_codes: Collection[int] = (),
    region: str = "",
    meter_id: int | None = None,
    acknowledged: bool | None = None,
    since_us: int = 0,
    limit: int = 200,
) -> list[BookedEvent]:
    """Return events, the newest first."""
    table = events_table.c
    names = [field for field in BookedEvent.__slots__ if field != "region"]
    query = (
        select(*(table[name] for name in names), meters_table.c.region)
        .join_from(events_table, meters_table, table.meter_id == meters_table.c.meter_id)
        .where(table.at_us >= since_us, table.code.not_in(list(without_codes)))
        .order_by(table.at_us.desc(), table.event_id.desc())
        .limit(limit)
    )
    if codes is not None:
        query = query.where(table.code.in_(list(codes)))
    if region:
        query = query.where(meters_table.c.region == region)
    if meter_id is not None:
        query = query.where(table.meter_id == meter_id)
    if acknowledged is not None:
        known = table.acknowledged_by.is_not(None)
        query = query.where(known if acknowledged else table.acknowledged_by.is_(None))
    with reading(database) as connection:
        return [BookedEvent(**row) for row in connection.execute(query).mappings()]


def count_open(database: Database, codes: Collection[int], since_us: int) -> dict[int, int]:
    """Return how many events of these codes nobody has acknowledged, by code."""
    table = events_table.c
    query = (
        select(table.code, func.count())
        .where(table.code.in_(list(codes)), table.acknowledged_by.is_(None))
        .where(table.at_us >= since_us)
        .group_by(table.code)
    )
    with reading(database) as connection:
        return {int(code): int(count) for code, count in connection.execute(query)}


def acknowledge(
    database: Database, event_ids: Collection[int], login: str, note: str, now_real_us: int
) -> int:
    """Write that somebody has looked at events; those acknowledged before stay as they are.

    Returns:
        How many were not acknowledged before.
    """
    fresh = events_table.c.acknowledged_by.is_(None)
    values = {"acknowledged_by": login, "acknowledged_real_us": now_real_us, "note": note}
    with transaction(database) as connection:
        done = connection.execute(
            update(events_table)
            .where(events_table.c.event_id.in_(list(event_ids)), fresh)
            .values(**values)
            .returning(events_table.c.event_id)
        )
        return len(done.all())
