# SPDX-License-Identifier: Apache-2.0
"""Work is shared: each piece has one holder, a dead holder's goes on, a late one is fenced off."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Engine, event, select, text

from openami.store import counters, leases
from openami.store.database import transaction
from openami.store.leases import Kind, Lease, LostLeaseError, Worker
from openami.store.tables import gaps
from openami.store.tables import leases as table

A, B = Worker("a", "1"), Worker("b", "1")


def take(engine: Engine, worker: Worker, *items: str, seconds: float = 60) -> dict[str, Lease]:
    given = leases.take(engine, Kind.METER, items, worker, seconds)
    return {lease.item: lease for lease in given}


def test_what_one_holds_another_does_not_get_until_it_ends(engine: Engine) -> None:
    held = take(engine, A, "1", "2")
    assert held.keys() == {"1", "2"}
    assert take(engine, B, "2", "3").keys() == {"3"}
    leases.release(engine, [held["2"]])
    theirs = take(engine, B, "2")
    assert theirs["2"].fence == held["2"].fence + 1
    leases.release(engine, [held["2"]])  # not its own any more
    assert take(engine, A, "2") == {}
    assert take(engine, A) == {}


def test_a_lease_that_ran_out_is_anybodys_and_its_holder_is_fenced_off(engine: Engine) -> None:
    ours = take(engine, A, "1", seconds=0.05)["1"]
    assert leases.renew(engine, A, 0.05) == {("meter", "1", ours.fence)}
    time.sleep(0.1)
    theirs = take(engine, B, "1")["1"]
    assert theirs.fence == ours.fence + 1
    assert leases.renew(engine, A, 60) == set()

    with pytest.raises(LostLeaseError, match="meter 1 has run out"), transaction(engine) as it:
        leases.require(it, ours)
    with transaction(engine) as it:
        leases.require(it, theirs)
        assert leases.held(it, [ours, theirs]) == {theirs}


def test_a_new_life_of_a_worker_takes_over_at_once(engine: Engine) -> None:
    before = take(engine, A, "1")["1"]
    again = Worker("a", "2")
    assert take(engine, again, "1")["1"].fence == before.fence + 1
    assert take(engine, Worker("a_", "1"), "1") == {}  # another name, though a pattern of it
    with pytest.raises(LostLeaseError), transaction(engine) as it:
        leases.require(it, before)


def test_what_was_given_back_is_nobodys_to_renew(engine: Engine) -> None:
    held = take(engine, A, "1", "2")
    leases.release(engine, [held["1"]])
    assert leases.renew(engine, A, 60) == {("meter", "2", held["2"].fence)}


def test_what_is_held_is_found_by_an_index(engine: Engine) -> None:
    """A row for each meter that was ever spoken with would be read every few seconds."""
    asked: list[tuple[str, Any]] = []
    event.listen(engine, "before_cursor_execute", lambda *it: asked.append((it[2], it[3])))
    leases.renew(engine, A, 60)
    plans = []
    with transaction(engine) as connection:
        explain = "EXPLAIN QUERY PLAN "
        if connection.dialect.name == "postgresql":
            explain = "EXPLAIN "
            connection.execute(text("SET LOCAL enable_seqscan = off"))  # as of a full table
        for statement, parameters in [row for row in asked if "leases" in row[0]]:
            found = connection.exec_driver_sql(explain + statement, parameters)
            plans.append(" ".join(str(row) for row in found))
    assert plans
    assert all("ix_leases_held" in plan for plan in plans)


def test_what_passed_away_is_removed_and_its_fence_rises_all_the_same(engine: Engine) -> None:
    def command(worker: Worker, seconds: float = 60) -> Lease:
        (given,) = leases.take(engine, Kind.COMMAND, ["x"], worker, seconds)
        return given

    def is_there() -> bool:
        with transaction(engine) as connection:
            query = select(table.c.item).where(table.c.kind == Kind.COMMAND.value)
            return connection.execute(query).first() is not None

    meter = take(engine, A, "1")["1"]
    first = command(A)
    assert leases.sweep(engine, 0) == 0  # it is held
    leases.release(engine, [first, meter])
    assert leases.sweep(engine) == 0  # not long ago
    assert leases.sweep(engine, 0) == 1
    assert not is_there()
    second = command(B, seconds=0)
    assert second.fence > first.fence
    assert leases.sweep(engine, 0) == 1  # of one that died
    assert take(engine, B, "1")["1"].fence == meter.fence + 1  # there is one row a meter, for ever


def test_who_is_alive(engine: Engine) -> None:
    for worker, seconds in ((A, 60.0), (B, 0.0)):
        leases.take(engine, Kind.WORKER, [worker.name], worker, seconds)
    assert leases.alive(engine) == {"a"}


def test_a_late_worker_reserves_no_counters_after_its_successor(engine: Engine) -> None:
    """The meter takes rising counters only: what the first was given before is void by then."""
    late = take(engine, A, "1", seconds=0)["1"]
    successor = take(engine, B, "1")["1"]
    with pytest.raises(LostLeaseError):
        counters.reserve(engine, 1, 1, 16, late)
    assert counters.reserve(engine, 1, 1, 16, successor) == counters.FIRST


def test_many_workers_share_the_work_and_never_a_piece_of_it(engine: Engine) -> None:
    pieces = 200
    with transaction(engine) as connection:
        connection.execute(
            gaps.insert(),
            [
                {"meter_id": n, "from_us": 0, "to_us": 1, "found_us": 0, "state": "open"}
                for n in range(pieces)
            ],
        )
    order = select(gaps.c.gap_id).order_by(gaps.c.gap_id)

    def work(worker: Worker) -> list[str]:
        mine: list[str] = []
        while some := leases.claim(
            engine, Kind.GAP, gaps.c.gap_id, order, worker, seconds=60, limit=5
        ):
            mine += [each.item for each in some]
        return mine

    workers = [Worker(str(n), "1") for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(work, workers))
    shares.append(work(Worker("last", "1")))  # what all looked at while another was claiming it
    taken = [int(item) for share in shares for item in share]
    assert sorted(taken) == list(range(1, pieces + 1))


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer
def test_a_claim_does_not_wait_for_another_that_is_under_way(engine: Engine) -> None:
    with transaction(engine) as connection:
        row = {"from_us": 0, "to_us": 1, "found_us": 0, "state": "open"}
        connection.execute(gaps.insert(), [row | {"meter_id": n} for n in (1, 2)])
    order = select(gaps.c.gap_id).order_by(gaps.c.gap_id)

    def claim(worker: Worker) -> list[str]:
        given = leases.claim(engine, Kind.GAP, gaps.c.gap_id, order, worker, seconds=9, limit=1)
        return [each.item for each in given]

    with transaction(engine) as slow:
        first = leases.claim(slow, Kind.GAP, gaps.c.gap_id, order, A, seconds=9, limit=1)
        assert [each.item for each in first] == ["1"]
        assert claim(B) == ["2"]
    assert claim(B) == []
