# SPDX-License-Identifier: Apache-2.0
"""The states of a data link: which frame may follow which (IEC 62056-46, 6.4.4).

Primary and secondary station run the same table over all frames of a link, those they send and
those they receive, so neither can forgive itself what it refuses in the other.

::

    NDM --SNRM--> CONNECTING --UA--> NRM --DISC--> DISCONNECTING --UA or DM--> NDM
                      |               |
                      DM --> NDM      FRMR --> REJECTED --SNRM or DISC--> as above
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from openami.dlms.errors import LocalProtocolError
from openami.dlms.hdlc.control import Kind


class State(Enum):
    """States of a data link."""

    __hash__ = object.__hash__

    NDM = auto()
    """Normal disconnected mode."""
    CONNECTING = auto()
    """SNRM is on its way and not answered."""
    NRM = auto()
    """Normal response mode: information may be exchanged."""
    DISCONNECTING = auto()
    """DISC is on its way and not answered."""
    REJECTED = auto()
    """The secondary has sent FRMR: only SNRM and DISC lead on."""


TRANSITIONS: Final[Mapping[tuple[State, Kind], State]] = MappingProxyType(
    {
        (State.NDM, Kind.SNRM): State.CONNECTING,
        (State.NDM, Kind.DISC): State.DISCONNECTING,
        (State.NDM, Kind.DM): State.NDM,
        (State.NDM, Kind.UI): State.NDM,
        (State.CONNECTING, Kind.SNRM): State.CONNECTING,  # said again after a time-out
        (State.CONNECTING, Kind.DISC): State.DISCONNECTING,  # the primary gives up
        (State.CONNECTING, Kind.UA): State.NRM,
        (State.CONNECTING, Kind.DM): State.NDM,
        (State.CONNECTING, Kind.UI): State.CONNECTING,
        (State.NRM, Kind.I): State.NRM,
        (State.NRM, Kind.RR): State.NRM,
        (State.NRM, Kind.RNR): State.NRM,
        (State.NRM, Kind.UI): State.NRM,
        (State.NRM, Kind.FRMR): State.REJECTED,
        (State.NRM, Kind.SNRM): State.CONNECTING,  # the primary starts anew: all numbers fall
        (State.NRM, Kind.DISC): State.DISCONNECTING,
        (State.NRM, Kind.DM): State.NDM,  # the secondary lost the link, e.g. by a restart
        (State.DISCONNECTING, Kind.DISC): State.DISCONNECTING,
        (State.DISCONNECTING, Kind.UA): State.NDM,
        (State.DISCONNECTING, Kind.DM): State.NDM,
        (State.DISCONNECTING, Kind.UI): State.DISCONNECTING,
        (State.REJECTED, Kind.FRMR): State.REJECTED,
        (State.REJECTED, Kind.UI): State.REJECTED,
        (State.REJECTED, Kind.SNRM): State.CONNECTING,
        (State.REJECTED, Kind.DISC): State.DISCONNECTING,
        (State.REJECTED, Kind.DM): State.NDM,
    }
)


@dataclass(slots=True)
class Mode:
    """The state of one link, seen from either side."""

    state: State = State.NDM

    def sent(self, kind: Kind) -> None:
        """Record what we are about to send.

        Raises:
            LocalProtocolError: It has no place in this state.
        """
        if not self.received(kind):
            raise LocalProtocolError(kind.value, self.state.name)

    def received(self, kind: Kind) -> bool:
        """Record what the peer sent; return False, and stay, where it has no place."""
        following = TRANSITIONS.get((self.state, kind))
        if following is None:
            return False
        self.state = following
        return True

    def lost(self) -> None:
        """Record that the line or the peer is gone."""
        self.state = State.NDM
