# SPDX-License-Identifier: Apache-2.0
"""A fleet in one process: what its start, its intervals and its meters cost.

A section of the bench with a small fleet; `python -m bench.fleet --meters 20000` measures larger
ones beside each other.  Rates are by the processor time of the fleet, which the work of others on
the machine disturbs least.
"""

import asyncio
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from typing import Final

import click
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from bench.fleet_process import HELD_MOST, INSTALLED_S, LISTENING, SEED, FleetProcess
from bench.measure import OURS, Goal, Row, Scale, same
from bench.standing import raise_limit
from bench.street import LAST_COUNTER, LOAD_PROFILE, parameters
from openami.dlms.bulk.columns import decode_profile
from openami.dlms.security.counters import CounterBlock
from openami.meter.fleet_listener import address_of
from openami.meter.load import INTERVAL_S
from openami.meter.replay import ReplayedLoad
from openami.runtime.clock import from_us
from openami.transport.client import open_session
from openami.transport.url import Url

HISTORY: Final = 96  # intervals that a first start has to close: two days
CLOSED: Final = 48  # and those that are timed
DAY: Final = 48
AT_ONCE: Final = 32
FIRST: Final = 10
SPARE_FILES: Final = 500
METER_KIB: Final = 60
ANSWER_S: Final = 60.0  # the machine may have others to work for
FIRST_S: Final = INSTALLED_S + (HISTORY + 1) * INTERVAL_S  # end of the first interval that is read
LAST_S: Final = FIRST_S + (DAY - 1) * INTERVAL_S

Tell = Callable[[str, int], None]
"""Told what is done now, and how many meters of it."""

START: Final = "fleet, start, a meter"
AGAIN: Final = "fleet, start after kill -9, a meter"
WAITING: Final = "fleet, memory a meter that waits"
HELD: Final = "fleet, memory a meter with an association"
CLOSING: Final = "fleet, meters' intervals closed"
READ: Final = "fleet, meters associated with and read"

ROWS: Final = (
    (START, "ms CPU", None),
    (AGAIN, "ms CPU", None),
    (WAITING, "KiB", Goal(figure=METER_KIB)),
    (HELD, "KiB", Goal(figure=METER_KIB)),
    (CLOSING, "1/s CPU", None),
    (READ, "1/s CPU", None),
)
RATES: Final = frozenset({CLOSING, READ})


def measure(scale: Scale) -> Iterator[Row]:
    """Measure a small fleet."""
    figures = measured(scale.fleet_meters)
    for name, unit, goal in ROWS:
        row = Row(
            name,
            unit,
            goal=goal,
            note=f"{scale.fleet_meters} meters in one process, plain TCP; its processor time",
            less_is_better=name not in RATES,
        )
        row.add({OURS: figures[name]})
        yield row


def measured(meters: int, tell: Tell = lambda _what, _done: None) -> dict[str, float]:
    """Measure a fleet of one size; return figures by name."""
    held = min(meters, HELD_MOST)
    raise_limit(held + SPARE_FILES)
    with tempfile.TemporaryDirectory() as folder:
        what = {"folder": folder, "first": 1, "count": meters}
        with FleetProcess() as process:
            tell("start", 0)
            started = process.do("start", **what)
            tell("history", 0)
            history = process.do("advance", intervals=HISTORY, at_once=True)
            same(history["closed"], HISTORY * meters, "intervals of the history")
            tell("intervals", 0)
            closed = process.do("advance", intervals=CLOSED)
            same(closed["closed"], CLOSED * meters, "intervals closed")
        with FleetProcess() as process:  # the first one was killed
            tell("start again", 0)
            again = process.do("start", **what, intervals=HISTORY + CLOSED)
            base = Url("tcp", LISTENING, again["port"])
            first = min(FIRST, meters - 1)  # what is paid once is no cost of one meter
            before = asyncio.run(_hold(process, base, range(1, first + 1), tell))
            after = asyncio.run(_hold(process, base, range(first + 1, held + 1), tell))
    return {
        START: started["cpu_s"] / meters * 1000,
        AGAIN: again["cpu_s"] / meters * 1000,
        WAITING: again["kib"] / meters,
        HELD: again["kib"] / meters + (after["kib"] - before["kib"]) / (held - first),
        CLOSING: closed["closed"] / closed["cpu_s"],
        READ: (held - first) / (after["cpu_s"] - before["cpu_s"]),
    }


async def _hold(
    process: FleetProcess, base: Url, numbers: Sequence[int], tell: Tell
) -> dict[str, float]:
    """Associate with meters, read a day of each, and stay; return what the fleet has cost then."""
    turns = asyncio.Semaphore(AT_ONCE)
    done = 0

    async with AsyncExitStack() as stack:

        async def one(number: int) -> None:
            nonlocal done
            async with turns:
                await _read(stack, base, number)
            done += 1
            tell("reads", done)

        await asyncio.gather(*map(one, numbers))
        return process.do("cost")


async def _read(stack: AsyncExitStack, base: Url, number: int) -> None:
    meter = await stack.enter_async_context(
        open_session(
            address_of(base, number),
            parameters(number, protected=True),
            counters=CounterBlock(1, LAST_COUNTER),
            timeout_s=ANSWER_S,
        )
    )
    span = from_us(FIRST_S * 10**6), from_us(LAST_S * 10**6)
    columns = decode_profile(await meter.run(meter.client.profile(LOAD_PROFILE, *span)))
    same(columns.rows, DAY, f"meter {number}: rows of a day")
    load = ReplayedLoad(number, SEED)
    wanted = [load.interval_wh(FIRST_S + (row - 1) * INTERVAL_S) for row in range(DAY)]
    same(columns.values[2].tolist(), wanted, f"meter {number}: Wh of a day")


@click.command()
@click.option("--meters", multiple=True, type=click.IntRange(2), default=(1000, 20_000))
def main(*, meters: Sequence[int]) -> None:
    """Measure fleets of these sizes, one after the other."""
    table = Table("figure", "unit", *(f"{count:,} meters" for count in meters))
    found = []
    with Progress(console=Console(stderr=True)) as progress:
        for count in meters:
            task = progress.add_task(f"{count:,} meters", total=count)

            def tell(what: str, done: int, count: int = count, task: TaskID = task) -> None:
                progress.update(task, completed=done, description=f"{count:,} meters: {what}")

            found.append(measured(count, tell))
    for name, unit, _ in ROWS:
        table.add_row(name, unit, *(f"{figures[name]:,.3g}" for figures in found))
    Console().print(table)


if __name__ == "__main__":
    main()
