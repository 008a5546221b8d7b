# SPDX-License-Identifier: Apache-2.0
"""Outages: what is or was without supply, since when, and why it is believed.

Who is in them: `outage_members`.  One worker at a time judges (`leases.Kind.OUTAGES`); everybody
may read and acknowledge.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from openami.exchange.supply import Scope
from openami.runtime.errors import UserError
from openami.store import advisory
from openami.store.advisory import Lock
from openami.store.database import Database, among, insert_all, reading, transaction
from openami.store.supply_tables import outage_history as history_table
from openami.store.supply_tables import outage_meters as members_table
from openami.store.supply_tables import outages as outages_table
from openami.store.supply_work import by_value
from openami.store.topology import pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """One outage; `outage_id` is 0 until the store has given it a number."""

    scope: Scope
    place: str
    region: str
    began_us: int
    found_real_us: int
    verified: bool
    sentence: str
    parent_id: int | None = None
    ended_us: int | None = None
    ended_real_us: int | None = None
    acknowledged_by: str | None = None
    acknowledged_real_us: int | None = None
    note: str | None = None
    outage_id: int = 0


class Step(NamedTuple):
    """What happened to an outage."""

    at_real_us: int
    note: str


class UnknownOutageError(UserError):
    """An outage that the store does not have."""


COLUMNS: Final = tuple(outages_table.c[each.name] for each in fields(Outage))


def begin(connection: Connection, outage: Outage) -> int:
    """Write a new outage and the first line of its history; return its number."""
    return begin_all(connection, [outage])[0]


def begin_all(connection: Connection, begun: Sequence[Outage]) -> list[int]:
    """Write new outages, each with the first line of its history; return their numbers."""
    if not begun:
        return []
    rows = [asdict(each) for each in begun]
    for row in rows:
        del row["outage_id"]
    numbered = insert(outages_table).returning(
        outages_table.c.outage_id, sort_by_parameter_order=True
    )
    numbers = [int(number) for number in connection.execute(numbered, rows).scalars()]
    firsts = zip(numbers, begun, strict=True)
    note_all(
        connection, [(number, Step(each.found_real_us, each.sentence)) for number, each in firsts]
    )
    return numbers


def note(connection: Connection, outage_id: int, at_real_us: int, sentence: str) -> None:
    """Write a line of an outage's history."""
    note_all(connection, [(outage_id, Step(at_real_us, sentence))])


def note_all(connection: Connection, steps: Sequence[tuple[int, Step]]) -> None:
    """Write lines of outages' histories, in their order."""
    rows = [{"outage_id": outage_id, **step._asdict()} for outage_id, step in steps]
    insert_all(connection, history_table, rows)


def end_all(connection: Connection, ended_us: Mapping[int, int], ended_real_us: int) -> None:
    """Close outages, each at its time."""
    rows = [{"its_number": number, "its_end": ends} for number, ends in ended_us.items()]
    if rows:
        connection.execute(
            update(outages_table)
            .where(outages_table.c.outage_id == bindparam("its_number"))
            .values(ended_us=bindparam("its_end"), ended_real_us=ended_real_us, due_real_us=None),
            rows,
        )


def adopt(connection: Connection, parents: Mapping[int, int]) -> None:
    """Make outages part of others, by number."""
    rows = [{"its_number": number, "its_parent": parent} for number, parent in parents.items()]
    if rows:
        connection.execute(
            update(outages_table)
            .where(outages_table.c.outage_id == bindparam("its_number"))
            .values(parent_id=bindparam("its_parent")),
            rows,
        )


def forget(connection: Connection, outage_ids: Collection[int]) -> None:
    """Remove outages that became part of a greater one, which has their meters now."""
    for some in pieces(outage_ids):
        for table in (members_table, history_table, outages_table):
            connection.execute(delete(table).where(table.c.outage_id.in_(some)))


# When the end of an outage is judged --------------------------------------------------------------


def look_at(connection: Connection, dues: Mapping[int, int | None]) -> None:
    """Write when outages that are not over are looked at next."""
    table = outages_table.c
    for due_us, numbers in by_value(dues).items():
        for few in pieces(numbers):
            wanted = among(connection, table.outage_id, few) & table.ended_us.is_(None)
            connection.execute(update(outages_table).where(wanted).values(due_real_us=due_us))


def hold(connection: Connection) -> None:
    """Let no other that asks for this change outages until the transaction ends.

    Whoever locks what is known of meters, too, does so before: two never wait for each other.
    """
    advisory.hold(connection, Lock.OUTAGES)


def parent_ids(database: Database, outage_ids: Collection[int]) -> set[int]:
    """Return the numbers of the outages that some are part of."""
    table = outages_table.c
    found: set[int] = set()
    with reading(database) as connection:
        for few in pieces(outage_ids):
            query = select(table.parent_id).where(table.parent_id.is_not(None))
            rows = connection.execute(query.where(among(connection, table.outage_id, few)))
            found |= set(rows.scalars())
    return found


def due(database: Database, now_real_us: int, limit: int) -> list[Outage]:
    """Return outages that are to be looked at now, those that wait longest first."""
    table = outages_table.c
    query = select(*COLUMNS).where(table.due_real_us <= now_real_us)
    return _outages(database, query.order_by(table.due_real_us, table.outage_id).limit(limit))


# Who is in them -----------------------------------------------------------------------------------


# What is asked of them ----------------------------------------------------------------------------


def count_open(database: Database) -> int:
    """Return how many outages are not over."""
    query = select(func.count()).where(outages_table.c.ended_us.is_(None))
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


def open_at(
    database: Database, scope: Scope, places: Collection[str] | None = None
) -> dict[str, Outage]:
    """Return the outages of places that are not over, by place; without places all of a scope."""
    table = outages_table.c
    query = select(*COLUMNS).where(table.ended_us.is_(None), table.scope == scope.value)
    if places is None:
        return {each.place: each for each in _outages(database, query)}
    found: dict[str, Outage] = {}
    with reading(database) as connection:
        for some in pieces(places):
            rows = _outages(connection, query.where(among(connection, table.place, some)))
            found |= {each.place: each for each in rows}
    return found


def open_outages(database: Database, *, limit: int | None = None) -> list[Outage]:
    """Return what is not over, the oldest first; all of it where there is no limit."""
    query = select(*COLUMNS).where(outages_table.c.ended_us.is_(None))
    return _outages(database, query.order_by(outages_table.c.outage_id).limit(limit))


def ended(database: Database, *, since_us: int = 0, limit: int = 100) -> list[Outage]:
    """Return outages that are over, the newest first."""
    query = select(*COLUMNS).where(outages_table.c.ended_us >= since_us)
    order = (outages_table.c.ended_us.desc(), outages_table.c.outage_id.desc())
    return _outages(database, query.order_by(*order).limit(limit))


def outage(database: Database, outage_id: int) -> Outage:
    """Return one outage.

    Raises:
        UnknownOutageError: There is none of that number.
    """
    found = _outages(database, select(*COLUMNS).where(outages_table.c.outage_id == outage_id))
    if not found:
        raise UnknownOutageError(f"there is no outage {outage_id}: see /console/outages")
    return found[0]


def still_open(database: Database, outage_ids: Collection[int]) -> list[Outage]:
    """Return those of some outages that are not over."""
    table = outages_table.c
    found: list[Outage] = []
    with reading(database) as connection:
        for few in pieces(outage_ids):
            query = select(*COLUMNS).where(table.ended_us.is_(None))
            found += _outages(connection, query.where(among(connection, table.outage_id, few)))
    return found


def parts(database: Database, outage_id: int) -> list[Outage]:
    """Return the outages that are part of one."""
    query = select(*COLUMNS).where(outages_table.c.parent_id == outage_id)
    return _outages(database, query.order_by(outages_table.c.outage_id))


def parts_of(database: Database, outage_ids: Collection[int]) -> dict[int, list[Outage]]:
    """Return the outages that are part of each of some."""
    found: dict[int, list[Outage]] = {number: [] for number in outage_ids}
    for some in pieces(outage_ids):
        query = select(*COLUMNS).where(outages_table.c.parent_id.in_(some))
        for each in _outages(database, query.order_by(outages_table.c.outage_id)):
            if each.parent_id is not None:
                found[each.parent_id].append(each)
    return found


def ended_at(database: Database, places: Collection[str], since_us: int) -> list[Outage]:
    """Return outages of places that were not over before `since_us`, and are by now."""
    table = outages_table.c
    found: list[Outage] = []
    with reading(database) as connection:
        for some in pieces(places):
            query = select(*COLUMNS).where(table.ended_us >= since_us)
            query = query.where(among(connection, table.place, some))
            found += _outages(connection, query.order_by(table.outage_id))
    return found


def history(database: Database, outage_id: int) -> list[Step]:
    """Return what happened to an outage, the oldest first."""
    query = select(history_table.c.at_real_us, history_table.c.note)
    query = query.where(history_table.c.outage_id == outage_id)
    with reading(database) as connection:
        return [Step(*row) for row in connection.execute(query.order_by("history_id"))]


def latest_history(database: Database, outage_id: int, *, limit: int) -> tuple[list[Step], int]:
    """Return the latest of what happened to an outage, and how much there was before."""
    table = history_table.c
    mine = table.outage_id == outage_id
    query = select(table.at_real_us, table.note).where(mine)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(table.history_id.desc()).limit(limit))
        steps = [Step(*row) for row in rows][::-1]
        count = connection.execute(select(func.count()).where(mine)).scalar_one()
    return steps, int(count) - len(steps)


def acknowledge(
    database: Database, outage_id: int, login: str, sentence: str, now_real_us: int
) -> None:
    """Write that somebody has looked at an outage, and what they say.

    Raises:
        UnknownOutageError: There is none of that number.
    """
    with transaction(database) as connection:
        outage(connection, outage_id)
        connection.execute(
            update(outages_table)
            .where(outages_table.c.outage_id == outage_id)
            .values(acknowledged_by=login, acknowledged_real_us=now_real_us, note=sentence)
        )
        note(connection, outage_id, now_real_us, f"{login}: {sentence}")


def of_place(
    database: Database, scope: Scope, place: str, from_us: int, to_us: int
) -> list[Outage]:
    """Return outages of a place that had begun by `to_us` and were not over before `from_us`."""
    table = outages_table.c
    query = select(*COLUMNS).where(
        table.scope == scope.value,
        table.place == place,
        table.began_us <= to_us,
        or_(table.ended_us.is_(None), table.ended_us >= from_us),
    )
    return _outages(database, query.order_by(table.outage_id))


def _outages(database: Database, query: "Select[Any]") -> list[Outage]:
    with reading(database) as connection:
        rows = connection.execute(query).mappings()
        return [Outage(**{**row, "scope": Scope(row["scope"])}) for row in rows]
