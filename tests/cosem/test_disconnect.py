# SPDX-License-Identifier: Apache-2.0
"""Disconnect control: every mode, state and trigger."""

import itertools

import pytest

from openami.cosem.classes.disconnect import (
    ARROWS,
    MODES,
    REACHED,
    TRANSITIONS,
    ControlState,
    DisconnectControl,
    Disconnector,
    Trigger,
    disconnect_control,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Integer
from openami.dlms.obis import Obis
from playbooks.demo_meter import Switch

OFF, ON, READY = ControlState


@pytest.mark.parametrize(
    ("mode", "state", "trigger"), list(itertools.product(MODES, ControlState, Trigger))
)
def test_every_mode_meets_every_trigger(mode: int, state: ControlState, trigger: Trigger) -> None:
    switch = Switch()
    unit = Disconnector(switch, mode, state)
    after = TRANSITIONS.get((mode, state, trigger))

    if after is not None:
        assert unit.apply(trigger)
        assert unit.state is after
        assert switch.moves == [after]
        return
    in_mode = any((m, by) == (mode, trigger) for m, _, by in TRANSITIONS)
    if in_mode and state in REACHED[trigger]:
        assert not unit.apply(trigger)
    else:
        with pytest.raises(Refused, match="read-write-denied"):
            unit.apply(trigger)
    assert unit.state is state
    assert switch.moves == []


@pytest.mark.parametrize("mode", MODES)
def test_a_unit_that_is_disconnected_remotely_reconnects_by_remote_alone(mode: int) -> None:
    ways = {trigger for m, before, trigger in TRANSITIONS if (m, before) == (mode, OFF)}
    assert ways <= {Trigger.REMOTE_RECONNECT}


@pytest.mark.parametrize("mode", MODES)
def test_remote_commands_repeat_without_effect(mode: int) -> None:
    unit = Disconnector(Switch(), mode)
    if mode == 0:
        with pytest.raises(Refused):
            unit.apply(Trigger.REMOTE_DISCONNECT)
        return
    assert [unit.apply(Trigger.REMOTE_DISCONNECT) for _ in range(2)] == [True, False]
    assert [unit.apply(Trigger.REMOTE_RECONNECT) for _ in range(2)] == [True, False]


@pytest.mark.parametrize(
    ("mode", "after"), [(1, READY), (2, ON), (3, READY), (4, ON), (5, READY), (6, READY)]
)
def test_where_a_remote_reconnect_leads(mode: int, after: ControlState) -> None:
    unit = Disconnector(Switch(), mode, OFF)
    unit.apply(Trigger.REMOTE_RECONNECT)
    assert unit.state is after


def test_manual_reconnection_needs_the_remote_one_first() -> None:
    unit = Disconnector(Switch(), mode=1, state=OFF)
    with pytest.raises(Refused):
        unit.apply(Trigger.MANUAL_RECONNECT)


def test_every_arrow_is_in_some_mode() -> None:
    assert set(ARROWS) == set("".join(MODES.values()))


def test_a_breaker_that_fails_leaves_the_state_as_it_was() -> None:
    class Stuck(Switch):
        def move(self, state: ControlState) -> None:
            del state
            raise Refused(ActionResult.HARDWARE_FAULT)

    unit = Disconnector(Stuck(), mode=2)
    with pytest.raises(Refused, match="hardware-fault"):
        unit.apply(Trigger.REMOTE_DISCONNECT)
    assert unit.state is ON


def test_the_object_shows_the_unit_and_moves_it() -> None:
    switch = Switch()
    row = disconnect_control(Obis.parse("0.0.96.3.10.255"), Disconnector(switch, mode=2))
    assert (row.output_state, row.control_state, row.control_mode) == (True, ON, 2)

    row.invoke(DisconnectControl.remote_disconnect, Integer(0))
    assert (row.output_state, row.control_state) == (False, OFF)
    row.invoke(DisconnectControl.remote_reconnect, Integer(0))
    assert switch.moves == [OFF, ON]
