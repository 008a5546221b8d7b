# SPDX-License-Identifier: Apache-2.0
"""The queue of local meter-days that changed and are to be validated; it survives a crash."""

from collections.abc import Collection
from typing import NamedTuple

from sqlalchemy import func, select, tuple_

from openami.store.database import Database, insert_or, reading, transaction
from openami.store.tables import vee_due


class DueDay(NamedTuple):
    """A meter's local day; `day` is days since 1970-01-01."""

    meter_id: int
    day: int


def put_due(database: Database, days: Collection[DueDay], not_before_us: int) -> None:
    """Ask for validation of days, at a calendar time; the earlier of two wishes counts."""
    if not days:
        return
    with transaction(database) as connection:
        statement = insert_or(connection, vee_due)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "day"],
            set_={"not_before_us": statement.excluded.not_before_us},
            where=vee_due.c.not_before_us > statement.excluded.not_before_us,
        )
        rows = [{**day._asdict(), "not_before_us": not_before_us} for day in days]
        connection.execute(statement, rows)


def due_days(database: Database, now_us: int, limit: int = 500) -> list[DueDay]:
    """Return days whose time has come, day by day."""
    query = select(vee_due.c.meter_id, vee_due.c.day).where(vee_due.c.not_before_us <= now_us)
    query = query.order_by(vee_due.c.day, vee_due.c.meter_id).limit(limit)
    with reading(database) as connection:
        return [DueDay(row.meter_id, row.day) for row in connection.execute(query)]


def done_due(database: Database, days: Collection[DueDay]) -> None:
    """Take days out of the queue."""
    key = tuple_(vee_due.c.meter_id, vee_due.c.day)
    with transaction(database) as connection:
        if days:
            connection.execute(vee_due.delete().where(key.in_([tuple(day) for day in days])))


def count_due(database: Database) -> int:
    """Return how many days wait."""
    with reading(database) as connection:
        query = select(func.count()).select_from(vee_due)
        return int(connection.execute(query).scalar_one())
