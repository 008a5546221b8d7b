# SPDX-License-Identifier: Apache-2.0
"""Places in cells that several head-ends share: so many jobs at once in a cell, over all of them.

A place is a lease, `Kind.CELL`, item "cell/number".  Who waits stands in `cell_wants`, so that a
place goes to the most urgent job of all head-ends, among equals to the oldest.  A head-end that is
alone holds one lease for all cells (`ALL`) and asks for no place.  When another comes alive it
takes places for what runs and gives that lease back: until then nobody else is given one.

Who takes or gives back `ALL` excludes everybody who takes a place, so the two are never held at
once: an advisory lock on PostgreSQL; SQLite has one writer.
"""

import hashlib
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, delete, select, true

from openami.runtime.clock import MICROSECONDS
from openami.store import advisory, leases
from openami.store.advisory import Lock
from openami.store.cell_tables import cell_wants
from openami.store.database import Database, transaction, upsert
from openami.store.leases import AT_ONCE, Kind, Lease, Worker, held_by, store_now_us
from openami.store.tables import leases as leases_table

ALL: Final = "*"  # the item of the lease of all cells; a place has a stroke in its name
LONGEST: Final = 34  # characters of a name that stays as it is
HASHED: Final = "#"  # begins the name of any other cell
CLOSE_US: Final = MICROSECONDS // 10  # times that differ by less are not written anew


def name_of(cell: str) -> str:
    """Return a cell's name for its places, which have room for 40 characters."""
    if len(cell) <= LONGEST and not cell.startswith(HASHED):
        return cell
    return HASHED + hashlib.sha256(cell.encode()).hexdigest()[:32]


class Want(NamedTuple):
    """Jobs of one urgency that wait for a place in a cell at one head-end."""

    cell: str
    urgency: int  # smaller numbers first
    jobs: int
    waited_us: int  # by the oldest of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a head-end says of its cells in one transaction.

    Attributes:
        worker: The head-end.
        seconds: How long a place is given, unless renewed.
        most: Places of a cell.
        cells: All it speaks of: where its jobs run, wait, or waited when it asked before.
        wants: All that wait there.
        back: Places that it does not need, unless one that waits gets it.
    """

    worker: Worker
    seconds: float
    most: int
    cells: Collection[str]
    wants: Sequence[Want] = ()
    back: Collection[Lease] = ()


class Answer(NamedTuple):
    """What a head-end is told.

    Attributes:
        given: Places, new ones and those of `back` that it keeps.
        ahead: The cells where others wait and get no place, with the most urgent of them.
    """

    given: list[Lease]
    ahead: dict[str, int]


class Waiting(NamedTuple):
    """A row of `cell_wants`; they sort in the order in which places are given."""

    urgency: int
    since_us: int
    holder: str
    jobs: int
    until_us: int


@dataclass(frozen=True, slots=True)
class _Cell:
    """What is known of a cell while its places are settled."""

    name: str
    taken: set[str] = field(default_factory=set)  # items of places that somebody has
    back: list[Lease] = field(default_factory=list)
    mine: list[Waiting] = field(default_factory=list)
    others: list[Waiting] = field(default_factory=list)
    stored: dict[int, Waiting] = field(default_factory=dict)  # what we said before, by urgency


class _Verdict(NamedTuple):
    """What becomes of a cell."""

    kept: list[Lease]
    chosen: list[str]
    left: dict[int, Waiting]  # who of ours still waits, by urgency
    ahead: int | None


def share_out(
    free: int, waiting: Collection[Waiting], holder: str
) -> tuple[dict[int, int], int | None]:
    """Return how many places a holder is due by urgency, and the most urgent other without one."""
    due: dict[int, int] = {}
    ahead: int | None = None
    for row in sorted(waiting):
        served = max(0, min(free, row.jobs))
        free -= served
        if row.holder == holder:
            due[row.urgency] = served
        elif served < row.jobs and ahead is None:
            ahead = row.urgency
    return due, ahead


def settle(database: Database, ask: Ask) -> Answer:
    """Take the places that a head-end is due, give back what it does not need, note who waits."""
    with transaction(database) as connection:
        enter(connection)
        now_us = store_now_us(connection)
        found = live(connection, ask.worker, now_us)
        shut = ALL in found
        cells = _look(connection, ask, found, now_us)
        verdicts = {cell.name: _judge(ask, cell, shut=shut) for cell in cells}
        kept = [lease for each in verdicts.values() for lease in each.kept]
        chosen = [item for each in verdicts.values() for item in each.chosen]
        leases.release(connection, set(ask.back).difference(kept))
        given = leases.take(connection, Kind.CELL, chosen, ask.worker, ask.seconds)
        _note(connection, ask, cells, verdicts, now_us)
    ahead = {name: each.ahead for name, each in verdicts.items() if each.ahead is not None}
    return Answer(kept + given, ahead)


def _judge(ask: Ask, cell: _Cell, *, shut: bool) -> _Verdict:
    """Give out the free places of a cell; there are none while another head-end holds `ALL`."""
    free = 0 if shut else ask.most - len(cell.taken) + len(cell.back)
    due, ahead = share_out(free, [*cell.mine, *cell.others], ask.worker.holder)
    count = sum(due.values())
    left = {
        row.urgency: row._replace(jobs=row.jobs - due[row.urgency])
        for row in cell.mine
        if row.jobs > due[row.urgency]
    }
    new = _choose(cell, ask.most, ask.worker, count - len(cell.back))
    return _Verdict(cell.back[:count], list(new), left, ahead)


def take_all(database: Database, worker: Worker, seconds: float) -> Lease | None:
    """Take the lease of all cells; None while another head-end lives or has a place."""
    with transaction(database) as connection:
        advisory.hold(connection, Lock.CELLS)
        if leases.alive(connection) - {worker.name}:
            return None
        found = live(connection, worker, store_now_us(connection))
        if set(found.values()) - {worker.holder}:
            return None  # of one that has just died
        given = leases.take(connection, Kind.CELL, [ALL], worker, seconds)
    return given[0] if given else None


def give_up_all(
    database: Database, whole: Lease, worker: Worker, seconds: float, running: Mapping[str, int]
) -> list[Lease]:
    """Give the lease of all cells back, and take places for so many jobs that run in each.

    Raises:
        LostLeaseError: It is another's by now; nothing is taken.
    """
    with transaction(database) as connection:
        advisory.hold(connection, Lock.CELLS)
        leases.require(connection, whole)
        held = live(connection, worker, store_now_us(connection))
        items: list[str] = []
        for name, jobs in running.items():
            cell = _Cell(name, {item for item in held if cell_of(item) == name})
            items += _choose(cell, jobs + len(cell.taken), worker, jobs)
        given = leases.take(connection, Kind.CELL, items, worker, seconds)
        leases.release(connection, [whole])
    return given


def enter(connection: Connection) -> None:
    """Keep everybody from taking or giving up all cells until the transaction ends."""
    advisory.hold(connection, Lock.CELLS, shared=True)


def live(connection: Connection, worker: Worker, now_us: int) -> dict[str, str]:
    """Return who holds which places; what an earlier life of the worker held is free."""
    query = select(leases_table.c.item, leases_table.c.holder).where(
        held_by(true(), [Kind.CELL]), leases_table.c.until_real_us > now_us
    )
    earlier = f"{worker.name}/"
    return {
        row.item: row.holder
        for row in connection.execute(query)
        if row.holder == worker.holder or not row.holder.startswith(earlier)
    }


def cell_of(item: str) -> str:
    """Return the name of the cell that a place is in."""
    return item.rpartition("/")[0]


def _choose(cell: _Cell, most: int, worker: Worker, count: int) -> Iterator[str]:
    """Return free places; two head-ends begin at different ones, lest both choose the same."""
    begin = zlib.crc32(worker.name.encode()) % most
    for number in range(begin, begin + most):
        if count <= 0:
            return
        if (item := f"{cell.name}/{number % most}") not in cell.taken:
            count -= 1
            yield item


def _look(
    connection: Connection, ask: Ask, held: Mapping[str, str], now_us: int
) -> Collection[_Cell]:
    """Return the cells of an asker, with all who wait and last; forget who is dead."""
    cells = {name: _Cell(name) for name in ask.cells}
    for item in held:
        if (name := cell_of(item)) in cells:
            cells[name].taken.add(item)
    for lease in sorted(ask.back):
        if held.get(lease.item) == lease.holder:
            cells[cell_of(lease.item)].back.append(lease)
    until_us = now_us + round(ask.seconds * MICROSECONDS)
    for name, urgency, jobs, waited_us in ask.wants:
        row = Waiting(urgency, now_us - waited_us, ask.worker.holder, jobs, until_us)
        cells[name].mine.append(row)
    dead = False
    for name, row in _stored(connection, sorted(cells)):
        if row.holder == ask.worker.holder:
            cells[name].stored[row.urgency] = row
        elif row.until_us > now_us and not row.holder.startswith(f"{ask.worker.name}/"):
            cells[name].others.append(row)
        dead = dead or row.until_us <= now_us
    if dead:
        connection.execute(delete(cell_wants).where(cell_wants.c.until_real_us <= now_us))
    return cells.values()


def _stored(connection: Connection, names: Sequence[str]) -> Iterator[tuple[str, Waiting]]:
    table = cell_wants.c
    columns = (table.urgency, table.since_real_us, table.holder, table.jobs, table.until_real_us)
    for first in range(0, len(names), AT_ONCE):
        wanted = table.cell.in_(names[first : first + AT_ONCE])
        for row in connection.execute(select(table.cell, *columns).where(wanted)):
            yield row[0], Waiting(*row[1:])


def _note(
    connection: Connection,
    ask: Ask,
    cells: Collection[_Cell],
    verdicts: Mapping[str, _Verdict],
    now_us: int,
) -> None:
    """Let others know who of ours waits; write only what they do not know yet."""
    soon_us = now_us + round(ask.seconds * MICROSECONDS / 2)
    news: list[dict[str, object]] = []
    gone: list[dict[str, object]] = []
    for cell in cells:
        left = verdicts[cell.name].left
        for urgency, row in left.items():
            before = cell.stored.get(urgency)
            if (
                before is None
                or before.jobs != row.jobs
                or abs(before.since_us - row.since_us) > CLOSE_US
                or before.until_us < soon_us
            ):
                news.append(
                    {
                        "cell": cell.name,
                        "holder": row.holder,
                        "urgency": urgency,
                        "jobs": row.jobs,
                        "since_real_us": row.since_us,
                        "until_real_us": row.until_us,
                    }
                )
        gone += [
            {"its_cell": cell.name, "its_urgency": urgency}
            for urgency in cell.stored.keys() - left.keys()
        ]
    upsert(connection, cell_wants, news)
    if gone:
        its = (
            (cell_wants.c.cell == bindparam("its_cell"))
            & (cell_wants.c.holder == ask.worker.holder)
            & (cell_wants.c.urgency == bindparam("its_urgency"))
        )
        connection.execute(delete(cell_wants).where(its), gone)
