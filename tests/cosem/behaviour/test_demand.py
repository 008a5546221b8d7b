# SPDX-License-Identifier: Apache-2.0
"""Demand: the sums of its periods are the energy that came, whatever the clock did."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, World, at
from openami.cosem.behaviour.demand import Demand
from openami.cosem.behaviour.localtime import HOUR_US
from openami.cosem.behaviour.registers import Quantity
from openami.cosem.classes.measurement import DemandRegister, ExtendedRegister, ScalerUnit
from openami.cosem.model import Refused
from openami.dlms.data import DoubleLongUnsigned, Integer, LongUnsigned, Unsigned
from openami.dlms.obis import Obis

POWER, PEAK = Obis(1, 0, 1, 4, 0, 255), Obis(1, 0, 1, 6, 0, 255)
ENERGY = Obis(1, 0, 1, 8, 0, 255)
QUARTER = 900 * 1_000_000


def register(period: int = 900, periods: int = 1, scaler: int = 0) -> DemandRegister:
    return DemandRegister(
        POWER,
        current_average_value=DoubleLongUnsigned(0),
        last_average_value=DoubleLongUnsigned(0),
        scaler_unit=ScalerUnit(scaler, 27),
        status=Unsigned(0),
        period=period,
        number_of_periods=periods,
    )


def peak() -> ExtendedRegister:
    return ExtendedRegister(PEAK, value=DoubleLongUnsigned(0), scaler_unit=ScalerUnit(0, 27))


def demand(world: World) -> Demand:
    found = world.life.acting[POWER]
    assert isinstance(found, Demand)
    return found


def feed(world: World, *amounts: int, every_us: int = QUARTER) -> None:
    """Let energy in Wh come, evenly in each interval, the calendar going along."""
    meter = Quantity(world.life, ENERGY)
    for amount in amounts:
        since = world.calendar.at_us
        meter.add(amount, since, since + every_us)
        world.tick(since + every_us)


def test_a_block_is_averaged_over_its_period() -> None:
    row = register()
    world = World([row], now_us=NOON)
    feed(world, 250, every_us=QUARTER // 2)
    assert (row.current_average_value, row.last_average_value) == (1000, 0)
    feed(world, 250, every_us=QUARTER // 2)
    assert (row.current_average_value, row.last_average_value) == (0, 2000)
    assert (row.capture_time.minute, row.start_time_current.minute) == (15, 15)


def test_a_window_of_three_slides() -> None:
    row = register(periods=3)
    world = World([row], now_us=NOON)
    shown = []
    for amount in (300, 600, 900, 0, 0, 0):
        feed(world, amount)
        shown.append((row.last_average_value, row.current_average_value))
        if amount == 600:
            assert row.start_time_current.minute == 0
    # Wh of the last three quarters over 45 minutes; of the last two over the same.
    assert shown == [(400, 400), (1200, 1200), (2400, 2000), (2000, 1200), (1200, 0), (0, 0)]
    assert (row.start_time_current.hour, row.start_time_current.minute) == (13, 0)


def test_the_largest_average_is_kept_with_its_time() -> None:
    largest = peak()
    world = World([register(), largest], now_us=NOON)
    feed(world, 100, 300, 200)
    assert (largest.value, largest.capture_time.minute) == (1200, 30)


def test_an_amount_over_many_periods_is_spread_over_them() -> None:
    world = World([register()], now_us=NOON + QUARTER // 3)
    ended: list[tuple[int, int]] = []
    demand(world).ended.append(lambda average, at_us: ended.append((average, at_us)))
    feed(world, 1000, every_us=2 * QUARTER + QUARTER // 3)
    # 300 seconds are gone when it begins; 1000 Wh in 35 minutes are 1714 W.
    assert ended == [(1142, NOON + QUARTER), (1714, NOON + 2 * QUARTER)]
    assert world.device[POWER].values[3] == 1714


@given(
    st.lists(
        st.tuples(st.integers(0, 10**5), st.integers(1, 4 * QUARTER)), min_size=1, max_size=20
    ),
    st.integers(1, 4),
    st.integers(0, HOUR_US),
)
def test_periods_add_up_to_the_energy(
    parts: list[tuple[int, int]], periods: int, offset: int
) -> None:
    world = World([register(periods=periods, scaler=-3)], now_us=NOON + offset)
    unit = demand(world)
    sums: list[int] = []
    unit.ended.append(lambda _average, _at: sums.append(unit._past[-1] if unit._past else 0))
    blocks: list[int] = []
    original = unit._close

    def close(at_us: int) -> None:
        blocks.append(unit._running)
        original(at_us)

    unit._close = close  # type: ignore[method-assign]
    for amount, span in parts:
        feed(world, amount, every_us=span)
    total = sum(amount for amount, _ in parts)
    assert sum(blocks) + unit._running == total * HOUR_US * 1000
    if periods > 1:
        assert sums == blocks


def test_closing_a_period_by_hand_copies_the_running_average() -> None:
    row = register()
    world = World([row], now_us=NOON)
    feed(world, 250, every_us=QUARTER // 3)
    row.invoke(DemandRegister.next_period, Integer(0))
    assert (row.current_average_value, row.last_average_value) == (0, 1000)
    assert (row.capture_time.minute, row.start_time_current.minute) == (5, 5)
    feed(world, 250, every_us=2 * QUARTER // 3)
    assert (row.last_average_value, row.capture_time.minute) == (1000, 15)


def test_reset_forgets() -> None:
    row = register(periods=2)
    world = World([row], now_us=NOON)
    feed(world, 500, 500)
    world.calendar.at_us += 60_000_000
    row.invoke(DemandRegister.reset, Integer(0))
    assert (row.current_average_value, row.last_average_value) == (0, 0)
    assert row.capture_time == row.start_time_current
    assert row.capture_time.minute == 31


def test_another_period_begins_anew_and_zero_is_refused() -> None:
    row = register()
    world = World([row], now_us=NOON)
    feed(world, 500, every_us=QUARTER // 3)
    inside = world.life.inside
    inside.write(5, POWER, 8, DoubleLongUnsigned(1800))
    inside.write(5, POWER, 9, LongUnsigned(2))
    assert world.life.actors.due_us() == NOON + 2 * QUARTER
    assert row.current_average_value == 0
    for index, value in ((8, DoubleLongUnsigned(0)), (9, LongUnsigned(0))):
        with pytest.raises(Refused):
            inside.write(5, POWER, index, value)


def test_after_a_long_power_failure_the_windows_are_empty() -> None:
    row = register(periods=3)
    world = World([row], now_us=NOON)
    feed(world, 500)
    world.tick(NOON + 4000 * QUARTER + 1)
    assert (row.current_average_value, row.last_average_value) == (0, 0)
    assert world.life.actors.due_us() == NOON + 4001 * QUARTER
    assert row.capture_time.to_utc() == world.life.shown(NOON + 4000 * QUARTER).to_utc()


def test_a_clock_that_is_set_back_loses_no_energy() -> None:
    row = register()
    world = World([row], now_us=NOON)
    feed(world, 100, 500, every_us=QUARTER // 2)
    feed(world, 200, every_us=QUARTER // 2)
    world.tick(NOON - 10 * QUARTER)
    assert world.life.actors.due_us() == NOON - 9 * QUARTER
    feed(world, 100)
    assert row.last_average_value == 1200


def test_a_synchronisation_ends_no_period_twice() -> None:
    row = register()
    world = World([row], now_us=NOON)
    feed(world, 500)
    world.tick(NOON + QUARTER - 300_000_000)
    assert world.life.actors.due_us() == NOON + 2 * QUARTER
    assert row.last_average_value == 2000


def test_a_state_goes_on_after_a_restart() -> None:
    world = World([register(periods=2), peak()], now_us=NOON)
    feed(world, 500, 300)
    feed(world, 100, every_us=QUARTER // 2)
    row = register(periods=2)
    again = World([row, peak()], now_us=world.calendar.at_us)
    again.life.restore(world.life.state())
    feed(again, 100, every_us=QUARTER // 2)
    feed(world, 100, every_us=QUARTER // 2)
    assert again.life.state() == world.life.state()
    assert row.last_average_value == 1000
    assert again.device[PEAK].values[2] == 1600


def test_a_day_of_25_hours_has_a_hundred_quarters() -> None:
    world = World([register()], zone=BERLIN, now_us=at("2026-10-24T22:00"))
    ended: list[int] = []
    demand(world).ended.append(lambda average, _at: ended.append(average))
    feed(world, *[250] * 100)
    assert ended == [1000] * 100
    assert world.life.shown(world.calendar.at_us).hour == 0


def test_amounts_that_are_too_fine_are_refused_and_large_ones_shown_as_the_most() -> None:
    row = register(scaler=6)
    world = World([row], now_us=NOON)
    with pytest.raises(ValueError, match="too fine"):
        Quantity(world.life, ENERGY, scaler=-3).add(1, NOON, NOON + 1)
    big = World([largest := register()], now_us=NOON)
    Quantity(big.life, ENERGY, scaler=9).add(10, NOON, NOON + 1)
    assert largest.current_average_value == 2**32 - 1


def test_a_register_without_a_period_rests() -> None:
    world = World([register(period=0)])
    assert world.life.actors.due_us() is None
    assert "nothing is averaged" in world.reports[0].what


def test_an_average_that_is_no_integer_rests() -> None:
    odd = register()
    odd.values[3] = None
    world = World([odd])
    assert world.life.actors.due_us() is None
    assert "nothing is averaged" in world.reports[0].what


def test_a_power_that_holds_is_its_own_average() -> None:
    row = register()
    world = World([row], now_us=NOON)
    meter = Quantity(world.life, ENERGY, scaler=-3)
    for _ in range(3 * 90):
        since = world.calendar.at_us
        world.calendar.at_us = since + 10_000_000
        meter.hold(1_234_567, since, world.calendar.at_us)
        world.tick()
    assert row.last_average_value == 1234
    assert row.capture_time.minute == 45
