# SPDX-License-Identifier: Apache-2.0
"""Auto connect and auto answer: when a device calls, and when it is called.

DLMS UA 1000-1 Ed. 12, 4.7.  Calls are made and taken by the host: `Connecting` asks a `Dialler` to
connect and is told how it went; `Answering` is asked at each call whether to answer it.  Both read
their objects as they stand, so that what a client writes holds from the next step on.

Our reading, where sources say little: ``repetitions`` are rounds through the whole destination
list after the first; after each round that failed there is a pause of ``repetition_delay``, of a
second at least; in mode 102 a connection ends with its window; a limited number of calls or
connections is counted anew in each window.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, runtime_checkable

from openami.cosem.behaviour import windows
from openami.cosem.behaviour.localtime import SECOND_US, UTC_ZONE, Zone
from openami.cosem.behaviour.results import as_action, no_argument
from openami.cosem.classes.setup_ports import (
    AllowedCaller,
    AutoAnswerMode,
    AutoAnswerStatus,
    AutoAnswerV0,
    AutoConnectMode,
    AutoConnectV0,
    AutoConnectV1,
    CallType,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult


class CallState(Enum):
    """How far a connection has come."""

    IDLE = "no connection is wanted"
    WAITING = "waits for its window"
    CALLING = "a destination is called"
    PAUSING = "every destination failed, to be tried again"
    CONNECTED = "there is a connection"


class CallEvent(Enum):
    """What moves a connection from one state to another."""

    WANTED = "something is to be sent, or the mode wants a connection"
    DUE = "its time has come"
    CONNECTED = "the destination answers"
    NEXT = "it does not, and there is another destination"
    FAILED = "it does not, and there is none"
    GIVEN_UP = "no repetition is left, or the mode wants no connection any more"
    ENDED = "the connection is over"


_S: Final = CallState
_E: Final = CallEvent

TRANSITIONS: Final[Mapping[tuple[CallState, CallEvent], CallState]] = {
    (_S.IDLE, _E.WANTED): _S.WAITING,
    (_S.WAITING, _E.DUE): _S.CALLING,
    (_S.WAITING, _E.GIVEN_UP): _S.IDLE,
    (_S.CALLING, _E.CONNECTED): _S.CONNECTED,
    (_S.CALLING, _E.NEXT): _S.CALLING,
    (_S.CALLING, _E.FAILED): _S.PAUSING,
    (_S.CALLING, _E.GIVEN_UP): _S.IDLE,
    (_S.PAUSING, _E.DUE): _S.WAITING,
    (_S.PAUSING, _E.GIVEN_UP): _S.IDLE,
    (_S.CONNECTED, _E.ENDED): _S.IDLE,
}
"""What is not here changes nothing."""

PERMANENT: Final = frozenset(
    {
        AutoConnectMode.PERMANENT,
        AutoConnectMode.PERMANENT_IN_WINDOW,
        AutoConnectMode.PERMANENT_OR_CONNECT,
    }
)
"""Modes that want a connection always, or whenever the window is open."""
BY_METHOD: Final = frozenset(
    {
        AutoConnectMode.ANY_TIME,
        AutoConnectMode.IN_WINDOW,
        AutoConnectMode.REGULAR_IN_WINDOW_ALARM_ANY_TIME,
        AutoConnectMode.SMS_PLMN,
        AutoConnectMode.SMS_PSTN,
        AutoConnectMode.E_MAIL,
        AutoConnectMode.PERMANENT_OR_CONNECT,
        AutoConnectMode.ON_CONNECT,
    }
)
"""Modes in which method connect, or something to be sent, makes a connection."""
IN_WINDOW: Final = frozenset({AutoConnectMode.IN_WINDOW, AutoConnectMode.PERMANENT_IN_WINDOW})


@runtime_checkable
class Dialler(Protocol):
    """Who makes connections; a port of the host, which tells `Connecting` how it went."""

    def connect(self, destination: bytes) -> None:
        """Begin to connect.

        Raises:
            Refused: That cannot be begun.
        """
        ...

    def disconnect(self) -> None:
        """End the connection, because the mode wants it no longer."""
        ...


class Connecting:
    """The behaviour of one auto connect object; an actor."""

    def __init__(
        self,
        thing: AutoConnectV0,
        dialler: Dialler,
        *,
        zone: Callable[[], Zone] = lambda: UTC_ZONE,
        heard: Callable[[str], None] = lambda _sentence: None,
    ) -> None:
        self.thing, self._dialler, self._zone, self._heard = thing, dialler, zone, heard
        self.stage = CallState.IDLE
        self._due_us: int | None = None
        self._told_us = 0
        self._is_alarm = False
        self._rounds = self._destination = 0

    @property
    def _mode(self) -> int:
        return self.thing.mode

    def due_us(self) -> int | None:
        windows_, zone = self.thing.calling_window, self._zone()
        match self.stage:
            case CallState.IDLE if self._mode in PERMANENT and self.thing.destination_list:
                if self._mode in IN_WINDOW:
                    return windows.opens_us(windows_, self._told_us, zone)
                return self._told_us
            case CallState.CONNECTED if self._mode in IN_WINDOW & PERMANENT:
                return windows.closes_us(windows_, self._told_us, zone)
            case CallState.WAITING | CallState.PAUSING:
                return self._due_us or 0
        return None

    def tick(self, now_us: int) -> None:
        if self._due_us is not None and now_us < self._told_us:
            self._due_us -= self._told_us - now_us  # the clock was set back: pauses stay as long
        self._told_us = now_us
        if self.stage is CallState.IDLE and self._mode in PERMANENT and self._may_call(now_us):
            self._begin()
        if self.stage is CallState.CONNECTED and not self._may_stay(now_us):
            self._dialler.disconnect()
            self._step(CallEvent.ENDED)
        if self.stage is CallState.PAUSING and now_us >= (self._due_us or 0):
            self._step(CallEvent.DUE)
        if self.stage is CallState.WAITING:
            self._wait(now_us)

    def connect(self) -> None:
        """Make a connection; one that is being made or stands is enough.

        Raises:
            Refused: The mode makes no connections so.
        """
        self.want()

    def want(self, *, is_alarm: bool = False) -> None:
        """Make a connection because something is to be sent.

        Args:
            is_alarm: Whether it is an alarm, which mode 3 lets out of the window.

        Raises:
            Refused: The mode makes no connections so.
        """
        if self._mode not in BY_METHOD:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        self._is_alarm |= is_alarm
        self._begin()

    def _begin(self) -> None:
        if self.stage is CallState.IDLE:
            self._rounds = self._destination = 0
            self._step(CallEvent.WANTED)

    def _may_call(self, now_us: int) -> bool:
        regular = self._mode == AutoConnectMode.REGULAR_IN_WINDOW_ALARM_ANY_TIME
        if self._mode in IN_WINDOW or (regular and not self._is_alarm):
            return windows.is_open(self.thing.calling_window, now_us, self._zone())
        return True

    def _may_stay(self, now_us: int) -> bool:
        if self._mode == AutoConnectMode.NONE:
            return False
        return self._mode not in IN_WINDOW & PERMANENT or self._may_call(now_us)

    def _wait(self, now_us: int) -> None:
        if self._mode == AutoConnectMode.NONE or not self.thing.destination_list:
            self._step(CallEvent.GIVEN_UP)
        elif self._may_call(now_us):
            self._destination = 0
            self._step(CallEvent.DUE)
            self._call(now_us)
        else:
            self._due_us = windows.opens_us(self.thing.calling_window, now_us, self._zone())
            if self._due_us is None:
                self._heard("no calling window opens any more: the call is given up")
                self._step(CallEvent.GIVEN_UP)

    def _call(self, now_us: int) -> None:
        try:
            self._dialler.connect(self.thing.destination_list[self._destination])
        except Refused as refused:
            self._heard(f"the call was not begun: {refused}")
            self.failed(now_us)

    def connected(self) -> None:
        """Hear that the destination answers."""
        if (self.stage, CallEvent.CONNECTED) in TRANSITIONS:
            self._step(CallEvent.CONNECTED)

    def failed(self, now_us: int) -> None:
        """Hear that the destination does not answer."""
        if self.stage is not CallState.CALLING:
            return
        self._destination += 1
        if self._destination < len(self.thing.destination_list):
            self._step(CallEvent.NEXT)
            self._call(now_us)
        elif self._rounds < self.thing.repetitions or self._mode in PERMANENT:
            self._rounds += 1
            self._step(CallEvent.FAILED)
            self._due_us = now_us + max(1, self.thing.repetition_delay) * SECOND_US
        else:
            self._step(CallEvent.GIVEN_UP)

    def ended(self) -> None:
        """Hear that the connection is over."""
        if (self.stage, CallEvent.ENDED) in TRANSITIONS:
            self._step(CallEvent.ENDED)

    def _step(self, event: CallEvent) -> None:
        self.stage = TRANSITIONS[self.stage, event]
        self._due_us = None
        if self.stage is CallState.IDLE:
            self._is_alarm = False


def auto_connect(connecting: Connecting) -> Connecting:
    """Bind an auto connect object."""
    if isinstance(connecting.thing, AutoConnectV1):
        connect = as_action(no_argument(connecting.connect))
        connecting.thing.bind_method(AutoConnectV1.connect, connect)
    return connecting


@dataclass(frozen=True, slots=True)
class Answer:
    """What to do with a call: after how many rings to answer, and what it is for."""

    rings: int
    call_type: int


class Answering:
    """The behaviour of one auto answer object; an actor that counts anew in each window."""

    def __init__(self, thing: AutoAnswerV0, *, zone: Callable[[], Zone] = lambda: UTC_ZONE) -> None:
        self.thing, self._zone = thing, zone
        self._told_us = 0
        self._counted = 0
        self._was_open = False

    def due_us(self) -> int | None:
        shown, zone = self.thing.listening_window, self._zone()
        if windows.is_open(shown, self._told_us, zone):
            return windows.closes_us(shown, self._told_us, zone)
        return windows.opens_us(shown, self._told_us, zone)

    def tick(self, now_us: int) -> None:
        self._told_us = now_us
        is_open = windows.is_open(self.thing.listening_window, now_us, self._zone())
        if is_open and not self._was_open:
            self._counted = 0
        self._was_open = is_open

    @property
    def _is_limited(self) -> bool:
        limited = {AutoAnswerMode.LIMITED_CALLS, AutoAnswerMode.LIMITED_CONNECTIONS}
        return self.thing.mode in limited

    def status(self) -> AutoAnswerStatus:
        """Return what status shows."""
        if self.thing.mode == AutoAnswerMode.NONE or not self._was_open:
            return AutoAnswerStatus.INACTIVE
        limit = self.thing.number_of_calls
        if self._is_limited and self._counted >= limit > 0:
            return AutoAnswerStatus.LOCKED
        return AutoAnswerStatus.ACTIVE

    def called(self, caller: bytes, now_us: int) -> Answer | None:
        """Hear that somebody calls; return how to answer, or None.

        Args:
            caller: Who, as the network tells it.
            now_us: Calendar time, microseconds UTC.
        """
        self.tick(now_us)
        allowed: tuple[AllowedCaller, ...] = getattr(self.thing, "list_of_allowed_callers", ())
        known = next((each for each in allowed if each.caller_id == caller), None)
        rings = self.thing.number_of_rings
        if self.thing.mode == AutoAnswerMode.NONE or (allowed and known is None):
            return None
        if self.status() is AutoAnswerStatus.LOCKED:
            return None
        count = rings.in_window if self._was_open else rings.out_of_window
        if not count:  # 0 rings: no answer
            return None
        if self.thing.mode == AutoAnswerMode.LIMITED_CALLS:
            self._counted += 1
        return Answer(count, CallType.NORMAL if known is None else known.call_type)

    def connected(self) -> None:
        """Hear that a call became a connection."""
        if self.thing.mode == AutoAnswerMode.LIMITED_CONNECTIONS:
            self._counted += 1


def auto_answer(answering: Answering) -> Answering:
    """Bind an auto answer object."""
    answering.thing.bind(AutoAnswerV0.status, answering.status)
    return answering
