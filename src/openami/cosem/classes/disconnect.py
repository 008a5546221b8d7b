# SPDX-License-Identifier: Apache-2.0
"""Disconnect control: who may open and close the supply, and when (DLMS UA 1000-1 Ed. 12, 4.5.8).

The class has three states and eight triggers; the control mode decides which transitions exist.
`Disconnector` runs the table and moves the breaker, which the meter binds.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Final, Protocol

from openami.cosem.kinds import BOOLEAN, ENUM, enumeration
from openami.cosem.model import Attribute, InterfaceClass, Method, Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.obis import Obis


class ControlState(IntEnum):
    """Internal state of a disconnect unit."""

    DISCONNECTED = 0
    CONNECTED = 1
    READY_FOR_RECONNECTION = 2


class Trigger(Enum):
    """What asks for a transition; the letters are the standard's."""

    REMOTE_DISCONNECT = "remote disconnect"  # b, c
    REMOTE_RECONNECT = "remote reconnect"  # a, d
    MANUAL_DISCONNECT = "manual disconnect"  # f
    MANUAL_RECONNECT = "manual reconnect"  # e
    LOCAL_DISCONNECT = "local disconnect"  # g: a limiter, a prepaid credit
    LOCAL_RECONNECT = "local reconnect"  # h


_OFF, _ON, _READY = ControlState

ARROWS: Final[Mapping[str, tuple[Trigger, ControlState, ControlState]]] = {
    "a": (Trigger.REMOTE_RECONNECT, _OFF, _ON),
    "b": (Trigger.REMOTE_DISCONNECT, _ON, _OFF),
    "c": (Trigger.REMOTE_DISCONNECT, _READY, _OFF),
    "d": (Trigger.REMOTE_RECONNECT, _OFF, _READY),
    "e": (Trigger.MANUAL_RECONNECT, _READY, _ON),
    "f": (Trigger.MANUAL_DISCONNECT, _ON, _READY),
    "g": (Trigger.LOCAL_DISCONNECT, _ON, _READY),
    "h": (Trigger.LOCAL_RECONNECT, _READY, _ON),
    "i": (Trigger.REMOTE_RECONNECT, _READY, _ON),  # mode 7 only; a single source
}
"""The transitions of the state diagram by their letters."""

MODES: Final[Mapping[int, str]] = {
    0: "",
    1: "bcdefg",
    2: "abcefg",
    3: "bcdeg",
    4: "abceg",
    5: "bcdefgh",
    6: "bcdegh",
    7: "abceghi",
}
"""The transitions that each control mode has; mode 0 is always connected, mode 7 is of version 1.

What mode 7 permits is known from a single source.
"""

FIRST_OF_VERSION_1: Final = 7
"""The first mode that version 0 of the class does not have."""

TRANSITIONS: Final[Mapping[tuple[int, ControlState, Trigger], ControlState]] = {
    (mode, before, trigger): after
    for mode, letters in MODES.items()
    for trigger, before, after in (ARROWS[letter] for letter in letters)
}

REACHED: Final[Mapping[Trigger, frozenset[ControlState]]] = {
    Trigger.REMOTE_DISCONNECT: frozenset({_OFF}),
    Trigger.REMOTE_RECONNECT: frozenset({_ON, _READY}),
    Trigger.MANUAL_DISCONNECT: frozenset({_OFF, _READY}),
    Trigger.MANUAL_RECONNECT: frozenset({_ON}),
    Trigger.LOCAL_DISCONNECT: frozenset({_OFF, _READY}),
    Trigger.LOCAL_RECONNECT: frozenset({_ON}),
}
"""The states in which a trigger has nothing left to do."""


class DisconnectControl(InterfaceClass, class_id=70, version=0, methods_at=0x20):
    """A device that disconnects and reconnects the premises (4.5.8), e.g. 0.0.96.3.10.255."""

    output_state = Attribute(2, BOOLEAN, dynamic=True)
    control_state = Attribute(3, enumeration(ControlState), dynamic=True)
    control_mode = Attribute(4, ENUM)  # a key of `MODES`

    remote_disconnect = Method(1)
    remote_reconnect = Method(2)


class DisconnectControlV1(
    DisconnectControl,
    class_id=70,
    version=1,
    methods_at=0x20,
    unsure="adds control mode 7, with a remote reconnect from ready to connected: single source",
):
    """Version 1: the same rows."""


class DisconnectControlV2(
    DisconnectControl,
    class_id=70,
    version=2,
    methods_at=0x20,
    unsure="what differs from version 1 is not known; its rows are served",
):
    """Version 2."""


class Breaker(Protocol):
    """The switch in the supply; a port that the meter binds."""

    def is_closed(self) -> bool:
        """Whether the premises are supplied now."""
        ...

    def move(self, state: ControlState) -> None:
        """Take the new state: remember it durably and close or open the switch after it."""
        ...


@dataclass(slots=True)
class Disconnector:
    """The state machine of one disconnect unit."""

    breaker: Breaker
    mode: int = 0
    state: ControlState = ControlState.CONNECTED

    def apply(self, trigger: Trigger) -> bool:
        """Follow `trigger`; return whether the state changed.

        A trigger whose goal is reached already changes nothing and is no fault, so that a command
        which is sent twice has the effect of one.

        Raises:
            Refused: The control mode has no such transition; a mode that nobody knows has none.
        """
        after = TRANSITIONS.get((self.mode, self.state, trigger))
        if after is None:
            if trigger in self._triggers() and self.state in REACHED[trigger]:
                return False
            raise Refused(ActionResult.READ_WRITE_DENIED)
        self.breaker.move(after)
        self.state = after
        return True

    def _triggers(self) -> set[Trigger]:
        return {ARROWS[letter][0] for letter in MODES.get(self.mode, "")}


def disconnect_control(logical_name: Obis, unit: Disconnector) -> DisconnectControl:
    """Return the COSEM object of a disconnect unit, bound to it."""
    return bind_disconnector(DisconnectControl(logical_name), unit)


def bind_disconnector(
    row: DisconnectControl, unit: Disconnector, *, is_local: Callable[[], bool] = lambda: False
) -> DisconnectControl:
    """Bind an object of any version to its unit.

    Args:
        row: The object.
        unit: The state machine; its mode is the object's.
        is_local: Whether what invokes a method now is a function of the meter, such as a limiter
            through a script: then it is a local trigger and no remote one.
    """

    def set_mode(mode: int) -> None:
        if mode not in MODES or (row.version == 0 and mode >= FIRST_OF_VERSION_1):
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        unit.mode = mode

    def on(remote: Trigger, local: Trigger) -> None:
        unit.apply(local if is_local() else remote)

    row.bind(DisconnectControl.output_state, unit.breaker.is_closed)
    row.bind(DisconnectControl.control_state, lambda: unit.state)
    row.bind(DisconnectControl.control_mode, lambda: unit.mode, set_mode)
    row.bind_method(
        DisconnectControl.remote_disconnect,
        lambda _argument: on(Trigger.REMOTE_DISCONNECT, Trigger.LOCAL_DISCONNECT),
    )
    row.bind_method(
        DisconnectControl.remote_reconnect,
        lambda _argument: on(Trigger.REMOTE_RECONNECT, Trigger.LOCAL_RECONNECT),
    )
    return row
