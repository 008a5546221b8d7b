# SPDX-License-Identifier: Apache-2.0
"""What this worker holds of the work that many share: meters, commands, gaps (store.leases).

Leases are renewed long before they end.  Where the store does not answer, they end here no later
than there, by our own monotonic clock counted from before the renewal was asked for; what needs a
lease then stops by itself.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final

from openami.headend.books import Books, Wish
from openami.runtime.errors import UserError
from openami.store import leases
from openami.store.leases import Kind, Lease, Worker

log = logging.getLogger(__name__)

RENEWALS: Final = 3  # in the time of a lease
SWEEP_S: Final = 3600.0  # between two looks at what is to be removed


class MeterElsewhereError(UserError):
    """Another worker speaks with the meter now."""


class Holdings:
    """Leases of one worker.

    Attributes:
        worker: Who holds them.
        seconds: How long a lease lasts without renewal.
        on_lapse: Called when the worker's own lease had run out and is renewed: others may have
            taken it for dead meanwhile.
    """

    def __init__(self, books: Books, worker: Worker, seconds: float) -> None:
        self.worker = worker
        self.seconds = seconds
        self._books = books
        self.on_lapse: Callable[[], None] = lambda: None
        self._ends: dict[Lease, float] = {}
        self._strays: set[Lease] = set()  # renewed last time, and not held here

    @property
    def count(self) -> int:
        """How many leases are held."""
        return len(self._ends)

    def holds(self, lease: Lease) -> bool:
        """Tell whether a lease certainly lasts."""
        return self._ends.get(lease, 0.0) > asyncio.get_running_loop().time()

    def has(self, lease: Lease) -> bool:
        """Tell whether a lease was not lost as far as we know, though it may have run out."""
        return lease in self._ends

    async def come_alive(self) -> Lease:
        """Take the worker's own name, at the start; who had it before is fenced off.

        Raises:
            StoreUnavailableError: The store cannot be written.
            UserError: The name cannot be had.
        """
        return await self._take(Kind.WORKER, self.worker.name)

    async def take_meter(self, meter_id: int) -> Lease:
        """Take a meter for an association.

        Raises:
            MeterElsewhereError: Another worker has it.
            StoreUnavailableError: The store cannot be written.
        """
        return await self._take(Kind.METER, str(meter_id))

    async def take(self, kind: Kind, item: str) -> Lease:
        """Take some other work.

        Raises:
            MeterElsewhereError: Another worker has it.
            StoreUnavailableError: The store cannot be written.
        """
        return await self._take(kind, item)

    async def _take(self, kind: Kind, item: str) -> Lease:
        asked_s = asyncio.get_running_loop().time()
        given = await self._books.take(Wish(kind, item, self.worker, self.seconds))
        if given is None:
            raise MeterElsewhereError(
                f"{kind.value} {item} is another worker's now: it is free when that one ends"
            )
        self.add([given], asked_s)
        return given

    def add(self, given: Collection[Lease], asked_s: float) -> None:
        """Count leases as held that were asked for at `asked_s` of the loop's clock."""
        self._ends |= dict.fromkeys(given, asked_s + self.seconds)

    def drop(self, given: Collection[Lease]) -> None:
        """Count leases as held no more that were given back otherwise, or may have been.

        Where one was not, it is given back late, as what is renewed and not held here.
        """
        for lease in given:
            self._ends.pop(lease, None)

    async def give_back(self, *given: Lease) -> None:
        """Give leases back; where the store does not answer they end by themselves."""
        mine = [lease for lease in given if self._ends.pop(lease, None) is not None]
        if mine:
            try:
                await asyncio.gather(*map(self._books.give_back, mine))
            except UserError as error:
                log.info("%d leases end by themselves: %s", len(mine), error)

    async def run(self, own: Lease) -> None:
        """Renew until cancelled.

        Args:
            own: The lease of the worker's name.

        Raises:
            UserError: Another process took this worker's name.
        """
        loop = asyncio.get_running_loop()
        sweep_s = loop.time()
        while True:
            await asyncio.sleep(self.seconds / RENEWALS)
            asked_s, before, lapsed = loop.time(), set(self._ends), not self.holds(own)
            try:
                kept = await self._books.run(
                    leases.renew, self._books.engine, self.worker, self.seconds
                )
            except UserError as error:
                log.warning("leases are not renewed: %s", error)
                continue
            lapsed = lapsed or not self.holds(own)  # while the store took its time
            for lease in before & self._ends.keys():
                if (lease.kind.value, lease.item, lease.fence) in kept:
                    self._ends[lease] = asked_s + self.seconds
                else:
                    log.warning("%s %s is another worker's now", lease.kind.value, lease.item)
                    del self._ends[lease]
            if own not in self._ends:
                raise UserError(
                    f"another head-end runs as worker {self.worker.name!r}: give each a name of"
                    " its own, by --worker or in [worker] of config.toml"
                )

            await self._give_back_strays(kept)
            if lapsed:
                self.on_lapse()
            if loop.time() >= sweep_s:
                sweep_s = loop.time() + SWEEP_S
                await self._sweep()

    async def _sweep(self) -> None:
        """Remove leases of work that passed away."""
        try:
            while await self._books.run(leases.sweep, self._books.engine) == leases.AT_ONCE:
                pass
        except UserError as error:
            log.info("leases are removed later: %s", error)

    async def _give_back_strays(self, kept: set[tuple[str, str, int]]) -> None:
        """Give back what is renewed in our name twice in a row though we do not hold it.

        So it is where the store did not answer when a lease was given back, or when it was taken.
        Renewed for ever, it would keep its work from everybody.
        """
        renewed = {Lease(Kind(kind), item, self.worker.holder, at) for kind, item, at in kept}
        strays = renewed - self._ends.keys()
        again, self._strays = strays & self._strays, strays - self._strays
        for lease in again:
            log.warning("%s %s is given back late", lease.kind.value, lease.item)
        try:
            await asyncio.gather(*map(self._books.give_back, again))
        except UserError as error:
            log.info("%d leases are given back later: %s", len(again), error)

    async def stop(self) -> None:
        """Give everything back."""
        await self.give_back(*self._ends)
