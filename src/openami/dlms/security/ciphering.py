# SPDX-License-Identifier: Apache-2.0
"""AES-GCM protection of an APDU: what stands behind the security header.

DLMS UA 1000-2 Ed. 10, 9.2.3.3.7 (Galois/Counter Mode) and 9.2.7.2.4 (security header).  A sealed
APDU is SC, invocation counter, body::

    SC  protection      additional authenticated data   body
    1x  authenticated   SC || AK || header || APDU      APDU || tag
    2x  encrypted       none                            ciphertext
    3x  both            SC || AK || header              ciphertext || tag

The initialization vector is the sender's system title and the counter; the tag is cut to 12
octets.  The header is that of general-ciphering and empty elsewhere.  Envelopes around these
octets are `apdu.ciphered`; which key, counter and policy apply is `channel`.
"""

from hmac import compare_digest
from typing import Final, Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from openami.dlms.errors import DecodeError, SecurityError, in_octets
from openami.dlms.security.counters import InvocationCounter
from openami.dlms.security.keyset import KeyService, KeySet
from openami.dlms.security.suites import SecurityControl

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.3.7"

SECURITY_HEADER_OCTETS: Final = 5
SYSTEM_TITLE_OCTETS: Final = 8
TAG_OCTETS: Final = 12

# AES-GCM computes 16 octets of tag; DLMS/COSEM sends the first 12.
FULL_TAG_OCTETS: Final = 16
UNSENT_OCTETS: Final = FULL_TAG_OCTETS - TAG_OCTETS


class Cipher:
    """Seals and opens APDUs with one key set; the key schedules are made once and kept.

    Attributes:
        keys: The key set.  With a `KeyService` its octets are names: of a key's size, the same
            for the same key, and no key.
        common: Authenticated encryption under the unicast key, once it was used; see
            `common_form`.
    """

    __slots__ = ("_modes", "_service", "common", "keys")

    def __init__(self, keys: KeySet, service: KeyService | None = None) -> None:
        self.keys = keys
        self._service = service
        self.common: AuthenticatedEncryption | None = None
        self._modes: dict[int, _Mode] = {}

    def seal(
        self,
        control: SecurityControl,
        invocation_counter: int,
        system_title: bytes,
        apdu: bytes,
        *,
        aad_prefix: bytes = b"",
    ) -> bytes:
        """Protect `apdu`; return SC, invocation counter, body.

        Args:
            control: How to protect.
            invocation_counter: Never used before with this key and this title.
            system_title: The sender's.
            apdu: The plain APDU.
            aad_prefix: Header of general-ciphering, authenticated in front of the APDU.
        """
        if len(system_title) != SYSTEM_TITLE_OCTETS:
            raise _title_refused(system_title)
        mode = self._modes.get(control) or self._add_mode(control)
        counter = invocation_counter.to_bytes(4)
        body = mode.seal(system_title + counter, apdu, aad_prefix)
        return mode.octet + counter + body

    def open(
        self, octets: bytes, system_title: bytes, *, aad_prefix: bytes = b""
    ) -> tuple[SecurityControl, InvocationCounter, bytes]:
        """Take the protection off SC, invocation counter, body.

        Args:
            octets: What `seal` returns.
            system_title: The sender's.
            aad_prefix: Header of general-ciphering.

        Returns:
            How it was protected, its counter (not yet compared with any other), the plain APDU.

        Raises:
            DecodeError: Too few octets.
            SecurityError: The tag does not match, or no key is here for this protection.
        """
        if len(octets) < SECURITY_HEADER_OCTETS:
            raise DecodeError("security header needs 5 octets", octets, len(octets), CLAUSE)
        if len(system_title) != SYSTEM_TITLE_OCTETS:
            raise _title_refused(system_title)
        mode = self._modes.get(octets[0]) or self._add_mode(octets[0])
        counter = octets[1:5]
        apdu = mode.open(system_title + counter, octets, aad_prefix)
        if apdu is None:
            raise SecurityError(
                "the tag does not match: the key or the system title is wrong, "
                "or octets were altered",
                f"invocation counter {int.from_bytes(counter)} of {system_title.hex().upper()}",
                CLAUSE,
            )
        return mode.control, InvocationCounter(int.from_bytes(counter)), apdu

    def with_encryption_key(self, dedicated_key: bytes) -> "Cipher":
        """Return the cipher of a dedicated key: the same authentication key, another GUEK."""
        return Cipher(
            KeySet(
                suite=self.keys.suite,
                encryption_key=dedicated_key,
                authentication_key=self.keys.authentication_key,
            ),
            None if self._service is None else self._service.with_encryption_key(dedicated_key),
        )

    def _add_mode(self, octet: int) -> "_Mode":
        control = SecurityControl(octet)
        keys = self.keys
        place = f"security control {octet:02X}"
        if control.suite is not keys.suite:
            problem = f"security suite is {control.suite:d}, the keys are of suite {keys.suite:d}"
            raise SecurityError(problem, place, CLAUSE)
        if control.authenticated and not keys.authentication_key:
            raise SecurityError("no authentication key is known", place, CLAUSE)
        encryption_key = keys.broadcast_key if control.broadcast else keys.encryption_key
        if encryption_key is None:
            raise SecurityError("no broadcast key is known", place, CLAUSE)
        mode: _Mode
        if self._service is not None and (control.authenticated or control.encrypted):
            mode = self._modes[octet] = _Served(control, self._service)
            return mode
        aead = AESGCM(encryption_key)
        match control.authenticated, control.encrypted:
            case True, True:
                mode = AuthenticatedEncryption(control, aead, keys.authentication_key)
                if not control.broadcast:
                    self.common = mode
            case True, False:
                mode = _Authentication(control, aead, keys.authentication_key)
            case False, True:
                mode = _Encryption(control, aead)
            case _:
                raise SecurityError("ciphered, but neither bit of protection set", place, CLAUSE)
        self._modes[octet] = mode
        return mode


class _Mode(Protocol):
    """One row of the table above."""

    control: SecurityControl
    octet: bytes

    def seal(self, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        """Return the body."""

    def open(self, nonce: bytes, octets: bytes, header: bytes) -> bytes | None:
        """Return the APDU in SC, counter, body; None when the tag does not match."""


class AuthenticatedEncryption:
    """SC 3x.

    `open` recovers the plaintext by running the key stream over the ciphertext (encryption and
    decryption are the same in counter mode), seals it again, and compares the tags.  That takes a
    third of the time of a decryptor object that accepts tags of 12 octets; the plaintext leaves
    only when the comparison of the tags, which takes the same time wherever it fails, holds.
    """

    __slots__ = ("aad", "control", "encrypt", "octet", "sc")

    def __init__(self, control: SecurityControl, aead: AESGCM, authentication_key: bytes) -> None:
        self.control = control
        self.sc = int(control)  # looked at in every APDU, where a flag costs more
        self.octet = bytes((control,))
        self.encrypt = aead.encrypt
        self.aad = self.octet + authentication_key

    def seal(self, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        return self.encrypt(nonce, apdu, self.aad + header)[:-UNSENT_OCTETS]

    def open(self, nonce: bytes, octets: bytes, header: bytes) -> bytes | None:
        body = octets[SECURITY_HEADER_OCTETS:]
        if len(body) < TAG_OCTETS:
            raise _tag_missing(octets)
        apdu = self.encrypt(nonce, body, None)[: -TAG_OCTETS - FULL_TAG_OCTETS]
        sealed = self.encrypt(nonce, apdu, self.aad + header)
        # The ciphertext is the same by construction, so the tags alone are compared: comparing a
        # long ciphertext in constant time would take longer than the two passes of AES.
        tag = sealed[-FULL_TAG_OCTETS:-UNSENT_OCTETS]
        return apdu if compare_digest(tag, body[-TAG_OCTETS:]) else None


class _Authentication:
    """SC 1x: the APDU stays readable, the tag covers it (GMAC)."""

    __slots__ = ("_aad", "_encrypt", "control", "octet")

    def __init__(self, control: SecurityControl, aead: AESGCM, authentication_key: bytes) -> None:
        self.control = control
        self.octet = bytes((control,))
        self._encrypt = aead.encrypt
        self._aad = self.octet + authentication_key

    def seal(self, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        return apdu + self._encrypt(nonce, b"", self._aad + header + apdu)[:TAG_OCTETS]

    def open(self, nonce: bytes, octets: bytes, header: bytes) -> bytes | None:
        if len(octets) < SECURITY_HEADER_OCTETS + TAG_OCTETS:
            raise _tag_missing(octets)
        apdu = octets[SECURITY_HEADER_OCTETS:-TAG_OCTETS]
        tag = self._encrypt(nonce, b"", self._aad + header + apdu)[:TAG_OCTETS]
        return apdu if compare_digest(tag, octets[-TAG_OCTETS:]) else None


class _Encryption:
    """SC 2x: hidden, but not protected against alteration."""

    __slots__ = ("_encrypt", "control", "octet")

    def __init__(self, control: SecurityControl, aead: AESGCM) -> None:
        self.control = control
        self.octet = bytes((control,))
        self._encrypt = aead.encrypt

    def seal(self, nonce: bytes, apdu: bytes, header: bytes) -> bytes:  # noqa: ARG002 - no AAD
        return self._encrypt(nonce, apdu, None)[:-FULL_TAG_OCTETS]

    def open(self, nonce: bytes, octets: bytes, header: bytes) -> bytes | None:  # noqa: ARG002
        return self._encrypt(nonce, octets[SECURITY_HEADER_OCTETS:], None)[:-FULL_TAG_OCTETS]


class _Served:
    """Any row, under keys that a `KeyService` holds."""

    __slots__ = ("_service", "control", "octet")

    def __init__(self, control: SecurityControl, service: KeyService) -> None:
        self.control = control
        self.octet = bytes((control,))
        self._service = service

    def seal(self, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        return self._service.seal(self.control, nonce, apdu, header)

    def open(self, nonce: bytes, octets: bytes, header: bytes) -> bytes | None:
        body = octets[SECURITY_HEADER_OCTETS:]
        if self.control.authenticated and len(body) < TAG_OCTETS:
            raise _tag_missing(octets)
        return self._service.open(self.control, nonce, body, header)


def _title_refused(system_title: bytes) -> SecurityError:
    problem = f"the sender's system title has {in_octets(len(system_title))}, not 8"
    return SecurityError(problem, f"system title {system_title.hex().upper() or '(none)'}", CLAUSE)


def _tag_missing(octets: bytes) -> DecodeError:
    return DecodeError("authentication tag needs 12 octets", octets, len(octets), CLAUSE)


def wrap_key(key_encryption_key: bytes, key: bytes) -> bytes:
    """Return `key` wrapped for its transfer (RFC 3394): 8 octets longer than the key."""
    return aes_key_wrap(key_encryption_key, key)


def unwrap_key(key_encryption_key: bytes, wrapped: bytes) -> bytes:
    """Return the key inside `wrapped`.

    Raises:
        SecurityError: Wrapped with another key, or altered.
    """
    try:
        return aes_key_unwrap(key_encryption_key, wrapped)
    except (InvalidUnwrap, ValueError):
        raise SecurityError(
            "the wrapped key does not open with this key encryption key",
            f"wrapped key of {len(wrapped)} octets",
            "RFC 3394, 2.2.2",
        ) from None
