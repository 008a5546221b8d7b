# SPDX-License-Identifier: Apache-2.0
"""The store as the event loop uses it: writes go to threads, the loop never waits for a disk.

What many meters write at once is written in groups: arrivals, and blocks of invocation counters.
Anything else runs as it is in a small pool.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, ParamSpec, TypeVar, cast

from sqlalchemy import Connection, Engine

from openami.exchange.field import Word
from openami.headend.notifications import Arrival, store_arrivals
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.runtime.groupcommit import GroupCommit
from openami.store import alarms, cells, commands, counters, field, leases, live
from openami.store.alarms import Name, Picture
from openami.store.cells import Answer, Ask
from openami.store.database import StoreUnavailableError, transaction
from openami.store.field import Said
from openami.store.leases import Kind, Lease, LostLeaseError, Worker

P = ParamSpec("P")
T = TypeVar("T")

THREADS: Final = 4


class Reservation(NamedTuple):
    """A wish for a block of invocation counters."""

    meter_id: int
    epoch: int
    size: int
    lease: Lease  # of the meter


class Wish(NamedTuple):
    """A wish for a lease."""

    kind: Kind
    item: str
    worker: Worker
    seconds: float


class Act(NamedTuple):
    """Something to be written of one meter.

    Attributes:
        meter_id: Which.
        write: Writes it; what it returns is the outcome.
        lease: Under which it is written; where that is lost nothing is.
        told: Goes to the feed where the outcome is true.
        steps: Go to the history of commands where it is.
    """

    meter_id: int
    write: Callable[[Connection], object]
    lease: Lease | None = None
    told: Sequence[live.Entry] = ()
    steps: Sequence[commands.Step] = ()


class Shown(NamedTuple):
    """The alarm registers of a meter, with what names their bits."""

    picture: Picture
    name: Name


Entry = Lease | Wish | Ask | Reservation | Act | Shown
"""What goes into one transaction with what others want; a lease is given back."""

Outcome = tuple[object]
"""What became of an entry, in a tuple, since None means that nothing was written."""


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
        self._entries: GroupCommit[Entry, Outcome] = GroupCommit(
            f"what is done with meters, in {name}",
            lambda group: write_entries(engine, group),
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
        first = await self._entered(Reservation(meter_id, epoch, count, lease))
        if isinstance(first, UserError):
            raise first
        return range(cast("int", first), cast("int", first) + count)

    async def take(self, wish: Wish) -> Lease | None:
        """Return a lease, None where another worker has it.

        Raises:
            StoreUnavailableError: The store cannot be written.
        """
        return cast("Lease | None", await self._entered(wish))

    async def give_back(self, lease: Lease) -> None:
        """Give a lease back.

        Raises:
            StoreUnavailableError: The store cannot be written; it ends by itself.
        """
        await self._entered(lease)

    async def settle(self, ask: Ask) -> Answer:
        """Take places in cells, give others back, and say who waits.

        Raises:
            StoreUnavailableError: The store cannot be written.
        """
        return cast("Answer", await self._entered(ask))

    async def write(
        self,
        meter_id: int,
        act: Callable[[Connection], T],
        *,
        lease: Lease | None = None,
        told: Sequence[live.Entry] = (),
        steps: Sequence[commands.Step] = (),
    ) -> T:
        """Call a function of `store` in a transaction that it shares with others.

        A disk that makes one meter durable makes a hundred durable in the same time.  The feed is
        told at the end of the transaction: whoever writes to it keeps all others waiting.

        Raises:
            LostLeaseError: `lease` is another worker's by now; nothing was written.
            StoreUnavailableError: The store cannot be written.
        """
        outcome = await self._entered(Act(meter_id, act, lease, told, steps))
        if isinstance(outcome, LostLeaseError):
            raise outcome
        return cast("T", outcome)

    async def show(self, picture: Picture, name: Name) -> None:
        """Store the alarm registers of a meter, with those of others at once.

        Raises:
            StoreUnavailableError: The store cannot be written.
        """
        await self._entered(Shown(picture, name))

    async def _entered(self, entry: Entry) -> object:
        outcome = await self._entries.commit(entry)
        if outcome is None:
            sentence = self._entries.failing or "the head-end stops"
            raise StoreUnavailableError(f"nothing is written of a meter: {sentence}")
        return outcome[0]

    def word(self, concentrator: bytes, word: Word, confirm: Callable[[], None]) -> None:
        """Store what a concentrator says of itself; confirm it then, and not before."""

        def stored(outcome: bool | None) -> None:  # noqa: FBT001  the writer's signature
            if outcome:
                confirm()

        self._words.submit(Said(concentrator, word, real_us()), stored)

    async def stop(self) -> None:
        """Write what waits and end the threads."""
        await self.arrivals.stop()
        await self._entries.stop()
        await self._words.stop()
        await asyncio.to_thread(self._pool.shutdown)
        self.engine.dispose()


def write_entries(engine: Engine, group: Sequence[Entry]) -> list[Outcome]:
    """Write many entries in one transaction: leases, counters, alarms, then what was read besides.

    All leases are locked first, in the order in which they are renewed, so that two workers never
    wait for each other; what concerns one meter alone is written under its lease.
    """
    places = range(len(group))
    found: dict[int, object] = {}
    with transaction(engine) as connection:
        asking = [(place, entry) for place, entry in enumerate(group) if isinstance(entry, Ask)]
        if asking:
            cells.enter(connection)  # which is locked before any row
        leases.lock(connection, [key for entry in group for key in _keys(entry)])
        found |= {place: cells.settle(connection, ask) for place, ask in asking}
        _settle_leases(connection, group, found)
        under = [lease for entry in group if (lease := _under(entry)) is not None]
        held = leases.held(connection, under)
        for place, entry in enumerate(group):
            if (lease := _under(entry)) is not None and lease not in held:
                found[place] = leases.lost(lease)
        _reserve(connection, group, found)
        shown = [place for place in places if isinstance(group[place], Shown)]
        alarms.tell(connection, [cast("Shown", group[place]) for place in shown])
        found |= dict.fromkeys(shown)
        _act(connection, group, found)
    return [(found[place],) for place in places]


def _keys(entry: Entry) -> list[tuple[Kind, str]]:
    """Return the leases that an entry is about."""
    match entry:
        case Lease() | Wish():
            return [(entry.kind, entry.item)]
        case Ask():
            return [(lease.kind, lease.item) for lease in entry.back]
        case _:
            lease = _under(entry)
            return [] if lease is None else [(lease.kind, lease.item)]


def _under(entry: Entry) -> Lease | None:
    """Return the lease under which something is written."""
    return entry.lease if isinstance(entry, Reservation | Act) else None


def _act(connection: Connection, group: Sequence[Entry], found: dict[int, object]) -> None:
    """Write what is to be written, by meter, then tell of it."""
    acts = [
        (entry.meter_id, place, entry)
        for place, entry in enumerate(group)
        if isinstance(entry, Act) and place not in found
    ]
    told: list[live.Entry] = []
    steps: list[commands.Step] = []
    for _, place, act in sorted(acts, key=lambda row: row[:2]):
        found[place] = act.write(connection)
        told += act.told if found[place] else ()
        steps += act.steps if found[place] else ()
    commands.note_steps(connection, steps)
    live.append_feed(connection, told)


def _settle_leases(
    connection: Connection, group: Sequence[Entry], found: dict[int, object]
) -> None:
    """Give back and take what is wished; enter the outcomes."""
    wishes = [entry for entry in group if isinstance(entry, Wish)]
    leases.release(connection, [entry for entry in group if isinstance(entry, Lease)])
    alike: dict[tuple[Kind, Worker, float], set[str]] = {}
    for wish in wishes:
        alike.setdefault((wish.kind, wish.worker, wish.seconds), set()).add(wish.item)
    given: dict[tuple[Kind, str], Lease] = {}
    for (kind, worker, seconds), items in alike.items():
        for lease in leases.take(connection, kind, items, worker, seconds):
            given[lease.kind, lease.item] = lease
    for place, entry in enumerate(group):
        if isinstance(entry, Lease):
            found[place] = None
        elif isinstance(entry, Wish):
            found[place] = given.get((entry.kind, entry.item))


def _reserve(connection: Connection, group: Sequence[Entry], found: dict[int, object]) -> None:
    """Reserve blocks of counters; a key without numbers refuses its own wish only."""
    wishes = {
        place: entry
        for place, entry in enumerate(group)
        if isinstance(entry, Reservation) and place not in found
    }
    while wishes:
        first_of: dict[tuple[int, int], int] = {}  # a second of the same key has the next round
        for place, wish in wishes.items():
            first_of.setdefault((wish.meter_id, wish.epoch), place)
        sizes = {key: wishes[place].size for key, place in first_of.items()}
        given = counters.reserve_many(connection, sizes)
        for key, place in first_of.items():
            first = given[key]
            found[place] = counters.exhausted(*key, sizes[key]) if first is None else first
            del wishes[place]
