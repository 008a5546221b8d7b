# SPDX-License-Identifier: Apache-2.0
"""How an account, which has no switch of its own, opens and closes the supply.

DLMS UA 1000-1 Ed. 12, 4.5.8 (disconnect control) and 4.5.12 (arbitrator).  What the unit's control
mode or the arbitrator does not allow is not done, and no fault: a consumer may have to reconnect
by hand, or another actor weigh more.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from openami.cosem.behaviour.acting import Inside
from openami.cosem.classes.disconnect import ControlState, DisconnectControl, Disconnector, Trigger
from openami.cosem.classes.monitoring import Arbitrator
from openami.cosem.kinds import BOOLEAN
from openami.cosem.model import Refused
from openami.dlms.data import BitString, Structure, Unsigned
from openami.dlms.obis import Obis


@runtime_checkable
class Supply(Protocol):
    """The supply of the premises; a port of whoever may ask for it."""

    def is_connected(self) -> bool:
        """Whether the premises are supplied now."""
        ...

    def disconnect(self) -> None:
        """Ask for the supply to be opened."""
        ...

    def reconnect(self) -> None:
        """Ask for the supply to be closed, or to be made ready for that."""
        ...


@dataclass(frozen=True, slots=True)
class OwnSupply:
    """A disconnect unit of this meter, asked directly by its local triggers."""

    unit: Disconnector

    def is_connected(self) -> bool:
        return self.unit.state is ControlState.CONNECTED

    def disconnect(self) -> None:
        with suppress(Refused):
            self.unit.apply(Trigger.LOCAL_DISCONNECT)

    def reconnect(self) -> None:
        with suppress(Refused):
            self.unit.apply(Trigger.LOCAL_RECONNECT)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArbitratedSupply:
    """A disconnect unit behind an arbitrator, which weighs what several actors ask for.

    Attributes:
        inside: The device.
        arbitrator: The arbitrator's logical name.
        unit: The disconnect unit's logical name.
        actor: Our number at the arbitrator.
        actions: How many actions the arbitrator has.
        disconnect_action: Which of them opens, from 0.
        reconnect_action: Which of them closes, from 0.
    """

    inside: Inside
    arbitrator: Obis
    unit: Obis
    actor: int
    actions: int
    disconnect_action: int
    reconnect_action: int

    def is_connected(self) -> bool:
        row = DisconnectControl.output_state
        try:
            found = self.inside.read(DisconnectControl.class_id, self.unit, row.index)
        except Refused:
            return True  # nothing is known that opens the supply
        return BOOLEAN.from_data(found)

    def disconnect(self) -> None:
        self._ask(self.disconnect_action)

    def reconnect(self) -> None:
        self._ask(self.reconnect_action)

    def _ask(self, action: int) -> None:
        bits = BitString.from_bits("".join("01"[index == action] for index in range(self.actions)))
        request = Structure((Unsigned(self.actor), bits))
        with suppress(Refused):
            row = Arbitrator.request_action
            self.inside.invoke(Arbitrator.class_id, self.arbitrator, row.index, request)
