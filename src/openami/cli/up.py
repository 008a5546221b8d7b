# SPDX-License-Identifier: Apache-2.0
"""`openami up`: a whole AMI on this machine, in the foreground, with a live status line.

First start: certificate authority, keys, registry, log-ins.  Every start: the calendar runs, the
processes run, Ctrl-C stops them in order and freezes the calendar.  What is in `var` stays.
"""

import asyncio
import contextlib
import fcntl
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import click
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

from openami.access.accounts import create_first_accounts
from openami.cli.certifying import certifier
from openami.cli.ranges import FiniteRange
from openami.cli.status_line import calendar_text, silent, status_line
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.module import from_factory
from openami.headend.config import HeadEndConfig
from openami.headend.pairs import believing
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.plan import MOST_DRIFT_PPM, Plan, meter_title
from openami.lifecycle.provision import plan_path, provision, ship_again, stored_plan
from openami.meter import run as backplane
from openami.meter.config import MeterConfig
from openami.meter.walls import users_for
from openami.runtime.calendar_owner import CalendarOwner
from openami.runtime.clock import MICROSECONDS, Clock, real_us
from openami.runtime.errors import UserError
from openami.runtime.files import PRIVATE, write_durably, write_json
from openami.runtime.layout import Layout
from openami.runtime.process import stop_event
from openami.runtime.status import read_statuses
from openami.runtime.supervisor import COMMAND, ChildState, Program, Supervisor
from openami.store.database import open_database
from openami.transport.url import Url

DAY_US: Final = 86_400 * MICROSECONDS
PLAIN_LISTENER: Final = "tcp://127.0.0.1:4059"  # the port IANA gives to dlms/cosem
TOOLS: Final = "tools"
"""Folder of what tools on this machine need to read meters with."""
LOW_OCTETS: Final = 32 * 1024 * 1024
PLAIN_S: Final = 10  # without a terminal, a status line this often


@click.command()
@click.option(
    "--var",
    "var",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder that keeps everything.",
)
@click.option(
    "--speed",
    type=FiniteRange(0.1, 3600),
    default=120.0,
    show_default=True,
    help="Calendar seconds a real second.",
)
@click.option(
    "--meters", type=click.IntRange(1, 5000), default=None, help="How many meters.  [100]"
)
@click.option("--seed", type=int, default=None, help="Chooses homes and weeks to replay.  [1]")
@click.option(
    "--history-days",
    type=click.IntRange(0, 60),
    default=8,
    show_default=True,
    help="How long the meters have hung on their walls at the first start.",
)
@click.option("--port", type=click.IntRange(1, 65280), default=None, help="Of the pages.  [8080]")
@click.option(
    "--uplink-port",
    type=click.IntRange(1, 65280),
    default=None,
    help="Of the head-end, for concentrators.  [24050]",
)
@click.option(
    "--concentrator-port",
    type=click.IntRange(1, 65280),
    default=None,
    help="Of the first concentrator, for meters; the next ones take the next.  [24060]",
)
@click.option(
    "--suite",
    type=click.IntRange(0, 2),
    default=None,
    help="Security suite of the meters, chosen at the first start.  [0]",
)
@click.option(
    "--drift-ppm",
    type=FiniteRange(0, MOST_DRIFT_PPM),
    default=None,
    help="The most by which clocks of some meters go wrong, parts per million.  [0]",
)
@click.option(
    "--listen-plain",
    is_flag=True,
    help="Open the full meter's plain wrapper listener on loopback, for tools and peers.",
)
@click.option(
    "--boot-concentrators",
    is_flag=True,
    help="Give concentrators firmware that can be updated; they keep it at later starts.",
)
def up(  # noqa: PLR0913  one parameter an option
    *,
    var: Path,
    speed: float,
    meters: int | None,
    seed: int | None,
    history_days: int,
    port: int | None,
    uplink_port: int | None,
    concentrator_port: int | None,
    suite: int | None,
    drift_ppm: float | None,
    listen_plain: bool,
    boot_concentrators: bool,
) -> None:
    """Run a whole AMI on this machine until Ctrl-C."""
    layout = Layout(var.resolve())
    wishes = {
        "meters": meters,
        "seed": seed,
        "web_port": port,
        "uplink_port": uplink_port,
        "concentrator_port": concentrator_port,
        "suite": suite,
        "drift_ppm": drift_ppm,
        "plain_listener": PLAIN_LISTENER if listen_plain else "",
    }
    console = Console()
    with only_one(layout.var):
        plan = plan_for(layout, wishes, history_days)
        prepare(layout, plan, console)
        refuse_taken_ports(plan)
        if boot_concentrators:
            for region in plan.regions:
                from_factory(ConcentratorConfig.load(layout.concentrator(region)))
        owner = CalendarOwner(layout.clock, layout.run / "clock.beat")
        owner.start(first_us=plan.installed_us + history_days * DAY_US, speed=speed)
        try:
            asyncio.run(Foreground(layout, plan, owner, console).run())
        finally:
            owner.freeze()


@contextmanager
def only_one(var: Path) -> Iterator[None]:
    """Hold `var` for this supervisor alone; the system lets go when we are gone.

    Raises:
        UserError: Another `openami up` runs on it, or the folder cannot be written.
    """
    try:
        var.mkdir(parents=True, exist_ok=True)
        lock = (var / "lock").open("w")
    except OSError as error:
        sentence = f"{var} cannot be written ({error.strerror}): choose another folder"
        raise UserError(sentence) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sentence = f"another `openami up` runs on {var}: stop it, or choose another folder"
            raise UserError(sentence) from None
        yield


def plan_for(layout: Layout, wishes: Mapping[str, Any], history_days: int) -> Plan:
    """Return the plan of an earlier start with today's wishes, or a first one; None is no wish."""
    changes = {name: value for name, value in wishes.items() if value is not None}
    if (earlier := stored_plan(layout)) is not None:
        return replace(earlier, **changes)
    period_us = changes.get("capture_period_s", Plan.capture_period_s) * MICROSECONDS
    installed_us = (real_us() - history_days * DAY_US) // period_us * period_us
    return Plan(installed_us=installed_us, **changes)


def prepare(layout: Layout, plan: Plan, console: Console) -> None:
    """Make what is missing: certificates, keys, configuration, registry, log-ins."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("certificates and keys", total=None)

        def said(what: str, done: int, total: int) -> None:
            progress.update(task, description=what, completed=done, total=total)

        refuse_lost_files(layout)
        told = provision(layout, plan, said)
        progress.update(task, description="registry and log-ins", total=None)
        database = open_database(layout.database_url, create=True)
        told = [*told, *personalise_first(layout)]
        believe = believing(HeadEndConfig.load(layout.headend))
        import_shipment(database, load_shipment(layout.headend / "shipment.json"), believe)
        logins = create_first_accounts(database, range(1, plan.meters + 1))
        database.dispose()
    for sentence in told:
        console.print(escape(sentence), style="yellow", soft_wrap=True)
    if logins:
        lines = [f"{login.login}\t{login.password}\n" for login in logins]
        had = layout.logins.read_bytes() if layout.logins.exists() else b""
        write_durably(layout.logins, had + "".join(lines).encode(), mode=PRIVATE)


def personalise_first(layout: Layout) -> list[str]:
    """Bring the keys of meter 1 into its secure world where the system can keep parts apart.

    Tools that read it get the reader's secret beside its folder, and no other key.

    Returns:
        Why it was not done, for the person; nothing where it was, today or before.

    Raises:
        UserError: It cannot be personalised, or the disk refused.
    """
    title = meter_title(1)
    home = layout.meter(title)
    config = MeterConfig.load(home)
    if config.keys is None:
        if config.keys_file.exists():
            # An earlier start was cut off, or the file is nobody's.
            backplane.personalise(home, certifier(home))
        return []
    if reason := users_for(home).reduced:
        return [f"the parts of meter 1 are not kept apart, and its keys lie in a file: {reason}"]
    tools = layout.var / TOOLS
    tools.mkdir(mode=0o700, exist_ok=True)
    path = tools / f"{title.hex().upper()}.json"
    write_json(path, config.keys.for_reader(title), mode=PRIVATE)
    backplane.personalise(home, certifier(home))
    ship_again(layout, 1)
    return []


def refuse_lost_files(layout: Layout) -> None:
    """Refuse to make anew what an earlier start made and what cannot be made twice.

    Raises:
        UserError: With the remedy.  Without its plan an AMI would have other meters; devices
            trust no new authority.  The store counts what was sealed with the meters' keys: a
            new one would count from 1 again, and no counter may serve a key twice.
    """
    remedy = "restore it from a backup, or begin anew in another folder"
    authority = layout.authority / "ca.crt"
    store, plan = layout.var / "openami.db", plan_path(layout)
    if store.exists() and not plan.exists():
        raise UserError(f"{plan} is gone, which says what stands in {layout.var}: {remedy}")
    if store.exists() and not authority.exists():
        raise UserError(f"{authority} is gone, which all devices trust: {remedy}")
    if plan.exists() and not store.exists() and (layout.logins.exists() or layout.lake.exists()):
        lost = f"{store} is gone, and with it accounts and counters of the meters' keys"
        raise UserError(f"{lost}: {remedy}")


def more_log_ins(logins: Path, passwords: Mapping[str, str]) -> str:
    """Return where further log-ins stand, or what to do without."""
    if passwords:
        return f"more log-ins in {logins}"
    sentence = f"{logins} is gone or damaged; passwords are what they were"
    return f"{sentence}; `openami web password` makes new ones"


def first_passwords(logins: Path) -> dict[str, str]:
    """Return the first passwords by login; a file that is gone or damaged names none."""
    try:
        lines = logins.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    pairs = (line.partition("\t") for line in lines)
    return {login: password for login, _, password in pairs if password}


def refuse_taken_ports(plan: Plan) -> None:
    """Refuse to start when somebody else listens on one of our ports.

    Raises:
        UserError: Names the port, what it is for, and the remedy.
    """
    wanted = {plan.web_port: "the pages (--port)", plan.uplink_port: "the head-end"}
    wanted |= {plan.concentrator_port + i: f"concentrator {r}" for i, r in enumerate(plan.regions)}
    if plan.plain_listener:
        plain = Url.parse(plan.plain_listener, "plain_listener")
        wanted[plain.port] = "the full meter's tools (--listen-plain)"
    for port, purpose in wanted.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((plan.host, port))
            except OSError as error:
                raise UserError(
                    f"port {port} on {plan.host}, for {purpose}, cannot be opened "
                    f"({error.strerror}): stop what listens there, or give another port"
                ) from error


def programs(layout: Layout, plan: Plan) -> Sequence[Program]:
    """Return the processes of an AMI, those that others dial first."""

    def program(name: str, system: str, home: Path) -> Program:
        command = [sys.executable, "-m", "openami", system, "run", "--home", str(home)]
        return Program(name, command)

    found = [program("headend", "headend", layout.headend), program("mdm", "mdm", layout.mdm)]
    found += [
        program(f"concentrator-{region}", "concentrator", layout.concentrator(region))
        for region in plan.regions
    ]
    found += [program("web", "web", layout.web)]
    found += [program("meter", "meter", layout.meter(meter_title(1)))]
    if plan.meters > 1:
        found += [program("fleet", "fleet", layout.fleet)]
    return found


class Foreground:
    """What the person sees between start and Ctrl-C."""

    def __init__(self, layout: Layout, plan: Plan, owner: CalendarOwner, console: Console) -> None:
        self._layout, self._plan, self._owner, self._console = layout, plan, owner, console
        self._supervisor = Supervisor(programs(layout, plan), layout.run)
        self._clock = Clock(layout.clock)
        self._zone = ZoneInfo(plan.zone)
        self._begun_s = time.monotonic()

    async def run(self) -> None:
        """Start everything, show how it goes, stop everything."""
        stop = stop_event()
        self._supervisor.start()
        try:
            self._greet()
            if self._console.is_terminal:
                with Live(self._line(), console=self._console, auto_refresh=False) as live:
                    await self._follow(stop, 1, lambda: live.update(self._line(), refresh=True))
            else:
                await self._follow(
                    stop, PLAIN_S, lambda: self._console.print(self._line(), soft_wrap=True)
                )
        finally:
            self._console.print("stopping …")
            await self._supervisor.stop()
            self._console.print(f"stopped; everything is kept in {self._layout.var}")

    async def _follow(self, stop: asyncio.Event, every_s: int, show: Callable[[], None]) -> None:
        said: set[str] = set()
        second = 0
        while not stop.is_set():
            self._owner.beat()
            self._say_news(said)
            if second % every_s == 0:
                show()
            second += 1
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)

    def _greet(self) -> None:
        address = f"http://{self._plan.host}:{self._plan.web_port}"
        passwords = first_passwords(self._layout.logins)

        def say(line: str = "") -> None:
            self._console.print(line, soft_wrap=True)

        say()
        utility, home = (escape(passwords.get(login, "…")) for login in ("utility", "home-001"))
        say(f"  [bold]Utility console[/]  {address}/console   utility / {utility}")
        say(f"  [bold]Household page[/]   {address}/home      home-001 / {home}")
        where = more_log_ins(self._layout.logins, passwords)
        say(f"  [dim]{where}; Ctrl-C stops everything[/]")
        if self._plan.plain_listener:
            say(f"  [dim]meter 1 listens unprotected for tools on {self._plan.plain_listener}[/]")
        say()

    def _say_news(self, said: set[str]) -> None:
        """Print each sentence of trouble once: who gave up, who alarms, who is silent."""
        statuses = read_statuses(self._layout.run)
        sentences = {
            f"[red]{child.program.name}[/] stopped: {escape(bare(child.last_words))}"
            for child in self._supervisor.children
            if child.state is ChildState.REFUSED
        }
        sentences |= {
            f"[yellow]{child.program.name}[/] is tried again: {escape(bare(child.last_words))}"
            for child in self._supervisor.children
            if child.state is ChildState.PAUSING and child.last_words.startswith(COMMAND)
        }
        sentences |= {
            f"[yellow]{status.process}[/]: {escape(str(status.figures['alarm']))}"
            for status in statuses
            if status.fresh and status.figures.get("alarm")
        }
        sentences |= {
            f"[red]{name}[/] says nothing any more: see {self._layout.run / name}.log"
            for name in silent(statuses, time.monotonic() - self._begun_s)
        }
        if sentence := low_space(self._layout.var):
            sentences.add(f"[red]{escape(sentence)}[/]")
        for sentence in sorted(sentences - said):
            self._console.print(sentence, soft_wrap=True)
        said |= sentences

    def _line(self) -> Text:
        calendar = calendar_text(self._clock.now().astimezone(self._zone), self._clock.speed)
        return status_line(calendar, read_statuses(self._layout.run), self._supervisor.children)


def low_space(var: Path) -> str:
    """Return a sentence when the disk of `var` is nearly full; processes cannot say it then."""
    try:
        free_octets = shutil.disk_usage(var).free
    except OSError:
        return ""
    if free_octets >= LOW_OCTETS:
        return ""
    return (
        f"the disk of {var} has less than {LOW_OCTETS >> 20} MB left: free space; "
        "what was confirmed is kept, the rest waits where it is"
    )


def bare(last_words: str) -> str:
    """Return a child's sentence without the name of the command in front."""
    return last_words.removeprefix(COMMAND)
