# SPDX-License-Identifier: Apache-2.0
"""So many jobs run in a cell over all head-ends, the most urgent of all first."""

import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine, delete, event, select

from openami.store import cells, leases
from openami.store.cell_tables import cell_wants
from openami.store.cells import ALL, Answer, Ask, Want, give_up_all, settle, share_out, take_all
from openami.store.database import open_database, reading, transaction
from openami.store.leases import Kind, Lease, LostLeaseError, Worker
from openami.store.tables import leases as leases_table

if TYPE_CHECKING:
    from postgres import Postgres


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a store for all of these tests: a new database takes a second."""
    if request.param == "postgresql":
        server = cast("Postgres", request.getfixturevalue("server"))
        return server.new_database(request.getfixturevalue("template"))
    url = f"sqlite:///{tmp_path_factory.mktemp('store') / 'openami.db'}"
    open_database(url, create=True).dispose()
    return url


@pytest.fixture
def engine(store: str) -> Iterator[Engine]:
    engine = open_database(store)
    with transaction(engine) as connection:
        connection.execute(delete(cell_wants))
        connection.execute(delete(leases_table))
    yield engine
    engine.dispose()


A, B, C = (Worker(name, "1") for name in "abc")
MOST = 3
URGENT, COMMAND, SCHEDULE = range(3)


def ask(
    engine: Engine,
    worker: Worker,
    *wants: Want,
    back: Iterable[Lease] = (),
    seconds: float = 60.0,
) -> Answer:
    one = Ask(worker=worker, seconds=seconds, most=MOST, cells=("n",), wants=wants, back=list(back))
    return settle(engine, one)


def want(jobs: int, urgency: int = SCHEDULE, waited_us: int = 0) -> Want:
    return Want("n", urgency, jobs, waited_us)


def alive(engine: Engine, *workers: Worker, seconds: float = 60.0) -> None:
    for worker in workers:
        leases.take(engine, Kind.WORKER, [worker.name], worker, seconds)


def waiting(engine: Engine) -> list[tuple[str, int, int]]:
    with reading(engine) as connection:
        columns = (cell_wants.c.holder, cell_wants.c.urgency, cell_wants.c.jobs)
        return sorted(tuple(row) for row in connection.execute(select(*columns)))


def test_two_together_get_as_many_places_as_a_cell_has(engine: Engine) -> None:
    ours, nobody = ask(engine, A, want(2))
    assert (len(ours), nobody) == (2, {})
    theirs, ahead = ask(engine, B, want(4))
    assert (len(theirs), ahead) == (1, {})
    assert waiting(engine) == [("b/1", SCHEDULE, 3)]
    assert len({lease.item for lease in ours + theirs}) == MOST

    more, ahead = ask(engine, A, back=ours[:1])
    assert (more, ahead) == ([], {"n": SCHEDULE})  # three wait there, one place is free
    again, _ = ask(engine, B, want(3))
    assert len(again) == 1
    assert waiting(engine) == [("b/1", SCHEDULE, 2)]
    assert ask(engine, B).given == []  # they went away
    assert waiting(engine) == []


def test_a_place_goes_to_the_most_urgent_and_among_equals_to_the_oldest(engine: Engine) -> None:
    held, _ = ask(engine, A, want(MOST))
    theirs = [want(1, SCHEDULE, waited_us=10**9), want(1, COMMAND, waited_us=10**9)]
    most_urgent = [want(1, SCHEDULE), want(1, URGENT)]
    assert ask(engine, B, *theirs) == Answer([], {})
    assert ask(engine, C, *most_urgent) == Answer([], {"n": COMMAND})

    # What A has waiting is newer than B's command, and goes before what is scheduled.
    kept, ahead = ask(engine, A, want(2, COMMAND), back=held)
    assert (len(kept), ahead) == (1, {"n": SCHEDULE})
    for worker, mine in ((B, theirs), (C, most_urgent)):
        got, ahead = ask(engine, worker, *mine)
        assert (len(got), ahead) == (1, {"n": COMMAND})  # one of A's waits on


def test_who_keeps_a_place_for_its_next_job_writes_nothing(engine: Engine) -> None:
    held, _ = ask(engine, A, want(1))
    writes: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        if not statement.startswith(("SELECT", "BEGIN")):
            writes.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    assert ask(engine, A, want(1), back=held) == Answer(held, {})
    assert writes == []


def test_places_of_the_dead_are_free_and_they_wait_no_more(engine: Engine) -> None:
    ask(engine, A, want(MOST), want(5, URGENT), seconds=0.05)
    time.sleep(0.1)
    got, ahead = ask(engine, B, want(MOST))
    assert (len(got), ahead) == (MOST, {})
    assert waiting(engine) == []


def test_a_new_life_takes_the_places_of_the_one_before(engine: Engine) -> None:
    ask(engine, A, want(MOST), want(1, URGENT))
    again, ahead = ask(engine, Worker("a", "2"), want(2))
    assert (len(again), ahead) == (2, {})
    assert leases.renew(engine, A, 60) - {(Kind.CELL, lease.item, lease.fence) for lease in again}


def test_who_is_alone_has_all_cells_until_another_lives(engine: Engine) -> None:
    alive(engine, A)
    whole = take_all(engine, A, 60)
    assert whole is not None
    assert whole.item == ALL
    alive(engine, B)
    assert take_all(engine, B, 60) is None
    assert ask(engine, B, want(2)) == Answer([], {})
    assert waiting(engine) == [("b/1", SCHEDULE, 2)]

    taken = give_up_all(engine, whole, A, 60, {"n": 2, "m": 1})
    assert sorted(cells.cell_of(lease.item) for lease in taken) == ["m", "n", "n"]
    assert len(ask(engine, B, want(2)).given) == 1
    assert take_all(engine, A, 60) is None  # the other lives
    with pytest.raises(LostLeaseError):
        give_up_all(engine, whole, A, 60, {"n": 1})


def test_who_finds_itself_alone_waits_for_places_that_are_just_being_taken(engine: Engine) -> None:
    alive(engine, A)
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as connection:
            one = Ask(worker=B, seconds=60, most=MOST, cells=("n",), wants=[want(1)])
            assert len(settle(connection, one).given) == 1
            alone = pool.submit(take_all, engine, A, 60)
            wait([alone], 0.3)
        assert alone.result() is None


def test_nobody_is_alone_while_a_place_of_the_dead_lasts(engine: Engine) -> None:
    held, _ = ask(engine, B, want(1))
    alive(engine, A)
    assert take_all(engine, A, 60) is None
    leases.release(engine, held)
    assert take_all(engine, A, 60) is not None


def test_who_gives_all_cells_up_keeps_the_places_it_had_before(engine: Engine) -> None:
    held, _ = ask(engine, A, want(2))
    alive(engine, A)
    whole = take_all(engine, A, 60)
    assert whole is not None
    (new,) = give_up_all(engine, whole, A, 60, {"n": 1})
    assert new.item not in {lease.item for lease in held}
    assert len(leases.renew(engine, A, 60)) == 1 + MOST


@pytest.mark.parametrize("name", ["n", "x" * 34, "x" * 35, "#", "größer/als " * 9])
def test_any_name_has_room_with_its_numbers(name: str) -> None:
    told = cells.name_of(name)
    assert len(f"{told}/99999") <= 40
    assert cells.cell_of(f"{told}/7") == told
    assert (told == name) is (len(name) <= 34 and name != "#")


def test_many_that_take_and_give_back_at_once_never_have_more_than_there_are(
    engine: Engine,
) -> None:
    """All cells are taken and given up in between, as by one that finds itself alone."""
    inside: set[str] = set()
    guard = threading.Lock()
    ends = threading.Event()

    def work(worker: Worker) -> int:
        served = 0
        held: list[Lease] = []
        for turn in range(2000):
            if (
                turn >= 40 and served
            ):  # who comes too late each time goes on, and is served in the end
                break
            with guard:
                inside.difference_update(f"{worker.name} {each.item}" for each in held)
            held, _ = ask(engine, worker, *[want(turn % 4)] * bool(turn % 4), back=held)
            with guard:
                inside.update(f"{worker.name} {each.item}" for each in held)
                assert len(inside) <= MOST
            served += len(held)
        with guard:
            inside.difference_update(f"{worker.name} {each.item}" for each in held)
        ask(engine, worker, back=held)
        return served

    def hold_all() -> int:
        count = 0
        while not ends.is_set():
            if (whole := take_all(engine, Worker("d", "1"), 60)) is not None:
                count += 1
                with guard:
                    assert not inside
                give_up_all(engine, whole, Worker("d", "1"), 60, {})
            time.sleep(0.001)
        return count

    with ThreadPoolExecutor(4) as pool:
        alone = pool.submit(hold_all)
        try:
            assert all(pool.map(work, (A, B, C)))
        finally:
            ends.set()
        assert alone.result() > 0
    assert waiting(engine) == []


rows = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 9), st.sampled_from("abc"), st.integers(1, 4)),
    max_size=6,
    unique_by=lambda row: (row[0], row[2]),
)


@given(st.integers(0, 8), rows)
def test_what_all_are_due_is_what_is_free_and_nobody_goes_before_a_more_urgent(
    free: int, found: list[tuple[int, int, str, int]]
) -> None:
    waits = [cells.Waiting(*row, until_us=0) for row in found]
    due = {holder: share_out(free, waits, holder) for holder in "abc"}
    served = [(row, due[row.holder][0][row.urgency]) for row in sorted(waits)]
    assert sum(count for _, count in served) == min(free, sum(row.jobs for row in waits))
    short = [row for row, count in served if count < row.jobs]
    assert all(count == 0 for row, count in served if short and row > short[0])
    for holder, (_, ahead) in due.items():
        others = [row.urgency for row in short if row.holder != holder]
        assert ahead == min(others, default=None)
