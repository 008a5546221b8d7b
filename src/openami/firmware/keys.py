# SPDX-License-Identifier: Apache-2.0
"""Keys that sign images, and keys that images are encrypted for, in PEM as imgtool writes them.

==========  ===========  ==========  ==============================================================
key         signature    hash        made over
==========  ===========  ==========  ==============================================================
P-256       ECDSA_SIG    SHA256      the hash
P-384       ECDSA_SIG    SHA384      the hash
Ed25519     ED25519      SHA256      the hash, as its message; the image itself with SIG_PURE
RSA 2048    RSA2048_PSS  SHA256      the hash; MGF1 with SHA-256, salt of 32 octets
RSA 3072    RSA3072_PSS  SHA256      likewise
==========  ===========  ==========  ==============================================================

KEYHASH is the hash of the public key: SubjectPublicKeyInfo in DER, of RSA keys PKCS #1; made as the
image's own hash is, which for Ed25519 may be SHA-512 too.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Self

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, x25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from openami.firmware.errors import KeyFormatError
from openami.firmware.tlv import TlvType

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
AgreementKey = ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey
AgreementPublicKey = ec.EllipticCurvePublicKey | x25519.X25519PublicKey
Entropy = Callable[[int], bytes]
"""Returns so many octets that nobody can foresee."""

HASHES: Final = {
    TlvType.SHA256: hashlib.sha256,
    TlvType.SHA384: hashlib.sha384,
    TlvType.SHA512: hashlib.sha512,
}
_PSS: Final = padding.PSS(padding.MGF1(hashes.SHA256()), 32)
_RSA: Final = {2048: TlvType.RSA2048_PSS, 3072: TlvType.RSA3072_PSS}
_CURVES: Final = {"secp256r1": TlvType.SHA256, "secp384r1": TlvType.SHA384}
_LONGEST_SIGNATURE: Final = {TlvType.SHA256: 72, TlvType.SHA384: 104}
KEYS: Final = "use ECDSA on P-256 or P-384, Ed25519, or RSA with 2048 or 3072 bits"


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """A public key that images may be signed for."""

    key: PublicKey = field(repr=False)
    signature_type: TlvType
    hash_type: TlvType

    @classmethod
    def of(cls, key: object) -> Self:
        """Take a public key, or the public half of a private one.

        Raises:
            KeyFormatError: Of a kind that signs no images.
        """
        if isinstance(
            key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
        ):
            key = key.public_key()
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name in _CURVES:
            return cls(key, TlvType.ECDSA_SIG, _CURVES[key.curve.name])
        if isinstance(key, ed25519.Ed25519PublicKey):
            return cls(key, TlvType.ED25519, TlvType.SHA256)
        if isinstance(key, rsa.RSAPublicKey) and key.key_size in _RSA:
            return cls(key, _RSA[key.key_size], TlvType.SHA256)
        raise KeyFormatError(f"no image is signed with a key of this kind: {KEYS}")

    @property
    def octets(self) -> bytes:
        """The public key as PUBKEY holds it."""
        form = PublicFormat.SubjectPublicKeyInfo
        if isinstance(self.key, rsa.RSAPublicKey):
            form = PublicFormat.PKCS1
        return self.key.public_bytes(Encoding.DER, form)

    @property
    def keyhash(self) -> bytes:
        """The public key as KEYHASH holds it."""
        return HASHES[self.hash_type](self.octets).digest()

    def is_named_by(self, keyhash: bytes) -> bool:
        """Return whether a key hash is of this key; its length tells by which hash."""
        return any(
            make(self.octets).digest() == keyhash
            for make in HASHES.values()
            if make().digest_size == len(keyhash)
        )

    def verifies(self, signature: bytes, digest: bytes, signed: bytes, *, pure: bool) -> bool:
        """Return whether a signature was made over an image, by its digest or by itself."""
        try:
            match self.key:
                case ec.EllipticCurvePublicKey():
                    prehashed = Prehashed(_hash_of(self.hash_type))
                    self.key.verify(
                        _unpadded(signature, self.hash_type), digest, ec.ECDSA(prehashed)
                    )
                case ed25519.Ed25519PublicKey():
                    self.key.verify(signature, signed if pure else digest)
                case rsa.RSAPublicKey():
                    self.key.verify(signature, digest, _PSS, Prehashed(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def sign_digest(key: PrivateKey, digest: bytes) -> bytes:
    """Return the signature over a digest, deterministic where the algorithm can be."""
    if isinstance(key, ec.EllipticCurvePrivateKey):
        prehashed = Prehashed(_hash_of(VerifyingKey.of(key).hash_type))
        return key.sign(digest, ec.ECDSA(prehashed, deterministic_signing=True))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(digest, _PSS, Prehashed(hashes.SHA256()))
    return key.sign(digest)


def _hash_of(hash_type: TlvType) -> hashes.SHA256 | hashes.SHA384:
    return hashes.SHA384() if hash_type is TlvType.SHA384 else hashes.SHA256()


def _unpadded(signature: bytes, hash_type: TlvType) -> bytes:
    """Take off the zeros that tools before MCUboot 1.5 put behind short signatures.

    They filled up to the longest one; one in a hundred signatures lacks three octets and more.
    """
    end = signature[1] + 2
    padded = end < len(signature) <= _LONGEST_SIGNATURE[hash_type] and not any(signature[end:])
    return signature[:end] if padded else signature


def private_key(pem: bytes, password: bytes | None = None) -> PrivateKey:
    """Read a private key that signs images.

    Raises:
        KeyFormatError: Not a key, of another kind, or its password is missing or wrong.
    """
    key = _load_private(pem, password)
    VerifyingKey.of(key)
    if isinstance(key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey):
        return key
    raise KeyFormatError(f"no image is signed with a key of this kind: {KEYS}")


def public_key(pem: bytes, password: bytes | None = None) -> VerifyingKey:
    """Read a public key, or the public half of a private one.

    Raises:
        KeyFormatError: Not a key, or one that signs no images.
    """
    return VerifyingKey.of(_load_any(pem, password))


def decryption_key(pem: bytes, password: bytes | None = None) -> AgreementKey:
    """Read the private key that opens encrypted images, on P-256 or X25519.

    Raises:
        KeyFormatError: Not such a key.
    """
    key = _load_private(pem, password)
    if isinstance(key, x25519.X25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return key
    raise KeyFormatError("images are encrypted for keys on P-256 or X25519, this is another kind")


def encryption_key(pem: bytes) -> AgreementPublicKey:
    """Read the public key that an image is to be encrypted for, on P-256 or X25519.

    Raises:
        KeyFormatError: Not such a key.
    """
    key = _load_any(pem, None)
    if isinstance(key, ec.EllipticCurvePrivateKey | x25519.X25519PrivateKey):
        key = key.public_key()
    if isinstance(key, x25519.X25519PublicKey):
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return key
    raise KeyFormatError("images are encrypted for keys on P-256 or X25519, this is another kind")


def _load_any(pem: bytes, password: bytes | None) -> object:
    if b"PUBLIC KEY" not in pem:
        if b"PRIVATE KEY" not in pem:
            raise KeyFormatError("it holds no key in PEM: give a public key, or its private one")
        return _load_private(pem, password)
    try:
        return load_pem_public_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFormatError("it holds no public key in PEM that can be read") from None


def _load_private(pem: bytes, password: bytes | None) -> object:
    try:
        return load_pem_private_key(pem, password)
    except TypeError:
        wrong = "needs a password" if password is None else "has no password: give none"
        raise KeyFormatError(f"the private key {wrong}") from None
    except (ValueError, UnsupportedAlgorithm):
        other = " that this password opens" if password is not None else " that can be read"
        raise KeyFormatError(f"it holds no private key in PEM{other}") from None


P256_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def fresh_p256(entropy: Entropy) -> ec.EllipticCurvePrivateKey:
    """Return a new key on P-256, made of `entropy` alone (FIPS 186-5, A.2.1)."""
    drawn = int.from_bytes(entropy(40))
    return ec.derive_private_key(drawn % (P256_ORDER - 1) + 1, ec.SECP256R1())
