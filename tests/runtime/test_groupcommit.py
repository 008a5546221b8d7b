# SPDX-License-Identifier: Apache-2.0
"""Group commit: answered after the commit, together, and never lost without a word."""

import asyncio
import logging
import threading
from collections.abc import Sequence

import pytest

from loops import in_loop
from openami.runtime.groupcommit import GroupCommit


class Disk:
    """Writes when it is let, and fails when it is full."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.full = False

    def write(self, items: Sequence[int]) -> list[int]:
        self.entered.set()
        self.gate.wait()
        if self.full:
            raise OSError(28, "No space left on device")
        self.groups.append(list(items))
        return [item * 10 for item in items]


def open_commit(disk: Disk, **options: int) -> GroupCommit[int, int]:
    commit: GroupCommit[int, int] = GroupCommit(
        "journal", disk.write, expected=(OSError,), **options
    )
    commit.pause_s = 0.01
    return commit


@in_loop
async def test_what_waits_during_a_commit_goes_into_the_next_together() -> None:
    disk = Disk()
    disk.gate.clear()
    commit = open_commit(disk)
    first = asyncio.create_task(commit.commit(1))
    await asyncio.to_thread(disk.entered.wait)
    rest = [asyncio.create_task(commit.commit(number)) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    assert commit.depth == 3
    disk.gate.set()

    assert await asyncio.gather(first, *rest) == [10, 20, 30, 40]
    assert disk.groups == [[1], [2, 3, 4]]
    await commit.stop()


@in_loop
async def test_nothing_is_answered_before_its_commit() -> None:
    disk = Disk()
    disk.gate.clear()
    commit = open_commit(disk)
    answered: list[int | None] = []
    assert commit.submit(1, answered.append)
    await asyncio.to_thread(disk.entered.wait)
    await asyncio.sleep(0)
    assert answered == []
    disk.gate.set()
    await commit.stop()
    assert answered == [10]


@in_loop
async def test_a_full_disk_fails_the_group_says_so_once_and_recovers(
    caplog: pytest.LogCaptureFixture,
) -> None:
    disk = Disk()
    disk.full = True
    commit = open_commit(disk)
    with caplog.at_level(logging.WARNING):
        assert await commit.commit(1) is None
        assert await commit.commit(2) is None
        assert "No space left on device" in commit.failing
        disk.full = False
        assert await commit.commit(3) == 30
    assert commit.failing == ""
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    await commit.stop()


@in_loop
async def test_too_much_waiting_is_refused() -> None:
    disk = Disk()
    disk.gate.clear()
    commit = open_commit(disk, most_waiting=2)
    answered: list[int | None] = []
    assert commit.submit(1, answered.append)
    await asyncio.to_thread(disk.entered.wait)
    assert commit.submit(2, answered.append)
    assert commit.submit(3, answered.append)
    assert not commit.submit(4, answered.append)
    assert await commit.commit(5) is None
    disk.gate.set()
    await commit.stop()
    assert answered == [10, 20, 30]


@in_loop
async def test_stop_writes_what_waits_and_refuses_what_comes() -> None:
    disk = Disk()
    commit = open_commit(disk)
    answered: list[int | None] = []
    for number in range(100):
        commit.submit(number, answered.append)
    await commit.stop()
    assert answered == [number * 10 for number in range(100)]
    assert not commit.submit(1, answered.append)


@in_loop
async def test_an_entry_that_cannot_be_written_does_not_stop_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of ours in one entry: the thread lives, the others are written, the alarm is seen."""
    gate = threading.Event()
    groups: list[Sequence[int]] = []

    def write(items: Sequence[int]) -> list[int]:
        gate.wait()
        groups.append(items)
        if 13 in items:
            raise OverflowError("no room for 13")
        return [10 * item for item in items]

    commit: GroupCommit[int, int] = GroupCommit("store", write, expected=(OSError,))
    commit.pause_s = 0.0
    answers = [asyncio.create_task(commit.commit(item)) for item in (1, 2, 13, 4)]
    await asyncio.sleep(0)
    gate.set()
    assert await asyncio.gather(*answers) == [10, 20, None, 40]
    assert any(len(group) > 1 for group in groups)
    assert "cannot be written" in caplog.text
    assert await commit.commit(13) is None
    assert "no room for 13" in commit.failing
    assert await commit.commit(5) == 50
    assert commit.failing == ""
    await commit.stop()
