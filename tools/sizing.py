# SPDX-License-Identifier: Apache-2.0
"""What so many meters cost, from what one was measured to cost.

    python tools/sizing.py                  write docs/sizing.md from docs/sizing.toml
    python tools/sizing.py measure URL      measure the database's part on an empty PostgreSQL

`page` is what a test compares with the committed file.
"""

import sys
import time
import tomllib
import tracemalloc
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from sqlalchemy import Engine, text

from openami.exchange.commands import CommandKind, CommandState
from openami.headend.directory import Directory
from openami.store import commands, counters, inbox, leases, live, registry
from openami.store.accepted import PAGE_COUNTERS, Origin
from openami.store.database import open_database, reading
from openami.store.inbox import Message
from openami.store.leases import Kind, Worker
from openami.store.registry import Meter, MeterKey

DOCS: Final = Path(__file__).resolve().parent.parent / "docs"
MADE_BY: Final = "<!-- made by tools/sizing.py from docs/sizing.toml -->"
FLEETS: Final = (1_000_000, 10_000_000)
METERS: Final = 20_000  # that are entered to be measured
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
        ("commands carried through", "1/s", f["commands_1_s"], "PostgreSQL's part; one client"),
        (
            "a command to every meter",
            "h",
            meters / f["commands_1_s"] / 3600,
            "meters ÷ commands_1_s, one after the other",
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
    meters = [
        Meter(
            meter_id=n,
            title=n.to_bytes(8),
            ldn=f"OAM{n:013d}",
            region="north",
            concentrator=(n // 1000).to_bytes(8),
            installed_us=0,
            capture_period_s=1800,
            source="home",
        )
        for n in range(1, METERS + 1)
    ]
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
    found |= _commands(engine, numbers[:1000], worker)
    engine.dispose()
    return found


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
    """Carry commands through all their states, one after the other."""
    since_s = time.perf_counter()
    for n in numbers:
        commands.ask(engine, meter_id=n, kind=CommandKind.READ, asked_by="measure", reason="")
    done = 0
    states = list(pairwise(_PATH))
    while some := commands.claim_requested(engine, worker, seconds=60, limit=100):
        for command, lease in some:
            leases.take(engine, Kind.METER, [str(command.meter_id)], worker, 60)
            counters.reserve(engine, command.meter_id, 1, 16)
            for before, after in states:
                commands.advance(engine, command.command_id, {before}, after, "", lease=lease)
            done += 1
    return {"commands_1_s": done / (time.perf_counter() - since_s)}


_PATH: Final = (
    CommandState.REQUESTED,
    CommandState.RESERVED,
    CommandState.SENT,
    CommandState.CONFIRMED,
)


def _octets(engine: Engine, table: str | None = None) -> int:
    with reading(engine) as connection:
        if table is None:
            query = text("SELECT pg_database_size(current_database())")
            return int(connection.execute(query).scalar_one())
        query = text("SELECT pg_total_relation_size(CAST(:name AS regclass))")
        return int(connection.execute(query, {"name": table}).scalar_one())


def main() -> None:
    """Write the page, or measure."""
    if sys.argv[1:2] == ["measure"]:
        for name, value in measure(sys.argv[2]).items():
            print(f"{name} = {value:.0f}")
    else:
        (DOCS / "sizing.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
