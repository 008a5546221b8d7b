# SPDX-License-Identifier: Apache-2.0
"""What the observer enters: a journal that is full and free by turns is told of once."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from loops import in_loop
from openami.concentrator.journal import Outcome
from openami.concentrator.observer import LOOK_S, ROOM_S, Observer
from openami.concentrator.owntime import HostClock, OwnTime
from openami.concentrator.registry import Registry
from openami.concentrator.relay import Relay
from openami.exchange.field import NoticeCode
from openami.runtime.clock import real_us
from openami.transport.url import Url

METER = bytes.fromhex("4F414D0000000001")
OTHER = bytes.fromhex("4F414D0000000002")


class Setting:
    """An observer whose time is told, and a relay whose pushes end as the test says."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 1000.0
        self.outcome = Outcome.STORED
        self.registry = Registry(folder / "meters.db")
        self.relay = Relay(self._keep, lambda: 0, lambda: datetime.now(UTC))
        config = SimpleNamespace(
            bearer="", meters_listen=Url.parse("tls://127.0.0.1:1"), title=b"C" * 8
        )
        writer = SimpleNamespace(failing="")
        self.observer = Observer(
            self.registry,
            self.relay,
            cast("Any", writer),
            cast("Any", config),
            OwnTime(HostClock(real_us, real_us, lambda: None), 5.0),
            lambda: self.now_s,
        )

    def _keep(self, _put: object, done: Callable[[Outcome | None], None]) -> bool:
        done(self.outcome)
        return True

    def push(self, outcome: Outcome, title: bytes = METER) -> None:
        self.outcome = outcome
        line = SimpleNamespace(send=lambda *_: True)
        self.relay.from_meter(title, cast("Any", line), 1, 64, b"\x0f\0\0\0\1\0\0")

    async def pass_s(self, seconds: float) -> None:
        self.now_s += seconds
        await self.observer.look()

    def told(self) -> list[int]:
        return [notice.code for notice in self.registry.untold(100)]


@in_loop
@pytest.mark.parametrize(
    ("full", "notices"),
    [
        (Outcome.NO_ROOM, [NoticeCode.JOURNAL_FULL, NoticeCode.JOURNAL_FREE]),
        (Outcome.FULL, [NoticeCode.QUOTA_FULL, NoticeCode.QUOTA_FREE]),
    ],
)
async def test_full_and_free_by_turns_is_told_once(
    tmp_path: Path, full: Outcome, notices: list[NoticeCode]
) -> None:
    it = Setting(tmp_path)
    for _ in range(20):  # each end receipt makes room for one push
        it.push(full)
        it.push(Outcome.STORED)
        await it.pass_s(LOOK_S)
    assert it.told() == notices[:1]
    await it.pass_s(ROOM_S)
    assert it.told() == notices
    it.push(full)
    assert it.told() == [*notices, notices[0]]  # it was free for long: a new story
    await it.registry.close()


@in_loop
async def test_each_meter_and_the_journal_have_a_story_of_their_own(tmp_path: Path) -> None:
    it = Setting(tmp_path)
    it.push(Outcome.FULL)
    it.push(Outcome.FULL, OTHER)
    it.push(Outcome.NO_ROOM, OTHER)
    it.push(Outcome.STORED, OTHER)
    await it.pass_s(ROOM_S)
    full, free = NoticeCode.QUOTA_FULL, NoticeCode.QUOTA_FREE
    notices = [(n.code, n.title) for n in it.registry.untold(9)]
    assert notices[:3] == [(full, METER), (full, OTHER), (NoticeCode.JOURNAL_FULL, b"")]
    assert set(notices[3:]) == {(free, OTHER), (NoticeCode.JOURNAL_FREE, b"")}
    await it.registry.close()
