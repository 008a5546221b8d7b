# SPDX-License-Identifier: Apache-2.0
"""Short names: 16 bits that stand for one attribute or method of one object.

DLMS UA 1000-2 Ed. 10, 9.3.12; DLMS UA 1000-1 Ed. 12, 4.1.3.  The base name of an object is the
short name of its first attribute; the others follow 8 apart, and the methods begin where the class
says (`model.InterfaceClass.short_name_offset`).  `Offsets` is that arithmetic, for both ends;
`ShortNames` gives the objects of a server their base names.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from openami.cosem.model import Attribute, InterfaceClass, Method
from openami.dlms.obis import Obis

CURRENT_ASSOCIATION_NAME: Final = 0xFA00
"""Base name of the association itself, and the vaa-name of the InitiateResponse."""

RESERVED_NAMES: Final[Mapping[Obis, int]] = MappingProxyType(
    {
        Obis(0, 0, 10, 0, 125, 255): 0xFB00,  # script table for broadcasts
        Obis(0, 0, 41, 0, 0, 255): 0xFC00,  # SAP assignment
        Obis(0, 0, 42, 0, 0, 255): 0xFD00,  # data: logical device name
    }
)
"""Base names that belong to one object each; FA00 is the association's own."""

FIRST_NAME: Final = 0x0100
"""Where names that nobody chose begin."""

STEP: Final = 8
"""Short names of neighbours are so far apart; base names are multiples of it."""

_RESERVED: Final = range(CURRENT_ASSOCIATION_NAME, 0xFE00)

Row: TypeAlias = Attribute[Any] | Method[Any, Any]

MethodsAt: TypeAlias = Mapping[tuple[int, int], int]
"""Offset of the first method, by class_id and version, where the class does not say it."""

NO_OFFSETS: Final[MethodsAt] = MappingProxyType({})


class Offsets:
    """Where the rows of objects stand, seen from their base names."""

    def __init__(self, methods_at: MethodsAt = NO_OFFSETS) -> None:
        """Take the classes' own offsets; `methods_at` says those that they leave open."""
        self._methods_at = dict(methods_at)

    def of(self, row: Row, table: type[InterfaceClass] | None = None) -> int | None:
        """Return the offset of a row; None where nobody knows.

        Args:
            row: Of any version of the class.
            table: The version that the object has, if it is another than the row's.
        """
        kind: Any = type(row)
        rows = _by_index(table, kind) if table is not None else {}
        found = rows.get(row.index, row)
        offset = found.owner.short_name_offset(found)
        if offset is not None:
            return offset
        first = self._methods_at.get((found.owner.class_id, found.owner.version))
        if first is None:
            return None
        return first + STEP * (found.index - next(iter(found.owner.methods())).index)

    def rows(self, table: type[InterfaceClass]) -> Mapping[int, Row]:
        """Return the rows of a class by their offset; those that nobody knows are left out."""
        first = self._methods_at.get((table.class_id, table.version))
        declared: Any = table
        return _rows(declared, first)

    def size(self, table: type[InterfaceClass]) -> int:
        """Return how many short names an object takes, from its base name on."""
        return max(self.rows(table)) + STEP


@lru_cache(maxsize=1024)
def _rows(table: type[InterfaceClass], first: int | None) -> Mapping[int, Row]:
    offsets = Offsets({} if first is None else {(table.class_id, table.version): first})
    rows: list[Row] = [*table.attributes(), *table.methods()]
    return MappingProxyType(
        {offset: row for row in rows if (offset := offsets.of(row)) is not None}
    )


def _by_index(table: type[InterfaceClass], kind: type) -> Mapping[int, Row]:
    rows: Iterable[Row] = table.attributes() if kind is Attribute else table.methods()
    return {row.index: row for row in rows}


class Named(NamedTuple):
    """An object and its base name."""

    base_name: int
    thing: InterfaceClass


class ShortNames:
    """The base names of one device, shared by all its associations that refer by short name.

    Names are given once and stay: an object that is added later takes the next free place.

    Attributes:
        version: Which version of class 12 the associations show.
        value_blocks: Whether blocks of one value hold the value alone, as clients built on
            Gurux's library want it; else the list of one result, as the abstract syntax has it.
        offsets: Where rows stand from the base name.
    """

    def __init__(
        self,
        given: Mapping[Obis, int] = MappingProxyType({}),
        *,
        first: int = FIRST_NAME,
        version: int = 4,
        value_blocks: bool = False,
        methods_at: MethodsAt = NO_OFFSETS,
    ) -> None:
        """Prepare names.

        Args:
            given: Base names by logical name; the other objects get theirs in turn.
            first: Where those begin.
            version: Of class 12, 0 to 4.
            value_blocks: See the attribute.
            methods_at: Offsets of methods that the classes leave open.
        """
        if not 0 <= version <= 4:
            raise ValueError(f"Association SN has versions 0 to 4, not {version}")
        self.version = version
        self.value_blocks = value_blocks
        self.offsets = Offsets(methods_at)
        self._given = dict(RESERVED_NAMES) | dict(given)
        self._next = first
        self._names: dict[Obis, int] = {}
        self._bases: list[int] = []
        self._things: dict[int, InterfaceClass] = {}

    def take(self, objects: Iterable[InterfaceClass]) -> None:
        """Name all objects that have no name yet.

        Raises:
            ValueError: A given name is no multiple of 8, overlaps another object or the reserved
                names, or there is no place left.
        """
        new = [thing for thing in objects if thing.values[1] not in self._names]
        for thing in new:
            if (name := self._given.get(thing.values[1])) is not None:
                self._put(thing, name)
        for thing in new:
            if thing.values[1] not in self._names:
                self._put(thing, self._free(self.offsets.size(type(thing))))

    def __contains__(self, logical_name: Obis) -> bool:
        return logical_name in self._names

    def base_name(self, logical_name: Obis) -> int:
        """Return the base name of an object that was taken; raises KeyError for any other."""
        return self._names[logical_name]

    def holder(self, name: int) -> Named | None:
        """Return the object that a short name lies in; None if it lies in none."""
        at = bisect_right(self._bases, name) - 1
        if at < 0:
            return None
        base = self._bases[at]
        return Named(base, self._things[base])

    def _put(self, thing: InterfaceClass, name: int) -> None:
        logical_name: Obis = thing.values[1]
        size = self.offsets.size(type(thing))
        if name % STEP or not 0 <= name <= 0xFFFF:
            problem = f"short name {name:X} of {logical_name} is not one of 0, 8, 10 to FFF8"
            raise ValueError(f"{problem}: choose such a one")
        self._check_room(logical_name, range(name, name + size))
        self._names[logical_name] = name
        self._things[name] = thing
        insort(self._bases, name)

    def _check_room(self, logical_name: Obis, wanted: range) -> None:
        place = f"short names {wanted.start:04X} to {wanted.stop - STEP:04X} of {logical_name}"
        if wanted.stop > 0x10000:
            raise ValueError(f"{place} end behind FFFF: choose a lower base name")
        own = RESERVED_NAMES.get(logical_name) == wanted.start
        if not own and wanted.start < _RESERVED.stop and wanted.stop > _RESERVED.start:
            raise ValueError(f"{place} meet the reserved FA00 to FDFF: choose another base name")
        held = self.holder(wanted.stop - 1)
        if held is not None and self._end(held) > wanted.start:
            problem = f"{place} meet those of {held.thing!r} at {held.base_name:04X}"
            raise ValueError(f"{problem}: choose another base name")

    def _end(self, held: Named) -> int:
        return held.base_name + self.offsets.size(type(held.thing))

    def _free(self, size: int) -> int:
        name = self._next
        while (held := self.holder(name + size - 1)) is not None and self._end(held) > name:
            name = self._end(held)
        if name < _RESERVED.stop and name + size > _RESERVED.start:
            raise ValueError(
                "there is no place for more short names below FA00: begin lower, or name fewer"
                " objects"
            )
        self._next = name + size
        return name
