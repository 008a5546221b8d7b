# SPDX-License-Identifier: Apache-2.0
"""Key and signature formats (PSA Certified Crypto API, Key formats; ECDSA signatures).

::

    symmetric keys   the octets of the key
    key pair         the private number, big-endian, as long as a coordinate
    public key       04 || x || y
    signature        r || s, each as long as a coordinate

X.509, TLS and MCUboot write signatures as DER: `signature_to_der` and `signature_from_der` are the
one conversion each way.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.psa.attributes import LARGEST_KEY_BITS, KeyType
from openami.psa.status import PsaError, Status

Random = Callable[[int], bytes]
"""Gives that many unpredictable octets, or raises `PsaError` INSUFFICIENT_ENTROPY."""

_SPARE_OCTETS: Final = 8  # FIPS 186-5, A.2.1: 64 bits more, and the remainder is not biased
_UNCOMPRESSED: Final = 0x04


@dataclass(frozen=True, slots=True)
class Curve:
    """A curve of the family secp_r1.

    Attributes:
        bits: Size of a coordinate.
        order: Number of points; private keys are 1 to order - 1.
    """

    bits: int
    curve: ec.EllipticCurve
    order: int

    @property
    def octets(self) -> int:
        """Size of a coordinate."""
        return self.bits // 8


CURVES: Final = MappingProxyType(
    {
        256: Curve(
            256,
            ec.SECP256R1(),
            0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
        ),
        384: Curve(
            384,
            ec.SECP384R1(),
            int(
                "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"
                "C7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973",
                16,
            ),
        ),
    }
)

SYMMETRIC_BITS: Final = MappingProxyType({KeyType.AES: (128, 192, 256), KeyType.DES: (128, 192)})
"""Keys of DES have two or three parts; a single one is no protection and not implemented."""


def check_material(kind: KeyType, material: bytes, bits: int) -> int:
    """Refuse material that is no key of this kind; return its size in bits.

    Args:
        kind: What it is to be.
        material: In the format of its type.
        bits: What the attributes say; 0 to take the size from the material.

    Raises:
        PsaError: INVALID_ARGUMENT, or NOT_SUPPORTED for sizes that are not implemented.
    """
    found = _bits_of(kind, material)
    if bits not in {0, found}:
        problem = f"the key has {found} bits, and its attributes say {bits}"
        raise PsaError(Status.INVALID_ARGUMENT, problem, kind.name)
    return found


def _bits_of(kind: KeyType, material: bytes) -> int:
    octets = len(material)
    match kind:
        case KeyType.ECC_KEY_PAIR_SECP_R1:
            curve = curve_of_bits(8 * octets)
            if not 0 < int.from_bytes(material) < curve.order:
                problem = "the private key is not between 0 and the order of the curve"
                raise PsaError(Status.INVALID_ARGUMENT, problem, kind.name)
            return curve.bits
        case KeyType.ECC_PUBLIC_KEY_SECP_R1:
            return 8 * curve_of_point(material).octets
        case _:
            check_size(kind, 8 * octets)
            return 8 * octets


def check_size(kind: KeyType, bits: int) -> None:
    """Refuse a size that keys of this kind do not have.

    Raises:
        PsaError: INVALID_ARGUMENT; NOT_SUPPORTED where others might have it.
    """
    if kind.is_pair or kind.is_public:
        curve_of_bits(bits)
        return
    if kind is KeyType.DES and bits == 64:
        problem = "single DES is not implemented: use 128 or 192 bits"
        raise PsaError(Status.NOT_SUPPORTED, problem, kind.name)
    allowed = SYMMETRIC_BITS.get(kind)
    if allowed is not None and bits not in allowed:
        sizes = ", ".join(map(str, allowed))
        problem = f"a key of {bits} bits is none: use {sizes}"
        raise PsaError(Status.INVALID_ARGUMENT, problem, kind.name)
    if bits <= 0 or bits % 8:
        problem = f"a key of {bits} bits is none: use a positive multiple of 8"
        raise PsaError(Status.INVALID_ARGUMENT, problem, kind.name)
    if bits > LARGEST_KEY_BITS:
        problem = f"a key of {bits} bits is longer than {LARGEST_KEY_BITS}"
        raise PsaError(Status.NOT_SUPPORTED, problem, kind.name)


def curve_of_bits(bits: int) -> Curve:
    """Return the curve with coordinates of `bits`; raise `PsaError` where there is none."""
    curve = CURVES.get(bits)
    if curve is None:
        other = bits in {192, 224, 521, 528}
        status = Status.NOT_SUPPORTED if other else Status.INVALID_ARGUMENT
        raise PsaError(status, f"a key of {bits} bits is none: use 256 or 384", "secp_r1 key")
    return curve


def curve_of_point(point: bytes) -> Curve:
    """Return the curve that a public key, 04 || x || y, lies on.

    Raises:
        PsaError: INVALID_ARGUMENT, it lies on none.
    """
    if len(point) % 2 == 0 or point[:1] != bytes((_UNCOMPRESSED,)):
        problem = f"a public key of {len(point)} octets is not 04 || x || y"
        raise PsaError(Status.INVALID_ARGUMENT, problem, "public key")
    curve = curve_of_bits(4 * (len(point) - 1))
    public_key(curve, point)
    return curve


def public_key(curve: Curve, point: bytes) -> ec.EllipticCurvePublicKey:
    """Return the public key in 04 || x || y; raise `PsaError` INVALID_ARGUMENT if it is none."""
    if len(point) == 2 * curve.octets + 1 and point[0] == _UNCOMPRESSED:
        try:
            return ec.EllipticCurvePublicKey.from_encoded_point(curve.curve, point)
        except ValueError:
            pass
    problem = f"the public key is no point of P-{curve.bits}"
    raise PsaError(Status.INVALID_ARGUMENT, problem, "public key")


def private_key(material: bytes) -> ec.EllipticCurvePrivateKey:
    """Return the private key of a key pair's material, which was checked when it came."""
    return ec.derive_private_key(int.from_bytes(material), CURVES[8 * len(material)].curve)


def public_point(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return 04 || x || y."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def fresh_material(kind: KeyType, bits: int, random: Random) -> bytes:
    """Return the material of a new random key; its size was checked."""
    if kind.is_pair:
        curve = CURVES[bits]
        number = int.from_bytes(random(curve.octets + _SPARE_OCTETS)) % (curve.order - 1) + 1
        return number.to_bytes(curve.octets)
    octets = random(bits // 8)
    return odd_parity(octets) if kind is KeyType.DES else octets


def odd_parity(octets: bytes) -> bytes:
    """Return a DES key with its parity bits set (FIPS 46-3)."""
    return bytes(octet & 0xFE | (octet >> 1).bit_count() + 1 & 1 for octet in octets)


def triple_des(material: bytes) -> bytes:
    """Return three parts of a DES key that may have two."""
    return material + material[:8] if len(material) == 16 else material


def signature_to_der(signature: bytes) -> bytes:
    """Return r || s as SEQUENCE { r, s }; raise `PsaError` INVALID_SIGNATURE for odd octets."""
    half, odd = divmod(len(signature), 2)
    if odd or not half:
        problem = f"a signature of {len(signature)} octets is not r || s"
        raise PsaError(Status.INVALID_SIGNATURE, problem, "signature")
    return encode_dss_signature(int.from_bytes(signature[:half]), int.from_bytes(signature[half:]))


def signature_from_der(der: bytes, coordinate_octets: int) -> bytes:
    """Return SEQUENCE { r, s } as r || s.

    Raises:
        PsaError: INVALID_SIGNATURE, it is not that, or its numbers are longer than a coordinate.
    """
    try:
        r, s = decode_dss_signature(der)
        return r.to_bytes(coordinate_octets) + s.to_bytes(coordinate_octets)
    except (ValueError, OverflowError):
        problem = f"it is no SEQUENCE of two numbers of {coordinate_octets} octets"
        raise PsaError(Status.INVALID_SIGNATURE, problem, "signature") from None
