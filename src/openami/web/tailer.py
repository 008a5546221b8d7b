# SPDX-License-Identifier: Apache-2.0
"""One reader of the feed a web process, fanned out to every open page.

A page subscribes with what it may see; entries reach it in the order of the feed. A page that does
not read is cut off when its queue is full: its browser comes back with the last number it had.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Engine

from openami.runtime.errors import UserError
from openami.store import live

log = logging.getLogger(__name__)

POLL_S: Final = 0.4
IDLE_POLL_S: Final = 2.0  # nobody follows
BATCH: Final = 2000
QUEUE: Final = 500
CATCH_UP: Final = 400  # entries that a page which comes back is given

Wanted = Callable[[live.Entry], bool]


@dataclass(slots=True, eq=False)
class Subscription:
    """One open page."""

    wanted: Wanted
    last: int = 0  # number of the newest entry offered
    queue: asyncio.Queue[live.Entry | None] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE)
    )

    def offer(self, entry: live.Entry) -> bool:
        """Hand an entry over if it is wanted; False when the page does not keep up."""
        if entry.feed_id <= self.last:
            return True
        self.last = entry.feed_id
        if not self.wanted(entry):
            return True
        try:
            self.queue.put_nowait(entry)
        except asyncio.QueueFull:
            return False
        return True

    def close(self) -> None:
        """Tell the page that nothing comes any more."""
        while self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Tailer:
    """Follows the feed and hands its entries to the subscriptions."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._subscriptions: set[Subscription] = set()
        self._position: int | None = None
        self._stopped = False

    @property
    def open_pages(self) -> int:
        return len(self._subscriptions)

    async def run(self) -> None:
        """Follow until cancelled; a store that does not answer is tried again."""
        while not self._stopped:
            try:
                await self._step()
            except UserError as error:
                log.warning("the feed cannot be read: %s", error)
                await asyncio.sleep(IDLE_POLL_S)
            await asyncio.sleep(POLL_S if self._subscriptions else IDLE_POLL_S)

    async def _step(self) -> None:
        if self._position is None or not self._subscriptions:
            self._position = await asyncio.to_thread(live.feed_end, self._engine)
            return
        entries = await asyncio.to_thread(live.feed_after, self._engine, self._position, BATCH)
        for entry in entries:
            self._position = entry.feed_id
            for subscription in list(self._subscriptions):
                if not subscription.offer(entry):
                    self._subscriptions.discard(subscription)
                    subscription.close()

    @asynccontextmanager
    async def subscribe(self, wanted: Wanted, after: int | None) -> AsyncIterator[Subscription]:
        """Follow from now, or from a number that the page had last, while the block lasts."""
        subscription = Subscription(wanted)
        if after is not None:
            missed = await asyncio.to_thread(live.feed_after, self._engine, after, CATCH_UP)
            for entry in missed:
                subscription.offer(entry)
        if self._position is None or not self._subscriptions:
            self._position = await asyncio.to_thread(live.feed_end, self._engine)
        self._subscriptions.add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    def stop(self) -> None:
        """End every subscription, so that the server can shut down."""
        self._stopped = True
        for subscription in list(self._subscriptions):
            subscription.close()
