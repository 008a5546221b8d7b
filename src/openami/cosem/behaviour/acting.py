# SPDX-License-Identifier: Apache-2.0
"""How time and other objects reach an object that acts.

An actor is told the calendar time and says when it wants to be told again; it never asks a clock.
What it does to other objects of its device goes through `Inside`, by class, logical name and
index, as the standard's references do (DLMS UA 1000-1 Ed. 12, 4.1): a script that writes an
attribute obeys the same types and handlers as a client, but no client's rights.
"""

from collections.abc import Iterable
from typing import Any, Protocol

from openami.cosem.device import LogicalDevice
from openami.cosem.model import Attribute, InterfaceClass, Method, Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Data
from openami.dlms.obis import Obis


class Actor(Protocol):
    """An object that does something by itself as time passes."""

    def due_us(self) -> int | None:
        """Return the calendar time at which `tick` has something to do; None if never.

        Microseconds UTC since 1970.
        """
        ...

    def tick(self, now_us: int) -> None:
        """Do what is due; harmless when called early, late or after a jump of the clock.

        Args:
            now_us: Calendar time, microseconds UTC since 1970.
        """
        ...


class Actors:
    """Actors of one device, as one: due when the first of them is."""

    def __init__(self, actors: Iterable[Actor] = ()) -> None:
        self._actors = list(actors)

    def add(self, actor: Actor) -> None:
        """Take another actor; it is told the time from the next tick on."""
        self._actors.append(actor)

    def due_us(self) -> int | None:
        return min(
            (due for each in self._actors if (due := each.due_us()) is not None), default=None
        )

    def tick(self, now_us: int) -> None:
        for each in self._actors:
            each.tick(now_us)


class Inside:
    """The device's own hand on its objects."""

    def __init__(self, device: LogicalDevice) -> None:
        self._device = device

    def read(self, class_id: int, at: Obis, attribute: int) -> Data:
        """Return the value of an attribute.

        Raises:
            Refused: There is no such object or attribute, or it has no value now.
        """
        reader = self._find(class_id, at).reader(attribute)
        if reader is None:
            raise Refused(DataAccessResult.OBJECT_UNAVAILABLE)
        return axdr_data.decode(reader())

    def write(self, class_id: int, at: Obis, attribute: int, value: Data) -> None:
        """Set an attribute, as a client would that may.

        Raises:
            Refused: There is no such object or attribute, or its handler refuses.
            KindError: The value has another type than declared.
        """
        thing = self._find(class_id, at)
        row: Attribute[Any] | None = next(
            (row for row in thing.attributes() if row.index == attribute), None
        )
        if row is None:
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)
        thing.write(row, value)

    def invoke(self, class_id: int, at: Obis, method: int, argument: Data) -> Data:
        """Carry out a method and return its data.

        Raises:
            Refused: There is no such object or method, or the method refuses.
            KindError: The argument has another type than declared.
        """
        thing = self._find(class_id, at)
        row: Method[Any, Any] | None = next(
            (row for row in thing.methods() if row.index == method), None
        )
        if row is None:
            raise Refused(ActionResult.OBJECT_UNDEFINED)
        return thing.invoke(row, argument)

    def _find(self, class_id: int, at: Obis) -> InterfaceClass:
        try:
            thing = self._device[at]
        except KeyError:
            raise Refused(DataAccessResult.OBJECT_UNDEFINED) from None
        if thing.class_id != class_id:
            raise Refused(DataAccessResult.OBJECT_CLASS_INCONSISTENT)
        return thing
