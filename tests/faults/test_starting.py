# SPDX-License-Identifier: Apache-2.0
"""Starts that cannot be: ports that are taken, two at once, a folder that takes nothing.

And `openami up` killed outright: nobody is left behind, and the next start goes on.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from openami.lifecycle.plan import Plan
from openami.lifecycle.provision import provision
from openami.runtime.calendar_owner import CalendarOwner
from openami.runtime.layout import Layout
from openami.store.database import open_database
from ports import free_ports
from system.ami import INSTALLED_US

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

WEB, UPLINK, PLAIN, NORTH, SOUTH = range(5)


@pytest.fixture(scope="module")
def ports() -> list[int]:
    return free_ports(5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, ports: list[int]) -> Path:
    """Return `var` as `openami up` makes it before it starts anything."""
    var = tmp_path_factory.mktemp("made") / "var"
    layout = Layout(var)
    plan = Plan(
        meters=2,
        installed_us=INSTALLED_US,
        web_port=ports[WEB],
        uplink_port=ports[UPLINK],
        concentrator_port=ports[NORTH],
        plain_listener=f"tcp://127.0.0.1:{ports[PLAIN]}",
    )
    provision(layout, plan)
    layout.run.mkdir()
    owner = CalendarOwner(layout.clock, layout.run / "clock.beat")
    owner.start(first_us=INSTALLED_US, speed=600)
    owner.freeze()
    return var


@pytest.fixture
def var(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "var")
    return tmp_path / "var"


@contextmanager
def somebody_on(port: int) -> Iterator[None]:
    with socket.socket() as line:
        line.bind(("127.0.0.1", port))
        line.listen()
        yield


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "openami", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refusal(outcome: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence of a refusal."""
    said = outcome.stderr + outcome.stdout
    assert "Traceback" not in said
    (sentence,) = [line for line in outcome.stderr.splitlines() if line.startswith("openami: ")]
    return sentence


@pytest.mark.parametrize(
    ("system", "home", "port"),
    [
        ("headend", "headend", UPLINK),
        ("concentrator", "concentrators/north", NORTH),
        ("web", "web", WEB),
    ],
)
def test_a_taken_port_stops_a_process(
    var: Path, ports: list[int], system: str, home: str, port: int
) -> None:
    run_up_store(var)
    with somebody_on(ports[port]):
        outcome = run(system, "run", "--home", str(var / home))
    assert outcome.returncode == 1
    sentence = refusal(outcome)
    assert str(ports[port]) in sentence
    assert "another port" in sentence


def run_up_store(var: Path) -> None:
    """Make the SQL store that `openami up` makes first."""
    open_database(Layout(var).database_url, create=True).dispose()


@pytest.mark.long
def test_a_taken_port_of_the_full_meter_is_told_in_its_log(var: Path, ports: list[int]) -> None:
    home = next((var / "meters").glob("*1"))
    with somebody_on(ports[PLAIN]), started("meter", "run", "--home", str(home)):
        log = var / "run" / "management.log"
        sentence = f"{ports[PLAIN]} is in use by another process"
        until(lambda: log.exists() and sentence in log.read_text(), "management says so")
        status = var / "run" / "metrology.json"
        until(status.exists, "metrology measures all the same")
        backplane = var / "run" / "meter.json"
        until(
            lambda: backplane.exists() and sentence in backplane.read_text(),
            "the backplane passes it on",
        )
        assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("port", [WEB, UPLINK, SOUTH])
def test_up_names_a_taken_port_before_it_starts_anything(
    var: Path, ports: list[int], port: int
) -> None:
    with somebody_on(ports[port]):
        outcome = run("up", "--var", str(var))
    assert outcome.returncode == 1
    assert f"port {ports[port]} on 127.0.0.1" in refusal(outcome)
    assert "give another port" in refusal(outcome)
    assert list((var / "run").glob("*.log")) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--meters", "0"), "'--meters'"),
        (("--speed", "fast"), "'--speed'"),
        (("--port", "70000"), "'--port'"),
        (("--colour", "blue"), "--colour"),
    ],
)
def test_up_refuses_wrong_options(
    tmp_path: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    outcome = run("up", "--var", str(tmp_path / "var"), *arguments)
    assert outcome.returncode == 2
    assert sentence in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not (tmp_path / "var").exists()


def test_up_refuses_fewer_meters_than_stand_there(var: Path) -> None:
    outcome = run("up", "--var", str(var), "--meters", "1")
    assert outcome.returncode in {1, 2}
    assert "meters" in refusal(outcome)
    assert "in another folder" in refusal(outcome)


def test_up_refuses_a_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outcome = run("up", "--var", str(tmp_path / "file" / "var"))
    assert outcome.returncode == 1
    assert "choose another folder" in refusal(outcome)


def test_up_refuses_a_folder_that_it_may_not_write(tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    # Root may write everywhere, but nobody makes folders below /proc.
    var = Path("/proc/self/var") if os.geteuid() == 0 else locked / "var"
    outcome = run("up", "--var", str(var))
    assert outcome.returncode == 1
    assert "choose another folder" in refusal(outcome)


@pytest.mark.parametrize("system", ["meter", "fleet", "concentrator", "headend", "mdm", "web"])
def test_a_home_that_is_not_there_is_named(tmp_path: Path, system: str) -> None:
    outcome = run(system, "run", "--home", str(tmp_path / "nowhere"))
    assert outcome.returncode == 2
    assert "nowhere" in outcome.stderr
    assert "Traceback" not in outcome.stderr


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "openami", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def until(true: Callable[[], bool], what: str, timeout_s: float = 60) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.1)


def said(var: Path) -> dict[str, int]:
    """Return the process ids that the status files tell."""
    found = {}
    for path in (var / "run").glob("*.json"):
        with suppress(FileNotFoundError):  # a link to where the module is about to speak
            found[path.stem] = int(json.loads(path.read_text())["pid"])
    return found


def lives(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


ALL = {
    "concentrator-north",
    "concentrator-south",
    "fleet",
    "headend",
    "management",
    "mdm",
    "meter",
    "metrology",
    "web",
}


@pytest.mark.long
def test_up_killed_outright_leaves_nobody_and_goes_on(var: Path) -> None:
    with started("up", "--var", str(var), "--speed", "600") as first:
        until(lambda: said(var).keys() >= ALL, "all processes speak")
        second = run("up", "--var", str(var))
        assert second.returncode == 1
        assert "another `openami up` runs on" in refusal(second)
        pids = said(var)
        first.kill()
        until(lambda: not any(lives(pid) for pid in pids.values()), "all are gone", 30)

    before_us = json.loads((var / "clock.json").read_text())["base_us"]
    with started("up", "--var", str(var), "--speed", "600"):
        until(
            lambda: said(var).keys() >= ALL and not set(said(var).values()) & set(pids.values()),
            "all processes are there again",
        )
    after = json.loads((var / "clock.json").read_text())
    assert not after["running"]
    assert after["base_us"] > before_us
    for log in (var / "run").glob("*.log"):
        assert "Traceback" not in log.read_text(), log.name
