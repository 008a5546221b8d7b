# SPDX-License-Identifier: Apache-2.0
"""The limiter: never earlier than its durations, emergencies, and the disconnector it moves."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, NOON, at
from cosem.behaviour.schedules import Noted, script
from openami.cosem.behaviour.localtime import from_us
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Register, ScalerUnit
from openami.cosem.classes.references import AttributeReference
from openami.cosem.classes.tariff import (
    ActionSpecification,
    Crossing,
    EmergencyProfile,
    Limiter,
    Script,
    ScriptTable,
)
from openami.cosem.classes.time_event import ScheduledScript
from openami.dlms.data import DoubleLongUnsigned, Integer, VisibleString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

LIMITER, POWER = Obis(0, 0, 17, 0, 0, 255), Obis(1, 0, 1, 7, 0, 255)
SWITCH, SCRIPTS = Obis(0, 0, 96, 3, 10, 255), Obis(0, 0, 10, 0, 106, 255)
SECOND = 1_000_000
OVER, UNDER = 1, 2
NEVER = CosemDateTime.decode(b"\xff" * 9 + b"\x80\x00\xff")


def limiter(**more: Any) -> Limiter:
    values = {
        "monitored_value": AttributeReference(3, POWER, 2),
        "threshold_normal": DoubleLongUnsigned(100),
        "threshold_emergency": DoubleLongUnsigned(50),
        "min_over_threshold_duration": 10,
        "min_under_threshold_duration": 5,
        "emergency_profile": EmergencyProfile(7, NEVER, 60),
        "emergency_profile_group_id_list": (7,),
        "actions": Crossing(script(OVER), script(UNDER)),
    }
    return Limiter(LIMITER, **{**values, **more})


class Scene:
    """A limiter and the power it watches."""

    def __init__(self, row: Limiter | None = None, now_us: int = NOON, *more: Any) -> None:
        self.noted = Noted()
        self.row = row or limiter()
        self.power = Register(POWER, value=DoubleLongUnsigned(0), scaler_unit=ScalerUnit(0, 27))
        self.world = self.noted.world(self.row, self.power, *more, zone=BERLIN, now_us=now_us)
        self.world.tick()

    def hold(self, watt: int, seconds: float) -> list[int]:
        """Let a power hold for a while, looking whenever the limiter is due."""
        self.power.value = DoubleLongUnsigned(watt)
        self.world.tick()
        self.world.run_to(self.world.calendar.at_us + int(seconds * SECOND))
        return [number for number, _ in self.noted.taken()]


def test_over_and_under_after_their_durations() -> None:
    scene = Scene()
    assert scene.hold(101, 9.9) == []
    assert scene.hold(101, 0.1) == [OVER]
    assert scene.hold(200, 100) == []
    assert scene.hold(99, 4.9) == []
    assert scene.hold(99, 0.1) == [UNDER]
    assert scene.hold(10, 100) == []
    assert scene.row.threshold_active == 100


def test_a_short_return_begins_the_duration_anew() -> None:
    scene = Scene()
    assert scene.hold(101, 9) == []
    assert scene.hold(99, 1) == []
    assert scene.hold(101, 9.9) == []
    assert scene.hold(101, 0.2) == [OVER]


def test_exactly_at_the_threshold_the_value_stays_on_its_side() -> None:
    scene = Scene()
    assert scene.hold(100, 60) == []
    scene.hold(101, 5)
    assert scene.hold(100, 5) == [OVER]


def test_without_durations_it_acts_at_once() -> None:
    scene = Scene(limiter(min_over_threshold_duration=0, min_under_threshold_duration=0))
    assert scene.hold(101, 0.001) == [OVER]
    assert scene.hold(99, 0.001) == [UNDER]


@given(
    st.lists(
        st.tuples(
            st.integers(98, 102),
            st.integers(1, 12 * SECOND),  # until the next look
            st.integers(-20 * SECOND, 20 * SECOND),  # what the clock is set by then
        ),
        max_size=30,
    )
)
def test_it_never_trips_earlier_than_its_duration(steps: list[tuple[int, int, int]]) -> None:
    scene = Scene()
    over_us = jumps = 0
    above = False
    for watt, wait_us, set_by_us in steps:
        scene.power.value = DoubleLongUnsigned(watt)
        above = above if watt == 100 else watt > 100
        over_us = over_us + wait_us if above else 0
        set_us = set_by_us if set_by_us % 3 == 0 else 0
        jumps += set_us > 0
        scene.world.tick(scene.world.calendar.at_us + wait_us + set_us)
        if any(number == OVER for number, _ in scene.noted.taken()):
            # A clock that is set forward may hide a second at most, the pace of looking.
            assert over_us + jumps * SECOND >= 10 * SECOND


def test_a_clock_that_is_set_forward_trips_nothing() -> None:
    scene = Scene()
    scene.hold(101, 2)
    scene.world.tick(scene.world.calendar.at_us + 3600 * SECOND)
    assert scene.noted.taken() == []
    scene.world.tick(scene.world.calendar.at_us - 7200 * SECOND)
    assert scene.noted.taken() == []
    assert scene.hold(101, 7.1) == [OVER]


def emergency(text: str, identifier: int = 7, duration: int = 60) -> EmergencyProfile:
    when = CosemDateTime.from_utc(from_us(at(text)), deviation_minutes=-60)
    return EmergencyProfile(identifier, when, duration)


def test_an_emergency_lowers_the_threshold_for_its_duration() -> None:
    scene = Scene(limiter(emergency_profile=emergency("2026-01-01T12:00:30")))
    assert scene.hold(70, 29) == []
    assert not scene.row.emergency_profile_active
    assert scene.hold(70, 2) == []
    assert scene.row.emergency_profile_active
    assert scene.row.threshold_active == 50
    assert scene.hold(70, 9.5) == [OVER]
    assert scene.hold(70, 49.5 + 4) == []
    assert not scene.row.emergency_profile_active
    assert scene.hold(70, 2) == [UNDER]


@pytest.mark.parametrize(
    "profile",
    [
        emergency("2026-01-01T12:00:00", identifier=8),
        emergency("2026-01-01T12:00:00", duration=0),
        EmergencyProfile(7, NEVER, 1000),
        EmergencyProfile(7, CosemDateTime(year=2026, month=2, day=30, hour=0, minute=0), 1000),
    ],
)
def test_profiles_that_are_not_active(profile: EmergencyProfile) -> None:
    scene = Scene(limiter(emergency_profile=profile))
    assert scene.hold(70, 100) == []
    assert not scene.row.emergency_profile_active


def test_what_cannot_be_compared_trips_nothing() -> None:
    scene = Scene(limiter(threshold_normal=VisibleString("100")))
    assert scene.hold(1000, 100) == []


def test_a_trip_outlives_a_restart_and_durations_begin_anew() -> None:
    scene = Scene()
    scene.hold(101, 9)
    state = scene.world.life.state()
    again = Scene()
    again.world.life.restore(state)
    assert again.hold(101, 9.9) == []
    assert again.hold(101, 0.1) == [OVER]

    last = Scene()
    last.world.life.restore(again.world.life.state())
    assert last.hold(99, 5.1) == [UNDER]


@pytest.mark.parametrize(
    ("mode", "after", "back"),
    [
        (2, ControlState.READY_FOR_RECONNECTION, ControlState.READY_FOR_RECONNECTION),
        (5, ControlState.READY_FOR_RECONNECTION, ControlState.CONNECTED),
    ],
)
def test_a_limiter_disconnects_locally_through_the_disconnect_scripts(
    mode: int, after: ControlState, back: ControlState
) -> None:
    scripts = ScriptTable(
        SCRIPTS,
        scripts=tuple(
            Script(number, (ActionSpecification(2, 70, SWITCH, number, Integer(0)),))
            for number in (1, 2)
        ),
    )
    switch = DisconnectControl(SWITCH, control_mode=mode)
    row = limiter(actions=Crossing(ScheduledScript(SCRIPTS, 1), ScheduledScript(SCRIPTS, 2)))
    scene = Scene(row, NOON, scripts, switch)
    scene.hold(101, 11)
    assert switch.control_state is after
    scene.hold(0, 11)
    assert switch.control_state is back
    assert bool(scene.world.reports) is (mode == 2)  # reconnection is by hand
