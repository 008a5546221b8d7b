# SPDX-License-Identifier: Apache-2.0
"""A blackout is judged in portions: whole places, seen at once, and never twice (both engines)."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import Engine, column, event, insert, table, update

from blackout import REAL0, Street
from openami.exchange.supply import PingState, Scope
from openami.headend import outages as process
from openami.headend.config import OutageSettings
from openami.headend.judging import Bench, Portion
from openami.headend.outages import Outages
from openami.headend.sitting import Sitting
from openami.store import outage_members, outages, schema, supply, supply_work
from openami.store.database import open_database, reading, transaction
from openami.store.leases import Worker
from openami.store.tables import leases, metadata

SMALL = Portion(losses=6, seen=20, news=5, answers=3, ends=2)
METERS = 48  # four to a transformer, four transformers to a feeder: three feeders
CUT = [*range(1, 13), *range(17, 20), 22, 33]
"""All of t1 to t3, three of t5, one of t6 and of t9."""
LIT = [21, 23, 24, 34, 35, 36]


class KilledError(Exception):
    """The worker died before it had committed."""


def answer(street: Street, lit: Sequence[int] = LIT) -> None:
    """Answer what was asked without judging it."""
    for number in supply.claim(street.engine, supply.asked(street.engine), "test"):
        state = PingState.ANSWERED if number in lit else PingState.SILENT
        supply.answer(street.engine, number, state, street.now_real_us)


def portioned(engine: Engine, portion: Portion) -> Street:
    street = Street.of_new_meters(engine, METERS)
    street.bench = Bench(OutageSettings(), street.bench._directory, portion)
    return street


def live_through(street: Street, sit: Callable[[], None]) -> None:
    """Let much fail, most of it come back, and one be left behind."""
    street.gasp(CUT)
    for after_s in (0.0, 2.1, 0.5, 0.5, 0.5):
        street.now_s += after_s
        sit()
        answer(street)
    street.now_s = 600.0
    street.back([number for number in CUT if number not in {9, 33}], 600)
    for after_s in (0.0, 0.5, 61.0, 0.5):
        street.now_s += after_s
        sit()
        answer(street)


def story(engine: Engine, *, told: bool) -> dict[str, object]:
    """Return what is known of outages, without their numbers; `told`: and their histories."""
    known = [*outages.open_outages(engine), *outages.ended(engine)]
    names = {each.outage_id: each.place for each in known}
    assert len(names) == len(set(names.values()))
    rows = outage_members.members(engine, names)
    return {
        each.place: (
            each.scope,
            names.get(each.parent_id or 0),
            each.ended_us,
            [(m.meter_id, m.lost_us, m.returned_us, m.evidence) for m in rows[each.outage_id]],
            [step.note for step in outages.history(engine, each.outage_id)] if told else None,
        )
        for each in known
    }


@pytest.fixture
def undisturbed(tmp_path: Path) -> Iterator[Callable[[Portion], Engine]]:
    """Return what lives through the same without disturbance."""
    made: list[Engine] = []

    def live(portion: Portion) -> Engine:
        made.append(open_database(f"sqlite:///{tmp_path / f'{len(made)}.db'}", create=True))
        street = portioned(made[-1], portion)
        live_through(street, street.sit)
        return made[-1]

    yield live
    for each in made:
        each.dispose()


def die(street: Street) -> None:
    with transaction(street.engine) as connection:
        street.bench.sit(connection, street.now_us, street.now_real_us)
        raise KilledError


def test_portions_and_kills_between_and_in_them_lose_and_double_nothing(
    engine: Engine, undisturbed: Callable[[Portion], Engine]
) -> None:
    street = portioned(engine, SMALL)
    killed = 0

    def sit() -> None:
        """Die before each second commit; another worker, that knows nothing, goes on."""
        nonlocal killed
        for _ in range(2):
            more = True
            while more:
                directory = street.bench._directory
                with pytest.raises(KilledError):
                    die(street)
                killed += 1
                street.bench = Bench(OutageSettings(), directory, SMALL)
                more = street.sit_once()

    live_through(street, sit)
    whole, parts = undisturbed(Portion()), undisturbed(SMALL)
    assert killed > 20
    assert story(engine, told=True) == story(parts, told=True)
    assert story(engine, told=False) == story(whole, told=False)
    assert {each.place for each in outages.open_outages(engine)} == {
        f"meter {number}" for number in (9, 20, 33)
    }
    assert {each.place for each in outages.ended(engine)} >= {"f1", "t1", "t2", "t3", "t5"}
    assert supply.unjudged(engine) == []


@pytest.mark.parametrize(
    ("losses", "portions"),
    [(4, [range(5, 7), range(5, 9)]), (10, [range(5, 9)])],
    ids=["a feeder is cut", "a feeder is whole"],
)
def test_a_portion_ends_between_places_and_the_most_telling_come_first(
    engine: Engine, losses: int, portions: list[range]
) -> None:
    street = portioned(engine, Portion(losses=losses))
    street.gasp([1, 2, *range(17, 33)])  # two of the first feeder, all of the second
    street.sit(2.1)
    answer(street, lit=())
    street.now_s += 0.5
    seen = []
    while street.sit_once():
        seen.append(street.open())
    dark = [{place: len(meters) for place, meters in each.items()} for each in seen]
    assert dark == [{f"t{n}": 4 for n in numbers} | {"f2": 0} for numbers in portions]
    street.sit()
    assert street.open() == seen[-1] | {"t1": {1, 2, 3, 4}}
    kinds = {each.place: each.scope for each in outages.open_outages(engine)}
    assert kinds["f2"] is Scope.FEEDER


def test_a_worker_that_loses_its_lease_between_portions_leaves_the_rest_to_another(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    street = portioned(engine, SMALL)
    monkeypatch.setattr(process, "real_us", lambda: street.now_real_us)

    def worker(name: str) -> Outages:
        found = Outages(
            OutageSettings(),
            SimpleNamespace(engine=engine),  # type: ignore[arg-type]
            street.bench._directory,
            None,  # type: ignore[arg-type]
            lambda _number: False,
            lambda: street.now_us,
            Worker(name, "1"),
        )
        found._bench = street.bench
        return found

    first, second = worker("first"), worker("second")
    street.gasp(CUT)
    street.now_s += 2.1
    while first._judge(engine, 0.0):
        pass
    answer(street)
    street.now_s += 0.5
    assert first._judge(engine, 0.0)
    assert not second._judge(engine, 0.0)  # not its turn
    before = story(engine, told=True)
    assert before
    with transaction(engine) as connection:  # the first was slow
        connection.execute(update(leases).values(until_real_us=0))
    assert second._judge(engine, 0.0)
    after = story(engine, told=True)
    assert len(after) > len(before)
    assert not first._judge(engine, 0.0)
    assert first._lease is None
    assert story(engine, told=True) == after
    while second._judge(engine, 0.0):
        pass
    assert {"f1", "t1", "t2", "t3", "t5"} <= street.open().keys()


def test_a_sitting_that_holds_meters_waits_for_no_others(engine: Engine) -> None:
    """Else it and whoever keeps their notices could wait for each other."""
    if engine.dialect.name == "sqlite":
        return  # one writes at a time
    street = portioned(engine, SMALL)
    street.gasp([1, 2, 3])
    with transaction(engine) as other, transaction(engine) as connection:
        supply.hold(other, [1])
        connection.exec_driver_sql("SET LOCAL lock_timeout = '1s'")
        sitting = Sitting(connection, OutageSettings(), street.now_us, street.now_real_us)
        sitting.hold([2])
        sitting.hold([1, 3])
        assert sitting.supply.keys() == {2, 3}


def test_a_quiet_look_reads_no_table_whole(engine: Engine) -> None:
    """What is to be done has indexes of its own, however much is dark and however long ago."""
    street = portioned(engine, Portion())
    street.gasp(CUT)
    for after_s in (2.1, 0.5, 0.5):
        street.sit(after_s)
        answer(street)
    street.sit()
    asked: list[tuple[str, Any]] = []

    def keep(_c: object, _cursor: object, text: str, values: object, *_more: object) -> None:
        asked.append((text, values))

    event.listen(engine, "before_cursor_execute", keep)
    street.bench.has_work(engine, street.now_real_us)
    street.sit_once()
    event.remove(engine, "before_cursor_execute", keep)
    assert 10 < len(asked) < 40
    sqlite = engine.dialect.name == "sqlite"
    with reading(engine) as connection:
        if not sqlite:
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")  # it has few rows
        for text, values in asked:
            if not text.startswith(("SELECT", "UPDATE")) or "uplinks" in text or "lock" in text:
                continue
            plan = connection.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN' if sqlite else ''} {text}", values
            )
            for line in map(str, plan):
                whole = "SCAN " in line and "INDEX" not in line if sqlite else "Seq Scan" in line
                assert not whole or "CONSTANT ROW" in line, (text, line)


def test_what_was_open_in_an_older_store_is_followed(empty_url: str) -> None:
    engine = open_database(empty_url, create=True)
    with transaction(engine) as connection:
        metadata.drop_all(connection)
        schema.migrate(connection, None, "0017")
        rows = {"supply": SUPPLY_0017, "outages": OUTAGES_0017, "outage_meters": MEMBERS_0017}
        for name, values in rows.items():
            old = table(name, *map(column, values[0]))
            connection.execute(insert(old), values)
    engine.dispose()
    engine = open_database(empty_url, create=True)
    with transaction(engine) as connection:
        assert supply_work.to_judge(connection, REAL0, 9) == [3]
        assert supply_work.to_ask(connection, REAL0, 9) == [2]
        assert set(supply_work.news(connection, 9)) == {1, 2}
        assert [each.place for each in outages.due(connection, REAL0, 9)] == ["t1"]
    engine.dispose()


def _supply(meter_id: int, outage_id: int | None, returned_us: int | None) -> dict[str, object]:
    return {
        "meter_id": meter_id,
        "lost_us": 1,
        "returned_us": returned_us,
        "evidence": "last gasp",
        "found_real_us": 1,
        "returned_real_us": returned_us,
        "outage_id": outage_id,
    }


SUPPLY_0017 = [_supply(1, 1, 2), _supply(2, 1, None), _supply(3, None, None), _supply(4, 0, 2)]
OUTAGES_0017 = [
    {
        "scope": "transformer",
        "place": "t1",
        "region": "north",
        "began_us": 1,
        "found_real_us": 1,
        "verified": True,
        "sentence": "it is silent",
    }
]
MEMBERS_0017 = [
    {"outage_id": 1, "meter_id": meter_id, "lost_us": 1, "evidence": "last gasp"}
    for meter_id in (1, 2)
]
