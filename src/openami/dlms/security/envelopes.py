# SPDX-License-Identifier: Apache-2.0
"""Envelopes that name their sender: general-glo-ciphering, general-ciphering, general-signing.

DLMS UA 1000-2 Ed. 10, 9.2.7.2.  A push names its sender in the clear and waits in journals on its
way, so the receiver decodes the envelope, finds the sender's keys by the title, and opens it.
Nothing here compares counters: the host accepts each `NotificationIdentity` once.  Conversations
inside an association are `channel`.
"""

from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final, NamedTuple

from openami.dlms.apdu.ciphered import (
    GENERAL_CIPHERING,
    GENERAL_GLO_CIPHERING,
    AuthenticatedHeader,
    GeneralCiphering,
    GeneralGloCiphering,
    IdentifiedKey,
    KeyId,
    KeyInfo,
)
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import DecodeError, SecurityError
from openami.dlms.security.agreement import Parties
from openami.dlms.security.ciphering import SYSTEM_TITLE_OCTETS, Cipher
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.credentials import Credentials, KeyScheme
from openami.dlms.security.curves import curve_of
from openami.dlms.security.suites import (
    AUTHENTICATED,
    ENCRYPTED,
    SIGNED,
    SecurityControl,
    SecuritySuite,
)

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2"


_GENERAL_GLO_OCTETS: Final = 30
"""The most that general-glo-ciphering adds: tag, title, length, security header, tag of GCM."""


class Envelope(Enum):
    """The form in which a protected APDU travels."""

    NONE = auto()
    GLO = auto()
    """glo- with the tag of the service."""
    DED = auto()
    """ded- with the tag of the service."""
    GENERAL_GLO = auto()
    GENERAL_DED = auto()
    GENERAL = auto()
    """general-ciphering."""


class Signature(Enum):
    """Whether an APDU is signed, and in which order with ciphering."""

    NONE = auto()
    INSIDE = auto()
    """Signed, then ciphered, if it is ciphered at all."""
    OUTSIDE = auto()
    """Ciphered, then signed."""


_UNSIGNED: Final = Signature.NONE


class Protection(NamedTuple):
    """How an APDU arrived."""

    control: SecurityControl
    envelope: Envelope
    system_title: bytes
    """The sender's; empty without protection."""
    invocation_counter: InvocationCounter
    transaction_id: bytes = b""
    """Of general-ciphering or general-signing; the response repeats it."""
    scheme: KeyScheme = KeyScheme.IDENTIFIED
    signature: Signature = Signature.NONE

    @property
    def bits(self) -> int:
        """The bits of the security control octet, and `SIGNED` if the APDU is."""
        return self.control if self.signature is _UNSIGNED else self.control | SIGNED


UNPROTECTED: Final = Protection(SecurityControl(0), Envelope.NONE, b"", InvocationCounter(0))


_NAMES: Final = (
    (AUTHENTICATED, "authentication"),
    (ENCRYPTED, "encryption"),
    (SIGNED, "a digital signature"),
)


def require(control: int, bits: int, place: str) -> None:
    """Refuse a protection that lacks one of `bits`.

    Raises:
        SecurityError: Says which of authentication, encryption and signature is missing.
    """
    if missing := bits & ~control & (AUTHENTICATED | ENCRYPTED | SIGNED):
        names = [name for bit, name in _NAMES if missing & bit]
        problem = f"the security policy asks for {' and '.join(names)}, which the APDU lacks"
        raise SecurityError(problem, place, CLAUSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralTerms:
    """Who sends an APDU in general-ciphering to whom, and how it is protected.

    Attributes:
        transaction_id: Chosen by the originator; travels in the clear.
        originator: System title of the sender.
        recipient: System title of the receiver.
        control: How to protect; authenticated and encrypted unless told.
        form: Whether the header is under the tag.
        key_info: How the recipient comes to the key; None for the global key that `control` means.
    """

    transaction_id: bytes
    originator: bytes
    recipient: bytes
    control: SecurityControl | None = None
    form: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    key_info: KeyInfo | None = None


def added_octets(
    suite: SecuritySuite,
    scheme: KeyScheme | None = None,
    *,
    signed: bool = False,
    transaction_id_octets: int = 8,
) -> int:
    """Return by how much protection can lengthen an APDU.

    Args:
        suite: Decides the sizes of keys and signatures.
        scheme: Of general-ciphering; None for every other envelope.
        signed: With general-signing too.
        transaction_id_octets: Its length.
    """
    if suite is SecuritySuite.AES_GCM_128:
        key_octets, pair_octets = suite.key_octets, 0
    else:
        key_octets, pair_octets = suite.key_octets, 2 * curve_of(suite).coordinate_octets
    titles = 1 + transaction_id_octets + 2 * (1 + SYSTEM_TITLE_OCTETS) + 2
    added = _GENERAL_GLO_OCTETS
    if scheme is not None:
        added += titles - 1 - SYSTEM_TITLE_OCTETS + 3
    if scheme is KeyScheme.WRAPPED:
        added += 1 + key_octets + 8
    elif scheme is KeyScheme.ONE_PASS:
        added += 4 + 2 * pair_octets
    elif scheme is KeyScheme.STATIC_UNIFIED:
        added += 3
    return added + (titles + 1 + 3 + 2 + pair_octets if signed else 0)


def seal_general(
    cipher: Cipher, invocation_counter: int, apdu: bytes, terms: GeneralTerms
) -> bytes:
    """Return `apdu` in general-ciphering.

    Args:
        cipher: With the keys of originator and recipient, or with the key that `terms` brings.
        invocation_counter: Never used before with this key by the originator.
        apdu: The plain APDU.
        terms: Titles, transaction and protection.
    """
    control = terms.control or SecurityControl.of(cipher.keys.suite)
    envelope = GeneralCiphering(
        transaction_id=terms.transaction_id,
        originator_system_title=terms.originator,
        recipient_system_title=terms.recipient,
        key_info=terms.key_info or IdentifiedKey(key_id=_key_id(control)),
        ciphered_service=b"",
    )
    header = envelope.header(terms.form)
    sealed = cipher.seal(control, invocation_counter, terms.originator, apdu, aad_prefix=header)
    return replace(envelope, ciphered_service=sealed).encode()


def decode_envelope(octets: bytes) -> GeneralGloCiphering | GeneralCiphering:
    """Read the envelope of a push: who sent it, and what is to be opened.

    Raises:
        DecodeError: Not DB or DD, or not well formed.
    """
    match octets[:1]:
        case b"\xdb":
            return GeneralGloCiphering.decode(octets)
        case b"\xdd":
            return GeneralCiphering.decode(octets)
        case _:
            problem = (
                f"neither general-glo-ciphering {GENERAL_GLO_CIPHERING:02X} "
                f"nor general-ciphering {GENERAL_CIPHERING:02X}"
            )
            raise DecodeError(problem, octets, 0, CLAUSE)


def open_envelope(
    cipher: Cipher,
    envelope: GeneralGloCiphering | GeneralCiphering,
    *,
    required: int = AUTHENTICATED | ENCRYPTED,
    form: AuthenticatedHeader = AuthenticatedHeader.STANDARD,
    credentials: Credentials | None = None,
) -> tuple[bytes, Protection]:
    """Open what `decode_envelope` read.

    Args:
        cipher: With the keys of the sender that the envelope names.
        credentials: What is shared with that sender; needed for keys that travel with the APDU.
        envelope: The envelope.
        required: Bits of the security control octet that must be set.
        form: Whether the header of general-ciphering is under the tag.

    Returns:
        The plain APDU, and how it was protected.

    Raises:
        DecodeError: Too few octets inside.
        SecurityError: The tag does not match, the protection is too weak, or the key that is
            meant is none that both sides hold.
    """
    if isinstance(envelope, GeneralCiphering):
        title = envelope.originator_system_title
        scheme, cipher = _key_of(envelope, cipher, credentials)
        opened = cipher.open(envelope.ciphered_service, title, aad_prefix=envelope.header(form))
        control, counter, apdu = opened
        _check_key(envelope, control)
        kind, transaction_id = Envelope.GENERAL, envelope.transaction_id
    else:
        title = envelope.system_title
        control, counter, apdu = cipher.open(envelope.ciphered_service, title)
        kind, transaction_id, scheme = Envelope.GENERAL_GLO, b"", KeyScheme.IDENTIFIED
    if control & required != required:
        require(control, required, f"APDU with invocation counter {counter} of {title.hex()}")
    return apdu, Protection(control, kind, title, counter, transaction_id, scheme)


def _key_id(control: SecurityControl) -> KeyId:
    if control.broadcast:
        return KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY
    return KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY


def _key_of(
    envelope: GeneralCiphering, cipher: Cipher, credentials: Credentials | None
) -> tuple[KeyScheme, Cipher]:
    """Return the cipher of the key that the envelope brings, or that of the global keys."""
    key_info = envelope.key_info
    if key_info is None or isinstance(key_info, IdentifiedKey):
        return KeyScheme.IDENTIFIED, cipher
    if credentials is None:
        problem = "a wrapped or agreed key needs credentials shared with the originator"
        raise SecurityError(problem, "key-info of general-ciphering", CLAUSE)
    parties = Parties(u=envelope.originator_system_title, v=envelope.recipient_system_title)
    scheme, key = credentials.receive_key(key_info, parties, envelope.transaction_id)
    return scheme, cipher.with_encryption_key(key)


def _check_key(envelope: GeneralCiphering, control: SecurityControl) -> None:
    """Refuse an identified key that contradicts the security control octet."""
    key_info = envelope.key_info
    if isinstance(key_info, IdentifiedKey) and key_info.key_id is not _key_id(control):
        problem = f"key-id {key_info.key_id:d} contradicts security control {control:02X}"
        raise SecurityError(problem, "key-info of general-ciphering", CLAUSE)


def sign_general(credentials: Credentials, content: bytes, terms: GeneralTerms) -> bytes:
    """Return `content`, an APDU plain or ciphered, in general-signing."""
    envelope = GeneralSigning(
        transaction_id=terms.transaction_id,
        originator_system_title=terms.originator,
        recipient_system_title=terms.recipient,
        content=content,
    )
    return replace(envelope, signature=credentials.sign(envelope.signed_octets())).encode()


def open_signed(credentials: Credentials, octets: bytes) -> GeneralSigning:
    """Read general-signing and verify it as signed by the peer.

    Raises:
        DecodeError: Not well formed.
        SecurityError: Not signed by the peer.
    """
    envelope = GeneralSigning.decode(octets)
    originator = envelope.originator_system_title.hex().upper() or "(none)"
    what = f"general-signing of {originator}"
    credentials.verify(envelope.signature, envelope.signed_octets(), what)
    return envelope
