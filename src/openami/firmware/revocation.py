# SPDX-License-Identifier: Apache-2.0
"""A signing key given up for good: the root key's word, carried by an image.

========  ==========  ====================================================================
octets    field       meaning
========  ==========  ====================================================================
4         magic       `OARV`
1         count       of the keys, 1 to 64
32 each   keys        SHA-256 of the public key, as KEYHASH has it
64        signature   ECDSA on P-256 with SHA-256 by the root key, r and s, over what is before
========  ==========  ====================================================================

It travels as a protected TLV of type `TYPE`, one of those that vendors may use.  An image proves by
its own signature only that one trusted key wants it to run; a stolen key must not be able to
revoke the others, so the statement has a signature of its own.  A device that knows no root key
cannot judge statements and leaves them alone.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from openami.firmware.errors import FirmwareError, ImageError, Reason
from openami.firmware.image import Image
from openami.firmware.keys import VerifyingKey, sign_digest
from openami.firmware.tlv import TlvType

TYPE: Final = 0x00A8
NAME: Final = "REVOCATION"
MAGIC: Final = b"OARV"
MOST_KEYS: Final = 64
_HEAD: Final = len(MAGIC) + 1
_HASH_OCTETS: Final = 32
_SCALAR_OCTETS: Final = 32


class RevocationError(FirmwareError):
    """A statement is none, or not the root key's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """Keys that must never again be believed."""

    keys: tuple[bytes, ...]
    signature: bytes

    @classmethod
    def make(cls, keys: Sequence[VerifyingKey], root: ec.EllipticCurvePrivateKey) -> Self:
        """Sign a statement.

        Raises:
            RevocationError: It names no key, too many, or the root itself.
        """
        hashes = tuple(map(name_of, keys))
        if not 0 < len(hashes) <= MOST_KEYS:
            raise RevocationError(f"{len(hashes)} keys to revoke: name 1 to {MOST_KEYS}")
        if name_of(VerifyingKey.of(root)) in hashes:
            raise RevocationError("the root key cannot revoke itself: name a signing key")
        digest = hashlib.sha256(_said(hashes)).digest()
        r, s = decode_dss_signature(sign_digest(root, digest))
        return cls(keys=hashes, signature=r.to_bytes(_SCALAR_OCTETS) + s.to_bytes(_SCALAR_OCTETS))

    def encode(self) -> bytes:
        return _said(self.keys) + self.signature

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a statement.

        Raises:
            RevocationError: It is none.
        """
        if octets[: len(MAGIC)] != MAGIC or len(octets) < _HEAD:
            raise RevocationError(f"it does not begin with {MAGIC.decode()}")
        count = octets[len(MAGIC)]
        end = _HEAD + count * _HASH_OCTETS
        if not 0 < count <= MOST_KEYS or len(octets) != end + 2 * _SCALAR_OCTETS:
            raise RevocationError(f"{len(octets)} octets for {count} keys")
        keys = tuple(octets[at : at + _HASH_OCTETS] for at in range(_HEAD, end, _HASH_OCTETS))
        return cls(keys=keys, signature=octets[end:])

    def is_signed_by(self, root: VerifyingKey) -> bool:
        """Return whether a root key on P-256 said so."""
        r = int.from_bytes(self.signature[:_SCALAR_OCTETS])
        s = int.from_bytes(self.signature[_SCALAR_OCTETS:])
        digest = hashlib.sha256(_said(self.keys)).digest()
        return root.hash_type is TlvType.SHA256 and root.verifies(
            encode_dss_signature(r, s), digest, b"", pure=False
        )


def name_of(key: VerifyingKey) -> bytes:
    """Return what a statement calls a key."""
    return hashlib.sha256(key.octets).digest()


def revoked_by(image: Image, root: VerifyingKey | None) -> tuple[bytes, ...]:
    """Return the keys that an image tells to give up.

    Raises:
        ImageError: Its statement is none, or not the root key's.
    """
    octets = image.one(TYPE)
    if octets is None or root is None:
        return ()
    try:
        found = Revocation.decode(octets)
    except RevocationError as error:
        raise ImageError(Reason.TLV_VALUE, str(error), NAME) from None
    if not found.is_signed_by(root):
        raise ImageError(Reason.SIGNATURE_WRONG, "not signed by the root key", NAME)
    return found.keys


def _said(hashes: Sequence[bytes]) -> bytes:
    return MAGIC + bytes([len(hashes)]) + b"".join(hashes)
