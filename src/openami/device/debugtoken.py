# SPDX-License-Identifier: Apache-2.0
"""The word that opens a debug port: a challenge, signed by the debug key of the device's maker.

After the idea of PSA ADAC (authenticated debug access control): the device draws a challenge, the
holder of the key signs it together with what is to be permitted, and the device knows the key by a
hash that its factory burned.  The octets are ours::

    magic 4 `OADT` | permission 1 | challenge 32 | point of the key, 04 || x || y, 65 | r || s 64

What is signed is everything before the signature, ECDSA on P-256 with SHA-256.
"""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from openami.psa.formats import (
    CURVES,
    public_key,
    public_point,
    signature_from_der,
    signature_to_der,
)
from openami.psa.status import PsaError

MAGIC: Final = b"OADT"
CHALLENGE_OCTETS: Final = 32
POINT_OCTETS: Final = 65
SIGNATURE_OCTETS: Final = 64
TOKEN_OCTETS: Final = len(MAGIC) + 1 + CHALLENGE_OCTETS + POINT_OCTETS + SIGNATURE_OCTETS


class Permission(IntEnum):
    """What a port may be opened for; the greater includes the smaller."""

    NONE = 0
    NON_SECURE = 1
    """The non-secure world."""
    SECURE = 2
    """The secure world too, whose keys are destroyed before."""


class TokenError(Exception):
    """Octets that open nothing; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A permission, signed."""

    permission: Permission
    challenge: bytes
    point: bytes
    signature: bytes

    @classmethod
    def make(
        cls, permission: Permission, challenge: bytes, key: ec.EllipticCurvePrivateKey
    ) -> Self:
        """Sign a permission with the debug key.

        Raises:
            TokenError: The challenge or the key cannot be one.
        """
        if len(challenge) != CHALLENGE_OCTETS:
            problem = f"a challenge has {CHALLENGE_OCTETS} octets, not {len(challenge)}"
            raise TokenError(f"{problem}: `openami meter debug challenge` prints one")
        if not isinstance(key.curve, ec.SECP256R1):
            raise TokenError(f"the debug key is on {key.curve.name}: one of P-256 is needed")
        point = public_point(key.public_key())
        said = _said(permission, challenge, point)
        der = key.sign(said, ec.ECDSA(SHA256()))
        return cls(
            permission=permission,
            challenge=challenge,
            point=point,
            signature=signature_from_der(der, SIGNATURE_OCTETS // 2),
        )

    def encode(self) -> bytes:
        return _said(self.permission, self.challenge, self.point) + self.signature

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a token; its signature is not verified yet.

        Raises:
            TokenError: It is none.
        """
        if len(octets) != TOKEN_OCTETS or octets[: len(MAGIC)] != MAGIC:
            problem = f"{len(octets)} octets are no token"
            raise TokenError(f"{problem}: `openami meter debug sign` makes one of {TOKEN_OCTETS}")
        permission = octets[len(MAGIC)]
        if permission not in {Permission.NON_SECURE, Permission.SECURE}:
            raise TokenError(f"there is no permission {permission} to give")
        at = len(MAGIC) + 1
        return cls(
            permission=Permission(permission),
            challenge=octets[at : at + CHALLENGE_OCTETS],
            point=octets[at + CHALLENGE_OCTETS : -SIGNATURE_OCTETS],
            signature=octets[-SIGNATURE_OCTETS:],
        )

    def verify(self, burned: bytes) -> None:
        """Accept the signature as that of the key whose hash was burned.

        Raises:
            TokenError: Another key signed, or octets were altered.
        """
        if name_of(self.point) != burned:
            raise TokenError("the token is signed by another key than the one that was burned")
        said = _said(self.permission, self.challenge, self.point)
        try:
            key = public_key(CURVES[256], self.point)
            key.verify(signature_to_der(self.signature), said, ec.ECDSA(SHA256()))
        except (PsaError, InvalidSignature):
            raise TokenError("the token's signature is wrong: octets were altered") from None


def name_of(point: bytes) -> bytes:
    """Return what is burned of a key: the SHA-256 of its point."""
    return hashlib.sha256(point).digest()


def _said(permission: Permission, challenge: bytes, point: bytes) -> bytes:
    return MAGIC + bytes((permission,)) + challenge + point
