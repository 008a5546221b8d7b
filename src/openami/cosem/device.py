# SPDX-License-Identifier: Apache-2.0
"""A logical device: its objects, who may associate, and what each client may do.

A meter is described by two tables: objects, and one `AssociationPolicy` for each client SAP.  What
the policy's grants mean for one object, `rights` tells.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol, runtime_checkable

from openami.cosem.classes.access_control import (
    UserListEntry,
)
from openami.cosem.model import InterfaceClass
from openami.cosem.rights import Grant, View
from openami.cosem.serving.short_names import ShortNames
from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.block_transfer import DEFAULT_WINDOW
from openami.dlms.hls import Handshake, ManufacturerProof, Mechanism, encrypted_challenge
from openami.dlms.obis import Obis
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow, Windows
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.envelopes import Protection
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SIGNED,
    SecurityPolicy,
)

DEFAULT_CONFORMANCE: Final = (
    Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.DATA_NOTIFICATION
    | Conformance.ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.EVENT_NOTIFICATION
    | Conformance.ACTION
)
"""What the server can do; general protection is added where there are keys."""

DEFAULT_MAX_PDU_OCTETS: Final = 1024

SECURITY_SETUP: Final = Obis(0, 0, 43, 0, 0, 255)


class Channel(Protocol):
    """Protection of one association: a `SecureChannel`, or what stands for one elsewhere."""

    cipher: Cipher
    policy: SecurityPolicy

    @property
    def signs(self) -> bool:
        """Whether what we send is signed, at least unless a request came otherwise."""

    def unprotect(self, octets: bytes) -> tuple[bytes, Protection]:
        """Open what the client sent."""

    def protect(self, apdu: bytes, *, like: Protection | None = None, owed: int = 0) -> bytes:
        """Return an APDU as it is to travel."""

    def use_dedicated_key(self, dedicated_key: bytes, received: Protection | None = None) -> None:
        """Protect further services with the key that the InitiateRequest carried."""

    def replace(self, cipher: Cipher, window: ReceiveWindow, policy: SecurityPolicy) -> None:
        """Go on with other global keys or another policy."""


class Protector(Protocol):
    """Keys and counters that one client shares with the device, wherever they are.

    Attributes:
        cipher: The global keys, or their names.
        window: What was accepted under them.
        policy: The least protection of requests and responses.
    """

    cipher: Cipher
    window: ReceiveWindow
    policy: SecurityPolicy

    def channel(
        self, own_title: bytes, peer_title: bytes, credentials: Credentials | None = None
    ) -> Channel:
        """Return the protection of an association."""

    def prove(self, handshake: Handshake) -> bytes:
        """Return what pass 4 of HLS carries."""

    def check(self, handshake: Handshake, reply: bytes) -> None:
        """Accept what pass 3 of HLS carried; raises `SecurityError`."""


@dataclass(slots=True, kw_only=True)
class Ciphering:
    """The port `Protector` with keys and counters in this process.

    Attributes:
        cipher: The global keys.
        counters: Where the device's invocation counters for these keys come from.
        window: What was accepted from this client under these keys, over all connections.
        policy: The least protection of requests and responses.
        form: Whether the header of general-ciphering is under its tag.
        windows: What was accepted beside that.
        former: Windows of encryption keys that were replaced, by a digest of the key.
    """

    cipher: Cipher
    counters: CounterBlock
    window: ReceiveWindow = field(default_factory=ReceiveWindow)
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    form: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    windows: Windows = field(default_factory=Windows)
    former: dict[bytes, ReceiveWindow] = field(default_factory=dict, repr=False)

    def channel(
        self, own_title: bytes, peer_title: bytes, credentials: Credentials | None = None
    ) -> SecureChannel:
        return SecureChannel(
            cipher=self.cipher,
            role=Role.SERVER,
            own_title=own_title,
            peer_title=peer_title,
            counters=self.counters,
            window=self.window,
            policy=self.policy,
            form=self.form,
            credentials=credentials,
            windows=self.windows,
        )

    def prove(self, handshake: Handshake) -> bytes:
        return handshake.reply(self.counters.next())

    def check(self, handshake: Handshake, reply: bytes) -> None:
        handshake.verify(reply)

    def replace_keys(self, keys: KeySet) -> None:
        """Use other keys from the next request on.

        A key that comes back brings its window along: what it let in before, it lets in no more.
        The device's own counters go on as they are, which is right for any key.
        """
        self.former[_digest(self.cipher.keys)] = self.window
        self.window = self.former.pop(_digest(keys), ReceiveWindow())
        self.cipher = Cipher(keys)


def _digest(keys: KeySet) -> bytes:
    return hashlib.sha256(keys.encryption_key).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class PreEstablished:
    """What both ends of a pre-established association know beforehand (9.4.4.4).

    Attributes:
        client_title: The client's system title, where the association is ciphered.
        client_max_receive_pdu_octets: The longest APDU that the client takes.
        confirmed: Whether services are answered.
    """

    client_title: bytes = b""
    client_max_receive_pdu_octets: int = 0xFFFF
    confirmed: bool = True


@runtime_checkable
class Keeper(Protocol):
    """Who keeps what an administrator changed; a port of the host."""

    def keep(self, client_sap: int, policy: "AssociationPolicy") -> None:
        """Make a client's new secret, rights and users durable.

        Raises:
            Refused: They cannot be kept; nothing is changed then.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssociationPolicy:
    """How one client may associate, and what it may do then.

    Attributes:
        client_sap: Who.
        mechanism: The authentication that is asked for; no other is accepted.
        secret: The password of LLS, or the secret of HLS of the manufacturer or with a hash.
        is_password: Asked in place of `secret`, where that is elsewhere.
        manufacturer: What mechanism 2 computes from secret and challenge.
        ciphering: With it the application context is ciphered, without it plain.
        plain_context: The context is plain all the same: the keys serve HLS with GMAC alone.
        credentials: For HLS with ECDSA, signatures, and keys that travel with an APDU.
        grants: The client's rights.
        conformance: The most that is negotiated.
        max_receive_pdu_octets: The longest APDU the device takes.
        security_setup: Logical name of the object that describes the protection.
        user_list: Users of the client; with them an AARQ must name one by its
            calling-AE-invocation-id, and without them that field is ignored.
        plain_release: Whether a release without proof is accepted where requests are to be
            protected.  There are clients in the field that give none; the conformance tests of
            the standard's association want it refused.
        block_window: How many blocks of a general block transfer the device takes in one go.
        pre_established: With it the association stands without an AARQ.
        short_names: Base names of the device's objects; with them this client refers by short
            name, and its grants and conformance mean the same as for logical names.
        keeper: With it the client's own association object is administered by its methods, as
            far as grants allow; without it secret, objects and users stay as they are.
    """

    client_sap: int
    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes = field(default=b"", repr=False)
    is_password: Callable[[bytes], bool] | None = None
    manufacturer: ManufacturerProof = encrypted_challenge
    ciphering: Protector | None = None
    plain_context: bool = False
    credentials: Credentials | None = None
    grants: tuple[Grant, ...] = ()
    conformance: Conformance = DEFAULT_CONFORMANCE
    max_receive_pdu_octets: int = DEFAULT_MAX_PDU_OCTETS
    security_setup: Obis = SECURITY_SETUP
    user_list: tuple[UserListEntry, ...] = ()
    plain_release: bool = False
    block_window: int = DEFAULT_WINDOW
    pre_established: PreEstablished | None = None
    short_names: ShortNames | None = None
    keeper: Keeper | None = None

    @property
    def service_ciphering(self) -> Protector | None:
        """What protects services; None in a plain context."""
        return None if self.plain_context else self.ciphering

    @property
    def is_protected(self) -> bool:
        """Whether some row asks for protection, so that access modes need class 15 version 3."""
        return any(grant.protection for grant in self.grants)

    @property
    def may_sign(self) -> bool:
        """Whether some row asks for signed responses."""
        return any(grant.protection.response_bits & SIGNED for grant in self.grants)


@dataclass(frozen=True, slots=True)
class Late:
    """Objects that most devices never need: made when one of them is asked for, or all are listed.

    Attributes:
        names: Octets of their logical names.
        make: Returns them.
    """

    names: frozenset[bytes]
    make: Callable[[], Iterable[InterfaceClass]]


class Objects(Mapping[bytes, InterfaceClass]):
    """The objects of a device by the octets of their logical names."""

    __slots__ = ("_late", "_made")

    def __init__(self, late: Late | None = None) -> None:
        self._made: dict[bytes, InterfaceClass] = {}
        self._late = late

    def __getitem__(self, name: bytes) -> InterfaceClass:
        found = self._made.get(name)
        if found is None and self._late is not None and name in self._late.names:
            self._make()
            found = self._made.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[bytes]:
        self._make()
        return iter(self._made)

    def __len__(self) -> int:
        self._make()
        return len(self._made)

    def add(self, thing: InterfaceClass) -> None:
        """Take an object; its logical name is its own in this device."""
        name: Obis = thing.values[1]
        if (known := self._made.setdefault(name.encode(), thing)) is not thing:
            raise ValueError(f"{name} is already {known!r}; give the new object another name")

    def _make(self) -> None:
        late, self._late = self._late, None
        for each in () if late is None else late.make():
            self.add(each)


class LogicalDevice:
    """Objects under their logical names, and the table of associations.

    Attributes:
        system_title: Eight octets; empty where no association is ciphered.
        sap: The device's own service access point.
        associations: By client SAP.
    """

    def __init__(
        self,
        *,
        objects: Iterable[InterfaceClass],
        associations: Iterable[AssociationPolicy],
        system_title: bytes = b"",
        sap: int = MANAGEMENT_LOGICAL_DEVICE,
        late: Late | None = None,
    ) -> None:
        self.system_title = system_title
        self.sap = sap
        self.associations = {policy.client_sap: policy for policy in associations}
        self._objects = Objects(late)
        self._views: dict[int, View] = {}
        for each in objects:
            self.add(each)
        for policy in self.associations.values():
            if policy.short_names is not None:  # what cannot be named is told here, to no client
                policy.short_names.take(self)

    def __iter__(self) -> Iterator[InterfaceClass]:
        return iter(self._objects.values())

    def __getitem__(self, logical_name: Obis) -> InterfaceClass:
        return self._objects[logical_name.encode()]

    def add(self, thing: InterfaceClass) -> None:
        """Take an object; its logical name is its own in this device."""
        self._objects.add(thing)
        self._views.clear()

    def view(self, policy: AssociationPolicy) -> View:
        """Return what the client of `policy` sees; connections of one client share it."""
        view = self._views.get(policy.client_sap)
        if view is None or view.grants is not policy.grants:
            view = self._views[policy.client_sap] = View(self._objects, policy.grants)
        return view
