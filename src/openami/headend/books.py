# SPDX-License-Identifier: Apache-2.0
"""The store as the event loop uses it: writes go to threads, the loop never waits for a disk.

What many meters write at once is written in groups: arrivals, and blocks of invocation counters.
Anything else runs as it is in a small pool.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, ParamSpec, TypeVar

from sqlalchemy import Engine

from openami.exchange.field import Word
from openami.headend.notifications import Arrival, store_arrivals
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.runtime.groupcommit import GroupCommit
from openami.store import counters, field
from openami.store.database import StoreUnavailableError, transaction
from openami.store.field import Said
from openami.store.leases import Lease

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4


class Reservation(NamedTuple):
    """A wish for a block of invocation counters."""

    meter_id: int
    epoch: int
    size: int
    lease: Lease  # of the meter


class Books:
    """All writing of the head-end.

    Attributes:
        engine: The store, for reads that are quick.
        publishes_events: Whether meters' events go to the outbox for other systems, too.
        arrivals: Pushes and profile rows on their way into the inbox.
    """

    def __init__(self, engine: Engine, *, publishes_events: bool = False) -> None:
        """Start the writers; call inside a running loop."""
        self.engine = engine
        self.publishes_events = publishes_events
        name = engine.url.render_as_string(hide_password=True)
        self.arrivals: GroupCommit[Arrival, bool] = GroupCommit(
            f"inbox in {name}",
            lambda group: store_arrivals(engine, group, publish=publishes_events),
            expected=(StoreUnavailableError,),
        )
        self._counters: GroupCommit[Reservation, int | UserError] = GroupCommit(
            f"invocation counters in {name}",
            lambda group: reserve_blocks(engine, group),
            expected=(StoreUnavailableError,),
        )
        self._words: GroupCommit[Said, bool] = GroupCommit(
            f"words of concentrators in {name}",
            lambda group: field.store(engine, group),
            expected=(StoreUnavailableError,),
        )
        self._pool = ThreadPoolExecutor(THREADS, "store")

    async def run(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function of `store` in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: act(*args, **kwargs))

    async def reserve(self, meter_id: int, epoch: int, count: int, lease: Lease) -> range:
        """Return a block of invocation counters that nobody else has, durable.

        Raises:
            LostLeaseError: The meter is another worker's by now.
            UserError: The key has none left, or the store cannot be written.
        """
        first = await self._counters.commit(Reservation(meter_id, epoch, count, lease))
        if first is None:
            sentence = self._counters.failing or "the head-end stops"
            raise StoreUnavailableError(f"no invocation counters for meter {meter_id}: {sentence}")
        if isinstance(first, UserError):
            raise first
        return range(first, first + count)

    def word(self, concentrator: bytes, word: Word, confirm: Callable[[], None]) -> None:
        """Store what a concentrator says of itself; confirm it then, and not before."""

        def stored(outcome: bool | None) -> None:  # noqa: FBT001  the writer's signature
            if outcome:
                confirm()

        self._words.submit(Said(concentrator, word, real_us()), stored)

    async def stop(self) -> None:
        """Write what waits and end the threads."""
        await self.arrivals.stop()
        await self._counters.stop()
        await self._words.stop()
        await asyncio.to_thread(self._pool.shutdown)
        self.engine.dispose()


def reserve_blocks(engine: Engine, group: Sequence[Reservation]) -> list[int | UserError]:
    """Reserve many blocks in one transaction; a key without numbers refuses its own wish only."""
    found: dict[int, int | UserError] = {}
    with transaction(engine) as connection:
        # In the order in which leases are renewed, so that the two never wait for each other.
        for place in sorted(range(len(group)), key=lambda place: group[place].lease.item):
            meter_id, epoch, size, lease = group[place]
            try:
                found[place] = counters.reserve(connection, meter_id, epoch, size, lease)
            except UserError as error:
                found[place] = error
    return [found[place] for place in range(len(group))]
