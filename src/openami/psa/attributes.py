# SPDX-License-Identifier: Apache-2.0
"""Key attributes: type, size, usage, permitted algorithm, lifetime, identifier.

PSA Certified Crypto API, Key management: types, lifetimes, identifiers, policies.  What a key of a
type must look like is `formats`; what its policy lets pass is `keystore`.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Final, Self

from openami.psa.algorithms import NONE, Algorithm
from openami.psa.status import PsaError, Status


class KeyType(IntEnum):
    """psa_key_type_t; an elliptic curve key has its family in bits 7..0."""

    NONE = 0x0000
    RAW_DATA = 0x1001
    HMAC = 0x1100
    DERIVE = 0x1200
    DES = 0x2301
    AES = 0x2400
    ECC_PUBLIC_KEY_SECP_R1 = 0x4112
    ECC_KEY_PAIR_SECP_R1 = 0x7112

    @property
    def is_public(self) -> bool:
        """PSA_KEY_TYPE_IS_PUBLIC_KEY."""
        return self & 0x7000 == 0x4000

    @property
    def is_pair(self) -> bool:
        """PSA_KEY_TYPE_IS_KEY_PAIR."""
        return self & 0x7000 == 0x7000


class Usage(IntFlag):
    """psa_key_usage_t: what a key may be used for."""

    NONE = 0
    EXPORT = 0x00000001
    COPY = 0x00000002
    CACHE = 0x00000004
    DERIVE_PUBLIC = 0x00000080
    ENCRYPT = 0x00000100
    DECRYPT = 0x00000200
    SIGN_MESSAGE = 0x00000400
    VERIFY_MESSAGE = 0x00000800
    SIGN_HASH = 0x00001000
    VERIFY_HASH = 0x00002000
    DERIVE = 0x00004000
    VERIFY_DERIVATION = 0x00008000
    WRAP = 0x00010000
    UNWRAP = 0x00020000


ALL_USAGE: Final = int(sum(Usage))

VOLATILE: Final = 0x00000000
"""PSA_KEY_LIFETIME_VOLATILE: until the key is destroyed or the power goes."""
PERSISTENT: Final = 0x00000001
"""PSA_KEY_LIFETIME_PERSISTENT: in the device's own storage."""
READ_ONLY: Final = 0x000000FF
"""Persistence of keys that no call creates or destroys: the built-in ones."""

NULL: Final = 0
"""PSA_KEY_ID_NULL."""
USER_IDS: Final = range(0x00000001, 0x40000000)
"""What an application chooses for its persistent keys."""
BUILTIN_IDS: Final = range(0x40000000, 0x70000000)
"""The lower part of the vendor's range: keys that the device was born with."""
VOLATILE_IDS: Final = range(0x70000000, 0x80000000)
"""The upper part of the vendor's range: identifiers that are given to volatile keys."""

LARGEST_KEY_BITS: Final = 0xFFF8
"""PSA_MAX_KEY_BITS."""


def persistence(lifetime: int) -> int:
    """PSA_KEY_LIFETIME_GET_PERSISTENCE."""
    return lifetime & 0xFF


def location(lifetime: int) -> int:
    """PSA_KEY_LIFETIME_GET_LOCATION."""
    return lifetime >> 8


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyAttributes:
    """psa_key_attributes_t.

    ======  ===========  ==========================================
    octets  field        value, little-endian when it is stored
    ======  ===========  ==========================================
    2       type         `KeyType`
    2       bits         size of the key
    4       lifetime     persistence in bits 7..0, location above
    4       id           0 for a volatile key that is to be created
    4       usage        `Usage`
    4       alg          the permitted algorithm
    ======  ===========  ==========================================
    """

    type: int
    bits: int = 0
    lifetime: int = VOLATILE
    id: int = NULL
    usage: int = Usage.NONE
    alg: Algorithm = NONE

    def encode(self) -> bytes:
        return _FORM.pack(self.type, self.bits, self.lifetime, self.id, self.usage, self.alg)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Raise `PsaError` DATA_INVALID unless `octets` are 20."""
        if len(octets) != _FORM.size:
            problem = f"key attributes have {len(octets)} octets, not {_FORM.size}"
            raise PsaError(Status.DATA_INVALID, problem, "stored key")
        kind, bits, lifetime, identifier, usage, alg = _FORM.unpack(octets)
        return cls(type=kind, bits=bits, lifetime=lifetime, id=identifier, usage=usage, alg=alg)

    @property
    def is_volatile(self) -> bool:
        """PSA_KEY_LIFETIME_IS_VOLATILE."""
        return persistence(self.lifetime) == VOLATILE

    def normalized(self) -> Self:
        """Return the attributes with what flags imply: to use with hashes is to use with messages.

        PSA_KEY_USAGE_SIGN_HASH and PSA_KEY_USAGE_VERIFY_HASH set the flags of messages.
        """
        usage = self.usage
        if usage & Usage.SIGN_HASH:
            usage |= Usage.SIGN_MESSAGE
        if usage & Usage.VERIFY_HASH:
            usage |= Usage.VERIFY_MESSAGE
        return replace(self, usage=usage)


ATTRIBUTES_OCTETS: Final = 20
_FORM: Final = struct.Struct("<HHIIII")


def check_creation(attributes: KeyAttributes) -> KeyType:
    """Refuse attributes with which no key can be created; return the type.

    Raises:
        PsaError: INVALID_ARGUMENT or NOT_SUPPORTED.
    """
    place = f"key 0x{attributes.id:08X}"
    if attributes.usage & ~ALL_USAGE:
        problem = f"usage flags 0x{attributes.usage & ~ALL_USAGE:08X} have no meaning"
        raise PsaError(Status.INVALID_ARGUMENT, problem, place)
    if location(attributes.lifetime):
        problem = f"there is no location 0x{location(attributes.lifetime):06X}"
        raise PsaError(Status.NOT_SUPPORTED, problem, place)
    match persistence(attributes.lifetime):
        case 0 if attributes.id != NULL:
            problem = "a volatile key is given its identifier: leave it 0"
            raise PsaError(Status.INVALID_ARGUMENT, problem, place)
        case 1 if attributes.id not in USER_IDS:
            problem = "a persistent key needs an identifier from 1 to 0x3FFFFFFF"
            raise PsaError(Status.INVALID_ARGUMENT, problem, place)
        case 0 | 1:
            return _known_type(attributes.type, place)
        case 0xFF:
            raise PsaError(Status.INVALID_ARGUMENT, "no call creates a read-only key", place)
        case level:
            raise PsaError(Status.NOT_SUPPORTED, f"there is no persistence level {level}", place)


def _known_type(number: int, place: str) -> KeyType:
    try:
        found = KeyType(number)
    except ValueError:
        found = KeyType.NONE
    if found is KeyType.NONE:
        problem = f"key type 0x{number:04X} is not implemented"
        raise PsaError(Status.NOT_SUPPORTED, problem, place)
    return found
