# SPDX-License-Identifier: Apache-2.0
"""The server of one logical device on one connection, without input or output.

DLMS UA 1000-2 Ed. 10, 9.4.  `ServerConnection.receive` takes the APDU of one client and returns
the answer.  Each client SAP has an association of its own, which runs the state table of
`dlms.association`.  Whatever the octets are, the answer is the standard's and nothing is raised:
what has no place, no permission or no sense is answered with an exception-response.

Protection is asked for in one place (`SecureChannel`, from the policy of the client), rights in
another (`device.View`).
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from openami.cosem.access_control import AssociationStatus
from openami.cosem.device import AssociationPolicy, LogicalDevice
from openami.cosem.faults import (
    MALFORMED,
    NOT_DECIPHERED,
    NOT_POSSIBLE,
    NOT_SUPPORTED,
    TOO_LONG,
    NotNegotiated,
    fault,
)
from openami.cosem.logical_names import LogicalNameServices
from openami.cosem.model import Attribute, Refused
from openami.cosem.opening import (
    PROTECTION_OCTETS,
    Entropy,
    Opened,
    Rejected,
    context_of,
    judge,
    referencing_of,
)
from openami.cosem.own_association import (
    ASSOCIATED_RIGHTS,
    PENDING_RIGHTS,
    Told,
    association_object,
)
from openami.cosem.own_association_sn import Actions
from openami.cosem.referencing import Services
from openami.cosem.services import SMALLEST_ROOM_OCTETS, ServiceContext
from openami.cosem.short_name_services import ShortNameServices
from openami.dlms.apdu.acse import Aarq, AcseServiceUser, ReleaseResponseReason, Rlre, Rlrq
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.association import Association, Primitive, State
from openami.dlms.errors import DecodeError, LocalProtocolError, SecurityError
from openami.dlms.obis import Obis
from openami.dlms.security.channel import SecureChannel
from openami.dlms.security.envelopes import Envelope, Protection, Signature, added_octets
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED

__all__ = [
    "MALFORMED",
    "NOT_DECIPHERED",
    "NOT_POSSIBLE",
    "NOT_SUPPORTED",
    "TOO_LONG",
    "ServerAssociation",
    "ServerConnection",
]

DEDICATED: Final = frozenset({Envelope.DED, Envelope.GENERAL_DED})
AARQ: Final = 0x60
RLRQ: Final = 0x62
_ALL_PROTECTION: Final = AUTHENTICATED | ENCRYPTED | SIGNED
"""A report answers no request: what its rows ask of requests is met."""


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

    def information_report(
        self,
        client_sap: int,
        rows: Iterable[tuple[Attribute[Any], Obis]],
        *,
        current_time: bytes | None = None,
    ) -> bytes:
        """Return an InformationReport for a client that refers by short name, ready to be sent.

        Args:
            client_sap: Who has associated.
            rows: Attributes and the objects that have them.
            current_time: GeneralizedTime as text.

        Raises:
            LocalProtocolError: The client has no such association.
            Refused: It did not negotiate reports, or may not read one of the rows.
        """
        association = self._associations.get(client_sap)
        if association is None:
            raise LocalProtocolError(Primitive.NOTIFICATION.name, State.IDLE.name)
        return association.information_report(rows, current_time)

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
        "_device",
        "_entropy",
        "_is_open",
        "_machine",
        "_may_sign",
        "_opened",
        "_policy",
        "_services",
    )

    def __init__(self, device: LogicalDevice, policy: AssociationPolicy, entropy: Entropy) -> None:
        self._device = device
        self._policy = policy
        self._entropy = entropy
        self._machine = Association()
        self._may_sign = policy.may_sign
        self._opened: Opened | None = None
        self._services: Services | None = None
        self._is_open = False  # whether services are served: all passes of HLS are done

    @property
    def state(self) -> State:
        """How far the association has come."""
        return self._machine.state

    def receive(self, apdu: bytes) -> bytes | None:
        """Return the answer to one APDU; never raises for what the octets are."""
        opened = self._opened
        try:
            if opened is None or apdu[:1] in _ACSE:
                handler = _ACSE.get(apdu[:1])
                return self._not_possible(apdu) if handler is None else handler(self, apdu)
            if len(apdu) > opened.context.max_receive_pdu_octets:
                return TOO_LONG
            if opened.channel is None:
                return self._serve(apdu)
            return self._serve_protected(opened, opened.channel, apdu)
        except (DecodeError, SecurityError, NotNegotiated) as error:
            return fault(error)

    def information_report(
        self, rows: Iterable[tuple[Attribute[Any], Obis]], current_time: bytes | None
    ) -> bytes:
        """Return an InformationReport; see `ServerConnection.information_report`."""
        opened, services = self._opened, self._services
        self._machine.sent(Primitive.NOTIFICATION)
        if opened is None or not isinstance(services, ShortNameServices):
            raise LocalProtocolError(Primitive.NOTIFICATION.name, self.state.name)
        exchange = services.terms.exchange
        exchange.request, exchange.response = _ALL_PROTECTION, 0
        report = services.information_report(rows, current_time)
        if opened.channel is None:
            return report
        self._follow(opened.channel)
        return opened.channel.protect(report, owed=exchange.response)

    def _serve_protected(self, opened: Opened, channel: SecureChannel, apdu: bytes) -> bytes | None:
        self._follow(channel)
        plain, protection = channel.unprotect(apdu)
        if self._services is None or (not self._is_open and protection.envelope in DEDICATED):
            return NOT_POSSIBLE  # who may use the dedicated key is known only after pass 3
        terms = self._services.terms
        added = self._added_octets(channel, protection)
        terms.room_octets = opened.context.max_send_pdu_octets - added
        if terms.room_octets < SMALLEST_ROOM_OCTETS:
            return TOO_LONG  # not even one octet of an answer would fit under such protection
        exchange = terms.exchange
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
        services = self._services
        if services is None or not self._is_open:
            return self._authenticate(apdu)
        if (response := services.quick(apdu)) is not None:
            return response
        handler = services.handlers.get(apdu[0] if apdu else -1, services.unknown)
        return handler(apdu)

    def _open(self, apdu: bytes) -> bytes:
        # A client that lost its state opens anew on a connection that outlived it.  Until the new
        # AARQ has proven itself, the association that stands goes on: a forged one ends nothing.
        aarq = Aarq.decode(apdu)
        policy = self._device.associations.get(self._policy.client_sap, self._policy)
        machine = Association()
        machine.received(Primitive.OPEN_REQUEST)
        try:
            opened = judge(self._device, policy, aarq, self._entropy)
        except Rejected as rejected:
            return rejected.aare(context_of(policy))
        self._close()
        self._policy, self._may_sign = policy, policy.may_sign
        self._machine, self._opened = machine, opened
        self._services = self._new_services(opened)
        if opened.handshake is None:
            machine.sent(Primitive.OPEN_ACCEPTED)
            self._is_open = True
        else:
            machine.sent(Primitive.OPEN_AUTHENTICATION_REQUIRED)
        return opened.aare

    def _close(self) -> None:
        self._machine.aborted()
        self._opened = self._services = None
        self._is_open = False

    def _release(self, apdu: bytes) -> bytes:
        opened = self._opened
        if opened is None:
            return NOT_POSSIBLE
        rlrq = Rlrq.decode(apdu)
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

    def _authenticate(self, apdu: bytes) -> bytes | None:
        """Answer pass 3 of HLS; nothing else is possible before it."""
        replied = self._services.reply_to_hls(apdu) if self._services is not None else None
        if replied is None:
            return self._not_possible(apdu)
        self._machine.received(Primitive.AUTHENTICATION_REQUEST)
        if replied.accepted:
            self._machine.sent(Primitive.AUTHENTICATION_ACCEPTED)
            self._is_open = True
        else:
            self._machine.sent(Primitive.AUTHENTICATION_REJECTED)
            self._close()
        return replied.response

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

    def _change_secret(self, secret: bytes) -> None:
        """Use another secret from the next association on, of this client on any connection."""
        if self._policy.record_secret is None:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        self._policy.record_secret(secret)
        self._policy = replace(self._policy, secret=secret)
        self._device.associations[self._policy.client_sap] = self._policy

    def _new_services(self, opened: Opened) -> Services:
        view = self._device.view(self._policy)
        if self._policy.short_names is not None:
            actions = Actions(self._reply_to_hls, self._change_secret)
            return ShortNameServices(self._device, self._policy, opened, actions)
        rights = PENDING_RIGHTS if opened.handshake else ASSOCIATED_RIGHTS
        told = Told(self._status, self._reply_to_hls)
        association = association_object(self._policy, opened.context, view, rights, told)
        return LogicalNameServices(
            ServiceContext(
                view=view,
                association=association,
                association_rights=rights,
                conformance=Conformance(opened.context.conformance),
                room_octets=opened.context.max_send_pdu_octets,
            )
        )

    def _not_possible(self, apdu: bytes) -> bytes | None:
        return referencing_of(self._policy).not_possible(apdu)

    def _status(self) -> AssociationStatus:
        if self.state is State.ASSOCIATED:
            return AssociationStatus.ASSOCIATED
        return AssociationStatus.ASSOCIATION_PENDING


_ACSE: Final[dict[bytes, Callable[[ServerAssociation, bytes], bytes]]] = {
    bytes((AARQ,)): ServerAssociation._open,  # noqa: SLF001  the association's own table
    bytes((RLRQ,)): ServerAssociation._release,  # noqa: SLF001
    b"": lambda _association, _apdu: NOT_POSSIBLE,
}
"""What is no service, by the octets of its tag."""
