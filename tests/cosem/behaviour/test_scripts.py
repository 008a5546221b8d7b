# SPDX-License-Identifier: Apache-2.0
"""Scripts, and the disconnect control that they move."""

import pytest

from cosem.behaviour.life import World
from openami.cosem.behaviour.scripts import ScriptService
from openami.cosem.classes.disconnect import (
    ControlState,
    DisconnectControl,
    DisconnectControlV1,
)
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.classes.tariff import ActionSpecification, Script, ScriptTable
from openami.cosem.classes.time_event import ScheduledScript
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import DoubleLongUnsigned, Enum, Integer, LongUnsigned, Unsigned
from openami.dlms.obis import Obis

TABLE = Obis(0, 0, 10, 0, 106, 255)
VALUE, ENERGY = Obis(0, 0, 96, 1, 0, 255), Obis(1, 0, 1, 8, 0, 255)
SWITCH = Obis(0, 0, 96, 3, 10, 255)
WRITE, EXECUTE = ScriptService.WRITE, ScriptService.EXECUTE
OFF, ON, READY = ControlState


def write(value: int) -> ActionSpecification:
    return ActionSpecification(WRITE, 1, VALUE, 2, Unsigned(value))


RESET = ActionSpecification(EXECUTE, 3, ENERGY, 1, Integer(0))
SCRIPTS = (
    Script(1, (write(1), RESET, write(2))),
    Script(2, (write(3), write(4)._replace(class_id=3), write(5))),
    Script(3, (ActionSpecification(0, 0, Obis(0, 0, 0, 0, 0, 0), 0, None), write(6))),
    Script(4, (write(7)._replace(service_id=9),)),
    Script(5, (ActionSpecification(EXECUTE, 9, TABLE, 1, LongUnsigned(5)),)),
    Script(6, (write(8)._replace(parameter=LongUnsigned(8)),)),
    Script(7, (ActionSpecification(EXECUTE, 70, SWITCH, 1, Integer(0)),)),
    Script(8, (ActionSpecification(EXECUTE, 70, SWITCH, 2, Integer(0)),)),
)


def world(switch: DisconnectControl | None = None) -> World:
    return World(
        [
            ScriptTable(TABLE, scripts=SCRIPTS),
            Data(VALUE, value=Unsigned(0)),
            Register(ENERGY, value=DoubleLongUnsigned(9), scaler_unit=ScalerUnit(0, 30)),
            switch or DisconnectControl(SWITCH, control_mode=2),
        ]
    )


def execute(of: World, identifier: int) -> None:
    of.life.inside.invoke(9, TABLE, 1, LongUnsigned(identifier))


def value(of: World) -> int:
    found = of.life.read(1, VALUE, 2)
    assert isinstance(found, int)
    return int(found)


def test_steps_run_in_their_order() -> None:
    here = world()
    execute(here, 1)
    assert value(here) == 2
    assert here.life.read(3, ENERGY, 2) == 0


def test_script_0_and_service_0_do_nothing() -> None:
    here = world()
    execute(here, 0)
    assert value(here) == 0
    execute(here, 3)
    assert value(here) == 6


@pytest.mark.parametrize(
    ("identifier", "result", "left"),
    [
        (99, ActionResult.OBJECT_UNDEFINED, 0),
        (2, ActionResult.OBJECT_CLASS_INCONSISTENT, 3),  # the steps before stay done
        (4, ActionResult.SCOPE_OF_ACCESS_VIOLATED, 0),
        (5, ActionResult.OTHER_REASON, 0),  # a script that starts itself
        (6, ActionResult.TYPE_UNMATCHED, 0),
    ],
)
def test_what_is_refused(identifier: int, result: ActionResult, left: int) -> None:
    here = world()
    with pytest.raises(Refused) as refused:
        execute(here, identifier)
    assert refused.value.result == result
    assert value(here) == left
    execute(here, 1)  # nothing is left behind


def test_an_actor_hears_whether_its_script_ran_and_the_host_why_not() -> None:
    here = world()
    assert here.life.run(ScheduledScript(TABLE, 0), by=VALUE)
    assert here.life.run(ScheduledScript(TABLE, 1), by=VALUE)
    assert here.reports == []
    assert not here.life.run(ScheduledScript(TABLE, 2), by=VALUE)
    assert not here.life.run(ScheduledScript(ENERGY, 1), by=VALUE)
    assert [each.at for each in here.reports] == [VALUE, VALUE]
    assert "script 2 of 0.0.10.0.106.255 was not carried out" in here.reports[0].what


@pytest.mark.parametrize(
    ("mode", "local", "remote"),
    [(2, READY, OFF), (4, READY, OFF), (6, READY, OFF), (0, ON, ON), (7, READY, OFF)],
)
def test_a_disconnection_by_a_limit_leaves_the_way_back_open(
    mode: int, local: ControlState, remote: ControlState
) -> None:
    for is_local, after in ((True, local), (False, remote)):
        switch = DisconnectControlV1(SWITCH, control_mode=mode)
        here = world(switch)
        ran = here.life.run(ScheduledScript(TABLE, 7), by=VALUE, is_local=is_local)
        assert switch.control_state is after
        assert switch.output_state is (after is ON)
        assert ran is (mode != 0)
        assert not here.life.is_local


def test_what_a_limit_may_reconnect() -> None:
    for mode, after in ((4, READY), (5, ON), (6, ON), (7, ON)):
        switch = DisconnectControlV1(SWITCH, control_mode=mode, control_state=READY)
        here = world(switch)
        here.life.run(ScheduledScript(TABLE, 8), by=VALUE, is_local=True)
        assert switch.control_state is after


def test_mode_7_is_of_version_1() -> None:
    old = DisconnectControl(SWITCH, control_mode=2)
    here = world(old)
    old.write(DisconnectControl.control_mode, Enum(5))
    assert old.control_mode == 5
    for mode in (7, 8):
        with pytest.raises(Refused):
            old.write(DisconnectControl.control_mode, Enum(mode))

    new = DisconnectControlV1(SWITCH, control_mode=5, control_state=READY)
    here = world(new)
    here.life.inside.write(70, SWITCH, 4, Enum(7))
    here.life.inside.invoke(70, SWITCH, 2, Integer(0))
    assert new.control_state is ON


def test_the_unit_is_found_again_as_it_was() -> None:
    here = world()
    here.life.inside.invoke(70, SWITCH, 1, Integer(0))
    again = world()
    again.life.restore(here.life.state())
    found = again.device[SWITCH]
    assert isinstance(found, DisconnectControl)
    assert (found.control_state, found.output_state) == (OFF, False)


def test_what_a_limit_started_stays_local_whoever_goes_on() -> None:
    switch = DisconnectControl(SWITCH, control_mode=2)
    between = Data(Obis(0, 0, 96, 1, 1, 255), value=Unsigned(0))
    start = ActionSpecification(WRITE, 1, between.logical_name, 2, Unsigned(1))
    table = Obis(0, 0, 10, 0, 1, 255)
    here = World(
        [
            ScriptTable(TABLE, scripts=SCRIPTS),
            ScriptTable(table, scripts=(Script(1, (start,)),)),
            between,
            switch,
        ]
    )

    def go_on(_value: object) -> None:
        here.life.run(ScheduledScript(TABLE, 7), by=between.logical_name)

    between.bind_sink(Data.value, go_on)
    here.life.run(ScheduledScript(table, 1), by=VALUE, is_local=True)
    assert switch.control_state is READY


def test_a_unit_may_hold_its_state_as_a_plain_number() -> None:
    switch = DisconnectControl(SWITCH, control_mode=2, control_state=1)
    here = world(switch)
    here.life.inside.invoke(70, SWITCH, 1, Integer(0))
    assert switch.control_state is OFF
