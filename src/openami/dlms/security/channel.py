# SPDX-License-Identifier: Apache-2.0
"""One association's protection, both directions: policy, keys, counters, titles.

DLMS UA 1000-2 Ed. 10, 9.2.7.2.  The client and the server hold one `SecureChannel` each; they
differ in their titles and in which half of the policy binds whom.  ACSE APDUs and
exception-responses pass as they are: the standard never ciphers them.
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
from openami.dlms.axdr import encode_length, read_length
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.ciphering import SYSTEM_TITLE_OCTETS, Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.envelopes import (
    CLAUSE,
    UNPROTECTED,
    Envelope,
    GeneralTerms,
    Protection,
    open_envelope,
    require,
    seal_general,
)
from openami.dlms.security.suites import (
    AUTHENTICATED,
    AUTHENTICATED_AND_ENCRYPTED,
    BROADCAST_KEY,
    ENCRYPTED,
    SecurityControl,
    SecurityPolicy,
)

PLAIN_REQUESTS: Final = frozenset({0x60, 0x62})  # AARQ, RLRQ
PLAIN_RESPONSES: Final = frozenset({0x61, 0x63, 0xD8})  # AARE, RLRE, exception-response
PLAIN: Final = PLAIN_REQUESTS | PLAIN_RESPONSES
INITIATE_TAGS: Final = frozenset({0x01, 0x08})

_GENERAL: Final = bytes((GENERAL_CIPHERING,))


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

    Raises:
        SecurityError: `control` is weaker than the policy, or the policy asks for signatures.
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

    # Bits of the security control octet that the peer owes us, and that we owe the peer; tags
    # that the peer may send plain whatever the policy.
    _required: int = field(init=False, repr=False)
    _owed: int = field(init=False, repr=False)
    _passing: frozenset[int] = field(init=False, repr=False)
    _control: SecurityControl = field(init=False, repr=False)
    _dedicated: Cipher | None = field(init=False, repr=False, default=None)
    _dedicated_window: ReceiveWindow = field(init=False, repr=False, default_factory=ReceiveWindow)
    _broadcast_window: ReceiveWindow = field(init=False, repr=False, default_factory=ReceiveWindow)

    def __post_init__(self) -> None:
        policy = self.policy
        signed = SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
        if policy & signed:
            raise SecurityError(
                "the policy asks for digital signatures, which are not offered",
                f"security policy {policy:02X}",
                CLAUSE,
            )
        is_client = self.role is Role.CLIENT
        self._required = policy.response_bits if is_client else policy.request_bits
        self._owed = policy.request_bits if is_client else policy.response_bits
        self._passing = PLAIN_RESPONSES if is_client else PLAIN_REQUESTS
        self._control = self.control or SecurityControl.of(self.cipher.keys.suite)
        require(self._control, self._owed, "our own security control")

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

    def protect(self, apdu: bytes, *, like: Protection | None = None) -> bytes:
        """Return `apdu` as it is to travel.

        Args:
            apdu: The plain APDU.
            like: How the request arrived: the response takes the same form, and protection not
                less than the policy asks.  Without it, the channel's own form.

        Raises:
            SecurityError: No invocation counter is left.
        """
        tag = apdu[0]
        if tag in PLAIN:
            return apdu
        general, dedicated, control = self.general, self._dedicated, self._control
        if like is not None and (envelope := like.envelope) is not Envelope.NONE:
            if envelope is Envelope.GENERAL:
                return self._protect_general(apdu, like)
            control = self._answering(like.control)
            general = envelope is Envelope.GENERAL_GLO or envelope is Envelope.GENERAL_DED
            if envelope is Envelope.GLO or envelope is Envelope.GENERAL_GLO:
                dedicated = None
        elif like is not None and not self._owed:
            return apdu
        if tag in INITIATE_TAGS:  # these carry the dedicated key and the terms of its use
            dedicated, general = None, False
        cipher = dedicated or self.cipher
        sealed = cipher.seal(control, self.counters.next(), self.own_title, apdu)
        service = BY_PLAIN.get(tag)
        if service is None or general:
            form = GENERAL_DED_CIPHERING if dedicated else GENERAL_GLO_CIPHERING
            head = bytes((form, SYSTEM_TITLE_OCTETS)) + self.own_title
        else:
            head = bytes((service.ded if dedicated else service.glo,))
        return head + encode_length(len(sealed)) + sealed

    def _answering(self, control: SecurityControl) -> SecurityControl:
        """Return how to protect the answer to a request that came under `control`."""
        owed = self._owed
        if control & (owed | BROADCAST_KEY) == owed:
            return control
        return SecurityControl((control | owed) & ~BROADCAST_KEY)

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
        route = _ROUTES.get(octets[0] if octets else 0)
        if route is None:
            if octets[:1] == _GENERAL:
                return self._unprotect_general(octets)
            return self._unprotected(octets)
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
        required = self._required
        if control & required != required:
            require(control, required, f"APDU with tag {octets[0]:02X}")
        if not apdu or (plain is not None and apdu[0] != plain):
            raise _wrong_content(octets, apdu)
        (window if not control & BROADCAST_KEY else self._broadcast_window).accept(counter)
        return apdu, Protection(control, envelope, self.peer_title, counter)

    def _skip_title(self, octets: bytes) -> int:
        """Return the offset behind the title of general-glo; it is the peer's or left out."""
        length, start = read_length(octets, 1, "system-title")
        end = start + length
        if end > len(octets):
            raise DecodeError(f"system-title needs {length} octets", octets, start, CLAUSE)
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

    def _unprotected(self, octets: bytes) -> tuple[bytes, Protection]:
        if not octets:
            raise DecodeError("APDU needs a tag", octets, 0, CLAUSE)
        if self._required and octets[0] not in self._passing:
            require(UNPROTECTED.control, self._required, f"APDU with tag {octets[0]:02X}")
        return octets, UNPROTECTED

    def _protect_general(self, apdu: bytes, like: Protection) -> bytes:
        terms = GeneralTerms(
            transaction_id=like.transaction_id,
            originator=self.own_title,
            recipient=self.peer_title,
            control=self._answering(like.control),
            form=self.form,
        )
        return seal_general(self.cipher, self.counters.next(), apdu, terms)

    def _unprotect_general(self, octets: bytes) -> tuple[bytes, Protection]:
        envelope = GeneralCiphering.decode(octets)
        self._check_peer(envelope.originator_system_title)
        recipient = envelope.recipient_system_title
        if recipient not in {b"", self.own_title}:
            problem = f"the APDU is for {recipient.hex().upper()}, not for us"
            raise SecurityError(problem, "recipient-system-title", CLAUSE)
        apdu, protection = open_envelope(
            self.cipher, envelope, required=self._required, form=self.form
        )
        if not apdu:
            raise _wrong_content(octets, apdu)
        broadcast = protection.control.broadcast
        (self._broadcast_window if broadcast else self.window).accept(protection.invocation_counter)
        return apdu, protection


def _wrong_content(octets: bytes, apdu: bytes) -> SecurityError:
    found = f"an APDU with tag {apdu[0]:02X}" if apdu else "no APDU"
    return SecurityError(f"envelope {octets[0]:02X} holds {found}", "ciphered service", CLAUSE)
