# SPDX-License-Identifier: Apache-2.0
"""Outages, found and followed: evidence in the store goes in, outages come out (docs/outages.md).

One worker at a time judges, under a lease; all that it knows is in the store, so another takes over
where it was.  Every worker asks the meters that it can reach whether power is there.
"""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from sqlalchemy import Engine

from openami.dlms.errors import DlmsError
from openami.exchange.channels import Channel
from openami.exchange.supply import PingState
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.config import OutageSettings
from openami.headend.directory import Directory
from openami.headend.judging import Bench
from openami.headend.reading import read_registers
from openami.headend.sessions import Sessions, Urgency
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import leases, outages, supply
from openami.store.database import transaction
from openami.store.leases import Kind, Lease, LostLeaseError, Worker

log = logging.getLogger(__name__)

ITEM: Final = "supply"
LEASE_S: Final = 15.0
RENEW_S: Final = 5.0
YIELD_S: Final = 0.02  # between two sittings that follow each other: others may write
LEAST_DV: Final = 230  # 0.1 V: below a tenth of the nominal voltage there is no supply


class Outages:
    """Finds outages and follows them.

    Attributes:
        open: How many were open at the last look.
        asked: How many meters were asked since the start.
    """

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        settings: OutageSettings,
        books: Books,
        directory: Directory,
        sessions: Sessions[MeterSession],
        reachable: Callable[[int], bool],
        now_us: Callable[[], int],
        worker: Worker,
    ) -> None:
        """Bind the ports.

        Args:
            settings: What makes an outage.
            books: The store.
            directory: The meters.
            sessions: Speak with them.
            reachable: Whether this worker can.
            now_us: The calendar.
            worker: Us.
        """
        self.open = self.asked = 0
        self._settings = settings
        self._books = books
        self._sessions = sessions
        self._reachable = reachable
        self._now_us = now_us
        self._worker = worker
        self._bench = Bench(settings, directory)
        self._lease: Lease | None = None
        self._renew_s = 0.0
        self._asking: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                more = False
                try:
                    await self._carry_questions()
                    more = await self._books.run(self._judge, self._books.engine, loop.time())
                except UserError as error:
                    log.warning("outages are looked for later: %s", error)
                    self._lease = None
                await asyncio.sleep(YIELD_S if more else self._settings.look_s)
        finally:
            for task in self._asking.values():
                task.cancel()
            await asyncio.gather(*self._asking.values(), return_exceptions=True)

    # Is power there? ------------------------------------------------------------------------------

    async def _carry_questions(self) -> None:
        """Ask the meters that we can reach what nobody has asked them yet."""
        room = self._settings.ask_at_once - len(self._asking)
        if room <= 0:
            return
        wanted = await self._books.run(supply.asked, self._books.engine)
        mine = [number for number in wanted if self._can_ask(number)][:room]
        if not mine:
            return
        name = self._worker.name
        for number in await self._books.run(supply.claim, self._books.engine, mine, name):
            task = asyncio.create_task(self._ask(number))
            self._asking[number] = task
            task.add_done_callback(partial(self._asked, number))

    def _can_ask(self, meter_id: int) -> bool:
        return meter_id not in self._asking and self._reachable(meter_id)

    def _asked(self, meter_id: int, _task: asyncio.Task[None]) -> None:
        del self._asking[meter_id]

    async def _ask(self, meter_id: int) -> None:
        self.asked += 1
        state = await self._state_of(meter_id)
        log.info("meter %d was asked whether power is there: %s", meter_id, state.value)
        try:
            await self._books.run(supply.answer, self._books.engine, meter_id, state, real_us())
        except UserError as error:
            log.warning("what meter %d answered is not kept: %s", meter_id, error)

    async def _state_of(self, meter_id: int) -> PingState:
        try:
            async with asyncio.timeout(self._settings.ask_timeout_s):
                return await self._sessions.run(meter_id, Urgency.URGENT, power_is_there)
        except TimeoutError:
            return PingState.SILENT
        except (UserError, DlmsError) as error:
            log.debug("meter %d: %s", meter_id, error)
            return PingState.SILENT if self._reachable(meter_id) else PingState.NO_ROUTE

    # Judging --------------------------------------------------------------------------------------

    def _judge(self, engine: Engine, now_s: float) -> bool:
        """Sit once; tell whether there is more to judge."""
        if not self._bench.has_work(engine, real_us()):
            self.open = outages.count_open(engine)
            return False
        if not self._holds_lease(engine, now_s) or self._lease is None:
            return False
        try:
            with transaction(engine) as connection:
                leases.require(connection, self._lease)
                seen = self._bench.sit(connection, self._now_us(), real_us())
        except LostLeaseError:
            self._lease = None
            return False
        self.open = seen.open
        return seen.more

    def _holds_lease(self, engine: Engine, now_s: float) -> bool:
        if self._lease is None or now_s >= self._renew_s:
            given = leases.take(engine, Kind.OUTAGES, [ITEM], self._worker, LEASE_S)
            self._lease = given[0] if given else None
            self._renew_s = now_s + RENEW_S
        return self._lease is not None


async def power_is_there(session: MeterSession) -> PingState:
    """The job that asks: one register."""
    values = await read_registers(session, (Channel.VOLTAGE,))
    voltage_dv = values.get(Channel.VOLTAGE)
    if voltage_dv is not None and voltage_dv < LEAST_DV:
        return PingState.NO_VOLTAGE
    return PingState.ANSWERED
