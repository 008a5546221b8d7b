# SPDX-License-Identifier: Apache-2.0
"""Which meters can be reached, and when each was last heard, as the registry shows it.

Changes are gathered for a moment and written together.  A meter that is not announced some seconds
after its concentrator's uplink came up is not attached, whatever was true before.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Final

from openami.headend.books import Books
from openami.headend.directory import Directory
from openami.runtime.errors import UserError
from openami.store import leases, live, registry
from openami.store.database import transaction
from openami.store.registry import Meter

log = logging.getLogger(__name__)

WRITE_S: Final = 0.25
SETTLE_S: Final = 3.0  # after an uplink came up, or after our own start


class Presence:
    """Gathers who came, who went, and who was heard."""

    def __init__(
        self,
        books: Books,
        directory: Directory,
        attached: Callable[[bytes], set[bytes]],
        now_us: Callable[[], int],
        worker: str,
    ) -> None:
        """Bind the ports.

        Args:
            books: Where it is written.
            directory: The meters.
            attached: Returns the titles that hang on a concentrator now.
            now_us: The calendar.
            worker: Our name among those that share the store.
        """
        self._books = books
        self._worker = worker
        self._directory = directory
        self._attached = attached
        self._now_us = now_us
        self._states: dict[int, bool] = {}
        self._seen: set[int] = set()
        self._settling: set[asyncio.TimerHandle] = set()

    def meter(self, title: bytes, attached: bool) -> None:  # noqa: FBT001  the port's signature
        """Learn that a meter came or went."""
        if (meter := self._directory.by_title(title)) is not None:
            self._states[meter.meter_id] = attached

    def heard(self, meter: Meter) -> None:
        """Learn that a meter said something."""
        self._seen.add(meter.meter_id)

    def carrier(self, concentrator: bytes, up: bool) -> None:  # noqa: FBT001  the port's signature
        """Learn that an uplink came up or was lost."""
        if up:
            self._later(lambda: self._settle(self._directory.of_concentrator(concentrator)))

    def start(self) -> None:
        """Settle what an earlier process left, once concentrators had time to come back."""
        self._later(lambda: self._settle(list(self._directory.meters())))

    def tell_again(self) -> None:
        """Write who is attached once more, after others may have taken us for dead."""
        for meter in self._directory.meters():
            if meter.title in self._attached(meter.concentrator):
                self._states.setdefault(meter.meter_id, True)

    async def run(self) -> None:
        """Write what was gathered until cancelled."""
        loop = asyncio.get_running_loop()
        look_s = loop.time() + SETTLE_S
        while True:
            await asyncio.sleep(WRITE_S)
            if self._states or self._seen:
                await self._write()
            if loop.time() >= look_s:
                look_s = loop.time() + SETTLE_S
                await self._bury()

    async def _bury(self) -> None:
        """Detach what hung on workers that died."""
        try:
            await self._books.run(self._store_dead, self._now_us())
        except UserError as error:
            log.warning("who died is looked for later: %s", error)

    def _store_dead(self, now_us: int) -> None:
        alive = leases.alive(self._books.engine) | {self._worker}
        with transaction(self._books.engine) as connection:
            gone = registry.detach_of_others(connection, alive, now_us)
            live.append_feed(connection, _told(dict.fromkeys(gone, False), now_us))

    async def _write(self) -> None:
        states, self._states = self._states, {}
        seen, self._seen = self._seen, set()
        try:
            await self._books.run(self._store, states, seen, self._now_us())
        except UserError as error:
            log.warning("who is attached is written later: %s", error)
            self._states = states | self._states
            self._seen |= seen
            await asyncio.sleep(1.0)

    def _store(self, states: dict[int, bool], seen: set[int], now_us: int) -> None:
        with transaction(self._books.engine) as connection:
            news = registry.set_attached(connection, states, now_us, self._worker)
            live.append_feed(connection, _told({n: states[n] for n in news}, now_us))
            if seen:
                registry.mark_seen(connection, seen, now_us)

    def _settle(self, meters: list[Meter]) -> None:
        for meter in meters:
            if meter.title not in self._attached(meter.concentrator):
                self._states.setdefault(meter.meter_id, False)

    def _later(self, act: Callable[[], None]) -> None:
        def settled() -> None:
            self._settling.discard(handle)
            act()

        handle = asyncio.get_running_loop().call_later(SETTLE_S, settled)
        self._settling.add(handle)

    def stop(self) -> None:
        """Settle nothing more."""
        for handle in self._settling:
            handle.cancel()
        self._settling.clear()


def _told(states: Mapping[int, bool], now_us: int) -> list[live.Entry]:
    return [
        live.Entry(kind="attachment", meter_id=number, at_us=now_us, body={"attached": state})
        for number, state in states.items()
    ]
