# SPDX-License-Identifier: Apache-2.0
"""Digital signatures: ECDSA on P-256 and P-384, as r || s.

DLMS UA 1000-2 Ed. 10, 9.2.3.4.5.  A signature has 64 octets in suite 1 and 96 in suite 2.  Whoever
holds a private key is a `Signer`: a keystore, a secure world, or `SigningKey` in this process.
Nonces are derived from key and message (RFC 6979), so that signing needs no entropy and no two
messages can share one.
"""

from typing import Final, Protocol, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from openami.dlms.errors import SecurityError
from openami.dlms.security.curves import (
    Entropy,
    curve_of,
    fresh_private_key,
    private_key,
    public_key,
    public_octets,
    suite_of,
)
from openami.dlms.security.suites import SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.4.5"


class Signer(Protocol):
    """A private key for digital signatures, wherever it is held."""

    @property
    def suite(self) -> SecuritySuite:
        """Decides curve and hash."""

    def sign(self, octets: bytes) -> bytes:
        """Return the signature of `octets`, r || s."""


class SigningKey:
    """A private signing key in this process."""

    __slots__ = ("_algorithm", "_key", "_size", "suite")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.suite = suite_of(key)
        curve = curve_of(self.suite)
        self._key = key
        self._size = curve.coordinate_octets
        self._algorithm = ec.ECDSA(curve.digest, deterministic_signing=True)

    @classmethod
    def from_octets(cls, suite: SecuritySuite, octets: bytes) -> Self:
        """Take a private key as its number, 32 or 48 octets."""
        return cls(private_key(suite, octets))

    @classmethod
    def fresh(cls, suite: SecuritySuite, entropy: Entropy) -> Self:
        """Return a new key."""
        return cls(fresh_private_key(suite, entropy))

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """For certificate requests, which `cryptography` signs itself."""
        return self._key

    @property
    def public(self) -> "VerifyingKey":
        """The key that verifies what this one signs."""
        return VerifyingKey(self._key.public_key())

    def sign(self, octets: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(octets, self._algorithm))
        return r.to_bytes(self._size) + s.to_bytes(self._size)


class VerifyingKey:
    """A public key that verifies signatures."""

    __slots__ = ("_algorithm", "_key", "_size", "octets", "suite")

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        self.suite = suite_of(key)
        curve = curve_of(self.suite)
        self._key = key
        self._size = curve.coordinate_octets
        self._algorithm = ec.ECDSA(curve.digest)
        self.octets = public_octets(key)

    @classmethod
    def from_octets(cls, suite: SecuritySuite, octets: bytes) -> Self:
        """Take x || y.

        Raises:
            SecurityError: No point of the suite's curve.
        """
        return cls(public_key(suite, octets, "public signing key"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, VerifyingKey) and self.octets == other.octets

    def __hash__(self) -> int:
        return hash(self.octets)

    def verify(self, signature: bytes, octets: bytes, what: str) -> None:
        """Accept `signature` as that of `octets`.

        Raises:
            SecurityError: It is not; `what` says whose signature of what.
        """
        size = self._size
        if len(signature) != 2 * size:
            problem = f"the signature has {len(signature)} octets, not {2 * size}"
            raise SecurityError(problem, what, CLAUSE)
        encoded = encode_dss_signature(
            int.from_bytes(signature[:size]), int.from_bytes(signature[size:])
        )
        try:
            self._key.verify(encoded, octets, self._algorithm)
        except InvalidSignature:
            problem = "the signature is wrong: another key signed, or octets were altered"
            raise SecurityError(problem, what, CLAUSE) from None
