# SPDX-License-Identifier: Apache-2.0
"""What a client says to open an association, and how it reads refusals.

DLMS UA 1000-2 Ed. 10, 9.4.4.  The association itself is `asking.association`.
"""

from openami.cosem.asking.parameters import ClientParameters
from openami.cosem.refusals import (
    ExceptionResponseError,
    ServiceRefusedError,
    UnexpectedAnswerError,
)
from openami.dlms.apdu.acse import AUTHENTICATION, Aarq
from openami.dlms.apdu.faults import ConfirmedServiceError, ExceptionResponse
from openami.dlms.apdu.initiate import Conformance, in_short_names
from openami.dlms.association import AssociationContext
from openami.dlms.hls import Mechanism
from openami.dlms.sap import Sap
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.counters import CounterBlock, ReceiveWindow


def proposed_conformance(parameters: ClientParameters) -> Conformance:
    """Return what the client proposes, with what its protection needs."""
    general = parameters.general or parameters.scheme is not None or parameters.sign
    proposed = parameters.conformance
    if parameters.short_names is not None:
        proposed = in_short_names(proposed)
    return proposed | Conformance.GENERAL_PROTECTION if general else proposed


def aarq(parameters: ClientParameters, value: bytes, user_information: bytes) -> bytes:
    """Return the AARQ.

    Args:
        parameters: Who we are.
        value: The password or challenge.
        user_information: The InitiateRequest, protected if there are keys.
    """
    authenticated = parameters.mechanism is not Mechanism.LOWEST
    credentials = parameters.credentials
    return Aarq(
        application_context_name=parameters.application_context.oid,
        calling_ap_title=parameters.system_title or None,
        calling_ae_qualifier=(credentials.certificate or None) if credentials else None,
        calling_ae_invocation_id=parameters.user_id,
        sender_acse_requirements=AUTHENTICATION if authenticated else None,
        mechanism_name=parameters.mechanism.oid if authenticated else None,
        calling_authentication_value=value if authenticated else None,
        user_information=user_information,
    ).encode()


def new_channel(
    parameters: ClientParameters, counters: CounterBlock | None, window: ReceiveWindow
) -> SecureChannel | None:
    """Return the protection of an association; None in a plain context."""
    if parameters.service_cipher is None or counters is None:
        return None
    return SecureChannel(
        cipher=parameters.service_cipher,
        role=Role.CLIENT,
        own_title=parameters.system_title,
        peer_title=parameters.server_title,
        counters=counters,
        window=window,
        policy=parameters.policy,
        control=parameters.control,
        form=parameters.general_header,
        credentials=parameters.credentials,
        sign=parameters.sign,
    )


def assumed(parameters: ClientParameters) -> AssociationContext:
    """Return what both ends believe where no AARE tells."""
    return AssociationContext(
        application_context=parameters.application_context,
        mechanism=parameters.mechanism,
        client_sap=Sap(parameters.client_sap),
        server_sap=Sap(parameters.server_sap),
        conformance=proposed_conformance(parameters),
        max_receive_pdu_octets=parameters.max_receive_pdu_octets,
        max_send_pdu_octets=parameters.server_max_receive_pdu_octets,
        client_title=parameters.system_title,
        server_title=parameters.server_title,
        keys=parameters.cipher.keys if parameters.cipher else None,
        dedicated_key=parameters.dedicated_key,
    )


def check_refusal(octets: bytes, request: str) -> None:
    """Raise what an exception-response or a confirmed service error says."""
    match octets[:1]:
        case b"\xd8":
            response = ExceptionResponse.decode(octets)
            raise ExceptionResponseError(
                request, response.state_error, response.service_error, response.invocation_counter
            )
        case b"\x0e":
            raise ServiceRefusedError(request, ConfirmedServiceError.decode(octets))


def initiate_error(user_information: bytes | None) -> ConfirmedServiceError | None:
    """Return why an AARE refuses the xDLMS context, if it says so."""
    if not user_information or user_information[0] != ConfirmedServiceError.TAG:
        return None
    return ConfirmedServiceError.decode(user_information)


def check_tag(octets: bytes, tag: int, request: str) -> None:
    """Raise `UnexpectedAnswerError` for an APDU of another kind."""
    if octets[:1] != bytes((tag,)):
        found = octets[:1].hex().upper() or "nothing"
        raise UnexpectedAnswerError(request, f"an APDU with tag {found}, not {tag:02X}")
