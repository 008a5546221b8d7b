# SPDX-License-Identifier: Apache-2.0
"""A region read end to end: fleets, head-end, inbox, intake, lake; then every value is compared.

`python -m bench.region --meters 1000 --meters 10000 --meters 100000` runs the product's processes
as they are, one for each role: `openami headend run` reads each meter by its schedule (associate
with HLS-GMAC, the load profile of its first day, event log, breaker, release) over a TCP connection
of its own to an address of its own, and `openami mdm run` drains the inbox into the lake.  Nothing
is done twice and nothing may be missing: all values of the day, of every meter and channel, are
read back from the lake and held to those that the meters themselves dump.

Cost is processor time: the machine may be shared.  A size that is done stands in `--out` and is not
run again, so that a run which was broken off goes on.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import click
import numpy as np
import polars as pl
from rich.console import Console
from rich.progress import Progress, TaskID
from rich.table import Table

from bench.fleet_process import INSTALLED_S, LISTENING, FleetProcess
from bench.measure import ROOT, same
from bench.processes import cpu_s, peak_kib, written_octets
from bench.street import CLIENT_TITLE, title
from openami.access.keystore import KeyStore
from openami.exchange.channels import PROFILE_CHANNELS, Channel
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.meter.fleet_listener import address_of
from openami.meter.load import INTERVAL_S
from openami.runtime.clock import MICROSECONDS, CalendarState, boot_id
from openami.runtime.files import write_json
from openami.runtime.layout import Layout
from openami.runtime.status import read_statuses
from openami.store.intervals import Lake
from openami.transport.url import Url

HOST: Final = "127.0.0.1"
DAY: Final = 48
A_FLEET: Final = 20_000  # meters in one process
FIRST_S: Final = INSTALLED_S + INTERVAL_S  # end of the first interval
LAST_S: Final = INSTALLED_S + DAY * INTERVAL_S
NOW_S: Final = LAST_S + 300  # the calendar stands here
LOOK_S: Final = 0.5
PATIENCE_S: Final = 300.0  # without any progress
CHANNELS: Final = (Channel.IMPORT_WH, Channel.EXPORT_WH)
"""What is promised: two values an interval.  All four channels are read and compared."""
SETTINGS: Final = """
[sessions]
parallel = 400
idle_s = 0.1

[schedule]
events_every_s = 86400
"""
VALIDATION: Final = """
[vee]
grace_s = 108000
"""
"""Who reads meters once a day waits more than a day before an interval is a gap."""

Tell = Callable[[str, int, int], None]
"""Told what is done now, how many of it, of how many."""

Check = Callable[[Lake, Sequence[FleetProcess], Path, int], None]
"""Told the lake, the fleets, a folder, and how many meters; ends the run where a value is wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one role's processes cost.

    Attributes:
        cpu_s: Processor time from its first instruction to the end.
        start_cpu_s: The part of it until it was ready.
        peak_kib: The largest resident set, of all its processes together.
        written_octets: What it gave to the disk.
    """

    cpu_s: float
    start_cpu_s: float
    peak_kib: int
    written_octets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One size.

    Attributes:
        values: How many were compared: meters, intervals and all channels.
        seconds: From the start of the head-end until the lake had everything.
        wire_octets: Wrapper frames, both ways.
        lake_octets: Of `readings`.
        roles: Costs by role.
    """

    meters: int
    values: int
    seconds: float
    wire_octets: int
    lake_octets: int
    roles: dict[str, Cost] = field(default_factory=dict)

    @property
    def cpu_ms(self) -> float:
        """Processor time of all roles, a meter."""
        return sum(cost.cpu_s for cost in self.roles.values()) / self.meters * 1000

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Result":
        """Return what `asdict` made of one."""
        roles = {name: Cost(**cost) for name, cost in said.pop("roles").items()}
        return cls(**said, roles=roles)


class Service:
    """A process of the product."""

    def __init__(self, name: str, layout: Layout) -> None:
        home = layout.var / name
        self.name = name
        self._layout = layout
        self._said = (layout.run / f"{name}.said").open("wb")
        words = (sys.executable, "-m", "openami", name, "run", "--home", home)
        self.process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdout=self._said,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is ours: we stop it in order
        )
        self.start_cpu_s: float | None = None

    def figure(self, name: str) -> int:
        """Return a figure of its status; 0 while there is none.

        Raises:
            SystemExit: It has ended.
        """
        if self.process.poll() is not None:
            raise SystemExit(f"{self.name} ended:\n{self.words()}")
        for status in read_statuses(self._layout.run):
            if status.process == self.name and status.pid == self.process.pid:
                if self.start_cpu_s is None:
                    self.start_cpu_s = cpu_s(self.process.pid)
                return int(status.figures[name])
        return 0

    def cost(self) -> Cost:
        """Return what it cost so far."""
        pid = self.process.pid
        return Cost(
            cpu_s=cpu_s(pid),
            start_cpu_s=self.start_cpu_s or 0.0,
            peak_kib=peak_kib(pid),
            written_octets=written_octets(pid),
        )

    def words(self) -> str:
        """Return the last of what it said."""
        return (self._layout.run / f"{self.name}.said").read_text(encoding="utf-8")[-3000:]

    def stop(self) -> None:
        """Stop it in order."""
        self.process.terminate()
        self.process.wait()
        self._said.close()


def run(meters: int, folder: Path, tell: Tell, check: Check | None = None) -> Result:
    """Read a region of one size.

    Args:
        meters: How many.
        folder: For everything that it writes.
        tell: Told how far it is.
        check: Holds the lake to the meters; None takes `compare`.

    Raises:
        SystemExit: A value is missing or wrong, or nothing goes on.
    """
    layout = Layout(folder / "var")
    with ExitStack() as stack:
        fleets = [stack.enter_context(FleetProcess()) for _ in range(0, meters, A_FLEET)]
        urls: dict[int, Url] = {}
        for place, fleet in enumerate(fleets):
            first = 1 + place * A_FLEET
            count = min(A_FLEET, meters - first + 1)
            tell("meters are started", first - 1, meters)
            said = fleet.do("start", folder=str(folder), first=first, count=count)
            closed = fleet.do("advance", intervals=DAY, at_once=True)["closed"]
            same(closed, DAY * count, "intervals of the meters' first day")
            base = Url("tcp", LISTENING, said["port"])
            urls |= {number: address_of(base, number) for number in range(first, first + count)}
        prepare(layout, urls, tell)
        started = [fleet.do("cost")["cpu_s"] for fleet in fleets]
        began_s = time.monotonic()
        services = [Service("headend", layout), Service("mdm", layout)]
        for service in services:
            stack.callback(service.stop)
        follow(services, meters, tell)
        seconds = time.monotonic() - began_s
        roles = {service.name: service.cost() for service in services}
        costs = [fleet.do("cost") for fleet in fleets]
        roles["meters"] = Cost(
            cpu_s=sum(each["cpu_s"] for each in costs),
            start_cpu_s=sum(started),
            peak_kib=sum(each["peak_kib"] for each in costs),
            written_octets=sum(written_octets(fleet.pid) for fleet in fleets),
        )
        for service in services:
            service.stop()
        tell("compared", 0, meters)
        (check or compare)(Lake(layout.lake), fleets, folder, meters)
        return Result(
            meters=meters,
            values=meters * DAY * len(PROFILE_CHANNELS),
            seconds=seconds,
            wire_octets=sum(each["wire_octets"] for each in costs),
            lake_octets=Lake(layout.lake).sizes()["readings"].octets,
            roles=roles,
        )


def prepare(layout: Layout, urls: dict[int, Url], tell: Tell) -> None:
    """Write what head-end and meter data management are told: keys, addresses, the calendar."""
    with socket.create_server((HOST, 0)) as free:  # nobody dials it: these meters are dialled
        port = free.getsockname()[1]
    plan = Plan(
        meters=1,
        regions=("north",),
        installed_us=INSTALLED_S * MICROSECONDS,
        zone="UTC",
        uplink_port=port,
    )
    provision(layout, plan)
    config = layout.headend / "config.toml"
    text = config.read_text(encoding="utf-8") + SETTINGS
    config.write_text(text.replace("4F414DE000000001", CLIENT_TITLE.hex().upper()))
    with (layout.mdm / "config.toml").open("a", encoding="utf-8") as file:
        file.write(VALIDATION)
    keystore = KeyStore(layout.headend / "keystore")
    concentrator = plan.concentrator_of("north").hex().upper()
    rows = []
    for number, url in urls.items():
        keys = sha256(title(number)).digest()
        secrets = {"guek": keys[:16], "gak": keys[16:], "kek": keys[:16], "lls": keys[16:]}
        rows.append(
            {
                "meter_id": number,
                "title": title(number).hex().upper(),
                "ldn": f"OAM{number:013d}",
                "region": "north",
                "concentrator": concentrator,
                "installed_us": INSTALLED_S * MICROSECONDS,
                "capture_period_s": INTERVAL_S,
                "address": str(url),
                "key_epoch": 1,
                "keys": {name: keystore.wrap(key).hex() for name, key in secrets.items()},
            }
        )
        if number % 1000 == 0:
            tell("keys are wrapped", number, len(urls))
    shipment = {
        "format": "openami-shipment-1",
        "head_end": CLIENT_TITLE.hex().upper(),
        "concentrators": [{"name": "north", "title": concentrator, "region": "north"}],
        "meters": rows,
    }
    write_json(layout.headend / "shipment.json", shipment)
    CalendarState(
        base_us=NOW_S * MICROSECONDS,
        epoch_monotonic_s=time.monotonic(),
        speed=1.0,
        running=False,
        boot=boot_id(),
    ).store(layout.clock)
    layout.run.mkdir(parents=True, exist_ok=True)


def follow(services: Sequence[Service], meters: int, tell: Tell) -> None:
    """Wait until every meter was read and every row is stored.

    Raises:
        SystemExit: Nothing has gone on for a while.
    """
    headend, mdm = services
    wanted = meters * DAY * len(PROFILE_CHANNELS)
    before, changed_s = (-1, -1), time.monotonic()
    while True:
        reads, rows = headend.figure("reads"), mdm.figure("rows stored")
        tell("meters are read", reads, meters)
        if reads == meters and rows == wanted:
            return
        if (reads, rows) != before:
            before, changed_s = (reads, rows), time.monotonic()
        elif time.monotonic() - changed_s > PATIENCE_S:
            said = "\n".join(service.words() for service in services)
            raise SystemExit(f"{reads} of {meters} meters read, {rows} of {wanted} rows:\n{said}")
        time.sleep(LOOK_S)


def compare(lake: Lake, fleets: Sequence[FleetProcess], folder: Path, meters: int) -> None:
    """Hold every value of the lake to the meters'; count them, exactly.

    Raises:
        SystemExit: One is missing, or another.
    """
    first_us = (FIRST_S - INTERVAL_S) * MICROSECONDS
    starts = first_us + np.arange(DAY) * INTERVAL_S * MICROSECONDS
    counted = 0
    for place, fleet in enumerate(fleets):
        first = 1 + place * A_FLEET
        count = min(A_FLEET, meters - first + 1)
        path = folder / f"meters-{first}.npy"
        fleet.do("dump", path=str(path), first_s=FIRST_S, last_s=LAST_S)
        have = np.load(path)
        for column, channel in enumerate(PROFILE_CHANNELS):
            values = lake.values(
                range(first, first + count), [channel], first_us, LAST_S * MICROSECONDS
            ).sort("meter_id", "start")
            what = f"{channel.name} of meters {first} to {first + count - 1}"
            same(values.height, count * DAY, f"values of {what}")
            same(values.select("meter_id", "start").n_unique(), count * DAY, f"keys of {what}")
            stored = values["value"].to_numpy().reshape(count, DAY)
            times = values.select(pl.col("start").dt.epoch("us"))["start"].to_numpy()
            same(int((times.reshape(count, DAY) != starts).sum()), 0, f"wrong times of {what}")
            wrong = int((stored != have[:, :, column]).sum())
            same(wrong, 0, f"wrong values of {what}")
            same(int(stored.sum()), int(have[:, :, column].sum(dtype=np.int64)), f"sum of {what}")
            counted += values.height if channel in CHANNELS else 0
    same(counted, meters * DAY * len(CHANNELS), "values of two channels")


def shown(results: Sequence[Result]) -> Table:
    """Return results as a table, a column a size."""
    table = Table("figure", *(f"{result.meters:,} meters" for result in results))

    def add(name: str, figure: Callable[[Result], float]) -> None:
        table.add_row(name, *(f"{figure(result):,.4g}" for result in results))

    table.add_row("values compared", *(f"{result.values:,}" for result in results))
    table.add_row("of them missing or wrong", *("0" for _ in results))
    add("seconds", lambda result: result.seconds)
    add("values a second", lambda result: result.values / result.seconds)
    add("CPU ms a meter, all", lambda result: result.cpu_ms)
    for role in ("meters", "headend", "mdm"):
        _add_role(add, role)
    add("octets on the wire a meter", lambda result: result.wire_octets / result.meters)
    add("octets in the lake a value", lambda result: result.lake_octets / result.values)
    return table


def _add_role(add: Callable[[str, Callable[[Result], float]], None], role: str) -> None:
    add(f"CPU ms a meter, {role}", lambda result: result.roles[role].cpu_s / result.meters * 1000)
    add(
        "  ... of it for the start",
        lambda result: result.roles[role].start_cpu_s / result.meters * 1000,
    )
    add("  peak memory, MiB", lambda result: result.roles[role].peak_kib / 1024)
    add(
        "  written to the disk, octets a meter",
        lambda result: result.roles[role].written_octets / result.meters,
    )


@click.command()
@click.option("--meters", "sizes", multiple=True, type=click.IntRange(1), default=(1000, 10_000))
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("region.json"),
    show_default=True,
    help="Sizes that are done; they are not run again.",
)
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Where everything is written; /dev/shm leaves the disk out.  [the system's own]",
)
def main(*, sizes: Sequence[int], out: Path, folder: Path | None) -> None:
    """Read regions of these sizes end to end, and compare every value."""
    console = Console(stderr=True)
    done = {int(size): said for size, said in _read(out).items()}
    for size in sizes:
        if size in done:
            continue
        with (
            tempfile.TemporaryDirectory(dir=folder) as name,
            Progress(console=console) as progress,
        ):
            task = progress.add_task(f"{size:,} meters", total=size)

            tell = partial(_tell, progress, task, f"{size:,} meters")
            done[size] = asdict(run(size, Path(name), tell))
        out.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    Console(width=140).print(shown([Result.of(dict(done[size])) for size in sizes]))


def _tell(  # noqa: PLR0913, PLR0917  the first three are bound
    progress: Progress, task: TaskID, whose: str, what: str, count: int, of: int
) -> None:
    progress.update(task, completed=count, total=of, description=f"{whose}: {what}")


def _read(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


if __name__ == "__main__":
    main()
