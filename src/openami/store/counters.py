# SPDX-License-Identifier: Apache-2.0
"""Invocation counters of what the head-end sends, reserved ahead of use.

A counter that was used twice with one key gives away the plaintexts (NIST SP 800-38D, 8.2), so a
block is durable before its first number is used; a crash skips numbers and never repeats one.

Blocks are also what fences a worker that lost its lease of a meter without noticing: it is given no
further block, and what it holds is below the first block of its successor, which the meter, taking
rising counters only, refuses once it has heard the successor.
"""

from typing import Final

from sqlalchemy import select

from openami.runtime.errors import UserError
from openami.store.database import Database, insert_or, reading, transaction
from openami.store.leases import Lease, require
from openami.store.tables import counters

FIRST: Final = 1
LIMIT: Final = 2**32  # the counter has four octets (IEC 62056-5-3, 5.3.4.1)


def reserve(
    database: Database, meter_id: int, epoch: int, count: int, lease: Lease | None = None
) -> int:
    """Return the first of `count` numbers that are ours alone, durable when this returns.

    Raises:
        LostLeaseError: `lease`, of the meter, is another worker's by now.
        UserError: The key has no numbers left.
    """
    with transaction(database) as connection:
        if lease is not None:
            require(connection, lease)
        return _advance(connection, meter_id, epoch, count, at_least=FIRST)


def skip_to(database: Database, meter_id: int, epoch: int, at_least: int) -> None:
    """Never give a number below `at_least`, e.g. after the meter named a higher one."""
    _advance(database, meter_id, epoch, 0, at_least=at_least)


def next_counter(database: Database, meter_id: int, epoch: int) -> int:
    """Return the first number never reserved."""
    wanted = (counters.c.meter_id == meter_id) & (counters.c.epoch == epoch)
    with reading(database) as connection:
        found = connection.execute(select(counters.c.next).where(wanted)).scalar()
    return FIRST if found is None else int(found)


def _advance(database: Database, meter_id: int, epoch: int, count: int, *, at_least: int) -> int:
    key = {"meter_id": meter_id, "epoch": epoch}
    wanted = (counters.c.meter_id == meter_id) & (counters.c.epoch == epoch)
    with transaction(database) as connection:
        connection.execute(
            insert_or(connection, counters).on_conflict_do_nothing(), [key | {"next": FIRST}]
        )
        # The row is locked from here on: SQLite has one writer, PostgreSQL locks rows.
        now = connection.execute(
            select(counters.c.next).where(wanted).with_for_update()
        ).scalar_one()
        first = max(int(now), at_least)
        if first + count > LIMIT:
            sentence = (
                f"meter {meter_id}: key epoch {epoch} has no {count} invocation counters left "
                f"after {first}: change its keys"
            )
            raise UserError(sentence)
        connection.execute(counters.update().where(wanted).values(next=first + count))
    return first
