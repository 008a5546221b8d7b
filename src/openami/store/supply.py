# SPDX-License-Identifier: Apache-2.0
"""Evidence of supply: what meters told, who was asked whether power is there, which uplinks stand.

What a notice says is written in the transaction that accepts the notice, so a head-end that dies
after it has confirmed one has lost nothing.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from sqlalchemy import (
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    func,
    select,
    update,
)

from openami.exchange.supply import (
    NONE,
    OPEN_PINGS,
    Evidence,
    PingState,
    Supply,
    Told,
    passed,
)
from openami.store.database import Database, Values, among, insert_or, reading, transaction, upsert
from openami.store.supply_tables import pings as pings_table
from openami.store.supply_tables import supply as supply_table
from openami.store.supply_tables import topology as topology_table
from openami.store.supply_tables import uplinks as uplinks_table
from openami.store.topology import pieces


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping:
    """The last question to a meter whether power is there."""

    meter_id: int
    asked_real_us: int
    state: PingState
    worker: str = ""
    done_real_us: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkState:
    """Whether a concentrator's uplink stands."""

    concentrator: bytes
    up: bool
    worker: str
    since_us: int
    since_real_us: int


COLUMNS: Final = tuple(supply_table.c[each.name] for each in fields(Supply))
PING_COLUMNS: Final = tuple(pings_table.c[each.name] for each in fields(Ping))


def tell(connection: Connection, notices: Sequence[Told]) -> list[Supply]:
    """Write what notices say, in the order in which they came.

    Returns:
        Interruptions that are over and that the table no longer holds: it has the last of a meter.
    """
    over: list[Supply] = []
    if not notices:
        return over
    ids = sorted({notice.meter_id for notice in notices})
    query = select(supply_table).where(supply_table.c.meter_id.in_(ids))
    rows = connection.execute(query.order_by(supply_table.c.meter_id).with_for_update())
    rows_before = {row["meter_id"]: row for row in rows.mappings()}
    known = {meter_id: _supply(row) for meter_id, row in rows_before.items()}
    heard_real_us: dict[int, int] = {}
    for notice in notices:
        before = known.get(notice.meter_id)
        after = notice.first() if before is None else before.after(notice)
        if before is not None and (gone := passed(before, notice)) is not None:
            over.append(gone)
        if after != before:
            known[notice.meter_id] = after
            heard_real_us[notice.meter_id] = notice.real_us
    changed = [
        _changed(known[meter_id], rows_before.get(meter_id), heard_real_us[meter_id])
        for meter_id in sorted(heard_real_us)
    ]
    upsert(connection, supply_table, changed)
    return over


def _changed(state: Supply, before: RowMapping | None, now_real_us: int) -> Values:
    """Return the row of a meter that told something; whoever judges takes it up."""
    if state.outage_id is None:
        return _row(state, due_real_us=now_real_us)
    if state.outage_id == NONE or before is None:
        return _row(state)
    due_real_us = before["due_real_us"] if state.is_lost else None
    return _row(state, due_real_us=due_real_us, news_real_us=now_real_us)


def _row(state: Supply, due_real_us: int | None = None, news_real_us: int | None = None) -> Values:
    return asdict(state) | {"due_real_us": due_real_us, "news_real_us": news_real_us}


def put(database: Database, states: Sequence[Supply]) -> None:
    """Replace what is known of meters; what no outage was found for yet is judged at once."""
    rows = [
        _row(state, due_real_us=state.found_real_us if state.outage_id is None else None)
        for state in states
    ]
    with transaction(database) as connection:
        upsert(connection, supply_table, rows)


def end(connection: Connection, states: Sequence[Supply], now_real_us: int) -> None:
    """Write that losses are over, where the meters have not told so themselves meanwhile."""
    table = supply_table.c
    rows = [
        {
            "its_meter": state.meter_id,
            "its_return": state.returned_us,
            "its_real_return": state.returned_real_us,
            "its_outage": state.outage_id,
            "its_news": now_real_us if state.outage_id else None,
        }
        for state in states
    ]
    if rows:
        connection.execute(
            update(supply_table)
            .where(table.meter_id == bindparam("its_meter"), table.returned_us.is_(None))
            .values(
                returned_us=bindparam("its_return"),
                returned_real_us=bindparam("its_real_return"),
                outage_id=bindparam("its_outage"),
                due_real_us=None,
                news_real_us=bindparam("its_news"),
            ),
            rows,
        )


def confirm_silent(connection: Connection, meter_ids: Collection[int], now_real_us: int) -> None:
    """Write that meters that were presumed to be dark did not answer."""
    table = supply_table.c
    for some in pieces(meter_ids):
        wanted = table.meter_id.in_(some) & (table.evidence == Evidence.PRESUMED.value)
        values = {"evidence": Evidence.SILENT.value, "news_real_us": now_real_us}
        connection.execute(update(supply_table).where(wanted).values(**values))


def put_aside(connection: Connection, meter_ids: Collection[int]) -> None:
    """Judge that losses are of no outage."""
    for some in pieces(meter_ids):
        wanted = supply_table.c.meter_id.in_(some)
        values = {"outage_id": NONE, "due_real_us": None}
        connection.execute(update(supply_table).where(wanted).values(**values))


def of(database: Database, meter_ids: Collection[int]) -> dict[int, Supply]:
    """Return what is known of meters; those that never lost their supply are left out."""
    with reading(database) as connection:
        return _of(connection, select(*COLUMNS), meter_ids)


def hold(
    connection: Connection, meter_ids: Collection[int], *, waits: bool = True
) -> dict[int, Supply]:
    """Return the same, which nobody else changes until the transaction ends.

    Its rows are locked in their order, as `tell` locks them: the two never wait for each other.
    Whoever holds some already may not wait for more: with `waits` off, those that somebody changes
    just now are left out.
    """
    query = select(*COLUMNS).order_by(supply_table.c.meter_id)
    query = query.with_for_update(skip_locked=not waits)
    return _of(connection, query, sorted(meter_ids))


def _of(
    connection: Connection, query: "Select[Any]", meter_ids: Collection[int]
) -> dict[int, Supply]:
    found: dict[int, Supply] = {}
    for some in pieces(meter_ids):
        rows = connection.execute(
            query.where(among(connection, supply_table.c.meter_id, some))
        ).mappings()
        found |= {row["meter_id"]: _supply(row) for row in rows}
    return found


def unjudged(database: Database) -> list[Supply]:
    """Return losses that no outage has been found for yet, by meter."""
    query = select(*COLUMNS).where(supply_table.c.outage_id.is_(None))
    with reading(database) as connection:
        rows = connection.execute(query.order_by(supply_table.c.meter_id)).mappings()
        return [_supply(row) for row in rows]


def lost_on(database: Database, meter_ids: Collection[int]) -> dict[int, Evidence]:
    """Return those of some meters that are believed to be without supply, and by what evidence."""
    found: dict[int, Evidence] = {}
    table = supply_table.c
    with reading(database) as connection:
        for some in pieces(meter_ids):
            query = select(table.meter_id, table.evidence).where(
                among(connection, table.meter_id, some), table.returned_us.is_(None)
            )
            for meter_id, evidence in connection.execute(query):
                found[meter_id] = Evidence(evidence)
    return found


def dark_feeders(database: Database, limit: int) -> list[str]:
    """Return feeders with meters that are believed to be without supply: the first by name."""
    feeder = topology_table.c.feeder
    query = (
        select(feeder)
        .join_from(
            supply_table, topology_table, supply_table.c.meter_id == topology_table.c.meter_id
        )
        .where(supply_table.c.returned_us.is_(None))
        .distinct()
        .order_by(feeder)
        .limit(limit)
    )
    with reading(database) as connection:
        return list(connection.execute(query).scalars())


def count_lost(database: Database) -> int:
    """Return how many meters are believed to be without supply."""
    query = select(func.count()).select_from(supply_table)
    query = query.where(supply_table.c.returned_us.is_(None))
    with reading(database) as connection:
        return int(connection.scalar(query) or 0)


def _supply(row: RowMapping) -> Supply:
    return Supply(
        meter_id=row["meter_id"],
        lost_us=row["lost_us"],
        evidence=Evidence(row["evidence"]),
        found_real_us=row["found_real_us"],
        returned_us=row["returned_us"],
        returned_real_us=row["returned_real_us"],
        outage_id=row["outage_id"],
    )


# Is power there? ----------------------------------------------------------------------------------


def ask(connection: Connection, meter_ids: Iterable[int], now_real_us: int) -> None:
    """Ask meters anew."""
    rows = [
        asdict(Ping(meter_id=number, asked_real_us=now_real_us, state=PingState.ASKED))
        | {"news_real_us": None}
        for number in sorted(meter_ids)
    ]
    upsert(connection, pings_table, rows)


def pings(database: Database, meter_ids: Collection[int]) -> dict[int, Ping]:
    """Return the last questions to meters."""
    found: dict[int, Ping] = {}
    with reading(database) as connection:
        for some in pieces(meter_ids):
            query = select(*PING_COLUMNS).where(among(connection, pings_table.c.meter_id, some))
            for row in connection.execute(query).mappings():
                ping = Ping(**{**row, "state": PingState(row["state"])})
                found[ping.meter_id] = ping
    return found


def answered(connection: Connection, limit: int) -> list[Ping]:
    """Return questions that were answered or given up, and that nobody has heard yet."""
    query = select(*PING_COLUMNS).where(pings_table.c.news_real_us.is_not(None))
    order = (pings_table.c.news_real_us, pings_table.c.meter_id)
    rows = connection.execute(query.order_by(*order).limit(limit)).mappings()
    return [Ping(**{**row, "state": PingState(row["state"])}) for row in rows]


def hear(connection: Connection, meter_ids: Collection[int]) -> None:
    """Write that answers have been heard."""
    for some in pieces(meter_ids):
        wanted = among(connection, pings_table.c.meter_id, some)
        connection.execute(update(pings_table).where(wanted).values(news_real_us=None))


def asked(database: Database) -> list[int]:
    """Return whom no head-end has asked yet."""
    query = select(pings_table.c.meter_id).where(pings_table.c.state == PingState.ASKED.value)
    with reading(database) as connection:
        return list(connection.execute(query.order_by(pings_table.c.asked_real_us)).scalars())


def claim(database: Database, meter_ids: Collection[int], worker: str) -> list[int]:
    """Take questions that nobody else has taken; return the meters."""
    free = pings_table.c.state == PingState.ASKED.value
    wanted = and_(pings_table.c.meter_id.in_(list(meter_ids)), free)
    with transaction(database) as connection:
        taken = connection.execute(
            update(pings_table)
            .where(wanted)
            .values(state=PingState.TAKEN.value, worker=worker)
            .returning(pings_table.c.meter_id)
        )
        return sorted(taken.scalars())


def answer(database: Database, meter_id: int, state: PingState, now_real_us: int) -> None:
    """Write what came of a question that was taken."""
    wanted = (pings_table.c.meter_id == meter_id) & pings_table.c.state.in_(
        [each.value for each in OPEN_PINGS]
    )
    with transaction(database) as connection:
        connection.execute(
            update(pings_table)
            .where(wanted)
            .values(state=state.value, done_real_us=now_real_us, news_real_us=now_real_us)
        )


def give_up(connection: Connection, before_real_us: int, now_real_us: int) -> None:
    """End questions that nobody could carry since a time: there was no route."""
    stale = (pings_table.c.asked_real_us < before_real_us) & pings_table.c.state.in_(
        [each.value for each in OPEN_PINGS]
    )
    connection.execute(
        update(pings_table)
        .where(stale)
        .values(state=PingState.NO_ROUTE.value, done_real_us=now_real_us, news_real_us=now_real_us)
    )


def open_pings(database: Database) -> int:
    """Return how many questions are open."""
    query = select(func.count()).where(pings_table.c.state.in_([each.value for each in OPEN_PINGS]))
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


# Uplinks ------------------------------------------------------------------------------------------


def set_uplinks(database: Database, states: Collection[UplinkState]) -> None:
    """Record that uplinks came up or were lost; one that stands at another worker is not lost."""
    with transaction(database) as connection:
        for state in sorted(states, key=lambda each: each.concentrator):
            statement = insert_or(connection, uplinks_table)
            excluded = statement.excluded
            table = uplinks_table.c
            mine = excluded.up | (table.worker == excluded.worker)
            changed = (table.up != excluded.up) | (table.worker != excluded.worker)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["concentrator"],
                    set_={
                        name: excluded[name]
                        for name in ("up", "worker", "since_us", "since_real_us")
                    },
                    where=mine & changed,
                ),
                [asdict(state)],
            )


def uplinks(database: Database) -> list[UplinkState]:
    """Return every concentrator that was ever connected."""
    with reading(database) as connection:
        rows = connection.execute(select(uplinks_table)).mappings()
        return [UplinkState(**row) for row in rows]


def is_up(database: Database, concentrator: bytes) -> bool:
    """Tell whether a concentrator is connected to whichever worker."""
    query = select(uplinks_table.c.up).where(uplinks_table.c.concentrator == concentrator)
    with reading(database) as connection:
        return bool(connection.execute(query).scalar())


def down_with_others(
    database: Database, alive: Collection[str], now_us: int, now_real_us: int
) -> None:
    """Record that uplinks of workers that are no longer alive stand no more."""
    of_dead = uplinks_table.c.up & uplinks_table.c.worker.not_in(list(alive))
    with transaction(database) as connection:
        connection.execute(
            update(uplinks_table)
            .where(of_dead)
            .values(up=False, since_us=now_us, since_real_us=now_real_us)
        )
