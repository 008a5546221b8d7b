# SPDX-License-Identifier: Apache-2.0
"""Advisory locks of PostgreSQL: what workers must not do at once and no row stands for.

SQLite has one writer at a time and needs none of them.
"""

from enum import IntEnum, unique

from sqlalchemy import Connection, text


@unique
class Lock(IntEnum):
    """What is locked, by the number that the database knows it by."""

    SCHEMA = 0x0A30  # one process makes or changes the tables
    FEED = 0x0A31  # numbers of the feed become visible in order
    OUTAGES = 0x0A32  # outages are changed
    CELLS = 0x0A33  # shared by who takes places, alone by who takes or gives up all cells


def hold(connection: Connection, lock: Lock, *, shared: bool = False) -> None:
    """Hold a lock until the transaction ends; with `shared` together with others who say so."""
    if connection.dialect.name == "postgresql":
        name = "pg_advisory_xact_lock_shared" if shared else "pg_advisory_xact_lock"
        connection.execute(text(f"SELECT {name}(:key)"), {"key": int(lock)})
