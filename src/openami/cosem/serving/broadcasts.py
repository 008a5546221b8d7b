# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: ARG002  what the ports ask for is not all needed where nobody answers
"""A client that speaks to many devices at once, and the keys of their group.

DLMS UA 1000-2 Ed. 10, 9.2.3.3.7 (GBEK) and 9.4.4.4 (pre-established associations).  The association
of this client stands without an AARQ, is unconfirmed, and takes nothing but what is sealed under
the keys of the group (`dlms.security.broadcast`); its grants say the rest.  The keys come by
key_transfer of a security setup of their own, wrapped with the device's master key like all others:
GBEK (1) and the authentication key (2) that goes with it, both in one call.

`GroupKeyStore` keeps them in this process; a host that has them elsewhere binds `GroupProtector`.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.classes.access_control import KeyData, KeyId, WrappedKey
from openami.cosem.device import AssociationPolicy, PreEstablished
from openami.cosem.rights import Grant
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.errors import SecurityError
from openami.dlms.hls import Handshake
from openami.dlms.security.broadcast import GroupKeys, open_broadcast
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import ReceiveWindow
from openami.dlms.security.credentials import Credentials, KeyWrapping
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityPolicy,
    SecuritySuite,
)

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.2.3.3.7"
AHEAD: Final = 16
"""How far the durable mark of the window is ahead: so many broadcasts a loss of power may cost."""
MOST_OCTETS: Final = 0x0800
"""The longest APDU: one block of an image, as nothing is put together from several here."""

TRANSFERRED: Final = {
    KeyId.GLOBAL_BROADCAST_ENCRYPTION_KEY: "encryption",
    KeyId.AUTHENTICATION_KEY: "authentication",
}

Take = Callable[[bytes, bytes], tuple[bytes, Protection]]
"""Opens what an originator sent, and accepts its counter; raises as `GroupKeyStore.take`."""


def broadcast_client(
    client_sap: int, protector: "GroupProtector", originator: bytes, grants: tuple[Grant, ...]
) -> AssociationPolicy:
    """Return the row of a client that speaks to many.

    Args:
        client_sap: Who.
        protector: Has the keys of the group.
        originator: The client's system title; no other is taken.
        grants: What may be invoked.
    """
    return AssociationPolicy(
        client_sap=client_sap,
        ciphering=protector,
        grants=grants,
        conformance=Conformance.ACTION,
        max_receive_pdu_octets=MOST_OCTETS,
        pre_established=PreEstablished(client_title=originator, confirmed=False),
    )


class GroupProtector:
    """The port `Protector` of an association in which nobody answers.

    Attributes:
        cipher: Stands for keys that are not asked here.
        window: Decides nothing.
        policy: All is authenticated and encrypted.
    """

    def __init__(self, take: Take) -> None:
        self.cipher = Cipher(KeySet(encryption_key=bytes(16)))
        self.window = ReceiveWindow()
        self.policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
        self.take = take

    def channel(
        self,
        own_title: bytes,
        peer_title: bytes,
        credentials: Credentials | None = None,
    ) -> "GroupChannel":
        return GroupChannel(self, peer_title)

    def prove(self, handshake: Handshake) -> bytes:
        raise _one_way(f"authentication {handshake.mechanism.name}")

    def check(self, handshake: Handshake, reply: bytes) -> None:
        raise _one_way(f"authentication {handshake.mechanism.name}")


class GroupChannel:
    """Opens what comes; sends nothing."""

    signs = False

    def __init__(self, held: GroupProtector, peer_title: bytes) -> None:
        self.cipher, self.policy = held.cipher, held.policy
        self._held, self._peer_title = held, peer_title

    def unprotect(self, octets: bytes) -> tuple[bytes, Protection]:
        return self._held.take(self._peer_title, octets)

    def protect(
        self,
        apdu: bytes,
        *,
        like: Protection | None = None,
        owed: int = 0,
    ) -> bytes:
        raise _one_way(f"APDU with tag {apdu[0]:02X}")

    def use_dedicated_key(
        self,
        dedicated_key: bytes,
        received: Protection | None = None,
    ) -> None:
        raise _one_way("dedicated-key")

    def replace(self, cipher: Cipher, window: ReceiveWindow, policy: SecurityPolicy) -> None:
        """Go on: whoever holds the keys knows which are in force."""
        self.cipher, self.policy = cipher, policy


Record = Callable[[GroupKeys, int], None]
"""Makes keys and the lowest counter that is accepted durable; raises `OSError` if it cannot."""


class GroupKeyStore:
    """The port `KeyStorePort` for the keys of a group, in this process.

    Attributes:
        keys: Of the group; None before any were transferred.
        window: What was accepted under them.
    """

    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED

    def __init__(
        self,
        master_key: KeyWrapping,
        *,
        record: Record,
        keys: GroupKeys | None = None,
        expected: int = 0,
        suite: SecuritySuite = SecuritySuite.AES_GCM_128,
    ) -> None:
        """Take up what is durable.

        Args:
            master_key: Wraps keys on their way here.
            record: Makes a change durable.
            keys: As they were recorded last.
            expected: The counter that was recorded with them.
            suite: Of the device.
        """
        self.keys = keys
        self.window = ReceiveWindow(expected)
        self._master_key = master_key
        self._record = record
        self._mark = expected
        self._suite = suite
        self._cipher = None if keys is None else keys.cipher(suite)

    def activate(self, policy: SecurityPolicy) -> None:
        """Accept what is in force."""
        if policy != self.policy:
            problem = f"a broadcast is under policy {self.policy:02X}, and nobody signs"
            raise SecurityError(problem, "security_activate", CLAUSE)

    def transfer(self, keys: tuple[WrappedKey, ...]) -> None:
        found = group_of(keys)
        unwrapped = {name: self._master_key.unwrap(octets) for name, octets in found.items()}
        new = GroupKeys(**unwrapped)
        if new == self.keys:
            return  # once more, as its answer was lost: what was let in is not let in again
        cipher = new.cipher(self._suite)
        self._record(new, 0)
        self.keys, self._cipher = new, cipher
        self.window, self._mark = ReceiveWindow(), 0

    def agree(self, offers: tuple[KeyData, ...]) -> tuple[KeyData, ...]:
        raise SecurityError("keys of a group are transferred", f"{len(offers)} keys", CLAUSE)

    def take(self, originator: bytes, octets: bytes) -> tuple[bytes, Protection]:
        """Open a broadcast and accept its counter, durably.

        Raises:
            DecodeError: It is not well formed.
            ReplayError: The counter is not above the last one.
            SecurityError: There are no keys, the broadcast is not under them, or its counter cannot
                be recorded; it is refused from then on all the same.
        """
        if self._cipher is None or self.keys is None:
            raise SecurityError("no broadcast key is known", "broadcast", CLAUSE)
        apdu, protection = open_broadcast(self._cipher, originator, octets)
        self.window.accept(protection.invocation_counter)
        if self.window.expected > self._mark:
            mark = self.window.expected + AHEAD
            try:
                self._record(self.keys, mark)
            except OSError as error:
                place = f"invocation counter {protection.invocation_counter}"
                raise SecurityError(f"it is not recorded: {error}", place, CLAUSE) from error
            self._mark = mark
        return apdu, protection


def group_of(keys: tuple[WrappedKey, ...]) -> dict[str, bytes]:
    """Return the wrapped keys of a group, by the names in `GroupKeys`.

    Raises:
        SecurityError: It is not each of them once, or there are others.
    """
    found = {row.key_id: row.key_wrapped for row in keys}
    if len(found) != len(keys) or found.keys() != TRANSFERRED.keys():
        problem = "broadcast and authentication key are given together, and no other"
        raise SecurityError(problem, f"{len(keys)} keys", CLAUSE)
    return {name: found[key_id] for key_id, name in TRANSFERRED.items()}


def _one_way(place: str) -> SecurityError:
    return SecurityError("nothing is answered under a broadcast key", place, CLAUSE)
