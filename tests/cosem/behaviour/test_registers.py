# SPDX-License-Identifier: Apache-2.0
"""Registers that count, and the masks that say which."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import NOON, World
from openami.cosem.behaviour.registers import Quantity
from openami.cosem.classes.measurement import ExtendedRegister, Register, ScalerUnit
from openami.cosem.classes.references import ObjectReference
from openami.cosem.classes.tariff import RegisterActivation, RegisterActMask
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.data import (
    Array,
    Data,
    DoubleLongUnsigned,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.obis import Obis

TOTAL, DAY, NIGHT = (Obis(1, 0, 1, 8, rate, 255) for rate in range(3))
EXPORT = Obis(1, 0, 2, 8, 0, 255)
MASKS = Obis(0, 0, 14, 0, 0, 255)
WH = ScalerUnit(0, 30)
SECOND = 1_000_000


def energy(at: Obis, value: int = 0, scaler: int = 0) -> Register:
    return Register(at, value=DoubleLongUnsigned(value), scaler_unit=ScalerUnit(scaler, 30))


def masks(*more: RegisterActMask, active: bytes = b"day") -> RegisterActivation:
    return RegisterActivation(
        MASKS,
        register_assignment=(ObjectReference(3, DAY), ObjectReference(3, NIGHT)),
        mask_list=(RegisterActMask(b"day", (1,)), RegisterActMask(b"night", (2,)), *more),
        active_mask=active,
    )


def values(world: World, *names: Obis) -> list[int]:
    return [int(world.device[name].values[2]) for name in names]


def test_a_quantity_reaches_the_registers_that_hold_it() -> None:
    world = World([energy(TOTAL), energy(EXPORT), energy(Obis(1, 0, 1, 7, 0, 255))])
    Quantity(world.life, TOTAL).add(5, NOON, NOON + SECOND)
    assert values(world, TOTAL, EXPORT, Obis(1, 0, 1, 7, 0, 255)) == [5, 0, 0]


def test_steps_of_another_size_leave_a_remainder_that_is_kept() -> None:
    world = World([energy(TOTAL, scaler=3)])
    fine = Quantity(world.life, TOTAL, scaler=-1)
    for _ in range(3):
        fine.add(9999, NOON, NOON + SECOND)
    assert values(world, TOTAL) == [2]

    again = World([energy(TOTAL, scaler=3)])
    again.life.restore(world.life.state())
    Quantity(again.life, TOTAL, scaler=-1).add(3, NOON, NOON + SECOND)
    assert values(again, TOTAL) == [3]


@given(st.lists(st.integers(0, 10**6)), st.integers(0, 2**32 - 1))
def test_a_full_register_begins_again(amounts: list[int], start: int) -> None:
    world = World([energy(TOTAL, start)])
    for amount in amounts:
        Quantity(world.life, TOTAL).add(amount, NOON, NOON + SECOND)
    assert values(world, TOTAL) == [(start + sum(amounts)) % 2**32]


def test_reset_and_the_time_of_capture() -> None:
    register = ExtendedRegister(
        TOTAL, value=DoubleLongUnsigned(7), scaler_unit=WH, status=Unsigned(0)
    )
    world = World([register])
    Quantity(world.life, TOTAL).add(5, NOON, NOON + SECOND)
    assert (register.value, register.capture_time.second) == (12, 1)
    state = world.life.state()
    world.calendar.at_us += 9 * SECOND
    register.invoke(ExtendedRegister.reset, Integer(0))
    assert (register.value, register.capture_time.second) == (0, 9)
    world.life.restore(state)
    assert (register.value, register.capture_time.second) == (12, 1)


class Meters:
    """Knows one voltage."""

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], Data] | None:
        return (lambda: LongUnsigned(2301)) if (class_id, at.c, attribute) == (3, 32, 2) else None


def test_what_the_host_measures_is_shown_as_it_is() -> None:
    voltage = Register(Obis(1, 0, 32, 7, 0, 255), scaler_unit=ScalerUnit(-1, 35))
    world = World([voltage, energy(TOTAL, 3)], measured=Meters())
    assert voltage.value == 2301
    read = voltage.reader(2)
    assert read is not None
    assert axdr_data.decode(read()) == LongUnsigned(2301)
    with pytest.raises(Refused):
        voltage.invoke(Register.reset, Integer(0))
    assert world.device[TOTAL].values[2] == 3


def test_the_active_mask_says_which_registers_count() -> None:
    world = World([masks(), energy(TOTAL), energy(DAY), energy(NIGHT)])
    meter = Quantity(world.life, TOTAL)
    meter.add(10, NOON, NOON + SECOND)
    world.life.inside.write(6, MASKS, 4, OctetString(b"night"))
    meter.add(5, NOON + SECOND, NOON + 2 * SECOND)
    assert values(world, TOTAL, DAY, NIGHT) == [15, 10, 5]

    again = World([energy(TOTAL), energy(DAY), energy(NIGHT), masks()])
    again.life.restore(world.life.state())
    Quantity(again.life, TOTAL).add(1, NOON, NOON + SECOND)
    assert values(again, TOTAL, DAY, NIGHT) == [16, 10, 6]


def test_a_mask_that_is_not_there_is_refused_and_none_lets_nothing_count() -> None:
    world = World([masks(), energy(DAY), energy(NIGHT)])
    with pytest.raises(Refused):
        world.life.inside.write(6, MASKS, 4, OctetString(b"noon"))
    world.life.inside.write(6, MASKS, 4, OctetString(b""))
    Quantity(world.life, TOTAL).add(1, NOON, NOON + SECOND)
    assert values(world, DAY, NIGHT) == [0, 0]


def test_masks_and_registers_are_added_and_deleted() -> None:
    row = masks()
    world = World([row, energy(TOTAL), energy(DAY), energy(NIGHT)])
    inside = world.life.inside
    inside.invoke(6, MASKS, 1, Structure((LongUnsigned(3), OctetString(TOTAL.encode()))))
    inside.invoke(6, MASKS, 1, Structure((LongUnsigned(3), OctetString(TOTAL.encode()))))
    assert len(row.register_assignment) == 3
    both = Structure((OctetString(b"day"), Array((Unsigned(1), Unsigned(3)))))
    inside.invoke(6, MASKS, 2, both)
    assert row.mask_list == (
        RegisterActMask(b"night", (2,)),
        RegisterActMask(b"day", (1, 3)),
    )
    Quantity(world.life, TOTAL).add(1, NOON, NOON + SECOND)
    assert values(world, TOTAL, DAY, NIGHT) == [1, 1, 0]

    inside.invoke(6, MASKS, 3, OctetString(b"day"))
    Quantity(world.life, TOTAL).add(1, NOON, NOON + SECOND)
    assert values(world, TOTAL, DAY, NIGHT) == [1, 1, 0]
    with pytest.raises(Refused):
        inside.invoke(6, MASKS, 3, OctetString(b"day"))


def test_a_value_that_is_no_integer_does_not_count() -> None:
    odd = Register(TOTAL, scaler_unit=WH)
    odd.values[2] = None
    world = World([odd])
    Quantity(world.life, TOTAL).add(1, NOON, NOON + SECOND)
    assert "does not count" in world.reports[0].what
    assert world.life.state() == {}


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**9)), max_size=20))
def test_a_power_that_holds_is_integrated_to_the_last_step(parts: list[tuple[int, int]]) -> None:
    world = World([energy(TOTAL, scaler=-3)])
    meter = Quantity(world.life, TOTAL, scaler=-3)
    for power, span_us in parts:
        meter.hold(power, NOON, NOON + span_us)
    whole = sum(power * span_us for power, span_us in parts) // (3600 * SECOND)
    assert values(world, TOTAL) == [whole % 2**32]
