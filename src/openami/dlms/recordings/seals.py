# SPDX-License-Identifier: Apache-2.0
"""How a recorded APDU is protected, and what is inside if a key fits.

DLMS UA 1000-2 Ed. 10, 9.2.  `security.channel` is for end points; here no counter is remembered
and no policy asked.  Two habits of the field are tried when the rules do not open it: a header of
general-ciphering that the tag does not cover, and no authentication key at all.
"""

from dataclasses import dataclass, field, replace
from typing import Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from openami.dlms.errors import DecodeError, DlmsError, SecurityError
from openami.dlms.recordings import p1
from openami.dlms.recordings.partial import Breach, read_apdu
from openami.dlms.security.ciphering import (
    SECURITY_HEADER_OCTETS,
    SYSTEM_TITLE_OCTETS,
    TAG_OCTETS,
    Cipher,
)
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.7.2"

_FULL_TAG_OCTETS: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslationKeys:
    """What is needed to look inside protected APDUs.

    Attributes:
        encryption_key: Global unicast encryption key, GUEK; empty if it is not known.
        authentication_key: Global authentication key, GAK; empty where only encryption is used.
        broadcast_key: Global broadcast encryption key, GBEK; empty if it is not known.
        dedicated_key: Of one association; one that an InitiateRequest tells needs no telling.
        system_title: The sender's, for APDUs that do not carry it.
    """

    encryption_key: bytes = field(default=b"", repr=False)
    authentication_key: bytes = field(default=b"", repr=False)
    broadcast_key: bytes = field(default=b"", repr=False)
    dedicated_key: bytes = field(default=b"", repr=False)
    system_title: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """How one APDU is protected.

    Attributes:
        envelope: ``general-glo-ciphering`` and its like.
        control: The security control octet.
        invocation_counter: As it stands there.
        system_title: The sender's; empty where nothing tells.
        own_key: ``wrapped`` or ``agreed`` where the APDU brings a key of its own.
        opened: Whether what is inside was read.
        tag_checked: Whether the authentication tag was found right.
    """

    envelope: str
    control: SecurityControl
    invocation_counter: int
    system_title: bytes
    own_key: str = ""
    opened: bool = False
    tag_checked: bool = False

    @classmethod
    def of(cls, octets: bytes, envelope: str, system_title: bytes) -> Self | DlmsError:
        """Return what the security header tells, or why it tells nothing."""
        if len(octets) < SECURITY_HEADER_OCTETS:
            problem = f"security header needs {SECURITY_HEADER_OCTETS} octets"
            return DecodeError(problem, octets, len(octets), CLAUSE)
        try:
            control = SecurityControl(octets[0])
        except SecurityError as error:
            return error
        counter = int.from_bytes(octets[1:SECURITY_HEADER_OCTETS])
        return cls(
            envelope=envelope,
            control=control,
            invocation_counter=counter,
            system_title=system_title,
        )

    @property
    def key(self) -> str:
        """Which key seals it."""
        if self.own_key:
            return self.own_key
        if "ded" in self.envelope.split("-"):
            return "dedicated"
        return "global broadcast" if self.control.broadcast else "global unicast"

    @property
    def protection(self) -> str:
        """What the security control octet says, in words."""
        parts = [f"suite {int(self.control.suite)}"]
        parts += ["authenticated"] * self.control.authenticated
        parts += ["encrypted"] * self.control.encrypted
        parts += ["broadcast key"] * self.control.broadcast
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Opened:
    """What came of opening a seal: the plain octets if any, and what is wrong."""

    seal: Seal
    plain: bytes | None = field(default=None, repr=False)
    breaches: tuple[Breach, ...] = ()


def open_part(octets: bytes, seal: Seal, keys: TranslationKeys, dedicated_key: bytes) -> Opened:
    """Open security header and body of an APDU whose end, and with it the tag, is not there.

    Args:
        octets: Security control, invocation counter, the part of the body that is there.
        seal: What the security header tells.
        keys: What the reader knows.
        dedicated_key: What the association told; `keys` count first.
    """
    sender = seal.system_title or keys.system_title
    seal = replace(seal, system_title=sender)
    key = keys.encryption_key
    if seal.key == "dedicated":
        key = keys.dedicated_key or dedicated_key
    place = f"invocation counter {seal.invocation_counter} of {sender.hex().upper() or '?'}"
    problem = "the APDU is cut off before its tag, which was not checked"
    wrong = Breach(SecurityError(problem, place, CLAUSE), "truncated-end")
    plain = None
    if len(sender) == SYSTEM_TITLE_OCTETS and len(key) == seal.control.suite.key_octets:
        plain = _unchecked(octets + bytes(TAG_OCTETS), seal, key)
    return Opened(replace(seal, opened=plain is not None), plain, (wrong,))


def open_sealed(
    octets: bytes, seal: Seal, keys: TranslationKeys, dedicated_key: bytes, header: bytes
) -> Opened:
    """Open security header and body.

    Args:
        octets: Security control, invocation counter, body.
        seal: What the security header tells.
        keys: What the reader knows.
        dedicated_key: What the association told; `keys` count first.
        header: Of general-ciphering.
    """
    sender = seal.system_title or keys.system_title
    seal = replace(seal, system_title=sender)
    place = f"invocation counter {seal.invocation_counter} of {sender.hex().upper() or '?'}"
    if seal.own_key:
        problem = f"the APDU brings its own key, {seal.own_key}, which is not worked out here"
        return Opened(seal, None, (Breach(SecurityError(problem, place, CLAUSE)),))
    key = keys.encryption_key
    if seal.key == "dedicated":
        key = keys.dedicated_key or dedicated_key
    if not key and not (seal.control.broadcast and keys.broadcast_key):
        problem = f"the {seal.key} key is not known"
        return Opened(seal, None, (Breach(SecurityError(problem, place, CLAUSE)),))
    try:
        key_set = KeySet(
            suite=seal.control.suite,
            encryption_key=key or keys.broadcast_key,
            authentication_key=keys.authentication_key,
            broadcast_key=keys.broadcast_key or None,
        )
        cipher = Cipher(key_set)
        _, _, plain = cipher.open(octets, sender, aad_prefix=header)
    except DlmsError as error:
        return _opened_by_habit(octets, seal, keys, key, header, error)
    checked = bool(seal.control.authenticated)
    return Opened(replace(seal, opened=True, tag_checked=checked), plain)


def _opened_by_habit(  # noqa: PLR0913, PLR0917  one attempt with all that the first one had
    octets: bytes,
    seal: Seal,
    keys: TranslationKeys,
    key: bytes,
    header: bytes,
    error: DlmsError,
) -> Opened:
    control = seal.control
    refused = Opened(seal, None, (Breach(error),))
    if len(seal.system_title) != SYSTEM_TITLE_OCTETS:
        return refused
    place = f"invocation counter {seal.invocation_counter} of {seal.system_title.hex().upper()}"
    if header and keys.authentication_key:
        try:
            key_set = KeySet(
                suite=control.suite, encryption_key=key, authentication_key=keys.authentication_key
            )
            _, _, plain = Cipher(key_set).open(octets, seal.system_title)
        except DlmsError:
            return refused
        problem = "the tag does not cover the header of general-ciphering"
        wrong = Breach(SecurityError(problem, place, CLAUSE), "header-not-authenticated")
        return Opened(replace(seal, opened=True, tag_checked=True), plain, (wrong,))
    if keys.authentication_key or not control.authenticated or len(key) != control.suite.key_octets:
        return refused
    unchecked = _unchecked(octets, seal, key)
    if unchecked is None:
        return refused
    problem = "no authentication key is known, so the tag was not checked"
    wrong = Breach(SecurityError(problem, place, CLAUSE), "tag-not-checked")
    return Opened(replace(seal, opened=True), unchecked, (wrong,))


def _unchecked(octets: bytes, seal: Seal, key: bytes) -> bytes | None:
    """Return the plain octets without looking at the tag, if they are an APDU or a telegram."""
    body = octets[SECURITY_HEADER_OCTETS:]
    if len(body) <= TAG_OCTETS:
        return None
    plain = body[:-TAG_OCTETS]
    if seal.control.encrypted:
        nonce = seal.system_title + octets[1:SECURITY_HEADER_OCTETS]
        # In counter mode the key stream that encrypts also decrypts.
        plain = AESGCM(key).encrypt(nonce, plain, None)[:-_FULL_TAG_OCTETS]
    if p1.is_telegram(plain):
        return plain
    try:
        read_apdu(plain)
    except DecodeError:
        return None
    return plain
