# SPDX-License-Identifier: Apache-2.0
"""Key pairs and certificates of a simulated meter in suites 1 and 2, and of its manager.

They lie in one folder, which is made whole where it is not there: an authority of its own issues
what the meter and the tools need.  What a client changes through the security setup (new key
pairs, other certificates) is written there before it is used.

==================  ===========================================================================
file                holds
==================  ===========================================================================
`ca.pem`            the authority's certificate, `ca.key` its private key
`meter.pem`         the meter's certificates for signing and key agreement, and the authorities
`meter-sign.key`    the meter's private keys, with `meter-agree.key`
`client.pem`        the manager's certificates for signing and key agreement
`client-sign.key`   the manager's private keys, with `client-agree.key`
==================  ===========================================================================
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from openami.cli.security_options import certificates_in, private_key_in
from openami.cosem.serving.soft_keys import SoftCertificates
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.certificates import Certificate, CertificateType
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.curves import fresh_private_key, public_octets
from openami.dlms.security.signing import SigningKey, VerifyingKey
from openami.dlms.security.suites import SecuritySuite
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import PRIVATE, write_durably

AUTHORITY: Final = "OpenAMI simulation"
VALIDITY: Final = timedelta(days=3650)
USES: Final = {
    CertificateType.DIGITAL_SIGNATURE: "sign",
    CertificateType.KEY_AGREEMENT: "agree",
}
"""By what a key is for, how its file is called."""
FILES: Final = ("meter.pem", "client.pem", *(f"meter-{name}.key" for name in USES.values()))
"""Without which a folder is none; the manager's private keys may be elsewhere."""
REMEDY: Final = "give --certs another folder, and one that is not there is made"


@dataclass(slots=True)
class CertificateFolder:
    """A folder with the credentials of both ends.

    Attributes:
        path: Where.
        suite: 1 or 2.
        client_title: The manager's, as its certificate says.
        held: What the meter holds: bound to its security setups.
    """

    path: Path
    suite: SecuritySuite
    client_title: bytes
    held: SoftCertificates = field(repr=False)
    _changed: Callable[[], None] = lambda: None

    @classmethod
    def open(
        cls, path: Path, suite: SecuritySuite, meter_title: bytes, client_title: bytes
    ) -> Self:
        """Read the folder, or make it.

        Args:
            path: The folder.
            suite: The suite of the meter.
            meter_title: The meter's system title.
            client_title: The manager's, where the folder is made.

        Raises:
            UserError: It cannot be read or written, or belongs to another meter or suite.
        """
        if not path.exists():
            _make(path, suite, meter_title, client_title)

        def changed() -> None:
            folder.write()

        held = SoftCertificates(meter_title, suite, entropy=os.urandom, now=_now, changed=changed)
        for name in FILES:
            if not (path / name).is_file():
                raise ConfigurationError(f"{path} is no folder with {name}: {REMEDY}")
        own = certificates_in(path / "meter.pem")
        clients = certificates_in(path / "client.pem")
        held.held = [*own, *clients]
        for usage, name in USES.items():
            certified = _of(own, usage, path / "meter.pem")
            if certified.system_title != meter_title:
                said = f"{path} belongs to meter {certified.system_title.hex().upper()}"
                raise ConfigurationError(f"{said}, not {meter_title.hex().upper()}: {REMEDY}")
            key = private_key_in(path / f"meter-{name}.key", suite)
            if public_octets(key.public_key()) != public_octets(certified.key):
                said = f"{path}/meter-{name}.key does not belong to meter.pem"
                raise ConfigurationError(f"{said}: {REMEDY}")
            held.in_use[usage] = key
        client = _of(clients, CertificateType.DIGITAL_SIGNATURE, path / "client.pem")
        folder = cls(path, suite, client.system_title, held)
        return folder

    def credentials(self, master_key: MasterKey) -> Credentials:
        """Return the meter's credentials towards its manager, as they are now."""
        sign, agree = (self.held.in_use.get(usage) for usage in USES)
        signing, agreement = (self._clients(usage) for usage in USES)
        return Credentials(
            suite=self.suite,
            entropy=os.urandom,
            signer=SigningKey(sign) if sign is not None else None,
            agreement=AgreementKey(agree) if agree is not None else None,
            master_key=master_key,
            peer_signing=VerifyingKey(signing.key) if signing else None,
            peer_agreement=public_octets(agreement.key) if agreement else b"",
        )

    def follow(self, changed: Callable[[], None]) -> None:
        """Tell of each change, once it is durable."""
        self._changed = changed

    def _clients(self, usage: CertificateType) -> Certificate | None:
        fits = (usage, CertificateType.TLS)  # a key for both uses serves each
        for each in self.held.held:
            if each.type in fits and each.system_title == self.client_title:
                return each
        return None

    def write(self) -> None:
        """Make durable what is held, and tell of it.

        Raises:
            OSError: It cannot be written; the client is told of a hardware fault.
        """
        try:
            for usage, key in self.held.in_use.items():
                if (name := USES.get(usage)) is not None:
                    write_durably(self.path / f"meter-{name}.key", _pem(key), mode=PRIVATE)
            clients = [each for each in self.held.held if each.system_title == self.client_title]
            others = [each for each in self.held.held if each not in clients]
            write_durably(self.path / "client.pem", _chain(clients))
            write_durably(self.path / "meter.pem", _chain(others))
        except UserError as error:
            raise OSError(str(error)) from error
        self._changed()


def _now() -> datetime:
    return datetime.now(UTC)


def _of(found: Iterable[Certificate], usage: CertificateType, path: Path) -> Certificate:
    for each in found:
        if each.type is usage and not each.is_authority:
            return each
    sentence = f"{path} holds no certificate for {usage.name.lower().replace('_', ' ')}"
    raise ConfigurationError(f"{sentence}: {REMEDY}")


def _make(path: Path, suite: SecuritySuite, meter_title: bytes, client_title: bytes) -> None:
    """Write a folder with an authority and what it issues to meter and manager."""
    root = fresh_private_key(suite, os.urandom)
    authority = _issued(root, AUTHORITY, root, None)
    write_durably(path / "ca.key", _pem(root), mode=PRIVATE)
    write_durably(path / "ca.pem", _chain([authority]))
    for name, title, more in (("client", client_title, []), ("meter", meter_title, [authority])):
        issued = []
        for usage, short in USES.items():
            key = fresh_private_key(suite, os.urandom)
            write_durably(path / f"{name}-{short}.key", _pem(key), mode=PRIVATE)
            issued.append(_issued(key, title.hex().upper(), root, usage))
        write_durably(path / f"{name}.pem", _chain([*issued, *more]))


def _issued(
    key: ec.EllipticCurvePrivateKey,
    subject: str,
    root: ec.EllipticCurvePrivateKey,
    usage: CertificateType | None,
) -> Certificate:
    """Return a certificate; without a usage it is the authority's own."""
    now = _now()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(AUTHORITY))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + VALIDITY)
        .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=usage is CertificateType.DIGITAL_SIGNATURE,
                key_agreement=usage is CertificateType.KEY_AGREEMENT,
                key_cert_sign=usage is None,
                crl_sign=usage is None,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(root, hashes.SHA384() if key.key_size > 256 else hashes.SHA256())
    )
    return Certificate.decode(certificate.public_bytes(Encoding.DER))


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _chain(certificates: Iterable[Certificate]) -> bytes:
    return b"".join(each.x509.public_bytes(Encoding.PEM) for each in certificates)
