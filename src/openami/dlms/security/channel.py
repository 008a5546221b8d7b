# SPDX-License-Identifier: Apache-2.0
"""One association's protection, both directions: policy, keys, counters, titles.

DLMS UA 1000-2 Ed. 10, 9.2.7.2.  The client and the server hold one `SecureChannel` each; they
differ in their titles and in which half of the policy binds whom.  ACSE APDUs and
exception-responses pass as they are: the standard never ciphers them.  An InitiateRequest or
-Response is ciphered and never signed: it stands inside an AARQ or AARE, whose mechanism proves
who sends.

What arrives is fresh if its counter is above all that came before, in the window of its key: one
window for the global key, one for the dedicated key, one for all keys that travel with an APDU.
(They are new each time, so the standard needs no counter there; a replay would bring its key
along.)  A signature alone has no counter: requests must then have growing transaction-ids, and a
response the one that was asked with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from types import MappingProxyType
from typing import Final, NamedTuple

from openami.dlms.apdu.ciphered import (
    BY_PLAIN,
    GENERAL_CIPHERING,
    GENERAL_DED_CIPHERING,
    GENERAL_GLO_CIPHERING,
    SERVICE_TAGS,
    AuthenticatedHeader,
    GeneralCiphering,
)
from openami.dlms.apdu.signed import GENERAL_SIGNING
from openami.dlms.axdr import encode_length, read_length
from openami.dlms.errors import DecodeError, SecurityError, in_octets
from openami.dlms.security import common_form
from openami.dlms.security.agreement import Parties
from openami.dlms.security.ciphering import SYSTEM_TITLE_OCTETS, Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow, Windows
from openami.dlms.security.credentials import Credentials, KeyScheme
from openami.dlms.security.envelopes import (
    CLAUSE,
    UNPROTECTED,
    Envelope,
    GeneralTerms,
    Protection,
    Signature,
    open_envelope,
    open_signed,
    require,
    seal_general,
    sign_general,
)
from openami.dlms.security.suites import (
    AUTHENTICATED,
    AUTHENTICATED_AND_ENCRYPTED,
    BROADCAST_KEY,
    ENCRYPTED,
    SIGNED,
    SecurityControl,
    SecurityPolicy,
)

PLAIN_REQUESTS: Final = frozenset({0x60, 0x62})  # AARQ, RLRQ
PLAIN_RESPONSES: Final = frozenset({0x61, 0x63, 0xD8})  # AARE, RLRE, exception-response
PLAIN: Final = PLAIN_REQUESTS | PLAIN_RESPONSES
INITIATE_TAGS: Final = frozenset({0x01, 0x08})

TRANSACTION_ID_OCTETS: Final = 8

_GENERAL: Final = bytes((GENERAL_CIPHERING,))
_SIGNING: Final = bytes((GENERAL_SIGNING,))
_CIPHERED: Final = AUTHENTICATED | ENCRYPTED

# Each look at a member of an Enum class costs as much as ten of these.
_GLO: Final = Envelope.GLO
_UNSIGNED: Final = Signature.NONE


class _Route(NamedTuple):
    """What the tag of a protected APDU tells."""

    envelope: Envelope
    dedicated: bool
    plain: int | None
    """The tag that must come out; None where any service may."""


_ROUTES: Final[Mapping[int, _Route]] = MappingProxyType(
    {row.glo: _Route(Envelope.GLO, dedicated=False, plain=row.plain) for row in SERVICE_TAGS}
    | {row.ded: _Route(Envelope.DED, dedicated=True, plain=row.plain) for row in SERVICE_TAGS}
    | {
        GENERAL_GLO_CIPHERING: _Route(Envelope.GENERAL_GLO, dedicated=False, plain=None),
        GENERAL_DED_CIPHERING: _Route(Envelope.GENERAL_DED, dedicated=True, plain=None),
    }
)


class Role(Enum):
    """Which end of the association a channel is."""

    CLIENT = auto()
    SERVER = auto()


@dataclass(slots=True, kw_only=True)
class SecureChannel:
    """Protects what we send, and opens what the peer sent.

    Attributes:
        cipher: The global keys; may be shared by channels.
        role: Which end we are.
        own_title: Our system title.
        peer_title: The peer's; assigned later when only the AARQ or AARE tells it.
        counters: Where our invocation counters come from.
        window: What we accepted before under the global unicast key.
        policy: What the server's security setup asks of requests and of responses.
        control: How we protect unless a call says otherwise; authenticated and encrypted
            unless told.
        general: Use general-glo- or general-ded-ciphering for every service, as negotiated by
            the conformance bit general-protection.
        form: Whether the header of general-ciphering is under the tag.
        credentials: For signatures, and for keys that travel with an APDU.
        scheme: Protect services with a key of this scheme, in general-ciphering.
        sign: Sign services even where the policy does not ask for it.
        windows: What was accepted before, beside `window`.

    Raises:
        SecurityError: `control` is weaker than the policy, or the policy asks for signatures and
            no signing key is known.
    """

    cipher: Cipher
    role: Role
    own_title: bytes
    peer_title: bytes = b""
    counters: CounterBlock
    window: ReceiveWindow = field(default_factory=ReceiveWindow)
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    control: SecurityControl | None = None
    general: bool = False
    form: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    credentials: Credentials | None = None
    scheme: KeyScheme | None = None
    sign: bool = False
    windows: Windows = field(default_factory=Windows)

    # Bits of the security control octet, and SIGNED, that the peer owes us and that we owe the
    # peer; tags that the peer may send plain whatever the policy.
    _required: int = field(init=False, repr=False)
    _owed: int = field(init=False, repr=False)
    _passing: frozenset[int] = field(init=False, repr=False)
    _control: SecurityControl = field(init=False, repr=False)
    _dedicated: Cipher | None = field(init=False, repr=False, default=None)
    _dedicated_window: ReceiveWindow = field(init=False, repr=False, default_factory=ReceiveWindow)
    _broadcast_window: ReceiveWindow = field(init=False, repr=False, default_factory=ReceiveWindow)

    # The transaction-id of our last request that was signed alone.
    _asked: bytes = field(init=False, repr=False, default=b"")

    def __post_init__(self) -> None:
        self._passing = PLAIN_RESPONSES if self.role is Role.CLIENT else PLAIN_REQUESTS
        self._control = self.control or SecurityControl.of(self.cipher.keys.suite)
        self._bind(self.policy)

    def _bind(self, policy: SecurityPolicy) -> None:
        is_client = self.role is Role.CLIENT
        self.policy = policy
        self._required = policy.response_bits if is_client else policy.request_bits
        self._owed = policy.request_bits if is_client else policy.response_bits
        signing = SIGNED if self.credentials is not None else 0
        require(self._control | signing, self._owed, "our own protection")
        require(_CIPHERED | signing, self._required, "our own credentials")

    @property
    def signs(self) -> bool:
        """Whether what we send is signed, at least unless a request came otherwise."""
        return self.sign or bool(self._owed & SIGNED)

    def replace(self, cipher: Cipher, window: ReceiveWindow, policy: SecurityPolicy) -> None:
        """Go on with other global keys or another policy, from the next APDU on."""
        self.cipher, self.window = cipher, window
        if self._dedicated is not None:
            self._dedicated = cipher.with_encryption_key(self._dedicated.keys.encryption_key)
        self._bind(policy)

    def use_dedicated_key(self, dedicated_key: bytes, received: Protection | None = None) -> None:
        """Protect further services with the key that the InitiateRequest carried.

        Args:
            dedicated_key: Lives as long as the association.
            received: How the InitiateRequest arrived; given by the server.

        Raises:
            SecurityError: The key came without authentication and encryption, or has a wrong size.
        """
        if received is not None:
            require(
                received.control, AUTHENTICATED | ENCRYPTED, "dedicated-key of the InitiateRequest"
            )
        self._dedicated = self.cipher.with_encryption_key(dedicated_key)
        self._dedicated_window = ReceiveWindow()

    def protect(self, apdu: bytes, *, like: Protection | None = None, owed: int = 0) -> bytes:
        """Return `apdu` as it is to travel.

        Args:
            apdu: The plain APDU.
            like: How the request arrived: the response takes the same form, and protection not
                less than the policy asks.  Without it, the channel's own form.
            owed: What this APDU must have beyond the policy: bits of the security control octet,
                and `SIGNED`.

        Raises:
            SecurityError: No invocation counter is left, or what a signature or a key needs is
                not here.
        """
        tag = apdu[0]
        if tag in PLAIN:
            return apdu
        owed |= self._owed
        if tag in INITIATE_TAGS:
            return self._cipher(apdu, like, owed)
        mode = self.cipher.common
        if mode is not None and not owed & SIGNED and self._commonly(mode.control, like):
            sealed = common_form.seal(mode, self.own_title, self.counters, apdu)
            if sealed is not None:
                return sealed
        signature = Signature.NONE if like is None else like.signature
        if signature is Signature.NONE and (owed & SIGNED or (self.sign and like is None)):
            signature = Signature.INSIDE
        if signature is Signature.INSIDE:
            apdu = self._sign(apdu, like)
        octets = self._cipher(apdu, like, owed)
        return self._sign(octets, like) if signature is Signature.OUTSIDE else octets

    def _commonly(self, control: SecurityControl, like: Protection | None) -> bool:
        """Tell whether an APDU is to travel as glo- under `control`, without a signature."""
        if like is None:
            special = self.general or self.sign or self.scheme or self._dedicated
            return not special and self._control == control
        return like.envelope is _GLO and like.control == control and like.signature is _UNSIGNED

    def _cipher(self, apdu: bytes, like: Protection | None, owed: int) -> bytes:
        tag = apdu[0]
        general, dedicated, control = self.general, self._dedicated, self._control
        if like is not None and (envelope := like.envelope) is not Envelope.NONE:
            control = _answering(like.control, owed)
            if envelope is Envelope.GENERAL:
                return self._general(apdu, control, like.scheme, like.transaction_id)
            general = envelope is Envelope.GENERAL_GLO or envelope is Envelope.GENERAL_DED
            if envelope is Envelope.GLO or envelope is Envelope.GENERAL_GLO:
                dedicated = None
        elif like is not None and not owed & _CIPHERED:
            return apdu
        if tag in INITIATE_TAGS:  # these carry the dedicated key and the terms of its use
            dedicated, general = None, False
        elif like is None and self.scheme is not None:
            return self._general(apdu, control, self.scheme)
        if not control & _CIPHERED:
            return apdu
        cipher = dedicated or self.cipher
        sealed = cipher.seal(control, self.counters.next(), self.own_title, apdu)
        service = BY_PLAIN.get(tag)
        if service is None or general:
            form = GENERAL_DED_CIPHERING if dedicated else GENERAL_GLO_CIPHERING
            head = bytes((form, SYSTEM_TITLE_OCTETS)) + self.own_title
        else:
            head = bytes((service.ded if dedicated else service.glo,))
        return head + encode_length(len(sealed)) + sealed

    def _general(
        self,
        apdu: bytes,
        control: SecurityControl,
        scheme: KeyScheme,
        transaction_id: bytes | None = None,
    ) -> bytes:
        """Return `apdu` in general-ciphering; without a transaction-id it begins a transaction."""
        counter = self.counters.next()
        if transaction_id is None:
            transaction_id = counter.to_bytes(TRANSACTION_ID_OCTETS)
        cipher, key_info = self.cipher, None
        if scheme is not KeyScheme.IDENTIFIED:
            parties = Parties(u=self.own_title, v=self.peer_title)
            key_info, key = self._held().send_key(scheme, parties, transaction_id)
            cipher = cipher.with_encryption_key(key)
        terms = GeneralTerms(
            transaction_id=transaction_id,
            originator=self.own_title,
            recipient=self.peer_title,
            control=control,
            form=self.form,
            key_info=key_info,
        )
        return seal_general(cipher, counter, apdu, terms)

    def _sign(self, content: bytes, like: Protection | None) -> bytes:
        if like is None or not like.transaction_id:
            transaction_id = self.counters.next().to_bytes(TRANSACTION_ID_OCTETS)
        else:
            transaction_id = like.transaction_id
        if like is None:
            self._asked = transaction_id
        terms = GeneralTerms(
            transaction_id=transaction_id, originator=self.own_title, recipient=self.peer_title
        )
        return sign_general(self._held(), content, terms)

    def _held(self) -> Credentials:
        if self.credentials is None:
            problem = "signatures, wrapped and agreed keys need credentials, and none are known"
            raise SecurityError(problem, "association", CLAUSE)
        return self.credentials

    def unprotect(self, octets: bytes) -> tuple[bytes, Protection]:
        """Open what the peer sent and hold it to policy, title and counter.

        Returns:
            The plain APDU, and how it arrived: `UNPROTECTED` for ACSE, for exception-responses,
            and where the policy allows it.

        Raises:
            DecodeError: The envelope is not well formed.
            ReplayError: The counter is not above the last one; says which is expected.
            SecurityError: Protection is missing, too weak, or wrong; nothing was accepted.
        """
        mode = self.cipher.common
        if mode is not None and (plain := self.take_common(octets)) is not None:
            return plain, common_form.arrived(mode, self.peer_title, octets)
        if octets[:1] == _SIGNING:
            return self._unprotect_signed(octets)
        if not octets or (octets[0] not in _ROUTES and octets[:1] != _GENERAL):
            return self._unprotected(octets)
        apdu, protection, window = self._open(octets)
        if apdu[:1] == _SIGNING:
            apdu, transaction_id = self._verified(apdu)
            protection = protection._replace(
                signature=Signature.INSIDE,
                transaction_id=protection.transaction_id or transaction_id,
            )
        self._check(apdu, protection)
        window.accept(protection.invocation_counter)
        return apdu, protection

    def plain(self, octets: bytes) -> bytes:
        """Return the plain APDU as `unprotect` does, for who need not know how it arrived."""
        plain = self.take_common(octets)
        return self.unprotect(octets)[0] if plain is None else plain

    def take_common(self, octets: bytes) -> bytes | None:
        """Return the plain APDU of one in `common_form`, or None; raises as `unprotect`."""
        mode = self.cipher.common
        if mode is None or self._required & SIGNED:
            return None
        return common_form.unseal(mode, self.peer_title, self.window, octets)

    def give_common(self, apdu: bytes) -> bytes | None:
        """Return `apdu` in `common_form`, or None; raises as `protect`."""
        mode = self.cipher.common
        if mode is None or self._owed & SIGNED:
            return None
        return common_form.seal(mode, self.own_title, self.counters, apdu)

    def _check(self, apdu: bytes, protection: Protection) -> None:
        """Refuse less than the policy asks."""
        required = self._required
        if protection.bits & required != required:
            if apdu[0] in INITIATE_TAGS:
                required &= ~SIGNED
            require(protection.bits, required, f"APDU with tag {apdu[0]:02X}")

    def _open(self, octets: bytes) -> tuple[bytes, Protection, ReceiveWindow]:
        """Take one layer of ciphering off; return also the window that its counter goes into."""
        route = _ROUTES.get(octets[0])
        if route is None:
            return self._open_general(octets)
        envelope, dedicated, plain = route
        # The title of general-glo and general-ded stands between tag and length.
        start = 1 if plain is not None else self._skip_title(octets)
        cipher, window = self.cipher, self.window
        if dedicated:
            if self._dedicated is None:
                problem = "the association has no dedicated key"
                raise SecurityError(problem, f"APDU with tag {octets[0]:02X}", CLAUSE)
            cipher, window = self._dedicated, self._dedicated_window
        length, start = read_length(octets, start, "ciphered service")
        if start + length != len(octets):
            problem = f"ciphered service has {len(octets) - start} octets, not {length}"
            raise DecodeError(problem, octets, start, CLAUSE)
        control, counter, apdu = cipher.open(octets[start:], self.peer_title)
        if not apdu or (plain is not None and apdu[0] != plain):
            # Said before the content, so that nothing is told of what the policy does not let in.
            require(control, self._required & _CIPHERED, f"APDU with tag {octets[0]:02X}")
            raise _wrong_content(octets, apdu)
        if control & BROADCAST_KEY:
            window = self._broadcast_window
        return apdu, Protection(control, envelope, self.peer_title, counter), window

    def _skip_title(self, octets: bytes) -> int:
        """Return the offset behind the title of general-glo; it is the peer's or left out."""
        length, start = read_length(octets, 1, "system-title")
        end = start + length
        if end > len(octets):
            raise DecodeError(f"system-title needs {in_octets(length)}", octets, start, CLAUSE)
        if length:
            self._check_peer(octets[start:end])
        return end

    def _check_peer(self, title: bytes) -> None:
        if title != self.peer_title:
            known = self.peer_title.hex().upper() or "unknown"
            raise SecurityError(
                f"the APDU is from {title.hex().upper()}, but the peer is {known}",
                "system-title",
                CLAUSE,
            )

    def _check_recipient(self, title: bytes) -> None:
        if title not in {b"", self.own_title}:
            problem = f"the APDU is for {title.hex().upper()}, not for us"
            raise SecurityError(problem, "recipient-system-title", CLAUSE)

    def _unprotected(self, octets: bytes) -> tuple[bytes, Protection]:
        if not octets:
            raise DecodeError("APDU needs a tag", octets, 0, CLAUSE)
        if self._required and octets[0] not in self._passing:
            self._check(octets, UNPROTECTED)
        return octets, UNPROTECTED

    def _open_general(self, octets: bytes) -> tuple[bytes, Protection, ReceiveWindow]:
        envelope = GeneralCiphering.decode(octets)
        self._check_peer(envelope.originator_system_title)
        self._check_recipient(envelope.recipient_system_title)
        apdu, protection = open_envelope(
            self.cipher,
            envelope,
            required=self._required & _CIPHERED,
            form=self.form,
            credentials=self.credentials,
        )
        if not apdu:
            raise _wrong_content(octets, apdu)
        if protection.scheme is not KeyScheme.IDENTIFIED:
            return apdu, protection, self.windows.travelling
        broadcast = protection.control.broadcast
        return apdu, protection, self._broadcast_window if broadcast else self.window

    def _verified(self, octets: bytes) -> tuple[bytes, bytes]:
        """Return the content and the transaction-id of general-signing by the peer, for us."""
        envelope = open_signed(self._held(), octets)
        self._check_peer(envelope.originator_system_title)
        self._check_recipient(envelope.recipient_system_title)
        if not envelope.content:
            raise _wrong_content(octets, b"")
        return envelope.content, envelope.transaction_id

    def _unprotect_signed(self, octets: bytes) -> tuple[bytes, Protection]:
        """Open what is signed outermost: a plain APDU, or a ciphered one."""
        content, transaction_id = self._verified(octets)
        if content[0] in _ROUTES or content[:1] == _GENERAL:
            apdu, protection, window = self._open(content)
            protection = protection._replace(
                signature=Signature.OUTSIDE,
                transaction_id=protection.transaction_id or transaction_id,
            )
            self._check(apdu, protection)
            window.accept(protection.invocation_counter)
            return apdu, protection
        protection = UNPROTECTED._replace(
            system_title=self.peer_title,
            transaction_id=transaction_id,
            signature=Signature.INSIDE,
        )
        self._check(content, protection)
        if self.role is Role.SERVER:
            self.windows.accept_transaction(transaction_id)
        elif transaction_id != self._asked or not transaction_id:
            problem = "the signed response belongs to another request"
            raise SecurityError(problem, f"transaction-id {transaction_id.hex().upper()}", CLAUSE)
        return content, protection


def _answering(control: SecurityControl, owed: int) -> SecurityControl:
    """Return how to cipher the answer to a request that came under `control`."""
    owed &= _CIPHERED
    if control & (owed | BROADCAST_KEY) == owed:
        return control
    return SecurityControl((control | owed) & ~BROADCAST_KEY)


def _wrong_content(octets: bytes, apdu: bytes) -> SecurityError:
    found = f"an APDU with tag {apdu[0]:02X}" if apdu else "no APDU"
    return SecurityError(f"envelope {octets[0]:02X} holds {found}", "ciphered service", CLAUSE)
