# SPDX-License-Identifier: Apache-2.0
"""A small certificate authority: one EC P-256 key and what it signs.

It is made at the first start and lives in `var/ca`.  Its key signs device certificates only
(docs/provisioning.md, 3); nothing on the network reaches it.  The certificates follow RFC 5280;
CN is the system title and OU the role, which is all that `transport.tls` looks at.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from openami.runtime.errors import ConfigurationError
from openami.runtime.files import PRIVATE, write_durably
from openami.transport.tls import Role

COMMON_NAME: Final = "OpenAMI CA"
BACKDATED: Final = timedelta(hours=1)  # clocks of devices may be a little behind
VALIDITY: Final = timedelta(days=20 * 365 + 5)
LIST_VALIDITY: Final = timedelta(days=30)
SERIAL_OCTETS: Final = 20  # RFC 5280, 4.1.2.2: at most 20, positive
TITLE_OCTETS: Final = 8
REMEDY: Final = (
    "restore ca.crt and ca.key from a backup; without them no certificate can be issued, and "
    "with a new authority every device has to be provisioned again"
)


@dataclass(frozen=True, slots=True)
class Credentials:
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return "Credentials(certificate=…, key=…)"


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority: its certificate and the key that signs.

    Attributes:
        certificate: Self-signed, CN `OpenAMI CA`, path length 0.
        key: EC P-256.
    """

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        return f"Authority({self.certificate.subject.rfc4514_string()})"

    @property
    def pem(self) -> bytes:
        """The certificate, for every device to trust."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @classmethod
    def create(cls, folder: Path, now: datetime | None = None) -> "Authority":
        """Make a new authority and keep it in `folder` as `ca.crt` and `ca.key` (0600).

        Args:
            folder: Where; must not hold an authority yet.
            now: Real UTC; None reads the clock.
        """
        if (path := folder / "ca.crt").exists():
            raise ConfigurationError(f"{path} exists: load it, or choose another folder")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, COMMON_NAME)])
        usage = key_usage(certifies=True)
        certificate = (
            begun(now or datetime.now(UTC), key.public_key())
            .subject_name(subject)
            .issuer_name(subject)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(certificate, key)
        write_durably(folder / "ca.key", _key_pem(key), mode=PRIVATE)
        write_durably(path, authority.pem)  # last: an authority is there when its certificate is
        return authority

    @classmethod
    def load(cls, folder: Path) -> "Authority":
        """Read the authority of `folder`.

        Raises:
            ConfigurationError: A file is missing or corrupt, or the two do not belong together.
        """
        certificate_path, key_path = folder / "ca.crt", folder / "ca.key"
        try:
            certificate = x509.load_pem_x509_certificate(certificate_path.read_bytes())
        except OSError as error:
            raise _unreadable(certificate_path, error) from error
        except ValueError as error:
            raise ConfigurationError(f"{certificate_path} is corrupt: {REMEDY}") from error
        try:
            key = serialization.load_pem_private_key(key_path.read_bytes(), password=None)
        except OSError as error:
            raise _unreadable(key_path, error) from error
        except (ValueError, TypeError) as error:
            raise ConfigurationError(f"{key_path} is corrupt: {REMEDY}") from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise ConfigurationError(f"{key_path} is not an EC key: {REMEDY}")
        if key.public_key() != certificate.public_key():
            raise ConfigurationError(f"{key_path} does not belong to {certificate_path}: {REMEDY}")
        if key_path.stat().st_mode & 0o077:
            sentence = f"{key_path} can be read by other users: run `chmod 600 {key_path}`"
            raise ConfigurationError(sentence)
        return cls(certificate, key)

    @classmethod
    def open(cls, folder: Path) -> "Authority":
        """Load the authority of `folder`, or create it at the first start."""
        if (folder / "ca.crt").exists():
            return cls.load(folder)
        return cls.create(folder)

    def issue(
        self,
        title: bytes,
        role: Role,
        *,
        now: datetime | None = None,
        validity: timedelta = VALIDITY,
    ) -> Credentials:
        """Make a key and its certificate for a device.

        Args:
            title: System title of 8 octets; becomes CN.
            role: Becomes OU.
            now: Real UTC; None reads the clock.
            validity: How long from `now`.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        issuer = self.key.public_key()
        certificate = (
            begun(now or datetime.now(UTC), key.public_key(), validity)
            .subject_name(named(title, role))
            .issuer_name(self.certificate.subject)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(signs=True, agrees=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
            .sign(self.key, hashes.SHA256())
        )
        return Credentials(certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key))

    def revocation_list(
        self,
        serials: Iterable[int],
        *,
        now: datetime | None = None,
        validity: timedelta = LIST_VALIDITY,
    ) -> bytes:
        """Return the list of what was taken back, PEM (RFC 5280, 5), for every listener to read.

        Args:
            serials: Serial numbers of certificates; a new list names those of the old one again.
            now: Real UTC; None reads the clock.
            validity: How long from `now`; the next one is due by then.
        """
        moment = now or datetime.now(UTC)
        issuer = self.key.public_key()
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate.subject)
            .last_update(moment)
            .next_update(moment + validity)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False
            )
            .add_extension(x509.CRLNumber(int(moment.timestamp())), critical=False)
        )
        for serial in serials:
            row = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(moment)
            builder = builder.add_revoked_certificate(row.build())
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(f"{path} cannot be read ({error.strerror}): {REMEDY}")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def named(title: bytes, role: Role) -> x509.Name:
    """Return what a device is called: CN is its system title of 8 octets, OU its role."""
    if len(title) != TITLE_OCTETS:
        raise ValueError(f"a system title has 8 octets, not {len(title)}: {title.hex()}")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role.value),
            x509.NameAttribute(NameOID.COMMON_NAME, title.hex().upper()),
        ]
    )


def begun(
    now: datetime, public_key: ec.EllipticCurvePublicKey, validity: timedelta = VALIDITY
) -> x509.CertificateBuilder:
    """Begin a certificate: number, key, validity."""
    serial = int.from_bytes(os.urandom(SERIAL_OCTETS)) >> 1 or 1
    return (
        x509.CertificateBuilder()
        .serial_number(serial)
        .public_key(public_key)
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def key_usage(
    *, certifies: bool = False, signs: bool = False, agrees: bool = False
) -> x509.KeyUsage:
    """Return what a key is for: certificates, signatures, key agreement."""
    return x509.KeyUsage(
        digital_signature=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=agrees,
        key_cert_sign=certifies,
        crl_sign=certifies,
        encipher_only=False,
        decipher_only=False,
    )
