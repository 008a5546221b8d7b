# SPDX-License-Identifier: Apache-2.0
import itertools
from typing import Any

import pytest

from cosem.behaviour.life import at
from openami.cosem.behaviour.calling import (
    BY_METHOD,
    IN_WINDOW,
    PERMANENT,
    TRANSITIONS,
    Answer,
    Answering,
    CallEvent,
    CallState,
    Connecting,
    auto_answer,
    auto_connect,
)
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.classes.references import Window
from openami.cosem.classes.setup_ports import (
    AllowedCaller,
    AutoAnswer,
    AutoAnswerMode,
    AutoAnswerStatus,
    AutoAnswerV0,
    AutoConnect,
    AutoConnectMode,
    AutoConnectV0,
    AutoConnectV1,
    CallType,
    NumberOfRings,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

NOW = at("2026-03-02T10:00")
NIGHT = at("2026-03-03T02:00")
TIME = {"year": None, "month": None, "day": None}
WINDOW = Window(CosemDateTime(**TIME, hour=2, minute=0), CosemDateTime(**TIME, hour=3, minute=0))
S = CallState


class Dialler:
    def __init__(self) -> None:
        self.calls: list[bytes] = []
        self.hung_up = 0
        self.is_down = False

    def connect(self, destination: bytes) -> None:
        if self.is_down:
            raise Refused(ActionResult.HARDWARE_FAULT)
        self.calls.append(destination)

    def disconnect(self) -> None:
        self.hung_up += 1


def caller(mode: int = AutoConnectMode.ANY_TIME, **changes: Any) -> tuple[Connecting, Dialler]:
    values: dict[str, Any] = {
        "mode": mode,
        "repetitions": 1,
        "repetition_delay": 60,
        "calling_window": (WINDOW,),
        "destination_list": (b"one", b"two"),
    }
    dialler = Dialler()
    thing = AutoConnect(Obis(0, 0, 2, 1, 0, 255), **(values | changes))
    connecting = auto_connect(Connecting(thing, dialler))
    connecting.tick(NOW)
    return connecting, dialler


def connect(connecting: Connecting) -> None:
    connecting.thing.invocations[1](0)
    connecting.tick(NOW)


def test_destinations_in_turn_and_again_after_a_pause() -> None:
    connecting, dialler = caller()
    connect(connecting)
    connecting.failed(NOW)
    assert dialler.calls == [b"one", b"two"]
    connecting.failed(NOW)
    assert connecting.stage is S.PAUSING
    assert connecting.due_us() == NOW + 60 * SECOND_US
    connecting.tick(NOW + 60 * SECOND_US)
    assert dialler.calls == [b"one", b"two", b"one"]
    connecting.failed(NOW)
    connecting.failed(NOW)
    assert connecting.stage is S.IDLE
    assert connecting.due_us() is None


def test_a_call_that_cannot_be_begun_goes_on_with_the_next() -> None:
    connecting, dialler = caller()
    dialler.is_down = True
    connect(connecting)
    assert connecting.stage is S.PAUSING
    assert dialler.calls == []


@pytest.mark.parametrize("mode", AutoConnectMode)
def test_what_method_connect_does_in_each_mode(mode: AutoConnectMode) -> None:
    connecting, dialler = caller(mode)
    if mode in BY_METHOD:
        connect(connecting)
    else:
        with pytest.raises(Refused) as caught:
            connect(connecting)
        assert caught.value.result == ActionResult.READ_WRITE_DENIED
    waits = mode in IN_WINDOW or mode == AutoConnectMode.REGULAR_IN_WINDOW_ALARM_ANY_TIME
    called = (mode in BY_METHOD and not waits) or (mode in PERMANENT and not waits)
    assert bool(dialler.calls) is called
    if mode in BY_METHOD and waits:
        assert connecting.due_us() == NIGHT
        connecting.tick(NIGHT)
        assert dialler.calls == [b"one"]


def test_alarms_leave_the_window() -> None:
    connecting, dialler = caller(AutoConnectMode.REGULAR_IN_WINDOW_ALARM_ANY_TIME)
    connect(connecting)
    assert dialler.calls == []
    connecting.want(is_alarm=True)
    connecting.tick(NOW)
    assert dialler.calls == [b"one"]
    connecting.connected()
    connecting.ended()
    connect(connecting)
    assert dialler.calls == [b"one"]  # the next is no alarm


def test_a_permanent_connection_is_made_again() -> None:
    connecting, dialler = caller(AutoConnectMode.PERMANENT, repetitions=0)
    for _ in range(3):
        connecting.failed(NOW)
        connecting.failed(NOW)
        connecting.tick(NOW + 60 * SECOND_US)
    connecting.connected()
    assert connecting.due_us() is None
    connecting.ended()
    assert connecting.due_us() is not None
    connecting.tick(NOW)
    assert len(dialler.calls) == 8
    connecting.connected()
    connecting.thing.mode = AutoConnectMode.NONE
    connecting.tick(NOW)
    assert dialler.hung_up == 1
    assert connecting.stage is S.IDLE


def test_a_permanent_connection_in_its_window() -> None:
    connecting, dialler = caller(AutoConnectMode.PERMANENT_IN_WINDOW)
    assert connecting.due_us() == NIGHT
    connecting.tick(NIGHT)
    connecting.connected()
    assert connecting.due_us() == NIGHT + 3600 * SECOND_US
    connecting.tick(NIGHT + 3600 * SECOND_US)
    assert dialler.hung_up == 1
    assert connecting.stage is S.IDLE


def test_windows_that_are_over_and_empty_lists_end_the_call() -> None:
    over = Window(
        CosemDateTime(year=2025, month=1, day=1, hour=0, minute=0),
        CosemDateTime(year=2025, month=1, day=2, hour=0, minute=0),
    )
    connecting, dialler = caller(AutoConnectMode.IN_WINDOW, calling_window=(over,))
    connect(connecting)
    assert connecting.stage is S.IDLE
    connecting, dialler = caller(destination_list=())
    connect(connecting)
    assert connecting.stage is S.IDLE
    assert dialler.calls == []


@pytest.mark.parametrize(("stage", "event"), list(itertools.product(S, CallEvent)))
def test_every_stage_meets_every_event(  # noqa: C901  one way into each stage
    stage: CallState, event: CallEvent
) -> None:
    connecting, _ = caller(AutoConnectMode.REGULAR_IN_WINDOW_ALARM_ANY_TIME)
    if stage is not S.IDLE:
        connecting.want()
        connecting.tick(NOW)
    if stage not in {S.IDLE, S.WAITING}:
        connecting.tick(NIGHT)
    if stage is S.PAUSING:
        connecting.failed(NIGHT)
        connecting.failed(NIGHT)
    if stage is S.CONNECTED:
        connecting.connected()
    assert connecting.stage is stage
    after = TRANSITIONS.get((stage, event), stage)

    def fail(count: int, repetitions: int) -> None:
        connecting.thing.repetitions = repetitions
        for _ in range(count):
            connecting.failed(NIGHT)

    def give_up() -> None:
        if stage is S.CALLING:
            fail(2, 0)
        elif stage in {S.WAITING, S.PAUSING}:
            connecting.thing.mode = AutoConnectMode.NONE
            connecting.tick(NIGHT + 60 * SECOND_US)

    def due() -> None:
        connecting.tick(NIGHT + 60 * SECOND_US)

    calls: dict[CallEvent, Any] = {
        CallEvent.WANTED: connecting.want,
        CallEvent.DUE: due,
        CallEvent.CONNECTED: connecting.connected,
        CallEvent.NEXT: lambda: fail(1, 1),
        CallEvent.FAILED: lambda: fail(2, 1),
        CallEvent.GIVEN_UP: give_up,
        CallEvent.ENDED: connecting.ended,
    }
    calls[event]()
    if stage is S.PAUSING and event is CallEvent.DUE:
        after = S.CALLING  # its window is open
    assert connecting.stage is after


def answering(mode: int = AutoAnswerMode.DEDICATED, **changes: Any) -> Answering:
    values: dict[str, Any] = {
        "mode": mode,
        "listening_window": (WINDOW,),
        "number_of_calls": 2,
        "number_of_rings": NumberOfRings(1, 5),
        "list_of_allowed_callers": (),
    }
    thing = AutoAnswer(Obis(0, 0, 2, 2, 0, 255), **(values | changes))
    found = auto_answer(Answering(thing))
    found.tick(NOW)
    return found


def test_a_modem_of_version_0_answers_everybody() -> None:
    thing = AutoAnswerV0(
        Obis(0, 0, 2, 2, 0, 255),
        mode=AutoAnswerMode.DEDICATED,
        listening_window=(WINDOW,),
        number_of_calls=0,
        number_of_rings=NumberOfRings(1, 5),
    )
    modem = auto_answer(Answering(thing))

    assert modem.called(b"anybody", NOW) == Answer(5, CallType.NORMAL)


def test_version_0_of_auto_connect_has_no_method() -> None:
    for table, methods in ((AutoConnectV0, set()), (AutoConnectV1, {1}), (AutoConnect, {1})):
        thing = table(Obis(0, 0, 2, 1, 0, 255), mode=0, destination_list=(b"one",))
        auto_connect(Connecting(thing, Dialler()))
        assert set(thing.invocations) == methods


def test_rings_inside_and_outside_of_the_window() -> None:
    modem = answering()
    assert modem.thing.status is AutoAnswerStatus.INACTIVE
    assert modem.called(b"", NOW) == Answer(5, CallType.NORMAL)
    assert modem.due_us() == NIGHT
    assert modem.called(b"", NIGHT) == Answer(1, CallType.NORMAL)
    assert modem.thing.status is AutoAnswerStatus.ACTIVE
    assert modem.due_us() == NIGHT + 3600 * SECOND_US
    modem.thing.number_of_rings = NumberOfRings(1, 0)
    assert modem.called(b"", NOW) is None


@pytest.mark.parametrize("mode", [AutoAnswerMode.LIMITED_CALLS, AutoAnswerMode.LIMITED_CONNECTIONS])
def test_a_limited_number_in_each_window(mode: AutoAnswerMode) -> None:
    modem = answering(mode)
    for _ in range(2):
        assert modem.called(b"", NIGHT) is not None
        modem.connected()
    assert modem.thing.status is AutoAnswerStatus.LOCKED
    assert modem.called(b"", NIGHT) is None
    modem.tick(NIGHT + 3600 * SECOND_US)
    modem.tick(NIGHT + 86_400 * SECOND_US)
    assert modem.thing.status is AutoAnswerStatus.ACTIVE


def test_calls_that_are_no_connections_count_in_one_mode_only() -> None:
    modem = answering(AutoAnswerMode.LIMITED_CONNECTIONS)
    for _ in range(5):
        assert modem.called(b"", NIGHT) is not None


def test_only_callers_that_are_allowed() -> None:
    allowed = (AllowedCaller(b"+49", CallType.WAKE_UP),)
    modem = answering(list_of_allowed_callers=allowed)
    assert modem.called(b"+49", NIGHT) == Answer(1, CallType.WAKE_UP)
    assert modem.called(b"+33", NIGHT) is None
    modem.thing.mode = AutoAnswerMode.NONE
    assert modem.called(b"+49", NIGHT) is None


def test_clocks_set_back_and_lists_that_are_empty_keep_nobody_busy() -> None:
    connecting, _ = caller()
    connect(connecting)
    connecting.failed(NOW)
    connecting.failed(NOW)
    connecting.tick(NOW - 500 * SECOND_US)
    assert connecting.due_us() == NOW - 440 * SECOND_US
    idle, _ = caller(AutoConnectMode.PERMANENT, destination_list=())
    assert idle.due_us() is None
    eager, _ = caller(AutoConnectMode.PERMANENT, repetition_delay=0)
    eager.failed(NOW)
    eager.failed(NOW)
    assert eager.due_us() == NOW + SECOND_US


def test_each_call_has_its_own_repetitions() -> None:
    connecting, dialler = caller()
    for _ in range(2):
        connect(connecting)
        for _ in range(2):
            connecting.failed(NOW)
            connecting.failed(NOW)
            connecting.tick(NOW + 60 * SECOND_US)
        assert connecting.stage is S.IDLE
    assert len(dialler.calls) == 8
