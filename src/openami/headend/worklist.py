# SPDX-License-Identifier: Apache-2.0
"""Rows of the store that a head-end works on beside everything else: a few at once, resumable.

It claims rows for a while, stays with those under way, and tries what did not come about again,
after pauses that double.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from openami.dlms.errors import DlmsError
from openami.headend.books import Books
from openami.headend.config import WorklistSettings
from openami.runtime.errors import UserError
from openami.store.database import Database

log = logging.getLogger(__name__)


class Row(Protocol):
    """What is worked on."""

    @property
    def key(self) -> int: ...
    @property
    def meter_id(self) -> int: ...
    @property
    def attempts(self) -> int: ...


R = TypeVar("R", bound=Row)


class Rows(Protocol[R]):
    """The module of `store` that keeps them."""

    def claim(self, database: Database, worker: str, *, limit: int, lease_s: float) -> list[R]: ...
    def keep(self, database: Database, keys: list[int], *, lease_s: float) -> None: ...
    def postpone(self, database: Database, key: int, note: str, *, pause_s: float) -> None: ...


class Worklist(Generic[R]):
    """Works on what is open until it is cancelled."""

    def __init__(  # noqa: PLR0913, PLR0917  its ports, bound in one place
        self,
        name: str,
        rows: Rows[R],
        work: Callable[[R], Awaitable[None]],
        settings: WorklistSettings,
        books: Books,
        worker: str,
    ) -> None:
        """Bind the ports.

        Args:
            name: Of the work, for the log.
            rows: Where they are kept.
            work: Brings one to its end, or raises why not yet.
            settings: How many at once, how often.
            books: The store.
            worker: Names this head-end.
        """
        self._name = name
        self._rows = rows
        self._work_on = work
        self._settings = settings
        self._books = books
        self._worker = worker
        self._tasks: dict[int, asyncio.Task[None]] = {}

    @property
    def under_way(self) -> int:
        return len(self._tasks)

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            while True:
                try:
                    await self._look()
                except UserError as error:
                    log.warning("%s waits: %s", self._name, error)
                await asyncio.sleep(self._settings.look_s)
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _look(self) -> None:
        """Stay with what is under way, and take more as there is room."""
        engine, lease_s = self._books.engine, self._settings.lease_s
        if self._tasks:
            await self._books.run(self._rows.keep, engine, list(self._tasks), lease_s=lease_s)
        room = self._settings.parallel - len(self._tasks)
        if room <= 0:
            return
        claimed = await self._books.run(
            self._rows.claim, engine, self._worker, limit=room, lease_s=lease_s
        )
        for row in claimed:
            task = asyncio.create_task(self._work(row))
            self._tasks[row.key] = task
            task.add_done_callback(partial(self._forget, row.key))

    def _forget(self, key: int, _task: asyncio.Task[None]) -> None:
        del self._tasks[key]

    async def _work(self, row: R) -> None:
        try:
            await self._work_on(row)
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("%s of meter %d", self._name, row.meter_id)  # a fault of ours
            log.info("%s of meter %d waits: %s", self._name, row.meter_id, error)
            first_s, most_s = self._settings.retry_first_s, self._settings.retry_most_s
            pause_s = min(first_s * 2 ** min(row.attempts, 16), most_s)
            note = str(error) or repr(error)
            await self._books.run(
                self._rows.postpone, self._books.engine, row.key, note, pause_s=pause_s
            )
