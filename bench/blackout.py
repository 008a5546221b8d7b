# SPDX-License-Identifier: Apache-2.0
"""A blackout as the head-end's worker that judges it sees it: last gasps in, outages out.

`python -m bench.blackout --meters 1000 --meters 10000` makes a store with so many meters, eight to
a transformer and four transformers to a feeder (`--areas`: none, 500 to a concentrator), and cuts
all of them.  Each tells its last gasp within 1.5 s; the notices are written as the head-end's books
write them, the looks and sittings are the product's own, each in its transaction, the questions
whether power is there are carried fifty at a time and answered by nobody.  Time is simulated: a
look each 0.25 s; what is measured is what the looks cost.  Then all come back.

What stands at the end is held to what was cut: every transformer and feeder has one outage, every
meter is in exactly one of them, dark until it is back.
"""

import logging
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table
from sqlalchemy import Engine, func, select, text

from bench.measure import OURS, Goal, Row, Scale, same
from bench.processes import cpu_s
from openami.exchange.events import EventCode
from openami.exchange.supply import PingState, Scope
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory, Place
from openami.headend.judging import Bench
from openami.headend.noticed import Noticed, store_noticed
from openami.runtime.clock import MICROSECONDS
from openami.store import registry, supply, topology
from openami.store.accepted import Origin
from openami.store.database import open_database, reading, transaction
from openami.store.registry import Meter
from openami.store.supply_tables import outage_meters, outages

BEGAN_US: Final = 1_800_000_000 * MICROSECONDS
A_TRANSFORMER: Final = 8
A_FEEDER: Final = 32
A_CONCENTRATOR: Final = 500
JITTER_S: Final = 1.5
ROUNDS: Final = 3
GROUP: Final = 200  # notices that the books write together
QUIET_FROM_S: Final = 130.0  # after the cut: by now whoever gasped is asked again
QUIET_S: Final = 20.0
PATIENCE_S: Final = 600.0  # simulated
FIRST_S: Final = 2.0  # goals: by the clock, after what is waited for
FOUND_S: Final = 5.0  # ... of processor, looks while it is waited for included
QUIET_PART: Final = 0.05  # ... of a core


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of what was done since another moment: processor time, and time by the clock."""

    cpu_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One blackout.

    Attributes:
        meters: How many.
        waiting: All looks until one finds an outage.
        first: From the beginning of that look until the outage is in the store for all to see.
        all_: ... until all transformers, or areas, have theirs.
        feeders: ... until all feeders have theirs.
        first_after_s: Simulated: from the cut to the look that finds the first outage.
        all_after_s: ... and to that which finds the last.
        quiet: A simulated second of following all of them.
        back: From the first notice of supply until all outages are over.
        longest_s: The longest transaction, by the clock.
    """

    meters: int
    waiting: Cost
    first: Cost
    all_: Cost
    feeders: Cost
    first_after_s: float
    all_after_s: float
    quiet: Cost
    back: Cost
    longest_s: float

    @property
    def found_cpu_s(self) -> float:
        """Processor time from the first gasp until everything stands."""
        return self.waiting.cpu_s + max(self.all_.cpu_s, self.feeders.cpu_s)


class Blackout:
    """Meters of a store that lose their supply; time is simulated.

    Attributes:
        now_s: Since the cut; calendar and real time go together.
        spent: What looks have cost.
        longest_s: The longest sitting.
    """

    def __init__(self, engine: Engine, meters: int, *, areas: bool) -> None:
        self.engine = engine
        self.meters = meters
        self.places = -(-meters // (A_CONCENTRATOR if areas else A_TRANSFORMER))
        self.scope = Scope.AREA if areas else Scope.TRANSFORMER
        feeders, rest = divmod(meters, A_FEEDER)
        self.trunks = 0 if areas else feeders + (rest > A_TRANSFORMER)  # one alone makes none
        self.now_s = 0.0
        self.spent = Cost(cpu_s=0.0, seconds=0.0)
        self.longest_s = 0.0
        self._rules = OutageSettings()
        self._counter = 0
        self._taken: list[tuple[float, int]] = []
        registry.import_meters(engine, map(_meter, range(1, meters + 1)))
        if not areas:
            topology.put(engine, map(_place, range(1, meters + 1)))
        titles = {_concentrator(number) for number in range(1, meters + 1)}
        names = {title: Place(title.decode(), "north") for title in titles}
        self._bench = Bench(self._rules, Directory(engine, bytes, names))
        self._server = _server_pid(engine)

    @property
    def now_us(self) -> int:
        return BEGAN_US + round(self.now_s * MICROSECONDS)

    def tell(self, numbers: Sequence[int], code: int, seconds: int = 0) -> None:
        """Let notices arrive, as the books write them."""
        for start in range(0, len(numbers), GROUP):
            noticed = []
            for number in numbers[start : start + GROUP]:
                self._counter += 1
                one = Noticed(
                    meter_id=number,
                    at_us=self.now_us // MICROSECONDS * MICROSECONDS,
                    code=code,
                    seconds=seconds,
                    received_us=self.now_us,
                    received_real_us=self.now_us,
                )
                noticed.append((one, Origin(_title(number), 1, self._counter)))
            with transaction(self.engine) as connection:
                store_noticed(connection, noticed)

    def look(self) -> Iterator[None]:
        """Look once, as the process does; yields after each sitting that has been committed."""
        more = True
        while more:
            with self._measured():
                more = self._bench.has_work(self.engine, self.now_us)
                if more:
                    with transaction(self.engine) as connection:
                        more = self._bench.sit(connection, self.now_us, self.now_us).more
            yield

    def wait(self) -> None:
        """Let the time between two looks pass; whoever was asked and is dark does not answer."""
        self.now_s += self._rules.look_s
        silent = [number for asked_s, number in self._taken if asked_s <= self.now_s]
        self._taken = [each for each in self._taken if each[0] > self.now_s]
        for number in silent:
            supply.answer(self.engine, number, PingState.SILENT, self.now_us)
        room = self._rules.ask_at_once - len(self._taken)
        wanted = supply.asked(self.engine)[:room] if room else []
        until_s = self.now_s + self._rules.ask_timeout_s
        self._taken += [(until_s, number) for number in supply.claim(self.engine, wanted, "bench")]

    @contextmanager
    def _measured(self) -> Iterator[None]:
        began_s, cpu_began_s = time.perf_counter(), self._cpu_s()
        yield
        seconds = time.perf_counter() - began_s
        self.longest_s = max(self.longest_s, seconds)
        self.spent = Cost(
            cpu_s=self.spent.cpu_s + self._cpu_s() - cpu_began_s,
            seconds=self.spent.seconds + seconds,
        )

    def _cpu_s(self) -> float:
        return time.process_time() + (cpu_s(self._server) if self._server else 0.0)

    def since(self, before: Cost) -> Cost:
        """Return what looks have cost since another moment."""
        return Cost(
            cpu_s=self.spent.cpu_s - before.cpu_s, seconds=self.spent.seconds - before.seconds
        )

    def count(self, scope: Scope) -> int:
        """Return how many outages of a kind are open, for whoever looks from outside."""
        query = select(func.count()).where(
            outages.c.scope == scope.value, outages.c.ended_us.is_(None)
        )
        with reading(self.engine) as connection:
            return int(connection.execute(query).scalar_one())


def run(engine: Engine, meters: int, *, areas: bool = False) -> Result:
    """Cut and restore so many meters of an empty store.

    Raises:
        SystemExit: What stands at the end is not what was cut.
    """
    logging.getLogger("openami").addHandler(logging.NullHandler())
    street = Blackout(engine, meters, areas=areas)
    gasps = sorted(
        (number * 7919 % meters / meters * JITTER_S, number) for number in range(1, meters + 1)
    )
    moments: dict[str, tuple[Cost, Cost]] = {}
    times: dict[str, float] = {}
    while not {"all", "feeders"} <= moments.keys():
        if street.now_s > PATIENCE_S:
            raise SystemExit(f"after {PATIENCE_S} s stand {street.count(street.scope)} outages")
        due = [number for at_s, number in gasps if at_s <= street.now_s]
        gasps = gasps[len(due) :]
        street.tell(due, EventCode.POWER_FAILURE)
        before = street.spent
        for _ in street.look():
            found, trunks = street.count(street.scope), street.count(Scope.FEEDER)
            for name, reached in (
                ("first", found > 0),
                ("all", found == street.places),
                ("feeders", found > 0 and trunks == street.trunks),
            ):
                if reached and name not in moments:
                    moments[name] = (before, street.spent)
                    times[name] = street.now_s
        street.wait()
    began = moments["first"][0]
    same(_members(engine), meters, "meters in outages")
    same(supply.count_lost(engine), meters, "meters without supply")
    street.now_s = max(street.now_s, QUIET_FROM_S)
    _quiet(street)
    before, from_s = street.spent, street.now_s
    while street.now_s < from_s + QUIET_S:
        _quiet(street)
    quiet = street.since(before)
    before = street.spent
    returns = list(range(1, meters + 1))
    step = max(1, round(meters * 0.25 / JITTER_S))
    while returns or street.count(street.scope) or street.count(Scope.FEEDER):
        street.tell(returns[:step], EventCode.POWER_RETURNED, seconds=int(street.now_s))
        returns = returns[step:]
        _quiet(street)
        if street.now_s > 2 * PATIENCE_S:
            raise SystemExit(f"{street.count(street.scope)} outages do not end")
    back = street.since(before)
    same(supply.count_lost(engine), 0, "meters without supply at the end")
    same(_members(engine), meters, "meters in outages at the end")
    same(_ended(engine), street.places + street.trunks, "outages that are over")
    return Result(
        meters=meters,
        waiting=began,
        first=_between(began, moments["first"][1]),
        all_=_between(began, moments["all"][1]),
        feeders=_between(began, moments["feeders"][1]),
        first_after_s=times["first"],
        all_after_s=max(times["all"], times["feeders"]),
        quiet=Cost(cpu_s=quiet.cpu_s / QUIET_S, seconds=quiet.seconds / QUIET_S),
        back=back,
        longest_s=street.longest_s,
    )


def _quiet(street: Blackout) -> None:
    for _ in street.look():
        pass
    street.wait()


def _between(before: Cost, after: Cost) -> Cost:
    return Cost(cpu_s=after.cpu_s - before.cpu_s, seconds=after.seconds - before.seconds)


def _members(engine: Engine) -> int:
    """Return how many meters are in an outage; ends the run where one is in two."""
    query = select(func.count(), func.count(outage_meters.c.meter_id.distinct()))
    with reading(engine) as connection:
        rows, meters = connection.execute(query).one()
    same(rows, meters, "meters that are in one outage")
    return int(meters)


def _ended(engine: Engine) -> int:
    query = select(func.count()).where(outages.c.ended_us.is_not(None))
    with reading(engine) as connection:
        return int(connection.execute(query).scalar_one())


def _server_pid(engine: Engine) -> int | None:
    """Return the process of the server that works for us, where it is on this machine."""
    if engine.dialect.name != "postgresql":
        return None
    with reading(engine) as connection:
        pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    return pid if Path(f"/proc/{pid}").exists() else None


def _title(number: int) -> bytes:
    return b"OAM" + number.to_bytes(5)


def _concentrator(number: int) -> bytes:
    return b"OAMC%04d" % ((number - 1) // A_CONCENTRATOR)


def _meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=_title(number),
        ldn=f"OAM{number:013d}",
        region="north",
        concentrator=_concentrator(number),
        installed_us=0,
        capture_period_s=1800,
    )


def _place(number: int) -> topology.Place:
    return topology.Place(
        meter_id=number,
        transformer=f"t{(number - 1) // A_TRANSFORMER}",
        feeder=f"f{(number - 1) // A_FEEDER}",
    )


# Shown --------------------------------------------------------------------------------------------


def lines(result: Result) -> dict[str, str]:
    """Return what is told of a blackout, by what it is called."""

    def cost(each: Cost) -> str:
        return f"{each.cpu_s:.2f} ({each.seconds:.2f})"

    return {
        "looks while gasps and answers are waited for": cost(result.waiting),
        "... then: the first outage stands": cost(result.first),
        "... all transformers' (areas') stand": cost(result.all_),
        "... all feeders' stand": cost(result.feeders),
        "in all, from the first gasp": f"{result.found_cpu_s:.2f}",
        "a second of following all of them": (
            f"{result.quiet.cpu_s:.3f} ({result.quiet.seconds:.3f})"
        ),
        "all come back, all outages end": cost(result.back),
        "the longest transaction": f"({result.longest_s:.2f})",
        "simulated: from the cut to the first, to the last outage": (
            f"{result.first_after_s:.2f}, {result.all_after_s:.2f}"
        ),
    }


def measure(scale: Scale) -> Iterator[Row]:
    """Yield what a blackout costs the worker that judges, over SQLite."""
    meters = scale.blackout_meters
    what = f"blackout of {meters:,} meters"

    def row(name: str, unit: str, goal: float | None = None) -> Row:
        held = None if goal is None else Goal(figure=goal)
        return Row(f"{what}, {name}", unit, goal=held, less_is_better=True)

    first = row("first outage stands", "s", FIRST_S)
    found = row("all outages stand", "s CPU", FOUND_S)
    quiet = row("followed for a second", "s CPU", QUIET_PART)
    back = row("all come back", "s CPU")
    for _ in range(ROUNDS if scale.rounds > ROUNDS else 1):
        with tempfile.TemporaryDirectory() as folder:
            engine = open_database(f"sqlite:///{folder}/openami.db", create=True)
            result = run(engine, meters)
            engine.dispose()
        first.add({OURS: result.first.seconds})
        found.add({OURS: result.found_cpu_s})
        quiet.add({OURS: result.quiet.cpu_s})
        back.add({OURS: result.back.cpu_s})
    yield from (first, found, quiet, back)


@click.command()
@click.option("--meters", multiple=True, type=click.IntRange(min=64), default=(1000, 2000, 10_000))
@click.option("--areas", is_flag=True, help="No topology: judged by concentrators of 500.")
@click.option("--database", help="Of PostgreSQL, and empty; for one size.  [default: SQLite]")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="For SQLite.")
def main(
    *, meters: tuple[int, ...], areas: bool, database: str | None, folder: Path | None
) -> None:
    """Cut and restore meters; show processor seconds, and in brackets seconds by the clock."""
    if database is not None and len(meters) > 1:
        raise click.UsageError("a database is for one size: name one --meters")
    table = Table("seconds of processor (of the clock)", *(f"{size:,} meters" for size in meters))
    results = []
    for size in meters:
        with tempfile.TemporaryDirectory(dir=folder) as own:
            engine = open_database(database or f"sqlite:///{own}/openami.db", create=True)
            results.append(run(engine, size, areas=areas))
            engine.dispose()
    for name in lines(results[0]):
        table.add_row(name, *(lines(result)[name] for result in results))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
