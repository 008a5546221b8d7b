# SPDX-License-Identifier: Apache-2.0
"""The fleet as a whole: counted, summed and turned over page by page inside the database.

What a page asks every other second must not grow with the number of meters, so nothing here hands
out a row a meter but for the page that is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    String,
    case,
    cast,
    exists,
    func,
    or_,
    select,
)

from openami.store import data_quality
from openami.store.database import Database, reading
from openami.store.registry import Attachment, Meter
from openami.store.tables import attachments as attachments_table
from openami.store.tables import gaps as gaps_table
from openami.store.tables import latest as latest_table
from openami.store.tables import meters as meters_table

DISCONNECTED: Final = 0  # control_state of disconnect control

MeterState = Literal["", "attached", "detached", "disconnected", "gaps"]


class Installed(NamedTuple):
    """How many meters of a region were installed at one time, with one capture period."""

    region: str
    period_s: int
    installed_us: int  # not before what was asked for
    meters: int


class Standing(NamedTuple):
    """A region's meters."""

    meters: int
    attached: int
    disconnected: int
    concentrators: frozenset[bytes]


class Told(NamedTuple):
    """What the latest values of a region's meters add up to, those of one interval."""

    start_us: int
    meters: int
    total: int


class GapCount(NamedTuple):
    """The open gaps."""

    gaps: int
    intervals: int
    meters: int
    hard: int  # that were tried in vain so often as was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class MeterFilter:
    """Which meters a table shows.

    Attributes:
        text: In the number, the title in hexadecimal digits, the name, or what it replays.
    """

    text: str = ""
    region: str = ""
    state: MeterState = ""


def regions(database: Database) -> list[str]:
    """Return the names of all regions, sorted."""
    with reading(database) as connection:
        return sorted(connection.scalars(select(meters_table.c.region).distinct()))


def count(database: Database, region: str | None = None) -> int:
    """Return how many meters there are, or how many in a region."""
    query = select(func.count()).select_from(meters_table)
    if region is not None:
        query = query.where(meters_table.c.region == region)
    with reading(database) as connection:
        return int(connection.scalar(query) or 0)


def period_s(database: Database, region: str) -> int:
    """Return the capture period that most meters of a region have; 0: it has no meter."""
    table = meters_table.c
    query = select(table.capture_period_s).where(table.region == region)
    query = query.group_by(table.capture_period_s).order_by(func.count().desc()).limit(1)
    with reading(database) as connection:
        return int(connection.scalar(query) or 0)


def installed(database: Database, since_us: int) -> list[Installed]:
    """Return how many meters were installed when; all before `since_us` count as of then."""
    table = meters_table.c
    when = case((table.installed_us < since_us, since_us), else_=table.installed_us)
    query = select(table.region, table.capture_period_s, when.label("since"), func.count())
    query = query.group_by(table.region, table.capture_period_s, "since")
    with reading(database) as connection:
        return [Installed(*row) for row in connection.execute(query)]


def standing(database: Database) -> dict[str, Standing]:
    """Return each region's meters."""
    table = meters_table.c
    query = (
        select(
            table.region,
            table.concentrator,
            func.count(),
            func.sum(case((attachments_table.c.attached, 1), else_=0)),
            func.sum(case((table.breaker == DISCONNECTED, 1), else_=0)),
        )
        .join_from(
            meters_table,
            attachments_table,
            attachments_table.c.meter_id == table.meter_id,
            isouter=True,
        )
        .group_by(table.region, table.concentrator)
    )
    found: dict[str, Standing] = {}
    with reading(database) as connection:
        for region, concentrator, *counts in connection.execute(query):
            known = found.get(region, Standing(0, 0, 0, frozenset()))
            found[region] = Standing(
                known.meters + int(counts[0]),
                known.attached + int(counts[1]),
                known.disconnected + int(counts[2]),
                known.concentrators | {concentrator},
            )
    return dict(sorted(found.items()))


def told(database: Database, channel: int, region: str | None = None) -> dict[str, list[Told]]:
    """Return the sums of latest values by region, the newest interval first."""
    values, table = latest_table.c, meters_table.c
    query = (
        select(table.region, values.start_us, func.count(), func.sum(values.value))
        .join_from(latest_table, meters_table, values.meter_id == table.meter_id)
        .where(values.channel == channel)
        .group_by(table.region, values.start_us)
        .order_by(table.region, values.start_us.desc())
    )
    if region is not None:
        query = query.where(table.region == region)
    found: dict[str, list[Told]] = {}
    with reading(database) as connection:
        for name, start_us, meters, total in connection.execute(query):
            found.setdefault(name, []).append(Told(int(start_us), int(meters), int(total)))
    return found


def open_gaps(database: Database, attempts: int) -> GapCount:
    """Count the open gaps, and those that at least so many attempts did not close."""
    table = gaps_table.c
    period_us = cast(meters_table.c.capture_period_s, BigInteger) * 1_000_000
    query = (
        select(
            func.count(),
            func.sum((table.to_us - table.from_us) // period_us),
            func.count(table.meter_id.distinct()),
            func.sum(case((table.attempts >= attempts, 1), else_=0)),
        )
        .join_from(gaps_table, meters_table, table.meter_id == meters_table.c.meter_id)
        .where(table.state == data_quality.OPEN)
    )
    with reading(database) as connection:
        return GapCount(*(int(number or 0) for number in connection.execute(query).one()))


def page_of_meters(
    database: Database, wanted: MeterFilter, *, limit: int, after: int = -1, skipped: int = 0
) -> tuple[list[tuple[Meter, Attachment | None]], int]:
    """Return meters by number, and how many fit in all.

    Args:
        database: Of the registry.
        wanted: Which meters.
        limit: Of what is returned.
        after: Only meters with a higher number are returned.
        skipped: How many of those are left out at the beginning.
    """
    states = attachments_table.c
    query = select(meters_table, states.attached, states.since_us, states.worker).join_from(
        meters_table,
        attachments_table,
        states.meter_id == meters_table.c.meter_id,
        isouter=True,
    )
    names = [column.name for column in meters_table.c]
    with reading(database) as connection:
        query = query.where(*_fits(wanted, connection.dialect.name))
        counted: Select[Any] = select(func.count()).select_from(query.subquery())
        found = int(connection.scalar(counted) or 0)
        query = query.where(meters_table.c.meter_id > after).order_by(meters_table.c.meter_id)
        rows = connection.execute(query.limit(limit).offset(skipped)).all()
    return [_row(dict(zip(names, row, strict=False)), row[len(names) :]) for row in rows], found


def _row(of_meter: dict[str, Any], state: Sequence[Any]) -> tuple[Meter, Attachment | None]:
    meter, (attached, since_us, worker) = Meter(**of_meter), state
    if attached is None:
        return meter, None
    known = Attachment(meter_id=meter.meter_id, attached=attached, since_us=since_us, worker=worker)
    return meter, known


def _fits(wanted: MeterFilter, dialect: str) -> list[ColumnElement[bool]]:
    table, found = meters_table.c, []
    if wanted.region:
        found.append(table.region == wanted.region)
    if wanted.text:
        digits = (
            func.encode(table.title, "hex") if dialect == "postgresql" else func.hex(table.title)
        )
        words = (cast(table.meter_id, String), table.ldn, cast(digits, String), table.source)
        found.append(or_(*(word.icontains(wanted.text, autoescape=True) for word in words)))
    attached = func.coalesce(cast(attachments_table.c.attached, Integer), 0)
    gap = gaps_table.c
    match wanted.state:
        case "attached":
            found.append(attached == 1)
        case "detached":
            found.append(attached == 0)
        case "disconnected":
            found.append(table.breaker == DISCONNECTED)
        case "gaps":
            open_one = exists().where(
                gap.meter_id == table.meter_id, gap.state == data_quality.OPEN
            )
            found.append(open_one)
        case _:
            pass
    return found
