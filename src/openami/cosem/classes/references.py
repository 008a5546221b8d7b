# SPDX-License-Identifier: Apache-2.0
"""Structures that several classes share: what refers to an object, an attribute, a time.

DLMS UA 1000-1 Ed. 12, 4.1 names the types; their members are the same wherever they stand.
"""

from enum import IntEnum
from typing import NamedTuple, TypeAlias

from openami.cosem.choices import choice, labelled
from openami.cosem.kinds import (
    DATE_TIME,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    NOTHING,
    OCTETS,
    Kind,
    array,
    structure,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis


class ObjectReference(NamedTuple):
    """An object by class and logical name."""

    class_id: int
    logical_name: Obis


class AttributeReference(NamedTuple):
    """One attribute of an object."""

    class_id: int
    logical_name: Obis
    attribute_index: int


class Window(NamedTuple):
    """A time in which something may happen; either end may hold wildcards."""

    start: CosemDateTime
    end: CosemDateTime


OBJECT_REFERENCE = structure(ObjectReference, LONG_UNSIGNED, LOGICAL_NAME)
ATTRIBUTE_REFERENCE = structure(AttributeReference, LONG_UNSIGNED, LOGICAL_NAME, INTEGER)
WINDOWS = array(structure(Window, DATE_TIME, DATE_TIME))


class Baud(IntEnum):
    """Speed of a serial port, in bits a second."""

    BAUD_300 = 0
    BAUD_600 = 1
    BAUD_1200 = 2
    BAUD_2400 = 3
    BAUD_4800 = 4
    BAUD_9600 = 5
    BAUD_19200 = 6
    BAUD_38400 = 7
    BAUD_57600 = 8
    BAUD_115200 = 9


class RestrictionType(IntEnum):
    """How the rows of a listed profile are restricted."""

    NONE = 0
    BY_DATE = 1
    BY_ENTRY = 2


class ByDate(NamedTuple):
    """Only rows of these dates; octets as the standard's `from_date` and `to_date`."""

    from_date: bytes
    to_date: bytes


class ByEntryNumber(NamedTuple):
    """Only rows with these numbers."""

    from_entry: int
    to_entry: int


Restriction: TypeAlias = ByDate | ByEntryNumber | None

RESTRICTION: Kind[Restriction] = choice(
    "restriction element",
    (type(None), labelled(RestrictionType.NONE, NOTHING)),
    (ByDate, labelled(RestrictionType.BY_DATE, structure(ByDate, OCTETS, OCTETS))),
    (
        ByEntryNumber,
        labelled(
            RestrictionType.BY_ENTRY,
            structure(ByEntryNumber, DOUBLE_LONG_UNSIGNED, DOUBLE_LONG_UNSIGNED),
        ),
    ),
)


class RestrictedAttribute(NamedTuple):
    """A listed attribute, or an element of it, with the rows that are meant."""

    class_id: int
    logical_name: Obis
    attribute_index: int
    data_index: int
    restriction: Restriction


RESTRICTED_ATTRIBUTE = structure(
    RestrictedAttribute, LONG_UNSIGNED, LOGICAL_NAME, INTEGER, LONG_UNSIGNED, RESTRICTION
)
