# SPDX-License-Identifier: Apache-2.0
"""What a client may do with each object, and under which protection.

Rights are granted by rows that add up (`Grant`); a client sees only objects that some row grants
to it.  `View` is the one place where rights are asked; what serves requests goes through it.  A
row may also ask for protection beyond the client's policy: `Exchange` holds a request to it, and
remembers what the response owes.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from openami.cosem.classes.access_control import (
    AccessRights,
    AttributeAccess,
    MethodAccess,
    ObjectListElement,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method, Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Array, Integer
from openami.dlms.obis import Obis
from openami.dlms.security.suites import NO_PROTECTION, SecurityPolicy

ALL: Final = range(-128, 128)
"""Every index of attributes or methods."""


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
            Array(map(Integer, thing.selectors[row.index]))
            if row.index in thing.selectors
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
