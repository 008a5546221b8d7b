# SPDX-License-Identifier: Apache-2.0
"""Places in cells, over all head-ends together (docs/commands.md, 5; store.cells).

A head-end that is alone gives places by itself.  Where others are alive each place is a lease.  It
is handed on here while nobody else waits for the cell, which is looked at every `LOOK_S`.  Once
somebody does, the store says after a job whose turn it is: at once where who waits elsewhere is
more urgent, among equals after `TURN_S`, since a place lies idle until the other has seen it.  All
cells are spoken of in one transaction: what changes while it runs is told in the next one.
"""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from openami.headend.books import Books
from openami.headend.holdings import RENEWALS, Holdings
from openami.headend.slots import Place, Queue, Turn
from openami.runtime.clock import MICROSECONDS
from openami.runtime.errors import UserError
from openami.store import cells as store
from openami.store import leases
from openami.store.cells import Answer, Ask, Want
from openami.store.leases import Lease, LostLeaseError

log = logging.getLogger(__name__)

LOOK_S: Final = 0.1  # how soon what others give back, or wait for, is seen
IDLE_S: Final = 1.0  # a place that nobody wants is kept so long
TURN_S: Final = 1.0  # jobs follow each other in a place that others as urgent wait for


class CellPlace:
    """A place that a job has in a cell.

    Attributes:
        lease: By which it is ours; None while all cells are.
        said_s: When the store said that it is our turn to have it.
    """

    def __init__(
        self, cell: "Cell", lease: Lease | None, said_s: float, *, void: bool = False
    ) -> None:
        self.cell = cell
        self.lease = lease
        self.said_s = said_s
        self._void = void

    def lasts(self) -> bool:
        return not self._void and self.cell.cells.certain(self.lease)

    def wanted_before(self, urgency: int) -> bool:
        cell = self.cell
        elsewhere = cell.ahead is not None and cell.ahead < urgency
        return elsewhere or cell.queue.wanted_before(urgency)

    def release(self) -> None:
        self.cell.ended(self)


class Spare(NamedTuple):
    """A place that no job has, by times of the loop's clock."""

    idle_s: float  # since when
    said_s: float  # when the store said that it is our turn to have it


class Cell:
    """One cell, and who works and waits in it here.

    Attributes:
        name: As the store calls it.
        ahead: The most urgent that waits at another head-end and gets no place; None: nobody does.
        running: Places that jobs have.
        spare: Leases of places that no job has.
        told: Whether the store knows of some that wait.
    """

    def __init__(self, cells: "Cells", name: str) -> None:
        self.cells = cells
        self.name = name
        self.queue = Queue()
        self.ahead: int | None = None
        self.running: set[CellPlace] = set()
        self.spare: dict[Lease, Spare] = {}
        self.told = False

    async def acquire(
        self, urgency: int, waits: Callable[[Turn], None] = lambda _turn: None
    ) -> Place:
        """Wait for a place; `waits` is told the turn that is waited for, if it is."""
        turn = self.queue.join(urgency)
        self.hand_out()
        self.cells.stir(self, now=not turn.given.done())
        if not turn.given.done():
            waits(turn)
        return await turn.come()

    def ended(self, place: CellPlace) -> None:
        """Take a place back from its job."""
        self.running.discard(place)
        if place.lease is not None:
            self.put_by(place.lease, place.said_s)
        self.hand_out()
        self.cells.stir(self, now=self.ahead is not None and bool(self.spare))

    def put_by(self, lease: Lease, said_s: float) -> None:
        """Keep a place that no job has, if it lasts."""
        if self.cells.certain(lease):
            self.spare[lease] = Spare(asyncio.get_running_loop().time(), said_s)
        else:
            self.cells.forget([lease])

    def hand_out(self) -> None:
        """Give those that wait what we may give without asking."""
        while self.queue:
            if self.cells.closed:
                self._give(CellPlace(self, None, 0.0, void=True))
            elif self.cells.alone:
                if len(self.running) >= self.cells.most:
                    return
                self._give(CellPlace(self, None, 0.0))
            elif (lease := self._ours()) is not None:
                self.give(lease, self.spare.pop(lease).said_s)
            else:
                return

    def _ours(self) -> Lease | None:
        """Return a spare place that we may hand on without asking."""
        now_s = asyncio.get_running_loop().time()
        following = next(self.queue.waiting(), None)
        for lease, (_, said_s) in self.spare.items():
            if self.ahead is None or following is None or following.urgency < self.ahead:
                return lease
            if following.urgency == self.ahead and now_s - said_s < TURN_S:
                return lease
        return None

    def give(self, lease: Lease, said_s: float) -> None:
        """Give a place to whoever is next, if it lasts."""
        if self.queue and self.cells.certain(lease):
            self._give(CellPlace(self, lease, said_s))
        else:
            self.put_by(lease, said_s)

    def _give(self, place: CellPlace) -> None:
        turn = self.queue.next()
        if turn is not None:
            self.running.add(place)
            turn.set_result(place)
        elif place.lease is not None:
            self.put_by(place.lease, place.said_s)

    def wants(self, now_s: float) -> list[Want]:
        """Return who waits, by urgency."""
        found: dict[int, list[float]] = {}
        for row in self.queue.waiting():
            found.setdefault(int(row.urgency), []).append(row.since_s)
        return [
            Want(self.name, urgency, len(since), round((now_s - min(since)) * MICROSECONDS))
            for urgency, since in found.items()
        ]

    def unneeded(self, now_s: float) -> list[Lease]:
        """Return what may go back, unless one that waits is due it."""
        kept_s = 0.0 if self.ahead is not None else IDLE_S
        return [lease for lease, spare in self.spare.items() if now_s - spare.idle_s >= kept_s]


class Cells:
    """The cells of all meters.

    Attributes:
        most: How many jobs run at once in a cell.
        closed: Whether the head-end stops: who still waits is let go, and asks nothing any more.
    """

    def __init__(self, books: Books, holdings: Holdings, most: int) -> None:
        self.most = most
        self.closed = False
        self._books = books
        self._holdings = holdings
        self._whole: Lease | None = None  # the lease of all cells
        self._giving_up = False  # it is to be given back
        self._cells: dict[str, Cell] = {}
        self._busy: set[Cell] = set()  # where something runs, waits, is spare or was told
        self._stirred = asyncio.Event()
        self._company_s = 0.0  # when to look who else is alive

    def of(self, name: str) -> Cell:
        """Return a cell by the name that the registry has."""
        if (cell := self._cells.get(name)) is None:
            cell = self._cells[name] = Cell(self, store.name_of(name))
        return cell

    @property
    def alone(self) -> bool:
        """Whether places are given without asking."""
        return self._whole is not None and not self._giving_up and self.certain(None)

    def certain(self, lease: Lease | None) -> bool:
        """Tell whether a place lasts, by its lease or by that of all cells."""
        by = self._whole if lease is None else lease
        return by is not None and self._holdings.holds(by)

    def stir(self, cell: Cell, *, now: bool) -> None:
        """Let a cell be looked at with the next look, or now; who is alone asks nobody."""
        self._busy.add(cell)
        if now and self._whole is None:
            self._stirred.set()

    def forget(self, given: Collection[Lease]) -> None:
        """Count places as ours no more that do not certainly last; others may have them."""
        if not self.closed:  # then all is given back anyway
            self._holdings.drop(given)

    def let_go(self) -> None:
        """Let who waits go on without a place, since the head-end stops; its job is refused."""
        self.closed = True
        for cell in self._busy:
            cell.hand_out()

    async def run(self) -> None:
        """Ask for places and give them back until cancelled."""
        while True:
            try:
                await self._look()
            except UserError as error:
                log.warning("places in cells wait: %s", error)
                await asyncio.sleep(LOOK_S)
            try:
                async with asyncio.timeout(self._pause_s):
                    await self._stirred.wait()
            except TimeoutError:
                pass
            self._stirred.clear()

    @property
    def _pause_s(self) -> float:
        busy = self._busy and self._whole is None
        return LOOK_S if busy or self._giving_up else self._holdings.seconds / RENEWALS

    async def _look(self) -> None:
        if self._whole is not None and not self._holdings.has(self._whole):
            self._whole, self._giving_up = None, False  # it is another's
        await self._look_around()
        if self._giving_up:
            await self._give_up_all()
        for cell in list(self._busy):
            cell.hand_out()
            if not (cell.queue or cell.running or cell.spare or cell.told):
                self._busy.discard(cell)
        if self._whole is not None:
            await self._give_back_spare()
        elif self._busy:
            await self._settle()

    async def _look_around(self) -> None:
        """Look who else is alive, now and then; take all cells where nobody is."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._company_s:
            return
        alive = await self._books.run(leases.alive, self._books.engine)
        if alive - {self._holdings.worker.name}:
            self._giving_up = self._whole is not None
        elif self._whole is None:
            await self._take_all()
        self._company_s = now_s + self._holdings.seconds / RENEWALS

    async def _take_all(self) -> None:
        asked_s = asyncio.get_running_loop().time()
        holdings = self._holdings
        self._whole = await self._books.run(
            store.take_all, self._books.engine, holdings.worker, holdings.seconds
        )
        if self._whole is not None:
            holdings.add([self._whole], asked_s)
            log.info("alone: gives places in cells without asking")

    async def _give_back_spare(self) -> None:
        """Give back places of the time when others were alive."""
        spare: list[Lease] = []
        for cell in self._busy:
            cell.ahead, cell.told = None, False
            spare += cell.spare
            cell.spare.clear()
        await self._holdings.give_back(*spare)

    async def _give_up_all(self) -> None:
        """Take leases for what runs, and give back that of all cells."""
        if (whole := self._whole) is None:
            return
        asked_s = asyncio.get_running_loop().time()
        running = {
            cell.name: [place for place in cell.running if place.lease is None]
            for cell in self._busy
        }
        counts = {name: len(places) for name, places in running.items() if places}
        holdings = self._holdings
        try:
            given = await self._books.run(
                store.give_up_all,
                self._books.engine,
                whole,
                holdings.worker,
                holdings.seconds,
                counts,
            )
        except LostLeaseError as error:
            log.warning("places in cells: %s", error)
            given = []
        log.info("others are alive: shares cells with them, %d places are taken", len(given))
        holdings.drop([whole])
        holdings.add(given, asked_s)
        self._whole, self._giving_up = None, False
        for lease in given:
            place = running[store.cell_of(lease.item)].pop()
            place.lease, place.said_s = lease, asked_s
            if place not in place.cell.running:  # its job ended meanwhile
                place.cell.put_by(lease, asked_s)

    async def _settle(self) -> None:
        """Tell the store who waits and what is not needed, and hand out what it gives."""
        now_s = asyncio.get_running_loop().time()
        cells = {cell.name: cell for cell in self._busy}
        back = [lease for cell in cells.values() for lease in cell.unneeded(now_s)]
        wants = [want for cell in cells.values() for want in cell.wants(now_s)]
        for lease in back:
            del cells[store.cell_of(lease.item)].spare[lease]
        for cell in cells.values():
            cell.told = cell.told or bool(cell.queue)
        ask = Ask(
            worker=self._holdings.worker,
            seconds=self._holdings.seconds,
            most=self.most,
            cells=tuple(cells),
            wants=wants,
            back=back,
        )
        try:
            answer = await self._books.settle(ask)
        except UserError:
            # They may be given back or not: if not, they are as strays are (`Holdings`).
            self.forget(back)
            raise
        self._enter(cells, answer, back, now_s)
        waiting = {want.cell for want in wants}
        for name, cell in cells.items():
            cell.told = name in waiting

    def _enter(
        self, cells: dict[str, Cell], answer: Answer, back: list[Lease], asked_s: float
    ) -> None:
        kept = set(answer.given).intersection(back)
        self._holdings.drop(set(back) - kept)
        self._holdings.add(set(answer.given) - kept, asked_s)
        for name, cell in cells.items():
            ahead = answer.ahead.get(name)
            if ahead is not None and cell.ahead is None and cell.spare:
                self._stirred.set()  # they are given back at once
            cell.ahead = ahead
        for lease in answer.given:
            cells[store.cell_of(lease.item)].give(lease, asked_s)
