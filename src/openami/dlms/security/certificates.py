# SPDX-License-Identifier: Apache-2.0
"""Certificates of DLMS/COSEM systems: who holds which public key.

DLMS UA 1000-2 Ed. 10, 9.2.6: X.509 version 3, on P-256 with SHA-256 or P-384 with SHA-384.  The
common name of the subject is the system title as 16 hexadecimal digits; key usage says whether the
key signs or agrees.  `TrustStore` judges certificates of peers; the time is handed in.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, unique
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from openami.dlms.errors import SecurityError
from openami.dlms.security.curves import curve_of, public_octets, suite_of
from openami.dlms.security.signing import VerifyingKey

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.6"

_UNREADABLE: Final = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What `cryptography` raises for octets that are no certificate, or a strange one."""


@unique
class CertificateEntity(IntEnum):
    """Whose certificate it is."""

    SERVER = 0
    CLIENT = 1
    CERTIFICATION_AUTHORITY = 2
    OTHER = 3


@unique
class CertificateType(IntEnum):
    """What its key is for."""

    DIGITAL_SIGNATURE = 0
    KEY_AGREEMENT = 1
    TLS = 2
    OTHER = 3


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate whose form was checked, and nothing else yet."""

    x509: x509.Certificate
    key: ec.EllipticCurvePublicKey

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read a certificate in DER.

        Raises:
            SecurityError: No certificate, or not with a key on P-256 or P-384.
        """
        try:
            certificate = x509.load_der_x509_certificate(octets)
            key = certificate.public_key()
            _parse(certificate)
        except _UNREADABLE:
            problem = f"{len(octets)} octets are no X.509 certificate that can be read"
            raise SecurityError(problem, "certificate", CLAUSE) from None
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise SecurityError("its key is on no elliptic curve", _place(certificate), CLAUSE)
        suite_of(key)
        return cls(certificate, key)

    def encode(self) -> bytes:
        return self.x509.public_bytes(Encoding.DER)

    @property
    def common_name(self) -> str:
        """The common name of the subject; empty if it has none."""
        return _common_name(self.x509.subject)

    @property
    def system_title(self) -> bytes:
        """The subject's system title; empty where the common name is none."""
        name = self.common_name
        try:
            title = bytes.fromhex(name)
        except ValueError:
            return b""
        return title if len(title) == 8 and len(name) == 16 else b""

    @property
    def type(self) -> CertificateType:
        """What the key is for, by its key usage."""
        try:
            usage = self.x509.extensions.get_extension_for_class(x509.KeyUsage).value
        except x509.ExtensionNotFound:
            return CertificateType.OTHER
        match usage.digital_signature, usage.key_agreement:
            case True, True:
                return CertificateType.TLS
            case True, False:
                return CertificateType.DIGITAL_SIGNATURE
            case False, True:
                return CertificateType.KEY_AGREEMENT
            case _:
                return CertificateType.OTHER

    @property
    def is_authority(self) -> bool:
        """Whether the subject issues certificates."""
        try:
            basic = self.x509.extensions.get_extension_for_class(x509.BasicConstraints)
        except x509.ExtensionNotFound:
            return False
        return basic.value.ca

    def require(self, wanted: CertificateType, system_title: bytes) -> None:
        """Refuse a certificate for another use or of another system."""
        if self.type is not wanted:
            problem = f"it is for {self.type.name}, not for {wanted.name}"
            raise SecurityError(problem, self.place, CLAUSE)
        if self.system_title != system_title:
            problem = f"it names {self.common_name or 'nobody'}, not {system_title.hex().upper()}"
            raise SecurityError(problem, self.place, CLAUSE)

    def require_valid(self, now: datetime) -> None:
        """Refuse a certificate that is not valid yet, or no more; `now` is aware."""
        begin, end = self.x509.not_valid_before_utc, self.x509.not_valid_after_utc
        if not begin <= now <= end:
            problem = f"it is valid from {begin:%Y-%m-%d} to {end:%Y-%m-%d}, and now is"
            raise SecurityError(f"{problem} {now:%Y-%m-%d}", self.place, CLAUSE)

    @property
    def issuer(self) -> str:
        """The common name of who issued it; empty if it has none."""
        return _common_name(self.x509.issuer)

    @property
    def place(self) -> str:
        """The certificate in the words of an error."""
        return _place(self.x509)


def _parse(certificate: x509.Certificate) -> None:
    """Read now what `cryptography` would read late, where an error would have no place."""
    # Each of these parses its part.
    parts = (
        certificate.subject,
        certificate.issuer,
        certificate.extensions,
        certificate.not_valid_before_utc,
        certificate.not_valid_after_utc,
        certificate.signature_hash_algorithm,
    )
    if certificate.serial_number <= 0 or None in parts:
        raise ValueError("a number below 1, or a signature without a hash")


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    value = found[0].value if found else ""
    return value if isinstance(value, str) else ""


def _place(certificate: x509.Certificate) -> str:
    subject = _common_name(certificate.subject) or "nobody"
    return f"certificate {certificate.serial_number:X} of {subject}"


class TrustStore:
    """Judges certificates by the authorities that may issue them.

    An authority below another one is trusted by being named here itself: chains are not followed.
    """

    def __init__(self, authorities: Iterable[bytes], now: Callable[[], datetime]) -> None:
        """Trust `authorities` (DER); `now` is aware."""
        self._authorities = [Certificate.decode(octets) for octets in authorities]
        self._now = now

    def verify(self, certificate: Certificate) -> None:
        """Accept a certificate that an authority of ours issued and that is valid now.

        Raises:
            SecurityError: Says why not.
        """
        found = certificate.x509
        if not any(_issued(authority, found) for authority in self._authorities):
            issuer = _common_name(found.issuer) or "nobody"
            problem = f"{issuer}, who is named as its issuer, is no authority trusted here"
            raise SecurityError(problem, certificate.place, CLAUSE)
        certificate.require_valid(self._now())

    def verifying_key(self, certificate: bytes, system_title: bytes) -> VerifyingKey:
        """Return the signing key of `system_title`; see `credentials.Trust`."""
        found = self._accepted(certificate, CertificateType.DIGITAL_SIGNATURE, system_title)
        return VerifyingKey(found.key)

    def agreement_key(self, certificate: bytes, system_title: bytes) -> bytes:
        """Return the key agreement key of `system_title`, x || y."""
        found = self._accepted(certificate, CertificateType.KEY_AGREEMENT, system_title)
        return public_octets(found.key)

    def _accepted(self, octets: bytes, wanted: CertificateType, system_title: bytes) -> Certificate:
        certificate = Certificate.decode(octets)
        self.verify(certificate)
        certificate.require(wanted, system_title)
        return certificate


def _issued(authority: Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.x509)
    except (InvalidSignature, *_UNREADABLE):
        return False
    return authority.is_authority


def certificate_request(key: ec.EllipticCurvePrivateKey, system_title: bytes) -> bytes:
    """Return a request to certify `key` for `system_title` (PKCS #10, DER)."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, system_title.hex().upper())])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .sign(key, curve_of(suite_of(key)).digest, ecdsa_deterministic=True)
    )
    return request.public_bytes(Encoding.DER)
