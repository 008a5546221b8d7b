# SPDX-License-Identifier: Apache-2.0
"""The elliptic curves of security suites 1 and 2, and keys on them as octets.

DLMS UA 1000-2 Ed. 10, 9.2.3.4 (public key algorithms).  Suite 1 uses P-256 with SHA-256, suite 2
P-384 with SHA-384.  A public key travels as its two coordinates, x || y, without the octet 04 that
other formats put in front; a private key is one number.  What is done with them is `signing` and
`agreement`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.dlms.errors import SecurityError
from openami.dlms.security.suites import SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.4"

Entropy = Callable[[int], bytes]
"""Gives that many unpredictable octets."""

PrivateKey: TypeAlias = ec.EllipticCurvePrivateKey

_UNCOMPRESSED: Final = b"\x04"
_SPARE_OCTETS: Final = 8  # FIPS 186-5, A.2.1: with 64 bits more, the remainder is not biased


@dataclass(frozen=True, slots=True)
class Curve:
    """What a suite computes with.

    Attributes:
        suite: Whose curve this is.
        parameters: The curve.
        digest: The hash of signatures and of key derivation.
        order: The number of points; private keys are 1 to order - 1.
    """

    suite: SecuritySuite
    parameters: ec.EllipticCurve
    digest: hashes.SHA256 | hashes.SHA384
    order: int

    @property
    def coordinate_octets(self) -> int:
        """Size of a coordinate, of a private key, of each half of a signature."""
        return self.parameters.key_size // 8


_CURVES: Final[Mapping[SecuritySuite, Curve]] = MappingProxyType(
    {
        curve.suite: curve
        for curve in (
            Curve(
                SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256,
                ec.SECP256R1(),
                hashes.SHA256(),
                0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
            ),
            Curve(
                SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384,
                ec.SECP384R1(),
                hashes.SHA384(),
                int(
                    "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
                    "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
                    16,
                ),
            ),
        )
    }
)


def curve_of(suite: SecuritySuite) -> Curve:
    """Return the curve of a suite.

    Raises:
        SecurityError: Suite 0 has none.
    """
    curve = _CURVES.get(suite)
    if curve is None:
        raise SecurityError(
            "suite 0 has no public key algorithms: choose suite 1 or 2",
            f"security suite {suite:d}",
            CLAUSE,
        )
    return curve


def private_key(suite: SecuritySuite, octets: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key that `octets` are, as a number.

    Raises:
        SecurityError: Not the size of the suite, or no number below the order of the curve.
    """
    curve = curve_of(suite)
    number = int.from_bytes(octets)
    if len(octets) != curve.coordinate_octets or not 1 <= number < curve.order:
        problem = f"{len(octets)} octets are no private key of {curve.coordinate_octets} octets"
        raise SecurityError(problem, f"security suite {suite:d}", CLAUSE)
    return ec.derive_private_key(number, curve.parameters)


def fresh_private_key(suite: SecuritySuite, entropy: Entropy) -> ec.EllipticCurvePrivateKey:
    """Return a new private key, made of `entropy` alone (FIPS 186-5, A.2.1)."""
    curve = curve_of(suite)
    drawn = int.from_bytes(entropy(curve.coordinate_octets + _SPARE_OCTETS))
    return ec.derive_private_key(drawn % (curve.order - 1) + 1, curve.parameters)


def suite_of(key: ec.EllipticCurvePublicKey | ec.EllipticCurvePrivateKey) -> SecuritySuite:
    """Return the suite whose curve a key is on.

    Raises:
        SecurityError: The curve belongs to no suite.
    """
    for curve in _CURVES.values():
        if curve.parameters.name == key.curve.name:
            return curve.suite
    problem = f"curve {key.curve.name} is neither P-256 nor P-384"
    raise SecurityError(problem, "public key", CLAUSE)


def public_octets(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return x || y."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)[1:]


def public_key(suite: SecuritySuite, octets: bytes, what: str) -> ec.EllipticCurvePublicKey:
    """Return the public key that x || y are.

    Raises:
        SecurityError: Not the size of the suite, or no point of its curve.
    """
    curve = curve_of(suite)
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(
            curve.parameters, _UNCOMPRESSED + octets
        )
    except ValueError:
        problem = f"{len(octets)} octets are no point of {curve.parameters.name}"
        raise SecurityError(problem, what, CLAUSE) from None
