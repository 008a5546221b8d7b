# SPDX-License-Identifier: Apache-2.0
"""Enters into the registry what goes on: who came, how good the links are, what failed."""

import asyncio
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final, Protocol, runtime_checkable

from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.journal import Outcome
from openami.concentrator.owntime import OwnTime
from openami.concentrator.registry import Registry, Seen
from openami.concentrator.relay import Line, Relay
from openami.exchange.field import NoticeCode
from openami.runtime.groupcommit import GroupCommit

LOOK_S: Final = 5.0  # from one look at a link to the next
PORTION: Final = 500  # links between two looks at other work
ROOM_S: Final = 60.0  # for which there is room before that is told: a full journal frees an entry
# with each end receipt and is full again with the next push
JOURNAL: Final = b""  # what is full where it is no meter's quota


@runtime_checkable
class Observable(Protocol):
    """A line that tells how good it is."""

    @property
    def address(self) -> str:
        """Where the meter is."""

    @property
    def bearer(self) -> str:
        """What carries it; empty: what the meters' port was configured to be."""

    def look(self) -> Seen:
        """Return what the link showed since the last look."""


class Observer:
    """Binds the registry to what happens."""

    _room_since: dict[bytes, tuple[float, datetime]]

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        registry: Registry,
        relay: Relay,
        writer: GroupCommit[Any, Any],
        config: ConcentratorConfig,
        own_time: OwnTime,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._time = own_time
        self._registry = registry
        self._relay = relay
        self._writer = writer
        self._bearer = config.bearer or config.meters_listen.scheme
        self._monotonic_s = monotonic_s
        self._failing = False
        self._full_told: set[bytes] = set()
        self._room_since = {}
        relay.own_title = config.title
        relay.on_line = self._line
        relay.on_full = self._full
        relay.on_room = self._room

    def began(self, set_aside: Mapping[NoticeCode, str]) -> None:
        """Note that the process began, and under which names it kept damaged files, if any."""
        now = self._time.now()
        self._registry.note(NoticeCode.STARTED, now)
        for code, name in set_aside.items():
            if name:
                self._registry.note(code, now, text=name)

    def ended(self) -> int:
        """Note that the process is stopped in order; return the notice's number."""
        return self._registry.note(NoticeCode.STOPPED, self._time.now())

    async def run(self) -> None:
        """Look at the links, the journal and the clock until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Look once."""
        self._look_at_journal()
        self.look_at_clock()
        self._look_at_room()
        for number, (title, line) in enumerate(self._relay.lines()):
            if isinstance(line, Observable):
                self._registry.see(title, line.look(), self._time.now())
            if number % PORTION == PORTION - 1:
                await asyncio.sleep(0)

    def _line(self, title: bytes, line: Line | None) -> None:
        now = self._time.now()
        if line is None:
            self._registry.detach(title, now)
            return
        address, bearer = (line.address, line.bearer) if isinstance(line, Observable) else ("", "")
        self._registry.attach(title, bearer or self._bearer, address, now)

    def _look_at_journal(self) -> None:
        failing = bool(self._writer.failing)
        if failing != self._failing:
            self._failing = failing
            code = NoticeCode.JOURNAL_FAILING if failing else NoticeCode.JOURNAL_WRITTEN_AGAIN
            self._registry.note(code, self._time.now(), text=self._writer.failing)

    def look_at_clock(self) -> None:
        """Note what there is to be told of the host's clock."""
        for code, text in self._time.look():
            self._registry.note(code, self._time.now(), text=text)

    def _full(self, title: bytes, outcome: Outcome) -> None:
        full = title if outcome is Outcome.FULL else JOURNAL
        self._room_since.pop(full, None)
        if full not in self._full_told:
            self._full_told.add(full)
            code = NoticeCode.QUOTA_FULL if full else NoticeCode.JOURNAL_FULL
            self._registry.note(code, self._time.now(), full)

    def _room(self, title: bytes, outcome: Outcome) -> None:
        full = title if outcome is Outcome.FULL else JOURNAL
        self._room_since.setdefault(full, (self._monotonic_s(), self._time.now()))

    def _look_at_room(self) -> None:
        """Tell that there is room where there has been some for a while."""
        long_ago_s = self._monotonic_s() - ROOM_S
        for free, (since_s, since) in list(self._room_since.items()):
            if since_s <= long_ago_s:
                del self._room_since[free]
                self._full_told.discard(free)
                code = NoticeCode.QUOTA_FREE if free else NoticeCode.JOURNAL_FREE
                self._registry.note(code, since, free)
