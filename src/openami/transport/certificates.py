# SPDX-License-Identifier: Apache-2.0
"""Who a certificate says its holder is, which holders are let in, and the files of our own.

A peer is known by the subject of its certificate: CN is the system title as 16 hex digits, OU the
role.  Host names and addresses play no part, so that a meter may be dialled wherever it is.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from openami.runtime.config import Table
from openami.runtime.errors import ConfigurationError
from openami.transport.tlspolicy import DEFAULT_POLICY, Policy
from openami.transport.wire import PeerIdentity, WireError

TITLE_OCTETS: Final = 8
REMEDY: Final = "restore it, or provision this device again"
STRONG_CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
"""Of authorities; a device is on P-256."""
STRONG_HASHES: Final = frozenset({"sha256", "sha384", "sha512"})


class Role(StrEnum):
    """What a certificate's OU permits its holder to be."""

    METER = "meter"
    CONCENTRATOR = "concentrator"
    HEAD_END = "head-end"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class TlsIdentity:
    """Whom we trust, who we are, the proof, and what we insist on.

    Attributes:
        ca: PEM file of the authorities; each is trusted by itself, an issuing one without its root.
        certificate: PEM file of our certificate, and of what leads from it to an authority.
        key: PEM file of its key.
        policy: Versions, suites, resumption.
        revoked: PEM file of the authorities' lists of what they took back; None for none.
    """

    ca: Path
    certificate: Path
    key: Path
    policy: Policy = DEFAULT_POLICY
    revoked: Path | None = None

    @classmethod
    def of(cls, table: Table) -> "TlsIdentity":
        """Read `[tls]` of a configuration file; paths are relative to its folder."""
        return cls(
            table.path("ca"),
            table.path("certificate"),
            table.path("key"),
            Policy.of(table),
            table.path("revoked") if table.text("revoked", "") else None,
        )

    def own(self) -> PeerIdentity:
        """Read who we are; raises `ConfigurationError` where the file does not say."""
        path = self.certificate
        try:
            return read_identity(x509.load_pem_x509_certificate(path.read_bytes()))
        except OSError as error:
            sentence = f"{path} cannot be read ({error.strerror}): {REMEDY}"
            raise ConfigurationError(sentence) from error
        except (ValueError, WireError) as error:
            raise ConfigurationError(f"{path} is no certificate of a device: {REMEDY}") from error

    def authorities(self) -> list[x509.Certificate]:
        """Read whom we trust; raises `ConfigurationError` where the file names nobody."""
        try:
            return x509.load_pem_x509_certificates(self.ca.read_bytes())
        except OSError as error:
            why = error.strerror or str(error)
        except ValueError:
            why = "no certificate is in it"
        sentence = f"{self.ca} is no certificate authority ({why}): {REMEDY}"
        raise ConfigurationError(sentence)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Which peers are let in, beyond a certificate of our authority.

    Attributes:
        roles: Accepted roles.
        title: The only accepted system title; None accepts any.
    """

    roles: frozenset[str]
    title: bytes | None = None

    def verify(self, peer: PeerIdentity, ca: Path) -> None:
        """Accept `peer`, or raise `WireError` with what stands in its certificate."""
        if peer.role not in self.roles:
            wanted = " or ".join(sorted(self.roles))
            raise WireError(
                f"wrong certificate: it has role {peer.role} (OU) where {wanted} is expected; "
                f"dial another address or have {ca.name} issue one with the right role"
            )
        if self.title is not None and peer.title != self.title:
            raise WireError(
                f"wrong certificate: it belongs to {peer.title.hex().upper()} (CN) where "
                f"{self.title.hex().upper()} is expected; dial that device or correct the title"
            )


def read_identity(certificate: x509.Certificate) -> PeerIdentity:
    """Return title and role of a certificate.

    Raises:
        WireError: The subject names no system title and role, or the key is not on P-256.
    """
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm) as error:
        raise WireError(f"wrong certificate: its key cannot be read ({error})") from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise WireError("wrong certificate: its key is not EC P-256; issue one with a P-256 key")
    subject = certificate.subject
    names = [str(row.value) for row in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    roles = subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    try:
        (name,), (role,) = names, [str(row.value) for row in roles]
        title = bytes.fromhex(name)
    except ValueError:
        title, role = b"", ""
    if len(title) != TITLE_OCTETS:
        raise WireError(
            f"wrong certificate: its subject is {subject.rfc4514_string()!r}, not a system title "
            "of 16 hex digits (CN) and a role (OU); have our authority issue one"
        )
    return PeerIdentity(title, role)


# X509_V_ERR_… of OpenSSL: what is wrong with a certificate.
NOT_YET_VALID: Final = 9
EXPIRED: Final = 10
REVOKED: Final = 23
KEY_TOO_SMALL: Final = 66
HASH_TOO_WEAK: Final = 68


def weakness(certificate: x509.Certificate) -> int:
    """Return what is too weak in a certificate of a chain (KEY_TOO_SMALL, HASH_TOO_WEAK), or 0."""
    try:
        key, hashed = certificate.public_key(), certificate.signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm):
        return KEY_TOO_SMALL
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, STRONG_CURVES):
        return KEY_TOO_SMALL
    return 0 if hashed and hashed.name in STRONG_HASHES else HASH_TOO_WEAK


def untimely(certificate: x509.Certificate, now: datetime) -> int:
    """Return NOT_YET_VALID or EXPIRED where `now` lies outside a certificate's validity, or 0."""
    if now < certificate.not_valid_before_utc:
        return NOT_YET_VALID
    return EXPIRED if now > certificate.not_valid_after_utc else 0
