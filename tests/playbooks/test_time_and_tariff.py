# SPDX-License-Identifier: Apache-2.0
"""A client of ours gives a meter its zone, a tariff, a profile and a limit; the meter obeys."""

from typing import Any

import pytest

from cosem.behaviour.life import BERLIN, Calendar, at
from openami.cosem.behaviour.bindings import bring_to_life
from openami.cosem.behaviour.host import Host
from openami.cosem.behaviour.localtime import MINUTE_US, from_us
from openami.cosem.behaviour.registers import Quantity
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import (
    DemandRegister,
    ProfileGeneric,
    Register,
    ScalerUnit,
    SortMethod,
)
from openami.cosem.classes.references import AttributeReference, ObjectReference
from openami.cosem.classes.tariff import (
    ActionSpecification,
    ActivityCalendar,
    Crossing,
    DayProfile,
    DayProfileAction,
    EmergencyProfile,
    Limiter,
    RegisterActivation,
    RegisterActMask,
    Script,
    ScriptTable,
    Season,
    Week,
)
from openami.cosem.classes.time_event import Clock, ScheduledScript
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import DoubleLongUnsigned, Integer, LongUnsigned, OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from playbooks.demo_meter import CLOCK, DISCONNECT, ENERGY, LOAD_PROFILE, DemoMeter, Link

HIGH, LOW = (ENERGY._replace(e=rate) for rate in (1, 2))
DEMAND, LIMITER = Obis(1, 0, 1, 4, 0, 255), Obis(0, 0, 17, 0, 0, 255)
CALENDAR, MASKS = Obis(0, 0, 13, 0, 0, 255), Obis(0, 0, 14, 0, 0, 255)
TARIFFS, SWITCHING = Obis(0, 0, 10, 0, 100, 255), Obis(0, 0, 10, 0, 106, 255)
NEVER = CosemDateTime.decode(b"\xff" * 9 + b"\x80\x00\xff")
MIDNIGHT = at("2026-03-28T23:00")
"""The day in Berlin on which two o'clock does not come."""


def energy(name: Obis) -> Register:
    return Register(name, value=DoubleLongUnsigned(0), scaler_unit=ScalerUnit(0, 30))


def empty_calendar() -> ActivityCalendar:
    rows = ("season_profile", "week_profile_table", "day_profile_table")
    tables = {f"{row}_{which}": () for row in rows for which in ("active", "passive")}
    return ActivityCalendar(
        CALENDAR,
        calendar_name_active=b"",
        calendar_name_passive=b"",
        activate_passive_calendar_time=NEVER,
        **tables,
    )


class Scene:
    """The demo meter with a tariff to be filled, brought to life, and a client that may do all."""

    def __init__(self) -> None:
        meter = DemoMeter(rows=0)
        more = [
            energy(HIGH),
            energy(LOW),
            ScriptTable(TARIFFS, scripts=()),
            ScriptTable(SWITCHING, scripts=()),
            RegisterActivation(MASKS),
            empty_calendar(),
            DemandRegister(
                DEMAND,
                current_average_value=DoubleLongUnsigned(0),
                last_average_value=DoubleLongUnsigned(0),
                scaler_unit=ScalerUnit(0, 27),
                period=900,
                number_of_periods=1,
            ),
            Limiter(
                LIMITER,
                monitored_value=AttributeReference(5, DEMAND, 3),
                threshold_normal=DoubleLongUnsigned(0xFFFF_FFFF),
                threshold_emergency=DoubleLongUnsigned(0),
                min_over_threshold_duration=0,
                min_under_threshold_duration=0,
                emergency_profile=EmergencyProfile(0, NEVER, 0),
                emergency_profile_group_id_list=(),
                actions=Crossing(ScheduledScript(SWITCHING, 0), ScheduledScript(SWITCHING, 0)),
            ),
        ]
        for each in more:
            meter.add(each)
        self.calendar = Calendar(MIDNIGHT)
        self.life = bring_to_life(
            meter, Host(clock=self.calendar, entropy=bytes, poll_us=MINUTE_US)
        )
        self.link = Link(meter)
        self.link.run(self.link.client.associate())

    def set(self, attribute: Any, value: Any, name: Obis) -> None:
        self.link.run(self.link.client.set(attribute, value, at=name))

    def act(self, method: Any, argument: Any, name: Obis) -> None:
        self.link.run(self.link.client.act(method, argument, at=name))

    def get(self, attribute: Any, name: Obis) -> Any:
        return self.link.run(self.link.client.get(attribute, at=name))

    def feed(self, *amounts: int) -> None:
        """Let energy in Wh come, quarter by quarter, told minute by minute before the time is."""
        meter = Quantity(self.life, ENERGY)
        for amount in amounts:
            told = 0
            for minute in range(1, 16):
                since = self.calendar.at_us
                self.calendar.at_us = since + MINUTE_US
                meter.add(amount * minute // 15 - told, since, self.calendar.at_us)
                told = amount * minute // 15
                self.life.actors.tick(self.calendar.at_us)


def in_berlin() -> Scene:
    scene = Scene()
    scene.set(Clock.time_zone, BERLIN.time_zone, CLOCK)
    for attribute, value in (
        (Clock.daylight_savings_begin, BERLIN.begin),
        (Clock.daylight_savings_end, BERLIN.end),
        (Clock.daylight_savings_deviation, BERLIN.saving),
        (Clock.daylight_savings_enabled, BERLIN.enabled),
    ):
        scene.link.meter[CLOCK].values[attribute.index] = value  # nothing to read before
        scene.set(attribute, value, CLOCK)
    return scene


def test_a_client_sets_the_clock_and_reads_local_time() -> None:
    scene = in_berlin()
    assert scene.get(Clock.time, CLOCK) == BERLIN.shown(MIDNIGHT)
    summer = CosemDateTime(year=2026, month=7, day=1, hour=12, minute=0)
    scene.set(Clock.time, summer, CLOCK)
    assert scene.calendar.at_us == at("2026-07-01T10:00")
    assert scene.get(Clock.status, CLOCK) == 0x80
    scene.act(Clock.shift_time, -900, CLOCK)
    assert scene.get(Clock.time, CLOCK).minute == 45
    with pytest.raises(AccessError, match="scope-of-access-violated"):
        scene.act(Clock.shift_time, 901, CLOCK)


def give_tariff(scene: Scene) -> None:
    """High from 1 to 4 o'clock, low otherwise, from a passive calendar that becomes active."""

    def mask(number: int, name: bytes) -> Script:
        return Script(number, (ActionSpecification(1, 6, MASKS, 4, OctetString(name)),))

    def action(hour: int, number: int) -> DayProfileAction:
        return DayProfileAction(bytes((hour, 0, 0, 0)), TARIFFS, number)

    for reference in (ObjectReference(3, HIGH), ObjectReference(3, LOW)):
        scene.act(RegisterActivation.add_register, reference, MASKS)
    for row in (RegisterActMask(b"high", (1,)), RegisterActMask(b"low", (2,))):
        scene.act(RegisterActivation.add_mask, row, MASKS)
    scene.set(ScriptTable.scripts, (mask(1, b"high"), mask(2, b"low")), TARIFFS)
    always = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)
    day = DayProfile(1, (action(0, 2), action(1, 1), action(4, 2)))
    scene.set(ActivityCalendar.season_profile_passive, (Season(b"a", always, b"w"),), CALENDAR)
    scene.set(ActivityCalendar.week_profile_table_passive, (Week(b"w", *[1] * 7),), CALENDAR)
    scene.set(ActivityCalendar.day_profile_table_passive, (day,), CALENDAR)
    scene.act(ActivityCalendar.activate_passive_calendar, 0, CALENDAR)
    scene.life.actors.tick(scene.calendar.at_us)


def test_energy_lands_in_the_tariff_that_the_client_gave() -> None:
    scene = in_berlin()
    give_tariff(scene)
    assert scene.get(RegisterActivation.active_mask, MASKS) == b"low"
    before = scene.get(Register.value, ENERGY)
    scene.feed(*range(1, 93))  # a day of 23 hours
    high = sum(range(5, 13))  # from 1 to 4: two hours, for one is skipped
    assert scene.get(Register.value, HIGH) == high
    assert scene.get(Register.value, LOW) == sum(range(1, 93)) - high
    assert scene.get(Register.value, ENERGY) - before == sum(range(1, 93))
    assert scene.get(DemandRegister.last_average_value, DEMAND) == 92 * 4


def test_a_profile_with_other_columns_keeps_the_largest_demands() -> None:
    scene = in_berlin()
    columns = (
        CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=2),
        CaptureObject(class_id=5, instance_id=DEMAND, attribute_id=3),
    )
    scene.set(ProfileGeneric.capture_objects, columns, LOAD_PROFILE)
    scene.set(ProfileGeneric.capture_period, 900, LOAD_PROFILE)
    scene.set(ProfileGeneric.sort_object, columns[1], LOAD_PROFILE)
    scene.set(ProfileGeneric.sort_method, SortMethod.LARGEST, LOAD_PROFILE)
    scene.set(ProfileGeneric.profile_entries, 3, LOAD_PROFILE)
    scene.feed(10, 70, 30, 70, 50)
    assert scene.get(ProfileGeneric.entries_in_use, LOAD_PROFILE) == 3
    found = scene.get(ProfileGeneric.buffer, LOAD_PROFILE)
    shown = [(CosemDateTime.decode(bytes(row[0])), row[1]) for row in found]
    ends = [at("2026-03-28T23:30"), at("2026-03-29T00:00"), at("2026-03-29T00:15")]
    assert [(moment.to_utc(), value) for moment, value in shown] == [
        (from_us(end), value) for end, value in zip(ends, (280, 280, 200), strict=True)
    ]


def test_a_limit_opens_the_supply_and_the_client_closes_it() -> None:
    scene = in_berlin()
    step = ActionSpecification(2, 70, DISCONNECT, 1, Integer(0))
    scene.set(ScriptTable.scripts, (Script(1, (step,)),), SWITCHING)
    actions = Crossing(ScheduledScript(SWITCHING, 1), ScheduledScript(SWITCHING, 0))
    scene.set(Limiter.actions, actions, LIMITER)
    scene.set(Limiter.threshold_normal, DoubleLongUnsigned(1000), LIMITER)
    scene.feed(249)
    assert scene.get(DisconnectControl.control_state, DISCONNECT) is ControlState.CONNECTED
    scene.feed(251)
    after = scene.get(DisconnectControl.control_state, DISCONNECT)
    assert after is ControlState.READY_FOR_RECONNECTION
    scene.act(DisconnectControl.remote_disconnect, 0, DISCONNECT)
    scene.act(DisconnectControl.remote_reconnect, 0, DISCONNECT)
    assert scene.get(DisconnectControl.control_state, DISCONNECT) is ControlState.CONNECTED
    assert scene.get(Limiter.threshold_active, LIMITER) == LongUnsigned(1000)
