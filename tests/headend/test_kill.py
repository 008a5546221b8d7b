# SPDX-License-Identifier: Apache-2.0
"""kill -9 while pushes flow: what was receipted is stored, exactly once, value by value."""

import asyncio
import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from chain import INSTALLED, REGION, TestMeter, decode_rows, row_of, until
from loops import in_loop
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime.clock import CalendarState, boot_id, to_us
from openami.runtime.layout import Layout
from openami.runtime.status import read_statuses
from openami.store.database import open_database
from openami.store.tables import inbox as inbox_table
from openami.store.tables import rejected as rejected_table
from openami.transport.url import Url
from openami.transport.wire import WireError
from ports import free_ports

pytestmark = pytest.mark.faults

METERS = 4
PUSHES = 100
KILLS = 4


class Service:
    """One `openami … run` process."""

    def __init__(self, system: str, home: Path) -> None:
        self.command = [sys.executable, "-m", "openami", system, "run", "--home", str(home)]
        self.log = home / "log"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=os.environ)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(timeout=30)

    def words(self) -> str:
        return self.log.read_text(encoding="utf-8")


class Running:
    """A provisioned AMI with a head-end and a concentrator as processes."""

    def __init__(self, folder: Path, suite: int = 0) -> None:
        self.layout = Layout(folder / "var")
        uplink, meters, web = free_ports(3)
        plan = Plan(
            meters=METERS,
            regions=(REGION,),
            installed_us=to_us(INSTALLED),
            uplink_port=uplink,
            concentrator_port=meters,
            web_port=web,
            suite=suite,
        )
        provision(self.layout, plan)
        config = self.layout.concentrator(REGION) / "config.toml"
        text = config.read_text(encoding="utf-8")
        config.write_text(text.replace("backoff_most_s = 10.0", "backoff_most_s = 0.5"))
        CalendarState(
            base_us=to_us(INSTALLED), epoch_monotonic_s=0.0, speed=1.0, running=True, boot=boot_id()
        ).store(self.layout.clock)
        self.url = Url("tls", "127.0.0.1", meters)
        self.headend = Service("headend", self.layout.headend)
        self.concentrator = Service("concentrator", self.layout.concentrator(REGION))
        self.engine: Engine = open_database(self.layout.database_url, create=True)

    def stored(self) -> list[tuple[int, tuple[int, int, int]]]:
        with self.engine.connect() as connection:
            query = select(inbox_table.c.meter_id, inbox_table.c.rows)
            found = connection.execute(query.where(inbox_table.c.kind == "push"))
            return sorted((n, row) for n, rows in found for row in decode_rows(rows))

    def got_on(self, before: int, lives: "list[asyncio.Task[None]]") -> bool:
        """Tell whether more is stored than `before`, or nothing more comes."""
        return len(self.stored()) > before or all(task.done() for task in lives)

    def rejected(self) -> int:
        with self.engine.connect() as connection:
            return len(connection.execute(select(rejected_table.c.rejected_id)).all())

    def journal_depth(self) -> int:
        path = self.layout.concentrator(REGION) / "journal.db"
        if not path.exists():
            return 0
        with contextlib.closing(sqlite3.connect(path)) as connection:
            try:
                return int(connection.execute("SELECT count(*) FROM entries").fetchone()[0])
            except sqlite3.OperationalError:
                return 0  # killed before the table was made

    def both_report(self) -> bool:
        """Tell whether both processes, as they run now, have written their status."""
        pids = {status.pid for status in read_statuses(self.layout.run)}
        return pids == {s.process.pid for s in (self.headend, self.concentrator) if s.process}

    def close(self) -> None:
        for service in (self.concentrator, self.headend):
            if service.process is not None and service.process.poll() is None:
                service.kill()
        self.engine.dispose()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    ami = Running(tmp_path)
    yield ami
    ami.close()


async def live(meter: TestMeter, url: Url) -> None:
    """Push every interval in turn; dial again whenever the connection is gone."""

    async def stay_connected() -> None:
        while True:
            with contextlib.suppress(WireError):
                wire = await meter.connect(url)
                await wire.gone()
            await asyncio.sleep(0.02)

    staying = asyncio.create_task(stay_connected())
    try:
        for index in range(PUSHES):
            meter.push([row_of(meter.meter_id, index)])
            await asyncio.sleep(0.03)
        await until(lambda: not meter.outbox, timeout_s=60.0)
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
        if meter.wire is not None:
            meter.wire.close()
            await meter.wire.gone()


@pytest.mark.parametrize("victim", ["headend", "concentrator"])
def test_kill_9_loses_nothing_and_doubles_nothing(running: Running, victim: str) -> None:
    @in_loop
    async def test() -> None:
        running.headend.start()
        running.concentrator.start()
        meters = [TestMeter(running.layout, n) for n in range(1, METERS + 1)]
        lives = [asyncio.create_task(live(meter, running.url)) for meter in meters]
        killed: Service = getattr(running, victim)
        await until(lambda: len(running.stored()) > 0)
        for _ in range(KILLS):
            before = len(running.stored())
            await until(partial(running.got_on, before, lives))
            killed.kill()
            killed.start()
        await asyncio.gather(*lives)
        wanted = sorted(
            (n, row_of(n, index)) for n in range(1, METERS + 1) for index in range(PUSHES)
        )
        await until(lambda: len(running.stored()) >= len(wanted), timeout_s=60.0)
        assert running.stored() == wanted
        assert running.rejected() == 0
        await until(lambda: running.journal_depth() == 0)
        assert running.stored() == wanted
        await until(running.both_report)

    test()
    assert running.concentrator.end() == 0
    assert running.headend.end() == 0
    for service in (running.headend, running.concentrator):
        assert "Traceback" not in service.words(), service.words()[-4000:]
    names = {status.process for status in read_statuses(running.layout.run)}
    assert names == {"headend", f"concentrator-{REGION}"}
