# SPDX-License-Identifier: Apache-2.0
"""How a COSEM interface class is declared (IEC 62056-6-2, 4.1).

A class statement is the table of the standard: the class keywords are its heading, each
attribute and method is one row that starts with its index.  Client, server, documentation and
tests all read the same declaration.  A version that only adds rows inherits from the one before;
one that changes a row is a statement of its own.  ``unsure`` on a row or a class says what could
not be checked against a second source: it is served like any other, and marked in the reference.

An object of the class is what a server holds: values are stored in it (``clock.time_zone = 60``)
or bound to whoever knows them (``clock.bind(Clock.time, now)``).  It is read, written and invoked
by index and in COSEM data; who may do so is decided in `device`.
"""

import copy
from collections.abc import Callable, Container, Iterator, Mapping
from enum import IntFlag
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, TypeVar, overload

from openami.cosem.kinds import INTEGER, LOGICAL_NAME, NOTHING, Kind, KindError, describe
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import Data
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")


_NOTHING: Final[Mapping[int, Any]] = MappingProxyType({})

BY_RANGE_AND_ENTRY: Final = (1, 2)
"""Selectors of a profile's buffer (`dlms.apdu.selective`)."""


class Access(IntFlag):
    """What a class lets any client do with an attribute, before rights are asked."""

    NONE = 0
    READ = 1
    WRITE = 2
    READ_WRITE = 3


class Refused(DlmsError):  # noqa: N818  the answer to a client, not a failure of ours
    """A handler on the meter's side refuses; the client is told `result` and nothing else."""

    def __init__(self, result: DataAccessResult | ActionResult) -> None:
        super().__init__(result)
        self.result = result

    def __str__(self) -> str:
        return f"refused with {self.result}"


class Attribute(Generic[T]):
    """One row of an interface class: on the class it describes, on an object it holds."""

    owner: type["InterfaceClass"]
    name: str

    def __init__(
        self,
        index: int,
        kind: Kind[T],
        *,
        dynamic: bool = False,
        access: Access = Access.READ,
        unsure: str = "",
    ) -> None:
        self.index = index
        self.kind = kind
        self.dynamic = dynamic  # set by the meter itself, so never cached by a client
        self.access = access
        self.unsure = unsure

    def __set_name__(self, owner: type["InterfaceClass"], name: str) -> None:
        self.owner = owner
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Attribute[T]": ...
    @overload
    def __get__(self, instance: "InterfaceClass", owner: type) -> T: ...
    def __get__(self, instance: "InterfaceClass | None", owner: type) -> "Attribute[T] | T":
        if instance is None:
            return self
        if (source := instance.sources.get(self.index)) is not None:
            bound: T = source()
            return bound
        try:
            value: T = instance.values[self.index]
        except KeyError:
            raise AttributeError(f"{instance!r} has no value for {self.name}") from None
        return value

    def __set__(self, instance: "InterfaceClass", value: T) -> None:
        instance.values[self.index] = value

    def __repr__(self) -> str:
        return f"<{self.owner.__name__}.{self.name}: attribute {self.index}, {self.kind.name}>"


class Method(Generic[A, R]):
    """One method row of an interface class; without more it takes an integer 0 and returns none."""

    owner: type["InterfaceClass"]
    name: str

    @overload
    def __init__(self: "Method[int, None]", index: int, *, unsure: str = "") -> None: ...
    @overload
    def __init__(
        self: "Method[A, None]", index: int, argument: Kind[A], *, unsure: str = ""
    ) -> None: ...
    @overload
    def __init__(
        self, index: int, argument: Kind[A], result: Kind[R], *, unsure: str = ""
    ) -> None: ...
    def __init__(
        self,
        index: int,
        argument: Kind[Any] = INTEGER,
        result: Kind[Any] = NOTHING,
        *,
        unsure: str = "",
    ) -> None:
        self.index = index
        self.argument: Kind[A] = argument
        self.result: Kind[R] = result
        self.unsure = unsure

    def __set_name__(self, owner: type["InterfaceClass"], name: str) -> None:
        self.owner = owner
        self.name = name

    def __repr__(self) -> str:
        return f"<{self.owner.__name__}.{self.name}: method {self.index}, {self.argument.name}>"


class _One(Mapping[int, T]):
    """A mapping of one index: what most objects bind, in a fifth of the room of a dict."""

    __slots__ = ("_bound", "_index")

    def __init__(self, index: int, bound: T) -> None:
        self._index, self._bound = index, bound

    def __getitem__(self, index: int) -> T:
        if index == self._index:
            return self._bound
        raise KeyError(index)

    def __iter__(self) -> Iterator[int]:
        yield self._index

    def __len__(self) -> int:
        return 1


def _also(held: Mapping[int, T], index: int, bound: T) -> Mapping[int, T]:
    if not held or (len(held) == 1 and index in held):
        return _One(index, bound)
    return {**held, index: bound}


class InterfaceClass:
    """Base of every interface class; a subclass enters the registry by being declared.

    Class keywords:
        class_id, version: The heading of the table.
        methods_at: Offset of the first method from the object's short name, in octets.
        unsure: What about the whole table could not be checked.
        listed: Whether the class is one of the standard's and enters the registry; what one meter
            alone has does not.
    """

    # Slots for what every object has: no dictionary an object where nothing else is put into it.
    __slots__ = (
        "__dict__",
        "__weakref__",
        "invocations",
        "octet_sources",
        "selections",
        "selectors",
        "sinks",
        "sources",
        "values",
    )

    class_id: ClassVar[int]
    version: ClassVar[int]
    methods_at: ClassVar[int | None]
    unsure: ClassVar[str]
    _registry: ClassVar[dict[tuple[int, int], type["InterfaceClass"]]] = {}
    _attributes: ClassVar[tuple[Attribute[Any], ...]]
    _methods: ClassVar[tuple[Method[Any, Any], ...]]
    _index_of: ClassVar[Mapping[str, int]]

    fixed: frozenset[int] = frozenset()
    """Attributes that this object lets nobody write, though its class does."""

    logical_name = Attribute(1, LOGICAL_NAME)

    def __init_subclass__(
        cls,
        *,
        class_id: int,
        version: int,
        methods_at: int | None = None,
        unsure: str = "",
        listed: bool = True,
    ) -> None:
        cls.class_id, cls.version = class_id, version
        cls.methods_at, cls.unsure = methods_at, unsure
        if listed and (known := cls._registry.setdefault((class_id, version), cls)) is not cls:
            raise TypeError(f"class_id {class_id} version {version} is already {known.__name__}")
        # Each class has its own row, so that `Register.logical_name` knows its class_id.
        row = Attribute(1, LOGICAL_NAME)
        row.__set_name__(cls, "logical_name")
        cls.logical_name = row
        cls._attributes = tuple(sorted(_own_rows(cls, Attribute), key=lambda row: row.index))
        cls._methods = tuple(sorted(_own_rows(cls, Method), key=lambda row: row.index))
        cls._index_of = {row.name: row.index for row in cls._attributes}

    def __init__(self, logical_name: Obis, **values: object) -> None:
        # A process may hold a million objects, and most bind little: they share what is empty.
        self.sources: Mapping[int, Callable[[], Any]] = _NOTHING
        self.octet_sources: Mapping[int, Callable[[], bytes]] = _NOTHING
        self.sinks: Mapping[int, Callable[[Any], None]] = _NOTHING
        self.invocations: Mapping[int, Callable[[Any], Any]] = _NOTHING
        self.selections: Mapping[int, Callable[[SelectiveAccess], bytes]] = _NOTHING
        self.selectors: Mapping[int, tuple[int, ...]] = _NOTHING
        self.values: dict[int, Any] = {1: logical_name}
        indexes = self._index_of
        for name, value in values.items():
            if name not in indexes:
                raise TypeError(f"{type(self).__name__} has no attribute {name!r}")
            self.values[indexes[name]] = value

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.values[1]}>"

    @classmethod
    def attributes(cls) -> Iterator[Attribute[Any]]:
        """Yield the attributes in the order of their index."""
        yield from cls._attributes

    @classmethod
    def methods(cls) -> Iterator[Method[Any, Any]]:
        """Yield the methods in the order of their index."""
        yield from cls._methods

    @classmethod
    def keep_rows(cls, attributes: Container[int], methods: Container[int]) -> None:
        """Show no other rows than these: a meter may lack some that its class has."""
        cls._attributes = tuple(row for row in cls._attributes if row.index in attributes)
        cls._methods = tuple(row for row in cls._methods if row.index in methods)

    @classmethod
    def short_name_offset(cls, row: Attribute[Any] | Method[Any, Any]) -> int | None:
        """Return how far from an object's short name a row is; None where nobody knows.

        Attributes are 8 apart and begin with the logical name at 0; methods are 8 apart and begin
        where the class says (DLMS UA 1000-2 Ed. 10, 9.5).
        """
        if isinstance(row, Attribute):
            return 8 * (row.index - 1)
        if cls.methods_at is None:
            return None
        return cls.methods_at + 8 * (row.index - cls._methods[0].index)

    def bind(
        self,
        attribute: Attribute[T],
        source: Callable[[], T],
        sink: Callable[[T], None] | None = None,
    ) -> None:
        """Let `source` give the attribute's value, and `sink` take what a client writes.

        Either may raise `Refused` with the result that the client is to see.
        """
        self.sources = _also(self.sources, attribute.index, source)
        if sink is not None:
            self.sinks = _also(self.sinks, attribute.index, sink)

    def bind_octets(self, attribute: Attribute[Any], source: Callable[[], bytes]) -> None:
        """Let `source` give the attribute's value as encoded data, for what is read often."""
        self.octet_sources = _also(self.octet_sources, attribute.index, source)

    def bind_sink(self, attribute: Attribute[T], sink: Callable[[T], None]) -> None:
        """Let `sink` hear what a client writes before it is stored; it may raise `Refused`."""
        self.sinks = _also(self.sinks, attribute.index, sink)

    def bind_selection(
        self,
        attribute: Attribute[Any],
        select: Callable[[SelectiveAccess], bytes],
        selectors: tuple[int, ...] = BY_RANGE_AND_ENTRY,
    ) -> None:
        """Let `select` answer selective access, with encoded data; it may raise `Refused`."""
        self.selections = _also(self.selections, attribute.index, select)
        self.selectors = _also(self.selectors, attribute.index, selectors)

    def bind_method(self, method: Method[A, R], action: Callable[[A], R]) -> None:
        """Let `action` carry out a method; it may raise `Refused`."""
        self.invocations = _also(self.invocations, method.index, action)

    def reader(self, index: int) -> Callable[[], bytes] | None:
        """Return what gives the encoded value of attribute `index`; None if there is no value."""
        if (octets := self.octet_sources.get(index)) is not None:
            return octets
        row = next((row for row in self.attributes() if row.index == index), None)
        if row is None:
            return None
        to_data = row.kind.to_data
        if (source := self.sources.get(index)) is not None:
            found = source
            return lambda: axdr_data.encode(to_data(found()))
        return self._stored_reader(index, to_data) if index in self.values else None

    def _stored_reader(self, index: int, to_data: Callable[[Any], Data]) -> Callable[[], bytes]:
        values = self.values
        known: object = values[index]
        octets = axdr_data.encode(to_data(known))

        def read() -> bytes:
            # Stored values are immutable: while it is the same object, the octets are the same.
            nonlocal known, octets
            value = values[index]
            if value is not known:
                octets = axdr_data.encode(to_data(value))
                known = value
            return octets

        return read

    def write(self, row: Attribute[Any], data: Data) -> None:
        """Take a value a client sent, in exactly the declared type.

        Raises:
            KindError: Another type, or, for a CHOICE, another type than the value has now.
            Refused: The attribute is fixed in this object, or its handler refuses.
        """
        if row.index in self.fixed:
            raise Refused(DataAccessResult.READ_WRITE_DENIED)
        value = row.kind.strict(data)
        if row.kind.is_choice and (row.index in self.values or row.index in self.sources):
            held: object = row.__get__(self, type(self))
            if type(data) is not type(held):
                raise KindError(f"{type(held).__name__}, as now", describe(data))
        sink = self.sinks.get(row.index)
        if row.index in self.sources:
            if sink is None:
                raise Refused(DataAccessResult.READ_WRITE_DENIED)
            sink(value)
            return
        if sink is not None:
            sink(value)
        self.values[row.index] = value

    def invoke(self, row: Method[Any, Any], argument: Data) -> Data:
        """Carry out a method and return its data.

        Raises:
            KindError: The argument has another type than declared.
            Refused: Nothing is bound to the method, or the method refuses.
        """
        action = self.invocations.get(row.index)
        if action is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        return row.result.to_data(action(row.argument.from_data(argument)))


def _own_rows(cls: type[InterfaceClass], of_type: type[T]) -> Iterator[T]:
    """Yield the rows of a class; those of the version before as rows of its own."""
    found = {name: row for base in reversed(cls.__mro__) for name, row in vars(base).items()}
    for name, row in found.items():
        if isinstance(row, of_type):
            if name in vars(cls):
                yield row
                continue
            own: Any = copy.copy(row)
            own.__set_name__(cls, name)
            setattr(cls, name, own)
            yield own


REGISTRY = MappingProxyType(InterfaceClass._registry)  # noqa: SLF001  read-only view


def latest(class_id: int) -> type[InterfaceClass] | None:
    """Return the highest declared version of a class; None for a class nobody declared."""
    versions = [version for known, version in REGISTRY if known == class_id]
    return REGISTRY[class_id, max(versions)] if versions else None


def declared(class_id: int, version: int) -> type[InterfaceClass] | None:
    """Return the table for an object that says it is of this class and version.

    A meter may implement a version that is not declared here: rows as a rule only grow at the
    end, so the highest known list serves.  What it has beyond that is read by index.
    """
    return REGISTRY.get((class_id, version)) or latest(class_id)
