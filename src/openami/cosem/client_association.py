# SPDX-License-Identifier: Apache-2.0
"""The client's end of an association, without input or output.

DLMS UA 1000-2 Ed. 10, 9.4.  Each service is a generator: it yields the APDU to send, is sent the
APDU that came back, and returns the result.  Whoever has a connection drives it
(`transport.session`)::

    def run(generator, exchange):
        apdu = next(generator)
        while True:
            apdu = generator.send(exchange(apdu))    # StopIteration brings the result

Opening and releasing are here; the services are `client`, errors of the meter are `refusals`.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from openami.cosem.base_names import BaseNames
from openami.cosem.client_proof import prove_by_logical_name, prove_by_short_name
from openami.cosem.refusals import (
    AssociationError,
    AuthenticationError,
    ExceptionResponseError,
    UnexpectedAnswerError,
)
from openami.dlms.apdu.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseServiceUser,
    AssociationResult,
    ReleaseRequestReason,
    Rlre,
    Rlrq,
)
from openami.dlms.apdu.faults import ConfirmedServiceError, ExceptionResponse
from openami.dlms.apdu.initiate import (
    VAA_NAME_LN,
    Conformance,
    InitiateRequest,
    InitiateResponse,
    in_short_names,
)
from openami.dlms.association import (
    ApplicationContext,
    Association,
    AssociationContext,
    Primitive,
    State,
)
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE, PUBLIC_CLIENT, Sap
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.credentials import Credentials, KeyScheme
from openami.dlms.security.envelopes import added_octets
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityControl,
    SecurityPolicy,
)

T = TypeVar("T")
Steps = Generator[bytes, bytes, T]
"""A conversation: APDUs out, APDUs in, and a result at the end."""

Entropy = Callable[[int], bytes]

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4"
UNLIMITED_PDU_OCTETS: Final = 0xFFFF

DEFAULT_CONFORMANCE: Final = (
    Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParameters:
    """Who the client is, and how it associates.

    Attributes:
        client_sap: The client's service access point.
        server_sap: The logical device's.
        mechanism: How to authenticate.
        secret: The password of LLS, or the secret of HLS with a hash.
        cipher: The global keys; with them the application context is ciphered.
        system_title: The client's; needed with keys.
        server_title: The meter's, if it is known: no other may answer.
        policy: The least protection of requests and responses.
        general: Use general-glo-ciphering instead of the tags of each service, if the meter
            negotiates it.
        dedicated_key: Protects the services of this association instead of the global key.
        conformance: What is proposed.
        max_receive_pdu_octets: The longest APDU the client takes.
        challenge_octets: Length of the client's challenge, 8 to 64; 0 for that which the
            mechanism asks for.
        credentials: For HLS with ECDSA, signatures, and keys that travel with an APDU.
        control: How services are ciphered, where that is not authenticated and encrypted.
        scheme: Protect services in general-ciphering, with a key of this scheme.
        sign: Sign services even where the policy does not ask for it.
        user_id: Who uses this client, where the meter tells users apart: the
            calling-AE-invocation-identifier.
        short_names: Refer by short name, with what is known of the meter's; `conformance` means
            the same as for logical names.
    """

    client_sap: int = PUBLIC_CLIENT
    server_sap: int = MANAGEMENT_LOGICAL_DEVICE
    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes = field(default=b"", repr=False)
    cipher: Cipher | None = field(default=None, repr=False)
    system_title: bytes = b""
    server_title: bytes = b""
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    general: bool = False
    dedicated_key: bytes | None = field(default=None, repr=False)
    conformance: Conformance = DEFAULT_CONFORMANCE
    max_receive_pdu_octets: int = UNLIMITED_PDU_OCTETS
    challenge_octets: int = 0
    credentials: Credentials | None = field(default=None, repr=False)
    control: SecurityControl | None = None
    scheme: KeyScheme | None = None
    sign: bool = False
    user_id: int | None = None
    short_names: BaseNames | None = None

    @property
    def application_context(self) -> ApplicationContext:
        """Logical or short names, ciphered if there are keys."""
        return ApplicationContext.of(
            short_names=self.short_names is not None, ciphered=self.cipher is not None
        )


class ClientAssociation:
    """One client's association with one logical device.

    Attributes:
        context: What was negotiated; set while associated.
        channel: The protection of this association; None in a plain context.
    """

    def __init__(
        self,
        parameters: ClientParameters,
        *,
        entropy: Entropy,
        counters: CounterBlock | None = None,
        window: ReceiveWindow | None = None,
    ) -> None:
        """Prepare a client; nothing is sent before `associate`.

        Args:
            parameters: Who we are.
            entropy: Gives the challenge.
            counters: Our invocation counters, needed with keys.
            window: What was accepted from the meter under these keys before.
        """
        if parameters.cipher is not None and counters is None:
            raise ValueError("a ciphered association needs invocation counters: pass `counters`")
        self.parameters = parameters
        self.context = AssociationContext()
        self.channel: SecureChannel | None = None
        self._entropy = entropy
        self._counters = counters
        self._window = window if window is not None else ReceiveWindow()
        self._machine = Association()
        self._initiate_request = b""
        self._credentials = parameters.credentials

    @property
    def state(self) -> State:
        """How far the association has come."""
        return self._machine.state

    @property
    def room_octets(self) -> int:
        """The longest plain request that the meter takes."""
        channel = self.channel
        if channel is None:
            return self.context.max_send_pdu_octets
        added = added_octets(channel.cipher.keys.suite, channel.scheme, signed=channel.signs)
        return self.context.max_send_pdu_octets - added

    def lost(self) -> None:
        """Forget the association: the connection is gone."""
        self._machine.lost()

    def use_keys(self, cipher: Cipher) -> None:
        """Go on with keys that the meter has just taken over (key_transfer, key_agreement).

        Our counters go on as they are; the meter's may start anew with a new encryption key.
        """
        held, self.parameters = self.parameters.cipher, replace(self.parameters, cipher=cipher)
        if held is None or held.keys.encryption_key != cipher.keys.encryption_key:
            self._window = ReceiveWindow()
        self._go_on()

    def use_policy(self, policy: SecurityPolicy) -> None:
        """Go on under a policy that the meter has just activated (security_activate)."""
        self.parameters = replace(self.parameters, policy=policy)
        self._go_on()

    def _go_on(self) -> None:
        if self.channel is not None and self.parameters.cipher is not None:
            self.channel.replace(self.parameters.cipher, self._window, self.parameters.policy)

    def exchange(self, apdu: bytes, request: str) -> Steps[bytes]:
        """Send one service APDU, protected as agreed, and return the plain answer.

        Raises:
            LocalProtocolError: There is no association.
            ExceptionResponseError: The meter answered with an exception-response.
            SecurityError: The answer is not protected as agreed.
        """
        self._machine.sent(Primitive.SERVICE)
        return self._exchange(apdu, request)

    def associate(self) -> Steps[AssociationContext]:
        """Open the association, with all passes of its authentication mechanism.

        Raises:
            AssociationError: The meter rejects, with its diagnostic.
            AuthenticationError: The meter does not accept our proof.
            SecurityError: The meter cannot prove that it knows the key, or is another.
            UnexpectedAnswerError: The answer belongs to no AARQ.
        """
        parameters = self.parameters
        self._machine.aborted()
        self.channel = self._new_channel()
        challenge = b""
        if parameters.mechanism.is_hls:
            length = parameters.challenge_octets or parameters.mechanism.challenge_octets
            challenge = self._entropy(length)
        self._initiate_request = InitiateRequest(
            dedicated_key=parameters.dedicated_key,
            proposed_conformance=self._proposed_conformance(),
            client_max_receive_pdu_size=parameters.max_receive_pdu_octets,
        ).encode()
        aarq = self._aarq(challenge or parameters.secret)
        self._machine.sent(Primitive.OPEN_REQUEST)
        try:
            aare = yield from self._opened(aarq)
            self.context = self._negotiated(aare)
            if parameters.mechanism.is_hls:
                self._machine.received(Primitive.OPEN_AUTHENTICATION_REQUIRED)
                yield from self._authenticate(self._handshake(aare, challenge))
            else:
                self._machine.received(Primitive.OPEN_ACCEPTED)
        except BaseException:
            self._machine.aborted()
            raise
        if self.channel is not None:
            self._agree(self.channel)
        return self.context

    def release(self) -> Steps[None]:
        """Release the association; in a ciphered one the request proves who releases."""
        self._machine.sent(Primitive.RELEASE_REQUEST)
        channel = self.channel
        user_information = channel.protect(self._initiate_request) if channel else None
        rlrq = Rlrq(reason=ReleaseRequestReason.NORMAL, user_information=user_information)
        octets = yield rlrq.encode()
        _check_tag(octets, Rlre.TAG, "the release request")
        self._machine.received(Primitive.RELEASE_RESPONSE)
        try:
            user_information = Rlre.decode(octets).user_information
        except DecodeError:
            return  # there are meters whose farewell has a wrong length; it is one all the same
        if channel and user_information:
            channel.unprotect(user_information)

    def _exchange(self, apdu: bytes, request: str) -> Steps[bytes]:
        channel = self.channel
        if channel is None:
            answer = yield apdu
        else:
            octets = yield channel.protect(apdu)
            answer, _ = channel.unprotect(octets)
        if answer[:1] == b"\xd8":
            raise _service_refused(answer, request)
        return answer

    def _new_channel(self) -> SecureChannel | None:
        parameters = self.parameters
        if parameters.cipher is None or self._counters is None:
            return None
        return SecureChannel(
            cipher=parameters.cipher,
            role=Role.CLIENT,
            own_title=parameters.system_title,
            peer_title=parameters.server_title,
            counters=self._counters,
            window=self._window,
            policy=parameters.policy,
            control=parameters.control,
            credentials=parameters.credentials,
            sign=parameters.sign,
        )

    def _agree(self, channel: SecureChannel) -> None:
        """Protect services as proposed and negotiated; opening itself used the global key."""
        negotiated = Conformance(self.context.conformance)
        channel.general = self.parameters.general and Conformance.GENERAL_PROTECTION in negotiated
        channel.scheme = self.parameters.scheme
        if self.parameters.dedicated_key is not None:
            channel.use_dedicated_key(self.parameters.dedicated_key)

    def _proposed_conformance(self) -> Conformance:
        parameters = self.parameters
        general = parameters.general or parameters.scheme is not None or parameters.sign
        proposed = parameters.conformance
        if parameters.short_names is not None:
            proposed = in_short_names(proposed)
        return proposed | Conformance.GENERAL_PROTECTION if general else proposed

    def _aarq(self, value: bytes) -> bytes:
        parameters, channel = self.parameters, self.channel
        authenticated = parameters.mechanism is not Mechanism.LOWEST
        user_information = self._initiate_request
        credentials = parameters.credentials
        return Aarq(
            application_context_name=parameters.application_context.oid,
            calling_ap_title=parameters.system_title or None,
            calling_ae_qualifier=(credentials.certificate or None) if credentials else None,
            calling_ae_invocation_id=parameters.user_id,
            sender_acse_requirements=AUTHENTICATION if authenticated else None,
            mechanism_name=parameters.mechanism.oid if authenticated else None,
            calling_authentication_value=value if authenticated else None,
            user_information=channel.protect(user_information) if channel else user_information,
        ).encode()

    def _opened(self, aarq: bytes) -> Steps[Aare]:
        octets = yield aarq
        if octets[:1] == b"\xd8":
            raise _service_refused(octets, "the association request")
        _check_tag(octets, Aare.TAG, "the association request")
        aare = Aare.decode(octets)
        if aare.result != AssociationResult.ACCEPTED:
            raise AssociationError(
                aare.result, aare.result_source_diagnostic, _initiate_error(aare.user_information)
            )
        expected = self.parameters.application_context
        if aare.application_context_name != expected.oid:
            found = ApplicationContext.from_oid(aare.application_context_name)
            raise UnexpectedAnswerError("the association request", f"context {found.name}")
        return aare

    def _negotiated(self, aare: Aare) -> AssociationContext:
        parameters = self.parameters
        title = aare.responding_ap_title or parameters.server_title
        if parameters.server_title and title != parameters.server_title:
            problem = f"{title.hex().upper()} answers, not {parameters.server_title.hex().upper()}"
            raise SecurityError(problem, "responding-AP-title of the AARE", CLAUSE)
        self._take_certificate(aare.responding_ae_qualifier, title)
        octets = aare.user_information or b""
        if self.channel is not None:
            self.channel.peer_title = title
            octets, _ = self.channel.unprotect(octets)
        response = InitiateResponse.decode(octets)
        if parameters.short_names is not None and response.vaa_name != VAA_NAME_LN:
            parameters.short_names.association = response.vaa_name
        return AssociationContext(
            application_context=parameters.application_context,
            mechanism=parameters.mechanism,
            client_sap=Sap(parameters.client_sap),
            server_sap=Sap(parameters.server_sap),
            conformance=response.negotiated_conformance,
            max_receive_pdu_octets=parameters.max_receive_pdu_octets,
            max_send_pdu_octets=response.server_max_receive_pdu_size or UNLIMITED_PDU_OCTETS,
            client_title=parameters.system_title,
            server_title=title,
            keys=parameters.cipher.keys if parameters.cipher else None,
            dedicated_key=parameters.dedicated_key,
        )

    def _handshake(self, aare: Aare, challenge: bytes) -> Handshake:
        if (
            aare.result_source_diagnostic != AcseServiceUser.AUTHENTICATION_REQUIRED
            or aare.responding_authentication_value is None
        ):
            problem = "the meter asks for no proof and offers none, though HLS was proposed"
            raise SecurityError(problem, "AARE", CLAUSE)
        parameters = self.parameters
        return Handshake(
            mechanism=parameters.mechanism,
            own_title=parameters.system_title,
            peer_title=self.context.server_title,
            own_challenge=challenge,
            peer_challenge=aare.responding_authentication_value,
            secret=parameters.secret,
            cipher=parameters.cipher,
            credentials=self._credentials,
        )

    def _take_certificate(self, certificate: bytes | None, title: bytes) -> None:
        """Verify the meter's signatures by a certificate in its AARE, if we trust that."""
        credentials = self.parameters.credentials
        if credentials is not None and credentials.trust is not None and certificate:
            key = credentials.trust.verifying_key(certificate, title)
            credentials = replace(credentials, peer_signing=key)
        self._credentials = credentials
        if self.channel is not None:
            self.channel.credentials = credentials

    def _authenticate(self, handshake: Handshake) -> Steps[None]:
        """Passes 3 and 4: prove that we know the secret, and check the meter's proof."""
        counters = self._counters
        counted = handshake.mechanism is Mechanism.HLS_GMAC and counters is not None
        reply = handshake.reply(counters.next() if counted and counters else 0)
        self._machine.sent(Primitive.AUTHENTICATION_REQUEST)
        names = self.parameters.short_names
        try:
            if names is None:
                proof = yield from prove_by_logical_name(self._exchange, reply)
            else:
                proof = yield from prove_by_short_name(self._exchange, reply, names)
        except AuthenticationError:
            self._machine.received(Primitive.AUTHENTICATION_REJECTED)
            raise
        handshake.verify(proof)
        self._machine.received(Primitive.AUTHENTICATION_ACCEPTED)


def _check_tag(octets: bytes, tag: int, request: str) -> None:
    if octets[:1] != bytes((tag,)):
        found = octets[:1].hex().upper() or "nothing"
        raise UnexpectedAnswerError(request, f"an APDU with tag {found}, not {tag:02X}")


def _service_refused(octets: bytes, request: str) -> ExceptionResponseError:
    response = ExceptionResponse.decode(octets)
    return ExceptionResponseError(
        request, response.state_error, response.service_error, response.invocation_counter
    )


def _initiate_error(user_information: bytes | None) -> ConfirmedServiceError | None:
    if not user_information or user_information[0] != ConfirmedServiceError.TAG:
        return None
    return ConfirmedServiceError.decode(user_information)
