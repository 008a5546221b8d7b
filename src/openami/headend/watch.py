# SPDX-License-Identifier: Apache-2.0
"""Meters that somebody looks at now are read every real second: power, voltage, current, register.

A meter that is still answering the last question is left out of this second, so a slow one is
asked less often and never piles up questions.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from openami.dlms.errors import DlmsError
from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.headend.associations import MeterSession
from openami.headend.books import Books
from openami.headend.reading import read_registers
from openami.headend.sessions import Sessions, Urgency
from openami.runtime.errors import UserError
from openami.store import live
from openami.store.database import Database, transaction

log = logging.getLogger(__name__)

PERIOD_S: Final = 1.0
NAMES: Final[Mapping[Channel, str]] = {
    Channel.POWER: "power_w",
    Channel.VOLTAGE: "voltage_dv",
    Channel.CURRENT: "current_ca",
    Channel.IMPORT_REGISTER: "import_wh",
    Channel.EXPORT_REGISTER: "export_wh",
}


class Watch:
    """Polls the meters of table `watches`."""

    def __init__(
        self,
        books: Books,
        sessions: Sessions[MeterSession],
        reachable: Callable[[int], bool],
        now_us: Callable[[], int],
    ) -> None:
        self.reads = 0
        self._books = books
        self._sessions = sessions
        self._reachable = reachable
        self._now_us = now_us
        self._asked: dict[int, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Poll until cancelled."""
        loop = asyncio.get_running_loop()
        next_s = loop.time()
        try:
            while True:
                next_s = max(next_s + PERIOD_S, loop.time())
                await self._poll()
                await asyncio.sleep(max(0.0, next_s - loop.time()))
        finally:
            for task in self._asked.values():
                task.cancel()

    async def _poll(self) -> None:
        try:
            watched = await self._books.run(live.watched, self._books.engine)
        except UserError as error:
            log.warning("nobody is watched in this second: %s", error)
            return
        for meter_id in watched:
            if meter_id not in self._asked and self._reachable(meter_id):
                task = asyncio.create_task(self._ask(meter_id))
                self._asked[meter_id] = task
                task.add_done_callback(partial(self._answered, meter_id))

    def _answered(self, meter_id: int, _task: "asyncio.Task[None]") -> None:
        del self._asked[meter_id]

    async def _ask(self, meter_id: int) -> None:
        try:
            values = await self._sessions.run(meter_id, Urgency.WATCH, read_registers)
            await self._books.run(
                store_live, self._books.engine, meter_id, dict(values), self._now_us()
            )
        except (UserError, DlmsError) as error:
            log.info("meter %d: live values: %s", meter_id, error)
        else:
            self.reads += 1


def store_live(
    database: Database, meter_id: int, values: Mapping[Channel, int], now_us: int
) -> None:
    """Replace a meter's latest momentary values and tell the pages."""
    rows = [
        live.Latest(
            meter_id=meter_id,
            channel=int(channel),
            start_us=now_us,
            value=value,
            quality=int(Quality.MEASURED),
            received_us=now_us,
        )
        for channel, value in values.items()
    ]
    body: live.Body = {NAMES[channel]: value for channel, value in values.items()}
    entry = live.Entry(kind="live", meter_id=meter_id, at_us=now_us, body=body)
    with transaction(database) as connection:
        live.put_latest(connection, rows)
        live.append_feed(connection, [entry])
