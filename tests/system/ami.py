# SPDX-License-Identifier: Apache-2.0
"""An AMI of real processes in a temporary folder, for tests that look at it from outside.

Everything is as `openami up` does it (same provisioning, same programs, same supervisor), but the
supervisor runs in a thread of the test, and the concentrators' uplinks lead through a cable that
the test can cut.
"""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from factorystock import stock
from openami.access.accounts import create_first_accounts
from openami.cli.certifying import certifier
from openami.cli.up import programs
from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.headend.config import HeadEndConfig
from openami.headend.pairs import believing
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import Plan, meter_title
from openami.lifecycle.provision import provision, ship_again
from openami.meter import run as backplane
from openami.meter.replay import ReplayedLoad
from openami.runtime.calendar_owner import CalendarOwner
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.layout import Layout
from openami.runtime.status import read_statuses
from openami.runtime.supervisor import Supervisor
from openami.store.database import open_database
from openami.store.intervals import Lake
from ports import free_ports

T = TypeVar("T")

PERIOD_US = 1800 * MICROSECONDS
DAY_US = 86_400 * MICROSECONDS
INSTALLED_US = 1_793_491_200 * MICROSECONDS  # Sunday 2026-11-01 00:00 UTC


class Cable:
    """A line between dialler and listener that can be cut and mended."""

    def __init__(self, port: int, to_port: int) -> None:
        self.port, self._to_port = port, to_port
        self._whole = True
        self._streams: set[asyncio.StreamWriter] = set()

    async def lay(self) -> None:
        """Begin to carry."""
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", self.port)

    async def take_up(self) -> None:
        """Carry no more."""
        self._server.close()
        self.cut()
        await asyncio.sleep(0.2)  # the streams end

    def cut(self) -> None:
        """Break what is open, refuse what is new."""
        self._whole = False
        for stream in list(self._streams):
            stream.transport.abort()

    def mend(self) -> None:
        """Carry again."""
        self._whole = True

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._whole:
            writer.transport.abort()
            return
        try:
            back_reader, back_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, back_writer}
        self._streams |= both
        try:
            await asyncio.gather(pump(reader, back_writer), pump(back_reader, writer))
        finally:
            self._streams -= both
            for stream in both:
                stream.transport.abort()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Move octets one way until either end is gone."""
    try:
        while octets := await reader.read(65_536):
            writer.write(octets)
            await writer.drain()
    except (ConnectionError, OSError):
        pass
    writer.transport.abort()


class Ami:
    """One AMI; use it as a context manager."""

    def __init__(
        self,
        folder: Path,
        *,
        meters: int,
        speed: float,
        history_days: int = 1,
        suite: int = 0,
        walled: bool = False,
    ) -> None:
        """Plan an AMI.

        Args:
            folder: Where it is to be.
            meters: How many; the first has processes of its own.
            speed: Calendar seconds a real second.
            history_days: How long the meters have hung on their walls.
            suite: Security suite.
            walled: Whether the keys of the first are in its secure world.
        """
        self.layout = Layout(folder / "var")
        web, uplink, cable_north, cable_south, plain, north, _ = free_ports(7)
        self.speed, self.history_days = speed, history_days
        self.plan = Plan(
            meters=meters,
            installed_us=INSTALLED_US,
            web_port=web,
            uplink_port=uplink,
            concentrator_port=north,
            plain_listener=f"tcp://127.0.0.1:{plain}",
            suite=suite,
        )
        self._walled = walled
        self.plain_url = self.plan.plain_listener
        self.address = f"http://127.0.0.1:{web}"
        self.cables = {
            "north": Cable(cable_north, uplink),
            "south": Cable(cable_south, uplink),
        }
        self._owner = CalendarOwner(self.layout.clock, self.layout.run / "clock.beat")
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        provision(self.layout, self.plan)
        stock(self.layout)
        for region, cable in self.cables.items():
            config = self.layout.concentrator(region) / "config.toml"
            text = config.read_text().replace(f":{self.plan.uplink_port}", f":{cable.port}")
            config.write_text(text)
        database = open_database(self.layout.database_url, create=True)
        if self._walled:
            home = self.layout.meter(meter_title(1))
            backplane.personalise(home, certifier(home))
            ship_again(self.layout, 1)
        believe = believing(HeadEndConfig.load(self.layout.headend))
        import_shipment(database, load_shipment(self.layout.headend / "shipment.json"), believe)
        self.logins = {
            login.login: login.password
            for login in create_first_accounts(database, range(1, self.plan.meters + 1))
        }
        database.dispose()
        self.layout.run.mkdir(exist_ok=True)
        self._thread.start()
        for cable in self.cables.values():
            self.do(cable.lay())
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
        for cable in self.cables.values():
            self.do(cable.take_up())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self) -> None:
        """Let calendar and processes run."""
        first_us = INSTALLED_US + self.history_days * DAY_US
        self._owner.start(first_us=first_us, speed=self.speed)
        self.clock = Clock(self.layout.clock)

        async def start() -> Supervisor:
            supervisor = Supervisor(programs(self.layout, self.plan), self.layout.run)
            supervisor.start()
            return supervisor

        self.supervisor = self.do(start())

    def stop(self) -> None:
        """Stop all processes in order and freeze the calendar."""
        self.do(self.supervisor.stop(), timeout_s=120)
        self._owner.freeze()

    def do(self, coroutine: Coroutine[Any, Any, T], timeout_s: float = 60) -> T:
        """Run a coroutine in the AMI's own loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(timeout_s)

    def cut(self, region: str) -> None:
        self._loop.call_soon_threadsafe(self.cables[region].cut)

    def mend(self, region: str) -> None:
        self._loop.call_soon_threadsafe(self.cables[region].mend)

    def pid(self, process: str) -> int | None:
        """Return the process id that a process last said it has."""
        path = self.layout.run / f"{process}.json"
        return int(json.loads(path.read_text())["pid"]) if path.exists() else None

    def kill(self, process: str) -> None:
        """Kill a process outright and wait until its successor has spoken."""
        pid = self.pid(process)
        assert pid is not None, f"{process} never spoke; {self.words(process)}"
        os.kill(pid, signal.SIGKILL)
        self.until(lambda: self.pid(process) != pid, f"{process} comes back", 60)

    def pids(self) -> dict[str, int]:
        """Return the process id of every process that has spoken."""
        return {status.process: status.pid for status in read_statuses(self.layout.run)}

    def ports(self) -> dict[str, int]:
        """Return every port that is listened on, by who listens."""
        first = self.plan.concentrator_port
        found = {f"concentrator-{name}": first + i for i, name in enumerate(self.plan.regions)}
        plain = int(self.plain_url.rpartition(":")[2])
        return {
            "web": self.plan.web_port,
            "headend": self.plan.uplink_port,
            **found,
            "meter": plain,
        }

    def tracebacks(self) -> dict[str, str]:
        """Return the logs that show a fault of the code, from its traceback on."""
        logs = {log.stem: log.read_text(errors="replace") for log in self.layout.run.glob("*.log*")}
        return {
            process: text[text.index("Traceback") :][:3000]
            for process, text in logs.items()
            if "Traceback" in text
        }

    def complete(self, to_us: int) -> bool:
        """Tell whether every meter's measured values up to `to_us` are stored."""
        wanted = (to_us - INSTALLED_US) // PERIOD_US
        for meter_id in range(1, self.plan.meters + 1):
            values = self.stored(meter_id, Channel.IMPORT_WH, to_us).values()
            if sum(not quality & Quality.ESTIMATED for _, quality in values) < wanted:
                return False
        return True

    def now_slot_us(self) -> int:
        """Return the end of the last interval that is over by the calendar."""
        return self.clock.now_us() // PERIOD_US * PERIOD_US

    def words(self, process: str) -> str:
        """Return the end of a process's log."""
        log = self.layout.run / f"{process}.log"
        return log.read_text()[-3000:] if log.exists() else "(no log)"

    def figures(self, process: str) -> dict[str, Any]:
        """Return what a process last said of itself."""
        return next(
            (
                dict(status.figures)
                for status in read_statuses(self.layout.run)
                if status.process == process
            ),
            {},
        )

    def until(self, true: Callable[[], bool], what: str, timeout_s: float) -> None:
        """Wait until something is true; say how the processes are when it never is."""
        deadline_s = time.monotonic() + timeout_s
        while not true():
            if time.monotonic() > deadline_s:
                states = {
                    child.program.name: child.state.value for child in self.supervisor.children
                }
                said = {one.process: one.figures for one in read_statuses(self.layout.run)}
                raise AssertionError(f"not within {timeout_s:g} s: {what}\n{states}\n{said}")
            time.sleep(0.2)

    def expected(self, meter_id: int, from_us: int, to_us: int) -> dict[int, int]:
        """Return what the data set says that a meter must have measured, by interval start."""
        load = ReplayedLoad(meter_id, self.plan.seed)
        return {
            start_us: load.interval_wh(start_us // MICROSECONDS)
            for start_us in range(from_us, to_us, PERIOD_US)
        }

    def stored(self, meter_id: int, channel: int, to_us: int) -> dict[int, tuple[int, int]]:
        """Return the store's current values and qualities of a meter, by interval start."""
        frame = Lake(self.layout.lake).series(meter_id, channel, INSTALLED_US, to_us)
        starts = frame["start"].dt.epoch("us").to_list()
        values = zip(frame["value"].to_list(), frame["quality"].to_list(), strict=True)
        return dict(zip(starts, values, strict=True))
