# SPDX-License-Identifier: Apache-2.0
"""Values that cross thresholds: register monitors, sensor managers, parameter monitors."""

import hashlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, World
from cosem.behaviour.schedules import Noted, script
from openami.cosem.behaviour.crossing import Sides
from openami.cosem.behaviour.parameters import Parameters
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.classes.monitoring import ParameterMonitor, ParameterMonitorV1, SensorManager
from openami.cosem.classes.references import AttributeReference
from openami.cosem.classes.tariff import Crossing, RegisterMonitor
from openami.cosem.classes.time_event import Clock
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.data import (
    Array,
    DoubleLong,
    Enum,
    Integer,
    Long,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.data import Data as AxdrData
from openami.dlms.obis import Obis

MONITOR, SENSOR, PARAMETERS = (
    Obis(0, 0, 16, 1, 0, 255),
    Obis(0, 0, 15, 128, 0, 255),
    Obis(0, 0, 16, 2, 0, 255),
)
POWER, NAME = Obis(1, 0, 1, 7, 0, 255), Obis(0, 0, 96, 1, 0, 255)
SECOND = 1_000_000
UP_DOWN = tuple(Crossing(script(2 * n + 1), script(2 * n + 2)) for n in range(3))


@given(st.lists(st.integers(-4, 4)), st.lists(st.integers(-3, 3), unique=True))
def test_crossings_alternate_and_follow_the_value(values: list[int], limits: list[int]) -> None:
    sides, thresholds = Sides(), [DoubleLong(limit) for limit in limits]
    seen: dict[int, list[bool]] = {n: [] for n in range(len(limits))}
    for value in values:
        for crossed in sides.look(DoubleLong(value), thresholds):
            assert crossed.upwards is (value > limits[crossed.number])
            seen[crossed.number].append(crossed.upwards)
    for n, limit in enumerate(limits):
        off = [value > limit for value in values if value != limit]
        expected = [now for before, now in pairwise(off) if before is not now]
        assert seen[n] == expected


def monitored(noted: Noted, *thresholds: AxdrData) -> tuple[World, Register]:
    row = RegisterMonitor(
        MONITOR,
        thresholds=thresholds,
        monitored_value=AttributeReference(3, POWER, 2),
        actions=UP_DOWN,
    )
    register = Register(POWER, value=DoubleLong(0), scaler_unit=ScalerUnit(0, 27))
    return noted.world(row, register, zone=BERLIN, now_us=NOON), register


def after(world: World, register: Register, noted: Noted, *values: int) -> list[int]:
    for value in values:
        register.value = DoubleLong(value)
        world.tick(world.calendar.at_us + SECOND)
    return [number for number, _ in noted.taken()]


def test_scripts_run_on_crossing_only() -> None:
    noted = Noted()
    world, register = monitored(noted, DoubleLong(10), DoubleLong(20))
    assert after(world, register, noted, 15) == []  # the first look
    assert after(world, register, noted, 15, 16, 20) == []
    assert after(world, register, noted, 21) == [3]
    assert after(world, register, noted, 20, 21, 20) == []
    assert after(world, register, noted, 5) == [4, 2]  # from above: the upper threshold first
    assert after(world, register, noted, 25) == [1, 3]
    assert world.life.actors.due_us() == world.calendar.at_us + SECOND


def test_other_thresholds_begin_anew_and_a_state_goes_on() -> None:
    noted = Noted()
    world, register = monitored(noted, DoubleLong(10))
    after(world, register, noted, 5)
    state = world.life.state()
    world.life.inside.write(21, MONITOR, 2, Array((DoubleLong(3),)))
    assert after(world, register, noted, 5) == []
    assert after(world, register, noted, 2) == [2]

    again = Noted()
    world, register = monitored(again, DoubleLong(10))
    world.life.restore(state)
    assert after(world, register, again, 11) == [1]


def test_what_is_no_number_is_not_watched() -> None:
    noted = Noted()
    world, register = monitored(noted, OctetString(b"a"), DoubleLong(1))
    assert after(world, register, noted, 0, 2) == [3]
    world.life.inside.write(
        21, MONITOR, 3, Structure((LongUnsigned(3), OctetString(NAME.encode()), Integer(2)))
    )
    world.tick(world.calendar.at_us + SECOND)
    assert noted.taken() == []
    idle, _ = monitored(Noted())
    assert idle.life.actors.due_us() is None


class Gauge:
    """Measures one sensor."""

    value = 0

    def source(self, class_id: int, at: Obis, attribute: int) -> Callable[[], AxdrData] | None:
        del at
        return (lambda: Long(self.value)) if (class_id, attribute) == (67, 7) else None


def crossings(*numbers: int) -> Array:
    def one(number: int) -> Structure:
        return Structure(
            (OctetString(script(1).script_logical_name.encode()), LongUnsigned(number))
        )

    return Array(Structure((one(up), one(up + 1))) for up in numbers)


def test_a_sensor_manager_watches_its_raw_and_its_processed_value() -> None:
    noted, gauge = Noted(), Gauge()
    sensor = SensorManager(
        SENSOR,
        raw_value_thresholds=Array((Long(10),)),
        raw_value_actions=crossings(1),
        processed_value=Structure((LongUnsigned(3), OctetString(POWER.encode()), Integer(2))),
        processed_value_thresholds=Array((DoubleLong(100),)),
        processed_value_actions=crossings(3),
    )
    register = Register(POWER, value=DoubleLong(0), scaler_unit=ScalerUnit(0, 27))
    world = World([*noted.objects, sensor, register], zone=BERLIN, measured=gauge)
    noted._world = world
    assert after(world, register, noted, 0) == []
    gauge.value = 11
    assert after(world, register, noted, 0) == [1]
    assert after(world, register, noted, 101) == [3]
    state = world.life.state()
    gauge.value = 9
    assert after(world, register, noted, 0) == [2, 4]
    world.life.restore(state)
    assert after(world, register, noted, 101) == [2]
    assert sensor.raw_value == 9
    assert sensor.capture_time == OctetString(BERLIN.shown(world.calendar.at_us).encode())


def test_a_sensor_without_thresholds_rests_and_resets() -> None:
    sensor = SensorManager(SENSOR, raw_value=Long(7), raw_value_thresholds=Array((Unsigned(1),)))
    sensor.values[12] = Structure(())
    world = World([sensor], zone=BERLIN)
    world.tick()
    sensor.invoke(SensorManager.reset, Integer(0))
    assert sensor.raw_value == 0
    empty = World([SensorManager(SENSOR)])
    assert empty.life.actors.due_us() is None


def parameters(*listed: AttributeReference, v1: bool = False) -> tuple[World, ParameterMonitor]:
    made = ParameterMonitorV1 if v1 else ParameterMonitor
    row = made(PARAMETERS, parameter_list=listed)
    name = Data(NAME, value=Unsigned(1))
    return World([row, name], zone=BERLIN), row


TIME_ZONE = AttributeReference(8, Obis(0, 0, 1, 0, 0, 255), 3)
VALUE = AttributeReference(1, NAME, 2)
TIME = AttributeReference(8, Obis(0, 0, 1, 0, 0, 255), 2)
STATUS = AttributeReference(8, Obis(0, 0, 1, 0, 0, 255), 4)


def test_the_last_change_is_remembered() -> None:
    world, row = parameters(VALUE, TIME_ZONE)
    inside = world.life.inside
    inside.write(1, NAME, 2, Unsigned(1))  # no change
    assert 2 not in row.values
    inside.write(1, NAME, 2, Unsigned(2))
    assert row.changed_parameter == (1, NAME, 2, Unsigned(2))
    assert row.capture_time == OctetString(BERLIN.shown(NOON).encode())
    inside.write(8, TIME_ZONE.logical_name, 3, Long(-120))
    assert row.changed_parameter[:3] == tuple(TIME_ZONE)
    with pytest.raises(Refused):  # what the clock refuses is no change
        inside.write(8, TIME_ZONE.logical_name, 3, Long(1000))
    assert row.changed_parameter[3] == Long(-120)
    state = world.life.state()

    again, other = parameters(VALUE)
    again.life.restore(state)
    assert other.changed_parameter == row.changed_parameter


def test_parameters_are_added_and_deleted() -> None:
    world, row = parameters()
    inside = world.life.inside

    def reference(of: AttributeReference) -> Structure:
        return Structure((LongUnsigned(of[0]), OctetString(of[1].encode()), Integer(of[2])))

    inside.invoke(65, PARAMETERS, 1, reference(VALUE))
    inside.invoke(65, PARAMETERS, 1, reference(VALUE))
    assert row.parameter_list == (VALUE,)
    inside.write(1, NAME, 2, Unsigned(2))
    assert row.changed_parameter[3] == 2
    inside.invoke(65, PARAMETERS, 2, reference(VALUE))
    inside.write(1, NAME, 2, Unsigned(3))
    assert row.changed_parameter[3] == 2
    for method, what in (
        (2, VALUE),
        (1, VALUE._replace(class_id=3)),
        (1, VALUE._replace(attribute_index=9)),
        (1, AttributeReference(1, POWER, 2)),
    ):
        with pytest.raises(Refused):
            inside.invoke(65, PARAMETERS, method, reference(what))
    inside.write(65, PARAMETERS, 4, Array((reference(VALUE), reference(TIME))))
    inside.write(1, NAME, 2, Unsigned(4))
    assert row.changed_parameter[3] == 4
    with pytest.raises(Refused):
        inside.write(65, PARAMETERS, 4, Array((reference(AttributeReference(1, POWER, 2)),)))


def test_watching_gives_nobody_a_right_to_write() -> None:
    world, _ = parameters(STATUS)
    clock = world.device[STATUS.logical_name]
    with pytest.raises(Refused):
        clock.write(Clock.status, Unsigned(1))


def test_what_cannot_be_watched_is_told() -> None:
    world, _ = parameters(AttributeReference(1, POWER, 2))
    assert "it is not watched" in world.reports[0].what


def test_version_1_has_a_digest_over_the_values() -> None:
    world, row = parameters(VALUE, TIME_ZONE, v1=True)
    assert isinstance(row, ParameterMonitorV1)
    assert row.parameter_values == Structure((Unsigned(1), Long(-60)))
    told = axdr_data.encode(row.parameter_values)
    assert row.parameter_value_digest == hashlib.sha256(told).digest()
    before = row.parameter_value_digest
    world.life.inside.write(1, NAME, 2, Unsigned(2))
    assert row.parameter_value_digest != before
    with pytest.raises(Refused):
        world.life.inside.write(65, PARAMETERS, 6, Enum(200))
    row.values[6] = 200
    assert row.parameter_value_digest == b""

    other = ParameterMonitorV1(PARAMETERS, parameter_list=(VALUE,), hash_algorithm_id=3)
    Parameters(other, world.life, hashes={3: lambda octets: octets[:2]})
    assert other.parameter_value_digest == b"\x02\x01"
