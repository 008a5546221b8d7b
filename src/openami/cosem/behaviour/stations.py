# SPDX-License-Identifier: Apache-2.0
"""Methods of network stations, which only the host's modem can carry out.

DLMS UA 1000-1 Ed. 12, 4.10 to 4.14 and later: S-FSK, Wi-SUN, RPL, MPL, ZigBee, LoRaWAN, hybrid G3.
What a method does to a network is the business of its `Station`; the object carries the argument
and the result, and hands on what a client writes.  What no station carries out is refused.
"""

from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.hosted import bind_setup
from openami.cosem.behaviour.results import as_action
from openami.cosem.model import InterfaceClass, Method
from openami.dlms.data import Data

STATIONS: Final = (51, 95, 97, 98, 104, 128, 161)
"""The classes whose methods a station carries out."""


@runtime_checkable
class Station(Protocol):
    """A modem that can do what the methods of its object ask; a port of the host."""

    def perform(self, thing: InterfaceClass, method: Method[Any, Any], argument: Data) -> Data:
        """Carry out a method and return its data, null-data for none.

        Raises:
            Refused: It cannot be carried out.
        """
        ...


def bind_station(thing: InterfaceClass, life: Life) -> None:
    """Let the host's modem carry out the methods, and hear of what a client writes."""
    bind_setup(thing, life)
    station = life.host.port(thing.logical_name)
    if isinstance(station, Station):
        for method in thing.methods():
            thing.bind_method(method, as_action(partial(_perform, station, thing, method)))


def _perform(
    station: Station,
    thing: InterfaceClass,
    method: Method[Any, Any],
    argument: Any,  # noqa: ANN401  of the method's own type
) -> Any:  # noqa: ANN401
    data = station.perform(thing, method, method.argument.to_data(argument))
    return method.result.from_data(data)
