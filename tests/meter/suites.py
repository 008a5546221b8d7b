# SPDX-License-Identifier: Apache-2.0
"""Meters of security suites 1 and 2 for tests: an authority, a head-end, and what both hold."""

import os
import tempfile
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from meter.house import HEAD_END, config_in
from openami.device.secure.keyring import Secrets
from openami.device.secure.personal import Personality
from openami.device.secure.world import real_now
from openami.dlms.hls import Mechanism
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.certificates import CertificateType, TrustStore
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecuritySuite
from openami.lifecycle.authority import Authority
from openami.lifecycle.certifying import certified, certifies
from openami.transport.tls import Role

METER = config_in(Path()).title
SIGNATURE, AGREEMENT = CertificateType.DIGITAL_SIGNATURE, CertificateType.KEY_AGREEMENT


@cache
def authority(number: int = 1) -> Authority:
    """Return an authority; another number is another one."""
    assert number
    with tempfile.TemporaryDirectory() as folder:
        return Authority.create(Path(folder))


@dataclass
class Suite:
    """One meter and its head-end in a suite."""

    suite: SecuritySuite
    secrets: Secrets = field(init=False)
    certificates: dict[CertificateType, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        size = self.suite.key_octets
        keys = [bytes(range(at, at + size)) for at in (0, 40, 80)]
        self.secrets = Secrets(
            title=METER,
            epoch=1,
            suite=self.suite,
            encryption=keys[0],
            authentication=keys[1],
            master=keys[2],
            password=b"reader's secret!",
        )
        self.signing = SigningKey.fresh(self.suite, os.urandom)
        self.agreement = AgreementKey.fresh(self.suite, os.urandom)
        self.issuer = authority()
        self.clients = tuple(
            certified(self.issuer, key.key.public_key(), HEAD_END, Role.HEAD_END, usage)
            for key, usage in ((self.signing, SIGNATURE), (self.agreement, AGREEMENT))
        )

    @property
    def root(self) -> bytes:
        return self.issuer.certificate.public_bytes(Encoding.DER)

    @property
    def cipher(self) -> Cipher:
        return Cipher(self.keys)

    @property
    def keys(self) -> KeySet:
        return KeySet(
            suite=self.suite,
            encryption_key=self.secrets.encryption,
            authentication_key=self.secrets.authentication,
        )

    def certify(self, usage: int, request: bytes) -> bytes:
        """Answer the meter's requests, and remember the certificates."""
        found = certifies(self.issuer, METER, Role.METER)(usage, request)
        self.certificates[CertificateType(usage)] = found
        return found

    def personality(self, **changes: Any) -> Personality:
        """Return what the factory gives to the meter."""
        fields: dict[str, Any] = {
            "secrets": self.secrets,
            "first_counter": 1000,
            "certificates": (self.root, *self.clients),
            "certify": self.certify,
        }
        return Personality(**(fields | changes))

    def credentials(self, **changes: Any) -> Credentials:
        """Return what the head-end has."""
        trust = TrustStore([self.root], real_now)
        fields: dict[str, Any] = {
            "suite": self.suite,
            "entropy": os.urandom,
            "signer": self.signing,
            "agreement": self.agreement,
            "master_key": MasterKey(self.secrets.master),
            "peer_signing": trust.verifying_key(self.certificates[SIGNATURE], METER),
            "peer_agreement": trust.agreement_key(self.certificates[AGREEMENT], METER),
            "trust": trust,
        }
        return Credentials(**(fields | changes))

    def manager(self, **changes: Any) -> dict[str, Any]:
        """Return how the head-end associates."""
        fields: dict[str, Any] = {
            "mechanism": Mechanism.HLS_ECDSA,
            "cipher": self.cipher,
            "credentials": self.credentials(),
        }
        return fields | changes
