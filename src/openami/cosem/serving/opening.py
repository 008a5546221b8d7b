# SPDX-License-Identifier: Apache-2.0
"""How a server judges an AARQ, and what it answers.

DLMS UA 1000-2 Ed. 10, 9.4.4 and 9.4.5.  An AARQ is checked in the order of the standard: ACSE
version, application context, titles, authentication, then the InitiateRequest inside.  Each
refusal names its diagnostic; refusals of the xDLMS context carry a ConfirmedServiceError.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hmac import compare_digest
from types import MappingProxyType
from typing import Final

from openami.cosem.classes.access_control import UserListEntry
from openami.cosem.device import AssociationPolicy, Channel, LogicalDevice, PreEstablished
from openami.cosem.serving.referencing import LOGICAL_NAMES, SHORT_NAMES, Referencing
from openami.cosem.serving.services import SMALLEST_ROOM_OCTETS
from openami.dlms.apdu.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseServiceProvider,
    AcseServiceUser,
    AssociationResult,
    Diagnostic,
)
from openami.dlms.apdu.faults import (
    ConfirmedServiceError,
    ErrorCategory,
    FailedService,
    InitiateError,
)
from openami.dlms.apdu.initiate import (
    DLMS_VERSION,
    Conformance,
    InitiateRequest,
    InitiateResponse,
)
from openami.dlms.association import ApplicationContext, AssociationContext
from openami.dlms.errors import DecodeError, ReplayError, SecurityError
from openami.dlms.hls import Handshake, Mechanism, check_challenge
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import SYSTEM_TITLE_OCTETS
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.envelopes import UNPROTECTED, Protection

Entropy = Callable[[int], bytes]
"""Gives that many unpredictable octets."""

UNLIMITED_PDU_OCTETS: Final = 0xFFFF
DECIPHERING_ERROR: Final = (ErrorCategory.APPLICATION_REFERENCE, 6)
PROTECTION_OCTETS: Final = 30
"""The most that general-glo-ciphering adds: tag, title, length, header, tag of the cipher."""

REFERENCING: Final[Mapping[bool, Referencing]] = MappingProxyType(
    {False: LOGICAL_NAMES, True: SHORT_NAMES}
)
"""By whether the application context uses short names."""


@dataclass(slots=True, kw_only=True)
class Opened:
    """An AARQ that was accepted.

    Attributes:
        aare: The answer.
        context: What was negotiated.
        channel: The protection; None in a plain context.
        handshake: What passes 3 and 4 of HLS need; None where authentication is complete.
        initiate_response: Repeated, protected, when the association is released.
        is_confirmed: Whether anything is answered; see `unanswered`.
        user: Whom the AARQ named; None where users are not told apart.
    """

    aare: bytes | None
    context: AssociationContext
    channel: Channel | None
    handshake: Handshake | None
    initiate_response: bytes
    is_confirmed: bool = True
    user: UserListEntry | None = None


class Rejected(Exception):  # noqa: N818  a verdict on the peer, not a failure of ours
    """An AARQ that is refused, and the answer to it.

    Attributes:
        diagnostic: Why.
        error: Why, where it is the xDLMS context.
        is_silent: Whether the client wants no answer (response-allowed is false).
    """

    def __init__(
        self,
        diagnostic: Diagnostic,
        error: tuple[ErrorCategory, int] | None = None,
    ) -> None:
        super().__init__(diagnostic, error)
        self.diagnostic = diagnostic
        self.error = error
        self.is_silent = False

    def __str__(self) -> str:
        return str(self.diagnostic if self.error is None else self._service_error().name)

    @property
    def reason(self) -> Diagnostic | tuple[ErrorCategory, int]:
        """What was found: the error of the xDLMS context, or the diagnostic."""
        return self.error or self.diagnostic

    def _service_error(self) -> ConfirmedServiceError:
        category, number = self.error or (ErrorCategory.INITIATE, InitiateError.OTHER)
        return ConfirmedServiceError(
            service=FailedService.INITIATE, category=category, number=number
        )

    def aare(self, context: ApplicationContext) -> bytes | None:
        """Return the AARE that tells the client; None where it wants none."""
        if self.is_silent:
            return None
        return Aare(
            application_context_name=context.oid,
            result=AssociationResult.REJECTED_PERMANENT,
            result_source_diagnostic=self.diagnostic,
            user_information=self._service_error().encode() if self.error else None,
        ).encode()


def context_of(policy: AssociationPolicy | None) -> ApplicationContext:
    """Return the application context that a client must name."""
    if policy is None:
        return ApplicationContext.LN
    return ApplicationContext.of(
        short_names=policy.short_names is not None, ciphered=policy.service_ciphering is not None
    )


def referencing_of(policy: AssociationPolicy) -> Referencing:
    """Return how a client names objects."""
    return REFERENCING[policy.short_names is not None]


def judge(device: LogicalDevice, policy: AssociationPolicy, aarq: Aarq, entropy: Entropy) -> Opened:
    """Accept an AARQ.

    With response-allowed false it opens an unconfirmed association: nothing is answered, neither
    this AARQ nor a later service, so HLS, which needs an answer, cannot open one.

    Raises:
        Rejected: With the diagnostic.
        ReplayError: The protected InitiateRequest was used before.
    """
    try:
        _check_context(policy, aarq)
        user = _user(policy, aarq)
        own_challenge = _authenticate(policy, aarq, entropy)
        credentials = _credentials(policy, aarq)
    except Rejected as rejected:
        rejected.is_silent = _wants_silence(aarq.user_information or b"")
        raise
    channel = _channel(device, policy, aarq.calling_ap_title or b"", credentials)
    request, protection = _initiate_request(aarq, channel)
    try:
        conformance, max_send = _negotiate(policy, request)
        _take_dedicated_key(channel, request, protection)
        _check_answerable(own_challenge, request)
    except Rejected as rejected:
        rejected.is_silent = not request.response_allowed
        raise
    ciphering = policy.ciphering
    context = AssociationContext(
        application_context=context_of(policy),
        mechanism=policy.mechanism,
        client_sap=Sap(policy.client_sap),
        server_sap=Sap(device.sap),
        conformance=conformance,
        max_receive_pdu_octets=policy.max_receive_pdu_octets,
        max_send_pdu_octets=max_send,
        client_title=aarq.calling_ap_title or b"",
        server_title=device.system_title,
        keys=ciphering.cipher.keys if ciphering else None,
        dedicated_key=request.dedicated_key,
    )
    opened = Opened(
        aare=None,
        context=context,
        channel=channel,
        handshake=None,
        initiate_response=_initiate_response(policy, request, conformance),
        is_confirmed=request.response_allowed,
        user=user,
    )
    if own_challenge:
        opened.handshake = _handshake(policy, context, aarq, own_challenge, credentials)
    if opened.is_confirmed:
        user_information = _protected(channel, opened.initiate_response, protection)
        opened.aare = _aare(context, opened.handshake, user_information)
    return opened


def _check_answerable(own_challenge: bytes, request: InitiateRequest) -> None:
    if own_challenge and not request.response_allowed:
        raise Rejected(AcseServiceUser.AUTHENTICATION_REQUIRED)


def _wants_silence(user_information: bytes) -> bool:
    """Tell whether a plain InitiateRequest wants no answer; of a ciphered one nobody knows."""
    if user_information[:1] != bytes((InitiateRequest.TAG,)):
        return False
    try:
        return not InitiateRequest.decode(user_information).response_allowed
    except DecodeError:
        return False


def standing(device: LogicalDevice, policy: AssociationPolicy, terms: PreEstablished) -> Opened:
    """Return the pre-established association of a client (9.4.4.4): there is no AARQ."""
    ciphering = policy.ciphering
    return Opened(
        aare=None,
        context=AssociationContext(
            application_context=context_of(policy),
            mechanism=Mechanism.LOWEST,
            client_sap=Sap(policy.client_sap),
            server_sap=Sap(device.sap),
            conformance=_offered(policy),
            max_receive_pdu_octets=policy.max_receive_pdu_octets,
            max_send_pdu_octets=terms.client_max_receive_pdu_octets,
            client_title=terms.client_title,
            server_title=device.system_title,
            keys=ciphering.cipher.keys if ciphering else None,
        ),
        channel=_channel(device, policy, terms.client_title, policy.credentials),
        handshake=None,
        initiate_response=b"",
        is_confirmed=terms.confirmed,
    )


def _initiate_response(
    policy: AssociationPolicy, request: InitiateRequest, conformance: Conformance
) -> bytes:
    return InitiateResponse(
        negotiated_quality_of_service=request.proposed_quality_of_service,
        negotiated_conformance=conformance,
        server_max_receive_pdu_size=policy.max_receive_pdu_octets,
        vaa_name=referencing_of(policy).vaa_name,
    ).encode()


def _offered(policy: AssociationPolicy) -> Conformance:
    offered = policy.conformance
    if policy.service_ciphering is not None:
        offered |= Conformance.GENERAL_PROTECTION
    return referencing_of(policy).offered(offered)


def _user(policy: AssociationPolicy, aarq: Aarq) -> UserListEntry | None:
    """Return the user that the AARQ names, where users are told apart."""
    if not policy.user_list:
        return None
    named = aarq.calling_ae_invocation_id
    for user in policy.user_list:
        if user.user_id == named:
            return user
    raise Rejected(AcseServiceUser.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED)


def _check_context(policy: AssociationPolicy, aarq: Aarq) -> None:
    version = aarq.protocol_version
    if version is not None and not version.bits.startswith("1"):
        raise Rejected(AcseServiceProvider.NO_COMMON_ACSE_VERSION)
    if aarq.application_context_name != context_of(policy).oid:
        raise Rejected(AcseServiceUser.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
    title = aarq.calling_ap_title
    needed = policy.ciphering is not None or policy.mechanism > Mechanism.HLS_SHA1
    if (title is None and needed) or (title is not None and len(title) != SYSTEM_TITLE_OCTETS):
        raise Rejected(AcseServiceUser.CALLING_AP_TITLE_NOT_RECOGNIZED)


def _authenticate(policy: AssociationPolicy, aarq: Aarq, entropy: Entropy) -> bytes:
    """Check what the AARQ can prove; return the server's challenge if HLS goes on from here."""
    named = aarq.mechanism_name
    if policy.mechanism is Mechanism.LOWEST:
        if named not in {None, Mechanism.LOWEST.oid}:
            raise Rejected(AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED)
        return b""
    requirements = aarq.sender_acse_requirements
    if requirements is None or not requirements.bits.startswith("1"):
        raise Rejected(AcseServiceUser.AUTHENTICATION_REQUIRED)
    if named is None:
        raise Rejected(AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_REQUIRED)
    if named != policy.mechanism.oid:
        raise Rejected(AcseServiceUser.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED)
    value = aarq.calling_authentication_value
    if value is None:
        raise Rejected(AcseServiceUser.AUTHENTICATION_REQUIRED)
    if policy.mechanism is Mechanism.LLS:
        if not _is_password(policy, value):
            raise Rejected(AcseServiceUser.AUTHENTICATION_FAILURE)
        return b""
    try:
        check_challenge("client's challenge", value, policy.mechanism)
    except SecurityError:
        raise Rejected(AcseServiceUser.AUTHENTICATION_FAILURE) from None
    return entropy(policy.mechanism.challenge_octets)


def _is_password(policy: AssociationPolicy, value: bytes) -> bool:
    if policy.is_password is not None:
        return policy.is_password(value)
    return bool(policy.secret) and compare_digest(value, policy.secret)


def _credentials(policy: AssociationPolicy, aarq: Aarq) -> Credentials | None:
    """Return the credentials of this association; a certificate in the AARQ must be trusted."""
    credentials, certificate = policy.credentials, aarq.calling_ae_qualifier
    if credentials is None or credentials.trust is None or not certificate:
        return credentials
    try:
        key = credentials.trust.verifying_key(certificate, aarq.calling_ap_title or b"")
    except SecurityError:
        raise Rejected(AcseServiceUser.AUTHENTICATION_FAILURE) from None
    return replace(credentials, peer_signing=key)


def _channel(
    device: LogicalDevice,
    policy: AssociationPolicy,
    client_title: bytes,
    credentials: Credentials | None,
) -> Channel | None:
    ciphering = policy.service_ciphering
    if ciphering is None:
        return None
    return ciphering.channel(device.system_title, client_title, credentials)


def _initiate_request(aarq: Aarq, channel: Channel | None) -> tuple[InitiateRequest, Protection]:
    octets = aarq.user_information
    refused = Rejected(
        AcseServiceUser.NO_REASON_GIVEN, (ErrorCategory.INITIATE, InitiateError.OTHER)
    )
    if not octets:
        raise refused
    try:
        plain, protection = channel.unprotect(octets) if channel else (octets, UNPROTECTED)
        return InitiateRequest.decode(plain), protection
    except ReplayError:
        raise
    except SecurityError:
        raise Rejected(AcseServiceUser.NO_REASON_GIVEN, DECIPHERING_ERROR) from None
    except DecodeError:
        raise refused from None


def _negotiate(policy: AssociationPolicy, request: InitiateRequest) -> tuple[Conformance, int]:
    """Return the negotiated conformance, and the longest APDU that the client takes."""

    def refused(error: InitiateError) -> Rejected:
        return Rejected(AcseServiceUser.NO_REASON_GIVEN, (ErrorCategory.INITIATE, error))

    if request.proposed_dlms_version_number < DLMS_VERSION:
        raise refused(InitiateError.DLMS_VERSION_TOO_LOW)
    conformance = request.proposed_conformance & _offered(policy)
    if not conformance & referencing_of(policy).useful:
        raise refused(InitiateError.INCOMPATIBLE_CONFORMANCE)
    max_send = request.client_max_receive_pdu_size or UNLIMITED_PDU_OCTETS
    # General block transfer cuts what is protected already, so that any size does.
    in_blocks = bool(conformance & Conformance.GENERAL_BLOCK_TRANSFER)
    overhead = PROTECTION_OCTETS if policy.service_ciphering and not in_blocks else 0
    if max_send < SMALLEST_ROOM_OCTETS + overhead:
        raise refused(InitiateError.PDU_SIZE_TOO_SHORT)
    return conformance, max_send


def _take_dedicated_key(
    channel: Channel | None, request: InitiateRequest, protection: Protection
) -> None:
    if request.dedicated_key is None:
        return
    if channel is not None:
        try:
            channel.use_dedicated_key(request.dedicated_key, protection)
        except SecurityError:
            pass
        else:
            return
    error = (ErrorCategory.INITIATE, InitiateError.OTHER)
    raise Rejected(AcseServiceUser.NO_REASON_GIVEN, error)


def _handshake(
    policy: AssociationPolicy,
    context: AssociationContext,
    aarq: Aarq,
    own_challenge: bytes,
    credentials: Credentials | None,
) -> Handshake:
    ciphering = policy.ciphering
    try:
        return Handshake(
            mechanism=policy.mechanism,
            own_title=context.server_title,
            peer_title=context.client_title,
            own_challenge=own_challenge,
            peer_challenge=aarq.calling_authentication_value or b"",
            secret=policy.secret,
            manufacturer=policy.manufacturer,
            cipher=ciphering.cipher if ciphering else None,
            credentials=credentials,
        )
    except SecurityError:
        raise Rejected(AcseServiceUser.AUTHENTICATION_FAILURE) from None


def _protected(channel: Channel | None, apdu: bytes, like: Protection) -> bytes:
    return channel.protect(apdu, like=like) if channel else apdu


def _aare(
    context: AssociationContext, handshake: Handshake | None, user_information: bytes
) -> bytes:
    # Only ciphering and the mechanisms that sign with a title need to know whose it is.
    titled = context.application_context.is_ciphered or context.mechanism > Mechanism.HLS_SHA1
    credentials = handshake.credentials if handshake else None
    return Aare(
        application_context_name=context.application_context.oid,
        result=AssociationResult.ACCEPTED,
        result_source_diagnostic=(
            AcseServiceUser.AUTHENTICATION_REQUIRED if handshake else AcseServiceUser.NULL
        ),
        responding_ap_title=(context.server_title or None) if titled else None,
        responding_ae_qualifier=(credentials.certificate or None) if credentials else None,
        responder_acse_requirements=AUTHENTICATION if handshake else None,
        mechanism_name=context.mechanism.oid if handshake else None,
        responding_authentication_value=handshake.own_challenge if handshake else None,
        user_information=user_information,
    ).encode()
