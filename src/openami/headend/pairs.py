# SPDX-License-Identifier: Apache-2.0
"""The head-end's key pairs for security suites 1 and 2, and what it believes of meters.

DLMS UA 1000-2 Ed. 10, 9.2.6.  The private keys rest in `keypairs.json`, wrapped as meters' keys
are (docs/keys.md).  A meter's public keys come with its shipment, as certificates of the authority
that TLS trusts; they rest beside its keys, wrapped too, so that nobody who writes the database can
put another in their place.  A certificate in the AARE of an association is believed before them: a
meter that was given a new pair shows it so.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from openami.access.custody import Custody
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import AgreementKey
from openami.dlms.security.certificates import TrustStore
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.signing import SigningKey, VerifyingKey
from openami.dlms.security.suites import SecuritySuite
from openami.headend.config import HeadEndConfig
from openami.runtime.errors import ConfigurationError
from openami.runtime.files import read_json

FORMAT: Final = "openami-keypairs-1"
SIGNING: Final = "signing"
AGREEMENT: Final = "agreement"
REMEDY: Final = "restore it from a backup: the meters believe its certificates"

Believe = Callable[[bytes, Mapping[str, bytes]], dict[str, bytes]]
"""Gives the public keys, wrapped, of the meter with a title, from its certificates (DER)."""


class Wrapping(Protocol):
    """Custody of the head-end's keys: `access.custody`."""

    def wrap(self, key: bytes) -> bytes:
        """Return a key as it may rest in the database."""

    def unwrap(self, wrapped: bytes, name: str = "key") -> bytes:
        """Return the key inside."""


@dataclass(frozen=True, slots=True)
class KeyPairs:
    """The head-end's key pairs, in one suite, and whom it believes.

    Attributes:
        suite: 1 or 2.
        trust: Believes the authority of the AMI.
    """

    suite: SecuritySuite
    trust: TrustStore
    _signer: SigningKey = field(repr=False)
    _agreement: AgreementKey = field(repr=False)

    @classmethod
    def load(cls, path: Path, custody: Wrapping, trust: TrustStore) -> "KeyPairs":
        """Read `keypairs.json`.

        Raises:
            UserError: It is missing, damaged, or wrapped under another key.
        """
        said = read_json(path, REMEDY)
        try:
            if said["format"] != FORMAT:
                raise ConfigurationError(f"{path} has format {said['format']!r}: {REMEDY}")
            suite = SecuritySuite(said["suite"])
            wrapped = {name: bytes.fromhex(said[name]) for name in (SIGNING, AGREEMENT)}
            keys = {name: custody.unwrap(each, f"{name} key") for name, each in wrapped.items()}
            signer = SigningKey.from_octets(suite, keys[SIGNING])
            return cls(suite, trust, signer, AgreementKey.from_octets(suite, keys[AGREEMENT]))
        except (KeyError, TypeError, ValueError, SecurityError) as error:
            raise ConfigurationError(f"{path} holds no key pairs ({error!r}): {REMEDY}") from error

    def credentials(self, suite: SecuritySuite, public: Mapping[str, bytes]) -> Credentials:
        """Return what an association with a meter needs.

        Args:
            suite: The meter's.
            public: Its public keys by name, x || y.

        Raises:
            SecurityError: Our pairs are of another suite.
        """
        if suite is not self.suite:
            problem = f"our key pairs are of suite {self.suite:d}, and the meter is of {suite:d}"
            raise SecurityError(problem, "keypairs.json", "docs/keys.md")
        return Credentials(
            suite=suite,
            entropy=os.urandom,
            signer=self._signer,
            agreement=self._agreement,
            peer_signing=VerifyingKey.from_octets(suite, public[SIGNING]),
            peer_agreement=public[AGREEMENT],
            trust=self.trust,
        )


def trust_of(config: HeadEndConfig) -> TrustStore:
    """Return who believes the authority of the AMI.

    Raises:
        ConfigurationError: Its certificate cannot be read.
    """
    path = config.identity.ca
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be used ({error}): {REMEDY}") from error
    return TrustStore(
        [each.public_bytes(Encoding.DER) for each in found], lambda: datetime.now(UTC)
    )


def key_pairs(config: HeadEndConfig, custody: Wrapping) -> KeyPairs | None:
    """Return the head-end's key pairs; None where it has none, as for meters of suite 0."""
    if config.pairs is None:
        return None
    return KeyPairs.load(config.pairs, custody, trust_of(config))


def believing(config: HeadEndConfig) -> Believe:
    """Return who judges the certificates of a shipment; opens what that needs when it is asked."""
    held: list[tuple[TrustStore, Custody]] = []

    def believe(title: bytes, certificates: Mapping[str, bytes]) -> dict[str, bytes]:
        if not held:
            held.append((trust_of(config), Custody.open(config.keystore)))
        trust, custody = held[0]
        signing = trust.verifying_key(certificates[SIGNING], title).octets
        agreement = trust.agreement_key(certificates[AGREEMENT], title)
        return {SIGNING: custody.wrap(signing), AGREEMENT: custody.wrap(agreement)}

    return believe
