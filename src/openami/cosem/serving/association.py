# SPDX-License-Identifier: Apache-2.0
"""One client's association, from the server's side (DLMS UA 1000-2 Ed. 10, 9.4).

What opens it is judged in `opening`, what serves it stands behind `referencing.Services`; this
module runs the state table, takes protection off and puts it on, and lets through what belongs.
"""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.administration import Administration
from openami.cosem.classes.access_control import AssociationStatus
from openami.cosem.device import AssociationPolicy, Channel, LogicalDevice
from openami.cosem.model import Attribute, Refused
from openami.cosem.serving.blocks import ServerBlocks
from openami.cosem.serving.faults import (
    NOT_POSSIBLE,
    TOO_LONG,
    NotNegotiated,
    fault,
)
from openami.cosem.serving.logical_names import LogicalNameServices
from openami.cosem.serving.opening import (
    DECIPHERING_ERROR,
    PROTECTION_OCTETS,
    Entropy,
    Opened,
    Rejected,
    context_of,
    judge,
    referencing_of,
    standing,
)
from openami.cosem.serving.own_association import (
    NO_USER,
    PENDING_RIGHTS,
    Told,
    association_object,
    own_class,
)
from openami.cosem.serving.own_association_sn import Actions
from openami.cosem.serving.referencing import Services
from openami.cosem.serving.services import (
    LONGEST_RESPONSE_OCTETS,
    SMALLEST_ROOM_OCTETS,
    ServiceContext,
)
from openami.cosem.serving.short_name_services import ShortNameServices
from openami.cosem.serving.short_way import ShortWay, short_way_of
from openami.cosem.serving.watching import SecurityIncident, SecurityReport, SecurityWatch, refusal
from openami.dlms.apdu.acse import Aarq, AcseServiceUser, ReleaseResponseReason, Rlre, Rlrq
from openami.dlms.apdu.block import GeneralBlockTransfer, cut
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
)
from openami.dlms.apdu.write import InformationReport
from openami.dlms.association import Association, Primitive, State
from openami.dlms.block_transfer import data_octets
from openami.dlms.errors import DecodeError, LocalProtocolError, SecurityError
from openami.dlms.obis import Obis
from openami.dlms.security.envelopes import Envelope, Protection, Signature, added_octets
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED

AARQ: Final = 0x60
RLRQ: Final = 0x62


Quick = Callable[[bytes], bytes | None]


class Around(NamedTuple):
    """What an association has of its connection."""

    following: list[bytes]
    watch: SecurityWatch | None = None
    notified: Callable[[int, DataNotificationConfirm], None] | None = None


class ServerAssociation:
    """The association of one client, from the server's side."""

    __slots__ = (
        "_around",
        "_blocks",
        "_device",
        "_entropy",
        "_is_open",
        "_machine",
        "_may_sign",
        "_opened",
        "_policy",
        "_quick",
        "_services",
        "_short_way",
    )

    def __init__(
        self, device: LogicalDevice, policy: AssociationPolicy, entropy: Entropy, around: Around
    ) -> None:
        self._device = device
        self._policy = policy
        self._entropy = entropy
        self._around = around
        self._machine = Association()
        self._may_sign = policy.may_sign
        self._opened: Opened | None = None
        self._services: Services | None = None
        self._blocks: ServerBlocks | None = None
        self._is_open = False  # whether services are served: all passes of HLS are done
        self._quick: Quick | None = None  # what nothing else has to look at
        self._short_way: ShortWay | None = None  # the same under protection
        if policy.pre_established is not None:
            self._machine = Association(State.ASSOCIATED)
            self._stand(standing(device, policy, policy.pre_established))
            self._begin()

    @property
    def state(self) -> State:
        """How far the association has come."""
        return self._machine.state

    def receive(self, apdu: bytes) -> bytes | None:
        """Return the answer to one APDU; never raises for what the octets are."""
        if self._quick is not None and (response := self._quick(apdu)) is not None:
            return response
        try:
            return self._received(self._opened, apdu)
        except (DecodeError, SecurityError, NotNegotiated) as error:
            return self._refuse(error)

    def _received(self, opened: Opened | None, apdu: bytes) -> bytes | None:
        short_way = self._short_way
        if opened is not None and short_way is not None:
            plain = short_way.take(apdu)
            if plain is not None:
                response = short_way.answer(plain, apdu)
                return response or self._serve_opened(opened, plain, short_way.arrived(apdu))
        if opened is None or apdu[:1] in _NO_SERVICE:
            handler = _NO_SERVICE.get(apdu[:1])
            return self._not_possible(apdu) if handler is None else handler(self, apdu)
        if len(apdu) > opened.context.max_receive_pdu_octets:
            return TOO_LONG if opened.is_confirmed else None
        if self._blocks is not None:
            self._blocks.drop()
        if opened.channel is not None:
            response = self._serve_protected(opened, opened.channel, apdu)
        else:
            response = self._serve(opened, apdu)
        if not opened.is_confirmed:
            response = None
        longest = opened.context.max_send_pdu_octets
        if response is None or self._blocks is None or len(response) <= longest:
            return response
        return self._first_of(self._blocks.begin(response))

    def _answer(self, opened: Opened, apdu: bytes) -> bytes | None:
        """Return the answer to a service, protected as its request was."""
        if opened.channel is None:
            return self._serve(opened, apdu)
        return self._serve_protected(opened, opened.channel, apdu)

    def _refuse(self, error: DecodeError | SecurityError | NotNegotiated) -> bytes | None:
        """Report what was refused for the sake of security, and return the answer."""
        watch = self._around.watch
        if watch is not None and isinstance(error, SecurityError):
            watch.report(refusal(self._policy.client_sap, error))
        is_confirmed = self._opened is None or self._opened.is_confirmed
        return fault(error) if is_confirmed else None

    def _serve_protected(self, opened: Opened, channel: Channel, apdu: bytes) -> bytes | None:
        self._follow(channel)
        plain, protection = channel.unprotect(apdu)
        return self._serve_opened(opened, plain, protection)

    def _serve_opened(self, opened: Opened, plain: bytes, protection: Protection) -> bytes | None:
        """Return the answer to a plain APDU that arrived protected, in the same form."""
        channel = opened.channel
        if channel is None or self._services is None:
            return NOT_POSSIBLE
        if not self._is_open and protection.envelope in DEDICATED:
            return NOT_POSSIBLE  # who may use the dedicated key is known only after pass 3
        terms = self._services.terms
        added = self._added_octets(channel, protection)
        terms.room_octets = opened.context.max_send_pdu_octets - added
        if self._blocks is not None:
            terms.room_octets = self._blocks.room_octets(terms.room_octets)
        if terms.room_octets < SMALLEST_ROOM_OCTETS:
            return TOO_LONG  # not even one octet of an answer would fit under such protection
        exchange = terms.exchange
        exchange.request, exchange.response = protection.bits, 0
        response = self._serve(opened, plain)
        return response and channel.protect(response, like=protection, owed=exchange.response)

    def _block(self, apdu: bytes) -> bytes | None:
        """Take a block of a general block transfer."""
        opened, blocks = self._opened, self._blocks
        if opened is None:
            return NOT_POSSIBLE
        if blocks is None:
            raise NotNegotiated(Conformance.GENERAL_BLOCK_TRANSFER)
        if len(apdu) > opened.context.max_receive_pdu_octets:
            return TOO_LONG
        if opened.channel is None and self._services is not None:
            self._services.terms.room_octets = LONGEST_RESPONSE_OCTETS  # it can do blocks
        answers = blocks.take(apdu, self._answer_whole)
        return self._first_of(answers) if opened.is_confirmed else None

    def _answer_whole(self, apdu: bytes) -> bytes | None:
        """Return the answer to a request that came in blocks, also where it is refused."""
        opened = self._opened
        if opened is None:
            return NOT_POSSIBLE
        try:
            response = self._answer(opened, apdu)
        except (DecodeError, SecurityError, NotNegotiated) as error:
            return self._refuse(error)
        return response if opened.is_confirmed else None

    def _first_of(self, blocks: list[bytes]) -> bytes | None:
        """Return the first of several APDUs to send; the others follow."""
        self._around.following.extend(blocks[1:])
        return blocks[0] if blocks else None

    def information_report(
        self, rows: Iterable[tuple[Attribute[Any], Obis]], current_time: bytes | None
    ) -> list[bytes]:
        """Return an InformationReport; see `ServerConnection.information_report`."""
        opened, services = self._opened, self._services
        name = InformationReport.__name__
        if opened is None or not self._is_open or not isinstance(services, ShortNameServices):
            raise LocalProtocolError(name, self.state.name)
        exchange = services.terms.exchange
        exchange.request, exchange.response = _ALL_PROTECTION, 0
        report = services.information_report(rows, current_time)
        return self._unasked(opened, report, name, exchange.response)

    def notify(self, apdu: EventNotification | DataNotification) -> list[bytes]:
        """Return a notification as it is to travel; see `ServerConnection.notify`."""
        opened = self._opened
        name = type(apdu).__name__
        if opened is None or not self._is_open:
            raise LocalProtocolError(name, self.state.name)
        negotiated = Conformance(opened.context.conformance)
        wanted = NOTIFICATIONS[apdu.TAG]
        if wanted not in negotiated:
            raise LocalProtocolError(name, f"ASSOCIATED without {wanted.name}")
        return self._unasked(opened, apdu.encode(), name)

    def _unasked(self, opened: Opened, octets: bytes, name: str, owed: int = 0) -> list[bytes]:
        """Return a plain APDU as it is to travel without being asked for."""
        self._machine.sent(Primitive.NOTIFICATION)
        negotiated = Conformance(opened.context.conformance)
        if opened.channel is not None:
            self._follow(opened.channel)
            octets = opened.channel.protect(octets, owed=owed)
        longest = opened.context.max_send_pdu_octets
        if len(octets) <= longest:
            return [octets]
        if Conformance.GENERAL_BLOCK_TRANSFER not in negotiated:
            raise LocalProtocolError(
                f"{name} of {len(octets)} octets", f"ASSOCIATED for {longest} octets at most"
            )
        return [block.encode() for block in cut(octets, data_octets(longest))]

    def _follow(self, channel: Channel) -> None:
        """Take over keys and policy that a security setup has replaced since the last request.

        So the response to their replacement still goes out under the old ones, and everything
        behind it, of this association and of others of the client, under the new.
        """
        ciphering = self._policy.ciphering
        if ciphering is not None and (
            channel.cipher is not ciphering.cipher or channel.policy != ciphering.policy
        ):
            channel.replace(ciphering.cipher, ciphering.window, ciphering.policy)

    def _added_octets(self, channel: Channel, protection: Protection) -> int:
        general = protection.envelope is _GENERAL
        signed = protection.signature is not _UNSIGNED or channel.signs or self._may_sign
        if not general and not signed:
            return PROTECTION_OCTETS
        return added_octets(
            channel.cipher.keys.suite,
            protection.scheme if general else None,
            signed=signed,
            transaction_id_octets=max(8, len(protection.transaction_id)),
        )

    def _serve(self, opened: Opened, apdu: bytes) -> bytes | None:
        """Return the plain answer to a plain service."""
        services = self._services
        if services is None or not self._is_open:
            return self._authenticate(apdu)
        if (response := services.quick(apdu)) is not None:
            return response
        if not opened.is_confirmed and services.is_confirmed(apdu):
            return None  # has no place in an unconfirmed association: it is not even carried out
        return services.handlers.get(apdu[0] if apdu else -1, services.unknown)(apdu)

    def _open(self, apdu: bytes) -> bytes | None:
        policy = self._device.associations.get(self._policy.client_sap, self._policy)
        if policy.pre_established is not None:
            return Rejected(AcseServiceUser.NO_REASON_GIVEN).aare(context_of(policy))
        # A client that lost its state opens anew on a connection that outlived it.  Until the new
        # AARQ has proven itself, the association that stands goes on: a forged one ends nothing.
        aarq = Aarq.decode(apdu)
        machine = Association()
        machine.received(Primitive.OPEN_REQUEST)
        try:
            opened = judge(self._device, policy, aarq, self._entropy)
        except Rejected as rejected:
            self._report(_INCIDENTS.get(rejected.reason), f"the AARQ: {rejected}")
            return rejected.aare(context_of(policy))
        self._close()
        self._policy, self._may_sign = policy, policy.may_sign
        self._machine = machine
        self._stand(opened)
        if opened.handshake is None:
            machine.sent(Primitive.OPEN_ACCEPTED)
            self._begin()
        else:
            machine.sent(Primitive.OPEN_AUTHENTICATION_REQUIRED)
        return opened.aare

    def _begin(self) -> None:
        """Serve from here on."""
        self._is_open = True
        opened, services = self._opened, self._services
        if opened is None or services is None:
            return
        if self._blocks is not None or not opened.is_confirmed:
            return
        if opened.channel is None:
            self._quick = services.quick
        elif isinstance(services, LogicalNameServices) and not self._may_sign:
            self._short_way = short_way_of(opened, self._policy.ciphering, services)

    def _stand(self, opened: Opened) -> None:
        """Serve what was negotiated."""
        self._opened = opened
        self._services = self._new_services(opened)
        if opened.context.conformance & Conformance.GENERAL_BLOCK_TRANSFER:
            self._blocks = ServerBlocks(opened.context, self._policy.block_window)

    def _report(
        self, incident: SecurityIncident | None, detail: str, *, is_opening: bool = True
    ) -> None:
        watch = self._around.watch
        if watch is not None and incident is not None:
            report = SecurityReport(
                incident=incident,
                client_sap=self._policy.client_sap,
                detail=detail,
                is_opening=is_opening,
            )
            watch.report(report)

    def _close(self) -> None:
        self._machine.aborted()
        self._opened = self._services = self._blocks = self._quick = self._short_way = None
        self._is_open = False

    def _release(self, apdu: bytes) -> bytes:
        opened = self._opened
        if opened is None or self._policy.pre_established is not None:
            return NOT_POSSIBLE
        rlrq = Rlrq.decode(apdu)
        user_information = None
        if rlrq.user_information and opened.channel is not None:
            self._follow(opened.channel)
            _, protection = opened.channel.unprotect(rlrq.user_information)
            user_information = opened.channel.protect(opened.initiate_response, like=protection)
        elif rlrq.user_information:
            user_information = opened.initiate_response
        elif self._must_prove_release(opened):
            incident = SecurityIncident.NOT_DECIPHERED
            self._report(incident, "a release without proof", is_opening=False)
            return Rlre(reason=ReleaseResponseReason.NOT_FINISHED).encode()
        self._machine.received(Primitive.RELEASE_REQUEST)
        self._machine.sent(Primitive.RELEASE_RESPONSE)
        self._close()
        return Rlre(reason=ReleaseResponseReason.NORMAL, user_information=user_information).encode()

    def _must_prove_release(self, opened: Opened) -> bool:
        channel = opened.channel
        asked = channel is not None and bool(channel.policy.request_bits)
        return asked and not self._policy.plain_release

    def _authenticate(self, apdu: bytes) -> bytes | None:
        """Answer pass 3 of HLS; nothing else is possible before it."""
        replied = self._services.reply_to_hls(apdu) if self._services is not None else None
        if replied is None:
            return self._not_possible(apdu)
        self._machine.received(Primitive.AUTHENTICATION_REQUEST)
        if replied.accepted:
            self._machine.sent(Primitive.AUTHENTICATION_ACCEPTED)
            self._begin()
        else:
            self._report(SecurityIncident.AUTHENTICATION_FAILED, "a wrong proof in pass 3 of HLS")
            self._machine.sent(Primitive.AUTHENTICATION_REJECTED)
            self._close()
        return replied.response

    def _reply_to_hls(self, reply: bytes) -> bytes:
        """Check f(StoC) and return f(CtoS)."""
        opened, ciphering = self._opened, self._policy.ciphering
        if opened is None or opened.handshake is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        try:
            if ciphering is None:
                opened.handshake.verify(reply)
            else:
                ciphering.check(opened.handshake, reply)
        except SecurityError:
            raise Refused(ActionResult.OTHER_REASON) from None
        handshake = opened.handshake
        return handshake.reply() if ciphering is None else ciphering.prove(handshake)

    def _new_services(self, opened: Opened) -> Services:
        policy, user = self._policy, opened.user or NO_USER
        view = self._device.view(policy)
        administration = Administration(
            self._device,
            policy.client_sap,
            keeper=policy.keeper,
            version=own_class(policy).version,
        )
        if policy.short_names is not None:
            actions = Actions(self._reply_to_hls, administration, user)
            return ShortNameServices(self._device, policy, opened, actions)
        told = Told(self._status, self._reply_to_hls, administration, user)
        own = association_object(policy, opened.context, view, told)
        return LogicalNameServices(
            ServiceContext(
                view=view,
                association=own.thing,
                association_rights=PENDING_RIGHTS if opened.handshake else own.associated,
                associated_rights=own.associated,
                conformance=Conformance(opened.context.conformance),
                room_octets=opened.context.max_send_pdu_octets,
            ),
            self._confirmed,
        )

    def _confirmed(self, confirmation: DataNotificationConfirm) -> None:
        if self._around.notified is not None:
            self._around.notified(self._policy.client_sap, confirmation)

    def _not_possible(self, apdu: bytes) -> bytes | None:
        return referencing_of(self._policy).not_possible(apdu)

    def _status(self) -> AssociationStatus:
        if self.state is State.ASSOCIATED:
            return AssociationStatus.ASSOCIATED
        return AssociationStatus.ASSOCIATION_PENDING


_NO_SERVICE: Final[dict[bytes, Callable[[ServerAssociation, bytes], bytes | None]]] = {
    bytes((AARQ,)): ServerAssociation._open,  # noqa: SLF001  the association's own table
    bytes((RLRQ,)): ServerAssociation._release,  # noqa: SLF001
    bytes((GeneralBlockTransfer.TAG,)): ServerAssociation._block,  # noqa: SLF001
    b"": lambda _association, _apdu: NOT_POSSIBLE,
}
"""What is no service, by the octets of its tag."""
_ALL_PROTECTION: Final = AUTHENTICATED | ENCRYPTED | SIGNED
"""A report answers no request: what its rows ask of requests is met."""
DEDICATED: Final = frozenset({Envelope.DED, Envelope.GENERAL_DED})
_GENERAL: Final = Envelope.GENERAL
_UNSIGNED: Final = Signature.NONE
_INCIDENTS: Final[Mapping[object, SecurityIncident]] = MappingProxyType(
    {
        AcseServiceUser.AUTHENTICATION_FAILURE: SecurityIncident.AUTHENTICATION_FAILED,
        AcseServiceUser.CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED: (
            SecurityIncident.USER_REFUSED
        ),
        DECIPHERING_ERROR: SecurityIncident.NOT_DECIPHERED,
    }
)
NOTIFICATIONS: Final[Mapping[int, Conformance]] = MappingProxyType(
    {
        EventNotification.TAG: Conformance.EVENT_NOTIFICATION,
        DataNotification.TAG: Conformance.DATA_NOTIFICATION,
    }
)
"""What must have been negotiated for a notification, by its tag."""
