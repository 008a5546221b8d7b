# SPDX-License-Identifier: Apache-2.0
"""Open rows whose meter a head-end can reach, claimed under leases, oldest first.

For tables with the columns meter_id, state, attempts, free_real_us and note: a row is not tried
before its `free_real_us`.
"""

from sqlalchemy import Column, RowMapping, Table, select, update

from openami.runtime.clock import MICROSECONDS, real_us
from openami.store import leases
from openami.store.database import Database, reading, transaction
from openami.store.leases import Kind, Lease, Worker, require
from openami.store.registry import with_route
from openami.store.tables import attachments, meters

OPEN = "open"


def claim(  # noqa: PLR0913  what, of which, for whom, how long, how many
    database: Database, kind: Kind, table: Table, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[RowMapping, Lease]]:
    """Take open rows that are due, that nobody works on and whose meters `worker` can reach."""
    key = _key(table)
    due = (table.c.state == OPEN) & (table.c.free_real_us <= real_us())
    query = (
        select(key)
        .join_from(table, meters, meters.c.meter_id == table.c.meter_id)
        .join(attachments, attachments.c.meter_id == table.c.meter_id, isouter=True)
        .where(due, with_route(worker.name))
        .order_by(table.c.free_real_us, key)
    )
    given = leases.claim(database, kind, key, query, worker, seconds=seconds, limit=limit)
    if not given:
        return []
    held = {lease.item: lease for lease in given}
    rows = select(table).where(key.in_([int(item) for item in held])).order_by(key)
    with reading(database) as connection:
        found = connection.execute(rows).mappings().all()
    return [(row, held[str(row[key.name])]) for row in found]


def postpone(  # noqa: PLR0913  of which, why, how long, by whom
    database: Database, table: Table, key: int, note: str, *, pause_s: float, lease: Lease
) -> None:
    """Try a row again after a pause, saying why it did not come about.

    Raises:
        LostLeaseError: It is another worker's by now; nothing is written.
    """
    values = {
        "attempts": table.c.attempts + 1,
        "free_real_us": real_us() + round(pause_s * MICROSECONDS),
        "note": note,
    }
    with transaction(database) as connection:
        require(connection, lease)
        connection.execute(update(table).where(_key(table) == key).values(values))


def _key(table: Table) -> Column[int]:
    return next(iter(table.primary_key.columns))
