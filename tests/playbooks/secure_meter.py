# SPDX-License-Identifier: Apache-2.0
"""The demo meter with public keys, a master key and a security setup, for suites 0 to 2."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from dlmskeys import SUITE_0, credentials, keys, master_key, seeded
from openami.cosem.classes.access_control import SecuritySetup, SecuritySetupV1
from openami.cosem.device import SECURITY_SETUP, AssociationPolicy, Ciphering
from openami.cosem.rights import FULL_ACCESS, Grant
from openami.cosem.serving.security_setup import security_setup, security_setup_v1
from openami.cosem.serving.soft_keys import SoftCertificates, SoftKeyStore
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.security.agreement import Parties
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import AUTHENTICATED_AND_ENCRYPTED, SecurityPolicy, SecuritySuite
from playbooks.demo_meter import CLIENT_TITLE, MANAGER, METER_TITLE, DemoMeter, Link

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SETUP_V1 = Obis.parse("0.0.43.0.1.255")
CLIENT, METER = 1, 2  # seeds of the two ends' key pairs


@dataclass
class Recorder:
    """What a store was told to make durable."""

    rows: list[tuple[KeySet, bytes, SecurityPolicy]] = field(default_factory=list)
    failing: bool = False

    def __call__(self, keys: KeySet, master_key: bytes, policy: SecurityPolicy) -> None:
        if self.failing:
            raise OSError("the disk is full")
        self.rows.append((keys, master_key, policy))


class SecureMeter(DemoMeter):
    """The demo meter; its manager client has the keys of `suite`."""

    def __init__(
        self,
        suite: SecuritySuite,
        *,
        mechanism: Mechanism = Mechanism.HLS_GMAC,
        policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED,
        grants: tuple[Grant, ...] = FULL_ACCESS,
        **changes: Any,
    ) -> None:
        super().__init__()
        self.ciphering = Ciphering(
            cipher=Cipher(keys(suite)), counters=CounterBlock(100, 2**32 - 1), policy=policy
        )
        self.master_key: MasterKey = master_key(suite)
        changes = {"master_key": self.master_key} | changes
        self.credentials = _credentials(suite, METER, CLIENT, **changes)
        self.associations[MANAGER] = AssociationPolicy(
            client_sap=MANAGER,
            mechanism=mechanism,
            ciphering=self.ciphering,
            credentials=self.credentials,
            grants=grants,
        )
        self.recorded = Recorder()
        self.store = SoftKeyStore(
            self.ciphering,
            self.master_key,
            record=self.recorded,
            parties=Parties(u=CLIENT_TITLE, v=METER_TITLE),
            credentials=lambda: self.credentials,
        )
        self.changes = 0
        self.certificates = SoftCertificates(
            METER_TITLE, suite, entropy=seeded(77), now=lambda: NOW, changed=self._changed
        )
        told: dict[str, Any] = {
            "security_suite": suite,
            "client_system_title": CLIENT_TITLE,
            "server_system_title": METER_TITLE,
        }
        self.add(security_setup(SecuritySetup(SECURITY_SETUP, **told), self.store))
        self.add(
            security_setup_v1(SecuritySetupV1(SETUP_V1, **told), self.store, self.certificates)
        )

    def _changed(self) -> None:
        self.changes += 1


def _credentials(suite: SecuritySuite, own: int, peer: int, **changes: Any) -> Credentials:
    if suite is SUITE_0:  # the suite has no public keys, but a master key
        return Credentials(suite=suite, entropy=seeded(own), master_key=master_key(suite))
    return credentials(suite, own, peer, **changes)


def secure_link(
    suite: SecuritySuite,
    *,
    meter: SecureMeter | None = None,
    mechanism: Mechanism = Mechanism.HLS_GMAC,
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED,
    grants: tuple[Grant, ...] = FULL_ACCESS,
    **client: Any,
) -> Link:
    """A client and a meter of one suite; `client` changes what the client does."""
    meter = meter or SecureMeter(suite, mechanism=mechanism, policy=policy, grants=grants)
    told: dict[str, Any] = {
        "cipher": Cipher(keys(suite)),
        "mechanism": mechanism,
        "policy": policy,
        "credentials": _credentials(suite, CLIENT, METER),
    }
    return Link(meter, MANAGER, **(told | client))


def associated(suite: SecuritySuite, **terms: Any) -> Link:
    """The same, with its association open."""
    link = secure_link(suite, **terms)
    link.run(link.client.associate())
    return link


class Authority:
    """A certification authority for tests."""

    def __init__(self, name: str = "test root", curve: ec.EllipticCurve | None = None) -> None:
        self.key = ec.derive_private_key(sum(name.encode()) + 1, curve or ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.serial = 0
        self.certificate = self.issue(self.key.public_key(), name, authority=True)

    def issue(
        self,
        key: ec.EllipticCurvePublicKey,
        subject: str,
        *,
        signs: bool = True,
        agrees: bool = False,
        authority: bool = False,
        start: datetime = NOW - timedelta(days=1),
        issuer: "Authority | None" = None,
    ) -> bytes:
        """Return a certificate in DER."""
        self.serial += 0x80
        by = issuer or self
        curve_384 = by.key.curve.name == "secp384r1"
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(by.name)
            .public_key(key)
            .serial_number(self.serial)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=365))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(
                    digital_signature=signs and not authority,
                    key_agreement=agrees,
                    key_cert_sign=authority,
                    crl_sign=authority,
                    content_commitment=False,
                    key_encipherment=False,
                    data_encipherment=False,
                    encipher_only=False,
                    decipher_only=False,
                ),
                critical=True,
            )
            .sign(by.key, hashes.SHA384() if curve_384 else hashes.SHA256())
            .public_bytes(Encoding.DER)
        )

    def answer(self, request: bytes, *, signs: bool = True, agrees: bool = False) -> bytes:
        """Certify what a request asks for."""
        asked = x509.load_der_x509_csr(request)
        assert asked.is_signature_valid
        (name,) = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        key = asked.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        assert isinstance(name.value, str)
        return self.issue(key, name.value, signs=signs, agrees=agrees)


def changed(meter: SecureMeter, **fields: Any) -> None:
    """Change the manager's association policy."""
    meter.associations[MANAGER] = replace(meter.associations[MANAGER], **fields)
