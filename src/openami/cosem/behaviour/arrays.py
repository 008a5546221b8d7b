# SPDX-License-Identifier: Apache-2.0
"""Array manager: single elements of attributes that are arrays (DLMS UA 1000-1 Ed. 12, 4.4.11).

The list of arrays is undeclared data.  Our reading, where sources say nothing: an element is
``{array_object_id, {class_id, logical_name, attribute_index}}``, or the four in one structure;
numbers of entries begin at 1; the last of a range may be 0 for the end of the array; what is
inserted stands at its number, and what was there moves up.
"""

from typing import NamedTuple

from openami.cosem.behaviour.acting import Inside
from openami.cosem.behaviour.results import as_action
from openami.cosem.classes.protection import ArrayEntry, ArrayManager, ArrayRange, EntryNumbers
from openami.cosem.classes.references import ATTRIBUTE_REFERENCE, AttributeReference
from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import Array, Data, FixedInteger, LongUnsigned, Structure


class ManagedArray(NamedTuple):
    """One attribute under its number."""

    array_object_id: int
    attribute: AttributeReference


def managed_arrays(listed: Data) -> list[ManagedArray]:
    """Read an array_object_list.

    Raises:
        KindError: It is no array of numbers and attribute references.
    """
    if not isinstance(listed, Array):
        raise KindError("array of {array_object_id, attribute reference}", repr(listed))
    return [_managed(each) for each in listed]


def _managed(element: Data) -> ManagedArray:
    match element:
        case Structure((FixedInteger() as number, Structure() as reference)):
            return ManagedArray(int(number), ATTRIBUTE_REFERENCE.from_data(reference))
        case Structure((FixedInteger() as number, class_id, name, index)):
            reference = Structure((class_id, name, index))
            return ManagedArray(int(number), ATTRIBUTE_REFERENCE.from_data(reference))
    raise KindError("{array_object_id, attribute reference}", repr(element))


class Arrays:
    """The behaviour of one array manager."""

    def __init__(self, thing: ArrayManager, inside: Inside) -> None:
        self._thing, self._inside = thing, inside
        thing.bind_sink(ArrayManager.array_object_list, _check)
        thing.bind_method(ArrayManager.retrieve_number_of_entries, as_action(self.count))
        thing.bind_method(ArrayManager.retrieve_entries, as_action(self.retrieve))
        thing.bind_method(ArrayManager.insert_entry, as_action(self.insert))
        thing.bind_method(ArrayManager.update_entry, as_action(self.update))
        thing.bind_method(ArrayManager.remove_entries, as_action(self.remove))

    def _attribute(self, number: int) -> AttributeReference:
        for each in managed_arrays(self._thing.array_object_list):
            if each.array_object_id == number:
                return each.attribute
        raise Refused(ActionResult.OBJECT_UNDEFINED)

    def _read(self, number: int) -> Array:
        found = self._inside.read(*self._attribute(number))
        if not isinstance(found, Array):
            raise Refused(ActionResult.TYPE_UNMATCHED)
        return found

    def _write(self, number: int, array: Array) -> None:
        self._inside.write(*self._attribute(number), array)

    def count(self, number: int) -> Data:
        """Return how many entries an array has."""
        return LongUnsigned(len(self._read(number)))

    def retrieve(self, wanted: ArrayRange) -> Data:
        """Return entries of an array."""
        array = self._read(wanted.array_object_id)
        return Array(array[_span(array, wanted.entries)])

    def insert(self, wanted: ArrayEntry) -> None:
        """Put an entry into an array, or behind its last one."""
        number, (index, element) = wanted
        array = self._read(number)
        if not 1 <= index <= len(array) + 1:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._write(number, Array((*array[: index - 1], element, *array[index - 1 :])))

    def update(self, wanted: ArrayEntry) -> None:
        """Put an entry in the place of another."""
        number, (index, element) = wanted
        array = self._read(number)
        if not 1 <= index <= len(array):
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._write(number, Array((*array[: index - 1], element, *array[index:])))

    def remove(self, wanted: ArrayRange) -> None:
        """Take entries out of an array."""
        array = self._read(wanted.array_object_id)
        span = _span(array, wanted.entries)
        kept = Array((*array[: span.start], *array[span.stop :]))
        self._write(wanted.array_object_id, kept)


def _span(array: Array, entries: EntryNumbers) -> slice:
    last = entries.to_index or len(array)
    if not 1 <= entries.from_index <= last <= len(array):
        raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
    return slice(entries.from_index - 1, last)


def _check(listed: Data) -> None:
    managed_arrays(listed)
