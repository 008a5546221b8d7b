# SPDX-License-Identifier: Apache-2.0
"""The keys of DLMS/COSEM in a PSA key store: sealed, opened, signed and agreed by key id.

`dlms.security` asks ports for what needs a key; here each port is answered by PSA Crypto, so that
every use is held to the policy of its key and no key leaves the store::

    port         key                    type      permitted algorithm          usage
    KeyService   encryption, broadcast  AES       GCM with a tag of 12         ENCRYPT, DECRYPT
                 authentication         RAW_DATA  the same                     ENCRYPT, DECRYPT
    Signer       signing key            key pair  ECDSA with the suite's hash  SIGN_MESSAGE
    Agreement    key agreement key      key pair  ECDH                         DERIVE
    KeyWrapping  master key             AES       AES-KW                       WRAP, UNWRAP

The authentication key of DLMS/COSEM is no key to PSA: it is authenticated data.  So this code runs
where the key store is, and reads it there; a caller across the boundary passes APDUs, not parts of
them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Final
from weakref import finalize

from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import OtherInfo, derive_key
from openami.dlms.security.ciphering import TAG_OCTETS
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.psa import aead, algorithms, asymmetric
from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.formats import Random
from openami.psa.keystore import KeyStore
from openami.psa.status import PsaError, Status

GCM_12: Final = algorithms.shortened_tag(algorithms.GCM, TAG_OCTETS)
CLAUSE: Final = "PSA Certified Crypto API, Key policies"

_HASHES: Final = {
    SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256: algorithms.SHA_256,
    SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384: algorithms.SHA_384,
}


def global_key_attributes(suite: SecuritySuite, *, authentication: bool = False) -> KeyAttributes:
    """Return what a global key is created with; lifetime and identifier are the caller's.

    It is used with each APDU, so the store may keep a copy at hand.
    """
    return KeyAttributes(
        type=KeyType.RAW_DATA if authentication else KeyType.AES,
        bits=8 * suite.key_octets,
        usage=Usage.ENCRYPT | Usage.DECRYPT | Usage.CACHE,
        alg=GCM_12,
    )


def signing_key_attributes(suite: SecuritySuite) -> KeyAttributes:
    """Return what a signing key is created with."""
    return KeyAttributes(
        type=KeyType.ECC_KEY_PAIR_SECP_R1,
        bits=256 if suite is SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256 else 384,
        usage=Usage.SIGN_MESSAGE,
        alg=algorithms.ecdsa(_HASHES[suite]),
    )


def agreement_key_attributes(suite: SecuritySuite) -> KeyAttributes:
    """Return what a key agreement key is created with."""
    made = signing_key_attributes(suite)
    return replace(made, usage=Usage.DERIVE, alg=algorithms.ECDH)


def master_key_attributes(suite: SecuritySuite) -> KeyAttributes:
    """Return what a master key is created with."""
    return KeyAttributes(
        type=KeyType.AES,
        bits=8 * suite.key_octets,
        usage=Usage.WRAP | Usage.UNWRAP,
        alg=algorithms.AES_KW,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalKeyIds:
    """Which keys of a store are the global keys that one client and one server share."""

    suite: SecuritySuite = SecuritySuite.AES_GCM_128
    encryption: int
    authentication: int
    broadcast: int | None = None

    def names(self) -> KeySet:
        """Return names of the keys, in the shape of keys: for `Cipher`, beside its service."""
        return KeySet(
            suite=self.suite,
            encryption_key=self._name(self.encryption),
            authentication_key=self._name(self.authentication),
            broadcast_key=None if self.broadcast is None else self._name(self.broadcast),
        )

    def _name(self, key_id: int) -> bytes:
        return sha256(b"name of key %08X" % key_id).digest()[: self.suite.key_octets]


class PsaKeyService:
    """Global keys in a key store: what `dlms.security.ciphering.Cipher` asks for."""

    __slots__ = ("__weakref__", "_client", "_ids", "_keys", "_random")

    def __init__(self, keys: KeyStore, client: int, random: Random, ids: GlobalKeyIds) -> None:
        self._keys = keys
        self._client = client
        self._random = random
        self._ids = ids

    def seal(self, control: SecurityControl, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        key_id = self._key_id(control)
        with refusals():
            if not control.encrypted:
                aad = self._authenticated(control, Usage.ENCRYPT, header) + apdu
                return apdu + self._encrypt(key_id, nonce, aad, b"")
            if control.authenticated:
                aad = self._authenticated(control, Usage.ENCRYPT, header)
                return self._encrypt(key_id, nonce, aad, apdu)
            return self._encrypt(key_id, nonce, b"", apdu)[:-TAG_OCTETS]

    def open(
        self, control: SecurityControl, nonce: bytes, body: bytes, header: bytes
    ) -> bytes | None:
        key_id = self._key_id(control)
        with refusals():
            try:
                if not control.authenticated:
                    # Nothing proves these octets.  Encryption inverts itself in counter mode.
                    return self._encrypt(key_id, nonce, b"", body)[:-TAG_OCTETS]
                aad = self._authenticated(control, Usage.DECRYPT, header)
                if control.encrypted:
                    return self._decrypt(key_id, nonce, aad, body)
                apdu, tag = body[:-TAG_OCTETS], body[-TAG_OCTETS:]
                self._decrypt(key_id, nonce, aad + apdu, tag)
            except PsaError as error:
                if error.status is Status.INVALID_SIGNATURE:
                    return None
                raise
            return apdu

    def with_encryption_key(self, dedicated_key: bytes) -> "PsaKeyService":
        """Return the service of a dedicated key; the key leaves the store when the service goes."""
        with refusals():
            made = global_key_attributes(self._ids.suite)
            key_id = self._keys.import_key(self._client, made, dedicated_key)
        ids = replace(self._ids, encryption=key_id, broadcast=None)
        made_for_it = PsaKeyService(self._keys, self._client, self._random, ids)
        finalize(made_for_it, _destroy, self._keys, self._client, key_id).atexit = False
        return made_for_it

    def _key_id(self, control: SecurityControl) -> int:
        if not control.broadcast:
            return self._ids.encryption
        if self._ids.broadcast is None:
            place = f"security control {control:02X}"
            raise SecurityError("no broadcast key is known", place, CLAUSE)
        return self._ids.broadcast

    def _authenticated(self, control: SecurityControl, usage: Usage, header: bytes) -> bytes:
        key = self._keys.use(self._client, self._ids.authentication, usage, GCM_12)
        return bytes((control,)) + key.material + header

    def _encrypt(self, key_id: int, nonce: bytes, aad: bytes, octets: bytes) -> bytes:
        operation = aead.AeadOperation(self._keys, self._client, self._random)
        return aead.aead_encrypt(operation, (key_id, GCM_12), nonce, aad, octets)

    def _decrypt(self, key_id: int, nonce: bytes, aad: bytes, octets: bytes) -> bytes:
        operation = aead.AeadOperation(self._keys, self._client, self._random)
        return aead.aead_decrypt(operation, (key_id, GCM_12), nonce, aad, octets)


def _destroy(keys: KeyStore, client: int, key_id: int) -> None:
    with suppress(PsaError):  # its client is gone, and took it along
        keys.destroy_key(client, key_id)


class PsaSigner:
    """A signing key in a key store: a `dlms.security.signing.Signer`."""

    __slots__ = ("_client", "_key_id", "_keys", "suite")

    def __init__(self, keys: KeyStore, client: int, suite: SecuritySuite, key_id: int) -> None:
        self.suite = suite
        self._keys = keys
        self._client = client
        self._key_id = key_id

    def sign(self, octets: bytes) -> bytes:
        """Return the signature of `octets`, r || s."""
        alg = algorithms.ecdsa(_HASHES[self.suite])
        with refusals():
            return asymmetric.sign_message(self._keys, self._client, self._key_id, alg, octets)


class PsaAgreement:
    """A key agreement key in a key store: a `dlms.security.agreement.Agreement`."""

    __slots__ = ("_client", "_key_id", "_keys", "public", "suite")

    def __init__(self, keys: KeyStore, client: int, suite: SecuritySuite, key_id: int) -> None:
        self.suite = suite
        self._keys = keys
        self._client = client
        self._key_id = key_id
        with refusals():
            self.public = keys.export_public_key(client, key_id)[1:]

    def agree(self, peer: bytes, info: OtherInfo) -> bytes:
        """Return the key shared with the holder of `peer`, x || y; the secret stays here."""
        with refusals():
            secret = asymmetric.raw_key_agreement(
                self._keys, self._client, self._key_id, algorithms.ECDH, b"\x04" + peer
            )
        return derive_key(self.suite, secret, info)


class PsaMasterKey:
    """The master key in a key store: a `dlms.security.credentials.KeyWrapping`."""

    __slots__ = ("_client", "_key_id", "_keys")

    _TRAVELLER: Final = KeyAttributes(type=KeyType.RAW_DATA, usage=Usage.EXPORT)

    def __init__(self, keys: KeyStore, client: int, key_id: int) -> None:
        self._keys = keys
        self._client = client
        self._key_id = key_id

    def wrap(self, key: bytes) -> bytes:
        """Return `key` wrapped (RFC 3394)."""
        with refusals():
            inner = self._keys.import_key(self._client, self._TRAVELLER, key)
            try:
                return asymmetric.wrap_key(
                    self._keys, self._client, self._key_id, algorithms.AES_KW, inner
                )
            finally:
                self._keys.destroy_key(self._client, inner)

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the key inside; raises `SecurityError` if it was wrapped with another."""
        with refusals():
            inner = asymmetric.unwrap_key(
                self._keys,
                self._client,
                self._TRAVELLER,
                self._key_id,
                algorithms.AES_KW,
                wrapped,
            )
            try:
                return self._keys.export_key(self._client, inner)
            finally:
                self._keys.destroy_key(self._client, inner)


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the key store refuses into what DLMS/COSEM security refuses."""
    try:
        yield
    except PsaError as error:
        problem = f"{error.problem} ({error.status.name})"
        raise SecurityError(problem, error.place, CLAUSE) from error
