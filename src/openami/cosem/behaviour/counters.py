# SPDX-License-Identifier: Apache-2.0
"""Counters of power line, LPWAN and LON networks, and tables that their nodes keep.

DLMS UA 1000-1 Ed. 12, 4.10 to 4.16.  The host counts; the object shows, and sets its counters back
when a client resets it.  A counter that is full stands at its end.  What else the object shows the
host tells, and a reset leaves it.
"""

from collections.abc import Mapping
from typing import Any, Final

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.hosted import bind_setup
from openami.cosem.behaviour.results import as_action
from openami.cosem.classes.g3 import G3MacSetup, G3MacSetupV3
from openami.cosem.classes.prime import PrimeLlcSscsSetup, PrimeMacNetworkAdministration
from openami.cosem.classes.sfsk import Desynchronizations, MacCounter, SFskMacCounters
from openami.cosem.model import Attribute, InterfaceClass, Method, Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Data

COUNTERS: Final[Mapping[int, tuple[int, ...]]] = {
    53: (2, 3, 4, 5, 6, 7, 8),
    81: (2, 3, 4, 5),
    84: (2, 3, 4, 5, 6, 7),
    90: (2, 3, 4, 5, 6, 7, 8, 9, 10),
    127: (2, 3, 4, 5, 6, 7),
    129: (3, 4, 5, 6, 7, 8, 9),
    132: (2, 3, 4, 5, 6, 7, 8, 9, 10, 11),
    133: (5, 6, 7, 8, 9),
}
"""Which attributes of a class count, by class_id."""

_STARTS: Final[Mapping[tuple[int, int], object]] = {
    (53, SFskMacCounters.synchronization_register.index): (),
    (53, SFskMacCounters.desynchronization_listing.index): Desynchronizations(0, 0, 0, 0, 0),
    (53, SFskMacCounters.broadcast_frames_counter.index): (),
}
"""What a counter begins with that does not begin with 0."""

UNREGISTERED: Final = 0xFFE
"""service_node_address of a PRIME node that is not registered."""


class Counters:
    """The behaviour of one object that counts."""

    def __init__(self, thing: InterfaceClass) -> None:
        self._thing = thing
        indexes = COUNTERS[thing.class_id]
        self._rows: dict[str, Attribute[Any]] = {
            row.name: row for row in thing.attributes() if row.index in indexes
        }
        for row in self._rows.values():
            thing.values.setdefault(row.index, self._start(row))
        reset: Method[Any, Any] | None = next(iter(thing.methods()), None)
        if reset is not None:
            thing.bind_method(reset, lambda _argument: self.reset())

    def _start(self, row: Attribute[Any]) -> object:
        return _STARTS.get((self._thing.class_id, row.index), 0)

    def reset(self) -> None:
        """Set all counters back."""
        for row in self._rows.values():
            self._thing.values[row.index] = self._start(row)

    def count(self, name: str, *, member: str = "", mac_address: int | None = None) -> None:
        """Count one more.

        Args:
            name: The attribute.
            member: Which member of it, where it is a structure of counters.
            mac_address: Of which node, where each has a counter.

        Raises:
            TypeError: The class has no such counter.
        """
        row = self._rows.get(name)
        if row is None:
            raise TypeError(f"{self._thing!r} has no counter {name!r}")
        held = self._thing.values[row.index]
        if isinstance(held, Desynchronizations):
            if member not in held._fields:
                raise TypeError(f"{name} of {self._thing!r} has no counter {member!r}")
            more: object = held._replace(**{member: getattr(held, member) + 1})
        elif isinstance(held, tuple):
            if mac_address is None:
                raise TypeError(f"{name} of {self._thing!r} counts for a node: tell which")
            known = dict(held)
            known[mac_address] = known.get(mac_address, 0) + 1
            more = tuple(MacCounter(*each) for each in known.items())
        else:
            more = held + 1
        try:
            row.kind.to_data(more)
        except ValueError:
            return  # it is full
        self._thing.values[row.index] = more


def bind_counters(thing: InterfaceClass, _life: Life) -> Counters:
    """Count what the host tells `Life.acting`."""
    return Counters(thing)


def bind_prime_llc(thing: PrimeLlcSscsSetup, _life: Life) -> None:
    """Deregister the node when a client resets it."""

    def reset(_argument: int) -> None:
        thing.service_node_address, thing.base_node_address = UNREGISTERED, 0

    thing.bind_method(PrimeLlcSscsSetup.reset, reset)


def bind_prime_administration(thing: PrimeMacNetworkAdministration, _life: Life) -> None:
    """Forget the lists of the network when a client resets them."""

    def reset(_argument: int) -> None:
        for row in thing.attributes():
            if row.dynamic:
                thing.values[row.index] = ()

    thing.bind_method(PrimeMacNetworkAdministration.reset, reset)


def bind_g3_mac_setup(thing: G3MacSetup, life: Life) -> None:
    """Return the entries of a node from the tables, as data; the host hears of what is written.

    Our reading: the entry alone is returned; a node that has none is refused.
    """
    bind_setup(thing, life)
    row: Attribute[Any] = type(thing).mac_neighbour_table
    thing.bind_method(G3MacSetup.mac_get_neighbour_table_entry, as_action(_entry(thing, row)))
    if isinstance(thing, G3MacSetupV3):
        table: Attribute[Any] = type(thing).mac_pos_table
        thing.bind_method(G3MacSetupV3.mac_get_pos_table_entry, as_action(_entry(thing, table)))


def _entry(thing: InterfaceClass, row: Attribute[Any]) -> Any:  # noqa: ANN401  an action
    def find(short_address: int) -> Data:
        for entry in thing.values.get(row.index, ()):
            if entry.short_address == short_address:
                return row.kind.parts[0].to_data(entry)
        raise Refused(ActionResult.OBJECT_UNDEFINED)

    return find
