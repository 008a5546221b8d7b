# SPDX-License-Identifier: Apache-2.0
"""What associations by logical names and those by short names ask of a server.

DLMS UA 1000-2 Ed. 10, 9.4.4: the application context says how objects are named.  `Referencing`
holds what of the negotiation hangs on that, `Services` what answers afterwards; the association
itself (`server`) is the same.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from openami.cosem.device import Exchange
from openami.dlms.apdu.initiate import VAA_NAME_LN, Conformance

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
    """

    @property
    def terms(self) -> Terms: ...

    @property
    def handlers(self) -> Mapping[int, Handler]: ...

    def quick(self, apdu: bytes) -> bytes | None:
        """Return the answer to what is asked most and was asked before; None for all else."""

    def reply_to_hls(self, apdu: bytes) -> Replied | None:
        """Answer pass 3 of HLS; None where the APDU is anything else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Referencing:
    """What of the negotiation hangs on the way in which objects are named.

    Attributes:
        useful: Services, of which at least one must be negotiated.
        foreign: Bits of the other way, which are never negotiated.
        vaa_name: Of the InitiateResponse.
    """

    useful: Conformance
    foreign: Conformance
    vaa_name: int


_LN_ONLY: Final = (
    Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.EVENT_NOTIFICATION
    | Conformance.ACTION
)
_SN_ONLY: Final = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.UNCONFIRMED_WRITE
    | Conformance.INFORMATION_REPORT
    | Conformance.PARAMETERIZED_ACCESS
)

LOGICAL_NAMES: Final = Referencing(
    useful=(
        Conformance.GET
        | Conformance.SET
        | Conformance.ACTION
        | Conformance.ACCESS
        | Conformance.EVENT_NOTIFICATION
    ),
    foreign=_SN_ONLY,
    vaa_name=VAA_NAME_LN,
)
