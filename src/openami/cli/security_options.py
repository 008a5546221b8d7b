# SPDX-License-Identifier: Apache-2.0
"""How a tool protects what it says: suites, envelopes, signatures, and files with keys.

DLMS UA 1000-2 Ed. 10, 9.2.  `read_options` reads the options one by one; here stands what several
of them mean together: the global keys in their suite, the envelope of services, what must be
authenticated and encrypted, our private keys and the meter's certificates.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.certificates import Certificate, CertificateType, TrustStore
from openami.dlms.security.credentials import Credentials, KeyScheme, MasterKey
from openami.dlms.security.curves import public_octets
from openami.dlms.security.signing import SigningKey, VerifyingKey
from openami.dlms.security.suites import (
    AUTHENTICATED,
    ENCRYPTED,
    SecurityControl,
    SecurityPolicy,
    SecuritySuite,
)
from openami.runtime.errors import ConfigurationError, ExitCode, UserError

ENVELOPES: Final[Mapping[str, KeyScheme | None]] = {
    "glo": None,
    "general-glo": None,
    "general": KeyScheme.IDENTIFIED,
    "wrapped": KeyScheme.WRAPPED,
    "one-pass": KeyScheme.ONE_PASS,
    "static": KeyScheme.STATIC_UNIFIED,
}
"""How a service travels: each with its own tag, as general-glo-ciphering, or as general-ciphering
with an identified, wrapped or agreed key."""

CIPHERS: Final[Mapping[str, int]] = {
    "both": AUTHENTICATED | ENCRYPTED,
    "authenticated": AUTHENTICATED,
    "encrypted": ENCRYPTED,
    "none": 0,
}
"""What protects a service, as bits of the security control octet."""

HEADERS: Final[Mapping[str, AuthenticatedHeader]] = {
    form.value: form for form in AuthenticatedHeader
}
"""Whether the header of general-ciphering is under its tag."""

PUBLIC_KEY_SCHEMES: Final = frozenset({"one-pass", "static"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Protection:
    """What several options say together about protection.

    Attributes:
        suite: The security suite; None to take it from the length of the keys.
        envelope: A name of `ENVELOPES`.
        general_header: A name of `HEADERS`.
        cipher: A name of `CIPHERS`.
        dedicated: Whether a fresh key protects the services of this association.
        sign: Whether services are signed, even where nobody asks for it.
        sign_key: Our private signing key (PEM).
        sign_cert: Our certificate for it, sent when associating.
        agree_key: Our private key agreement key (PEM).
        meter_certs: Certificates of the meter, and of authorities that may issue them.
        kek: The master key, for wrapped keys.
    """

    suite: SecuritySuite | None = None
    envelope: str = "glo"
    general_header: str = AuthenticatedHeader.STANDARD.value
    cipher: str = "both"
    dedicated: bool = False
    sign: bool = False
    sign_key: Path | None = None
    sign_cert: Path | None = None
    agree_key: Path | None = None
    meter_certs: Path | None = None
    kek: bytes | None = field(default=None, repr=False)

    def suite_for(self, key: bytes | None) -> SecuritySuite:
        """Return the suite that was said, or the one that fits the keys that are there."""
        if self.suite is not None:
            return self.suite
        if key is not None and len(key) == 32:
            return SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384
        if self.sign_key or self.agree_key or self.envelope in PUBLIC_KEY_SCHEMES:
            return SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256
        return SecuritySuite.AES_GCM_128

    @property
    def policy(self) -> SecurityPolicy:
        """The least protection of requests and responses."""
        return SecurityPolicy.from_version_0(CIPHERS[self.cipher] >> 4)

    def control(self, suite: SecuritySuite) -> SecurityControl:
        """Return how services are ciphered."""
        bits = CIPHERS[self.cipher]
        return SecurityControl.of(
            suite, authenticated=bool(bits & AUTHENTICATED), encrypted=bool(bits & ENCRYPTED)
        )

    @property
    def general(self) -> bool:
        """Whether services travel as general-glo- or general-ded-ciphering."""
        return self.envelope == "general-glo"

    @property
    def scheme(self) -> KeyScheme | None:
        """The key scheme of general-ciphering."""
        return ENVELOPES[self.envelope]

    def dedicated_key(self, suite: SecuritySuite) -> bytes | None:
        """Return a fresh dedicated key, if one is wanted."""
        return os.urandom(suite.key_octets) if self.dedicated else None

    def credentials(self, suite: SecuritySuite, *, proves: bool) -> Credentials | None:
        """Return keys for signatures and for keys that travel with an APDU, if any are needed.

        Args:
            suite: Of the association.
            proves: Whether the authentication mechanism is ECDSA.

        Raises:
            UserError: What the other options need was not given, or cannot be read.
        """
        self._refuse_missing(suite, proves=proves)
        if not any((self.sign_key, self.agree_key, self.meter_certs, self.kek)):
            return None
        certificates = certificates_in(self.meter_certs) if self.meter_certs else []
        signing = _first(certificates, CertificateType.DIGITAL_SIGNATURE)
        agreement = _first(certificates, CertificateType.KEY_AGREEMENT)
        authorities = [each.encode() for each in certificates if each.is_authority]
        own = certificates_in(self.sign_cert)[0].encode() if self.sign_cert else b""
        return Credentials(
            suite=suite,
            entropy=os.urandom,
            signer=SigningKey(private_key_in(self.sign_key, suite)) if self.sign_key else None,
            agreement=AgreementKey(private_key_in(self.agree_key, suite))
            if self.agree_key
            else None,
            master_key=MasterKey(self.kek) if self.kek else None,
            peer_signing=VerifyingKey(signing.key) if signing else None,
            peer_agreement=public_octets(agreement.key) if agreement else b"",
            certificate=own,
            trust=TrustStore(authorities, lambda: datetime.now(UTC)) if authorities else None,
        )

    def _refuse_missing(self, suite: SecuritySuite, *, proves: bool) -> None:
        agreed = self.envelope in PUBLIC_KEY_SCHEMES
        signs = self.sign or proves or self.envelope == "one-pass"
        wanted = (
            (signs and not self.sign_key, "a private signing key", "--sign-key"),
            (agreed and not self.agree_key, "a key agreement key", "--agree-key"),
            ((signs or agreed) and not self.meter_certs, "the meter's keys", "--meter-certs"),
            (self.envelope == "wrapped" and not self.kek, "the master key", "--kek or --keys"),
        )
        for missing, what, option in wanted:
            if missing:
                sentence = f"{what} is needed for this protection and none was given: {option}"
                raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        if (signs or agreed) and suite is SecuritySuite.AES_GCM_128:
            sentence = "suite 0 knows no signatures and agrees on no keys: give --suite 1 or 2"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _first(certificates: list[Certificate], wanted: CertificateType) -> Certificate | None:
    fits = (wanted, CertificateType.TLS)  # a key for both uses serves each
    return next((c for c in certificates if c.type in fits and not c.is_authority), None)


def _octets(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}): give the path of a PEM file"
        raise ConfigurationError(sentence) from error


def private_key_in(path: Path, suite: SecuritySuite) -> ec.EllipticCurvePrivateKey:
    """Read a private key on the curve of a suite from a file (PEM)."""
    octets = _octets(path)
    try:
        key = load_pem_private_key(octets, password=None)
    except (ValueError, TypeError) as error:
        sentence = f"{path} holds no private key in PEM without a password: convert it"
        raise ConfigurationError(sentence) from error
    curves = {1: ec.SECP256R1, 2: ec.SECP384R1}
    wanted = curves.get(int(suite), ec.SECP256R1)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, wanted):
        sentence = f"{path} holds no key on {wanted.name}, the curve of suite {suite:d}"
        raise ConfigurationError(f"{sentence}: give another key or --suite")
    return key


def certificates_in(path: Path) -> list[Certificate]:
    """Read the certificates of a file (PEM, or one in DER)."""
    octets = _octets(path)
    load: Callable[[bytes], list[x509.Certificate]] = x509.load_pem_x509_certificates
    if b"-----BEGIN" not in octets:
        load = lambda der: [x509.load_der_x509_certificate(der)]  # noqa: E731  the other of two
    try:
        found = load(octets)
        return [Certificate.decode(each.public_bytes(Encoding.DER)) for each in found]
    except (ValueError, SecurityError) as error:
        sentence = f"{path} holds no certificate that can be used ({error}): give PEM or DER"
        raise ConfigurationError(sentence) from error
