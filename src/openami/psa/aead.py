# SPDX-License-Identifier: Apache-2.0
"""Authenticated encryption: AES-GCM and AES-CCM (PSA Certified Crypto API, AEAD).

The tag has the length that the algorithm says: DLMS/COSEM cuts that of GCM to 12 octets.  A nonce
has 8 to 128 octets for GCM and 7 to 13 for CCM; generated ones have 12 and 13.  CCM must know the
lengths before anything else, and gives its output at the end.
"""

from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import (
    AEADDecryptionContext,
    AEADEncryptionContext,
    Cipher,
    modes,
)
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from openami.psa import algorithms, operations
from openami.psa.algorithms import CCM, GCM, Algorithm, Category
from openami.psa.attributes import KeyType, Usage
from openami.psa.digests import incompatible
from openami.psa.formats import Random
from openami.psa.keystore import Key, KeyStore
from openami.psa.operations import Call, Operation
from openami.psa.status import PsaError, Status

NONCES_OCTETS: Final = {GCM: range(8, 129), CCM: range(7, 14)}
GENERATED_OCTETS: Final = {GCM: 12, CCM: 13}
SHORTEST_TAG_OCTETS: Final = 4


class AeadOperation(Operation):
    """psa_aead_operation_t."""

    TABLE = operations.AEAD

    def __init__(self, keys: KeyStore, client: int, random: Random) -> None:
        self._keys = keys
        self._client = client
        self._random = random
        self._clear()

    def _clear(self) -> None:
        self._alg = algorithms.NONE
        self._tag_octets = 0
        self._key: Key | None = None
        self._encrypts = False
        self._lengths: tuple[int, int] | None = None
        self._nonce = b""
        self._ad_octets = self._data_octets = 0
        self._ad, self._data = b"", b""
        self._gcm: AEADEncryptionContext | AEADDecryptionContext | None = None

    def encrypt_setup(self, key_id: int, alg: Algorithm) -> None:
        with self._call(Call.ENCRYPT_SETUP):
            self._begin(key_id, alg, Usage.ENCRYPT)

    def decrypt_setup(self, key_id: int, alg: Algorithm) -> None:
        with self._call(Call.DECRYPT_SETUP):
            self._begin(key_id, alg, Usage.DECRYPT)

    def _begin(self, key_id: int, alg: Algorithm, usage: Usage) -> None:
        algorithms.check_call(alg, Category.AEAD)
        key = self._keys.use(self._client, key_id, usage, alg)
        octets = algorithms.check_tag(alg)
        if key.kind is not KeyType.AES:
            raise incompatible(key, alg)
        self._alg, self._tag_octets = algorithms.default_tag(alg), octets
        self._key, self._encrypts = key, usage is Usage.ENCRYPT

    def set_lengths(self, ad_octets: int, plaintext_octets: int) -> None:
        """psa_aead_set_lengths: say how much will come; CCM needs it."""
        with self._call(Call.SET_LENGTHS):
            if ad_octets < 0 or plaintext_octets < 0:
                raise self._refused("lengths are not negative")
            self._lengths = (ad_octets, plaintext_octets)

    def generate_nonce(self) -> bytes:
        """psa_aead_generate_nonce: return a random nonce, and use it."""
        with self._call(Call.GENERATE_NONCE):
            nonce = self._random(GENERATED_OCTETS[self._alg])
            self._start(nonce)
            return nonce

    def set_nonce(self, nonce: bytes) -> None:
        with self._call(Call.SET_NONCE):
            self._start(nonce)

    def update_ad(self, octets: bytes) -> None:
        """psa_aead_update_ad: authenticate `octets` without encrypting them."""
        with self._call(Call.UPDATE_AD):
            self._ad_octets += len(octets)
            if self._lengths is not None and self._ad_octets > self._lengths[0]:
                raise self._refused(f"additional data was to have {self._lengths[0]} octets")
            if self._gcm is None:
                self._ad += octets
            else:
                self._gcm.authenticate_additional_data(octets)

    def update(self, octets: bytes) -> bytes:
        """psa_aead_update: encrypt or decrypt; what comes out of a decryption is not proven yet."""
        with self._call(Call.UPDATE):
            self._data_octets += len(octets)
            if self._lengths is not None:
                if self._ad_octets < self._lengths[0]:
                    raise self._refused(f"{self._lengths[0]} octets of additional data are due")
                if self._data_octets > self._lengths[1]:
                    raise self._refused(f"the message was to have {self._lengths[1]} octets")
            if self._gcm is None:
                self._data += octets
                return b""
            return self._gcm.update(octets)

    def finish(self) -> tuple[bytes, bytes]:
        """psa_aead_finish: return the rest of the ciphertext, and the tag."""
        with self._call(Call.FINISH):
            self._check_whole()
            if isinstance(self._gcm, AEADEncryptionContext):
                rest = self._gcm.finalize()
                return rest, self._gcm.tag[: self._tag_octets]
            sealed = self._ccm().encrypt(self._nonce, self._data, self._ad)
            return sealed[: -self._tag_octets], sealed[-self._tag_octets :]

    def verify(self, tag: bytes) -> bytes:
        """psa_aead_verify: return the rest of the plaintext.

        Raises:
            PsaError: INVALID_SIGNATURE, the tag does not match: nothing may be believed.
        """
        with self._call(Call.VERIFY):
            self._check_whole()
            try:
                if len(tag) == self._tag_octets:
                    if isinstance(self._gcm, AEADDecryptionContext):
                        return self._gcm.finalize_with_tag(tag)
                    return self._ccm().decrypt(self._nonce, self._data + tag, self._ad)
            except InvalidTag:
                pass
            problem = "the tag does not match: the key is wrong, or octets were altered"
            raise PsaError(Status.INVALID_SIGNATURE, problem, algorithms.named(self._alg))

    def _start(self, nonce: bytes) -> None:
        self._need_lengths()
        if len(nonce) not in NONCES_OCTETS[self._alg]:
            allowed = NONCES_OCTETS[self._alg]
            problem = f"the nonce has {len(nonce)} octets, not {allowed[0]} to {allowed[-1]}"
            raise self._refused(problem)
        self._nonce = nonce
        if self._alg == GCM:
            cipher = Cipher(
                AES(self._held().material),
                modes.GCM(nonce, min_tag_length=SHORTEST_TAG_OCTETS),
            )
            self._gcm = cipher.encryptor() if self._encrypts else cipher.decryptor()
        elif self._lengths is not None and self._lengths[1] >= 1 << 8 * (15 - len(nonce)):
            problem = f"with a nonce of {len(nonce)} octets no message has {self._lengths[1]}"
            raise self._refused(problem)

    def _need_lengths(self) -> None:
        if self._alg == CCM and self._lengths is None:
            problem = "CCM needs set_lengths before the nonce"
            raise PsaError(Status.BAD_STATE, problem, type(self).__name__)

    def _check_whole(self) -> None:
        if self._lengths not in {None, (self._ad_octets, self._data_octets)}:
            came = f"{self._ad_octets} and {self._data_octets}"
            raise self._refused(f"lengths were to be {self._lengths}, and {came} octets came")

    def _ccm(self) -> AESCCM:
        return AESCCM(self._held().material, self._tag_octets)

    def _held(self) -> Key:
        if self._key is None:
            raise AssertionError("an active AEAD has a key")
        return self._key

    def _refused(self, problem: str) -> PsaError:
        return PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(self._alg))

    def _forget(self) -> None:
        self._clear()


def aead_encrypt(
    operation: AeadOperation, key: tuple[int, Algorithm], nonce: bytes, ad: bytes, octets: bytes
) -> bytes:
    """psa_aead_encrypt with a fresh operation; return ciphertext and tag."""
    operation.encrypt_setup(*key)
    operation.set_lengths(len(ad), len(octets))
    operation.set_nonce(nonce)
    operation.update_ad(ad)
    head = operation.update(octets)
    rest, tag = operation.finish()
    return head + rest + tag


def aead_decrypt(
    operation: AeadOperation, key: tuple[int, Algorithm], nonce: bytes, ad: bytes, octets: bytes
) -> bytes:
    """psa_aead_decrypt with a fresh operation; return the plaintext, proven."""
    operation.decrypt_setup(*key)
    size = len(octets) - operation._tag_octets  # noqa: SLF001 - of this module
    if size < 0:
        operation.abort()
        problem = f"{len(octets)} octets are shorter than the tag"
        raise PsaError(Status.INVALID_SIGNATURE, problem, algorithms.named(key[1]))
    operation.set_lengths(len(ad), size)
    operation.set_nonce(nonce)
    operation.update_ad(ad)
    head = operation.update(octets[:size])
    return head + operation.verify(octets[size:])
