# SPDX-License-Identifier: Apache-2.0
"""Symmetric ciphers without authentication (PSA Certified Crypto API, Symmetric key ciphers).

AES and triple DES, in the modes of the table `MODES`; CTR with AES only.  A one-shot encryption
makes a random initialization vector and writes it in front of the ciphertext, and a one-shot
decryption takes it from there.
"""

from typing import Final, NamedTuple

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from openami.psa import algorithms, formats, operations
from openami.psa.algorithms import CBC_NO_PADDING, CBC_PKCS7, CTR, ECB_NO_PADDING, Category
from openami.psa.attributes import KeyType, Usage
from openami.psa.digests import incompatible
from openami.psa.formats import Random
from openami.psa.keystore import Key, KeyStore
from openami.psa.operations import Call, Operation
from openami.psa.status import PsaError, Status


class Mode(NamedTuple):
    """A mode: whether it needs an IV, whole blocks, padding; which keys go with it."""

    iv: bool
    whole_blocks: bool
    padded: bool
    kinds: frozenset[KeyType]


_BLOCK_CIPHERS: Final = frozenset({KeyType.AES, KeyType.DES})
BLOCK_OCTETS: Final = {KeyType.AES: 16, KeyType.DES: 8}

MODES: Final = {
    ECB_NO_PADDING: Mode(iv=False, whole_blocks=True, padded=False, kinds=_BLOCK_CIPHERS),
    CBC_NO_PADDING: Mode(iv=True, whole_blocks=True, padded=False, kinds=_BLOCK_CIPHERS),
    CBC_PKCS7: Mode(iv=True, whole_blocks=False, padded=True, kinds=_BLOCK_CIPHERS),
    CTR: Mode(iv=True, whole_blocks=False, padded=False, kinds=frozenset({KeyType.AES})),
}


class CipherOperation(Operation):
    """psa_cipher_operation_t."""

    TABLE = operations.CIPHER

    def __init__(self, keys: KeyStore, client: int, random: Random) -> None:
        self._keys = keys
        self._client = client
        self._random = random
        self._clear()

    def _clear(self) -> None:
        self._alg = algorithms.NONE
        self._key: Key | None = None
        self._encrypts = False
        self._context: CipherContext | None = None
        self._padding: padding.PaddingContext | None = None
        self._taken_octets = 0

    def encrypt_setup(self, key_id: int, alg: algorithms.Algorithm) -> None:
        self._setup(key_id, alg, encrypts=True)

    def decrypt_setup(self, key_id: int, alg: algorithms.Algorithm) -> None:
        self._setup(key_id, alg, encrypts=False)

    def _setup(self, key_id: int, alg: algorithms.Algorithm, *, encrypts: bool) -> None:
        mode = MODES.get(alg)
        call = Call.ENCRYPT_SETUP if encrypts else Call.DECRYPT_SETUP
        if mode is not None and not mode.iv:
            call = Call.SETUP_WITHOUT_IV
        with self._call(call):
            algorithms.check_call(alg, Category.CIPHER)
            usage = Usage.ENCRYPT if encrypts else Usage.DECRYPT
            key = self._keys.use(self._client, key_id, usage, alg)
            if mode is None:
                raise algorithms.unsupported(alg)
            if key.kind not in mode.kinds:
                raise incompatible(key, alg)
            self._alg, self._key, self._encrypts = alg, key, encrypts
            if not mode.iv:
                self._start(b"")

    def generate_iv(self) -> bytes:
        """psa_cipher_generate_iv: return a random initialization vector, and use it."""
        with self._call(Call.GENERATE_IV):
            iv = self._random(self._block_octets)
            self._start(iv)
            return iv

    def set_iv(self, iv: bytes) -> None:
        with self._call(Call.SET_IV):
            if len(iv) != self._block_octets:
                problem = f"the IV has {len(iv)} octets, not {self._block_octets}"
                raise PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(self._alg))
            self._start(iv)

    def update(self, octets: bytes) -> bytes:
        """psa_cipher_update: return what can be told of the output so far."""
        with self._call(Call.UPDATE):
            context = self._running()
            self._taken_octets += len(octets)
            if self._padding is None:
                return context.update(octets)
            if self._encrypts:
                return context.update(self._padding.update(octets))
            return self._padding.update(context.update(octets))

    def finish(self) -> bytes:
        """psa_cipher_finish: return the rest of the output.

        Raises:
            PsaError: INVALID_ARGUMENT, the input is not of whole blocks; INVALID_PADDING.
        """
        with self._call(Call.FINISH):
            context = self._running()
            whole = MODES[self._alg].whole_blocks or (
                self._padding is not None and not self._encrypts
            )
            if whole and self._taken_octets % self._block_octets:
                problem = f"{self._taken_octets} octets are no whole blocks"
                raise PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(self._alg))
            if self._padding is None:
                return context.finalize()
            if self._encrypts:
                return context.update(self._padding.finalize()) + context.finalize()
            last = self._padding.update(context.finalize())
            try:
                return last + self._padding.finalize()
            except ValueError:
                problem = "the padding is wrong: another key encrypted, or octets were altered"
                place = algorithms.named(self._alg)
                raise PsaError(Status.INVALID_PADDING, problem, place) from None

    @property
    def _block_octets(self) -> int:
        return BLOCK_OCTETS[self._held().kind]

    def _held(self) -> Key:
        if self._key is None:
            raise AssertionError("an active cipher has a key")
        return self._key

    def _running(self) -> CipherContext:
        if self._context is None:
            raise AssertionError("a running cipher has a context")
        return self._context

    def _start(self, iv: bytes) -> None:
        mode: modes.Mode
        match self._alg:
            case algorithms.ECB_NO_PADDING:
                mode = modes.ECB()  # noqa: S305 - what the caller asks for, and DLMS HLS 2 needs
            case algorithms.CTR:
                mode = modes.CTR(iv)
            case _:
                mode = modes.CBC(iv)
        cipher = Cipher(block_cipher(self._held()), mode)
        self._context = cipher.encryptor() if self._encrypts else cipher.decryptor()
        if MODES[self._alg].padded:
            form = padding.PKCS7(8 * self._block_octets)
            self._padding = form.padder() if self._encrypts else form.unpadder()

    def _forget(self) -> None:
        self._clear()


def block_cipher(key: Key) -> AES | TripleDES:
    """Return the block cipher of a key, whose type was checked."""
    if key.kind is KeyType.DES:
        return TripleDES(formats.triple_des(key.material))
    return AES(key.material)


def cipher_encrypt(operation: CipherOperation, key_id: int, alg: int, octets: bytes) -> bytes:
    """psa_cipher_encrypt with a fresh operation: return IV and ciphertext."""
    operation.encrypt_setup(key_id, alg)
    iv = operation.generate_iv() if MODES[alg].iv else b""
    return iv + operation.update(octets) + operation.finish()


def cipher_decrypt(operation: CipherOperation, key_id: int, alg: int, octets: bytes) -> bytes:
    """psa_cipher_decrypt with a fresh operation: `octets` begin with the IV."""
    operation.decrypt_setup(key_id, alg)
    start = 0
    if MODES[alg].iv:
        start = operation._block_octets  # noqa: SLF001 - of this module
        operation.set_iv(octets[:start])
    return operation.update(octets[start:]) + operation.finish()
