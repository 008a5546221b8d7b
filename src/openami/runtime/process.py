# SPDX-License-Identifier: Apache-2.0
"""What a process arranges with its system: to go when its parent is gone, and to stop when told.

A supervisor that is killed outright cannot stop its children; Linux does it for us when each child
asked at its start (prctl PR_SET_PDEATHSIG).
"""

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Collection
from typing import TypeVar

T = TypeVar("T")

PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "OPENAMI_PARENT_PID"


def stop_with_parent(with_signal: signal.Signals = signal.SIGTERM) -> None:
    """Ask the system to send us `with_signal` when the supervisor that started us is gone.

    Does nothing in a process that no supervisor started.  On a system without prctl a supervised
    process outlives a supervisor that was killed outright.
    """
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(with_signal), 0, 0, 0)
    if os.getppid() != int(parent):  # it went between our start and the request
        os.kill(os.getpid(), with_signal)


def stop_event() -> asyncio.Event:
    """Return an event that SIGTERM or SIGINT sets; call it inside a running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


def run_until_stopped(service: Callable[[asyncio.Event], Awaitable[T]]) -> T:
    """Run `service(stop)` in a fresh event loop; it returns soon after `stop` is set."""

    async def run() -> T:
        return await service(stop_event())

    return asyncio.run(run())


async def until_stopped(stop: asyncio.Event, tasks: Collection[asyncio.Task[None]]) -> None:
    """Wait for `stop`; a task that ends before it has failed, and its error is raised."""
    stopping = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    for task in done - {stopping}:
        task.result()
