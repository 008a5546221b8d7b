# SPDX-License-Identifier: Apache-2.0
"""Counting, closing, the breaker, and coming back after a restart."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.meter.load import INTERVAL_S, WS_PER_WH, energy_over
from openami.meter.metrology import BreakerChange, Change, ClosedInterval, Metrology, Momentary
from openami.meter.replay import ReplayedLoad

INSTALLED_S = 1_790_000_000 // INTERVAL_S * INTERVAL_S
U32 = st.integers(min_value=0, max_value=2**32 - 1)
U16 = st.integers(min_value=0, max_value=2**16 - 1)
CLOSED_INTERVALS = st.builds(
    ClosedInterval,
    sequence=U32,
    end_s=U32,
    status=st.integers(min_value=0, max_value=255),
    breaker_closed=st.booleans(),
    supplied=st.booleans(),
    import_remainder_ws=st.integers(min_value=0, max_value=3599),
    export_remainder_ws=st.integers(min_value=0, max_value=3599),
    import_wh=U32,
    export_wh=U32,
    import_register_wh=U32,
    export_register_wh=U32,
)


def metrology(meter_id: int = 1, period_s: int = INTERVAL_S) -> Metrology:
    return Metrology(ReplayedLoad(meter_id, 1), INSTALLED_S, period_s)


@given(CLOSED_INTERVALS)
def test_interval_decode_inverts_encode(interval: ClosedInterval) -> None:
    assert ClosedInterval.decode(interval.encode()) == interval
    assert len(interval.encode()) == 30


def test_breaker_and_momentary_decode_invert_encode() -> None:
    change = BreakerChange(at_s=INSTALLED_S, closed=False)
    shown = metrology().momentary(INSTALLED_S + 777)

    assert BreakerChange.decode(change.encode()) == change
    assert Momentary.decode(shown.encode()) == shown


def test_history_is_closed_at_once_with_the_data_sets_wh() -> None:
    load = ReplayedLoad(1, 1)
    meter = metrology()

    closed = meter.advance(INSTALLED_S + 8 * 86_400 + 100)

    assert [interval.sequence for interval in closed] == list(range(1, 8 * 48 + 1))
    for interval in closed:
        assert interval.import_wh == load.interval_wh(interval.end_s - INTERVAL_S)
        assert interval.import_remainder_ws == 0
    assert closed[-1].import_register_wh == sum(interval.import_wh for interval in closed)
    assert meter.advance(INSTALLED_S + 8 * 86_400 + 101) == []


def test_intervals_end_on_multiples_of_the_period() -> None:
    meter = Metrology(ReplayedLoad(1, 1), INSTALLED_S + 700, 900)

    closed = meter.advance(INSTALLED_S + 2700)

    assert [interval.end_s - INSTALLED_S for interval in closed] == [900, 1800, 2700]
    flowed_ws = energy_over(ReplayedLoad(1, 1), INSTALLED_S + 700, INSTALLED_S + 2700)
    total_ws = closed[-1].import_register_wh * WS_PER_WH + closed[-1].import_remainder_ws
    assert total_ws == flowed_ws


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=6 * INTERVAL_S - 1), max_size=6, unique=True))
def test_nothing_flows_while_open_and_nothing_is_lost_while_closed(cuts: list[int]) -> None:
    load = ReplayedLoad(1, 1)
    meter = metrology()
    closed: list[ClosedInterval] = []
    marks = sorted(cuts)
    expected_ws = 0
    for state, (start, stop) in enumerate(itertools.pairwise([0, *marks, 6 * INTERVAL_S])):
        if state % 2 == 0:
            expected_ws += energy_over(load, INSTALLED_S + start, INSTALLED_S + stop)

    for state, mark in enumerate(marks):
        closed += meter.advance(INSTALLED_S + mark)
        change = meter.set_breaker(INSTALLED_S + mark, closed=state % 2 == 1)
        assert change == BreakerChange(at_s=INSTALLED_S + mark, closed=state % 2 == 1)
    closed += meter.advance(INSTALLED_S + 6 * INTERVAL_S)

    assert len(closed) == 6
    last = closed[-1]
    assert last.import_register_wh * WS_PER_WH + last.import_remainder_ws == expected_ws
    assert sum(interval.import_wh for interval in closed) == last.import_register_wh
    assert last.breaker_closed == (len(marks) % 2 == 0)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_restored_meter_goes_on_as_if_never_stopped(data: st.DataObject) -> None:
    """Any prefix of the journal, then the time again: the same intervals as without a restart."""
    steady = metrology()
    journal: list[ClosedInterval | Change] = []
    now_s = INSTALLED_S
    for _ in range(data.draw(st.integers(min_value=0, max_value=8))):
        now_s += data.draw(st.integers(min_value=0, max_value=4000))
        journal += steady.advance(now_s)
        if (change := steady.set_breaker(now_s, closed=data.draw(st.booleans()))) is not None:
            journal.append(change)
        if (told := steady.set_supply(now_s, supplied=data.draw(st.booleans()))) is not None:
            journal.append(told)

    restarted = metrology()
    for record in journal:
        restarted.restore(record)

    assert restarted.last == steady.last
    assert restarted.breaker_closed == steady.breaker_closed
    assert restarted.supplied == steady.supplied
    assert restarted.advance(now_s + 90_000) == steady.advance(now_s + 90_000)


def test_nothing_flows_without_supply_and_each_interval_of_it_says_so() -> None:
    meter, whole = metrology(), metrology()
    meter.set_supply(INSTALLED_S + 600, supplied=False)
    dark = meter.momentary(INSTALLED_S + 700)
    assert (dark.power_w, dark.voltage_dv, dark.current_ca) == (0, 0, 0)
    closed = meter.advance(INSTALLED_S + 2 * INTERVAL_S)
    meter.set_supply(INSTALLED_S + 2 * INTERVAL_S + 600, supplied=True)
    closed += meter.advance(INSTALLED_S + 4 * INTERVAL_S)

    sound = whole.advance(INSTALLED_S + 4 * INTERVAL_S)
    assert [each.status for each in closed] == [0x80, 0x80, 0x80, 0]
    assert [each.supplied for each in closed] == [False, False, True, True]
    assert 0 < closed[0].import_wh < sound[0].import_wh
    assert closed[1].import_wh == 0
    assert 0 < closed[2].import_wh < sound[2].import_wh
    assert closed[3].import_wh in range(sound[3].import_wh - 1, sound[3].import_wh + 2)
    assert all(each.breaker_closed for each in closed)


def test_supply_that_is_there_already_changes_nothing() -> None:
    assert metrology().set_supply(INSTALLED_S, supplied=True) is None


def test_breaker_command_to_the_state_it_has_changes_nothing() -> None:
    meter = metrology()

    assert meter.set_breaker(INSTALLED_S + 5, closed=True) is None
    assert meter.changes == ()


def test_momentary_values_fit_the_open_interval() -> None:
    meter = metrology()
    now_s = INSTALLED_S + 3 * INTERVAL_S + 900
    closed = meter.advance(now_s)
    load = ReplayedLoad(1, 1)

    shown = meter.momentary(now_s)

    assert shown.power_w == load.power_w(now_s)
    flowed_ws = load.energy_ws(INSTALLED_S + 3 * INTERVAL_S, now_s)
    assert shown.import_wh == flowed_ws // WS_PER_WH
    assert shown.import_register_wh == closed[-1].import_register_wh + shown.import_wh
    assert 2150 <= shown.voltage_dv <= 2450
    assert shown.current_ca == pytest.approx(shown.power_w * 1000 / shown.voltage_dv, abs=1)


def test_an_open_breaker_shows_voltage_and_no_current() -> None:
    meter = metrology()
    meter.set_breaker(INSTALLED_S, closed=False)

    shown = meter.momentary(INSTALLED_S + 60)

    assert (shown.power_w, shown.current_ca, shown.import_register_wh) == (0, 0, 0)
    assert shown.voltage_dv > 2000


def test_generation_is_counted_as_export() -> None:
    load, sun = ReplayedLoad(1, 1), ReplayedLoad(2, 1)
    meter = Metrology(load, INSTALLED_S, INTERVAL_S, generation=sun)

    interval = meter.advance(INSTALLED_S + INTERVAL_S)[0]

    assert interval.import_wh == load.interval_wh(INSTALLED_S)
    assert interval.export_wh == sun.interval_wh(INSTALLED_S)


def test_registers_wrap_as_double_long_unsigned() -> None:
    meter = metrology()
    meter.restore(ClosedInterval(sequence=1, end_s=INSTALLED_S, import_register_wh=2**32 - 1))

    interval = meter.advance(INSTALLED_S + 2 * INTERVAL_S)[-1]

    assert interval.import_register_wh < 2**31
    interval.encode()
