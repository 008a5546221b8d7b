# SPDX-License-Identifier: Apache-2.0
"""The client's end of an association, without input or output.

DLMS UA 1000-2 Ed. 10, 9.4.  Each service is a generator: it yields the APDU to send, is sent the
APDU that came back, and returns the result; `dlms.conversation` is the contract.  Whoever has a
connection drives it (`transport.session`)::

    def run(generator, exchange):
        apdu = next(generator)
        while True:
            apdu = generator.send(exchange(apdu))    # StopIteration brings the result

Opening and releasing are here; the services are `client`, errors of the meter are `refusals`.
"""

from collections.abc import Callable, Generator
from dataclasses import replace
from typing import Final, TypeVar

from openami.cosem.asking.blocks import BLOCK, ClientBlocks
from openami.cosem.asking.opening import (
    aarq,
    assumed,
    check_refusal,
    check_tag,
    initiate_error,
    new_channel,
    proposed_conformance,
)
from openami.cosem.asking.parameters import (
    ALL_SERVICES,
    DEFAULT_CONFORMANCE,
    LONGEST_VALUE_OCTETS,
    UNLIMITED_PDU_OCTETS,
    ClientParameters,
)
from openami.cosem.asking.proof import prove_by_logical_name, prove_by_short_name
from openami.cosem.refusals import (
    AssociationError,
    AuthenticationError,
    NotNegotiatedError,
    ReleaseRefusedError,
    TooLongError,
    UnexpectedAnswerError,
)
from openami.dlms.apdu.acse import (
    Aare,
    AcseServiceUser,
    AssociationResult,
    ReleaseRequestReason,
    ReleaseResponseReason,
    Rlre,
    Rlrq,
)
from openami.dlms.apdu.block import Assembler, GeneralBlockTransfer
from openami.dlms.apdu.initiate import VAA_NAME_LN, Conformance, InitiateRequest, InitiateResponse
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
)
from openami.dlms.apdu.unasked import UNASKED, Unasked
from openami.dlms.association import (
    ApplicationContext,
    Association,
    AssociationContext,
    Primitive,
    State,
)
from openami.dlms.conversation import NOTHING, OneWay
from openami.dlms.errors import DecodeError, LocalProtocolError, SecurityError
from openami.dlms.hls import Handshake, Mechanism
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.envelopes import added_octets
from openami.dlms.security.suites import SecurityPolicy

T = TypeVar("T")
Steps = Generator[bytes, bytes, T]
"""A conversation: APDUs out, APDUs in, and a result at the end."""

Entropy = Callable[[int], bytes]

__all__ = [
    "ALL_SERVICES",
    "DEFAULT_CONFORMANCE",
    "LONGEST_VALUE_OCTETS",
    "UNLIMITED_PDU_OCTETS",
    "ClientAssociation",
    "ClientParameters",
    "Steps",
]

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.4"
_SERVICE: Final = Primitive.SERVICE


class ClientAssociation:
    """One client's association with one logical device.

    Attributes:
        context: What was negotiated; set while associated.
        channel: The protection of this association; None in a plain context.
        notified: Takes what the meter sends unasked, when it has been opened.
    """

    channel: SecureChannel | None

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
        self.channel = None
        self.notified: Callable[[Unasked], None] = lambda _notification: None
        self._assembler = Assembler()
        self._granted = 0  # what was negotiated, as a plain number
        self._whole_octets = UNLIMITED_PDU_OCTETS  # what goes in one piece
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
    def pdu_room_octets(self) -> int:
        """The longest plain request that the meter takes in one piece."""
        channel = self.channel
        if channel is None:
            return self.context.max_send_pdu_octets
        added = added_octets(channel.cipher.keys.suite, channel.scheme, signed=channel.signs)
        return self.context.max_send_pdu_octets - added

    @property
    def room_octets(self) -> int:
        """The longest plain request that goes without the blocks of its own service."""
        if self.parameters.general_blocks and self._granted & _GENERAL_BLOCKS:
            return LONGEST_VALUE_OCTETS
        return self.pdu_room_octets

    def require(self, wanted: Conformance, request: str) -> None:
        """Hold a request to what was negotiated, before anything is sent.

        Raises:
            LocalProtocolError: There is no association.
            NotNegotiatedError: A bit of `wanted` is missing.
        """
        if self.state is not State.ASSOCIATED:
            raise LocalProtocolError(request, self.state.name)
        if missing := wanted & ~Conformance(self.context.conformance):
            raise NotNegotiatedError(request, missing)

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

        An APDU that is too long for the meter goes in blocks, where that was negotiated.

        Raises:
            LocalProtocolError: There is no association, or none that answers.
            TooLongError: The meter takes no APDU as long as this.
            ExceptionResponseError: The meter answered with an exception-response.
            ServiceRefusedError: It answered with a confirmed service error.
            SecurityError: The answer is not protected as agreed.
        """
        self._machine.sent(_SERVICE)
        if not self.parameters.confirmed:
            raise LocalProtocolError(request, "ASSOCIATED, where nothing is answered")
        return self._exchange(apdu, request)

    def tell(self, apdu: bytes, request: str) -> Steps[None]:
        """Send one service APDU that nothing answers; raises as `exchange`."""
        self._machine.sent(_SERVICE)
        octets = apdu if self.channel is None else self.channel.protect(apdu)
        if len(octets) <= self.context.max_send_pdu_octets:
            yield OneWay(octets)
        elif self.parameters.confirmed:
            yield from self._transfer(len(octets), request).send(octets, answered=False)
        else:
            for block in self._transfer(len(octets), request).unconfirmed(octets):
                yield OneWay(block)

    def unasked(self, octets: bytes) -> None:
        """Take an APDU that came without being asked for; `notified` is given what it says.

        Raises:
            DecodeError: It is not well formed.
            UnexpectedAnswerError: It is no notification.
            SecurityError: It is not protected as agreed, or came before.
        """
        if octets[:1] == BLOCK:
            whole = self._assembler.take(GeneralBlockTransfer.decode(octets))
            if whole is None:
                return
            octets = whole
        plain = octets if self.channel is None else self.channel.plain(octets)
        if plain[:1] not in UNASKED:
            problem = f"an APDU with tag {plain[:1].hex().upper() or 'nothing'} came unasked"
            raise UnexpectedAnswerError("no request", problem)
        self._machine.received(Primitive.NOTIFICATION)
        self.notified(UNASKED[plain[:1]].decode(plain))

    def confirm(self, notification: DataNotification) -> Steps[None]:
        """Tell the meter that its data notification is safe (newer editions)."""
        self.require(Conformance.DATA_NOTIFICATION, "a confirmation")
        invoke_id = notification.long_invoke_id_and_priority
        apdu = DataNotificationConfirm(long_invoke_id_and_priority=invoke_id).encode()
        yield from self.tell(apdu, "a confirmation")

    def take_up(self) -> AssociationContext:
        """Use an association that was established beforehand: there is no AARQ (9.4.4.4)."""
        self._machine.aborted()
        self.channel = new_channel(self.parameters, self._counters, self._window)
        self.context = assumed(self.parameters)
        self._machine.sent(Primitive.OPEN_REQUEST)
        self._machine.received(Primitive.OPEN_ACCEPTED)
        self._agree()
        return self.context

    def associate(self) -> Steps[AssociationContext]:
        """Open the association, with all passes of its authentication mechanism.

        Raises:
            AssociationError: The meter rejects, with its diagnostic.
            AuthenticationError: The meter does not accept our proof.
            SecurityError: The meter cannot prove that it knows the key, or is another.
            UnexpectedAnswerError: The answer belongs to no AARQ.
        """
        parameters = self.parameters
        if parameters.mechanism.is_hls and not parameters.confirmed:
            raise ValueError("HLS needs answers: choose another mechanism, or leave `confirmed`")
        if parameters.pre_established:
            return self.take_up()
        self._machine.aborted()
        self._granted, self._whole_octets = 0, UNLIMITED_PDU_OCTETS
        self.channel = new_channel(self.parameters, self._counters, self._window)
        challenge = b""
        if parameters.mechanism.is_hls:
            length = parameters.challenge_octets or parameters.mechanism.challenge_octets
            challenge = self._entropy(length)
        self._initiate_request = InitiateRequest(
            dedicated_key=parameters.dedicated_key,
            proposed_conformance=proposed_conformance(self.parameters),
            client_max_receive_pdu_size=parameters.max_receive_pdu_octets,
            response_allowed=parameters.confirmed,
        ).encode()
        user_information = self._initiate_request
        if self.channel is not None:
            user_information = self.channel.protect(user_information)
        request = aarq(parameters, challenge or parameters.secret, user_information)
        self._machine.sent(Primitive.OPEN_REQUEST)
        if not parameters.confirmed:
            yield OneWay(request)
            return self._believed()
        try:
            aare = yield from self._opened(request)
            self.context = self._negotiated(aare)
            self._granted = int(self.context.conformance)
            if parameters.mechanism.is_hls:
                self._machine.received(Primitive.OPEN_AUTHENTICATION_REQUIRED)
                yield from self._authenticate(self._handshake(aare, challenge))
            else:
                self._machine.received(Primitive.OPEN_ACCEPTED)
        except BaseException:
            self._machine.aborted()
            raise
        self._agree()
        return self.context

    def _believed(self) -> AssociationContext:
        """Take an unconfirmed association as open: nobody tells."""
        self.context = assumed(self.parameters)
        self._machine.received(Primitive.OPEN_ACCEPTED)
        self._agree()
        return self.context

    def release(self, reason: ReleaseRequestReason = ReleaseRequestReason.NORMAL) -> Steps[None]:
        """Release the association; in a ciphered one the request proves who releases.

        Raises:
            ExceptionResponseError: The meter answered with an exception-response.
            ReleaseRefusedError: It is not ready; the association goes on.
        """
        if self.parameters.pre_established:
            self._machine.aborted()
            return
        self._machine.sent(Primitive.RELEASE_REQUEST)
        channel = self.channel
        user_information = channel.protect(self._initiate_request) if channel else None
        rlrq = Rlrq(reason=reason, user_information=user_information)
        octets = yield rlrq.encode()
        if octets[:1] in _REFUSALS:
            self._machine.received(Primitive.RELEASE_REFUSED)
            check_refusal(octets, "the release request")
        check_tag(octets, Rlre.TAG, "the release request")
        try:
            rlre = Rlre.decode(octets)
        except DecodeError:
            # There are meters whose farewell has a wrong length; it is one all the same.
            self._machine.received(Primitive.RELEASE_RESPONSE)
            return
        if rlre.reason is ReleaseResponseReason.NOT_FINISHED:
            self._machine.received(Primitive.RELEASE_REFUSED)
            raise ReleaseRefusedError(rlre.reason)
        self._machine.received(Primitive.RELEASE_RESPONSE)
        if channel and rlre.user_information:
            channel.unprotect(rlre.user_information)

    def _exchange(self, apdu: bytes, request: str) -> Steps[bytes]:
        channel = self.channel
        octets = apdu if channel is None else channel.protect(apdu)
        if len(octets) > self._whole_octets:
            self._whole_octets = self.context.max_send_pdu_octets
            octets = yield from self._transfer(len(octets), request).send(octets)
        else:
            octets = yield octets
        if channel is not None and octets[:1] != BLOCK:
            octets = channel.plain(octets)
        if octets[:1] in _NO_ANSWERS:
            return (yield from self._answer_behind(octets, request))
        return octets

    def _answer_behind(self, octets: bytes, request: str) -> Steps[bytes]:
        """Return the answer where something else came first: a block, a notification, a refusal."""
        channel = self.channel
        while octets[:1] in _NO_ANSWERS:
            if octets[:1] == BLOCK:
                octets = yield from self._transfer(0, request).receive(octets)
            else:
                check_refusal(octets, request)
                self._machine.received(Primitive.NOTIFICATION)
                self.notified(UNASKED[octets[:1]].decode(octets))
                octets = yield NOTHING
            if channel is not None and octets[:1] != BLOCK:
                octets = channel.plain(octets)
        return octets

    def _transfer(self, octets: int, request: str) -> ClientBlocks:
        """Return what transfers blocks; raises `TooLongError` where that was not negotiated."""
        context = self.context
        if not self._granted & _GENERAL_BLOCKS:
            if octets:
                raise TooLongError(request, octets, context.max_send_pdu_octets)
            raise UnexpectedAnswerError(request, "a block, though none were negotiated")
        return ClientBlocks(
            peer_pdu_octets=context.max_send_pdu_octets,
            window=self.parameters.block_window,
            max_apdu_octets=LONGEST_VALUE_OCTETS,
            unasked=self.unasked,
        )

    def _agree(self) -> None:
        """Speak and protect services as negotiated; opening itself used the global key."""
        negotiated, channel = Conformance(self.context.conformance), self.channel
        announces = (
            self.parameters.general_blocks
            and self.parameters.confirmed
            and Conformance.GENERAL_BLOCK_TRANSFER in negotiated
        )
        self._granted = int(negotiated)
        self._whole_octets = 0 if announces else self.context.max_send_pdu_octets
        if channel is None:
            return
        channel.general = self.parameters.general and Conformance.GENERAL_PROTECTION in negotiated
        channel.scheme = self.parameters.scheme
        if self.parameters.dedicated_key is not None:
            channel.use_dedicated_key(self.parameters.dedicated_key)

    def _opened(self, request: bytes) -> Steps[Aare]:
        octets = yield request
        check_refusal(octets, "the association request")
        check_tag(octets, Aare.TAG, "the association request")
        aare = Aare.decode(octets)
        if aare.result != AssociationResult.ACCEPTED:
            raise AssociationError(
                aare.result, aare.result_source_diagnostic, initiate_error(aare.user_information)
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
        return replace(
            assumed(self.parameters),
            conformance=response.negotiated_conformance,
            max_send_pdu_octets=response.server_max_receive_pdu_size or UNLIMITED_PDU_OCTETS,
            server_title=title,
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
            manufacturer=parameters.manufacturer,
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


_GENERAL_BLOCKS: Final = int(Conformance.GENERAL_BLOCK_TRANSFER)
_REFUSALS: Final = frozenset({b"\xd8", b"\x0e"})
_NO_ANSWERS: Final = _REFUSALS | frozenset(UNASKED) | {BLOCK}
"""Tags of what comes in the place of an answer: refusals, blocks, and what was sent unasked."""
