# SPDX-License-Identifier: Apache-2.0
"""Key agreement: how two systems compute the same key from public ones.

DLMS UA 1000-2 Ed. 10, 9.2.3.4.6 (schemes) and 9.2.3.4.7 (key derivation).  Three schemes; e counts
ephemeral, s static key pairs::

    scheme      ephemeral unified    one-pass              static unified
                C(2e, 0s)            C(1e, 1s)             C(0e, 2s)
    makes       a global key         the key of one APDU   the key of one APDU
    crosses     both public keys,    the originator's      nothing: the transaction-id
                each signed          public key, signed    makes the key a new one
    signed      key-id || public     public                -
    party U     client's title       originator's title    originator's title,
                                                           transaction-id with its length
    party V     server's title       recipient's title     recipient's title

Whoever holds a private key is an `Agreement`: a keystore, a secure world, or `AgreementKey` in
this process.  It is handed what the key is for, so that the shared secret itself never leaves it.
"""

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric import ec

from openami.dlms.axdr import encode_octet_string
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
from openami.dlms.security.signing import Signer, VerifyingKey
from openami.dlms.security.suites import SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.4.6"

_KEY_DERIVATION_COUNTER: Final = bytes.fromhex("00000001")


class Algorithm(Enum):
    """AlgorithmID: what a derived key is for, as an object identifier."""

    AES_GCM_128 = bytes.fromhex("60857405080300")
    AES_GCM_256 = bytes.fromhex("60857405080301")
    AES_WRAP_128 = bytes.fromhex("60857405080302")
    AES_WRAP_256 = bytes.fromhex("60857405080303")

    @classmethod
    def of(cls, suite: SecuritySuite, *, wraps: bool = False) -> "Algorithm":
        """Return the algorithm of a suite's keys; `wraps` for the master key."""
        if suite is SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384:
            return cls.AES_WRAP_256 if wraps else cls.AES_GCM_256
        return cls.AES_WRAP_128 if wraps else cls.AES_GCM_128


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherInfo:
    """What a key is for, and who shares it: the public half of key derivation."""

    algorithm: Algorithm
    party_u: bytes
    party_v: bytes

    def encode(self) -> bytes:
        return self.algorithm.value + self.party_u + self.party_v


def derive_key(suite: SecuritySuite, shared_secret: bytes, info: OtherInfo) -> bytes:
    """Return the key that a shared secret gives (NIST SP 800-56A, single step)."""
    octets = _KEY_DERIVATION_COUNTER + shared_secret + info.encode()
    digest = hashlib.new(curve_of(suite).digest.name, octets).digest()
    return digest[: suite.key_octets]


class Agreement(Protocol):
    """A private key for key agreement, wherever it is held."""

    @property
    def suite(self) -> SecuritySuite:
        """Decides curve and hash."""

    @property
    def public(self) -> bytes:
        """The public key, x || y."""

    def agree(self, peer: bytes, info: OtherInfo) -> bytes:
        """Return the key shared with the holder of the public key `peer`, x || y.

        Raises:
            SecurityError: `peer` is no point of the curve.
        """


class AgreementKey:
    """A private key for key agreement in this process."""

    __slots__ = ("_key", "public", "suite")

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self.suite = suite_of(key)
        self._key = key
        self.public = public_octets(key.public_key())

    @classmethod
    def from_octets(cls, suite: SecuritySuite, octets: bytes) -> Self:
        """Take a private key as its number, 32 or 48 octets."""
        return cls(private_key(suite, octets))

    @classmethod
    def fresh(cls, suite: SecuritySuite, entropy: Entropy) -> Self:
        """Return a new key: an ephemeral one, or a static one to be certified."""
        return cls(fresh_private_key(suite, entropy))

    @property
    def key(self) -> ec.EllipticCurvePrivateKey:
        """For certificate requests, which `cryptography` signs itself."""
        return self._key

    def shared_secret(self, peer: bytes) -> bytes:
        """Return Z, the x coordinate of the point that both can compute."""
        return self._key.exchange(
            ec.ECDH(), public_key(self.suite, peer, "public key agreement key")
        )

    def agree(self, peer: bytes, info: OtherInfo) -> bytes:
        return derive_key(self.suite, self.shared_secret(peer), info)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """The system titles of the two ends of an agreement.

    In C(2e, 0s) U is the client and V the server; in the others U is the originator of the APDU.
    """

    u: bytes
    v: bytes

    def info(self, algorithm: Algorithm, *, transaction_id: bytes | None = None) -> OtherInfo:
        """Return what a key between these is for; a transaction-id makes it one of C(0e, 2s)."""
        party_u = self.u
        if transaction_id is not None:
            party_u += encode_octet_string(transaction_id)
        return OtherInfo(algorithm=algorithm, party_u=party_u, party_v=self.v)


def key_data(ephemeral: Agreement, signer: Signer, key_id: int | None = None) -> bytes:
    """Return an ephemeral public key and its signature, as the other end needs them.

    Args:
        ephemeral: Our end of the agreement.
        signer: Whose signature says that it is ours.
        key_id: Which global key is agreed, in C(2e, 0s); None in C(1e, 1s).
    """
    signed = (b"" if key_id is None else bytes((key_id,))) + ephemeral.public
    return ephemeral.public + signer.sign(signed)


def open_key_data(verifier: VerifyingKey, octets: bytes, key_id: int | None = None) -> bytes:
    """Return the ephemeral public key in what `key_data` makes.

    Raises:
        SecurityError: Wrong size, or not signed by the other end.
    """
    size = 2 * curve_of(verifier.suite).coordinate_octets
    what = "key-data" if key_id is None else f"key-data of key {key_id}"
    if len(octets) != 2 * size:
        raise SecurityError(f"it has {len(octets)} octets, not {2 * size}", what, CLAUSE)
    public = octets[:size]
    signed = (b"" if key_id is None else bytes((key_id,))) + public
    verifier.verify(octets[size:], signed, what)
    return public
