# SPDX-License-Identifier: Apache-2.0
"""Who is or was without supply in which of the `outages`, and why it is believed."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)

from openami.exchange.reliability import Span
from openami.exchange.supply import Evidence, Scope, Supply
from openami.store.database import Database, among, reading, upsert
from openami.store.outages import Outage, outage
from openami.store.supply_tables import outage_meters as members_table
from openami.store.supply_tables import outages as outages_table
from openami.store.supply_tables import supply as supply_table
from openami.store.topology import pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A meter in an outage."""

    outage_id: int
    meter_id: int
    lost_us: int
    returned_us: int | None
    evidence: Evidence


class Tally(NamedTuple):
    """How many meters are in an outage, and when the last of those that are back came back."""

    meters: int = 0
    dark: int = 0
    presumed: int = 0  # of those that are dark
    returned_us: int | None = None


def add_member(connection: Connection, member: Member) -> None:
    """Write that a meter was in an outage; what is known of its supply now is another matter."""
    upsert(connection, members_table, [asdict(member)])


def put_members(
    connection: Connection,
    members: Sequence[Member],
    dues: Mapping[Evidence, int] = MappingProxyType({}),
) -> None:
    """Write who is in an outage, and point what is known of their supply to it.

    Args:
        connection: In a transaction.
        members: By outage and meter; a meter is in one of them.
        dues: When those that are dark are asked next, by what is known of them; else never.
    """
    if not members:
        return
    upsert(connection, members_table, [asdict(member) for member in members])
    table = members_table.c
    asked = [
        ((table.returned_us.is_(None)) & (table.evidence == evidence.value), due_us)
        for evidence, due_us in dues.items()
    ]
    values = {
        "outage_id": table.outage_id,
        "due_real_us": case(*asked) if asked else None,
        "news_real_us": None,
    }
    same = supply_table.c.meter_id == table.meter_id
    for few in pieces({member.outage_id for member in members}):
        for some in pieces({member.meter_id for member in members}):
            wanted = (
                same
                & among(connection, table.outage_id, few)
                & among(connection, table.meter_id, some)
            )
            connection.execute(update(supply_table).where(wanted).values(**values))


def follow(connection: Connection, members: Sequence[Member]) -> None:
    """Bring members to what is known of their supply."""
    upsert(connection, members_table, [asdict(member) for member in members])


def drop_members(connection: Connection, members: Collection[Member]) -> None:
    """Take out meters that never were without supply."""
    keys = [
        {"its_outage": each.outage_id, "its_meter": each.meter_id}
        for each in sorted(members, key=lambda each: each.meter_id)
    ]
    if keys:
        table, known = members_table.c, supply_table.c
        mine = (table.outage_id == bindparam("its_outage")) & (
            table.meter_id == bindparam("its_meter")
        )
        connection.execute(delete(members_table).where(mine), keys)
        connection.execute(
            delete(supply_table).where(known.meter_id == bindparam("its_meter")), keys
        )


def keep_return(connection: Connection, outage_id: int, loss: Supply) -> None:
    """Write when a meter of an outage came back, before another loss takes its place."""
    table = members_table.c
    connection.execute(
        update(members_table)
        .where(table.outage_id == outage_id, table.meter_id == loss.meter_id)
        .values(lost_us=loss.lost_us, returned_us=loss.returned_us, evidence=loss.evidence.value)
    )


def members(database: Database, outage_ids: Collection[int]) -> dict[int, list[Member]]:
    """Return who is in outages, by outage and meter."""
    table = members_table.c
    found: dict[int, list[Member]] = {outage_id: [] for outage_id in outage_ids}
    with reading(database) as connection:
        for some in pieces(outage_ids):
            query = select(members_table).where(table.outage_id.in_(some))
            for row in connection.execute(query.order_by(table.meter_id)).mappings():
                found[row["outage_id"]].append(_member(row))
    return found


def page_of_members(
    database: Database,
    outage_ids: Collection[int],
    *,
    limit: int,
    after: int = -1,
    skipped: int = 0,
) -> list[Member]:
    """Return who is in any of some outages, by meter: so many meters at once.

    Args:
        database: The store.
        outage_ids: A few: an outage and its parts.
        limit: How many meters; one that is in two of the outages is there twice.
        after: Only meters with a higher number are returned.
        skipped: How many of those are left out at the beginning.
    """
    table = members_table.c
    mine = table.outage_id.in_(list(outage_ids))
    numbers = select(table.meter_id).where(mine, table.meter_id > after).distinct()
    numbers = numbers.order_by(table.meter_id).limit(limit).offset(skipped)
    with reading(database) as connection:
        found = connection.execute(numbers).scalars().all()
        if not found:
            return []
        query = select(members_table).where(mine, table.meter_id.between(found[0], found[-1]))
        rows = connection.execute(query.order_by(table.meter_id, table.outage_id)).mappings()
        return [_member(row) for row in rows]


def some_members(
    database: Database, outage_ids: Collection[int], meter_ids: Collection[int]
) -> dict[tuple[int, int], Member]:
    """Return who of some meters is in which of some outages, by outage and meter."""
    table = members_table.c
    found: dict[tuple[int, int], Member] = {}
    with reading(database) as connection:
        for few in pieces(meter_ids):
            for ids in pieces(outage_ids):
                query = select(members_table).where(among(connection, table.meter_id, few))
                for row in connection.execute(
                    query.where(among(connection, table.outage_id, ids))
                ).mappings():
                    found[row["outage_id"], row["meter_id"]] = _member(row)
    return found


def tallies(database: Database, outage_ids: Collection[int]) -> dict[int, Tally]:
    """Count who is in outages, by outage; one that has no meter of its own is not in it."""
    table = members_table.c
    dark = table.returned_us.is_(None)
    presumed = and_(dark, table.evidence == Evidence.PRESUMED.value)
    counts = [func.sum(case((which, 1), else_=0)) for which in (dark, presumed)]
    columns = (table.outage_id, func.count(), *counts, func.max(table.returned_us))
    query = select(*columns).group_by(table.outage_id)
    found: dict[int, Tally] = {}
    with reading(database) as connection:
        for few in pieces(outage_ids):
            rows = connection.execute(query.where(table.outage_id.in_(few)))
            found |= {row[0]: Tally(int(row[1]), int(row[2]), int(row[3]), row[4]) for row in rows}
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


def _member(row: RowMapping) -> Member:
    return Member(**{**row, "evidence": Evidence(row["evidence"])})
