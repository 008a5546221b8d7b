# SPDX-License-Identifier: Apache-2.0
"""The server of one logical device on one connection, without input or output.

DLMS UA 1000-2 Ed. 10, 9.4.  `ServerConnection.receive` takes the APDU of one client and returns
the answer.  Each client SAP has an association of its own, which runs the state table of
`dlms.association`.  Whatever the octets are, the answer is the standard's and nothing is raised:
what has no place, no permission or no sense is answered with an exception-response.

Protection is asked for in one place (`SecureChannel`, from the policy of the client), rights in
another (`device.View`).
"""

from typing import Final

from openami.cosem.access_control import (
    CURRENT_ASSOCIATION,
    AssociatedPartners,
    AssociationLn,
    AssociationLnV3,
    AssociationStatus,
    UserListEntry,
    XdlmsContextInfo,
)
from openami.cosem.device import (
    AssociationPolicy,
    LogicalDevice,
    Rights,
    View,
    object_list_element,
)
from openami.cosem.model import Access, Refused
from openami.cosem.opening import (
    PROTECTION_OCTETS,
    Entropy,
    Opened,
    Rejected,
    context_of,
    judge,
)
from openami.cosem.services import (
    SMALLEST_ROOM_OCTETS,
    AssociationObject,
    GetService,
    NotNegotiated,
    ServiceContext,
)
from openami.cosem.writing import ActionService, SetService
from openami.dlms.apdu.acse import Aarq, AcseServiceUser, ReleaseResponseReason, Rlre, Rlrq
from openami.dlms.apdu.action import ActionRequestNormal, ActionResponseNormal
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.faults import ExceptionResponse, ServiceError, StateError
from openami.dlms.apdu.initiate import DLMS_VERSION, Conformance
from openami.dlms.association import Association, AssociationContext, Primitive, State
from openami.dlms.data import BitString, OctetString, VisibleString
from openami.dlms.errors import DecodeError, ReplayError, SecurityError
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.envelopes import Envelope, Protection, Signature, added_octets

AARQ: Final = 0x60
RLRQ: Final = 0x62
GET: Final = 0xC0
SET: Final = 0xC1
ACTION: Final = 0xC3
CONFIRMED: Final = 0x40
"""Bit of invoke-id-and-priority: an answer is wanted."""

REPLY_TO_HLS: Final = (
    AssociationLn.class_id.to_bytes(2)
    + CURRENT_ASSOCIATION.encode()
    + bytes((AssociationLn.reply_to_hls_authentication.index,))
)

_OWN_ATTRIBUTES: Final = frozenset(
    row.index for row in AssociationLnV3.attributes() if row.access & Access.READ
)


def _exception(state: StateError, error: ServiceError, counter: int | None = None) -> bytes:
    return ExceptionResponse(
        state_error=state, service_error=error, invocation_counter=counter
    ).encode()


NOT_POSSIBLE: Final = _exception(
    StateError.SERVICE_NOT_ALLOWED, ServiceError.OPERATION_NOT_POSSIBLE
)
"""There is no association, or not yet, or none that allows it."""
NOT_SUPPORTED: Final = _exception(StateError.SERVICE_UNKNOWN, ServiceError.SERVICE_NOT_SUPPORTED)
MALFORMED: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.OTHER_REASON)
TOO_LONG: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.PDU_TOO_LONG)
NOT_DECIPHERED: Final = _exception(StateError.SERVICE_NOT_ALLOWED, ServiceError.DECIPHERING_ERROR)


def _fault(error: DecodeError | SecurityError | NotNegotiated) -> bytes:
    """Return the exception-response to what could not be understood or accepted."""
    if isinstance(error, ReplayError):
        return _exception(
            StateError.SERVICE_NOT_ALLOWED, ServiceError.INVOCATION_COUNTER_ERROR, error.expected
        )
    if isinstance(error, SecurityError):
        return NOT_DECIPHERED
    return NOT_SUPPORTED if isinstance(error, NotNegotiated) else MALFORMED


class ServerConnection:
    """All associations on one connection to a logical device."""

    __slots__ = ("_associations", "_device", "_entropy")

    def __init__(self, device: LogicalDevice, *, entropy: Entropy) -> None:
        """Serve `device`; `entropy` gives the challenges."""
        self._device = device
        self._entropy = entropy
        self._associations: dict[int, ServerAssociation] = {}

    def receive(self, client_sap: int, apdu: bytes) -> bytes | None:
        """Return the answer to one APDU; None where the client wants none."""
        association = self._associations.get(client_sap)
        if association is None:
            policy = self._device.associations.get(client_sap)
            if policy is None:
                return _unknown_client(apdu)
            association = ServerAssociation(self._device, policy, self._entropy)
            self._associations[client_sap] = association
        return association.receive(apdu)

    def state(self, client_sap: int) -> State:
        """Return how far the association of a client has come."""
        association = self._associations.get(client_sap)
        return association.state if association else State.IDLE

    def lost(self, client_sap: int | None = None) -> None:
        """Forget the association of a client whose link is gone; None for all of them."""
        if client_sap is None:
            self._associations.clear()
        else:
            self._associations.pop(client_sap, None)


def _unknown_client(apdu: bytes) -> bytes:
    if apdu[:1] != bytes((AARQ,)):
        return NOT_POSSIBLE
    return Rejected(AcseServiceUser.NO_REASON_GIVEN).aare(context_of(None))


class ServerAssociation:
    """The association of one client, from the server's side."""

    __slots__ = (
        "_action",
        "_context",
        "_device",
        "_entropy",
        "_get",
        "_machine",
        "_may_sign",
        "_opened",
        "_policy",
        "_services",
        "_set",
    )

    def __init__(self, device: LogicalDevice, policy: AssociationPolicy, entropy: Entropy) -> None:
        self._device = device
        self._policy = policy
        self._entropy = entropy
        self._machine = Association()
        self._may_sign = policy.may_sign
        self._opened: Opened | None = None
        self._services: ServiceContext | None = None
        self._get: GetService | None = None
        self._set: SetService | None = None
        self._action: ActionService | None = None

    @property
    def state(self) -> State:
        """How far the association has come."""
        return self._machine.state

    def receive(self, apdu: bytes) -> bytes | None:
        """Return the answer to one APDU; never raises for what the octets are."""
        opened = self._opened
        try:
            if opened is None or apdu[:1] in _ACSE:
                return self._acse(apdu)
            if len(apdu) > opened.context.max_receive_pdu_octets:
                return TOO_LONG
            if opened.channel is None:
                return self._serve(apdu)
            return self._serve_protected(opened, opened.channel, apdu)
        except (DecodeError, SecurityError, NotNegotiated) as error:
            return _fault(error)

    def _serve_protected(self, opened: Opened, channel: SecureChannel, apdu: bytes) -> bytes | None:
        self._follow(channel)
        plain, protection = channel.unprotect(apdu)
        services = self._services
        if services is None:
            return NOT_POSSIBLE
        added = self._added_octets(channel, protection)
        services.room_octets = opened.context.max_send_pdu_octets - added
        if services.room_octets < SMALLEST_ROOM_OCTETS:
            return TOO_LONG  # not even one octet of an answer would fit under such protection
        exchange = services.exchange
        exchange.request, exchange.response = protection.bits, 0
        response = self._serve(plain)
        return response and channel.protect(response, like=protection, owed=exchange.response)

    def _follow(self, channel: SecureChannel) -> None:
        """Take over keys and policy that a security setup has replaced since the last request.

        So the response to their replacement still goes out under the old ones, and everything
        behind it, of this association and of others of the client, under the new.
        """
        ciphering = self._policy.ciphering
        if ciphering is not None and (
            channel.cipher is not ciphering.cipher or channel.policy != ciphering.policy
        ):
            channel.replace(ciphering.cipher, ciphering.window, ciphering.policy)

    def _added_octets(self, channel: SecureChannel, protection: Protection) -> int:
        general = protection.envelope is Envelope.GENERAL
        signed = protection.signature is not Signature.NONE or channel.signs or self._may_sign
        if not general and not signed:
            return PROTECTION_OCTETS
        return added_octets(
            channel.cipher.keys.suite,
            protection.scheme if general else None,
            signed=signed,
            transaction_id_octets=max(8, len(protection.transaction_id)),
        )

    def _serve(self, apdu: bytes) -> bytes | None:
        """Return the plain answer to a plain service."""
        get, set_, action = self._get, self._set, self._action
        if get is None or set_ is None or action is None:
            return self._authenticate(apdu)
        if (response := get.quick(apdu)) is not None:
            return response
        tag = apdu[0] if apdu else -1
        if tag == GET:
            return get.answer(apdu)
        if tag == SET:
            response = set_.answer(apdu)
        elif tag == ACTION:
            response = action.answer(apdu)
        else:
            return NOT_SUPPORTED
        # Invoke-id-and-priority stands third in every request that was understood.
        return response if apdu[2] & CONFIRMED else None

    def _acse(self, apdu: bytes) -> bytes:
        tag = apdu[0] if apdu else -1
        if tag == AARQ:
            return self._open(Aarq.decode(apdu))
        if tag == RLRQ and self._opened is not None:
            return self._release(self._opened, Rlrq.decode(apdu))
        return NOT_POSSIBLE

    def _open(self, aarq: Aarq) -> bytes:
        # A client that lost its state opens anew on a connection that outlived it.  Until the new
        # AARQ has proven itself, the association that stands goes on: a forged one ends nothing.
        machine = Association()
        machine.received(Primitive.OPEN_REQUEST)
        try:
            opened = judge(self._device, self._policy, aarq, self._entropy)
        except Rejected as rejected:
            return rejected.aare(context_of(self._policy))
        self._close()
        self._machine, self._opened = machine, opened
        self._services = self._service_context(opened)
        if opened.handshake is None:
            machine.sent(Primitive.OPEN_ACCEPTED)
            self._start()
        else:
            machine.sent(Primitive.OPEN_AUTHENTICATION_REQUIRED)
        return opened.aare

    def _start(self) -> None:
        if self._services is not None:
            self._get = GetService(self._services)
            self._set = SetService(self._services)
            self._action = ActionService(self._services)

    def _close(self) -> None:
        self._machine.aborted()
        self._opened = self._services = None
        self._get = self._set = self._action = None

    def _release(self, opened: Opened, rlrq: Rlrq) -> bytes:
        user_information = None
        if rlrq.user_information and opened.channel is not None:
            self._follow(opened.channel)
            # Proof that is given must be right.  A release without any is taken too: there are
            # clients in the field that send none.
            _, protection = opened.channel.unprotect(rlrq.user_information)
            user_information = opened.channel.protect(opened.initiate_response, like=protection)
        elif rlrq.user_information:
            user_information = opened.initiate_response
        self._machine.received(Primitive.RELEASE_REQUEST)
        self._machine.sent(Primitive.RELEASE_RESPONSE)
        self._close()
        return Rlre(reason=ReleaseResponseReason.NORMAL, user_information=user_information).encode()

    def _authenticate(self, apdu: bytes) -> bytes:
        """Answer pass 3 of HLS; nothing else is possible before it."""
        if apdu[:2] != b"\xc3\x01" or apdu[3:12] != REPLY_TO_HLS or self._services is None:
            return NOT_POSSIBLE
        self._machine.received(Primitive.AUTHENTICATION_REQUEST)
        ActionRequestNormal.decode(apdu)
        response = ActionService(self._services).answer(apdu)
        if response[1] != ActionResponseNormal.CHOICE:  # blocks have no place before pass 4
            self._machine.sent(Primitive.AUTHENTICATION_REJECTED)
            self._close()
            return TOO_LONG
        if response[3] == ActionResult.SUCCESS:
            self._machine.sent(Primitive.AUTHENTICATION_ACCEPTED)
            self._services.association_rights = Rights(_OWN_ATTRIBUTES, frozenset(), frozenset())
            self._start()
        else:
            self._machine.sent(Primitive.AUTHENTICATION_REJECTED)
            self._close()
        return response

    def _reply_to_hls(self, reply: bytes) -> bytes:
        """Check f(StoC) and return f(CtoS)."""
        opened, ciphering = self._opened, self._policy.ciphering
        if opened is None or opened.handshake is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        try:
            opened.handshake.verify(reply)
        except SecurityError:
            raise Refused(ActionResult.OTHER_REASON) from None
        return opened.handshake.reply(ciphering.counters.next() if ciphering else 0)

    def _service_context(self, opened: Opened) -> ServiceContext:
        view = self._device.view(self._policy)
        own = frozenset({1}) if opened.handshake else frozenset[int]()
        rights = Rights(_OWN_ATTRIBUTES, frozenset(), own)
        association = self._association_object(opened.context, view, rights)
        return ServiceContext(
            view=view,
            association=association,
            association_rights=rights,
            conformance=Conformance(opened.context.conformance),
            room_octets=opened.context.max_send_pdu_octets,
        )

    def _association_object(
        self, context: AssociationContext, view: View, rights: Rights
    ) -> AssociationObject:
        declared = AssociationLnV3 if self._policy.is_protected else AssociationLn
        own = declared(
            CURRENT_ASSOCIATION,
            associated_partners_id=AssociatedPartners(context.client_sap, context.server_sap),
            application_context_name=OctetString(context.application_context.oid),
            xdlms_context_info=XdlmsContextInfo(
                BitString(context.conformance.to_bytes(3), 24),
                context.max_receive_pdu_octets,
                context.max_send_pdu_octets,
                DLMS_VERSION,
                0,
                b"",
            ),
            authentication_mechanism_name=OctetString(context.mechanism.oid),
            security_setup_reference=self._policy.security_setup,
        )
        own.bind(
            declared.object_list,
            lambda: (
                object_list_element(own, rights),
                *(object_list_element(thing, view.rights(thing)) for thing in view.visible()),
            ),
        )
        own.bind(declared.association_status, self._status)
        if isinstance(own, AssociationLnV3):
            own.user_list, own.current_user = (), UserListEntry(0, VisibleString(""))
        own.bind_method(declared.reply_to_hls_authentication, self._reply_to_hls)
        return own

    def _status(self) -> AssociationStatus:
        if self.state is State.ASSOCIATED:
            return AssociationStatus.ASSOCIATED
        return AssociationStatus.ASSOCIATION_PENDING


_ACSE: Final = frozenset({bytes((AARQ,)), bytes((RLRQ,)), b""})
