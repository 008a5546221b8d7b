# SPDX-License-Identifier: Apache-2.0
"""Work shared by many workers over one store: a lease says who does what, and until when.

A worker claims free work and skips what others are just claiming (FOR UPDATE SKIP LOCKED on
PostgreSQL; SQLite has one writer at a time).  Whose lease has run out is taken to be dead.  It may
only be slow, so every lease carries a fence, a number that rises with each new holder; who writes
for a lease asks in the same transaction whether it still holds (`require`).

What is given back has no holder, so that the index of who holds what knows what is held and no
more.  Its row stays, lest the fence fall; where the work itself passes away it is removed later
(`sweep`), and a new row begins above all fences of before.

Times are the database's: the clocks of workers need not agree.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Connection,
    Select,
    String,
    Tuple,
    bindparam,
    cast,
    delete,
    extract,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store.database import Database, insert_or, reading, transaction
from openami.store.tables import leases

AT_ONCE: Final = 5000  # rows of one statement
NOBODY: Final = ""  # holds what was given back
KEPT_S: Final = 86_400.0  # what nobody held for so long, and whose work passed away, is removed


class Kind(StrEnum):
    """What can be held."""

    WORKER = "worker"  # its own name: it is alive
    METER = "meter"  # the association with it
    COMMAND = "command"
    KEY_CHANGE = "key change"
    COMMISSIONING = "commission"
    UPDATE = "update"  # a meter of a firmware campaign
    BROADCAST = "broadcast"  # of blocks to a group
    GAP = "gap"
    PUBLICATION = "publication"
    OUTAGES = "outages"  # who judges what is without supply
    CLOCKS = "clocks"  # who judges what was measured of clocks
    CELL = "cell"  # a place in a radio cell, or all of them (store.cells)


PASSING: Final = (  # work that has an end; of the other kinds there are as many rows as things
    Kind.COMMAND,
    Kind.KEY_CHANGE,
    Kind.COMMISSIONING,
    Kind.UPDATE,
    Kind.BROADCAST,
    Kind.GAP,
    Kind.PUBLICATION,
)


@dataclass(frozen=True, slots=True)
class Worker:
    """Who holds: a name that stays over restarts, and a life of it.

    A new life takes over at once what an earlier one of its name held; others wait for the end of
    its leases.
    """

    name: str
    life: str

    @property
    def holder(self) -> str:
        return f"{self.name}/{self.life}"


class Lease(NamedTuple):
    """What was given."""

    kind: Kind
    item: str
    holder: str
    fence: int


class LostLeaseError(UserError):
    """The lease ran out and another worker has it: leave the work to that one."""


def store_clock(connection: Connection) -> "ColumnElement[int]":
    """Return the database's clock as part of a statement, microseconds UTC."""
    if connection.dialect.name != "postgresql":
        return literal(real_us(), BigInteger)
    return cast(extract("epoch", func.clock_timestamp()) * MICROSECONDS, BigInteger)


def store_now_us(connection: Connection) -> int:
    """Return the database's clock, microseconds UTC."""
    if connection.dialect.name != "postgresql":
        return real_us()
    return int(connection.execute(select(store_clock(connection))).scalar_one())


def take(
    database: Database, kind: Kind, items: Collection[str], worker: Worker, seconds: float
) -> list[Lease]:
    """Take those of `items` that nobody else holds; return them, in no certain order."""
    if not items:
        return []
    with transaction(database) as connection:
        now_us = store_now_us(connection)
        statement = insert_or(connection, leases)
        own = leases.c.holder.startswith(f"{worker.name}/", autoescape=True)
        statement = statement.on_conflict_do_update(
            index_elements=["kind", "item"],
            set_={
                "holder": statement.excluded.holder,
                "until_real_us": statement.excluded.until_real_us,
                "fence": leases.c.fence + 1,
            },
            where=or_(leases.c.until_real_us <= now_us, own),
        )
        until_us = now_us + round(seconds * MICROSECONDS)
        rows = [
            {
                "kind": kind.value,
                "item": item,
                "holder": worker.holder,
                "fence": now_us,  # above all of a row that was removed long ago
                "until_real_us": until_us,
            }
            for item in sorted(items)  # in one order, so that two workers never wait in a ring
        ]
        given = connection.execute(statement.returning(leases.c.item, leases.c.fence), rows)
        return [Lease(kind, row.item, worker.holder, row.fence) for row in given]


def claim(  # noqa: PLR0913  what, of which, for whom, how long, how many
    database: Database,
    kind: Kind,
    key: "Column[Any]",
    candidates: "Select[Any]",
    worker: Worker,
    *,
    seconds: float,
    limit: int,
) -> list[Lease]:
    """Take the first free rows of a query that no other worker is claiming now.

    Args:
        database: The store.
        kind: Of the leases.
        key: Column of the candidates' table whose text names the item.
        candidates: Which rows are work, in their order.
        worker: Who asks.
        seconds: How long it is given, unless renewed.
        limit: How many at most.
    """
    free = candidates.with_only_columns(key).limit(limit)
    with reading(database) as connection:  # mostly there is nothing to do
        if (
            connection.execute(_unheld(connection, kind, key, free, worker).limit(1)).first()
            is None
        ):
            return []
    with transaction(database) as connection:
        locked = _unheld(connection, kind, key, free, worker).with_for_update(
            of=key.table, skip_locked=True, key_share=True
        )
        items = [str(item) for item in connection.execute(locked).scalars()]
        # Between our look and our lock another may have claimed and committed: `take` sees that.
        return take(connection, kind, items, worker, seconds)


def _unheld(
    connection: Connection,
    kind: Kind,
    key: "Column[Any]",
    query: "Select[Any]",
    worker: Worker,
) -> "Select[Any]":
    """Leave out what is held; what an earlier life of the worker held is not."""
    earlier = leases.c.holder.startswith(f"{worker.name}/", autoescape=True) & (
        leases.c.holder != worker.holder
    )
    held = select(leases.c.item).where(
        leases.c.kind == kind.value,
        leases.c.item == cast(key, String),
        leases.c.until_real_us > store_clock(connection),
        ~earlier,
    )
    return query.where(~held.exists())


def renew(database: Database, worker: Worker, seconds: float) -> set[tuple[str, str, int]]:
    """Prolong all leases of a worker's life that nobody took; return their kind, item and fence."""
    with transaction(database) as connection:
        mine = held_by(leases.c.holder == worker.holder)
        _lock(connection, mine)
        until_us = store_now_us(connection) + round(seconds * MICROSECONDS)
        kept = connection.execute(
            update(leases)
            .where(mine)
            .values(until_real_us=until_us)
            .returning(leases.c.kind, leases.c.item, leases.c.fence)
        )
        return {(row.kind, row.item, row.fence) for row in kept}


def held_by(
    whom: ColumnElement[bool], kinds: Collection[Kind] = tuple(Kind)
) -> ColumnElement[bool]:
    """Return the condition for what some hold, in the words of the index of what is held."""
    return leases.c.kind.in_(kinds) & whom & (leases.c.holder != literal_column("''"))


def lock(connection: Connection, items: Collection[tuple[Kind, str]]) -> None:
    """Lock leases in their order, those that there are, before some are given back and taken."""
    keys = sorted((kind.value, item) for kind, item in items)
    for first in range(0, len(keys), AT_ONCE):
        _lock(connection, _key().in_(keys[first : first + AT_ONCE]))


def _lock(connection: Connection, wanted: ColumnElement[bool]) -> None:
    """Lock rows in their order: an UPDATE alone takes them as they come, and two could meet.

    A database whose writers wait for each other as a whole has nothing to lock.
    """
    if connection.dialect.name != "postgresql":
        return
    query = select(leases.c.kind, leases.c.item).where(wanted)
    locked = query.order_by(leases.c.kind, leases.c.item).with_for_update().subquery()
    connection.execute(select(func.count()).select_from(locked))


def release(database: Database, given: Collection[Lease]) -> None:
    """Give leases back; those that were lost meanwhile are left to their new holders."""
    # One by one by their key, in its order: a list of them would be looked for in the whole table.
    rows = [
        {"its_kind": kind.value, "its_item": item, "its_holder": holder, "its_fence": fence}
        for kind, item, holder, fence in sorted(given)
    ]
    if not rows:
        return
    with transaction(database) as connection:
        statement = update(leases).where(
            leases.c.kind == bindparam("its_kind"),
            leases.c.item == bindparam("its_item"),
            leases.c.holder == bindparam("its_holder"),
            leases.c.fence == bindparam("its_fence"),
        )
        # Below zero, so that it is free whatever a clock that was set back says of now.
        free = {"holder": NOBODY, "until_real_us": -store_clock(connection)}
        connection.execute(statement.values(free), rows)


def sweep(database: Database, kept_s: float = KEPT_S) -> int:
    """Remove a few rows of work that passed away, free for `kept_s`; return how many.

    A row that is made anew begins with the clock of its making, so the fence of one that is
    removed has to be older than any transaction that may be making it now.
    """
    with transaction(database) as connection:
        before_us = store_now_us(connection) - round(kept_s * MICROSECONDS)
        gone = (
            select(leases.c.kind, leases.c.item)
            .where(
                leases.c.kind.in_(PASSING),
                func.abs(leases.c.until_real_us) < before_us,
                leases.c.fence < before_us,
            )
            .limit(AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        rows = [{"its_kind": kind, "its_item": item} for kind, item in connection.execute(gone)]
        if rows:
            its = (leases.c.kind == bindparam("its_kind")) & (
                leases.c.item == bindparam("its_item")
            )
            connection.execute(delete(leases).where(its), rows)
        return len(rows)


def _key() -> Tuple:
    return tuple_(leases.c.kind, leases.c.item)


def require(connection: Connection, lease: Lease) -> None:
    """Hold a lease until the transaction ends.

    Raises:
        LostLeaseError: It ran out or is another's.
    """
    if not held(connection, [lease]):
        raise lost(lease)


def held(connection: Connection, some: Collection[Lease]) -> set[Lease]:
    """Hold leases until the transaction ends; return those that are neither lost nor run out."""
    found: set[Lease] = set()
    keys = sorted({(lease.kind.value, lease.item) for lease in some})
    columns = (leases.c.kind, leases.c.item, leases.c.holder, leases.c.fence)
    for first in range(0, len(keys), AT_ONCE):
        query = select(*columns).where(
            _key().in_(keys[first : first + AT_ONCE]),
            leases.c.until_real_us > store_clock(connection),
        )
        query = query.order_by(leases.c.kind, leases.c.item).with_for_update(read=True)
        found |= {Lease(Kind(row.kind), *row[1:]) for row in connection.execute(query)}
    return found.intersection(some)


def lost(lease: Lease) -> LostLeaseError:
    """Return the sentence for a lease that is not held any more."""
    name = f"{lease.kind.value} {lease.item}"
    return LostLeaseError(f"the lease of {name} has run out: another worker does its work")


def alive(database: Database) -> set[str]:
    """Return the names of workers that renewed their leases in time."""
    with reading(database) as connection:
        query = select(leases.c.item).where(
            leases.c.kind == Kind.WORKER.value, leases.c.until_real_us > store_clock(connection)
        )
        return set(connection.execute(query).scalars())
