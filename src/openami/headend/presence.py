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
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import leases, live, registry, supply
from openami.store.database import StoreUnavailableError, transaction
from openami.store.registry import Meter
from openami.store.supply import UplinkState

log = logging.getLogger(__name__)

WRITE_S: Final = 0.25
SETTLE_S: Final = 3.0  # after an uplink came up, or after our own start


class Presence:
    """Gathers who came, who went, and who was heard."""

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        books: Books,
        directory: Directory,
        attached: Callable[[bytes], set[bytes]],
        stands: Callable[[bytes], bool],
        now_us: Callable[[], int],
        worker: str,
    ) -> None:
        """Bind the ports.

        Args:
            books: Where it is written.
            directory: The meters.
            attached: Returns the titles that hang on a concentrator now.
            stands: Tells whether a concentrator is connected now.
            now_us: The calendar.
            worker: Our name among those that share the store.
        """
        self._books = books
        self._worker = worker
        self._directory = directory
        self._attached = attached
        self._stands = stands
        self._now_us = now_us
        self._states: dict[int, bool] = {}
        self._uplinks: dict[bytes, bool] = {}
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
        self._uplinks[concentrator] = up
        if up:
            self._later(lambda: self._settle(self._directory.of_concentrator(concentrator)))

    def start(self) -> None:
        """Settle what an earlier process left, once concentrators had time to come back."""
        self._later(lambda: self._settle(list(self._directory.meters())))
        self._later(self._settle_uplinks)

    def tell_again(self) -> None:
        """Write who is attached once more, after others may have taken us for dead."""
        for meter in self._directory.meters():
            if meter.title in self._attached(meter.concentrator):
                self._states.setdefault(meter.meter_id, True)
                self._uplinks.setdefault(meter.concentrator, True)

    async def run(self) -> None:
        """Write what was gathered until cancelled."""
        loop = asyncio.get_running_loop()
        look_s = loop.time() + SETTLE_S
        while True:
            await asyncio.sleep(WRITE_S)
            if self._states or self._seen or self._uplinks:
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
            supply.down_with_others(connection, alive, now_us, real_us())
            gone = registry.detach_of_others(connection, alive, now_us)
            live.append_feed(connection, _told(dict.fromkeys(gone, False), now_us))

    async def _write(self) -> None:
        states, self._states = self._states, {}
        seen, self._seen = self._seen, set()
        uplinks, self._uplinks = self._uplinks, {}
        try:
            await self._books.run(self._store, states, seen, uplinks, self._now_us())
        except UserError as error:
            log.warning("who is attached is written later: %s", error)
            self._states = states | self._states
            self._seen |= seen
            self._uplinks = uplinks | self._uplinks
            await asyncio.sleep(1.0)

    def _store(
        self, states: dict[int, bool], seen: set[int], uplinks: dict[bytes, bool], now_us: int
    ) -> None:
        with transaction(self._books.engine) as connection:
            news = registry.set_attached(connection, states, now_us, self._worker)
            live.append_feed(connection, _told({n: states[n] for n in news}, now_us))
            supply.set_uplinks(
                connection,
                [
                    UplinkState(
                        concentrator=concentrator,
                        up=up,
                        worker=self._worker,
                        since_us=now_us,
                        since_real_us=real_us(),
                    )
                    for concentrator, up in uplinks.items()
                ],
            )
            if seen:
                registry.mark_seen(connection, seen, now_us)

    def _settle(self, meters: list[Meter]) -> None:
        for meter in meters:
            if meter.title not in self._attached(meter.concentrator):
                self._states.setdefault(meter.meter_id, False)

    def _settle_uplinks(self) -> None:
        """Take uplinks for lost that an earlier life of ours had and that did not come back."""
        try:
            uplinks = supply.uplinks(self._books.engine)
        except StoreUnavailableError:
            self._later(self._settle_uplinks)
            return
        for uplink in uplinks:
            if uplink.worker == self._worker and not self._stands(uplink.concentrator):
                self._uplinks.setdefault(uplink.concentrator, False)

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
