# SPDX-License-Identifier: Apache-2.0
"""Start processes, start again what dies, stop all in order.

A child runs in a session of its own, so that Ctrl-C reaches only the supervisor, which then stops
the children in the reverse order of their start.  A child that dies is started again with a
growing pause.  A child that was configured wrongly (exit status 2) is not: it would only say so
again; its sentence is kept for the person.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import BinaryIO, Final

from openami.runtime.errors import ExitCode, UserError
from openami.runtime.process import PARENT_VARIABLE
from openami.runtime.users import User

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
STEADY_S: Final = 30.0  # a child that lived this long starts with the first pause again
STOP_S: Final = 10.0  # from SIGTERM to SIGKILL
LOG_OCTETS: Final = 8 * 1024 * 1024  # a longer log is set aside
LOG_LOOK_S: Final = 10.0  # how often its length is looked at
COMMAND: Final = "openami: "  # before the sentence of a command that was refused


class ChildState(Enum):
    """Where a child stands."""

    RUNNING = "running"
    PAUSING = "pausing"  # died; waits to be started again
    REFUSED = "refused"  # configured wrongly: a person has to look
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a name for people and files, the command, descriptors it inherits, and as whom.

    Without a user it runs as the supervisor does, without an environment in the supervisor's own.
    """

    name: str
    command: Sequence[str]
    descriptors: tuple[int, ...] = ()
    user: User | None = None
    environment: Mapping[str, str] | None = None


@dataclass(slots=True)
class Child:
    """One supervised process."""

    program: Program
    log: Path
    state: ChildState = ChildState.STOPPED
    pid: int | None = None
    restarts: int = 0
    last_words: str = ""
    _pause_s: float = field(default=FIRST_PAUSE_S, repr=False)

    async def keep_running(self, stop: asyncio.Event) -> None:
        """Run the program until `stop`, starting it again when it dies."""
        while not stop.is_set():
            started_s = time.monotonic()
            try:
                status = await self.run_once(stop)
            except (UserError, OSError) as error:  # its log cannot be written, or no process made
                status, said = ExitCode.REFUSED, f"{COMMAND}{error}"
            else:
                said = last_line(self.log)
            if stop.is_set():
                break
            self.last_words = said
            if status == ExitCode.ASKED_WRONGLY:
                self.state = ChildState.REFUSED
                return
            if time.monotonic() - started_s > STEADY_S or status == ExitCode.RESTART:
                self._pause_s = FIRST_PAUSE_S
            self.state = ChildState.PAUSING
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._pause_s)
            self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_S)
            self.restarts += 1
        self.state = ChildState.STOPPED

    async def run_once(self, stop: asyncio.Event) -> int:
        """Run the program until it ends or `stop`; return its exit status."""
        user, environment = self.program.user, self.program.environment
        parent = {PARENT_VARIABLE: str(os.getpid())}
        with open_log(self.log) as log:
            process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self.program.descriptors,
                env={**(os.environ if environment is None else environment), **parent},
                user=None if user is None else user.uid,
                group=None if user is None else user.gid,
                extra_groups=None if user is None else (),
            )
        return await self.watch(process, stop)

    async def watch(self, process: asyncio.subprocess.Process, stop: asyncio.Event) -> int:
        """Wait until a process ends, or end it at `stop`; return its exit status."""
        self.pid, self.state = process.pid, ChildState.RUNNING
        ended = asyncio.ensure_future(process.wait())
        stopping = asyncio.ensure_future(stop.wait())
        while not ended.done() and not stop.is_set():
            await asyncio.wait(
                {ended, stopping}, timeout=LOG_LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
            trim_log(self.log)
        stopping.cancel()
        if not ended.done():
            await self._end(process, ended)
        self.pid = None
        return await ended

    async def _end(self, process: asyncio.subprocess.Process, ended: "asyncio.Future[int]") -> None:
        process.send_signal(signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(ended), STOP_S)
            return
        process.kill()
        await ended


def open_log(path: Path) -> BinaryIO:
    """Open a child's log for appending; set a long one aside first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.exists() and path.stat().st_size > LOG_OCTETS:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")
    except OSError as error:
        sentence = f"{path} cannot be written ({error.strerror}): permit writing below var/run"
        raise UserError(sentence) from error


def trim_log(path: Path) -> None:
    """Set a long log aside while its writer goes on: strangers who knock must not fill the disk.

    The writer appends, so it goes on at the start of the emptied file; a line that it writes
    between the copy and the emptying is lost.
    """
    with contextlib.suppress(OSError):
        if path.stat().st_size > LOG_OCTETS:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)


def last_line(path: Path) -> str:
    """Return the last line of a log, for the person who wonders why a child died."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - 4096))
            lines = log.read().decode(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1] if lines else ""


class Supervisor:
    """All children of one `openami up`; programs, or children that start in their own way."""

    def __init__(self, programs: Sequence[Program | Child], logs: Path) -> None:
        self.children = [
            each if isinstance(each, Child) else Child(each, logs / f"{each.name}.log")
            for each in programs
        ]
        self._stops = [asyncio.Event() for _ in self.children]
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start every child."""
        for child, stop in zip(self.children, self._stops, strict=True):
            self._tasks.append(asyncio.create_task(child.keep_running(stop)))

    async def stop(self) -> None:
        """Stop the children, the last started first; return when all are gone."""
        for stop, task in zip(reversed(self._stops), reversed(self._tasks), strict=True):
            stop.set()
            await task
