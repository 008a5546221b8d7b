# SPDX-License-Identifier: Apache-2.0
"""How complete and how sound the readings are: coverage, gaps, findings."""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from sqlalchemy import case, func, or_, select, update

from openami.store.database import Database, insert_or, reading, transaction, upsert
from openami.store.leases import Kind, Lease, Worker, claim
from openami.store.registry import not_elsewhere
from openami.store.tables import attachments as attachments_table
from openami.store.tables import coverage as coverage_table
from openami.store.tables import findings as findings_table
from openami.store.tables import gaps as gaps_table
from openami.store.tables import meters as meters_table

OPEN: Final = "open"
FILLED: Final = "filled"
ESTIMATED: Final = "estimated"

Numbers = dict[str, int | float | str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """How many intervals of a meter's UTC day are there (channel 1)."""

    meter_id: int
    day: int  # days since 1970-01-01
    expected: int
    actual: int
    estimated: int
    suspect: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionCoverage:
    """The same, summed over a region."""

    region: str
    day: int
    meters: int
    expected: int
    actual: int
    estimated: int
    suspect: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Intervals that should be there and are not; `to_us` is exclusive."""

    gap_id: int
    meter_id: int
    from_us: int
    to_us: int
    found_us: int
    state: str  # open, filled, estimated
    attempts: int
    next_attempt_real_us: int
    last_error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What a validation rule says of an interval, with the rule's own numbers."""

    meter_id: int
    channel: int
    start_us: int
    code: str  # dotted: vee.spike
    numbers: Numbers
    found_us: int


def put_coverage(database: Database, rows: Sequence[Coverage]) -> None:
    """Replace the counts of days; `expected` is taken for days that are new only."""
    with transaction(database) as connection:
        upsert(connection, coverage_table, [asdict(row) for row in rows], keep=["expected"])


def add_coverage(database: Database, changes: Sequence[Coverage]) -> None:
    """Add to counts of a day; `expected` is taken for days that are new only."""
    if not changes:
        return
    table = coverage_table.c
    with transaction(database) as connection:
        statement = insert_or(connection, coverage_table)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "day"],
            set_={
                name: table[name] + statement.excluded[name]
                for name in ("actual", "estimated", "suspect")
            },
        )
        connection.execute(statement, [asdict(change) for change in changes])


def expect(database: Database, rows: Sequence[tuple[int, int, int]]) -> None:
    """Set how many intervals are expected: (meter_id, day, expected); other counts stay."""
    if not rows:
        return
    nothing = {"actual": 0, "estimated": 0, "suspect": 0}
    with transaction(database) as connection:
        statement = insert_or(connection, coverage_table)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "day"], set_={"expected": statement.excluded.expected}
        )
        connection.execute(
            statement,
            [
                {"meter_id": meter_id, "day": day, "expected": expected, **nothing}
                for meter_id, day, expected in rows
            ],
        )


def coverage(
    database: Database,
    *,
    meter_id: int | None = None,
    meter_ids: Collection[int] | None = None,
    from_day: int | None = None,
    to_day: int | None = None,
) -> list[Coverage]:
    """Return coverage by meter and day; `to_day` is exclusive."""
    table = coverage_table.c
    query = select(coverage_table).order_by(table.meter_id, table.day)
    if meter_id is not None:
        query = query.where(table.meter_id == meter_id)
    if meter_ids is not None:
        query = query.where(table.meter_id.in_(list(meter_ids)))
    if from_day is not None:
        query = query.where(table.day >= from_day)
    if to_day is not None:
        query = query.where(table.day < to_day)
    with reading(database) as connection:
        return [Coverage(**row) for row in connection.execute(query).mappings()]


def expected(database: Database, meter_ids: Collection[int]) -> dict[tuple[int, int], int]:
    """Return how many intervals are expected, by meter and day."""
    table = coverage_table.c
    query = select(table.meter_id, table.day, table.expected)
    with reading(database) as connection:
        rows = connection.execute(query.where(table.meter_id.in_(list(meter_ids))))
        return {(meter_id, day): count for meter_id, day, count in rows}


def incomplete(database: Database) -> list[Coverage]:
    """Return days that lack measured values, by meter and day."""
    table = coverage_table.c
    query = select(coverage_table).where(table.actual < table.expected)
    with reading(database) as connection:
        rows = connection.execute(query.order_by(table.meter_id, table.day)).mappings()
        return [Coverage(**row) for row in rows]


def region_coverage(database: Database, from_day: int, to_day: int) -> list[RegionCoverage]:
    """Return coverage by region and day; `to_day` is exclusive."""
    table = coverage_table.c
    sums = [func.sum(table[name]).label(name) for name in _COUNTS]
    query = select(meters_table.c.region, table.day, func.count().label("meters"), *sums)
    query = query.join_from(coverage_table, meters_table, table.meter_id == meters_table.c.meter_id)
    query = query.where(table.day >= from_day, table.day < to_day)
    query = query.group_by(meters_table.c.region, table.day)
    query = query.order_by(meters_table.c.region, table.day)
    with reading(database) as connection:
        rows = connection.execute(query)
        return [
            RegionCoverage(
                region=row.region,
                day=row.day,
                meters=int(row.meters),
                **{name: int(row._mapping[name]) for name in _COUNTS},  # noqa: SLF001  public API
            )
            for row in rows
        ]


_COUNTS: Final = ("expected", "actual", "estimated", "suspect")


def open_gaps(database: Database, found: Sequence[tuple[int, int, int]], found_us: int) -> None:
    """Open gaps (meter_id, from_us, to_us); one with the same beginning takes the new end.

    A gap that was filled and is there again begins anew.
    """
    if not found:
        return
    with transaction(database) as connection:
        statement = insert_or(connection, gaps_table)
        statement = statement.on_conflict_do_update(
            index_elements=["meter_id", "from_us"],
            set_={
                "to_us": statement.excluded.to_us,
                "state": OPEN,
                "found_us": case(
                    (gaps_table.c.state == FILLED, statement.excluded.found_us),
                    else_=gaps_table.c.found_us,
                ),
                "attempts": case((gaps_table.c.state == FILLED, 0), else_=gaps_table.c.attempts),
            },
        )
        rows = [
            {
                "meter_id": meter_id,
                "from_us": from_us,
                "to_us": to_us,
                "found_us": found_us,
                "state": OPEN,
                "attempts": 0,
                "next_attempt_real_us": 0,
            }
            for meter_id, from_us, to_us in found
        ]
        connection.execute(statement, rows)


def close_gaps(database: Database, gap_ids: Collection[int], state: str) -> None:
    """Set gaps to `filled` or `estimated`."""
    if not gap_ids:
        return
    with transaction(database) as connection:
        connection.execute(
            update(gaps_table).where(gaps_table.c.gap_id.in_(list(gap_ids))).values(state=state)
        )


def attempt(
    database: Database, gap_id: int, next_attempt_real_us: int, error: str | None = None
) -> None:
    """Record that a gap was asked for again, and when to try next."""
    with transaction(database) as connection:
        connection.execute(
            update(gaps_table)
            .where(gaps_table.c.gap_id == gap_id)
            .values(
                attempts=gaps_table.c.attempts + 1,
                next_attempt_real_us=next_attempt_real_us,
                last_error=error,
            )
        )


def claim_gaps(
    database: Database, now_real_us: int, worker: Worker, *, seconds: float, limit: int = 1000
) -> list[tuple[Gap, Lease]]:
    """Take gaps to ask for now, oldest first; an estimate does not end the asking.

    Gaps of meters that hang on another worker's uplink are left to that one.
    """
    table = gaps_table.c
    meters, attachments = meters_table, attachments_table
    query = (
        select(table.gap_id)
        .join_from(gaps_table, meters, meters.c.meter_id == table.meter_id, isouter=True)
        .join(attachments, attachments.c.meter_id == table.meter_id, isouter=True)
        .where(
            or_(table.state == OPEN, table.state == ESTIMATED),
            table.next_attempt_real_us <= now_real_us,
            not_elsewhere(worker.name),
        )
        .order_by(table.next_attempt_real_us, table.from_us)
    )
    leases = claim(database, Kind.GAP, table.gap_id, query, worker, seconds=seconds, limit=limit)
    if not leases:
        return []
    by_id = {int(lease.item): lease for lease in leases}
    rows = select(gaps_table).where(table.gap_id.in_(list(by_id)))
    rows = rows.order_by(table.next_attempt_real_us, table.from_us)
    with reading(database) as connection:
        return [(Gap(**row), by_id[row["gap_id"]]) for row in connection.execute(rows).mappings()]


def gaps(
    database: Database,
    *,
    meter_id: int | None = None,
    states: Collection[str] = (OPEN, ESTIMATED),
    limit: int | None = 10_000,
) -> list[Gap]:
    """Return gaps in these states by meter and time; `limit` None: all of them."""
    table = gaps_table.c
    query = select(gaps_table).where(table.state.in_(list(states)))
    if meter_id is not None:
        query = query.where(table.meter_id == meter_id)
    query = query.order_by(table.meter_id, table.from_us).limit(limit)
    with reading(database) as connection:
        return [Gap(**row) for row in connection.execute(query).mappings()]


def open_gaps_of(database: Database, meter_ids: Collection[int]) -> dict[int, int]:
    """Return how many open gaps these meters have, of those that have any."""
    table = gaps_table.c
    query = select(table.meter_id, func.count()).where(table.state == OPEN)
    query = query.where(table.meter_id.in_(list(meter_ids))).group_by(table.meter_id)
    with reading(database) as connection:
        return {int(meter_id): int(number) for meter_id, number in connection.execute(query)}


def count_gaps(database: Database) -> dict[str, int]:
    """Return how many gaps are in each state."""
    query = select(gaps_table.c.state, func.count()).group_by(gaps_table.c.state)
    with reading(database) as connection:
        return {str(state): int(count) for state, count in connection.execute(query)}


def add_findings(database: Database, findings: Sequence[Finding]) -> list[Finding]:
    """Store findings; what was found before is ignored.  Return the new ones."""
    if not findings:
        return []
    with transaction(database) as connection:
        statement = insert_or(connection, findings_table).on_conflict_do_nothing()
        table = findings_table.c
        returned = statement.returning(table.meter_id, table.channel, table.start_us, table.code)
        rows = [{**asdict(found), "numbers": json.dumps(found.numbers)} for found in findings]
        new = {tuple(row) for row in connection.execute(returned, rows)}
    fresh = []
    for found in findings:
        key = (found.meter_id, found.channel, found.start_us, found.code)
        if key in new:
            new.discard(key)
            fresh.append(found)
    return fresh


def findings(
    database: Database,
    *,
    meter_id: int | None = None,
    codes: Collection[str] | None = None,
    from_us: int | None = None,
    limit: int = 100,
) -> list[Finding]:
    """Return findings, newest first; `from_us` bounds the interval start."""
    table = findings_table.c
    query = select(*(column for column in table if column.name != "finding_id"))
    if meter_id is not None:
        query = query.where(table.meter_id == meter_id)
    if codes is not None:
        query = query.where(table.code.in_(list(codes)))
    if from_us is not None:
        query = query.where(table.start_us >= from_us)
    query = query.order_by(table.found_us.desc(), table.finding_id.desc()).limit(limit)
    with reading(database) as connection:
        return [
            Finding(**{**row, "numbers": json.loads(row["numbers"])})
            for row in connection.execute(query).mappings()
        ]


def count_findings(database: Database, *, since_us: int = 0) -> dict[str, int]:
    """Return how many findings of each code were made since a calendar time."""
    query = select(findings_table.c.code, func.count())
    query = query.where(findings_table.c.found_us >= since_us).group_by(findings_table.c.code)
    with reading(database) as connection:
        return {str(code): int(count) for code, count in connection.execute(query)}
