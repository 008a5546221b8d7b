# SPDX-License-Identifier: Apache-2.0
"""The inbox: what was received for good and is not in the lake yet.

The head-end writes a message and remembers its (title, key epoch, invocation counter) in one
transaction, before it gives a receipt.  The drainer claims messages under a batch number, writes
them to the lake with that number, and only then deletes them.  A claim that was cut short is
handed out again whole, under its old number, so the lake can tell what it has.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final, NamedTuple

from sqlalchemy import Connection, delete, func, select, update

from openami.store.accepted import Origin, remember
from openami.store.database import Database, insert_all, insert_or, reading, transaction
from openami.store.tables import inbox as inbox_table
from openami.store.tables import rejected as rejected_table
from openami.store.tables import sequences

PUSH: Final = "push"
PROFILE: Final = "profile"
BATCHES: Final = "inbox"  # name of the drainer's sequence of batch numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One row of the inbox; `message_id` is 0 until the store has given it a number."""

    meter_id: int
    kind: str  # push, profile
    received_us: int
    epoch: int
    hops: str  # who carried it, e.g. "north"
    octets: bytes  # as received, protected
    rows: bytes  # A-XDR array of profile rows, opened
    message_id: int = 0


# What the sender of a message says; the store adds the number.
MESSAGE_COLUMNS: Final = tuple(
    field.name for field in fields(Message) if field.name != "message_id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """A message that could not be opened, does not belong, or makes no sense: an alarm."""

    title: bytes
    concentrator: bytes | None
    received_us: int
    reason: str
    octets: bytes
    rejected_id: int = 0


class Claim(NamedTuple):
    """Messages under a batch number; empty when there is nothing to do."""

    batch_id: int
    messages: list[Message]


def put(database: Database, arrivals: Sequence[tuple[Message, Origin | None]]) -> list[bool]:
    """Store a group in one transaction; tell for each whether it is new.

    A message whose origin is known (or appears twice in the group) is skipped.  Without an origin
    (an answer of an association, which keeps its own order) a message is always stored.
    """
    with transaction(database) as connection:
        flags = accept(connection, [origin for _, origin in arrivals])
        insert_all(
            connection,
            inbox_table,
            [_row(message) for (message, _), new in zip(arrivals, flags, strict=True) if new],
        )
    return flags


def accept(connection: Connection, origins: Sequence[Origin | None]) -> list[bool]:
    """Remember origins; tell for each whether it is new.  What has none is always new."""
    fresh = remember(connection, {origin for origin in origins if origin is not None})
    flags = []
    for origin in origins:
        flags.append(origin is None or origin in fresh)
        if origin is not None:
            fresh.discard(origin)
    return flags


def _row(message: Message) -> dict[str, object]:
    # Not `asdict`: it copies deeply, which took a third of the time of a write.
    return {name: getattr(message, name) for name in MESSAGE_COLUMNS}


def reject(database: Database, messages: Sequence[Rejected]) -> None:
    """Keep messages that cannot be used, with the reason."""
    rows = [asdict(message) for message in messages]
    for row in rows:
        del row["rejected_id"]
    with transaction(database) as connection:
        insert_all(connection, rejected_table, rows)


def rejections(database: Database, *, limit: int = 100) -> list[Rejected]:
    """Return rejected messages, newest first."""
    query = select(rejected_table).order_by(rejected_table.c.rejected_id.desc()).limit(limit)
    with reading(database) as connection:
        return [Rejected(**row) for row in connection.execute(query).mappings()]


def count_rejected(database: Database, *, since_us: int = 0) -> int:
    """Return how many messages were rejected since a calendar time."""
    query = select(func.count()).where(rejected_table.c.received_us >= since_us)
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


def depth(database: Database) -> int:
    """Return how many messages wait in the inbox."""
    with reading(database) as connection:
        query = select(func.count()).select_from(inbox_table)
        return int(connection.execute(query).scalar_one())


def claim(database: Database, limit: int) -> Claim:
    """Return the batch that was cut short, else a new one of the oldest free messages."""
    with reading(database) as connection:
        if connection.execute(select(inbox_table.c.message_id).limit(1)).first() is None:
            return Claim(0, [])
    with transaction(database) as connection:
        _lock_batches(connection)  # else two drainers that look at once would share messages
        batch_id = connection.execute(select(func.min(inbox_table.c.batch_id))).scalar()
        if batch_id is None:
            # Free is what no batch has, not what lies above a number: numbers become visible in
            # any order, and a slow transaction brings lower ones after higher ones were drained.
            free = select(inbox_table.c.message_id).where(inbox_table.c.batch_id.is_(None))
            free = free.order_by(inbox_table.c.message_id).limit(limit)
            if connection.execute(free.limit(1)).first() is None:
                return Claim(0, [])
            batch_id = _next_batch(connection)
            connection.execute(
                update(inbox_table)
                .where(inbox_table.c.message_id.in_(free.scalar_subquery()))
                .values(batch_id=batch_id)
            )
        mine = select(*(column for column in inbox_table.c if column.name != "batch_id"))
        mine = mine.where(inbox_table.c.batch_id == batch_id).order_by(inbox_table.c.message_id)
        rows = connection.execute(mine).mappings()
        return Claim(int(batch_id), [Message(**row) for row in rows])


def finish(database: Database, batch_id: int) -> None:
    """Delete a batch that the lake has."""
    with transaction(database) as connection:
        connection.execute(delete(inbox_table).where(inbox_table.c.batch_id == batch_id))


def last_finished(database: Database) -> int:
    """Return the highest batch number up to which all are finished; 0 before the first."""
    with reading(database) as connection:
        open_batch = connection.execute(select(func.min(inbox_table.c.batch_id))).scalar()
    return last_given(database) if open_batch is None else int(open_batch) - 1


def last_given(database: Database) -> int:
    """Return the highest batch number that was ever given; 0 before the first."""
    with reading(database) as connection:
        given = select(sequences.c.next).where(sequences.c.name == BATCHES)
        after = connection.execute(given).scalar()
    return 0 if after is None else int(after) - 1


def number_batches_beyond(database: Database, batch_id: int) -> None:
    """Never give a batch number up to `batch_id` again.

    The lake remembers the last batch it has.  A database restored from an older backup would
    give out numbers that the lake takes for done.
    """
    with transaction(database) as connection:
        _lock_batches(connection)
        connection.execute(
            update(sequences)
            .where((sequences.c.name == BATCHES) & (sequences.c.next <= batch_id))
            .values(next=batch_id + 1)
        )


def _lock_batches(connection: Connection) -> None:
    """Hold the sequence of batches until the transaction ends."""
    connection.execute(
        insert_or(connection, sequences).on_conflict_do_nothing(), [{"name": BATCHES, "next": 1}]
    )
    row = select(sequences.c.next).where(sequences.c.name == BATCHES)
    connection.execute(row.with_for_update())


def _next_batch(database: Database) -> int:
    with transaction(database) as connection:
        statement = insert_or(connection, sequences).values(name=BATCHES, next=2)
        statement = statement.on_conflict_do_update(
            index_elements=["name"], set_={"next": sequences.c.next + 1}
        )
        after = connection.execute(statement.returning(sequences.c.next)).scalar_one()
        return int(after) - 1
