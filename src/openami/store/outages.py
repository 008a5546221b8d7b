# SPDX-License-Identifier: Apache-2.0
"""Outages: what is or was without supply, who is in it, since when, and why it is believed.

One worker at a time judges (`leases.Kind.OUTAGES`); everybody may read and acknowledge.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from openami.exchange.reliability import Span
from openami.exchange.supply import Evidence, Scope, Supply
from openami.runtime.errors import UserError
from openami.store.database import Database, insert_all, reading, transaction, upsert
from openami.store.supply_tables import outage_history as history_table
from openami.store.supply_tables import outage_meters as members_table
from openami.store.supply_tables import outages as outages_table
from openami.store.supply_tables import supply as supply_table
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A meter in an outage."""

    outage_id: int
    meter_id: int
    lost_us: int
    returned_us: int | None
    evidence: Evidence


class Step(NamedTuple):
    """What happened to an outage."""

    at_real_us: int
    note: str


class UnknownOutageError(UserError):
    """An outage that the store does not have."""


def begin(connection: Connection, outage: Outage) -> int:
    """Write a new outage and the first line of its history; return its number."""
    row = asdict(outage)
    del row["outage_id"]
    statement = insert(outages_table).returning(outages_table.c.outage_id)
    outage_id = int(connection.execute(statement, [row]).scalar_one())
    note(connection, outage_id, outage.found_real_us, outage.sentence)
    return outage_id


def note(connection: Connection, outage_id: int, at_real_us: int, sentence: str) -> None:
    """Write a line of an outage's history."""
    row = {"outage_id": outage_id, "at_real_us": at_real_us, "note": sentence}
    insert_all(connection, history_table, [row])


def end(connection: Connection, outage_id: int, ended_us: int, ended_real_us: int) -> None:
    """Close an outage."""
    wanted = outages_table.c.outage_id == outage_id
    times = {"ended_us": ended_us, "ended_real_us": ended_real_us}
    connection.execute(update(outages_table).where(wanted).values(**times))


def adopt(connection: Connection, outage_ids: Collection[int], parent_id: int) -> None:
    """Make outages part of another."""
    wanted = outages_table.c.outage_id.in_(list(outage_ids))
    connection.execute(update(outages_table).where(wanted).values(parent_id=parent_id))


def forget(connection: Connection, outage_id: int) -> None:
    """Remove an outage that became part of a greater one, which has its meters now."""
    for table in (members_table, history_table, outages_table):
        connection.execute(delete(table).where(table.c.outage_id == outage_id))


def add_member(connection: Connection, member: Member) -> None:
    """Write that a meter was in an outage; what is known of its supply now is another matter."""
    upsert(connection, members_table, [asdict(member)])


def put_members(connection: Connection, members: Sequence[Member]) -> None:
    """Write who is in an outage, and point what is known of their supply to it."""
    upsert(connection, members_table, [asdict(member) for member in members])
    by_outage: dict[int, list[int]] = defaultdict(list)
    for member in members:
        by_outage[member.outage_id].append(member.meter_id)
    for outage_id, meter_ids in by_outage.items():
        wanted = supply_table.c.meter_id.in_(meter_ids)
        connection.execute(update(supply_table).where(wanted).values(outage_id=outage_id))


def drop_member(connection: Connection, outage_id: int, meter_id: int) -> None:
    """Take out a meter that never was without supply."""
    wanted = members_table.c.outage_id == outage_id
    connection.execute(delete(members_table).where(wanted, members_table.c.meter_id == meter_id))
    connection.execute(delete(supply_table).where(supply_table.c.meter_id == meter_id))


def follow_supply(connection: Connection) -> list[Member]:
    """Bring open outages' meters to what is known of their supply; return those that changed."""
    table, known = members_table.c, supply_table.c
    differs = or_(
        table.lost_us != known.lost_us,
        table.evidence != known.evidence,
        table.returned_us.is_distinct_from(known.returned_us),
    )
    query = (
        select(table.outage_id, table.meter_id, known.lost_us, known.returned_us, known.evidence)
        .join_from(members_table, supply_table, _same_loss())
        .join(outages_table, outages_table.c.outage_id == table.outage_id)
        .where(differs)
        .order_by(table.outage_id, table.meter_id)
    )
    changed = [_member(row) for row in connection.execute(query).mappings()]
    upsert(connection, members_table, [asdict(member) for member in changed])
    return changed


def differs_from_supply(database: Database) -> bool:
    """Tell whether `follow_supply` has something to do."""
    table, known = members_table.c, supply_table.c
    differs = or_(
        table.lost_us != known.lost_us,
        table.evidence != known.evidence,
        table.returned_us.is_distinct_from(known.returned_us),
    )
    query = select(table.meter_id).join_from(members_table, supply_table, _same_loss())
    with reading(database) as connection:
        return connection.execute(query.where(differs).limit(1)).first() is not None


def _same_loss() -> "ColumnElement[bool]":
    same = members_table.c.meter_id == supply_table.c.meter_id
    return same & (members_table.c.outage_id == supply_table.c.outage_id)


def open_outages(database: Database) -> list[Outage]:
    """Return what is not over, the oldest first."""
    query = select(outages_table).where(outages_table.c.ended_us.is_(None))
    return _outages(database, query.order_by(outages_table.c.outage_id))


def ended(database: Database, *, since_us: int = 0, limit: int = 100) -> list[Outage]:
    """Return outages that are over, the newest first."""
    query = select(outages_table).where(outages_table.c.ended_us >= since_us)
    order = (outages_table.c.ended_us.desc(), outages_table.c.outage_id.desc())
    return _outages(database, query.order_by(*order).limit(limit))


def outage(database: Database, outage_id: int) -> Outage:
    """Return one outage.

    Raises:
        UnknownOutageError: There is none of that number.
    """
    found = _outages(database, select(outages_table).where(outages_table.c.outage_id == outage_id))
    if not found:
        raise UnknownOutageError(f"there is no outage {outage_id}: see /console/outages")
    return found[0]


def parts(database: Database, outage_id: int) -> list[Outage]:
    """Return the outages that are part of one."""
    query = select(outages_table).where(outages_table.c.parent_id == outage_id)
    return _outages(database, query.order_by(outages_table.c.outage_id))


def parts_of(database: Database, outage_ids: Collection[int]) -> dict[int, list[Outage]]:
    """Return the outages that are part of each of some."""
    found: dict[int, list[Outage]] = {number: [] for number in outage_ids}
    query = select(outages_table).where(outages_table.c.parent_id.in_(list(outage_ids)))
    for each in _outages(database, query.order_by(outages_table.c.outage_id)):
        if each.parent_id is not None:
            found[each.parent_id].append(each)
    return found


def ended_at(database: Database, places: Collection[str], since_us: int) -> list[Outage]:
    """Return outages of places that were not over before `since_us`, and are by now."""
    table = outages_table.c
    found: list[Outage] = []
    for some in pieces(places):
        query = select(outages_table).where(table.ended_us >= since_us, table.place.in_(some))
        found += _outages(database, query.order_by(table.outage_id))
    return found


def members(database: Database, outage_ids: Collection[int]) -> dict[int, list[Member]]:
    """Return who is in outages, by outage and meter."""
    query = select(members_table).where(members_table.c.outage_id.in_(list(outage_ids)))
    found: dict[int, list[Member]] = {outage_id: [] for outage_id in outage_ids}
    with reading(database) as connection:
        for row in connection.execute(query.order_by(members_table.c.meter_id)).mappings():
            found[row["outage_id"]].append(_member(row))
    return found


class Tally(NamedTuple):
    """How many meters are in an outage."""

    meters: int = 0
    dark: int = 0
    presumed: int = 0  # of those that are dark


def tallies(database: Database, outage_ids: Collection[int]) -> dict[int, Tally]:
    """Count who is in outages, by outage; one that has no meter of its own is not in it."""
    table = members_table.c
    dark = table.returned_us.is_(None)
    presumed = and_(dark, table.evidence == Evidence.PRESUMED.value)
    counts = [func.sum(case((which, 1), else_=0)) for which in (dark, presumed)]
    query = select(table.outage_id, func.count(), *counts).group_by(table.outage_id)
    found: dict[int, Tally] = {}
    with reading(database) as connection:
        for few in pieces(outage_ids):
            rows = connection.execute(query.where(table.outage_id.in_(few)))
            found |= {row[0]: Tally(*map(int, row[1:])) for row in rows}
    return found


def of_meter(database: Database, meter_id: int, *, limit: int = 20) -> list[tuple[Outage, Member]]:
    """Return the outages that a meter was in, the newest first."""
    query = select(members_table).where(members_table.c.meter_id == meter_id)
    query = query.order_by(members_table.c.lost_us.desc()).limit(limit)
    with reading(database) as connection:
        return [
            (outage(connection, row["outage_id"]), _member(row))
            for row in connection.execute(query).mappings().all()
        ]


def history(database: Database, outage_id: int) -> list[Step]:
    """Return what happened to an outage, the oldest first."""
    query = select(history_table.c.at_real_us, history_table.c.note)
    query = query.where(history_table.c.outage_id == outage_id)
    with reading(database) as connection:
        return [Step(*row) for row in connection.execute(query.order_by("history_id"))]


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


def interruptions(database: Database, from_us: int, to_us: int) -> list[Span]:
    """Return what began in [from_us, to_us), by meter and time; lost concentrators are none."""
    table = members_table.c
    return _spans(
        database, _not_ended_before(from_us), table.lost_us >= from_us, table.lost_us < to_us
    )


def without_supply(database: Database, from_us: int, to_us: int) -> list[Span]:
    """Return interruptions that lasted into [from_us, to_us), whenever they began."""
    table = members_table.c
    lasted = or_(table.returned_us.is_(None), table.returned_us > from_us)
    return _spans(database, _not_ended_before(from_us), lasted, table.lost_us < to_us)


def of_place(
    database: Database, scope: Scope, place: str, from_us: int, to_us: int
) -> list[Outage]:
    """Return outages of a place that had begun by `to_us` and were not over before `from_us`."""
    table = outages_table.c
    query = select(outages_table).where(
        table.scope == scope.value,
        table.place == place,
        table.began_us <= to_us,
        _not_ended_before(from_us),
    )
    return _outages(database, query.order_by(table.outage_id))


def keep_return(connection: Connection, outage_id: int, loss: Supply) -> None:
    """Write when a meter of an outage came back, before another loss takes its place."""
    table = members_table.c
    connection.execute(
        update(members_table)
        .where(table.outage_id == outage_id, table.meter_id == loss.meter_id)
        .values(lost_us=loss.lost_us, returned_us=loss.returned_us, evidence=loss.evidence.value)
    )


def is_kept(connection: Connection, loss: Supply, beside: int | None) -> bool:
    """Tell whether an interruption that is over lies in an outage of its meter.

    Args:
        connection: Of the store.
        loss: The interruption.
        beside: An outage that does not count: what its meter last told is not yet in it.
    """
    table = members_table.c
    ended_us = func.coalesce(table.returned_us, outages_table.c.ended_us)
    query = (
        select(table.outage_id)
        .join_from(members_table, outages_table, table.outage_id == outages_table.c.outage_id)
        .where(
            table.meter_id == loss.meter_id,
            table.outage_id.is_distinct_from(beside),
            table.lost_us < loss.returned_us,
            or_(ended_us.is_(None), ended_us > loss.lost_us),
        )
        .limit(1)
    )
    return connection.execute(query).first() is not None


def _outages(database: Database, query: "Select[Any]") -> list[Outage]:
    with reading(database) as connection:
        rows = connection.execute(query).mappings()
        return [Outage(**{**row, "scope": Scope(row["scope"])}) for row in rows]


def _member(row: RowMapping) -> Member:
    return Member(**{**row, "evidence": Evidence(row["evidence"])})


def _spans(database: Database, *wanted: "ColumnElement[bool]") -> list[Span]:
    table = members_table.c
    query = (
        select(table.meter_id, table.lost_us, table.returned_us)
        .join_from(members_table, outages_table, table.outage_id == outages_table.c.outage_id)
        .where(
            outages_table.c.scope != Scope.CONCENTRATOR.value,
            # Who was left behind by an outage that is over has one of its own, which counts.
            or_(table.returned_us.is_not(None), outages_table.c.ended_us.is_(None)),
            *wanted,
        )
        .order_by(table.meter_id, table.lost_us)
    )
    with reading(database) as connection:
        return [Span(*row) for row in connection.execute(query)]


def _not_ended_before(moment_us: int) -> "ColumnElement[bool]":
    return or_(outages_table.c.ended_us.is_(None), outages_table.c.ended_us >= moment_us)
