# SPDX-License-Identifier: Apache-2.0
"""Where the keys of a meter are: a port, and keys in the meter's own process and `keys.json`.

The full meter has them in its secure world (`device.secure.ciphering`); the meters of a fleet, and
those that are run from source, have them here.  `keys.json` follows when a manager replaces them:
what is written is durable before the new keys are used: a meter that is cut off in between has the
former keys or the new ones, never a mixture (docs/keys.md).
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from hmac import compare_digest
from pathlib import Path
from types import MappingProxyType
from typing import Final, Protocol

from openami.cosem.device import Ciphering, Protector
from openami.cosem.serving.broadcasts import GroupKeyStore
from openami.cosem.serving.security_setup import CertificatePort, KeyStorePort
from openami.cosem.serving.soft_keys import SoftCertificates, SoftKeyStore
from openami.device.secure.ciphering import (
    WalledCertificates,
    WalledCiphering,
    WalledGroup,
    WalledKeys,
    no_entropy,
)
from openami.device.secure.client import SecureClient
from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import Parties
from openami.dlms.security.broadcast import GroupKeys
from openami.dlms.security.certificates import Certificate, CertificateType
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.credentials import Credentials, MasterKey
from openami.dlms.security.curves import private_key
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.notification import seal_notification
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecurityPolicy
from openami.meter.config import MeterConfig, MeterKeys
from openami.runtime.errors import ConfigurationError, UserError
from openami.runtime.files import PRIVATE, read_json, write_json

GROUP_FILE: Final = "group.json"
"""Keys of the group to which broadcasts go."""


class KeysFile:
    """Writes a meter's keys down."""

    def __init__(self, path: Path, title: bytes, keys: MeterKeys) -> None:
        self._path = path
        self._title = title
        self._keys = keys

    @property
    def keys(self) -> MeterKeys:
        """As they are written."""
        return self._keys

    def record(self, found: KeySet, master_key: bytes, _policy: SecurityPolicy) -> None:
        """Make keys durable; raises `OSError` if they cannot be."""
        held = self._keys
        new = replace(held, guek=found.encryption_key, gak=found.authentication_key, kek=master_key)
        if new == held:
            return
        self._write(replace(new, epoch=held.epoch + 1))

    def record_certificates(self, held: SoftCertificates) -> None:
        """Make certificates and the pairs in use durable; raises `OSError` if they cannot be."""
        pairs = {
            PAIRS[usage]: key.private_numbers().private_value.to_bytes(key.key_size // 8)
            for usage, key in held.in_use.items()
        }
        certificates = tuple(each.encode() for each in held.held)
        self._write(replace(self._keys, pairs=pairs, certificates=certificates))

    def _write(self, new: MeterKeys) -> None:
        try:
            write_json(self._path, new.to_json(self._title), mode=PRIVATE)
        except UserError as error:  # the client is told of a hardware fault
            raise OSError(str(error)) from error
        self._keys = new


PAIRS: Final[Mapping[CertificateType, str]] = MappingProxyType(
    {CertificateType.DIGITAL_SIGNATURE: "signing", CertificateType.KEY_AGREEMENT: "agreement"}
)
"""What `keys.json` calls the pairs of suites 1 and 2."""


class Security(Protocol):
    """Keys of one meter, wherever they are.

    Attributes:
        ciphering: What its manager shares with it.
        keys: Carries out key_transfer and key_agreement.
        certificates: Key pairs and whom the meter believes; None in suite 0.
    """

    @property
    def ciphering(self) -> Protector:
        """What its manager shares with it."""

    @property
    def keys(self) -> KeyStorePort:
        """Carries out key_transfer and key_agreement."""

    @property
    def certificates(self) -> CertificatePort | None:
        """Key pairs and whom the meter believes; None in suite 0."""

    def credentials(self) -> Credentials | None:
        """Return what the association of the manager has beside the keys; None in suite 0."""

    def when_certified(self, told: Callable[[], None]) -> None:
        """Have somebody told when certificates have changed."""

    @property
    def expected(self) -> int | None:
        """The lowest counter that is accepted; None while nobody asked where the keys are."""

    @property
    def group(self) -> "Group":
        """Keys of the group to which broadcasts go."""

    def is_password(self, password: bytes) -> bool:
        """Tell whether this is the reader's secret."""

    def notify(self, recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        """Return a DataNotification as it travels, and the long-invoke-id that it got."""


class Group(KeyStorePort, Protocol):
    """Keys of a group, wherever they are."""

    def take(self, originator: bytes, octets: bytes) -> tuple[bytes, Protection]:
        """Open a broadcast, and accept its counter."""


class GroupFile:
    """Keeps the keys of a group, and what was accepted under them, beside `keys.json`."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> tuple[GroupKeys | None, int]:
        """Return keys and lowest counter accepted; no keys before any were transferred.

        Raises:
            ConfigurationError: The file is damaged.
        """
        if not self._path.exists():
            return None, 0
        remedy = "remove it: the head-end transfers the keys again"
        said = read_json(self._path, remedy)
        try:
            keys = GroupKeys(
                encryption=bytes.fromhex(said["gbek"]), authentication=bytes.fromhex(said["gak"])
            )
            return keys, int(said["expected"])
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigurationError(f"{self._path} holds no keys of a group: {remedy}") from error

    def record(self, keys: GroupKeys, expected: int) -> None:
        """Make them durable; raises `OSError` if they cannot be."""
        told = {
            "gbek": keys.encryption.hex(),
            "gak": keys.authentication.hex(),
            "expected": expected,
        }
        try:
            write_json(self._path, told, mode=PRIVATE)
        except UserError as error:  # the client is told of a hardware fault
            raise OSError(str(error)) from error


class OwnSecurity:
    """Keys in this process."""

    def __init__(
        self,
        config: MeterConfig,
        keys: MeterKeys,
        counters: CounterBlock,
        window_expected: int,
        entropy: Callable[[int], bytes],
    ) -> None:
        """Bind keys.

        Args:
            config: The meter's.
            keys: As its `keys.json` has them.
            counters: Of these keys.
            window_expected: The lowest counter that is accepted.
            entropy: For key pairs.

        Raises:
            SecurityError: A certificate or a private key in it is none.
        """
        cipher = Cipher(
            KeySet(suite=keys.suite, encryption_key=keys.guek, authentication_key=keys.gak)
        )
        self.ciphering = Ciphering(cipher=cipher, counters=counters)
        self.ciphering.window.expected = window_expected
        self._file = file = KeysFile(config.keys_file, config.title, keys)
        master_key = MasterKey(keys.kek)
        group = GroupFile(config.home / GROUP_FILE)
        held, expected = group.read()
        self.group = GroupKeyStore(master_key, record=group.record, keys=held, expected=expected)
        self._title, self._password = config.title, keys.lls
        self._manager, self._entropy = config.head_end_title, entropy
        self._told: Callable[[], None] = lambda: None
        self.certificates = self._certificates(keys) if keys.suite else None
        self.keys = SoftKeyStore(
            self.ciphering,
            master_key,
            record=file.record,
            parties=Parties(u=config.head_end_title, v=config.title),
            credentials=self.credentials,
        )

    def credentials(self) -> Credentials | None:
        """Return what signs and verifies.

        Keys that travel with an APDU are not taken: the window that would hold their replays is
        kept in a secure world alone.
        """
        held = self.certificates
        if held is None:
            return None
        peer_signing = None
        own = b""
        for each in held.held:
            if each.type is not CertificateType.DIGITAL_SIGNATURE:
                continue
            if each.system_title == self._title:
                own = each.encode()
            with suppress(SecurityError):  # another's, or not valid now
                peer_signing = held.trust.verifying_key(each.encode(), self._manager)
        signing = held.in_use.get(CertificateType.DIGITAL_SIGNATURE)
        return Credentials(
            suite=self.ciphering.cipher.keys.suite,
            entropy=self._entropy,
            signer=None if signing is None else SigningKey(signing),
            peer_signing=peer_signing,
            certificate=own,
        )

    def when_certified(self, told: Callable[[], None]) -> None:
        self._told = told

    def _certificates(self, keys: MeterKeys) -> SoftCertificates:
        def changed() -> None:
            self._file.record_certificates(found)
            self._told()

        found = SoftCertificates(
            self._title,
            keys.suite,
            entropy=self._entropy,
            now=lambda: datetime.now(UTC),
            changed=changed,
        )
        found.held = [Certificate.decode(each) for each in keys.certificates]
        for usage, name in PAIRS.items():
            if name in keys.pairs:
                found.in_use[usage] = private_key(keys.suite, keys.pairs[name])
        return found

    @property
    def expected(self) -> int:
        return self.ciphering.window.expected

    def is_password(self, password: bytes) -> bool:
        return compare_digest(password, self._password)

    def notify(self, recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        held, parties = self.ciphering, Parties(u=self._title, v=recipient)
        return seal_notification(held.cipher, held.counters, parties, apdu)


class WalledSecurity:
    """Keys in the meter's secure world."""

    def __init__(self, client: SecureClient, config: MeterConfig) -> None:
        """Bind a connection to it.

        Raises:
            SecurityError: It has no keys.
        """
        self.ciphering = WalledCiphering(client)
        self.keys = WalledKeys(self.ciphering, config.head_end_title)
        self.group = WalledGroup(client)
        suite = self.ciphering.cipher.keys.suite
        self.certificates = WalledCertificates(self.ciphering, config.title) if suite else None
        self.is_password = self.ciphering.is_password
        self.notify = self.ciphering.notify

    def credentials(self) -> Credentials | None:
        """Return the certificate that travels; keys are behind the wall."""
        if self.certificates is None:
            return None
        return Credentials(
            suite=self.ciphering.cipher.keys.suite,
            entropy=no_entropy,
            certificate=self.certificates.own(CertificateType.DIGITAL_SIGNATURE),
        )

    def when_certified(self, told: Callable[[], None]) -> None:
        if self.certificates is not None:
            self.certificates.changed = told

    @property
    def expected(self) -> int:
        return self.ciphering.window.expected
