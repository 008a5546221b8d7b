# SPDX-License-Identifier: Apache-2.0
"""Outages from the first last gasp to the last return, over SQLite and PostgreSQL."""

import json

import pytest
from sqlalchemy import Engine, event

from blackout import NORTH, REAL0, S, Street, meter
from openami.exchange.events import EventCode
from openami.exchange.field import Notice, NoticeCode
from openami.exchange.reliability import indices
from openami.exchange.supply import Evidence, Scope
from openami.headend.config import OutageSettings
from openami.headend.judging import Bench
from openami.runtime.clock import from_us
from openami.store import (
    eventbook,
    field,
    live,
    outage_members,
    outages,
    publishing,
    registry,
    supply,
)
from openami.store.supply import UplinkState


def test_a_transformer_is_cut_and_comes_back(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([1, 2, 3])
    street.sit()
    assert street.open() == {}  # the fourth may be under way
    street.sit(2.1)
    assert street.answer() == [4]
    assert street.open() == {"t1": {1, 2, 3, 4}}
    (outage,) = outages.open_outages(engine)
    assert (outage.scope, outage.verified, outage.began_us) == (Scope.TRANSFORMER, True, REAL0)
    evidence = {m.meter_id: m.evidence for m in outage_members.members(engine, [1])[1]}
    assert evidence == dict.fromkeys((1, 2, 3), Evidence.GASP) | {4: Evidence.SILENT}

    street.now_s = 3600.0
    street.back([1, 2], 3600)
    street.sit()
    assert street.open() == {"t1": {3, 4}}
    street.back([3, 4], 3600)
    street.sit()
    assert street.open() == {}
    (over,) = outages.ended(engine)
    assert over.ended_us == REAL0 + 3600 * S
    notes = [step.note for step in outages.history(engine, over.outage_id)]
    assert "supply is back at meters 1, 2" in notes
    spans = outage_members.interruptions(engine, REAL0 - S, street.now_us)
    found = indices(spans, 16, street.now_us)
    assert (found.sustained, found.saifi, found.saidi_min) == (4, 0.25, 15.0)
    assert found.caidi_min == 60.0


def test_one_gasp_of_four_and_silence_is_the_transformer(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    assert street.answer() == [1, 2, 3, 4]
    assert street.open() == {"t1": {1, 2, 3, 4}}


def test_a_fuse_is_one_meter(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    street.answer(lit=[1, 3, 4])
    assert street.open() == {"meter 2": {2}}
    street.back([2], 600)
    street.sit()
    assert street.open() == {}


def test_a_dip_is_no_outage(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    street.answer(lit=[1, 2, 3, 4])
    assert street.open() == {}
    assert supply.unjudged(engine) == []
    assert outages.ended(engine) == []


def test_presumed_meters_that_answer_leave_the_outage(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    for number in (1, 2):
        street.gasp([number])
    street.bench = Bench(OutageSettings(ask_most=1), street.bench._directory)
    street.sit(2.1)
    (asked,) = street.answer()
    assert street.open() == {"t1": {1, 2, 3, 4}}  # one of 3 and 4 is presumed
    (presumed,) = {3, 4} - {asked}
    street.answer(lit=[presumed])
    assert street.open() == {"t1": {1, 2, asked}}


def test_a_fuse_that_was_the_beginning_becomes_part_of_the_transformers_outage(
    engine: Engine,
) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    street.answer(lit=[1, 3, 4])
    street.now_s += 20
    street.gasp([1, 3])
    street.sit(2.1)
    street.answer()
    assert street.open() == {"t1": {1, 2, 3, 4}}


def test_a_feeder_with_its_transformers_and_who_is_left_behind(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 32)
    street.gasp(range(1, 13))  # three of the four transformers of f1
    street.gasp([32])  # and a fuse elsewhere
    street.sit(2.1)
    street.answer(lit=[*range(13, 32)])
    found = {each.place: each for each in outages.open_outages(engine)}
    assert set(found) == {"f1", "t1", "t2", "t3", "meter 32"}
    trunk = found["f1"].outage_id
    assert [found[name].parent_id for name in ("t1", "t2", "t3")] == [trunk] * 3
    assert found["meter 32"].parent_id is None

    street.now_s = 1000.0
    street.back([*range(1, 9), 10, 11, 12], 1000)  # all but meter 9 of t3
    street.sit()
    assert set(street.open()) == {"t3", "meter 32"}  # the feeder is over, t3 waits for meter 9
    street.sit(61)
    assert street.open() == {"meter 9": {9}, "meter 32": {32}}
    left = {each.place: each for each in outages.open_outages(engine)}["meter 9"]
    assert left.parent_id == found["t3"].outage_id
    street.back([9], 5000)
    street.sit()
    assert street.open() == {"meter 32": {32}}


def test_two_transformers_hours_apart_are_no_feeder(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    for start_s, first in ((0, 1), (7200, 5)):
        street.now_s = float(start_s)
        street.gasp(range(first, first + 4))
        street.sit(2.1)
        street.answer()
    assert set(street.open()) == {"t1", "t2"}


def test_a_concentrator_that_is_away_is_no_outage_of_supply(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)

    def uplink(*, up: bool) -> None:
        real_us = REAL0 + round(street.now_s * S)
        state = UplinkState(
            concentrator=NORTH, up=up, worker="w", since_us=street.now_us, since_real_us=real_us
        )
        supply.set_uplinks(engine, [state])

    uplink(up=True)
    registry.set_attached(engine, dict.fromkeys(range(1, 17), True), 1, "w")
    street.sit()
    uplink(up=False)
    registry.set_attached(engine, dict.fromkeys(range(1, 17), False), 2, "w")
    street.sit(1.0)
    assert street.open() == {}
    street.sit(5.0)
    (away,) = outages.open_outages(engine)
    assert (away.scope, away.place) == (Scope.CONCENTRATOR, "north")
    assert supply.count_lost(engine) == 0
    assert outage_members.interruptions(engine, 0, 2**62) == []
    street.now_s += 10
    uplink(up=True)
    street.sit()
    assert street.open() == {}


@pytest.mark.parametrize(
    ("last", "opens_after_s"),
    [
        (NoticeCode.RESTARTING, 60.0),
        (NoticeCode.STOPPED, 900.0),
        (NoticeCode.STARTED, 5.0),
        (None, 5.0),
    ],
)
def test_a_concentrator_that_told_that_it_goes_is_waited_for(
    engine: Engine, last: NoticeCode | None, opens_after_s: float
) -> None:
    street = Street.of_new_meters(engine, 16)
    codes = [] if last is None else [NoticeCode.RESTARTING, last]
    notices = [
        Notice(number=n, at=from_us(REAL0 + n * S), code=int(code))
        for n, code in enumerate(codes, 1)
    ]
    field.store(engine, [field.Said(NORTH, notices, REAL0)])
    state = UplinkState(
        concentrator=NORTH, up=False, worker="w", since_us=street.now_us, since_real_us=REAL0
    )
    supply.set_uplinks(engine, [state])
    street.sit(opens_after_s - 0.5)
    assert street.open() == {}
    street.sit(1.0)
    (away,) = outages.open_outages(engine)
    assert (away.scope, away.place) == (Scope.CONCENTRATOR, "north")


def test_an_uplink_at_another_worker_is_not_lost(engine: Engine) -> None:
    def state(worker: str, *, up: bool) -> UplinkState:
        return UplinkState(concentrator=NORTH, up=up, worker=worker, since_us=1, since_real_us=1)

    supply.set_uplinks(engine, [state("a", up=True)])
    supply.set_uplinks(engine, [state("b", up=True)])
    supply.set_uplinks(engine, [state("a", up=False)])
    assert [each.up for each in supply.uplinks(engine)] == [True]
    supply.down_with_others(engine, {"a"}, 5, 6)
    assert [(each.up, each.since_us) for each in supply.uplinks(engine)] == [(False, 5)]


def test_meters_without_a_transformer_are_judged_by_their_concentrator(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 4)
    registry.import_meters(engine, map(meter, (21, 22, 23)))
    street.bench._directory.refresh()
    street.gasp([21, 22, 23])
    street.sit(2.1)
    street.answer()
    assert street.open() == {"north": {21, 22, 23}}
    assert outages.open_outages(engine)[0].scope is Scope.AREA


def test_a_late_notice_joins_the_outage_that_is_over(engine: Engine) -> None:
    """A concentrator was cut off together with the street: its journal comes an hour later."""
    street = Street.of_new_meters(engine, 16)
    street.gasp([1, 2, 3])
    street.sit(2.1)
    street.answer(lit=[4])
    street.now_s = 100.0
    street.back([1, 2, 3], 100)
    street.sit()
    street.now_s = 3600.0
    street.tell(4, EventCode.POWER_RETURNED, seconds=95, at_s=100.0)
    street.sit()
    assert street.open() == {}
    (over,) = outages.ended(engine)
    members = outage_members.members(engine, [over.outage_id])[over.outage_id]
    assert [member.meter_id for member in members] == [1, 2, 3, 4]


def test_a_short_outage_that_is_over_before_it_is_judged_is_still_one(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([1, 2, 3, 4])
    street.now_s = 1.5
    street.back([1, 2, 3, 4], 1)
    street.sit(1.0)
    street.answer(lit=[1, 2, 3, 4])
    (over,) = outages.ended(engine)
    assert (over.place, over.ended_us) == ("t1", REAL0 + 1 * S)


def test_a_feeder_that_is_over_before_it_is_judged_is_still_one(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp(range(1, 17))
    street.now_s = 1.5
    street.back(range(1, 17), 1)
    street.sit(1.0)
    street.answer(lit=range(1, 17))
    assert street.open() == {}
    found = {each.place: each for each in outages.ended(engine)}
    assert set(found) == {"f1", "t1", "t2", "t3", "t4"}
    assert found["t4"].parent_id == found["f1"].outage_id


def test_each_notice_is_one_event_told_to_pages_and_other_systems(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 4)
    street.tell(3, EventCode.TERMINAL_COVER_REMOVED)
    street.tell(3, EventCode.TERMINAL_COVER_REMOVED)  # under another counter: the same event
    (event,) = eventbook.search(engine)
    assert (event.meter_id, event.code, event.region) == (3, 40, "north")
    (publication,) = publishing.waiting(engine)
    assert publication.subject == "openami.events.3"
    assert json.loads(publication.body) == {"meter_id": 3, "events": [[REAL0, 40]]}
    assert {entry.kind for entry in live.feed_after(engine, 0)} == {"event"}


def test_an_event_is_acknowledged_once(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 4)
    street.tell(3, EventCode.TERMINAL_COVER_REMOVED)
    (event,) = eventbook.search(engine)
    assert eventbook.count_open(engine, [40], 0) == {40: 1}
    assert eventbook.acknowledge(engine, [event.event_id], "ada", "crew was there", 7) == 1
    assert eventbook.acknowledge(engine, [event.event_id], "bob", "me too", 8) == 0
    (event,) = eventbook.search(engine, acknowledged=True)
    assert (event.acknowledged_by, event.note) == ("ada", "crew was there")
    assert eventbook.search(engine, acknowledged=False) == []
    assert eventbook.count_open(engine, [40], 0) == {}


def test_a_look_at_many_outages_asks_the_store_no_more_often_than_at_two(engine: Engine) -> None:
    """In a blackout there are hundreds, four times a second."""
    street = Street.of_new_meters(engine, 64)
    asked: list[str] = []

    @event.listens_for(engine, "before_cursor_execute")
    def count(_c: object, _cursor: object, statement: str, *_others: object) -> None:
        asked.append(statement)

    def look() -> int:
        asked.clear()
        street.sit()
        return len(asked)

    street.gasp([1, 2, 3, 4, 17, 18, 19, 20])
    young = look()
    street.sit(2.1)
    street.answer()
    open_ = look()
    street.gasp([*range(5, 17), *range(21, 65)])
    assert look() - young <= open_
    street.sit(2.1)
    street.answer()
    assert len(street.open()) == 20  # 16 transformers, four feeders
    assert look() == open_
