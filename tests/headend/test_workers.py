# SPDX-License-Identifier: Apache-2.0
"""Several head-ends over one PostgreSQL: kill -9 of a worker or of the server, a fail-over.

A balancer stands before the head-ends, as in the field: a concentrator that lost its uplink comes
to whichever head-end lives.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, select

from chain import INSTALLED, REGION, TestMeter, decode_rows, row_of, until
from headend.test_kill import Service
from loops import in_loop
from openami.exchange.commands import CommandKind, CommandState, Priority
from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime.clock import CalendarState, Clock, boot_id, to_us
from openami.runtime.errors import UserError
from openami.runtime.layout import Layout
from openami.store import commands, registry
from openami.store.database import open_database, reading
from openami.store.tables import inbox as inbox_table
from openami.transport.url import Url
from openami.transport.wire import WireError
from ports import free_ports
from postgres import Postgres, running_server, servers

pytestmark = pytest.mark.faults

METERS = 3
PUSHES = 60
LEASE_S = 2.0


class Balancer:
    """Passes each connection to the next port that takes it."""

    def __init__(self, ports: list[int]) -> None:
        self.ports = ports
        self._next = itertools.count()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def listening(self, port: int) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", port)
        try:
            yield
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in self.ports:
            port = self.ports[next(self._next) % len(self.ports)]
            with contextlib.suppress(OSError):
                there = await asyncio.open_connection("127.0.0.1", port)
                ways = ((reader, there[1]), (there[0], writer))
                tasks = [asyncio.create_task(self._pass(*way)) for way in ways]
                self._tasks.update(tasks)
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                break
        writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while octets := await reader.read(65536):
                writer.write(octets)
                await writer.drain()
        writer.close()


class Workers:
    """A provisioned AMI: a concentrator, a balancer, and head-ends over one database."""

    def __init__(self, folder: Path, database: str, names: tuple[str, ...]) -> None:
        self.layout = Layout(folder / "var")
        self.uplink, meters, web, *ports = free_ports(3 + len(names))
        provision(
            self.layout,
            Plan(
                meters=METERS,
                regions=(REGION,),
                installed_us=to_us(INSTALLED),
                uplink_port=self.uplink,
                concentrator_port=meters,
                web_port=web,
            ),
        )
        config = self.layout.concentrator(REGION) / "config.toml"
        text = config.read_text(encoding="utf-8")
        assert "backoff_most_s = 10.0" in text
        config.write_text(text.replace("backoff_most_s = 10.0", "backoff_most_s = 0.5"))
        config = self.layout.headend / "config.toml"
        text = config.read_text(encoding="utf-8").replace('"../openami.db"', f'"{database}"')
        text += f"\n[worker]\nlease_s = {LEASE_S}\n"
        text += "\n[commands]\nretry_first_s = 0.1\nretry_most_s = 0.5\n"
        text += "\n[schedule]\nlook_s = 3600.0\n"
        assert database in text
        config.write_text(text, encoding="utf-8")
        CalendarState(
            base_us=to_us(INSTALLED), epoch_monotonic_s=0.0, speed=1.0, running=True, boot=boot_id()
        ).store(self.layout.clock)
        self.url = Url("tls", "127.0.0.1", meters)
        self.balancer = Balancer(ports)
        self.workers = {}
        for name, port in zip(names, ports, strict=True):
            self.workers[name] = Service("headend", self.layout.headend)
            self.workers[name].command += [
                *("--worker", name, "--listen", f"tls://127.0.0.1:{port}"),
            ]
            self.workers[name].log = folder / f"{name}.log"
        self.concentrator = Service("concentrator", self.layout.concentrator(REGION))
        self.engine: Engine = open_database(database, create=True)
        clock = Clock(self.layout.clock)
        self.meters = [TestMeter(self.layout, n, now=clock.now) for n in range(1, METERS + 1)]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with self.balancer.listening(self.uplink):
            for service in (*self.workers.values(), self.concentrator):
                service.start()
            staying = [asyncio.create_task(stay(meter, self.url)) for meter in self.meters]
            yield
            for task in staying:
                task.cancel()
            await asyncio.gather(*staying, return_exceptions=True)
            for meter in self.meters:
                if meter.wire is not None and meter.wire.is_open:
                    meter.wire.close()
                    await meter.wire.gone()
            for service in (self.concentrator, *self.workers.values()):
                code = await asyncio.to_thread(service.end)
                assert code == 0, service.words()[-4000:]
                assert "Traceback" not in service.words(), service.words()[-4000:]

    async def start_again(self, name: str) -> None:
        service, ready = self.workers[name], f"as worker {name}"
        before = service.words().count(ready)
        service.start()
        await until(lambda: service.words().count(ready) > before)

    def stored(self) -> list[tuple[int, tuple[int, int, int]]]:
        with reading(self.engine) as connection:
            query = select(inbox_table.c.meter_id, inbox_table.c.rows)
            found = connection.execute(query.where(inbox_table.c.kind == "push"))
            return sorted((n, row) for n, rows in found for row in decode_rows(rows))

    async def come_up(self) -> None:
        for name, service in self.workers.items():
            await until(lambda: f"as worker {name}" in service.words())  # noqa: B023

    def worker_of(self, meter_id: int) -> str:
        """Return the name of the worker that a meter hangs on; empty when it hangs on none."""
        found = registry.attachments(self.engine).get(meter_id)
        return found.worker if found is not None and found.attached else ""

    def close(self) -> None:
        for service in (self.concentrator, *self.workers.values()):
            if service.process is not None and service.process.poll() is None:
                service.kill()
        self.engine.dispose()


async def stay(meter: TestMeter, url: Url) -> None:
    """Stay connected until cancelled."""
    while True:
        with contextlib.suppress(WireError):
            wire = await meter.connect(url)
            await wire.gone()
        await asyncio.sleep(0.02)


async def push_all(meter: TestMeter, indexes: range = range(PUSHES)) -> None:
    """Push intervals in turn; return when the concentrator has given a receipt for all."""
    for index in indexes:
        meter.push([row_of(meter.meter_id, index)])
        await asyncio.sleep(0.05)
    await until(lambda: not meter.outbox, timeout_s=60.0)


WANTED = sorted((n, row_of(n, index)) for n in range(1, METERS + 1) for index in range(PUSHES))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running_server() as running:
        yield running


@pytest.fixture
def two(tmp_path: Path, server: Postgres) -> Iterator[Workers]:
    workers = Workers(tmp_path, server.new_database(), ("east", "west"))
    yield workers
    workers.close()


def holds(condition: Callable[[], bool]) -> Callable[[], bool]:
    """Ask the store while its server may be away."""

    def ask() -> bool:
        try:
            return condition()
        except UserError:
            return False

    return ask


def test_kill_9_of_workers_loses_and_doubles_nothing(two: Workers) -> None:
    @in_loop
    async def test() -> None:
        async with two.running():
            await two.come_up()
            pushing = [asyncio.create_task(push_all(meter)) for meter in two.meters]
            killed = []
            for _ in range(4):
                await until(lambda: two.worker_of(1) != "")
                killed.append(two.worker_of(1))
                two.workers[killed[-1]].kill()
                await until(lambda: two.worker_of(1) not in {"", killed[-1]})
                await two.start_again(killed[-1])
            await asyncio.gather(*pushing)
            await until(lambda: len(two.stored()) >= len(WANTED), timeout_s=60.0)
            assert two.stored() == WANTED
            assert set(killed) == {"east", "west"}

    test()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_command_whose_worker_is_killed_is_proven_by_another(
    two: Workers, *, arrives: bool
) -> None:
    """It was sent, and no answer came: the other asks the meter, and never sends again."""

    @in_loop
    async def test() -> None:
        meter = two.meters[0]
        async with two.running():
            await two.come_up()
            await until(lambda: two.worker_of(1) != "")
            meter.silence_at_command(arrives=arrives)
            command_id = commands.ask(
                two.engine,
                meter_id=1,
                kind=CommandKind.DISCONNECT,
                asked_by="utility",
                reason="test",
                priority=Priority.URGENT,
            )

            def state() -> CommandState:
                return commands.command(two.engine, command_id).state

            await until(lambda: len(meter.command_counters) == 1)
            assert state() is CommandState.SENT
            killed = two.worker_of(1)
            two.workers[killed].kill()
            wanted = CommandState.CONFIRMED if arrives else CommandState.FAILED
            await until(lambda: state() is wanted, timeout_s=90.0)
            await two.start_again(killed)
            assert meter.switch.closed is not arrives
            assert len(meter.switch.moves) == int(arrives)
            assert len(meter.command_counters) == 1
            assert two.worker_of(1) != killed

    test()


def test_a_bundle_whose_worker_is_killed_is_proven_as_far_as_it_was_sent(two: Workers) -> None:
    """The answer to its second order is lost: the other worker proves that, and sends no third."""

    @in_loop
    async def test() -> None:
        meter = two.meters[0]
        async with two.running():
            await two.come_up()
            await until(lambda: two.worker_of(1) != "")
            meter.silence_at_command(arrives=True)
            items = [
                {"kind": "read"},
                {"kind": "clock", "argument": {"action": "shift", "shift_s": 300}},
                {"kind": "disconnect"},
            ]
            command_id = commands.ask(
                two.engine,
                meter_id=1,
                kind=CommandKind.BUNDLE,
                argument={"items": items},
                asked_by="utility",
                reason="test",
            )
            await until(lambda: len(meter.command_counters) == 1)
            killed = two.worker_of(1)
            two.workers[killed].kill()

            def found() -> commands.Command:
                return commands.command(two.engine, command_id)

            await until(lambda: found().state is CommandState.FAILED, timeout_s=90.0)
            await two.start_again(killed)
            result = found().result
            assert result is not None
            states = [item["state"] for item in result["items"]]
            assert states == ["confirmed", "confirmed", "not sent"]
            assert 295 < result["items"][1]["result"]["deviation_after_s"] < 305
            assert len(meter.command_counters) == 1  # nothing was sent twice, and no third
            assert meter.switch.closed

    test()


def test_a_restart_of_the_server_loses_and_doubles_nothing(two: Workers, server: Postgres) -> None:
    @in_loop
    async def test() -> None:
        async with two.running():
            await two.come_up()
            third = PUSHES // 3
            for part, stop in enumerate(
                (server.kill, partial(server.stop, "immediate"), server.stop)
            ):
                indexes = range(part * third, (part + 1) * third)
                pushing = [asyncio.create_task(push_all(each, indexes)) for each in two.meters]
                before = part * third * METERS
                await until(holds(lambda before=before: len(two.stored()) > before))  # type: ignore[misc]
                await asyncio.to_thread(stop)
                await asyncio.sleep(0.3)
                await asyncio.to_thread(server.start)
                await asyncio.gather(*pushing)
            await until(holds(lambda: len(two.stored()) >= len(WANTED)), timeout_s=60.0)
            assert two.stored() == WANTED

    test()


def test_two_processes_under_one_name_do_not_both_go_on(two: Workers) -> None:
    twin = two.workers["west"]
    twin.command[twin.command.index("west")] = "east"

    @in_loop
    async def test() -> None:
        two.workers["east"].start()
        await until(lambda: "as worker east" in two.workers["east"].words())
        twin.start()
        older = two.workers["east"].process
        assert older is not None
        await until(lambda: older.poll() is not None)
        assert older.returncode == 1
        assert "give each a name of its own" in two.workers["east"].words()

    test()


def test_a_fail_over_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """The first server dies in the flow; the second takes its place, and gets a standby in turn.

    Until it has one, commits wait: no receipt is given that a second fail-over would make false.
    """
    with servers("first", "second", "third") as (first, second, third):
        first.make()
        first.configure(synchronous_standby_names="'*'")
        first.start()
        second.copy(first, "second")
        second.start()
        name = make_url(first.new_database()).database
        hosts = "&".join(f"host=127.0.0.1:{each.port}" for each in (first, second))
        workers = Workers(tmp_path, f"postgresql://openami@/{name}?{hosts}", ("east", "west"))

        @in_loop
        async def test() -> None:
            async with workers.running():
                await workers.come_up()
                half = PUSHES // 2
                early = [
                    asyncio.create_task(push_all(each, range(half))) for each in workers.meters
                ]
                await until(holds(lambda: len(workers.stored()) > half))
                await asyncio.to_thread(first.kill)
                await asyncio.to_thread(second.promote)
                await asyncio.gather(*early)
                late = [
                    asyncio.create_task(push_all(each, range(half, PUSHES)))
                    for each in workers.meters
                ]
                await asyncio.to_thread(third.copy, second, "third")
                await asyncio.to_thread(third.start)
                await asyncio.gather(*late)
                await until(holds(lambda: len(workers.stored()) == len(WANTED)), timeout_s=90.0)
                assert workers.stored() == WANTED
                count = "SELECT count(*) FROM inbox WHERE kind = 'push'"
                await until(lambda: third.sql(count, str(name)) == second.sql(count, str(name)))

        try:
            test()
        finally:
            workers.close()
