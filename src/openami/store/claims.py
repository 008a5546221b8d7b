# SPDX-License-Identifier: Apache-2.0
"""Rows that one head-end works on for a while: whose meter it can reach, oldest first.

For tables with the columns meter_id, state, attempts, free_real_us and note: a row whose
`free_real_us` has passed is nobody's.  A worker that dies leaves it to the next one.
"""

from collections.abc import Sequence

from sqlalchemy import Column, RowMapping, Table, select, update

from openami.runtime.clock import MICROSECONDS, real_us
from openami.store.database import Database, transaction
from openami.store.registry import with_route
from openami.store.tables import attachments, meters

OPEN = "open"


def claim(
    database: Database, table: Table, worker: str, *, limit: int, lease_s: float
) -> list[RowMapping]:
    """Take open rows that nobody works on; they are ours for `lease_s`.

    `worker` names the head-end; it takes those whose meters it can reach.
    """
    now_us, key = real_us(), _key(table)
    query = (
        select(table)
        .join_from(table, meters, meters.c.meter_id == table.c.meter_id)
        .join(attachments, attachments.c.meter_id == table.c.meter_id, isouter=True)
        .where(table.c.state == OPEN, table.c.free_real_us <= now_us, with_route(worker))
        .order_by(table.c.free_real_us, key)
        .limit(limit)
    )
    with transaction(database) as connection:
        locked = query.with_for_update(skip_locked=True, of=table)
        found = list(connection.execute(locked).mappings())
        keep(connection, table, [row[key.name] for row in found], lease_s=lease_s)
    return found


def keep(database: Database, table: Table, keys: Sequence[int], *, lease_s: float) -> None:
    """Stay with rows that take longer."""
    free_us = real_us() + round(lease_s * MICROSECONDS)
    with transaction(database) as connection:
        wanted = _key(table).in_(list(keys))
        connection.execute(update(table).where(wanted).values(free_real_us=free_us))


def postpone(database: Database, table: Table, key: int, note: str, *, pause_s: float) -> None:
    """Try a row again after a pause, saying why it did not come about."""
    values = {
        "attempts": table.c.attempts + 1,
        "free_real_us": real_us() + round(pause_s * MICROSECONDS),
        "note": note,
    }
    with transaction(database) as connection:
        connection.execute(update(table).where(_key(table) == key).values(values))


def _key(table: Table) -> Column[int]:
    return next(iter(table.primary_key.columns))
