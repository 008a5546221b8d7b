# SPDX-License-Identifier: Apache-2.0
"""What a process arranges with its own tasks."""

import asyncio

import pytest

from loops import in_loop
from openami.runtime.process import until_stopped


async def for_ever() -> None:
    await asyncio.Event().wait()


async def fail() -> None:
    await asyncio.sleep(0)
    raise ZeroDivisionError


@in_loop
async def test_a_process_waits_until_it_is_told_to_stop() -> None:
    stop = asyncio.Event()
    work = asyncio.create_task(for_ever())
    waiting = asyncio.create_task(until_stopped(stop, [work]))
    await asyncio.sleep(0)
    assert not waiting.done()
    stop.set()
    await waiting
    assert not work.done()
    work.cancel()


@in_loop
async def test_a_task_that_fails_ends_the_process() -> None:
    tasks = [asyncio.create_task(for_ever()), asyncio.create_task(fail())]
    with pytest.raises(ZeroDivisionError):
        await until_stopped(asyncio.Event(), tasks)
    tasks[0].cancel()
