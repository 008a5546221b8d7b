# SPDX-License-Identifier: Apache-2.0
"""What a security setup does: replace keys, strengthen the policy, keep certificates.

DLMS UA 1000-1 Ed. 12, 4.4.7 (class 64) and DLMS UA 1000-2 Ed. 10, 9.2.5 (keys).  The object itself
decides nothing: `KeyStorePort` and `CertificatePort` do, and a host binds them to where its keys
are (`soft_keys` keeps them in this process).  Both carry out a method as a whole or not at all.

The client's halves are here too: `wrap_keys` for key_transfer, `KeyOffer` for key_agreement.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from openami.cosem.classes.access_control import (
    CertificateInfo,
    CertificateName,
    KeyData,
    KeyId,
    SecuritySetup,
    SecuritySetupV1,
    WrappedKey,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import (
    Agreement,
    AgreementKey,
    Algorithm,
    Parties,
    key_data,
    open_key_data,
)
from openami.dlms.security.certificates import CertificateType
from openami.dlms.security.credentials import Credentials, KeyWrapping
from openami.dlms.security.signing import Signer, VerifyingKey
from openami.dlms.security.suites import SecurityPolicy

A = TypeVar("A")
R = TypeVar("R")


class KeyStorePort(Protocol):
    """Where the keys and the policy of one client are.

    Every method raises `SecurityError` when it refuses, `OSError` when a change cannot be made
    durable, and has changed nothing then; what it has changed is durable when it returns.
    """

    @property
    def policy(self) -> SecurityPolicy:
        """The policy that is active."""

    def activate(self, policy: SecurityPolicy) -> None:
        """Make the policy stronger."""

    def transfer(self, keys: tuple[WrappedKey, ...]) -> None:
        """Replace keys by those that the master key wraps."""

    def agree(self, offers: tuple[KeyData, ...]) -> tuple[KeyData, ...]:
        """Replace keys by those agreed on with the client; return our halves."""


class CertificatePort(Protocol):
    """Where the device's key pairs and certificates are; refuses as `KeyStorePort` does."""

    def listed(self) -> tuple[CertificateInfo, ...]:
        """Return what is held."""

    def generate_key_pair(self, usage: CertificateType) -> None:
        """Make a new key pair; the one in use stays so until the new one is certified."""

    def certificate_request(self, usage: CertificateType) -> bytes:
        """Return a request to certify the new key pair (PKCS #10, DER)."""

    def import_certificate(self, certificate: bytes) -> None:
        """Take a certificate (DER): an authority's, a client's, or one that was requested."""

    def export_certificate(self, name: CertificateName) -> bytes:
        """Return a certificate (DER)."""

    def remove_certificate(self, name: CertificateName) -> None:
        """Forget a certificate."""


def security_setup(setup: SecuritySetup, keys: KeyStorePort) -> SecuritySetup:
    """Bind a security setup of version 0."""
    declared = SecuritySetup
    setup.bind(declared.security_policy, lambda: _policy_of_version_0(keys))
    setup.bind_method(
        declared.security_activate,
        _refusing(lambda policy: keys.activate(SecurityPolicy.from_version_0(policy))),
    )
    setup.bind_method(declared.key_transfer, _refusing(keys.transfer))
    return setup


def security_setup_v1(
    setup: SecuritySetupV1, keys: KeyStorePort, certificates: CertificatePort
) -> SecuritySetupV1:
    """Bind a security setup of version 1."""
    declared = SecuritySetupV1
    setup.bind(declared.security_policy, lambda: int(keys.policy))
    setup.bind(declared.certificates, certificates.listed)
    setup.bind_method(
        declared.security_activate, _refusing(lambda bits: keys.activate(SecurityPolicy(bits)))
    )
    setup.bind_method(declared.key_transfer, _refusing(keys.transfer))
    setup.bind_method(declared.key_agreement, _refusing(keys.agree))
    setup.bind_method(declared.generate_key_pair, _refusing(certificates.generate_key_pair))
    setup.bind_method(
        declared.generate_certificate_request, _refusing(certificates.certificate_request)
    )
    setup.bind_method(declared.import_certificate, _refusing(certificates.import_certificate))
    setup.bind_method(declared.export_certificate, _refusing(certificates.export_certificate))
    setup.bind_method(declared.remove_certificate, _refusing(certificates.remove_certificate))
    return setup


def _policy_of_version_0(keys: KeyStorePort) -> int:
    try:
        return keys.policy.to_version_0()
    except SecurityError:  # a setup of version 1 has made it one that version 0 cannot say
        raise Refused(DataAccessResult.OTHER_REASON) from None


def _refusing(action: Callable[[A], R]) -> Callable[[A], R]:
    """Return `action` with its refusals as the client is to see them: without a reason."""

    def carried_out(argument: A) -> R:
        try:
            return action(argument)
        except SecurityError:
            raise Refused(ActionResult.OTHER_REASON) from None
        except OSError:  # what the host should have made durable it could not
            raise Refused(ActionResult.HARDWARE_FAULT) from None

    return carried_out


def wrap_keys(master_key: KeyWrapping, keys: Mapping[KeyId, bytes]) -> tuple[WrappedKey, ...]:
    """Return the argument of key_transfer that replaces `keys`, in one call."""
    return tuple(WrappedKey(key_id, master_key.wrap(key)) for key_id, key in keys.items())


def algorithm_of(key_id: KeyId, credentials: Credentials) -> Algorithm:
    """Return what an agreed global key is for."""
    return Algorithm.of(credentials.suite, wraps=key_id is KeyId.MASTER_KEY)


@dataclass(frozen=True, slots=True)
class KeyOffer:
    """The client's half of an agreement on one global key, C(2e, 0s).

    Attributes:
        key_id: Which key is to be replaced.
        parties: U is the client, V the server.
    """

    key_id: KeyId
    parties: Parties
    ephemeral: Agreement
    algorithm: Algorithm
    signer: Signer
    verifier: VerifyingKey

    @classmethod
    def of(cls, key_id: KeyId, parties: Parties, credentials: Credentials) -> Self:
        """Draw an ephemeral key for `key_id`.

        Raises:
            SecurityError: Our signing key or the peer's is not known.
        """
        if credentials.signer is None or credentials.peer_signing is None:
            problem = "key agreement needs our signing key and the public one of the peer"
            raise SecurityError(problem, f"key {key_id.name}", "DLMS UA 1000-2 Ed. 10, 9.2.3.4.6")
        ephemeral = AgreementKey.fresh(credentials.suite, credentials.entropy)
        algorithm = algorithm_of(key_id, credentials)
        return cls(
            key_id, parties, ephemeral, algorithm, credentials.signer, credentials.peer_signing
        )

    @property
    def data(self) -> KeyData:
        """What the other end needs."""
        return KeyData(self.key_id, key_data(self.ephemeral, self.signer, self.key_id))

    def key(self, answers: Iterable[KeyData]) -> bytes:
        """Return the agreed key, from what the other end gave.

        Raises:
            SecurityError: Its half is missing, or not signed by it.
        """
        for answer in answers:
            if answer.key_id is self.key_id:
                public = open_key_data(self.verifier, answer.key_data, self.key_id)
                return self.ephemeral.agree(public, self.parties.info(self.algorithm))
        problem = "the other end gives no half of the key"
        raise SecurityError(problem, f"key {self.key_id.name}", "DLMS UA 1000-2 Ed. 10, 9.2.3.4.6")
