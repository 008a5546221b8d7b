# SPDX-License-Identifier: Apache-2.0
"""kill -9 at each step of a change of keys: the meter stays reachable, and the change is made.

The meter is `openami simulate`, a process that keeps its keys in a file; it is killed too.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from chain import INSTALLED, REGION
from cli.processes import Listening
from headend.dying_headend import POINTS
from headend.test_kill import Service
from openami.access.keystore import KeyStore
from openami.exchange.commands import OPEN, CommandKind, CommandState
from openami.headend.registry_import import import_shipment, load_shipment
from openami.lifecycle.keys import MeterKeys
from openami.lifecycle.plan import Plan, meter_title
from openami.lifecycle.provision import provision
from openami.runtime.clock import CalendarState, boot_id, to_us
from openami.runtime.layout import Layout
from openami.store import commands, key_changes, keys, registry
from openami.store.database import open_database
from openami.store.key_changes import ChangeState
from openami.store.keys import KeyState
from ports import free_ports

if TYPE_CHECKING:
    from sqlalchemy import Engine

pytestmark = pytest.mark.faults

DYING = Path(__file__).with_name("dying_headend.py")
CUTS = ("recorded as sent", "on its way", "answered")  # where the meter's own state may change
QUICK = """
[key_changes]
look_s = 0.05
retry_first_s = 0.1
retry_most_s = 0.2
[schedule]
look_s = 3600.0
[sessions]
answer_timeout_s = 2.0
"""


class Ami:
    """A meter and a head-end as processes; the head-end dials the meter."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder / "var")
        uplink, carried, web, own = free_ports(4)
        plan = Plan(
            meters=1,
            regions=(REGION,),
            installed_us=to_us(INSTALLED),
            uplink_port=uplink,
            concentrator_port=carried,
            web_port=web,
        )
        provision(self.layout, plan)
        CalendarState(
            base_us=to_us(INSTALLED), epoch_monotonic_s=0.0, speed=1.0, running=True, boot=boot_id()
        ).store(self.layout.clock)
        config = self.layout.headend / "config.toml"
        config.write_text(config.read_text(encoding="utf-8") + QUICK, encoding="utf-8")
        self.engine: Engine = open_database(self.layout.database_url, create=True)
        import_shipment(self.engine, load_shipment(self.layout.headend / "shipment.json"))
        self.address = f"tcp://127.0.0.1:{own}"
        registry.set_address(self.engine, 1, self.address)
        self.title = meter_title(1)
        self.keys_file = self.layout.meter(self.title) / "keys.json"
        self.headend = Service("headend", self.layout.headend)
        self.meter = self.start_meter()

    def start_meter(self) -> Listening:
        words = ["simulate", "--listen", self.address, "--keys", self.keys_file]
        meter = Listening(*words, "--title", self.title.hex(), "--history-days", "0", "--quiet")
        return meter.__enter__()

    def meter_loses_power(self) -> None:
        self.meter.kill()
        self.meter.__exit__()
        self.meter = self.start_meter()

    def headend_dies(self, point: str) -> None:
        """Run the head-end until it is killed there."""
        words = [sys.executable, str(DYING), str(self.layout.headend), point]
        with self.headend.log.open("ab") as log:
            ended = subprocess.run(words, stdout=log, stderr=log, timeout=60, check=False)
        assert ended.returncode == -9, self.headend.words()

    def states(self) -> list[KeyState]:
        return [each.state for each in keys.epochs(self.engine, 1)]

    def both_hold_the_same(self) -> bool:
        """Tell whether the active keys here are those in the meter's file."""
        unwrap = KeyStore(self.layout.headend / "keystore", create=False).unwrap
        (active,) = [e for e in keys.epochs(self.engine, 1) if e.state is KeyState.ACTIVE]
        meter = MeterKeys.load(self.keys_file, self.title)
        names = ("guek", "gak", "kek")
        return all(unwrap(active.wrapped[name]) == getattr(meter, name) for name in names)

    def wait(self, condition: Callable[[], bool]) -> None:
        until_s = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until_s, self.headend.words()
            time.sleep(0.05)

    def ask(self, kind: CommandKind = CommandKind.READ, **argument: object) -> str:
        return commands.ask(
            self.engine,
            meter_id=1,
            kind=kind,
            argument=argument,
            asked_by="test",
            reason="is it there",
        )

    def settled(self, command_id: str) -> commands.Command:
        """Wait until nothing is open about a command; return it."""
        states = OPEN | {CommandState.IN_DOUBT}
        self.wait(lambda: commands.command(self.engine, command_id).state not in states)
        return commands.command(self.engine, command_id)

    def close(self) -> None:
        self.meter.__exit__()
        if self.headend.process is not None and self.headend.process.poll() is None:
            self.headend.kill()
        self.engine.dispose()


@pytest.fixture
def ami(tmp_path: Path) -> Iterator[Ami]:
    made = Ami(tmp_path)
    yield made
    made.close()


@pytest.mark.parametrize(
    "power_cut",
    [
        pytest.param(False, id="meter runs on", marks=pytest.mark.long),
        pytest.param(True, id="meter loses power"),
    ],
)
def test_a_kill_at_any_step_leaves_the_meter_reachable(ami: Ami, *, power_cut: bool) -> None:
    for point in CUTS if power_cut else POINTS:
        rotation, _ = key_changes.ask(
            ami.engine, [1], asked_by="utility", reason=point, key_names=("guek", "gak", "kek")
        )
        before = MeterKeys.load(ami.keys_file, ami.title)
        ami.headend_dies(point)
        if power_cut:
            ami.meter_loses_power()
        read = ami.ask()
        ami.headend.start()
        ami.wait(
            lambda rotation=rotation: all(
                change.state is ChangeState.CHANGED
                for change in key_changes.changes(ami.engine, rotation)
            )
        )
        ami.wait(
            lambda read=read: commands.command(ami.engine, read).state is CommandState.CONFIRMED
        )
        assert ami.both_hold_the_same(), point
        after = MeterKeys.load(ami.keys_file, ami.title)
        assert (after.guek, after.gak, after.kek) != (before.guek, before.gak, before.kek), point
        assert not {KeyState.PREPARED, KeyState.SENT} & set(ami.states()), point
        assert ami.headend.end() == 0
