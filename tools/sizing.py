# SPDX-License-Identifier: Apache-2.0
"""What so many meters cost, from what one was measured to cost.

    python tools/sizing.py                  write docs/sizing.md from docs/sizing.toml
    python tools/sizing.py measure [URL] [--write]
                                            measure the database's part on an empty PostgreSQL,
                                            without URL on one that is made for it, and write both

`page` is what a test compares with the committed file.
"""

import asyncio
import os
import re
import sys
import time
import tomllib
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import Engine, event, text

from openami.access.policy import Role
from openami.exchange.commands import OPEN, CommandKind, CommandState
from openami.headend import requests
from openami.headend.books import Books
from openami.headend.commands import Commands
from openami.headend.conduct import Outcome
from openami.headend.config import CommandSettings, SessionSettings
from openami.headend.directory import Directory
from openami.headend.holdings import Holdings
from openami.headend.sessions import Sessions
from openami.runtime.errors import UserError
from openami.store import commands, counters, inbox, live, registry
from openami.store.accepted import PAGE_COUNTERS, Origin
from openami.store.database import open_database, reading
from openami.store.inbox import Message
from openami.store.leases import Lease, Worker
from openami.store.registry import Meter, MeterKey

if TYPE_CHECKING:
    from openami.headend.associations import MeterSession
    from openami.headend.conductor import Conductor

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
MADE_BY: Final = "<!-- made by tools/sizing.py from docs/sizing.toml -->"
FLEETS: Final = (1_000_000, 10_000_000)
METERS: Final = 20_000  # that are entered to be measured
COMMANDS: Final = 2_000  # of so many of them
GROUP: Final = 500
DAY_S: Final = 86_400
GB: Final = 1e9

Figures = Mapping[str, float]


def plan(figures: Figures, meters: int) -> list[tuple[str, str, float, str]]:
    """Return rows of (what, unit, value, how it comes about) for a fleet."""
    f = figures
    intervals = DAY_S / f["period_s"]
    rows_day = meters * intervals * f["channels"]
    messages_day = meters * intervals * f["pushes_an_interval"]
    pages_day = messages_day * f["counters_a_push"] / PAGE_COUNTERS
    peak_s = meters * f["pushes_an_interval"] / f["spread_s"]
    use = f["most_use"]
    reads_s = meters / f["daily_read_s"]
    workers = max(
        meters * f["tls_kib"] / f["concentrator_meters"] / (f["worker_memory_gib"] * 2**20),
        meters * f["directory_octets"] / (f["worker_memory_gib"] * 2**30),
        reads_s / (f["reads_1_s"] * use),
    )
    directory = meters * f["directory_octets"] / 2**30
    inbox_load = peak_s / f["inbox_1_s"]
    drain_s = rows_day / f["lake_rows_1_s"]
    return [
        ("readings a day", "rows", rows_day, "meters × intervals × channels"),
        ("pushes a day", "messages", messages_day, "meters × intervals"),
        ("pushes at the worst", "1/s", peak_s, "an interval's pushes, spread over spread_s"),
        ("... of what one PostgreSQL took", "×", inbox_load, "÷ inbox_1_s: below 1 it keeps up"),
        ("scheduled reads", "1/s", reads_s, "meters ÷ daily_read_s"),
        ("head-end workers, at least", "", float(-(-workers // 1) + 1), "reads, memory; one spare"),
        (
            "memory of a worker's registry",
            "GiB",
            directory,
            "meters × directory_octets, each worker",
        ),
        (
            "registry in PostgreSQL",
            "GB",
            meters * f["registry_octets"] / GB,
            "meters × registry_octets",
        ),
        (
            "what makes pushes unique, a month",
            "GB",
            30 * pages_day * f["accepted_page_octets"] / GB,
            f"messages × counters_a_push ÷ {PAGE_COUNTERS} × accepted_page_octets",
        ),
        (
            "inbox, a day that is not drained",
            "GB",
            messages_day * f["inbox_octets"] / GB,
            "messages × inbox_octets",
        ),
        ("drain into the lake, a day", "h", drain_s / 3600, "rows ÷ lake_rows_1_s, on 2 cores"),
        ("lake, a year", "GB", 365 * rows_day * f["reading_octets"] / GB, "rows × reading_octets"),
        ("commands asked for", "1/s", f["asked_1_s"], "PostgreSQL's part; one after the other"),
        ("commands carried through", "1/s", f["commands_1_s"], "PostgreSQL's part; one head-end"),
        (
            "a command to every meter",
            "h",
            meters / min(f["asked_1_s"], f["commands_1_s"]) / 3600,
            "meters ÷ the lower of the two: they are carried out while others are asked for",
        ),
    ]


def page() -> str:
    """Return docs/sizing.md."""
    said = tomllib.loads((DOCS / "sizing.toml").read_text(encoding="utf-8"))
    figures: dict[str, float] = said["assumed"] | said["measured"]
    plans = [plan(figures, meters) for meters in FLEETS]
    lines = [
        MADE_BY,
        "# Sizing",
        "",
        said["about"].strip(),
        "",
        "| what | unit | " + " | ".join(f"{meters:,} meters" for meters in FLEETS) + " | how |",
        "|---|---|" + "---:|" * len(FLEETS) + "---|",
    ]
    for rows in zip(*plans, strict=True):
        what, unit, _, how = rows[0]
        lines.append(f"| {what} | {unit} | {' | '.join(_shown(r[2]) for r in rows)} | {how} |")
    for title, note in (("assumed", ""), ("measured", said["measured_on"].strip())):
        lines += ["", f"## {title.capitalize()}", "", *([note, ""] if note else [])]
        lines += ["| name | value | |", "|---|---:|---|"]
        lines += [
            f"| `{name}` | {_shown(value)} | {said['meaning'][name]} |"
            for name, value in said[title].items()
        ]
    lines += ["", "## What it says, and what not", "", said["reading"].strip(), ""]
    return "\n".join(lines)


def _shown(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def measure(url: str) -> dict[str, float]:
    """Return the database's part of the costs; the database must be empty."""
    engine = open_database(url, create=True)
    before = _octets(engine)
    meters = [_meter(n) for n in range(1, METERS + 1)]
    registry.import_meters(engine, meters)
    names = ("guek", "gak", "kek", "lls")
    registry.put_keys(
        engine,
        [
            MeterKey(meter_id=m.meter_id, key_name=k, epoch=1, state="active", wrapped=bytes(24))
            for m in meters
            for k in names
        ],
    )
    numbers = [meter.meter_id for meter in meters]
    worker = Worker("measure", "1")
    registry.set_attached(engine, dict.fromkeys(numbers, True), 1, worker.name)
    for n in numbers[:2000]:
        counters.reserve(engine, n, 1, 16)
    live.put_latest(
        engine,
        [
            live.Latest(meter_id=n, channel=c, start_us=1, value=1, quality=0, received_us=1)
            for n in numbers
            for c in range(1, 5)
        ],
    )
    found = {"registry_octets": (_octets(engine) - before) / METERS}
    tracemalloc.start()
    directory = Directory(engine, lambda wrapped: wrapped)
    found["directory_octets"] = tracemalloc.get_traced_memory()[0] / len(directory)
    tracemalloc.stop()
    found |= _messages(engine, numbers)
    found |= _commands(engine, numbers[:COMMANDS], worker)
    engine.dispose()
    return found


def _meter(number: int) -> Meter:
    return Meter(
        meter_id=number,
        title=number.to_bytes(8),
        ldn=f"OAM{number:013d}",
        region="north",
        concentrator=(number // 1000).to_bytes(8),
        installed_us=0,
        capture_period_s=1800,
        source="home",
    )


def _messages(engine: Engine, numbers: list[int]) -> dict[str, float]:
    octets = bytes(range(130))  # a protected push of one interval of four channels
    sizes = (_octets(engine, "accepted_pages"), _octets(engine, "inbox"))
    count, since_s = 0, time.perf_counter()
    for day in range(2):
        for first in range(0, len(numbers), GROUP):
            group = [
                (
                    Message(
                        meter_id=n,
                        kind=inbox.PUSH,
                        received_us=1,
                        epoch=1,
                        hops="north",
                        octets=octets,
                        rows=octets[:48],
                    ),
                    Origin(n.to_bytes(8), 1, day),
                )
                for n in numbers[first : first + GROUP]
            ]
            count += sum(inbox.put(engine, group))
    took_s = time.perf_counter() - since_s
    return {
        "inbox_1_s": count / took_s,
        "accepted_page_octets": (_octets(engine, "accepted_pages") - sizes[0]) / len(numbers),
        "inbox_octets": (_octets(engine, "inbox") - sizes[1]) / count,
    }


def _commands(engine: Engine, numbers: list[int], worker: Worker) -> dict[str, float]:
    """Ask a command of each meter, then let a head-end carry them out."""
    wanted = requests.Request(kind=CommandKind.CONNECT, reason="measured", valid_s=86_400.0)
    since_s = time.perf_counter()
    requests.ask_many(engine, numbers, wanted, login="measure", role=Role.UTILITY)
    commits: list[object] = []
    note = commits.append
    event.listen(engine, "commit", note)
    asked_s = time.perf_counter()
    asyncio.run(_carried(engine, worker))
    carried_s = time.perf_counter()
    event.remove(engine, "commit", note)
    done = commands.count(engine, [CommandState.CONFIRMED])
    if done != len(numbers):
        raise UserError(f"{done} of {len(numbers)} commands were confirmed: see the log")
    return {
        "asked_1_s": done / (asked_s - since_s),
        "commands_1_s": done / (carried_s - asked_s),
        "commits_a_command": len(commits) / done,
    }


async def _carried(engine: Engine, worker: Worker) -> None:
    """Carry out what is asked, as a head-end does, with meters that answer at once."""
    books = Books(engine)
    holdings = Holdings(books, worker, 60.0)

    async def opened(meter_id: int) -> Answering:
        lease = await holdings.take_meter(meter_id)
        return Answering(_meter(meter_id), books, holdings, lease)

    settings = SessionSettings()
    sessions = Sessions(opened, parallel=settings.parallel, idle_s=0.0)
    work = Commands(
        CommandSettings(),
        books,
        holdings,
        cast("Sessions[MeterSession]", sessions),
        cast("Conductor", Believing(books)),
        lambda _meter_id: True,
        lambda: 0,
    ).work
    running = asyncio.create_task(work.run())
    while commands.count(engine, OPEN) or work.under_way:  # noqa: ASYNC110  the store tells nobody
        await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await sessions.stop()
    await holdings.stop()
    await books.stop()


@dataclass(frozen=True, slots=True)
class Answering:
    """An association with a meter that costs the database what one does."""

    meter: Meter
    books: Books
    holdings: Holdings
    lease: Lease
    hops: str = "measure"
    usable: bool = True

    async def reserve(self, count: int) -> range:
        return await self.books.reserve(self.meter.meter_id, 1, count, self.lease)

    async def close(self) -> None:
        await self.holdings.give_back(self.lease)


@dataclass(frozen=True, slots=True)
class Believing:
    """Finds at each meter what was asked for, and writes down that it did."""

    books: Books
    changes: bool = False  # no event log is read afterwards

    async def of(self, *_: object) -> "Believing":
        return self

    async def before(self, _session: Answering) -> dict[str, object]:
        return {}

    async def send(self, _session: Answering) -> None:
        return

    async def prove(self, session: Answering, _before: object) -> Outcome:
        number = session.meter.meter_id
        await self.books.write(number, lambda c: registry.set_breaker(c, number, 1, 1))
        return Outcome(CommandState.CONFIRMED, "read back", {"control_state": 1})


def _octets(engine: Engine, table: str | None = None) -> int:
    with reading(engine) as connection:
        if table is None:
            query = text("SELECT pg_database_size(current_database())")
            return int(connection.execute(query).scalar_one())
        query = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
        return int(connection.execute(query, {"name": table}).scalar_one())


def entered(said: str, found: Figures) -> str:
    """Return sizing.toml with measured figures in the place of those that it has."""
    for name, value in found.items():
        line = rf"(?m)^{name} = [\d.]+$"
        if len(re.findall(line, said)) != 1:
            raise UserError(f"docs/sizing.toml has no figure {name}: write one to be replaced")
        said = re.sub(line, f"{name} = {float(f'{value:.4g}'):.15g}", said)
    return said


@contextmanager
def server(url: str | None) -> Iterator[str]:
    """Return the URL of an empty database; without one, on a server that ends with us."""
    if url is not None:
        yield url
        return
    sys.path.insert(0, str(DOCS.parent / "tests"))
    from postgres import servers  # noqa: PLC0415  the tests' own server

    with servers("measured") as (one,):
        one.make()
        one.configure(fsync="on", autovacuum="on", shared_buffers="'512MB'")
        one.start()
        yield one.new_database()


def main() -> None:
    """Write the page; measure before, if asked to."""
    if sys.argv[1:2] == ["measure"]:
        words = [word for word in sys.argv[2:] if word != "--write"]
        load = os.getloadavg()[0]
        with server(words[0] if words else None) as url:
            found = measure(url) | {"load": load}
        for name, value in found.items():
            print(f"{name} = {value:.4g}")
        if "--write" not in sys.argv:
            return
        file = DOCS / "sizing.toml"
        file.write_text(entered(file.read_text(encoding="utf-8"), found), encoding="utf-8")
    (DOCS / "sizing.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
