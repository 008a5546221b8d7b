# SPDX-License-Identifier: Apache-2.0
"""The application association: which APDU may follow which, and what both ends agreed on.

DLMS UA 1000-2 Ed. 10, 9.4.2 (the control function) gives the states and their names.
Client and server run the same table, so neither can forgive itself what it refuses in the
other.  The association does no input or output: it is handed APDUs and remembers a state.

::

    IDLE --AARQ--> ASSOCIATION_PENDING --AARE accepted--> ASSOCIATED --RLRQ--> RELEASE_PENDING
                          |                                    ^                     |
                          | AARE accepted,                     | reply_to_HLS        | RLRE
                          | authentication required            | answered            v
                          +-------> AUTHENTICATION_PENDING ----+                   IDLE
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto, unique
from types import MappingProxyType
from typing import Final, Self

from openami.dlms.apdu.acse import ApplicationContextName
from openami.dlms.errors import DecodeError, LocalProtocolError, ProtocolError, RemoteProtocolError
from openami.dlms.hls import Mechanism
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE, PUBLIC_CLIENT, Sap
from openami.dlms.security.keyset import KeySet

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4.2"


class State(Enum):
    """States of the control function."""

    __hash__ = object.__hash__  # members are single: no need to hash their names at each step

    IDLE = auto()
    ASSOCIATION_PENDING = auto()
    AUTHENTICATION_PENDING = auto()
    """Accepted, but passes 3 and 4 of HLS are not done: only reply_to_HLS_authentication."""
    ASSOCIATED = auto()
    RELEASE_PENDING = auto()


class Primitive(Enum):
    """What an APDU means to the control function, whichever side it travels from."""

    __hash__ = object.__hash__

    OPEN_REQUEST = auto()  # AARQ
    OPEN_ACCEPTED = auto()  # AARE, result accepted
    OPEN_AUTHENTICATION_REQUIRED = auto()  # AARE, accepted, diagnostic 14
    OPEN_REJECTED = auto()  # AARE, any other result
    AUTHENTICATION_REQUEST = auto()  # ACTION reply_to_HLS_authentication, pass 3
    AUTHENTICATION_ACCEPTED = auto()  # its response with f(CtoS), pass 4
    AUTHENTICATION_REJECTED = auto()  # its response without
    SERVICE = auto()  # GET, SET, ACTION, ACCESS, READ, WRITE and their responses
    NOTIFICATION = auto()  # DataNotification, EventNotification, InformationReport
    RELEASE_REQUEST = auto()  # RLRQ
    RELEASE_RESPONSE = auto()  # RLRE
    RELEASE_REFUSED = auto()  # RLRE, reason not-finished: the association goes on


TRANSITIONS: Final[Mapping[tuple[State, Primitive], State]] = MappingProxyType(
    {
        (State.IDLE, Primitive.OPEN_REQUEST): State.ASSOCIATION_PENDING,
        (State.ASSOCIATION_PENDING, Primitive.OPEN_ACCEPTED): State.ASSOCIATED,
        (
            State.ASSOCIATION_PENDING,
            Primitive.OPEN_AUTHENTICATION_REQUIRED,
        ): State.AUTHENTICATION_PENDING,
        (State.ASSOCIATION_PENDING, Primitive.OPEN_REJECTED): State.IDLE,
        (
            State.AUTHENTICATION_PENDING,
            Primitive.AUTHENTICATION_REQUEST,
        ): State.AUTHENTICATION_PENDING,
        (State.AUTHENTICATION_PENDING, Primitive.AUTHENTICATION_ACCEPTED): State.ASSOCIATED,
        (State.AUTHENTICATION_PENDING, Primitive.AUTHENTICATION_REJECTED): State.IDLE,
        (State.AUTHENTICATION_PENDING, Primitive.RELEASE_REQUEST): State.RELEASE_PENDING,
        (State.ASSOCIATED, Primitive.SERVICE): State.ASSOCIATED,
        (State.ASSOCIATED, Primitive.NOTIFICATION): State.ASSOCIATED,
        (State.ASSOCIATED, Primitive.RELEASE_REQUEST): State.RELEASE_PENDING,
        # A notification may cross the client's RLRQ on its way.
        (State.RELEASE_PENDING, Primitive.NOTIFICATION): State.RELEASE_PENDING,
        (State.RELEASE_PENDING, Primitive.RELEASE_RESPONSE): State.IDLE,
        (State.RELEASE_PENDING, Primitive.RELEASE_REFUSED): State.ASSOCIATED,
    }
)


_SERVICE: Final = Primitive.SERVICE
_ASSOCIATED: Final = State.ASSOCIATED


@dataclass(slots=True)
class Association:
    """One application association, seen from either side."""

    state: State = State.IDLE

    def sent(self, primitive: Primitive) -> None:
        """Record what we are about to send; refuse it while nothing is on the wire yet."""
        if primitive is _SERVICE and self.state is _ASSOCIATED:
            return  # the commonest arrow of the table leads back to where it begins
        self._step(primitive, LocalProtocolError)

    def received(self, primitive: Primitive) -> None:
        """Record what the peer sent."""
        self._step(primitive, RemoteProtocolError)

    def aborted(self) -> None:
        """Record A-ABORT, ours or the peer's, or the loss of the supporting layer: to IDLE."""
        self.state = State.IDLE

    def lost(self) -> None:
        """Record that the supporting layer is gone: any state, straight to IDLE."""
        self.state = State.IDLE

    def _step(self, primitive: Primitive, refusal: type[ProtocolError]) -> None:
        try:
            self.state = TRANSITIONS[self.state, primitive]
        except KeyError:
            raise refusal(primitive.name, self.state.name) from None


@unique
class ApplicationContext(IntEnum):
    """Application contexts, 2.16.756.5.8.1.n: how objects are named and whether APDUs are ciphered.

    LN is logical names (OBIS codes), SN short names.
    """

    LN = 1
    SN = 2
    LN_CIPHERED = 3
    SN_CIPHERED = 4

    @classmethod
    def of(cls, *, short_names: bool = False, ciphered: bool = False) -> Self:
        return cls(1 + short_names + 2 * ciphered)

    @property
    def oid(self) -> bytes:
        """The application-context-name as the octets of its object identifier."""
        return ApplicationContextName[self.name].value

    @classmethod
    def from_oid(cls, octets: bytes) -> Self:
        """Read an application-context-name.

        Raises:
            DecodeError: No context of this standard.
        """
        try:
            return cls[ApplicationContextName(octets).name]
        except ValueError:
            problem = f"{octets.hex().upper()} names no application context"
            raise DecodeError(problem, octets, 0, CLAUSE) from None

    @property
    def is_ciphered(self) -> bool:
        return self >= ApplicationContext.LN_CIPHERED

    @property
    def uses_short_names(self) -> bool:
        return self in {ApplicationContext.SN, ApplicationContext.SN_CIPHERED}


@dataclass(frozen=True, slots=True, kw_only=True)
class AssociationContext:
    """What an open association rests on, as negotiated.

    Attributes:
        application_context: From AARQ.application-context-name.
        mechanism: From AARQ.mechanism-name.
        client_sap: Of the client.
        server_sap: Of the logical device.
        conformance: The services that both sides offer; bit 0 is the most significant of 24.
        max_receive_pdu_octets: The longest APDU that we take.
        max_send_pdu_octets: The longest that the peer takes.
        client_title: System title, where authentication or ciphering needs it.
        server_title: The server's.
        keys: The global keys, in a ciphered context or with GMAC.
        dedicated_key: Of this association, from the InitiateRequest.
    """

    application_context: ApplicationContext = ApplicationContext.LN
    mechanism: Mechanism = Mechanism.LOWEST
    client_sap: Sap = PUBLIC_CLIENT
    server_sap: Sap = MANAGEMENT_LOGICAL_DEVICE
    conformance: int = 0
    max_receive_pdu_octets: int = 0xFFFF
    max_send_pdu_octets: int = 0xFFFF
    client_title: bytes = b""
    server_title: bytes = b""
    keys: KeySet | None = None
    dedicated_key: bytes | None = field(default=None, repr=False)
