# SPDX-License-Identifier: Apache-2.0
"""What associations by logical names and those by short names ask of a server.

DLMS UA 1000-2 Ed. 10, 9.4.4: the application context says how objects are named.  `Referencing`
holds what of the negotiation hangs on that, `Services` what answers afterwards; the association
itself (`server`) is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from openami.cosem.rights import Exchange
from openami.cosem.serving.faults import NOT_POSSIBLE
from openami.dlms.apdu.faults import ConfirmedServiceError, ErrorCategory, FailedService
from openami.dlms.apdu.initiate import (
    LN_ONLY,
    SN_ONLY,
    VAA_NAME_LN,
    VAA_NAME_SN,
    Conformance,
    in_short_names,
)

Handler = Callable[[bytes], bytes | None]
"""Answers a plain APDU; None where the client wants no answer.

It may raise `DecodeError`, `SecurityError` or `NotNegotiated`; see `faults.fault`.
"""


class Terms(Protocol):
    """What an association tells its services about the request that is being answered."""

    room_octets: int
    """The longest plain response; protection already subtracted."""
    exchange: Exchange


class Replied(NamedTuple):
    """The answer to pass 3 of HLS."""

    response: bytes
    accepted: bool


class Services(Protocol):
    """The services of one association.

    Attributes:
        terms: Set before each request.
        handlers: What answers an APDU, by its tag.
        unknown: What answers all others.
    """

    @property
    def terms(self) -> Terms: ...

    @property
    def handlers(self) -> Mapping[int, Handler]: ...

    @property
    def unknown(self) -> Handler: ...

    def quick(self, apdu: bytes) -> bytes | None:
        """Return the answer to what is asked most and was asked before; None for all else."""

    def is_confirmed(self, apdu: bytes) -> bool:
        """Tell whether a request wants an answer; what is no request counts as one that does."""

    def reply_to_hls(self, apdu: bytes) -> Replied | None:
        """Answer pass 3 of HLS; None where the APDU is anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referencing:
    """What of the negotiation hangs on the way in which objects are named.

    Attributes:
        useful: Services, of which at least one must be negotiated.
        foreign: Bits of the other way, which are never negotiated.
        vaa_name: Of the InitiateResponse.
        not_possible: Answers a service while there is no association.
    """

    useful: Conformance
    foreign: Conformance
    vaa_name: int
    not_possible: Handler = lambda _apdu: NOT_POSSIBLE

    def offered(self, conformance: Conformance) -> Conformance:
        """Return bits that were named for either way, in those of this one."""
        if self.useful & Conformance.READ:
            conformance = in_short_names(conformance)
        return conformance & ~self.foreign


LOGICAL_NAMES: Final = Referencing(
    useful=(
        Conformance.GET
        | Conformance.SET
        | Conformance.ACTION
        | Conformance.ACCESS
        | Conformance.EVENT_NOTIFICATION
    ),
    foreign=SN_ONLY,
    vaa_name=VAA_NAME_LN,
)


def _no_association(apdu: bytes) -> bytes:
    """Return the ConfirmedServiceError to a service in IDLE: vde-state-error, no-dlms-context."""
    return _service_error(apdu, ErrorCategory.VDE_STATE_ERROR, 1)


def unsupported_service(apdu: bytes) -> bytes:
    """Return the ConfirmedServiceError to a service of the other way: service-unsupported."""
    return _service_error(apdu, ErrorCategory.SERVICE, 2)


def _service_error(apdu: bytes, category: ErrorCategory, number: int) -> bytes:
    services = {0x05: FailedService.READ, 0x06: FailedService.WRITE}
    service = services.get(apdu[0] if apdu else -1, FailedService.INITIATE)
    return ConfirmedServiceError(service=service, category=category, number=number).encode()


SHORT_NAMES: Final = Referencing(
    useful=(
        Conformance.READ
        | Conformance.WRITE
        | Conformance.UNCONFIRMED_WRITE
        | Conformance.INFORMATION_REPORT
    ),
    foreign=LN_ONLY,
    vaa_name=VAA_NAME_SN,
    not_possible=_no_association,
)
