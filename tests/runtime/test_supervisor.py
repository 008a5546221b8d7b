# SPDX-License-Identifier: Apache-2.0
"""The supervisor: starts again what dies, leaves alone what was asked wrongly, stops in order."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from openami.runtime.supervisor import (
    LOG_OCTETS,
    ChildState,
    Program,
    Supervisor,
    open_log,
    trim_log,
)

SLEEPER = "import time; print('up', flush=True); time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
WRONG = "import sys; print('config.toml: port is missing: add one'); sys.exit(2)"


def program(name: str, code: str) -> Program:
    return Program(name, [sys.executable, "-c", code])


async def until(true: Callable[[], bool], timeout_s: float = 20.0) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110  a test polls what another process does
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    async def run() -> None:
        supervisor = Supervisor([program("sleeper", SLEEPER)], tmp_path)
        supervisor.start()
        child = supervisor.children[0]
        await until(lambda: child.pid is not None)
        first = child.pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await until(lambda: child.pid not in {None, first})
        second = child.pid
        assert second is not None
        await supervisor.stop()

        assert child.restarts == 1
        assert child.state is ChildState.STOPPED
        assert not alive(second)

    asyncio.run(run())


def test_a_child_asked_wrongly_is_not_started_again(tmp_path: Path) -> None:
    async def run() -> None:
        supervisor = Supervisor([program("wrong", WRONG)], tmp_path)
        supervisor.start()
        child = supervisor.children[0]
        await until(lambda: child.state is ChildState.REFUSED)
        await supervisor.stop()

        assert child.restarts == 0
        assert child.last_words == "config.toml: port is missing: add one"

    asyncio.run(run())


def test_a_stubborn_child_is_killed(tmp_path: Path, monkeypatch: object) -> None:
    monkeypatch.setattr("openami.runtime.supervisor.STOP_S", 0.3)  # type: ignore[attr-defined]

    async def run() -> None:
        supervisor = Supervisor([program("stubborn", STUBBORN)], tmp_path)
        supervisor.start()
        child = supervisor.children[0]
        await until(lambda: child.pid is not None)
        pid = child.pid
        assert pid is not None
        await asyncio.sleep(0.3)
        await supervisor.stop()

        assert not alive(pid)

    asyncio.run(run())


def test_a_child_whose_log_cannot_be_written_is_tried_again(tmp_path: Path) -> None:
    async def run() -> None:
        (tmp_path / "sleeper.log").mkdir()
        supervisor = Supervisor([program("sleeper", SLEEPER)], tmp_path)
        supervisor.start()
        child = supervisor.children[0]
        await until(lambda: child.state is ChildState.PAUSING)
        assert "sleeper.log cannot be written" in child.last_words
        (tmp_path / "sleeper.log").rmdir()
        await until(lambda: child.state is ChildState.RUNNING)
        await supervisor.stop()

    asyncio.run(run())


def test_a_long_log_is_set_aside_while_its_writer_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "noisy.log"
    with open_log(log) as writer:
        writer.write(b"x" * LOG_OCTETS)
        writer.flush()
        trim_log(log)
        assert log.stat().st_size == LOG_OCTETS
        writer.write(b"the last straw")
        writer.flush()
        trim_log(log)
        writer.write(b"goes on")

    assert log.read_bytes() == b"goes on"
    assert log.with_suffix(".log.1").stat().st_size == LOG_OCTETS + len(b"the last straw")
