# SPDX-License-Identifier: Apache-2.0
"""The base names of a meter's objects, as its clients know them.

DLMS UA 1000-1 Ed. 12, 4.4.3.  A meter that is asked by short name lists its objects with their base
names; the list is read once and kept here, over as many associations as the meter is asked in.
`short_names` is the server's side.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.classes.associations import AssociationSn, AssociationSnV4, ShortNameElement
from openami.cosem.kinds import NOTHING
from openami.cosem.model import Method, declared
from openami.cosem.serving.short_names import (
    CURRENT_ASSOCIATION_NAME,
    NO_OFFSETS,
    STEP,
    MethodsAt,
    Offsets,
    Row,
)
from openami.dlms.obis import Obis

Key: TypeAlias = tuple[int, Obis]
"""An object: its class_id and logical name."""

OBJECT_LIST_OFFSET: Final = STEP
RIGHTS_OFFSET: Final = 2 * STEP
REPLY_TO_HLS_OFFSET: Final = 0x58
"""Where reply_to_HLS_authentication stands in every version of class 12."""


class Known(NamedTuple):
    """What is known of an object; its version is None where only a name was given."""

    base_name: int
    version: int | None


class BaseNames:
    """The base names of one meter.

    Attributes:
        association: Of the association itself; the meter may tell another as vaa-name.
        is_complete: Whether the meter's object list was read.
    """

    def __init__(
        self,
        given: Mapping[Key, int | Known] = MappingProxyType({}),
        *,
        methods_at: MethodsAt = NO_OFFSETS,
    ) -> None:
        """Begin with the names that are known.

        Args:
            given: Base names by class_id and logical name, with the version where it is not 0;
                the meter is asked for all others.
            methods_at: Offsets of methods that the classes leave open.
        """
        self.association = CURRENT_ASSOCIATION_NAME
        self.is_complete = False
        self._offsets = Offsets(methods_at)
        self._known = {
            key: name if isinstance(name, Known) else Known(name, None)
            for key, name in given.items()
        }

    def learn(self, elements: Iterable[ShortNameElement], *, complete: bool = True) -> None:
        """Take over what the meter lists."""
        for each in elements:
            self._known[each.class_id, each.logical_name] = Known(each.base_name, each.version)
        self.is_complete = self.is_complete or complete

    def find(self, class_id: int, at: Obis) -> Known | None:
        """Return what is known of an object; None if nothing is."""
        known = self._known.get((class_id, at))
        if known is None and (class_id, at) == (AssociationSn.class_id, CURRENT_ASSOCIATION):
            return Known(self.association, None)
        return known

    def attribute(self, class_id: int, at: Obis, index: int) -> int | None:
        """Return the short name of an attribute; None if it is not known."""
        known = self.find(class_id, at)
        if known is None or index < 1:
            return None
        return _within(known.base_name + STEP * (index - 1))

    def method(self, class_id: int, at: Obis, index: int) -> tuple[int, bool] | None:
        """Return the short name of a method and whether it gives data; None if not known."""
        known = self.find(class_id, at)
        row = _method(class_id, known, index)
        offset = None if row is None else self._offsets.of(row)
        if known is None or row is None or offset is None:
            return None
        name = _within(known.base_name + offset)
        return None if name is None else (name, row.result is not NOTHING)

    def named(self, name: int) -> tuple[Key, int] | None:
        """Return the object and the index of the attribute that a short name stands for."""
        for key, known in self._known.items():
            table = declared(key[0], known.version or 0)
            distance = name - known.base_name
            row: Row | None = self._offsets.rows(table).get(distance) if table else None
            if row is not None and not isinstance(row, Method):
                return key, row.index
        return None


def _method(class_id: int, known: Known | None, index: int) -> Method[Any, Any] | None:
    version = known.version if known is not None else None
    tables = [declared(class_id, version or 0)]
    if class_id == AssociationSn.class_id and version is None:
        # A method of class 12 stands at the same place in every version that has it.
        tables = [AssociationSn, AssociationSnV4]
    rows = (row for table in tables if table is not None for row in table.methods())
    return next((row for row in rows if row.index == index), None)


def _within(name: int) -> int | None:
    return name if 0 <= name <= 0xFFFF else None
