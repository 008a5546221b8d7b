# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  what the ports ask for is not all needed here
"""What the COSEM server holds in place of keys: each APDU crosses the wall once a direction.

Ports of `cosem` are bound here to a secure world: the protection of associations, the reader's
password, notifications, keys that are transferred or agreed on, key pairs and certificates.
"""

from typing import TYPE_CHECKING, Final

from openami.cosem.classes.access_control import (
    CertificateInfo,
    CertificateName,
    KeyData,
    KeyId,
    WrappedKey,
)
from openami.cosem.serving.broadcasts import group_of
from openami.cosem.serving.soft_keys import find, info
from openami.device.secure.client import SecureClient
from openami.device.secure.crossing import UNASKED, heard, parted, refused, told
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Handshake
from openami.dlms.security.certificates import Certificate, CertificateType
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import ReceiveWindow
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeyService, KeySet
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SIGNED,
    SecurityControl,
    SecurityPolicy,
    SecuritySuite,
)
from openami.psa.status import PsaError

if TYPE_CHECKING:
    from collections.abc import Callable

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.5"


class Elsewhere:
    """A key service without keys: whoever asks it goes around the wall."""

    def seal(self, control: SecurityControl, nonce: bytes, apdu: bytes, header: bytes) -> bytes:
        raise _elsewhere()

    def open(
        self, control: SecurityControl, nonce: bytes, body: bytes, header: bytes
    ) -> bytes | None:
        raise _elsewhere()

    def with_encryption_key(self, dedicated_key: bytes) -> KeyService:
        raise _elsewhere()


class WalledChannel:
    """Protection of one association, whose keys are behind the wall."""

    def __init__(self, held: "WalledCiphering", handle: int) -> None:
        self.cipher, self.policy = held.cipher, held.policy
        self._held, self._handle = held, handle

    def __del__(self) -> None:
        self._held.left.append(self._handle)

    @property
    def signs(self) -> bool:
        """Whether what we send is signed."""
        return bool(self.policy.response_bits & SIGNED)

    def unprotect(self, octets: bytes) -> tuple[bytes, Protection]:
        with refused(octets):
            apdu, expected, *arrived = self._held.client.call(
                "dlms_unprotect", self._handle, octets
            )
        self._held.window.expected = expected  # type: ignore[assignment]  # the table's U64
        return apdu, heard(tuple(arrived))  # type: ignore[return-value]

    def protect(self, apdu: bytes, *, like: Protection | None = None, owed: int = 0) -> bytes:
        arrived = told(like or UNASKED)
        with refused():
            return self._held.client.octets("dlms_protect", self._handle, apdu, owed, *arrived)

    def use_dedicated_key(self, dedicated_key: bytes, received: Protection | None = None) -> None:
        """Use the key that stayed behind the wall; zeros stand for it here."""
        with refused():
            self._held.client.call(
                "dlms_use_dedicated_key", self._handle, *told(received or UNASKED)
            )

    def replace(self, cipher: Cipher, window: ReceiveWindow, policy: SecurityPolicy) -> None:
        """Go on with the keys that are in force behind the wall."""
        with refused():
            self._held.client.call("dlms_follow", self._handle)
        self.cipher, self.policy = cipher, policy


class WalledCiphering:
    """What a client and the device share, as the server sees it: no key, no counter.

    Attributes:
        cipher: Names of keys.
        window: Says which counter is expected; decides nothing.
        policy: In force.
        left: Channels that nobody uses any more.
    """

    def __init__(self, client: SecureClient) -> None:
        """Bind a secure world.

        Raises:
            SecurityError: It has no keys.
        """
        self.client = client
        self.window = ReceiveWindow()
        self.left: list[int] = []
        self.refresh()

    def refresh(self) -> None:
        """Take over what keys are in force."""
        with refused():
            encryption, authentication, expected, suite, policy = self.client.call("dlms_state")
        self.window.expected = expected  # type: ignore[assignment]
        self.policy = SecurityPolicy(policy)  # type: ignore[arg-type]
        names = KeySet(
            suite=SecuritySuite(suite),  # type: ignore[arg-type]
            encryption_key=encryption,  # type: ignore[arg-type]
            authentication_key=authentication,  # type: ignore[arg-type]
        )
        self.cipher = Cipher(names, Elsewhere())

    def channel(
        self, own_title: bytes, peer_title: bytes, credentials: Credentials | None = None
    ) -> WalledChannel:
        """Return the protection of an association; the device's title is known there."""
        with refused():
            while self.left:
                self.client.call("dlms_close", self.left.pop())
            return WalledChannel(self, self.client.whole("dlms_open", peer_title))

    def prove(self, handshake: Handshake) -> bytes:
        with refused():
            return self.client.octets("dlms_prove", *_spoken(handshake))

    def check(self, handshake: Handshake, reply: bytes) -> None:
        with refused():
            self.client.call("dlms_check", *_spoken(handshake), reply)

    def is_password(self, password: bytes) -> bool:
        """Tell whether this is the reader's secret."""
        try:
            self.client.call("dlms_check_password", password)
        except PsaError:
            return False
        return True

    def notify(self, recipient: bytes, apdu: bytes) -> tuple[bytes, int]:
        """Return a DataNotification as it travels, and the long-invoke-id that it got."""
        with refused():
            octets, invoke_id = self.client.call("dlms_notify", recipient, apdu)
        return octets, invoke_id  # type: ignore[return-value]


class WalledKeys:
    """The port `KeyStorePort`: keys are unwrapped and agreed on behind the wall."""

    _ORDER: Final = (
        KeyId.GLOBAL_UNICAST_ENCRYPTION_KEY,
        KeyId.AUTHENTICATION_KEY,
        KeyId.MASTER_KEY,
    )

    def __init__(self, ciphering: WalledCiphering, client_title: bytes = b"") -> None:
        """Bind what is behind the wall; the client with that title agrees on keys."""
        self._ciphering, self._client_title = ciphering, client_title

    @property
    def policy(self) -> SecurityPolicy:
        return self._ciphering.policy

    def activate(self, policy: SecurityPolicy) -> None:
        """Make the policy stronger; in suite 0 accept what is in force and nothing else."""
        with refused():
            self._ciphering.client.call("dlms_activate", int(policy))
        self._ciphering.refresh()

    def transfer(self, keys: tuple[WrappedKey, ...]) -> None:
        found = {row.key_id: row.key_wrapped for row in keys}
        if not keys or len(found) != len(keys) or not found.keys() <= set(self._ORDER):
            problem = "each key is given once, at least one, and no broadcast key"
            raise SecurityError(problem, f"{len(keys)} keys", CLAUSE)
        wrapped = [found.get(key_id, b"") for key_id in self._ORDER]
        with refused():
            self._ciphering.client.call("dlms_transfer", *wrapped)
        self._ciphering.refresh()

    def agree(self, offers: tuple[KeyData, ...]) -> tuple[KeyData, ...]:
        if not offers or len({len(offer.key_data) for offer in offers}) != 1:
            problem = "there is at least one half of a key, and all have one size"
            raise SecurityError(problem, f"{len(offers)} halves", CLAUSE)
        said = b"".join(bytes((offer.key_id,)) + offer.key_data for offer in offers)
        with refused():
            halves = self._ciphering.client.octets("dlms_agree", self._client_title, said)
        self._ciphering.refresh()
        size = len(halves) // len(offers)
        cut = [halves[at : at + size] for at in range(0, len(halves), size)]
        return tuple(KeyData(KeyId(each[0]), each[1:]) for each in cut)


class WalledGroup:
    """Keys of the group to which broadcasts go: the port `KeyStorePort`, and what opens them."""

    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED

    def __init__(self, client: SecureClient) -> None:
        """Bind a connection to the secure world."""
        self._client = client

    def activate(self, policy: SecurityPolicy) -> None:
        """Accept what is in force."""
        if policy != self.policy:
            problem = f"policy {policy:02X} cannot be had here, {self.policy:02X} stays"
            raise SecurityError(problem, "security_activate", CLAUSE)

    def transfer(self, keys: tuple[WrappedKey, ...]) -> None:
        found = group_of(keys)
        with refused():
            self._client.call("dlms_transfer_group", found["encryption"], found["authentication"])

    def agree(self, offers: tuple[KeyData, ...]) -> tuple[KeyData, ...]:
        raise SecurityError("keys of a group are transferred", f"{len(offers)} keys", CLAUSE)

    def take(self, originator: bytes, octets: bytes) -> tuple[bytes, Protection]:
        """Open a broadcast behind the wall."""
        with refused(octets):
            apdu, *arrived = self._client.call("dlms_unprotect_broadcast", originator, octets)
        return apdu, heard(tuple(arrived))  # type: ignore[return-value]


class WalledCertificates:
    """The port `CertificatePort`: key pairs are made and certificates believed behind the wall.

    Attributes:
        changed: Told after each change.
    """

    def __init__(self, ciphering: WalledCiphering, system_title: bytes) -> None:
        """Bind what is behind the wall, of the device with that title."""
        self.changed: Callable[[], None] = lambda: None
        self._client, self._title = ciphering.client, system_title

    @property
    def held(self) -> list[Certificate]:
        """The certificates, in the order they came."""
        with refused():
            octets = self._client.octets("dlms_certificates")
        return [Certificate.decode(each) for each in parted(octets)]

    def own(self, usage: CertificateType) -> bytes:
        """Return the device's certificate for a use (DER); nothing if it has none."""
        for each in self.held:
            if each.type is usage and each.system_title == self._title and not each.is_authority:
                return each.encode()
        return b""

    def listed(self) -> tuple[CertificateInfo, ...]:
        return tuple(info(each, self._title) for each in self.held)

    def generate_key_pair(self, usage: CertificateType) -> None:
        with refused():
            self._client.call("dlms_generate", int(usage))

    def certificate_request(self, usage: CertificateType) -> bytes:
        with refused():
            return self._client.octets("dlms_request", int(usage))

    def import_certificate(self, certificate: bytes) -> None:
        with refused():
            self._client.call("dlms_import_certificate", certificate)
        self.changed()

    def export_certificate(self, name: CertificateName) -> bytes:
        return find(self.held, name, self._title).encode()

    def remove_certificate(self, name: CertificateName) -> None:
        found = find(self.held, name, self._title)
        with refused():
            self._client.call("dlms_remove_certificate", found.encode())
        self.changed()


def no_entropy(_octets: int) -> bytes:
    """Refuse: keys are made behind the wall."""
    raise _elsewhere()


def _spoken(handshake: Handshake) -> tuple[int, bytes, bytes, bytes]:
    challenges = handshake.own_challenge, handshake.peer_challenge
    return int(handshake.mechanism), handshake.peer_title, *challenges


def _elsewhere() -> SecurityError:
    return SecurityError("the keys are behind the wall", "key service", CLAUSE)
