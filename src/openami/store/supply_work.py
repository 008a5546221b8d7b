# SPDX-License-Identifier: Apache-2.0
"""What the worker that judges supply has to take up: it stands in the store by time.

Each question is answered out of an index that holds what is to be done alone, so that a look costs
the same however many meters are dark.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    case,
    exists,
    func,
    or_,
    select,
    update,
)

from openami.exchange.supply import OPEN_PINGS
from openami.store.database import Database, among, reading
from openami.store.supply_tables import pings as pings_table
from openami.store.supply_tables import supply as supply_table
from openami.store.supply_tables import topology as topology_table
from openami.store.tables import meters as meters_table
from openami.store.topology import pieces


def has_work(database: Database, now_real_us: int, stale_real_us: int) -> bool:
    """Tell whether anything is to be judged, followed, heard or asked.

    Args:
        database: The store.
        now_real_us: What is due by now counts.
        stale_real_us: ... and open questions that were asked before this.
    """
    told, asked = supply_table.c, pings_table.c
    is_open = asked.state.in_([each.value for each in OPEN_PINGS])
    queries = (
        select(told.meter_id).where(told.outage_id.is_(None), told.due_real_us <= now_real_us),
        select(told.meter_id).where(told.outage_id.is_not(None), told.due_real_us <= now_real_us),
        select(told.meter_id).where(told.news_real_us.is_not(None)),
        select(asked.meter_id).where(asked.news_real_us.is_not(None)),
        select(asked.meter_id).where(is_open, asked.asked_real_us < stale_real_us),
    )
    with reading(database) as connection:
        return bool(connection.scalar(select(or_(*(exists(query) for query in queries)))))


def any_unjudged(connection: Connection) -> bool:
    """Tell whether there is a loss that no outage has been found for yet, due or not."""
    query = select(supply_table.c.meter_id).where(supply_table.c.outage_id.is_(None))
    return connection.execute(query.limit(1)).first() is not None


def to_judge(connection: Connection, now_real_us: int, limit: int) -> list[int]:
    """Return meters with a loss that is to be judged now, those that wait longest first."""
    table = supply_table.c
    query = select(table.meter_id).where(
        table.outage_id.is_(None), table.due_real_us <= now_real_us
    )
    query = query.order_by(table.due_real_us, table.meter_id).limit(limit)
    return list(connection.execute(query).scalars())


class Standing(NamedTuple):
    """What waits to be judged at one place.

    Attributes:
        meters: All of its meters.
        losses: Of these, with a loss that no outage has been found for yet.
        later_us: When the first of those is judged that are not to be judged yet, real time.
    """

    meters: int
    losses: int
    later_us: int | None


def standings(
    connection: Connection, transformers: Collection[str], now_real_us: int
) -> dict[str, Standing]:
    """Return what waits at transformers, without reading each of their meters."""
    hangs, known = topology_table.c, supply_table.c
    mine = (known.meter_id == hangs.meter_id) & known.outage_id.is_(None)
    query = (
        select(hangs.transformer, func.count(), func.count(known.meter_id), _later(now_real_us))
        .select_from(topology_table.outerjoin(supply_table, mine))
        .group_by(hangs.transformer)
    )
    found: dict[str, Standing] = {}
    for some in pieces(transformers):
        rows = connection.execute(query.where(among(connection, hangs.transformer, some)))
        found |= {row[0]: Standing(*row[1:]) for row in rows}
    return found


def standings_of_areas(
    connection: Connection, concentrators: Collection[bytes], now_real_us: int
) -> dict[bytes, Standing]:
    """Return the same of areas: meters of a concentrator of which no transformer is known."""
    carried, known = meters_table.c, supply_table.c
    mine = (known.meter_id == carried.meter_id) & known.outage_id.is_(None)
    query = (
        select(carried.concentrator, func.count(), func.count(known.meter_id), _later(now_real_us))
        .select_from(meters_table.outerjoin(supply_table, mine))
        .where(_hangs_nowhere())
        .group_by(carried.concentrator)
    )
    found: dict[bytes, Standing] = {}
    for some in pieces(concentrators):
        rows = connection.execute(query.where(among(connection, carried.concentrator, some)))
        found |= {bytes(row[0]): Standing(*row[1:]) for row in rows}
    return found


def in_areas(
    connection: Connection, concentrators: Collection[bytes]
) -> dict[bytes, frozenset[int]]:
    """Return the meters of areas."""
    carried = meters_table.c
    query = select(carried.concentrator, carried.meter_id).where(_hangs_nowhere())
    found: dict[bytes, set[int]] = {title: set() for title in concentrators}
    for some in pieces(concentrators):
        for title, meter_id in connection.execute(
            query.where(among(connection, carried.concentrator, some))
        ):
            found[bytes(title)].add(meter_id)
    return {title: frozenset(numbers) for title, numbers in found.items()}


def _hangs_nowhere() -> "ColumnElement[bool]":
    return ~exists().where(topology_table.c.meter_id == meters_table.c.meter_id)


def _later(now_real_us: int) -> "ColumnElement[int | None]":
    due_us = supply_table.c.due_real_us
    return func.min(case((due_us > now_real_us, due_us)))


def to_ask(connection: Connection, now_real_us: int, limit: int) -> list[int]:
    """Return dark meters that are to be asked now, those that wait longest first."""
    table = supply_table.c
    query = select(table.meter_id).where(
        table.outage_id.is_not(None), table.due_real_us <= now_real_us
    )
    query = query.order_by(table.due_real_us, table.meter_id).limit(limit)
    return list(connection.execute(query).scalars())


def news(connection: Connection, limit: int) -> list[int]:
    """Return meters of outages that have changed, the first first."""
    table = supply_table.c
    query = select(table.meter_id).where(table.news_real_us.is_not(None))
    query = query.order_by(table.news_real_us, table.meter_id).limit(limit)
    return list(connection.execute(query).scalars())


def put_off(connection: Connection, dues: Mapping[int, int | None]) -> None:
    """Write when meters are taken up next."""
    _take_up(connection, dues, {})


def take_up(connection: Connection, dues: Mapping[int, int | None]) -> None:
    """Write the same of meters whose outages have been brought to what they told."""
    _take_up(connection, dues, {"news_real_us": None})


def _take_up(
    connection: Connection, dues: Mapping[int, int | None], also: Mapping[str, None]
) -> None:
    for due_us, numbers in by_value(dues).items():
        for some in pieces(numbers):
            wanted = among(connection, supply_table.c.meter_id, some)
            values = {"due_real_us": due_us, **also}
            connection.execute(update(supply_table).where(wanted).values(**values))


def by_value(values: Mapping[int, int | None]) -> dict[int | None, list[int]]:
    """Return numbers by what is to be written of them: a statement each, as few values differ."""
    found: dict[int | None, list[int]] = {}
    for number in sorted(values):
        found.setdefault(values[number], []).append(number)
    return found
