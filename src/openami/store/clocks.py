# SPDX-License-Identifier: Apache-2.0
"""Meters' clocks: how far each is off, how fast it drifts, and what was made of that.

The head-end measures and judges (docs/clocks.md); pages and tools read.  Times are of the metering
calendar.  A meter keeps a bounded number of measurements.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Final

from sqlalchemy import Connection, delete, func, select, update

from openami.exchange.commands import OPEN
from openami.runtime.clock import MICROSECONDS
from openami.store.clock_tables import clock_history, clock_suspicions, noticed, unjudged
from openami.store.clock_tables import clocks as clocks_table
from openami.store.database import Database, insert_all, insert_or, reading, transaction, upsert
from openami.store.tables import commands as commands_table
from openami.store.topology import pieces

DAY_S: Final = 86_400
WORST_PPM: Final = 1000.0  # no crystal is that bad: a clock that moved more was turned
LEAST_SPAN_S: Final = 3600.0  # over less no drift is told
AGREED: Final = "the clocks of concentrators' hosts agree with each other and not with it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One measurement of a meter's clock.

    Attributes:
        meter_id: The meter's.
        measured_us: When, by the calendar.
        deviation_s: How far it was off; positive: ahead; None: it tells no time.
        uncertainty_s: Half of the span between question and answer, and what it does not tell.
        status: Its clock_status; None: it does not tell.
        moved: A command has just turned it.
        worker: The head-end by whose clock it was measured.
    """

    meter_id: int
    measured_us: int
    deviation_s: float | None
    uncertainty_s: float
    status: int | None
    moved: bool = False
    worker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A clock as it was measured last, and what was made of it.

    Attributes:
        tolerated_s: The most that it should be off.
        drift_s: Seconds that it gains a day; None: not known.
        drift_uncertainty_s: ... of which so much may be wrong.
        judged: Whether something was made of the measurement.
        notice: A person is to look at it.
        said: What was made of it.
        asked_us: When it was corrected last; None: never.
        command_id: ... by which command.
    """

    meter_id: int
    measured_us: int
    deviation_s: float | None
    uncertainty_s: float
    status: int | None
    worker: str
    tolerated_s: float
    drift_s: float | None = None
    drift_uncertainty_s: float | None = None
    judged: bool = False
    notice: bool = False
    said: str = ""
    asked_us: int | None = None
    command_id: str | None = None

    @property
    def within(self) -> bool:
        """Whether it is as right as it should be."""
        return self.deviation_s is not None and abs(self.deviation_s) <= self.tolerated_s


@dataclass(frozen=True, slots=True)
class Drift:
    """How fast a clock gains, seconds a day, and how much of that may be wrong."""

    drift_s: float
    uncertainty_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Suspicion:
    """What is held against the clock of a head-end.

    Attributes:
        worker: Its name.
        suspected_us: What it measured until then is not acted on.
        sentence: What the clocks of meters that it measured say against it; empty: nothing.
        trusted_until_us: A person has looked at its clock, and says that it is right so long.
        agreed_us: When concentrators' hosts agreed against it last; 0: they do not.
    """

    worker: str
    suspected_us: int = 0
    sentence: str = ""
    trusted_until_us: int = 0
    agreed_us: int = 0

    @property
    def said(self) -> str:
        """What all witnesses say, as one sentence; empty where nobody says anything."""
        witnesses = ", and ".join(filter(None, (self.sentence, AGREED * bool(self.agreed_us))))
        return f"{witnesses}: look at the clock of this head-end" if witnesses else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """All clocks at a glance.

    Attributes:
        measured: Meters whose clock was ever measured.
        within: ... and is within what is tolerated.
        noticed: ... that a person is to look at.
        timeless: ... that tell no time.
        ahead_s: The mean deviation of those within, which a head-end of wrong time moves.
        drift_s: The mean of all drifts a day, which a head-end that drifts moves.
        oldest_us: The oldest of the last measurements.
    """

    measured: int
    within: int
    noticed: int
    timeless: int
    ahead_s: float | None
    drift_s: float | None
    oldest_us: int | None


def drift(history: Sequence[Measured]) -> Drift | None:
    """Tell how fast a clock gains, from measurements between which nobody turned it.

    Args:
        history: Oldest first.  One after a command begins anew, and so does one that no crystal
            explains.

    Returns:
        None where what is there tells nothing.
    """
    gained_s = span_s = doubt_s = 0.0
    begin = last = None
    for each in history:
        if each.deviation_s is None:
            begin = last = None
            continue
        if begin is None or last is None or each.moved or _turned(last, each):
            begin = last = each
            continue
        last_s, each_s = last.deviation_s or 0.0, each.deviation_s
        gained_s += each_s - last_s
        span_s += (each.measured_us - last.measured_us) / MICROSECONDS
        # What is unknown in the middle of a stretch cancels: its ends count.
        known_s = last.uncertainty_s
        doubt_s += each.uncertainty_s + (known_s if last is begin else -known_s)
        last = each
    if span_s < LEAST_SPAN_S:
        return None
    return Drift(gained_s * DAY_S / span_s, doubt_s * DAY_S / span_s)


def _turned(before: Measured, after: Measured) -> bool:
    """Tell whether a clock moved more than a crystal lets it."""
    moved_s = abs((after.deviation_s or 0.0) - (before.deviation_s or 0.0))
    span_s = abs(after.measured_us - before.measured_us) / MICROSECONDS
    return moved_s > span_s * WORST_PPM / 1e6 + before.uncertainty_s + after.uncertainty_s


def record(
    database: Database, measured: Measured, *, tolerated_s: float, settled: bool, keep: int
) -> Kept:
    """Store a measurement; return the clock as it is known now.

    Args:
        database: Where.
        measured: What was measured.
        tolerated_s: The most that it should be off.
        settled: There is nothing to be made of it.
        keep: How many measurements of a meter are kept.
    """
    meter_id, columns = measured.meter_id, clock_history.c
    row = asdict(measured)
    with transaction(database) as connection:
        insert_all(connection, clock_history, [row])
        known = _history(connection, meter_id, keep + 1)
        if len(known) > keep:
            newest = (
                select(columns.history_id)
                .where(columns.meter_id == meter_id)
                .order_by(columns.history_id.desc())
                .limit(keep)
            )
            connection.execute(
                delete(clock_history).where(
                    columns.meter_id == meter_id, columns.history_id.not_in(newest)
                )
            )
        found = drift(known[-keep:])
        values = {
            **{name: value for name, value in row.items() if name != "moved"},
            "tolerated_s": tolerated_s,
            "drift_s": None if found is None else found.drift_s,
            "drift_uncertainty_s": None if found is None else found.uncertainty_s,
            "judged": settled,
            "notice": False,
            "said": "",
        }
        # Until it is judged, what was said of the measurement before stands.
        upsert(connection, clocks_table, [values], keep=() if settled else ("notice", "said"))
        return _kept(connection, meter_id)


def latest(database: Database, meter_id: int) -> Kept | None:
    """Return a meter's clock; None where it was never measured."""
    query = select(clocks_table).where(clocks_table.c.meter_id == meter_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    return None if row is None else Kept(**row)


def _kept(connection: Connection, meter_id: int) -> Kept:
    query = select(clocks_table).where(clocks_table.c.meter_id == meter_id)
    return Kept(**connection.execute(query).mappings().one())


def history(database: Database, meter_id: int, limit: int = 100) -> list[Measured]:
    """Return what was measured of a meter's clock, oldest first."""
    with reading(database) as connection:
        return _history(connection, meter_id, limit)


def _history(connection: Connection, meter_id: int, limit: int) -> list[Measured]:
    columns = clock_history.c
    query = (
        select(*(columns[each.name] for each in fields(Measured)))
        .where(columns.meter_id == meter_id)
        .order_by(columns.history_id.desc())
        .limit(limit)
    )
    found = [Measured(**row) for row in connection.execute(query).mappings()]
    return found[::-1]


# What is made of them -----------------------------------------------------------------------------


def to_judge(database: Database, until_us: int, limit: int) -> list[Kept]:
    """Return clocks of which nothing was made yet, measured up to then, oldest first."""
    query = (
        select(clocks_table)
        .where(unjudged, clocks_table.c.measured_us <= until_us)
        .order_by(clocks_table.c.measured_us)
        .limit(limit)
    )
    with reading(database) as connection:
        return [Kept(**row) for row in connection.execute(query).mappings()]


def sample(database: Database, since_us: int, limit: int) -> list[Measured]:
    """Return the newest measurements, newest first, without those that follow a command."""
    columns = clock_history.c
    query = (
        select(*(columns[each.name] for each in fields(Measured)))
        .where(columns.measured_us >= since_us, columns.moved.is_(False))
        .order_by(columns.measured_us.desc())
        .limit(limit)
    )
    with reading(database) as connection:
        return [Measured(**row) for row in connection.execute(query).mappings()]


def judge(
    database: Database, kept: Kept, *, said: str, notice: bool, asked: tuple[int, str] | None = None
) -> None:
    """Write what was made of a measurement; a later one is left alone.

    `asked` is when, by which command, it is corrected.
    """
    values: dict[str, object] = {"judged": True, "said": said, "notice": notice}
    if asked is not None:
        values |= {"asked_us": asked[0], "command_id": asked[1]}
    with transaction(database) as connection:
        connection.execute(
            update(clocks_table)
            .where(clocks_table.c.meter_id == kept.meter_id)
            .where(clocks_table.c.measured_us == kept.measured_us)
            .values(values)
        )


def under_way(database: Database, asked_by: str) -> int:
    """Return how many commands that one has asked for are open."""
    table = commands_table.c
    query = select(func.count()).where(
        table.state.in_([state.value for state in OPEN]), table.asked_by == asked_by
    )
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


def corrected_since(database: Database, since_us: int) -> int:
    """Return how many clocks were corrected since then."""
    query = select(func.count()).where(clocks_table.c.asked_us >= since_us)
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


def suspicions(database: Database) -> dict[str, Suspicion]:
    """Return what is held against the clocks of head-ends, by name."""
    with reading(database) as connection:
        rows = connection.execute(select(clock_suspicions)).mappings()
        return {row["worker"]: Suspicion(**row) for row in rows}


def suspect(database: Database, found: Iterable[Suspicion]) -> None:
    """Write what is held against head-ends; whom a person trusts stays trusted."""
    rows = [asdict(each) for each in found]
    with transaction(database) as connection:
        upsert(connection, clock_suspicions, rows, keep=("trusted_until_us", "agreed_us"))


def agree_against(database: Database, worker: str, now_us: int) -> None:
    """Write that concentrators' hosts agree against a head-end's clock, or with 0 no longer."""
    row = asdict(Suspicion(worker=worker, suspected_us=now_us, agreed_us=now_us))
    keep = ["sentence", "trusted_until_us", *([] if now_us else ["suspected_us"])]
    with transaction(database) as connection:
        upsert(connection, clock_suspicions, [row], keep=keep)


def trust(database: Database, workers: Collection[str], until_us: int) -> None:
    """Write that a person has looked at the clocks of head-ends: they are right until then."""
    with transaction(database) as connection:
        for worker in sorted(workers):
            row = asdict(Suspicion(worker=worker, trusted_until_us=until_us))
            statement = insert_or(connection, clock_suspicions).values(row)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=["worker"],
                    set_={"trusted_until_us": until_us, "sentence": "", "agreed_us": 0},
                )
            )


# For pages and tools ------------------------------------------------------------------------------


def workers(database: Database) -> list[str]:
    """Return by whose clocks the meters were measured last."""
    query = select(clocks_table.c.worker).distinct().order_by(clocks_table.c.worker)
    with reading(database) as connection:
        return list(connection.execute(query).scalars())


def summary(database: Database) -> Summary:
    """Return all clocks at a glance."""
    table = clocks_table.c
    within = func.abs(table.deviation_s) <= table.tolerated_s
    query = select(
        func.count(),
        func.count().filter(within),
        func.count().filter(noticed),
        func.count().filter(table.deviation_s.is_(None)),
        func.avg(table.deviation_s).filter(within),  # one that is hours off would tell nothing
        func.avg(table.drift_s),
        func.min(table.measured_us),
    ).select_from(clocks_table)
    with reading(database) as connection:
        row = connection.execute(query).one()
    return Summary(
        measured=row[0],
        within=row[1],
        noticed=row[2],
        timeless=row[3],
        ahead_s=row[4],
        drift_s=row[5],
        oldest_us=row[6],
    )


def noticed_count(database: Database) -> int:
    """Return how many clocks a person is to look at."""
    query = select(func.count()).select_from(clocks_table).where(noticed)
    with reading(database) as connection:
        return int(connection.execute(query).scalar_one())


def of(database: Database, meter_ids: Collection[int]) -> dict[int, Kept]:
    """Return clocks of meters, by number."""
    found: dict[int, Kept] = {}
    with reading(database) as connection:
        for few in pieces(sorted(meter_ids)):
            query = select(clocks_table).where(clocks_table.c.meter_id.in_(few))
            found |= {row["meter_id"]: Kept(**row) for row in connection.execute(query).mappings()}
    return found


def worst(database: Database, limit: int = 10, *, notice: bool = False) -> list[Kept]:
    """Return the clocks that are furthest off, those that tell no time first.

    With `notice` those alone that a person is to look at.
    """
    table = clocks_table.c
    query = select(clocks_table).order_by(
        table.deviation_s.is_not(None), func.abs(table.deviation_s).desc(), table.meter_id
    )
    if notice:
        query = query.where(noticed)
    with reading(database) as connection:
        return [Kept(**row) for row in connection.execute(query.limit(limit)).mappings()]
