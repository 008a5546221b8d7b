# SPDX-License-Identifier: Apache-2.0
"""Hashes and message authentication codes (PSA Certified Crypto API, Message digests; MAC).

Comparisons take the same time wherever they fail.  A MAC is an HMAC over a key of type HMAC or a
CMAC over AES, whole or cut to the length that the algorithm says.
"""

from hmac import compare_digest

from cryptography.hazmat.primitives import cmac, hashes, hmac
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from openami.psa import algorithms, operations
from openami.psa.algorithms import Algorithm, Category
from openami.psa.attributes import KeyType, Usage
from openami.psa.keystore import Key, KeyStore
from openami.psa.operations import Call, Operation
from openami.psa.status import PsaError, Status


def hash_compute(alg: Algorithm, octets: bytes) -> bytes:
    """psa_hash_compute."""
    context = hashes.Hash(algorithms.hash_kind(alg).digest())
    context.update(octets)
    return context.finalize()


def hash_compare(alg: Algorithm, octets: bytes, expected: bytes) -> None:
    """psa_hash_compare; raise `PsaError` INVALID_SIGNATURE where they differ."""
    expect(hash_compute(alg, octets), expected, "hash")


def expect(found: bytes, expected: bytes, what: str) -> None:
    """Refuse `expected` with INVALID_SIGNATURE where it is not what was computed."""
    if not compare_digest(found, expected):
        raise PsaError(Status.INVALID_SIGNATURE, f"the {what} is another one", what)


class HashOperation(Operation):
    """psa_hash_operation_t."""

    TABLE = operations.HASH

    def __init__(self) -> None:
        self._context: hashes.Hash | None = None

    def setup(self, alg: Algorithm) -> None:
        with self._call(Call.SETUP):
            self._context = hashes.Hash(algorithms.hash_kind(alg).digest())

    def update(self, octets: bytes) -> None:
        with self._call(Call.UPDATE):
            self._held().update(octets)

    def finish(self) -> bytes:
        with self._call(Call.FINISH):
            return self._held().finalize()

    def verify(self, expected: bytes) -> None:
        """psa_hash_verify; raise `PsaError` INVALID_SIGNATURE where it is another hash."""
        with self._call(Call.VERIFY):
            expect(self._held().finalize(), expected, "hash")

    def clone(self) -> "HashOperation":
        """psa_hash_clone: return an operation that goes on from here by itself."""
        with self._call(Call.CLONE):
            made = HashOperation()
            made._context, made.state = self._held().copy(), self.state
            return made

    def _held(self) -> hashes.Hash:
        if self._context is None:
            raise AssertionError("an active hash has a context")
        return self._context

    def _forget(self) -> None:
        self._context = None


def mac_compute(keys: KeyStore, client: int, key_id: int, alg: Algorithm, octets: bytes) -> bytes:
    """psa_mac_compute."""
    operation = MacOperation(keys, client)
    operation.sign_setup(key_id, alg)
    operation.update(octets)
    return operation.sign_finish()


def mac_verify(  # noqa: PLR0913, PLR0917 - the parameters of psa_mac_verify
    keys: KeyStore, client: int, key_id: int, alg: Algorithm, octets: bytes, mac: bytes
) -> None:
    """psa_mac_verify; raise `PsaError` INVALID_SIGNATURE where it is another MAC."""
    operation = MacOperation(keys, client)
    operation.verify_setup(key_id, alg)
    operation.update(octets)
    operation.verify_finish(mac)


def mac_context(key: Key, alg: Algorithm) -> hmac.HMAC | cmac.CMAC:
    """Return a MAC of whole length under way; raise `PsaError` where key and algorithm differ."""
    if algorithms.is_hmac(alg):
        if key.kind is not KeyType.HMAC:
            raise incompatible(key, alg)
        kind = algorithms.hash_kind(algorithms.hash_of(alg))
        return hmac.HMAC(key.material, kind.digest())
    if key.kind is not KeyType.AES:
        raise incompatible(key, alg)
    return cmac.CMAC(AES(key.material))


def incompatible(key: Key, alg: Algorithm) -> PsaError:
    """Return the refusal of a key of the wrong type."""
    problem = f"a key of type {key.kind.name} does not go with it"
    return PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(alg))


class MacOperation(Operation):
    """psa_mac_operation_t."""

    TABLE = operations.MAC

    def __init__(self, keys: KeyStore, client: int) -> None:
        self._keys = keys
        self._client = client
        self._context: hmac.HMAC | cmac.CMAC | None = None
        self._octets = 0

    def sign_setup(self, key_id: int, alg: Algorithm) -> None:
        with self._call(Call.SIGN_SETUP):
            self._begin(key_id, alg, Usage.SIGN_MESSAGE)

    def verify_setup(self, key_id: int, alg: Algorithm) -> None:
        with self._call(Call.VERIFY_SETUP):
            self._begin(key_id, alg, Usage.VERIFY_MESSAGE)

    def _begin(self, key_id: int, alg: Algorithm, usage: Usage) -> None:
        algorithms.check_call(alg, Category.MAC)
        key = self._keys.use(self._client, key_id, usage, alg)
        octets = algorithms.mac_octets(alg)
        self._context, self._octets = mac_context(key, algorithms.full_mac(alg)), octets

    def update(self, octets: bytes) -> None:
        with self._call(Call.UPDATE):
            self._held().update(octets)

    def sign_finish(self) -> bytes:
        with self._call(Call.FINISH):
            return self._held().finalize()[: self._octets]

    def verify_finish(self, mac: bytes) -> None:
        """psa_mac_verify_finish; raise `PsaError` INVALID_SIGNATURE where it is another MAC."""
        with self._call(Call.VERIFY):
            expect(self._held().finalize()[: self._octets], mac, "MAC")

    def _held(self) -> hmac.HMAC | cmac.CMAC:
        if self._context is None:
            raise AssertionError("an active MAC has a context")
        return self._context

    def _forget(self) -> None:
        self._context = None
