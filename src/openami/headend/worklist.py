# SPDX-License-Identifier: Apache-2.0
"""Rows of the store that a head-end works on beside everything else: a few at once, resumable.

It claims rows under leases (`store.leases`), works on each in a task of its own, and gives the
lease back when that ends.  A worker that dies leaves its rows to the next one.  What did not come
about is tried again after pauses that double.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from openami.dlms.errors import DlmsError
from openami.headend.books import Books
from openami.headend.config import RetrySettings
from openami.headend.holdings import Holdings
from openami.runtime.errors import UserError
from openami.store.database import Database
from openami.store.leases import Lease, LostLeaseError, Worker

log = logging.getLogger(__name__)


class Row(Protocol):
    """What is worked on."""

    @property
    def meter_id(self) -> int: ...


R = TypeVar("R", bound=Row)
R_co = TypeVar("R_co", bound=Row, covariant=True)


class Claim(Protocol[R_co]):
    """The function of `store` that gives rows of one sort."""

    def __call__(
        self, database: Database, worker: Worker, *, seconds: float, limit: int
    ) -> Sequence[tuple[R_co, Lease]]:
        """Take rows that nobody works on and that this worker can work on."""


class Sort(NamedTuple, Generic[R]):
    """Rows that are worked on in one way.

    Attributes:
        claim: Gives them.
        work: Brings one to its end or writes down when it is tried again.  What it raises is
            logged, and the row is claimed anew.
    """

    claim: Claim[R]
    work: Callable[[R, Lease], Awaitable[None]]


class Worklist(Generic[R]):
    """Works on what is open until it is cancelled."""

    def __init__(  # noqa: PLR0913  its ports, bound in one place
        self,
        name: str,
        sorts: Sequence[Sort[R]],
        books: Books,
        holdings: Holdings,
        *,
        parallel: int,
        look_s: float,
    ) -> None:
        """Bind the ports.

        Args:
            name: Of the work, for the log.
            sorts: What is worked on; the first is looked for first.
            books: The store.
            holdings: Keeps the leases.
            parallel: How many rows at once.
            look_s: Real seconds between two looks.
        """
        self._name = name
        self._sorts = sorts
        self._books = books
        self._holdings = holdings
        self._parallel = parallel
        self._look_s = look_s
        self._tasks: set[asyncio.Task[None]] = set()

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
                await asyncio.sleep(self._look_s)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        """Take more as there is room."""
        for sort in self._sorts:
            room = self._parallel - len(self._tasks)
            if room <= 0:
                return
            asked_s = asyncio.get_running_loop().time()
            seconds, worker = self._holdings.seconds, self._holdings.worker
            given = await self._books.run(
                sort.claim, self._books.engine, worker, seconds=seconds, limit=room
            )
            self._holdings.add([lease for _, lease in given], asked_s)
            for row, lease in given:
                task = asyncio.create_task(self._under_lease(sort, row, lease))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _under_lease(self, sort: Sort[R], row: R, lease: Lease) -> None:
        try:
            await sort.work(row, lease)
        except LostLeaseError as error:
            log.warning("%s of meter %d: %s", self._name, row.meter_id, error)
        except UserError as error:  # it is claimed again, by whoever can
            log.warning("%s of meter %d is looked at again: %s", self._name, row.meter_id, error)
        finally:
            await self._holdings.give_back(lease)


@dataclass(frozen=True, slots=True)
class Trying:
    """One attempt at a row that is tried until it comes about.

    Attributes:
        what: It is, for the log.
        settings: How long to wait.
        attempts: Before this one.
        postpone: Writes down why it did not come about, and for how long it rests.
    """

    what: str
    settings: RetrySettings
    attempts: int
    postpone: Callable[..., None]

    async def run(self, books: Books, work: Callable[[], Awaitable[None]]) -> None:
        """Attempt it; a failure postpones the row.

        Raises:
            UserError: The store cannot be written, or the row is another worker's by now.
        """
        try:
            await work()
        except Exception as error:
            if not isinstance(error, UserError | DlmsError):
                log.exception("%s", self.what)  # a fault of ours
            log.info("%s waits: %s", self.what, error)
            rest_s = pause_s(self.settings, self.attempts)
            await books.run(self.postpone, str(error) or repr(error), pause_s=rest_s)


def pause_s(settings: RetrySettings, attempts: int) -> float:
    """Return how long to wait before the next attempt, real seconds."""
    return min(settings.retry_first_s * 2.0 ** min(attempts, 30), settings.retry_most_s)
