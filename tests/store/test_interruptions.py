# SPDX-License-Identifier: Apache-2.0
"""Interruptions are counted once each, whatever order, clock or journal they come out of."""

import pytest
from sqlalchemy import Engine

from blackout import REAL0, S, Street
from openami.exchange.events import EventCode
from openami.exchange.reliability import Span, indices
from openami.exchange.supply import Evidence
from openami.store import outage_members, supply


def spans(street: Street, of: int) -> list[tuple[float, float | None]]:
    """Return a meter's interruptions in seconds since the beginning."""
    return [
        (
            (span.lost_us - REAL0) / S,
            None if span.returned_us is None else (span.returned_us - REAL0) / S,
        )
        for span in outage_members.interruptions(street.engine, 0, 2**62)
        if span.meter_id == of
    ]


def test_who_is_left_behind_is_counted_once(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([1, 2, 3, 4])
    street.sit()
    street.answer()
    assert set(street.open()) == {"t1"}
    street.now_s = 1000.0
    street.back([1, 2, 3], 1000)
    street.sit()
    street.sit(61)
    assert street.open() == {"meter 4": {4}}
    assert spans(street, 4) == [(0, None)]
    street.now_s = 2000.0
    street.back([4], 2000)
    street.sit()
    assert street.open() == {}
    assert spans(street, 4) == [(0, 2000)]
    found = indices(outage_members.interruptions(engine, 0, 2**62), 16, street.now_us + 86_400 * S)
    assert (found.sustained, found.minutes) == (4, 5000 / 60)


@pytest.mark.parametrize("ahead_s", [-4000.0, 4000.0])
def test_a_meter_with_a_wrong_clock_joins_the_outage_that_is_open(
    engine: Engine, ahead_s: float
) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([1, 2, 3])
    street.sit(2.1)
    street.answer(lit=[4])
    assert street.open() == {"t1": {1, 2, 3}}
    street.gasp([4], at_s=street.now_s + ahead_s)
    street.sit(2.1)
    street.answer()
    assert street.open() == {"t1": {1, 2, 3, 4}}
    assert supply.unjudged(engine) == []


def test_an_earlier_interruption_out_of_a_journal_is_one_by_itself(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.now_s = 10_000.0
    street.gasp([1, 2, 3])
    street.sit(2.1)
    street.answer(lit=[4])
    street.tell(4, EventCode.POWER_RETURNED, seconds=400, at_s=1000.0)
    street.sit(2.1)
    street.answer(lit=[4])
    assert street.open() == {"t1": {1, 2, 3}}
    assert spans(street, 4) == [(600, 1000)]
    assert supply.unjudged(engine) == []


def test_a_meter_that_is_back_and_lost_again_between_two_looks_has_two(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    street.answer(lit=[1, 3, 4])
    assert street.open() == {"meter 2": {2}}
    street.now_s = 1000.0
    street.back([2], 1000)
    street.now_s = 1001.0
    street.gasp([2])
    street.sit()
    street.sit(2.1)
    street.answer(lit=[1, 3, 4])
    assert street.open() == {"meter 2": {2}}
    street.now_s = 2001.0
    street.back([2], 1000)
    street.sit()
    assert street.open() == {}
    assert spans(street, 2) == [(0, 1000), (1001, 2001)]
    assert supply.unjudged(engine) == []


def test_interruptions_of_a_day_in_a_journal_are_each_counted(engine: Engine) -> None:
    """An uplink was cut; what the meter told meanwhile comes at once, in any order, and twice."""
    street = Street.of_new_meters(engine, 16)
    street.now_s = 90_000.0
    for began_s, ended_s in ((1000, 2000), (5000, 9000), (3000, 3600), (1000, 2000)):
        street.tell(7, EventCode.POWER_FAILURE, at_s=began_s)
        street.tell(7, EventCode.POWER_RETURNED, seconds=ended_s - began_s, at_s=ended_s)
    street.sit(2.1)
    street.answer(lit=[5, 6, 7, 8])
    assert street.open() == {}
    assert spans(street, 7) == [(1000, 2000), (3000, 3600), (5000, 9000)]


def test_a_return_that_comes_after_the_next_loss_is_not_forgotten(engine: Engine) -> None:
    street = Street.of_new_meters(engine, 16)
    street.gasp([7])
    street.sit(2.1)
    street.answer(lit=[5, 6, 8])
    street.now_s = 5000.0
    street.tell(7, EventCode.POWER_FAILURE, at_s=4000.0)
    street.tell(7, EventCode.POWER_RETURNED, seconds=3000, at_s=3000.0)
    street.sit(2.1)
    street.answer(lit=[5, 6, 8])
    street.now_s = 7000.0
    street.tell(7, EventCode.POWER_RETURNED, seconds=2000, at_s=6000.0)
    street.sit(2.1)
    street.answer(lit=[5, 6, 7, 8])
    assert street.open() == {}
    assert spans(street, 7) == [(0, 3000), (4000, 6000)]


def test_what_nobody_can_judge_any_more_is_put_aside(engine: Engine) -> None:
    """A meter that no registry knows tells nobody's outage, and work does not stay for ever."""
    street = Street.of_new_meters(engine, 4)
    gone = supply.Supply(meter_id=99, lost_us=REAL0, evidence=Evidence.GASP, found_real_us=REAL0)
    supply.put(engine, [gone])
    street.sit(2.1)
    assert supply.unjudged(engine) == []
    assert not street.bench.has_work(engine, street.now_real_us)


def test_who_is_without_supply_in_a_stretch_of_time(engine: Engine) -> None:
    """Also who lost it long before, and is not back."""
    street = Street.of_new_meters(engine, 16)
    street.gasp([2])
    street.sit(2.1)
    street.answer(lit=[1, 3, 4])
    found = outage_members.without_supply(engine, REAL0 + 10_000 * S, REAL0 + 20_000 * S)
    assert found == [Span(2, REAL0, None)]
    street.now_s = 500.0
    street.back([2], 500)
    street.sit()
    assert outage_members.without_supply(engine, REAL0 + 10_000 * S, REAL0 + 20_000 * S) == []
    assert outage_members.without_supply(engine, REAL0 + 100 * S, REAL0 + 200 * S) == [
        Span(2, REAL0, REAL0 + 500 * S)
    ]
