# SPDX-License-Identifier: Apache-2.0
"""A logical device from a dump: objects of its classes with its values, and who may do what.

Where a dumped object is as its class declares it, it is an object of that class; where it has
other rows, other rights or values of other types (manufacturers' classes have all three), a class
of its own is made for it, which answers to the same behaviours.  What the meter did behind its
objects is not in a dump: `behaviour` does what the classes say.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final

from openami.cosem.access_modes import (
    access_of,
    demand_of_attribute,
    demand_of_method,
    invokes,
)
from openami.cosem.choices import RAW
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, AssociationLn
from openami.cosem.classes.associations import AssociationSn
from openami.cosem.classes.measurement import Data
from openami.cosem.device import AssociationPolicy, Ciphering, LogicalDevice
from openami.cosem.dump import Dump, DumpedObject, is_secret
from openami.cosem.kinds import KindError
from openami.cosem.model import Access, Attribute, InterfaceClass, Method, Refused
from openami.cosem.rights import ALL, Grant
from openami.cosem.serving.short_names import ShortNames
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.errors import DecodeError
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import PUBLIC_CLIENT
from openami.dlms.security.credentials import Credentials

MANAGER: Final = 1
SIGNER: Final = 2
READER: Final = 32
ASSOCIATIONS: Final = frozenset({AssociationLn.class_id, AssociationSn.class_id})
FRAME_COUNTER: Final = Obis(0, 0, 43, 1, 0, 255)
PUBLIC_OBJECTS: Final = (
    Obis(0, 0, 1, 0, 0, 255),
    Obis(0, 0, 41, 0, 0, 255),
    Obis(0, 0, 42, 0, 0, 255),
    FRAME_COUNTER,
)
"""What the public client may read: clock, logical devices, name and frame counter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """What clients prove themselves with, the manager's keys, and in suites 1 and 2 key pairs."""

    password: bytes = field(repr=False)
    ciphering: Ciphering
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Simulated:
    """A device, and what of its dump could not be taken over."""

    device: LogicalDevice
    left_out: tuple[str, ...]


def simulated(dump: Dump, secrets: Secrets) -> Simulated:
    """Return the device that a dump describes; what acts is bound by the caller."""
    left_out: list[str] = []
    objects: dict[Obis, InterfaceClass] = {}
    for each in dump.objects:
        if each.obis == CURRENT_ASSOCIATION and each.class_id in ASSOCIATIONS:
            continue  # every association finds itself there
        if each.obis in objects:
            left_out.append(f"{each.obis} of class {each.class_id}: its name is taken already")
            continue
        objects[each.obis] = thing = object_of(each, dump.association_version)
        if each.obis == FRAME_COUNTER and isinstance(thing, Data):
            thing.bind(Data.value, lambda: DoubleLongUnsigned(secrets.ciphering.window.expected))
    device = LogicalDevice(
        objects=objects.values(),
        associations=policies(dump, secrets),
        system_title=dump.system_title,
        sap=dump.server,
    )
    return Simulated(device, tuple(left_out))


def bind_methods(device: LogicalDevice, dump: Dump) -> None:
    """Let methods be seen to which nothing is bound, and refuse: no dump says what they do."""
    names = {each.obis for each in dump.objects}
    for thing in device:
        if thing.values[1] not in names:
            continue
        for row in thing.methods():
            if row.index not in thing.invocations:
                thing.bind_method(row, _refuses)


def _refuses(_argument: object) -> Any:  # noqa: ANN401  it returns nothing
    raise Refused(ActionResult.OBJECT_UNAVAILABLE)


def object_of(dumped: DumpedObject, association_version: int) -> InterfaceClass:
    """Return an object with the rows and values of a dumped one."""
    of = class_of(dumped, association_version)
    thing = of(dumped.obis)
    for row in of.attributes():
        octets = dumped.octets(row.index)
        if row.index != 1 and octets is not None:
            thing.values[row.index] = row.kind.from_data(axdr_data.decode(octets))
    return thing


def class_of(dumped: DumpedObject, association_version: int) -> type[InterfaceClass]:
    """Return the class that a dumped object is of: the declared one if it is like that."""
    table = dumped.table
    exact = table is not None and table.version == dumped.version
    known: Mapping[int, Attribute[Any]] = (
        {row.index: row for row in table.attributes()} if table else {}
    )
    shape = []
    for each in dumped.attributes:
        access = access_of(each.mode, association_version)
        row = known.get(each.index)
        fits = row is not None and _fits(row, each.octets)
        exact &= fits and row is not None and access & ~row.access == 0
        shape.append((each.index, access, fits))
    methods = frozenset(each.index for each in dumped.methods)
    if table is not None and exact:
        same = {each.index for each in dumped.attributes} == set(known)
        if same and methods == {row.index for row in table.methods()}:
            return table
    key: Any = table  # mypy looks for __hash__ where a class object has its own
    return _own_class(key, (dumped.class_id, dumped.version), tuple(shape), methods)


def _fits(row: Attribute[Any], octets: bytes | None) -> bool:
    """Tell whether a value comes back as it was through the kind that the class declares."""
    if octets is None:
        return True
    try:
        return axdr_data.encode(row.kind.to_data(row.kind.from_data(axdr_data.decode(octets)))) == (
            octets
        )
    except (KindError, DecodeError, ValueError, TypeError):
        return False


@cache
def _own_class(
    table: type[InterfaceClass] | None,
    identity: tuple[int, int],
    shape: tuple[tuple[int, Access, bool], ...],
    methods: frozenset[int],
) -> type[InterfaceClass]:
    """Return a class like `table` with exactly these rows; objects of one shape share it."""
    held: dict[int, Attribute[Any]] = {}
    acts: dict[int, Method[Any, Any]] = {}
    if table is not None:
        held = {row.index: row for row in table.attributes()}
        acts = {row.index: row for row in table.methods()}
    rows: dict[str, Any] = {}
    for index, access, fits in shape:
        if index == InterfaceClass.logical_name.index:
            continue  # every class has that row
        row = held.get(index)
        name = row.name if row is not None else f"attribute_{index}"
        kind = row.kind if row is not None and fits else RAW
        dynamic = row is not None and row.dynamic
        rows[name] = Attribute(index, kind, dynamic=dynamic, access=access | Access.READ)
    for index in methods - acts.keys():
        rows[f"method_{index}"] = Method(index, RAW, RAW)
    base = table or InterfaceClass
    class_id, version = identity
    made: Callable[..., type[InterfaceClass]] = type(base)
    name = table.__name__ if table else f"Class{class_id}"
    own = made(name, (base,), rows, class_id=class_id, version=version, listed=False)
    # Behaviours may speak of any row of the class; clients see those that the meter has.
    own.keep_rows(frozenset(index for index, _, _ in shape), methods)
    return own


def policies(dump: Dump, secrets: Secrets) -> Iterator[AssociationPolicy]:
    """Yield who may associate: public, reader with a password, manager with keys, and signer.

    The signer is the manager once more, who proves itself with ECDSA where there are key pairs.

    The client of the dump has the rights that it had, and so has the manager; a reader may read
    what was readable.
    """
    dumped = tuple(grants(dump))
    readable = tuple(Grant(at=grant.at, read=grant.read) for grant in dumped)
    public = tuple(Grant(at=at, read=ALL) for at in PUBLIC_OBJECTS)
    yield AssociationPolicy(
        client_sap=PUBLIC_CLIENT, grants=dumped if dump.client == PUBLIC_CLIENT else public
    )
    yield AssociationPolicy(
        client_sap=READER,
        mechanism=Mechanism.LLS,
        secret=secrets.password,
        grants=dumped if dump.client == READER else readable,
    )
    yield AssociationPolicy(
        client_sap=MANAGER,
        mechanism=Mechanism.HLS_GMAC,
        ciphering=secrets.ciphering,
        credentials=secrets.credentials,
        grants=dumped,
    )
    if secrets.credentials is not None and secrets.credentials.signer is not None:
        yield AssociationPolicy(
            client_sap=SIGNER,
            mechanism=Mechanism.HLS_ECDSA,
            ciphering=secrets.ciphering,
            credentials=secrets.credentials,
            grants=dumped,
        )
    if dump.client in {PUBLIC_CLIENT, READER, MANAGER}:
        return
    if dump.mechanism == "none":
        yield AssociationPolicy(client_sap=dump.client, grants=dumped)
    elif dump.mechanism == "lls":
        yield AssociationPolicy(
            client_sap=dump.client,
            mechanism=Mechanism.LLS,
            secret=secrets.password,
            grants=dumped,
        )
    else:
        yield AssociationPolicy(
            client_sap=dump.client,
            mechanism=Mechanism.HLS_GMAC,
            ciphering=secrets.ciphering,
            grants=dumped,
        )


def refer_by_short_names(device: LogicalDevice, names: ShortNames) -> None:
    """Let all clients refer by short name, from their next association on."""
    names.take(device)
    for client_sap, policy in device.associations.items():
        device.associations[client_sap] = replace(policy, short_names=names)


def grants(dump: Dump) -> Iterator[Grant]:
    """Yield the rights that the client of a dump had, object by object."""
    version = dump.association_version
    for each in dump.objects:
        read = _rows(each, version, Access.READ)
        write = _rows(each, version, Access.WRITE)
        invoke = frozenset(row.index for row in each.methods if invokes(row.mode, version))
        yield Grant(at=each.obis, read=read, write=write, invoke=invoke)
        for row in each.attributes:
            if demand := demand_of_attribute(row.mode, version):
                one = frozenset({row.index})
                yield Grant(at=each.obis, read=one & read, write=one & write, protection=demand)
        for method in each.methods:
            if demand := demand_of_method(method.mode, version):
                yield Grant(
                    at=each.obis, invoke=frozenset({method.index}) & invoke, protection=demand
                )


def _rows(each: DumpedObject, version: int, access: Access) -> frozenset[int]:
    return frozenset(row.index for row in each.attributes if access_of(row.mode, version) & access)


def secrets_in(dump: Dump) -> Iterator[str]:
    """Yield the attributes of a dump that hold secrets; a sound dump has none."""
    for each in dump.objects:
        for row in each.attributes:
            if row.octets is not None and is_secret(each.class_id, row.index):
                yield f"{each.obis} attribute {row.index}"
