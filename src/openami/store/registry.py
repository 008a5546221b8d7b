# SPDX-License-Identifier: Apache-2.0
"""The registry: which meters there are, their keys, who carries them, and what they logged."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import ColumnElement, Connection, false, func, select, true, update

from openami.runtime.errors import UserError
from openami.store.database import Database, insert_new, insert_or, reading, transaction, upsert
from openami.store.tables import attachments as attachments_table
from openami.store.tables import events as events_table
from openami.store.tables import meter_keys
from openami.store.tables import meters as meters_table

AT_ONCE: Final = 5000  # rows of one statement
MOST_CELL: Final = 64  # letters


class UnknownMeterError(UserError):
    """A meter that the registry does not have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meter:
    """One row of the registry."""

    meter_id: int
    title: bytes  # system title, 8 octets
    ldn: str
    region: str
    concentrator: bytes  # title of the concentrator that carries it
    installed_us: int
    capture_period_s: int
    address: str | None = None  # tls:// or tcp:// of a listening meter
    source: str = ""  # what 0.0.96.1.9.255 says
    breaker: int | None = None  # control_state of disconnect control; None: never read
    breaker_us: int | None = None
    last_seen_us: int | None = None
    profile_read_us: int | None = None
    events_read_us: int | None = None
    cell: str = ""  # radio cell or transformer whose meters share a narrow way; "": none


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterKey:
    """A key of a meter, wrapped (RFC 3394) under the key-encryption key of the head-end."""

    meter_id: int
    key_name: str  # guek, gak, kek, lls
    epoch: int
    state: str  # active: seals and opens; retired: opens
    wrapped: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """Whether a meter hangs on its concentrator, and since when."""

    meter_id: int
    attached: bool
    since_us: int
    worker: str = ""  # who has the uplink


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of a meter's event log."""

    meter_id: int
    at_us: int
    code: int  # exchange.events.EventCode
    received_us: int


def import_meters(database: Database, meters: Iterable[Meter]) -> int:
    """Enter meters that are not there yet; return how many were new."""
    with transaction(database) as connection:
        return insert_new(connection, meters_table, [asdict(meter) for meter in meters])


def meters(database: Database, *, region: str | None = None) -> list[Meter]:
    """Return all meters, or a region's, by number."""
    wanted = true() if region is None else meters_table.c.region == region
    return _select(database, wanted)


def meter(database: Database, meter_id: int) -> Meter:
    """Return one meter.

    Raises:
        UnknownMeterError: There is none of that number.
    """
    found = _select(database, meters_table.c.meter_id == meter_id)
    if not found:
        raise _unknown(meter_id)
    return found[0]


def _unknown(meter_id: int) -> UnknownMeterError:
    sentence = f"the registry has no meter {meter_id}: `openami headend meters` lists them"
    return UnknownMeterError(sentence)


def some(database: Database, meter_ids: Collection[int]) -> list[Meter]:
    """Return those of these meters that there are, by number."""
    numbers = sorted(meter_ids)
    found: list[Meter] = []
    with reading(database) as connection:
        for first in range(0, len(numbers), AT_ONCE):
            few = numbers[first : first + AT_ONCE]
            found += _select(connection, meters_table.c.meter_id.in_(few))
    return found


def by_title(database: Database, title: bytes) -> Meter | None:
    """Return the meter with this system title."""
    found = _select(database, meters_table.c.title == title)
    return found[0] if found else None


def numbers(database: Database, titles: Collection[bytes]) -> dict[bytes, int]:
    """Return the numbers of the meters with these system titles, of those that there are."""
    query = select(meters_table.c.title, meters_table.c.meter_id)
    query = query.where(meters_table.c.title.in_(list(titles)))
    with reading(database) as connection:
        return {title: int(meter_id) for title, meter_id in connection.execute(query)}


def _select(database: Database, wanted: ColumnElement[bool]) -> list[Meter]:
    query = select(meters_table).where(wanted).order_by(meters_table.c.meter_id)
    with reading(database) as connection:
        return [Meter(**row) for row in connection.execute(query).mappings()]


def put_key(database: Database, key: MeterKey) -> None:
    """Store a key, or its new state."""
    put_keys(database, [key])


def put_keys(database: Database, keys: Iterable[MeterKey]) -> None:
    """Store keys, or their new states, in one transaction."""
    with transaction(database) as connection:
        upsert(connection, meter_keys, [asdict(key) for key in keys])


def keys(database: Database, meter_id: int | None = None) -> list[MeterKey]:
    """Return a meter's keys, or all keys, newest epoch first."""
    wanted = true() if meter_id is None else meter_keys.c.meter_id == meter_id
    with reading(database) as connection:
        return _keys(connection, wanted)


def keys_of(database: Database, meter_ids: Collection[int]) -> list[MeterKey]:
    """Return the keys of many meters, newest epoch first."""
    numbers = sorted(meter_ids)
    found: list[MeterKey] = []
    with reading(database) as connection:
        for first in range(0, len(numbers), AT_ONCE):
            few = numbers[first : first + AT_ONCE]
            found += _keys(connection, meter_keys.c.meter_id.in_(few))
    return found


def _keys(connection: Connection, wanted: ColumnElement[bool]) -> list[MeterKey]:
    query = select(meter_keys).where(wanted)
    query = query.order_by(meter_keys.c.meter_id, meter_keys.c.epoch.desc(), meter_keys.c.key_name)
    return [MeterKey(**row) for row in connection.execute(query).mappings()]


def set_attached(
    database: Database, states: Mapping[int, bool], at_us: int, worker: str = ""
) -> list[int]:
    """Record which meters hang on a worker's uplinks; return those for which that is news.

    That a meter left is no news where it came back through another worker meanwhile.
    """
    news: list[int] = []
    with transaction(database) as connection:
        for first in range(0, len(states), AT_ONCE):
            numbers = sorted(states)[first : first + AT_ONCE]
            rows = connection.execute(
                select(attachments_table)
                .where(attachments_table.c.meter_id.in_(numbers))
                .order_by(attachments_table.c.meter_id)
                .with_for_update()
            )
            known = {row.meter_id: (row.attached, row.worker) for row in rows}
            changed = [n for n in numbers if _is_news(known.get(n), states[n], worker)]
            upsert(
                connection,
                attachments_table,
                [
                    {"meter_id": n, "attached": states[n], "since_us": at_us, "worker": worker}
                    for n in changed
                ],
            )
            news += [n for n in changed if n not in known or known[n][0] is not states[n]]
    return news


def _is_news(known: tuple[bool, str] | None, attached: bool, worker: str) -> bool:  # noqa: FBT001
    if known is None:
        return True
    was_attached, of_worker = known
    if attached:
        return not was_attached or of_worker != worker
    return was_attached and of_worker == worker


def detach_of_others(database: Database, alive: Collection[str], at_us: int) -> list[int]:
    """Record that meters of workers that are no longer alive hang nowhere; return which."""
    of_dead = attachments_table.c.attached & attachments_table.c.worker.not_in(list(alive))
    with transaction(database) as connection:
        gone = connection.execute(
            update(attachments_table)
            .where(of_dead)
            .values(attached=False, since_us=at_us)
            .returning(attachments_table.c.meter_id)
        )
        return sorted(gone.scalars())


def with_route(worker: str) -> ColumnElement[bool]:
    """Return the condition that a worker can reach a meter, in a join with both tables."""
    hangs_here = attachments_table.c.attached & (attachments_table.c.worker == worker)
    return hangs_here | meters_table.c.address.is_not(None)


def not_elsewhere(worker: str) -> ColumnElement[bool]:
    """Return the condition that no other worker has a meter's uplink, in such a join."""
    elsewhere = attachments_table.c.attached & (attachments_table.c.worker != worker)
    return func.coalesce(elsewhere, false()) == false()


def attachments(database: Database) -> dict[int, Attachment]:
    """Return what is known of every meter's attachment."""
    with reading(database) as connection:
        rows = connection.execute(select(attachments_table)).mappings()
        return {row["meter_id"]: Attachment(**row) for row in rows}


def attachment(database: Database, meter_id: int) -> Attachment | None:
    """Return what is known of a meter's attachment."""
    query = select(attachments_table).where(attachments_table.c.meter_id == meter_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else Attachment(**row)


def set_cells(database: Database, cells: Mapping[int, str]) -> int:
    """Record the cells of meters ("" for none), all of them or none; return how many changed.

    Raises:
        UnknownMeterError: There is no meter of one of these numbers.
    """
    count = 0
    with transaction(database) as connection:
        for meter_id, cell in cells.items():
            before = meter(connection, meter_id).cell
            if before != cell:
                _set(connection, [meter_id], cell=cell)
                count += 1
    return count


def cells(database: Database) -> dict[str, int]:
    """Count the meters of each cell; those without one are left out."""
    column = meters_table.c.cell
    query = select(column, func.count()).where(column != "").group_by(column).order_by(column)
    with reading(database) as connection:
        return {name: int(number) for name, number in connection.execute(query)}


def mark_seen(database: Database, meter_ids: Collection[int], at_us: int) -> None:
    """Record that these meters were heard."""
    _set(database, meter_ids, last_seen_us=at_us)


def set_breaker(database: Database, meter_id: int, control_state: int, at_us: int) -> None:
    """Record the control state that a meter's disconnect control told (class 70, attribute 3)."""
    _set(database, [meter_id], breaker=control_state, breaker_us=at_us)


def set_source(database: Database, meter_id: int, source: str) -> None:
    """Record what a meter says it replays."""
    _set(database, [meter_id], source=source)


def set_address(database: Database, meter_id: int, address: str | None) -> None:
    """Record where a meter listens."""
    _set(database, [meter_id], address=address)


def mark_profile_read(database: Database, meter_id: int, end_us: int) -> None:
    """Record up to where the scheduled profile read has come."""
    _set(database, [meter_id], profile_read_us=end_us)


def mark_events_read(database: Database, meter_id: int, end_us: int) -> None:
    """Record up to where the event log was read."""
    _set(database, [meter_id], events_read_us=end_us)


def told(database: Database, meter_id: int, **values: object) -> Meter:
    """Record what a meter told, by columns; return its new row.

    Raises:
        UnknownMeterError: There is none of that number.
    """
    wanted = meters_table.c.meter_id == meter_id
    statement = update(meters_table).where(wanted).values(**values).returning(*meters_table.c)
    with transaction(database) as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise _unknown(meter_id)
    return Meter(**row)


def _set(database: Database, meter_ids: Collection[int], **values: object) -> None:
    wanted = meters_table.c.meter_id.in_(list(meter_ids))
    with transaction(database) as connection:
        connection.execute(update(meters_table).where(wanted).values(**values))


def add_events(database: Database, events: Sequence[Event]) -> int:
    """Store events of meters' logs; those known are ignored.  Return how many are new."""
    return len(add_new_events(database, events))


def add_new_events(database: Database, events: Sequence[Event]) -> list[Event]:
    """Store events of meters' logs; those known are ignored.  Return those that are new."""
    if not events:
        return []
    columns = (events_table.c.meter_id, events_table.c.at_us, events_table.c.code)
    with transaction(database) as connection:
        statement = insert_or(connection, events_table).on_conflict_do_nothing()
        rows = [_event_row(event) for event in events]
        new = {tuple(row) for row in connection.execute(statement.returning(*columns), rows)}
    first = {(event.meter_id, event.at_us, event.code): event for event in reversed(events)}
    return [event for key, event in reversed(first.items()) if key in new]


def _event_row(event: Event) -> dict[str, object]:
    names = ("meter_id", "at_us", "code", "received_us")
    return {name: getattr(event, name) for name in names}


def events(
    database: Database,
    *,
    meter_id: int | None = None,
    codes: Collection[int] | None = None,
    since_us: int | None = None,
    limit: int = 100,
) -> list[Event]:
    """Return events, newest first."""
    table = events_table.c
    query = select(table.meter_id, table.at_us, table.code, table.received_us)
    if meter_id is not None:
        query = query.where(table.meter_id == meter_id)
    if codes is not None:
        query = query.where(table.code.in_([int(code) for code in codes]))
    if since_us is not None:
        query = query.where(table.at_us >= since_us)
    query = query.order_by(table.at_us.desc(), table.event_id.desc()).limit(limit)
    with reading(database) as connection:
        return [Event(**row) for row in connection.execute(query).mappings()]
