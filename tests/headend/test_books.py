# SPDX-License-Identifier: Apache-2.0
"""What many meters want of the store at once is one transaction, each with its own outcome."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event

from loops import in_loop
from openami.exchange.commands import CommandState
from openami.headend.books import Act, Books, Reservation, Shown, Wish, write_entries
from openami.store import alarms, commands, counters, leases, live, registry
from openami.store.alarms import Picture
from openami.store.database import StoreUnavailableError, open_database
from openami.store.keys import KeyState
from openami.store.leases import Kind, Lease, LostLeaseError, Worker
from openami.store.registry import Meter, MeterKey, UnknownMeterError, import_meters, put_keys

HERE, THERE = Worker("here", "1"), Worker("there", "1")
METERS = range(1, 4)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    found = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    meters = [
        Meter(
            meter_id=number,
            title=b"OAM" + number.to_bytes(5),
            ldn=f"OAM{number:013d}",
            region="north",
            concentrator=b"OAM\xc0\x00\x00\x00\x01",
            installed_us=0,
            capture_period_s=1800,
        )
        for number in METERS
    ]
    import_meters(found, meters)
    active = KeyState.ACTIVE.value
    put_keys(
        found,
        [
            MeterKey(meter_id=number, key_name="guek", epoch=1, state=active, wrapped=b"x")
            for number in METERS
        ],
    )
    yield found
    found.dispose()


def shown(number: int, register: int) -> Shown:
    words = {1: {"register": register}}
    picture = Picture(meter_id=number, as_of_us=5, received_us=6, words=words)
    return Shown(picture, lambda _register, bit: (f"kind-{bit}", "text"))


def wish(number: int, worker: Worker = HERE) -> Wish:
    return Wish(Kind.METER, str(number), worker, 30.0)


def seen(number: int, at_us: int) -> Act:
    def write(connection: Connection) -> Meter:
        return registry.told(connection, number, last_seen_us=at_us)

    return Act(number, write)


def test_a_group_is_one_transaction_and_each_has_its_outcome(engine: Engine) -> None:
    (theirs,) = leases.take(engine, Kind.METER, ["3"], THERE, 30.0)
    ((ours,),) = write_entries(engine, [wish(1)])
    assert isinstance(ours, Lease)
    lost = ours._replace(fence=ours.fence + 1)
    commits: list[object] = []
    event.listen(engine, "commit", commits.append)

    outcomes = write_entries(
        engine,
        [
            seen(2, 77),
            wish(3),
            Reservation(1, 1, 100, ours),
            wish(2),
            Reservation(1, 1, 100, lost),
            seen(1, 78),
        ],
    )

    assert len(commits) == 1
    row, none, first, given, refused, other = (outcome for (outcome,) in outcomes)
    assert isinstance(row, Meter)
    assert isinstance(other, Meter)
    assert (row.meter_id, row.last_seen_us, other.meter_id, other.last_seen_us) == (2, 77, 1, 78)
    assert none is None
    assert isinstance(given, Lease)
    assert given.item == "2"
    assert isinstance(first, int)
    assert isinstance(refused, LostLeaseError)
    assert counters.next_counter(engine, 1, 1) == first + 100
    assert theirs.item == "3"


def test_what_is_written_under_a_lost_lease_is_not_and_the_feed_is_told_of_the_rest(
    engine: Engine,
) -> None:
    (ours,), (other,) = write_entries(engine, [wish(1), wish(2)])
    assert isinstance(ours, Lease)
    assert isinstance(other, Lease)
    lost = other._replace(fence=other.fence + 1)

    def told(number: int) -> tuple[list[live.Entry], list[commands.Step]]:
        step = commands.Step(
            command_id=f"c{number}", at_real_us=1, state=CommandState.SENT, note="test"
        )
        return [live.Entry(kind="test", meter_id=number, at_us=1, body={})], [step]

    def nothing(_connection: Connection) -> bool:
        return False

    (row,), (refused,), (same,) = write_entries(
        engine,
        [
            Act(1, seen(1, 77).write, ours, *told(1)),
            Act(2, seen(2, 77).write, lost, *told(2)),
            Act(3, nothing, ours, *told(3)),
        ],
    )

    assert isinstance(row, Meter)
    assert isinstance(refused, LostLeaseError)
    assert same is False
    assert registry.meter(engine, 2).last_seen_us is None
    assert [entry.meter_id for entry in live.feed_after(engine, 0)] == [1]
    assert [len(commands.history(engine, f"c{number}")) for number in METERS] == [1, 0, 0]


def test_what_is_given_back_can_be_taken_in_the_same_group(engine: Engine) -> None:
    ((ours,),) = write_entries(engine, [wish(1)])
    assert isinstance(ours, Lease)

    (given,), (done,) = write_entries(engine, [wish(1, THERE), ours])

    assert done is None
    assert isinstance(given, Lease)
    assert (given.holder, given.fence) == (THERE.holder, ours.fence + 1)


def test_a_lease_that_was_lost_is_not_given_back(engine: Engine) -> None:
    ((ours,),) = write_entries(engine, [wish(1)])
    assert isinstance(ours, Lease)
    leases.release(engine, [ours])
    ((theirs,),) = write_entries(engine, [wish(1, THERE)])

    write_entries(engine, [ours])

    ((taken,),) = write_entries(engine, [wish(1)])
    assert isinstance(theirs, Lease)
    assert taken is None  # it is theirs still


@in_loop
async def test_one_that_cannot_be_written_stands_in_nobody_s_way(engine: Engine) -> None:
    books = Books(engine)

    async def told(number: int) -> Meter:
        return await books.write(
            number, lambda connection: registry.told(connection, number, last_seen_us=5)
        )

    found = await asyncio.gather(*map(told, (1, 99, 2)), return_exceptions=True)

    assert isinstance(found[1], StoreUnavailableError)
    assert [row.last_seen_us for row in (found[0], found[2]) if isinstance(row, Meter)] == [5, 5]
    with pytest.raises(UnknownMeterError):
        registry.told(engine, 99, last_seen_us=5)
    await books.stop()


def test_some_meters_and_their_keys(engine: Engine) -> None:
    assert [meter.meter_id for meter in registry.some(engine, [3, 99, 1])] == [1, 3]
    assert registry.some(engine, []) == []
    assert [key.meter_id for key in registry.keys_of(engine, {2, 3})] == [2, 3]


def test_alarm_registers_of_many_meters_cost_as_few_statements_as_of_one(engine: Engine) -> None:
    counts = []
    for group in ([shown(1, 0b10)], [shown(1, 0b10), shown(2, 0b1), shown(3, 0)]):
        statements: list[str] = []

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            statements.append(statement)  # noqa: B023  called in this turn only

        event.listen(engine, "before_cursor_execute", note)
        assert write_entries(engine, group) == [(None,)] * len(group)
        event.remove(engine, "before_cursor_execute", note)
        counts.append(len(statements))

    assert counts[1] <= counts[0]
    found = {
        number: [(alarm.bit, alarm.kind) for alarm in alarms.of(engine, number)]
        for number in METERS
    }
    assert found == {1: [(1, "kind-1")], 2: [(0, "kind-0")], 3: []}
