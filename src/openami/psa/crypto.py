# SPDX-License-Identifier: Apache-2.0
"""The Crypto API of one client: each function under its name, without the prefix `psa_`.

PSA Certified Crypto API.  The client is who the isolation boundary says is calling: the keys it
names are its own, and so are its multi-part operations.
"""

from typing import Final

from openami.psa import aead, asymmetric, ciphers, digests
from openami.psa.aead import AeadOperation
from openami.psa.algorithms import Algorithm
from openami.psa.attributes import KeyAttributes
from openami.psa.ciphers import CipherOperation
from openami.psa.derivation import KeyDerivation
from openami.psa.digests import HashOperation, MacOperation
from openami.psa.formats import Random
from openami.psa.keystore import KeyStore
from openami.psa.status import PsaError, Status

LARGEST_RANDOM_OCTETS: Final = 0x100000
"""What one call of generate_random may ask for."""


class Crypto:
    """What one client may call."""

    def __init__(self, keys: KeyStore, client: int, random: Random) -> None:
        self._keys = keys
        self._client = client
        self._random = random

    # Key management

    def import_key(self, attributes: KeyAttributes, data: bytes) -> int:
        return self._keys.import_key(self._client, attributes, data)

    def generate_key(self, attributes: KeyAttributes) -> int:
        return self._keys.generate_key(self._client, attributes)

    def copy_key(self, source: int, attributes: KeyAttributes) -> int:
        return self._keys.copy_key(self._client, source, attributes)

    def destroy_key(self, key: int) -> None:
        self._keys.destroy_key(self._client, key)

    def purge_key(self, key: int) -> None:
        self._keys.purge_key(self._client, key)

    def export_key(self, key: int) -> bytes:
        return self._keys.export_key(self._client, key)

    def export_public_key(self, key: int) -> bytes:
        return self._keys.export_public_key(self._client, key)

    def get_key_attributes(self, key: int) -> KeyAttributes:
        return self._keys.attributes(self._client, key)

    def wrap_key(self, wrapping_key: int, alg: Algorithm, key: int) -> bytes:
        return asymmetric.wrap_key(self._keys, self._client, wrapping_key, alg, key)

    def unwrap_key(
        self, attributes: KeyAttributes, wrapping_key: int, alg: Algorithm, data: bytes
    ) -> int:
        return asymmetric.unwrap_key(self._keys, self._client, attributes, wrapping_key, alg, data)

    # Hashes and MACs

    def hash_compute(self, alg: Algorithm, octets: bytes) -> bytes:
        return digests.hash_compute(alg, octets)

    def hash_compare(self, alg: Algorithm, octets: bytes, expected: bytes) -> None:
        digests.hash_compare(alg, octets, expected)

    def hash_operation(self) -> HashOperation:
        """Return an inactive multi-part hash."""
        return HashOperation()

    def mac_compute(self, key: int, alg: Algorithm, octets: bytes) -> bytes:
        return digests.mac_compute(self._keys, self._client, key, alg, octets)

    def mac_verify(self, key: int, alg: Algorithm, octets: bytes, mac: bytes) -> None:
        digests.mac_verify(self._keys, self._client, key, alg, octets, mac)

    def mac_operation(self) -> MacOperation:
        """Return an inactive multi-part MAC."""
        return MacOperation(self._keys, self._client)

    # Ciphers

    def cipher_encrypt(self, key: int, alg: Algorithm, octets: bytes) -> bytes:
        """Return a random initialization vector, if the mode has one, and the ciphertext."""
        return ciphers.cipher_encrypt(self.cipher_operation(), key, alg, octets)

    def cipher_decrypt(self, key: int, alg: Algorithm, octets: bytes) -> bytes:
        return ciphers.cipher_decrypt(self.cipher_operation(), key, alg, octets)

    def cipher_operation(self) -> CipherOperation:
        """Return an inactive multi-part cipher."""
        return CipherOperation(self._keys, self._client, self._random)

    def aead_encrypt(
        self, key: int, alg: Algorithm, nonce: bytes, ad: bytes, octets: bytes
    ) -> bytes:
        return aead.aead_encrypt(self.aead_operation(), (key, alg), nonce, ad, octets)

    def aead_decrypt(
        self, key: int, alg: Algorithm, nonce: bytes, ad: bytes, octets: bytes
    ) -> bytes:
        return aead.aead_decrypt(self.aead_operation(), (key, alg), nonce, ad, octets)

    def aead_operation(self) -> AeadOperation:
        """Return an inactive multi-part AEAD."""
        return AeadOperation(self._keys, self._client, self._random)

    # Signatures

    def sign_hash(self, key: int, alg: Algorithm, digest: bytes) -> bytes:
        return asymmetric.sign_hash(self._keys, self._client, key, alg, digest)

    def sign_message(self, key: int, alg: Algorithm, octets: bytes) -> bytes:
        return asymmetric.sign_message(self._keys, self._client, key, alg, octets)

    def verify_hash(self, key: int, alg: Algorithm, digest: bytes, signature: bytes) -> None:
        asymmetric.verify_hash(self._keys, self._client, key, alg, digest, signature)

    def verify_message(self, key: int, alg: Algorithm, octets: bytes, signature: bytes) -> None:
        asymmetric.verify_message(self._keys, self._client, key, alg, octets, signature)

    # Agreement, derivation, random

    def raw_key_agreement(self, alg: Algorithm, key: int, peer: bytes) -> bytes:
        return asymmetric.raw_key_agreement(self._keys, self._client, key, alg, peer)

    def key_agreement(
        self, key: int, peer: bytes, alg: Algorithm, attributes: KeyAttributes
    ) -> int:
        return asymmetric.key_agreement(self._keys, self._client, key, peer, alg, attributes)

    def key_derivation(self) -> KeyDerivation:
        """Return an inactive key derivation."""
        return KeyDerivation(self._keys, self._client)

    def generate_random(self, octets: int) -> bytes:
        if not 0 <= octets <= LARGEST_RANDOM_OCTETS:
            problem = (
                f"{octets} octets at once are not given: ask for up to {LARGEST_RANDOM_OCTETS}"
            )
            raise PsaError(Status.INVALID_ARGUMENT, problem, "generate_random")
        return self._random(octets)
