# SPDX-License-Identifier: Apache-2.0
"""Disconnect control of a device that has been brought to life (class 70, 4.5.8).

The states, triggers and modes stand in `cosem.classes.disconnect`; here they meet the host's
breaker, and the scripts of limiters, monitors and credits, which are local triggers.
"""

from dataclasses import dataclass
from typing import Any

from openami.cosem.behaviour.host import Life
from openami.cosem.classes.disconnect import (
    MODES,
    ControlState,
    DisconnectControl,
    Disconnector,
    bind_disconnector,
)


@dataclass(slots=True)
class RememberedBreaker:
    """A switch that is only a state, where the host has none."""

    state: ControlState

    def is_closed(self) -> bool:
        return self.state is ControlState.CONNECTED

    def move(self, state: ControlState) -> None:
        self.state = state


@dataclass(frozen=True, slots=True)
class DisconnectState:
    """What of a disconnect unit outlives a restart."""

    mode: int
    state: int


class DisconnectUnit:
    """One disconnect control and its state machine."""

    def __init__(self, row: DisconnectControl, life: Life) -> None:
        # What the object shows now, stored or from a source that was bound before.
        state = ControlState(getattr(row, "control_state", ControlState.CONNECTED))
        mode = getattr(row, "control_mode", 0)
        breaker = life.host.breaker(row.logical_name) or RememberedBreaker(state)
        self.unit = Disconnector(breaker, mode, state)
        if self.unit.mode not in MODES:
            what = f"control_mode {self.unit.mode} is not known: nothing moves the unit"
            life.report(row.logical_name, what)
        bind_disconnector(row, self.unit, is_local=lambda: life.is_local)

    def state(self) -> DisconnectState:
        return DisconnectState(self.unit.mode, int(self.unit.state))

    def restore(self, state: Any) -> None:  # noqa: ANN401  a DisconnectState
        self.unit.mode = state.mode
        after = ControlState(state.state)
        if after is not self.unit.state:
            self.unit.breaker.move(after)
            self.unit.state = after


def bind_disconnect_control(row: DisconnectControl, life: Life) -> DisconnectUnit:
    """Bind a disconnect control to the host's breaker."""
    return DisconnectUnit(row, life)
