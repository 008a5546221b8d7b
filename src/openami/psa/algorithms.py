# SPDX-License-Identifier: Apache-2.0
"""Algorithm identifiers (PSA Certified Crypto API, Algorithms; encodings in its appendix B).

An identifier is 32 bits::

    category  31..24   02 hash, 03 MAC, 04 cipher, 05 AEAD, 06 signature, 08 key derivation,
                       09 key agreement, 0B key wrapping
    MAC, AEAD 21..16   length of a shortened MAC or tag in octets; 0 for a full MAC
              15       the length is the least that a policy permits
    hash       7..0    the hash of an HMAC, a signature, a key derivation; FF for any hash

A policy names one identifier; `permits` says which identifiers of a call it lets pass.
"""

from enum import IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from cryptography.hazmat.primitives import hashes

from openami.psa.status import PsaError, Status

Algorithm: TypeAlias = int
"""psa_algorithm_t: not an enum, for lengths and hashes are parts of the number."""


class Category(IntEnum):
    """Bits 31..24."""

    NONE = 0x00
    HASH = 0x02
    MAC = 0x03
    CIPHER = 0x04
    AEAD = 0x05
    SIGN = 0x06
    KEY_DERIVATION = 0x08
    KEY_AGREEMENT = 0x09
    KEY_WRAP = 0x0B


NONE: Final = 0
SHA_1: Final = 0x02000005
SHA_224: Final = 0x02000008
SHA_256: Final = 0x02000009
SHA_384: Final = 0x0200000A
SHA_512: Final = 0x0200000B
ANY_HASH: Final = 0x020000FF
HMAC_BASE: Final = 0x03800000
CMAC: Final = 0x03C00200
CTR: Final = 0x04C01000
CBC_NO_PADDING: Final = 0x04404000
CBC_PKCS7: Final = 0x04404100
ECB_NO_PADDING: Final = 0x04404400
CCM: Final = 0x05500100
GCM: Final = 0x05500200
ECDSA_ANY: Final = 0x06000600
DETERMINISTIC_ECDSA_BASE: Final = 0x06000700
HKDF_BASE: Final = 0x08000100
TLS12_PRF_BASE: Final = 0x08000200
HKDF_EXTRACT_BASE: Final = 0x08000400
HKDF_EXPAND_BASE: Final = 0x08000500
ECDH: Final = 0x09020000
AES_KW: Final = 0x0B400100

_HASH: Final = 0x000000FF
_LENGTH: Final = 0x003F0000
_LENGTH_SHIFT: Final = 16
_AT_LEAST: Final = 0x00008000
_DERIVATION: Final = 0x0080FFFF
"""What a key derivation behind a key agreement is told by: bit 23 says that it stretches."""
FULL_TAG_OCTETS: Final = 16


class HashKind(NamedTuple):
    """One hash: its output in octets, and what computes it."""

    octets: int
    digest: type[hashes.HashAlgorithm]


HASHES: Final = MappingProxyType(
    {
        SHA_1: HashKind(20, hashes.SHA1),
        SHA_224: HashKind(28, hashes.SHA224),
        SHA_256: HashKind(32, hashes.SHA256),
        SHA_384: HashKind(48, hashes.SHA384),
        SHA_512: HashKind(64, hashes.SHA512),
    }
)

GCM_TAGS_OCTETS: Final = frozenset({4, 8, 12, 13, 14, 15, 16})
CCM_TAGS_OCTETS: Final = frozenset({4, 6, 8, 10, 12, 14, 16})
SHORTEST_MAC_OCTETS: Final = 4


def hmac(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_HMAC."""
    return HMAC_BASE | hash_alg & _HASH


def ecdsa(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_ECDSA."""
    return ECDSA_ANY | hash_alg & _HASH


def deterministic_ecdsa(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_DETERMINISTIC_ECDSA."""
    return DETERMINISTIC_ECDSA_BASE | hash_alg & _HASH


def hkdf(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_HKDF."""
    return HKDF_BASE | hash_alg & _HASH


def hkdf_extract(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_HKDF_EXTRACT."""
    return HKDF_EXTRACT_BASE | hash_alg & _HASH


def hkdf_expand(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_HKDF_EXPAND."""
    return HKDF_EXPAND_BASE | hash_alg & _HASH


def tls12_prf(hash_alg: Algorithm) -> Algorithm:
    """PSA_ALG_TLS12_PRF."""
    return TLS12_PRF_BASE | hash_alg & _HASH


def key_agreement(agreement: Algorithm, derivation: Algorithm) -> Algorithm:
    """PSA_ALG_KEY_AGREEMENT: the agreed secret goes straight into the key derivation."""
    return agreement | derivation


def truncated_mac(alg: Algorithm, octets: int) -> Algorithm:
    """PSA_ALG_TRUNCATED_MAC; a full length is the full MAC."""
    length = 0 if octets == mac_octets(full_mac(alg)) else octets
    return full_mac(alg) | length << _LENGTH_SHIFT


def at_least_mac(alg: Algorithm, octets: int) -> Algorithm:
    """PSA_ALG_AT_LEAST_THIS_LENGTH_MAC: a policy, not an algorithm of a call."""
    return full_mac(alg) | octets << _LENGTH_SHIFT | _AT_LEAST


def shortened_tag(alg: Algorithm, octets: int) -> Algorithm:
    """PSA_ALG_AEAD_WITH_SHORTENED_TAG; DLMS/COSEM has GCM with 12 octets."""
    return alg & ~(_LENGTH | _AT_LEAST) | octets << _LENGTH_SHIFT


def at_least_tag(alg: Algorithm, octets: int) -> Algorithm:
    """PSA_ALG_AEAD_WITH_AT_LEAST_THIS_LENGTH_TAG: a policy, not an algorithm of a call."""
    return shortened_tag(alg, octets) | _AT_LEAST


def category(alg: Algorithm) -> int:
    """Return bits 31..24; a `Category` where one is known."""
    return alg >> 24


def hash_of(alg: Algorithm) -> Algorithm:
    """Return the hash inside an HMAC, signature or key derivation algorithm."""
    return Category.HASH << 24 | alg & _HASH


def full_mac(alg: Algorithm) -> Algorithm:
    """PSA_ALG_FULL_LENGTH_MAC."""
    return alg & ~(_LENGTH | _AT_LEAST)


def default_tag(alg: Algorithm) -> Algorithm:
    """PSA_ALG_AEAD_WITH_DEFAULT_LENGTH_TAG."""
    return shortened_tag(alg, FULL_TAG_OCTETS)


def tag_octets(alg: Algorithm) -> int:
    """PSA_ALG_AEAD_GET_TAG_LENGTH."""
    return (alg & _LENGTH) >> _LENGTH_SHIFT


def is_hmac(alg: Algorithm) -> bool:
    """PSA_ALG_IS_HMAC."""
    return full_mac(alg) & ~_HASH == HMAC_BASE


def is_ecdsa(alg: Algorithm) -> bool:
    """PSA_ALG_IS_ECDSA: randomized or deterministic."""
    return alg & ~_HASH in {ECDSA_ANY, DETERMINISTIC_ECDSA_BASE}


def is_derivation(alg: Algorithm) -> bool:
    """Tell whether an algorithm is a key derivation, alone or behind a key agreement."""
    return category(alg) == Category.KEY_DERIVATION or (
        category(alg) == Category.KEY_AGREEMENT and alg & _DERIVATION != 0
    )


def derivation_of(alg: Algorithm) -> Algorithm:
    """PSA_ALG_KEY_AGREEMENT_GET_KDF, or the key derivation itself; 0 for an agreement alone."""
    if category(alg) != Category.KEY_AGREEMENT:
        return alg
    inner = alg & _DERIVATION
    return Category.KEY_DERIVATION << 24 | inner if inner else NONE


def agreement_of(alg: Algorithm) -> Algorithm:
    """PSA_ALG_KEY_AGREEMENT_GET_BASE, where the category is key agreement."""
    return alg & ~_DERIVATION


def is_wildcard(alg: Algorithm) -> bool:
    """PSA_ALG_IS_WILDCARD: good for a policy, not for a call."""
    match category(alg):
        case Category.MAC | Category.AEAD:
            return bool(alg & _AT_LEAST)
        case Category.HASH | Category.SIGN:
            return alg & _HASH == _HASH
        case _:
            return False


def mac_octets(alg: Algorithm) -> int:
    """PSA_MAC_LENGTH.

    Raises:
        PsaError: NOT_SUPPORTED, the MAC is not known or too short; INVALID_ARGUMENT, it would be
            longer than the full one.
    """
    if full_mac(alg) == CMAC:
        full = 16
    elif is_hmac(alg):
        full = hash_kind(hash_of(alg)).octets
    else:
        raise unsupported(alg)
    length = (alg & _LENGTH) >> _LENGTH_SHIFT
    if length > full:
        raise PsaError(
            Status.INVALID_ARGUMENT, f"the MAC has {full} octets, not {length}", named(alg)
        )
    if 0 < length < SHORTEST_MAC_OCTETS:
        raise PsaError(
            Status.NOT_SUPPORTED, "a MAC of less than 4 octets proves little", named(alg)
        )
    return length or full


def check_tag(alg: Algorithm) -> int:
    """Return the octets of an AEAD's tag.

    Raises:
        PsaError: NOT_SUPPORTED, the AEAD is not known; INVALID_ARGUMENT, it has no such tag.
    """
    base, octets = default_tag(alg), tag_octets(alg)
    if base not in {CCM, GCM}:
        raise unsupported(alg)
    if octets not in (CCM_TAGS_OCTETS if base == CCM else GCM_TAGS_OCTETS):
        problem = f"{'CCM' if base == CCM else 'GCM'} has no tag of {octets} octets"
        raise PsaError(Status.INVALID_ARGUMENT, problem, named(alg))
    return octets


def hash_kind(alg: Algorithm) -> HashKind:
    """Return the hash of an identifier.

    Raises:
        PsaError: INVALID_ARGUMENT, no hash; NOT_SUPPORTED, one that is not here.
    """
    found = HASHES.get(alg)
    if found is None:
        if category(alg) != Category.HASH or is_wildcard(alg):
            raise wrong_category(alg, Category.HASH)
        raise unsupported(alg)
    return found


def permits(policy: Algorithm, alg: Algorithm) -> bool:
    """Tell whether a key with the permitted algorithm `policy` may be used with `alg`.

    The rules of PSA Certified Crypto API, Permitted algorithms: the very same, or any hash of a
    signature, any key derivation behind an agreement, any length from the given one on.
    """
    if alg == policy or category(alg) != category(policy):
        return alg == policy != NONE
    allowed = False
    match category(policy):
        case Category.SIGN:
            any_hash = policy & _HASH == _HASH and alg & ~_HASH == policy & ~_HASH
            allowed = any_hash and alg & _HASH != 0
        case Category.KEY_AGREEMENT:
            allowed = agreement_of(alg) == policy
        case Category.MAC if full_mac(alg) == full_mac(policy) and policy & _AT_LEAST:
            full = mac_octets(full_mac(alg))
            allowed = (_length(alg) or full) >= (_length(policy) or full)
        case Category.AEAD if default_tag(alg) == default_tag(policy) and policy & _AT_LEAST:
            allowed = tag_octets(alg) >= tag_octets(policy)
    return allowed


def intersection(one: Algorithm, other: Algorithm) -> Algorithm | None:
    """Return the permitted algorithm of a copy: the narrower of two, None where they differ."""
    if one == other or permits(one, other):
        return other
    return one if permits(other, one) else None


def check_call(alg: Algorithm, wanted: Category) -> None:
    """Refuse an algorithm that a function is not for, or that only a policy may name.

    Raises:
        PsaError: INVALID_ARGUMENT.
    """
    if category(alg) != wanted or is_wildcard(alg):
        raise wrong_category(alg, wanted)


def wrong_category(alg: Algorithm, wanted: Category) -> PsaError:
    """Return the refusal of an algorithm of the wrong kind."""
    kind = wanted.name.lower().replace("_", " ")
    return PsaError(Status.INVALID_ARGUMENT, f"this is no {kind} algorithm to call", named(alg))


def unsupported(alg: Algorithm) -> PsaError:
    """Return the refusal of an algorithm that is not implemented."""
    return PsaError(Status.NOT_SUPPORTED, "this algorithm is not implemented", named(alg))


def named(alg: Algorithm) -> str:
    """Return an identifier as errors print it."""
    return f"algorithm 0x{alg:08X}"


def _length(alg: Algorithm) -> int:
    return (alg & _LENGTH) >> _LENGTH_SHIFT
