# SPDX-License-Identifier: Apache-2.0
"""Invocation counters of what the head-end sends, reserved ahead of use.

A counter that was used twice with one key gives away the plaintexts (NIST SP 800-38D, 8.2), so a
block is durable before its first number is used; a crash skips numbers and never repeats one.

Blocks are also what fences a worker that lost its lease of a meter without noticing: it is given no
further block, and what it holds is below the first block of its successor, which the meter, taking
rising counters only, refuses once it has heard the successor.
"""

from collections.abc import Mapping
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
        first = reserve_many(connection, {(meter_id, epoch): count})[meter_id, epoch]
        if first is None:
            raise exhausted(meter_id, epoch, count)
        return first


def reserve_many(
    database: Database, counts: Mapping[tuple[int, int], int]
) -> dict[tuple[int, int], int | None]:
    """Return the first number of a block for each meter and key epoch; None where none are left.

    One statement reads, advances and locks a row, so that no two are ever given the same numbers.
    """
    rows = [
        {"meter_id": meter_id, "epoch": epoch, "next": FIRST + count}
        for (meter_id, epoch), count in sorted(counts.items())  # in one order, lest two meet
        if FIRST + count <= LIMIT
    ]
    with transaction(database) as connection:
        statement = insert_or(connection, counters)
        after = counters.c.next + statement.excluded.next - FIRST
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "epoch"], set_={"next": after}, where=after <= LIMIT
        )
        given = connection.execute(statement.returning(*counters.c), rows)
        after_of = {(row.meter_id, row.epoch): int(row.next) for row in given}
    return {
        key: after_of[key] - count if key in after_of else None for key, count in counts.items()
    }


def exhausted(meter_id: int, epoch: int, count: int) -> UserError:
    """Return the sentence for a key without numbers."""
    return UserError(
        f"meter {meter_id}: key epoch {epoch} has no {count} invocation counters left:"
        " change its keys"
    )


def skip_to(database: Database, meter_id: int, epoch: int, at_least: int) -> None:
    """Never give a number below `at_least`, e.g. after the meter named a higher one.

    Raises:
        UserError: There are none so high.
    """
    if at_least > LIMIT:
        raise exhausted(meter_id, epoch, at_least)
    row = {"meter_id": meter_id, "epoch": epoch, "next": max(at_least, FIRST)}
    with transaction(database) as connection:
        statement = insert_or(connection, counters)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "epoch"],
            set_={"next": statement.excluded.next},
            where=counters.c.next < statement.excluded.next,
        )
        connection.execute(statement, [row])


def next_counter(database: Database, meter_id: int, epoch: int) -> int:
    """Return the first number never reserved."""
    wanted = (counters.c.meter_id == meter_id) & (counters.c.epoch == epoch)
    with reading(database) as connection:
        found = connection.execute(select(counters.c.next).where(wanted)).scalar()
    return FIRST if found is None else int(found)
