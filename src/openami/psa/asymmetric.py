# SPDX-License-Identifier: Apache-2.0
"""Signatures and key agreement on P-256 and P-384, and the wrapping of keys.

PSA Certified Crypto API, Asymmetric signature; Key agreement; Key wrapping.  Signatures are r || s;
the shared secret of ECDH is the x coordinate.

Randomized ECDSA takes its nonces from key and message too (RFC 6979), as the deterministic one:
no verifier can tell, and no fault of the entropy source can betray the key.
"""

from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from openami.psa import algorithms, formats
from openami.psa.algorithms import AES_KW, ECDH, ECDSA_ANY, HASHES, Algorithm, Category
from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.digests import hash_compute, incompatible
from openami.psa.keystore import Key, KeyStore
from openami.psa.status import PsaError, Status

_BY_OCTETS: Final = {kind.octets: kind for kind in HASHES.values()}

SHORTEST_WRAPPED_OCTETS: Final = 16
"""RFC 3394 wraps two semi-blocks or more."""


def sign_hash(keys: KeyStore, client: int, key_id: int, alg: Algorithm, digest: bytes) -> bytes:
    """psa_sign_hash: sign a hash that was computed elsewhere."""
    algorithms.check_call(alg, Category.SIGN)
    key = keys.use(client, key_id, Usage.SIGN_HASH, alg)
    return _sign(_pair(key, alg), alg, digest)


def sign_message(keys: KeyStore, client: int, key_id: int, alg: Algorithm, octets: bytes) -> bytes:
    """psa_sign_message: hash and sign."""
    _check_message(alg)
    key = keys.use(client, key_id, Usage.SIGN_MESSAGE, alg)
    pair = _pair(key, alg)
    return _sign(pair, alg, hash_compute(algorithms.hash_of(alg), octets))


def verify_hash(  # noqa: PLR0913, PLR0917 - the parameters of psa_verify_hash
    keys: KeyStore, client: int, key_id: int, alg: Algorithm, digest: bytes, signature: bytes
) -> None:
    """psa_verify_hash; raise `PsaError` INVALID_SIGNATURE if it is another signature."""
    algorithms.check_call(alg, Category.SIGN)
    key = keys.use(client, key_id, Usage.VERIFY_HASH, alg)
    _verify(_public(key, alg), alg, digest, signature)


def verify_message(  # noqa: PLR0913, PLR0917 - the parameters of psa_verify_message
    keys: KeyStore, client: int, key_id: int, alg: Algorithm, octets: bytes, signature: bytes
) -> None:
    """psa_verify_message; raise `PsaError` INVALID_SIGNATURE if it is another signature."""
    _check_message(alg)
    key = keys.use(client, key_id, Usage.VERIFY_MESSAGE, alg)
    public = _public(key, alg)
    _verify(public, alg, hash_compute(algorithms.hash_of(alg), octets), signature)


def _check_message(alg: Algorithm) -> None:
    algorithms.check_call(alg, Category.SIGN)
    if alg == ECDSA_ANY:
        raise algorithms.wrong_category(alg, Category.SIGN)


def _pair(key: Key, alg: Algorithm) -> ec.EllipticCurvePrivateKey:
    if not algorithms.is_ecdsa(alg):
        raise algorithms.unsupported(alg)
    if not key.kind.is_pair:
        raise incompatible(key, alg)
    return formats.private_key(key.material)


def _public(key: Key, alg: Algorithm) -> ec.EllipticCurvePublicKey:
    if key.kind.is_public and algorithms.is_ecdsa(alg):
        return formats.public_key(formats.curve_of_point(key.material), key.material)
    return _pair(key, alg).public_key()


def _ecdsa(alg: Algorithm, digest: bytes) -> ec.ECDSA:
    """Return how to sign a hash of this length; raise `PsaError` where the length is wrong."""
    if alg == ECDSA_ANY:
        kind = _BY_OCTETS.get(len(digest))
    else:
        kind = algorithms.hash_kind(algorithms.hash_of(alg))
    if kind is None or kind.octets != len(digest):
        problem = f"a hash of {len(digest)} octets is none of this algorithm"
        raise PsaError(Status.INVALID_ARGUMENT, problem, algorithms.named(alg))
    return ec.ECDSA(Prehashed(kind.digest()), deterministic_signing=True)


def _sign(key: ec.EllipticCurvePrivateKey, alg: Algorithm, digest: bytes) -> bytes:
    der = key.sign(digest, _ecdsa(alg, digest))
    return formats.signature_from_der(der, key.key_size // 8)


def _verify(
    key: ec.EllipticCurvePublicKey, alg: Algorithm, digest: bytes, signature: bytes
) -> None:
    how = _ecdsa(alg, digest)
    place = algorithms.named(alg)
    if len(signature) != key.key_size // 4:
        problem = f"the signature has {len(signature)} octets, not {key.key_size // 4}"
        raise PsaError(Status.INVALID_SIGNATURE, problem, place)
    try:
        key.verify(formats.signature_to_der(signature), digest, ec.ECDSA(how.algorithm))
    except InvalidSignature:
        problem = "the signature is wrong: another key signed, or octets were altered"
        raise PsaError(Status.INVALID_SIGNATURE, problem, place) from None


def raw_key_agreement(
    keys: KeyStore, client: int, key_id: int, alg: Algorithm, peer: bytes
) -> bytes:
    """psa_raw_key_agreement: return the shared secret with the holder of the key `peer`."""
    if algorithms.category(alg) != Category.KEY_AGREEMENT or algorithms.is_derivation(alg):
        raise algorithms.wrong_category(alg, Category.KEY_AGREEMENT)
    return shared_secret(keys.use(client, key_id, Usage.DERIVE, alg), alg, peer)


def key_agreement(  # noqa: PLR0913, PLR0917 - the parameters of psa_key_agreement
    keys: KeyStore,
    client: int,
    key_id: int,
    peer: bytes,
    alg: Algorithm,
    attributes: KeyAttributes,
) -> int:
    """psa_key_agreement: keep the shared secret as a new key; return its identifier."""
    if attributes.type not in {KeyType.DERIVE, KeyType.RAW_DATA, KeyType.HMAC}:
        problem = "a shared secret is a key of type DERIVE, RAW_DATA or HMAC"
        raise PsaError(Status.INVALID_ARGUMENT, problem, f"key type 0x{attributes.type:04X}")
    secret = raw_key_agreement(keys, client, key_id, alg, peer)
    return keys.import_key(client, attributes, secret)


def shared_secret(key: Key, alg: Algorithm, peer: bytes) -> bytes:
    """Return the x coordinate that both ends can compute.

    Raises:
        PsaError: INVALID_ARGUMENT, the key is no pair, or `peer` no point of its curve.
    """
    if algorithms.agreement_of(alg) != ECDH:
        raise algorithms.unsupported(alg)
    if not key.kind.is_pair:
        raise incompatible(key, alg)
    curve = formats.curve_of_bits(key.attributes.bits)
    return formats.private_key(key.material).exchange(ec.ECDH(), formats.public_key(curve, peer))


def wrap_key(keys: KeyStore, client: int, wrapping_id: int, alg: Algorithm, key_id: int) -> bytes:
    """psa_wrap_key: return a key wrapped by another one (AES-KW, RFC 3394)."""
    wrapping = _wrapping(keys, client, wrapping_id, alg, Usage.WRAP)
    material = keys.export_key(client, key_id)
    if len(material) < SHORTEST_WRAPPED_OCTETS or len(material) % 8:
        problem = f"a key of {len(material)} octets is not of 8-octet blocks, two or more"
        raise PsaError(Status.INVALID_ARGUMENT, problem, f"key 0x{key_id:08X}")
    return aes_key_wrap(wrapping.material, material)


def unwrap_key(  # noqa: PLR0913, PLR0917 - the parameters of psa_unwrap_key
    keys: KeyStore,
    client: int,
    attributes: KeyAttributes,
    wrapping_id: int,
    alg: Algorithm,
    octets: bytes,
) -> int:
    """psa_unwrap_key: keep the key inside `octets`; return its identifier."""
    wrapping = _wrapping(keys, client, wrapping_id, alg, Usage.UNWRAP)
    try:
        material = aes_key_unwrap(wrapping.material, octets)
    except (InvalidUnwrap, ValueError):
        problem = "the wrapped key does not open: another key wrapped it, or it was altered"
        raise PsaError(Status.INVALID_SIGNATURE, problem, algorithms.named(alg)) from None
    return keys.import_key(client, attributes, material)


def _wrapping(keys: KeyStore, client: int, wrapping_id: int, alg: Algorithm, usage: Usage) -> Key:
    algorithms.check_call(alg, Category.KEY_WRAP)
    key = keys.use(client, wrapping_id, usage, alg)
    if alg != AES_KW:
        raise algorithms.unsupported(alg)
    if key.kind is not KeyType.AES:
        raise incompatible(key, alg)
    return key
