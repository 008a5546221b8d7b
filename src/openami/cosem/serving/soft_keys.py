# SPDX-License-Identifier: Apache-2.0
"""Keys and certificates of a device, kept in this process: the ports of `security_setup`.

DLMS UA 1000-2 Ed. 10, 9.2.5 and 9.2.6.  The host hands in what makes changes durable; it is asked
before anything changes here.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Final

from openami.cosem.classes.access_control import (
    CertificateByEntity,
    CertificateInfo,
    CertificateName,
    KeyData,
    KeyId,
    WrappedKey,
)
from openami.cosem.device import Ciphering
from openami.cosem.serving.security_setup import KeyOffer
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import Parties
from openami.dlms.security.certificates import (
    Certificate,
    CertificateEntity,
    CertificateType,
    TrustStore,
    certificate_request,
)
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.curves import (
    Entropy,
    PrivateKey,
    fresh_private_key,
    public_octets,
)
from openami.dlms.security.keyset import KeySet, check_key_size
from openami.dlms.security.suites import SIGNED, SecurityPolicy, SecuritySuite

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"

Record = Callable[[KeySet, bytes, SecurityPolicy], None]
"""Makes keys, master key and policy durable; raises if it cannot, and then nothing changes."""


class SoftKeyStore:
    """Keys and policy of one client."""

    def __init__(
        self,
        ciphering: Ciphering,
        master_key: MasterKey,
        *,
        record: Record,
        parties: Parties | None = None,
        credentials: Callable[[], Credentials | None] = lambda: None,
    ) -> None:
        """Replace the keys in `ciphering` and `master_key` when the client asks for it.

        Args:
            ciphering: Shared with the client's association policy.
            master_key: Shared with its credentials, if they wrap keys.
            record: Makes a change durable.
            parties: U is the client, V the device; for key agreement.
            credentials: The device's, as they are now; for key agreement and signed policies.
        """
        self._ciphering = ciphering
        self._master_key = master_key
        self._record = record
        self._parties = parties
        self._credentials = credentials

    @property
    def policy(self) -> SecurityPolicy:
        return self._ciphering.policy

    def activate(self, policy: SecurityPolicy) -> None:
        """Add to what the policy asks; nothing that it asks already can be left out."""
        held = self._ciphering.policy
        if held & ~policy or policy & 0x03:
            problem = f"policy {policy:02X} leaves out what policy {held:02X} asks for"
            raise SecurityError(problem, "security_activate", CLAUSE)
        credentials = self._credentials()
        signs = (policy.request_bits | policy.response_bits) & SIGNED
        if signs and (credentials is None or credentials.signer is None):
            problem = f"policy {policy:02X} asks for signatures, and no signing key is here"
            raise SecurityError(problem, "security_activate", CLAUSE)
        self._record(self._ciphering.cipher.keys, self._master_key.octets, policy)
        self._ciphering.policy = policy

    def transfer(self, keys: tuple[WrappedKey, ...]) -> None:
        self._replace([(row.key_id, self._master_key.unwrap(row.key_wrapped)) for row in keys])

    def agree(self, offers: tuple[KeyData, ...]) -> tuple[KeyData, ...]:
        credentials = self._credentials()
        if credentials is None or self._parties is None:
            problem = "there are no credentials to agree on a key with"
            raise SecurityError(problem, "key_agreement", CLAUSE)
        halves = [KeyOffer.of(offer.key_id, self._parties, credentials) for offer in offers]
        self._replace(
            [(half.key_id, half.key((offer,))) for half, offer in zip(halves, offers, strict=True)]
        )
        return tuple(half.data for half in halves)

    def _replace(self, rows: Sequence[tuple[KeyId, bytes]]) -> None:
        found = dict(rows)
        if not rows or len(found) != len(rows):
            problem = "each key is given once, and at least one key"
            raise SecurityError(problem, f"{len(rows)} keys", CLAUSE)
        held = self._ciphering.cipher.keys
        master_key = found.pop(KeyId.MASTER_KEY, self._master_key.octets)
        check_key_size("master key", master_key, held.suite.key_octets)
        keys = KeySet(
            suite=held.suite,
            encryption_key=found.get(KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY, held.encryption_key),
            authentication_key=found.get(KeyId.AUTHENTICATION_KEY, held.authentication_key),
            broadcast_key=found.get(KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY, held.broadcast_key),
        )
        self._record(keys, master_key, self._ciphering.policy)
        self._master_key.octets = master_key
        if keys != held:
            self._ciphering.replace_keys(keys)


class SoftCertificates:
    """Key pairs and certificates of one device.

    Attributes:
        held: The certificates, in the order they came.
        in_use: The private keys that are certified, by what they are for.
    """

    def __init__(
        self,
        system_title: bytes,
        suite: SecuritySuite,
        *,
        entropy: Entropy,
        now: Callable[[], datetime],
        changed: Callable[[], None],
    ) -> None:
        """Hold nothing yet; `changed` is told after each change and makes it durable."""
        self.held: list[Certificate] = []
        self.in_use: dict[CertificateType, PrivateKey] = {}
        self._title = system_title
        self._suite = suite
        self._entropy = entropy
        self._now = now
        self._changed = changed
        self._requested: dict[CertificateType, PrivateKey] = {}

    @property
    def trust(self) -> TrustStore:
        """Trusts the authorities that are held."""
        authorities = [each.encode() for each in self.held if each.is_authority]
        return TrustStore(authorities, self._now)

    def listed(self) -> tuple[CertificateInfo, ...]:
        return tuple(info(each, self._title) for each in self.held)

    def generate_key_pair(self, usage: CertificateType) -> None:
        if usage is CertificateType.OTHER:
            raise _refused("key pairs are for signature, key agreement or TLS", usage.name)
        self._requested[usage] = fresh_private_key(self._suite, self._entropy)

    def certificate_request(self, usage: CertificateType) -> bytes:
        key = self._requested.get(usage)
        if key is None:
            raise _refused("no key pair was generated for it: call generate_key_pair", usage.name)
        return certificate_request(key, self._title)

    def import_certificate(self, certificate: bytes) -> None:
        """Take a certificate that an authority held here issued; the first authority is the root.

        One for the device itself must certify a key pair that was generated here, and puts it into
        use.  A certificate for the same use of the same system replaces the one before.
        """
        found = Certificate.decode(certificate)
        trusted = any(each.is_authority for each in self.held)
        if trusted:
            self.trust.verify(found)
        else:
            self._take_root(found)
        usage = found.type
        if found.system_title == self._title and not found.is_authority:
            key = self._requested.get(usage)
            if key is None or public_octets(key.public_key()) != public_octets(found.key):
                raise _refused("it certifies no key pair that was generated here", found.place)
            self.in_use[usage] = self._requested.pop(usage)
        name = self._name(found)
        self.held = [*(each for each in self.held if self._name(each) != name), found]
        self._changed()

    def export_certificate(self, name: CertificateName) -> bytes:
        return self._find(name).encode()

    def remove_certificate(self, name: CertificateName) -> None:
        found = self._find(name)
        self.held = [each for each in self.held if each is not found]
        if found.system_title == self._title and not found.is_authority:
            self.in_use.pop(found.type, None)
        self._changed()

    def _take_root(self, found: Certificate) -> None:
        if not found.is_authority:
            raise _refused("no authority is trusted yet: import the root first", found.place)
        TrustStore([found.encode()], self._now).verify(found)

    def _name(self, certificate: Certificate) -> tuple[object, ...]:
        """Return what only one certificate may be."""
        if certificate.is_authority:
            return (certificate.x509.issuer, certificate.x509.serial_number)
        return (certificate.type, certificate.system_title)

    def _find(self, name: CertificateName) -> Certificate:
        return find(self.held, name, self._title)


def info(certificate: Certificate, system_title: bytes) -> CertificateInfo:
    """Return what a device with this title tells of a certificate that it holds."""
    found = certificate.x509
    number = found.serial_number
    return CertificateInfo(
        _entity(certificate, system_title),
        certificate.type,
        number.to_bytes(number.bit_length() // 8 + 1),
        found.issuer.public_bytes(),
        found.subject.public_bytes(),
        b"",
    )


def find(held: Iterable[Certificate], name: CertificateName, system_title: bytes) -> Certificate:
    """Return the certificate that a client means.

    Raises:
        SecurityError: A device with this title holds none such.
    """
    for certificate in held:
        told = info(certificate, system_title)
        if isinstance(name, CertificateByEntity):
            matches = name == (told[0], told[1], certificate.system_title)
        else:
            matches = name == (told.serial_number, told.issuer)
        if matches:
            return certificate
    raise _refused("no such certificate is held", repr(name))


def _entity(certificate: Certificate, system_title: bytes) -> CertificateEntity:
    if certificate.is_authority:
        return CertificateEntity.CERTIFICATION_AUTHORITY
    own = certificate.system_title == system_title
    return CertificateEntity.SERVER if own else CertificateEntity.CLIENT


def _refused(problem: str, place: str) -> SecurityError:
    return SecurityError(problem, place, "DLMS UA 1000-2 Ed. 10, 9.2.6")
