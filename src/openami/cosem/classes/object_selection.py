# SPDX-License-Identifier: Apache-2.0
"""Parts of an object list, by selective access to attribute 2 of class 15.

DLMS UA 1000-1 Ed. 12, 4.4.4.2 (object_list)::

    selector   parameters                          what comes
    1          null-data                           all objects, without access rights
    2          array of class_id                   objects of these classes, without access rights
    3          array of {class_id, logical_name}   these objects, whole
    4          {class_id, logical_name}            this object, whole, not in an array

An object without its rights is a structure of class_id, version and logical_name.  Objects that the
association cannot see are left out; where selector 4 names one, the access is refused.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

from openami.cosem.classes.access_control import OBJECT_LIST_ELEMENT, ObjectListElement
from openami.cosem.model import Refused
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.data import (
    Array,
    Data,
    FixedInteger,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.obis import Obis

ALL, OF_CLASSES, OBJECTS, OBJECT = SELECTORS = (1, 2, 3, 4)

ALL_OBJECTS: Final = SelectiveAccess(selector=ALL, parameters=None)


class Named(NamedTuple):
    """What names an object to its association."""

    class_id: int
    logical_name: Obis


def of_classes(class_ids: Iterable[int]) -> SelectiveAccess:
    """Return the selection of objects of these classes."""
    return SelectiveAccess(selector=OF_CLASSES, parameters=Array(map(LongUnsigned, class_ids)))


def these_objects(objects: Iterable[Named]) -> SelectiveAccess:
    """Return the selection of these objects."""
    return SelectiveAccess(selector=OBJECTS, parameters=Array(map(_name, objects)))


def this_object(class_id: int, logical_name: Obis) -> SelectiveAccess:
    """Return the selection of one object."""
    return SelectiveAccess(selector=OBJECT, parameters=_name(Named(class_id, logical_name)))


def select(elements: Iterable[ObjectListElement], access: SelectiveAccess) -> bytes:
    """Return what a client selects of an object list, encoded.

    Raises:
        Refused: There is no such selector, its parameters are others, or the object is not there.
    """
    match access.selector, access.parameters:
        case 1, None:
            return axdr_data.encode(Array(map(_without_rights, elements)))
        case 2, Array() as classes if all(isinstance(each, FixedInteger) for each in classes):
            wanted = set(classes)
            chosen = (each for each in elements if each.class_id in wanted)
            return axdr_data.encode(Array(map(_without_rights, chosen)))
        case 3, Array() as names:
            named = {_named(name) for name in names}
            whole = (each for each in elements if Named(*each[:3:2]) in named)
            return axdr_data.encode(Array(map(OBJECT_LIST_ELEMENT.to_data, whole)))
        case 4, Structure() as name:
            one = _named(name)
            for each in elements:
                if Named(*each[:3:2]) == one:
                    return axdr_data.encode(OBJECT_LIST_ELEMENT.to_data(each))
            raise Refused(DataAccessResult.OBJECT_UNDEFINED)
    raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)


def _without_rights(element: ObjectListElement) -> Data:
    return Structure(
        (
            LongUnsigned(element.class_id),
            Unsigned(element.version),
            OctetString(bytes(element.logical_name)),
        )
    )


def _name(named: Named) -> Data:
    return Structure((LongUnsigned(named.class_id), OctetString(bytes(named.logical_name))))


def _named(data: Data) -> Named:
    match data:
        case Structure((FixedInteger() as class_id, OctetString() as name)) if len(name) == 6:
            return Named(int(class_id), Obis(*name))
    raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
