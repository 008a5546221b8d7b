# SPDX-License-Identifier: Apache-2.0
"""A logical device: its objects, who may associate, and what each client may do.

A meter is described by two tables: objects, and one `AssociationPolicy` for each client SAP.
Rights are granted by rows that add up (`Grant`); a client sees only objects that some row grants
to it.  `View` is the one place where rights are asked; `services` and `server` go through it.
A row may also ask for protection beyond the client's policy: `Exchange` holds a request to it, and
remembers what the response owes.
"""

import hashlib
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from openami.cosem.classes.access_control import (
    AccessRights,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
    UserListEntry,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method, Refused
from openami.cosem.serving.short_names import ShortNames
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry, ByRange
from openami.dlms.block_transfer import DEFAULT_WINDOW
from openami.dlms.data import Array, Integer
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.counters import CounterBlock, ReceiveWindow, Windows
from openami.dlms.security.credentials import Credentials
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    NO_PROTECTION,
    SIGNED,
    SecurityPolicy,
)

ALL: Final = range(-128, 128)
"""Every index of attributes or methods."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One row of a client's rights: which objects, and which of their rows by index.

    The containers are hashable, such as `range`, `tuple` and `frozenset`.

    Attributes:
        at: The object; None means any.
        of: The interface class; None means any.
        read: Attributes that may be read.
        write: Attributes that may be written, where the class declares them so.
        invoke: Methods that may be invoked, where something is bound to them.
        protection: What requests and responses must have beyond the client's policy, for the rows
            named here; demands of several rows add up.
    """

    at: Obis | None = None
    of: type[InterfaceClass] | None = None
    read: Container[int] = ()
    write: Container[int] = ()
    invoke: Container[int] = ()
    protection: SecurityPolicy = NO_PROTECTION

    def covers(self, declared: type[InterfaceClass], name: Obis) -> bool:
        """Return whether this row speaks of an object of that class and name."""
        return (self.at is None or self.at == name) and (
            self.of is None or issubclass(declared, self.of)
        )


READ_ALL: Final = (Grant(read=ALL),)
FULL_ACCESS: Final = (Grant(read=ALL, write=ALL, invoke=ALL),)


@dataclass(slots=True, kw_only=True)
class Ciphering:
    """Keys and counters that one client shares with the device.

    Attributes:
        cipher: The global keys.
        counters: Where the device's invocation counters for these keys come from.
        window: What was accepted from this client under these keys, over all connections.
        policy: The least protection of requests and responses.
        windows: What was accepted beside that.
        former: Windows of encryption keys that were replaced, by a digest of the key.
    """

    cipher: Cipher
    counters: CounterBlock
    window: ReceiveWindow = field(default_factory=ReceiveWindow)
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    windows: Windows = field(default_factory=Windows)
    former: dict[bytes, ReceiveWindow] = field(default_factory=dict, repr=False)

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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AssociationPolicy:
    """How one client may associate, and what it may do then.

    Attributes:
        client_sap: Who.
        mechanism: The authentication that is asked for; no other is accepted.
        secret: The password of LLS, or the secret of HLS with a hash.
        ciphering: With it the application context is ciphered, without it plain.
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
        record_secret: Makes a secret durable that the client has changed, or refuses it; without
            it the secret stays.
    """

    client_sap: int
    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes = field(default=b"", repr=False)
    ciphering: Ciphering | None = None
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
    record_secret: Callable[[bytes], None] | None = None

    @property
    def is_protected(self) -> bool:
        """Whether some row asks for protection, so that access modes need class 15 version 3."""
        return any(grant.protection for grant in self.grants)

    @property
    def may_sign(self) -> bool:
        """Whether some row asks for signed responses."""
        return any(grant.protection.response_bits & SIGNED for grant in self.grants)


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
    ) -> None:
        self.system_title = system_title
        self.sap = sap
        self.associations = {policy.client_sap: policy for policy in associations}
        self._objects: dict[bytes, InterfaceClass] = {}
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
        name: Obis = thing.values[1]
        if (known := self._objects.setdefault(name.encode(), thing)) is not thing:
            raise ValueError(f"{name} is already {known!r}; give the new object another name")
        self._views.clear()

    def view(self, policy: AssociationPolicy) -> "View":
        """Return what the client of `policy` sees; connections of one client share it."""
        view = self._views.get(policy.client_sap)
        if view is None or view.grants is not policy.grants:
            view = self._views[policy.client_sap] = View(self._objects, policy.grants)
        return view


_NO_DEMANDS: Final[Mapping[int, SecurityPolicy]] = MappingProxyType({})


class Rights(NamedTuple):
    """What a client may do with one object, and under which protection."""

    read: frozenset[int]
    write: frozenset[int]
    invoke: frozenset[int]
    attributes: Mapping[int, SecurityPolicy] = _NO_DEMANDS
    """Demands of attributes, by index; most have none."""
    methods: Mapping[int, SecurityPolicy] = _NO_DEMANDS

    def __bool__(self) -> bool:
        return bool(self.read or self.write or self.invoke)


@dataclass(slots=True)
class Exchange:
    """The protection of one request, and of the response to it.

    Attributes:
        request: What the request has: bits of the security control octet, and `SIGNED`.
        response: What the response owes beyond the policy.
    """

    request: int = 0
    response: int = 0

    def admit(
        self, demand: SecurityPolicy | None, refusal: DataAccessResult | ActionResult
    ) -> None:
        """Hold the request to what a row demands, and the response too.

        Raises:
            Refused: The request has less.
        """
        if demand is None:
            return
        if demand.request_bits & ~self.request:
            raise Refused(refusal)
        self.response |= demand.response_bits


def index_of(descriptor: bytes) -> int:
    """Return the attribute or method that a descriptor of nine octets means; it is an integer."""
    return int.from_bytes(descriptor[8:9], signed=True)


class View:
    """The objects of a device through the eyes of one client.

    Attributes:
        readers: What gives the octets of an attribute, by the nine octets of its descriptor; only
            what may be read and was asked for before.  The hot path of GET is one look-up here.
    """

    def __init__(self, objects: Mapping[bytes, InterfaceClass], grants: tuple[Grant, ...]) -> None:
        self.grants = grants
        self.readers: dict[bytes, Callable[[], bytes]] = {}
        self._objects = objects

    def rights(self, thing: InterfaceClass) -> Rights:
        """Return what the client may do with `thing`."""
        declared: Any = type(thing)  # mypy looks for __hash__ where a class object has its own
        name: Obis = thing.values[1]
        actions = frozenset(thing.invocations)
        return rights_of(declared, name, actions, self.grants, fixed=thing.fixed)

    def visible(self) -> Iterator[InterfaceClass]:
        """Yield the objects that the client may do anything with."""
        return (each for each in self._objects.values() if self.rights(each))

    def find(self, descriptor: bytes) -> InterfaceClass:
        """Return the object that a descriptor of nine octets means.

        Raises:
            Refused: There is none for this client, or its class is another.
        """
        thing = self._objects.get(descriptor[2:8])
        if thing is None or not self.rights(thing):
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)
        if thing.class_id != int.from_bytes(descriptor[:2]):
            raise Refused(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
        return thing

    def reader(self, descriptor: bytes, exchange: Exchange) -> Callable[[], bytes]:
        """Return what gives the encoded value of an attribute.

        Raises:
            Refused: The object, the right to read the attribute, or protection is missing.
        """
        thing = self.find(descriptor)
        rights = self.rights(thing)
        index = index_of(descriptor)
        reader = readable(thing, rights, index, exchange)
        if index not in rights.attributes:  # what demands protection is asked every time
            self.readers[descriptor] = reader
        return reader


@lru_cache(maxsize=4096)
def rights_of(
    declared: type[InterfaceClass],
    name: Obis,
    actions: frozenset[int],
    grants: tuple[Grant, ...],
    *,
    fixed: frozenset[int] = frozenset(),
) -> Rights:
    """Return the sum of all grants that cover an object, within what its class allows.

    Meters of one kind have the same objects and grants: they share the answers.

    Args:
        declared: The object's class.
        name: Its logical name.
        actions: Methods that something is bound to.
        grants: The client's rights.
        fixed: Attributes that this object lets nobody write.
    """
    covering = [grant for grant in grants if grant.covers(declared, name)]
    rows = list(declared.attributes())
    guarding = [grant for grant in covering if grant.protection]
    return Rights(
        frozenset(
            row.index
            for row in rows
            if row.access & Access.READ and any(row.index in grant.read for grant in covering)
        ),
        frozenset(
            row.index
            for row in rows
            if row.access & Access.WRITE
            and row.index not in fixed
            and any(row.index in grant.write for grant in covering)
        ),
        frozenset(
            row.index
            for row in declared.methods()
            if row.index in actions and any(row.index in grant.invoke for grant in covering)
        ),
        _demands(
            (row.index for row in rows),
            guarding,
            lambda index, grant: index in grant.read or index in grant.write,
        ),
        _demands(
            (row.index for row in declared.methods()),
            guarding,
            lambda index, grant: index in grant.invoke,
        ),
    )


def _demands(
    indexes: Iterable[int], guarding: list[Grant], names: Callable[[int, Grant], bool]
) -> Mapping[int, SecurityPolicy]:
    """Return what protection the grants ask for, for the rows that they name."""
    if not guarding:
        return _NO_DEMANDS
    found: dict[int, SecurityPolicy] = {}
    for index in indexes:
        for grant in guarding:
            if names(index, grant):
                found[index] = found.get(index, NO_PROTECTION) | grant.protection
    return MappingProxyType(found)


def readable(
    thing: InterfaceClass, rights: Rights, index: int, exchange: Exchange
) -> Callable[[], bytes]:
    """Return what gives the encoded value of attribute `index`.

    Raises:
        Refused: It may not be read, not under this protection, or has no value.
    """
    if index not in rights.read:
        raise Refused(DataAccessResult.READ_WRITE_DENIED)
    exchange.admit(rights.attributes.get(index), DataAccessResult.READ_WRITE_DENIED)
    reader = thing.reader(index)
    if reader is None:
        raise Refused(DataAccessResult.OBJECT_UNAVAILABLE)
    return reader


def writable(
    thing: InterfaceClass, rights: Rights, index: int, exchange: Exchange
) -> Attribute[Any]:
    """Return the row of attribute `index`.

    Raises:
        Refused: It may not be written, or not under this protection.
    """
    if index not in rights.write:
        raise Refused(DataAccessResult.READ_WRITE_DENIED)
    exchange.admit(rights.attributes.get(index), DataAccessResult.READ_WRITE_DENIED)
    return next(row for row in thing.attributes() if row.index == index)


def invocable(
    thing: InterfaceClass, rights: Rights, index: int, exchange: Exchange
) -> Method[Any, Any]:
    """Return the row of method `index`.

    Raises:
        Refused: It may not be invoked, or not under this protection.
    """
    if index not in rights.invoke:
        raise Refused(ActionResult.READ_WRITE_DENIED)
    exchange.admit(rights.methods.get(index), ActionResult.READ_WRITE_DENIED)
    return next(row for row in thing.methods() if row.index == index)


def object_list_element(thing: InterfaceClass, rights: Rights) -> ObjectListElement:
    """Return one row of an object list.

    Where no row demands protection, the access modes of versions 0 to 2 and of version 3 of class
    15 are the same; demands stand in the bits of version 3.
    """
    attributes = tuple(
        AttributeAccess(
            row.index,
            (row.index in rights.read) * Access.READ
            | (row.index in rights.write) * Access.WRITE
            | rights.attributes.get(row.index, NO_PROTECTION),
            Array((Integer(ByRange.SELECTOR), Integer(ByEntry.SELECTOR)))
            if row.index in thing.selections
            else None,
        )
        for row in thing.attributes()
    )
    methods = tuple(
        MethodAccess(
            row.index,
            (row.index in rights.invoke) | rights.methods.get(row.index, NO_PROTECTION),
        )
        for row in thing.methods()
    )
    name: Obis = thing.values[1]
    return ObjectListElement(thing.class_id, thing.version, name, AccessRights(attributes, methods))
