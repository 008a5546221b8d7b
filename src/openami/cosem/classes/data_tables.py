# SPDX-License-Identifier: Apache-2.0
"""Interface classes that hold many values at once, or say what a value means.

DLMS UA 1000-1 Ed. 12, 4.3.7 to 4.3.10, and the measurement data monitoring of later editions.
"""

from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from openami.cosem.choices import RAW, choice, coded, untyped
from openami.cosem.classes.measurement import CAPTURE_OBJECT, SCALER_UNIT
from openami.cosem.classes.references import (
    RESTRICTED_ATTRIBUTE,
    RESTRICTION,
    RestrictedAttribute,
    Restriction,
)
from openami.cosem.kinds import (
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
    LONG64_UNSIGNED,
    LONG_UNSIGNED,
    OCTETS,
    UNSIGNED,
    Kind,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import CompactArray, Data
from openami.dlms.obis import Obis

_RW: Final = Access.READ_WRITE


class UtilityTables(InterfaceClass, class_id=26, version=0):
    """A table of ANSI C12.19 as octets (4.3.7)."""

    table_id = Attribute(2, LONG_UNSIGNED)
    length = Attribute(3, DOUBLE_LONG_UNSIGNED, dynamic=True)  # octets
    buffer = Attribute(4, OCTETS, dynamic=True)


class TableCellDefinition(NamedTuple):
    """Which attribute the cells hold, and the value group E of each object."""

    class_id: int
    logical_name: Obis
    group_e_values: tuple[Data, ...]
    attribute_index: int


class RegisterTable(InterfaceClass, class_id=61, version=0, methods_at=0x28):
    """The same attribute of objects that differ in group E only (4.3.8)."""

    table_cell_values = Attribute(2, RAW, dynamic=True)
    table_cell_definition = Attribute(
        3,
        structure(TableCellDefinition, LONG_UNSIGNED, LOGICAL_NAME, array(RAW), INTEGER),
        access=_RW,
    )
    scaler_unit = Attribute(4, SCALER_UNIT)

    reset = Method(1)
    capture = Method(2)


class CaptureMethod(IntEnum):
    """What fills the buffer of compact data."""

    INVOKE = 0
    IMPLICIT = 1


class CompactData(InterfaceClass, class_id=62, version=0):
    """Captured values without any tag (4.3.10).

    The buffer is the content of a compact-array: its types stand in `template_description`.
    """

    compact_buffer = Attribute(2, OCTETS, dynamic=True)
    capture_objects = Attribute(3, array(CAPTURE_OBJECT), access=_RW)
    template_id = Attribute(4, UNSIGNED, access=_RW)
    template_description = Attribute(5, OCTETS, dynamic=True)
    capture_method = Attribute(6, coded(CaptureMethod), access=_RW)

    reset = Method(1)
    capture = Method(2)


class CompactColumn(NamedTuple):
    """A captured attribute with the rows and the columns that are meant."""

    class_id: int
    logical_name: Obis
    attribute_index: int
    data_index: int
    restriction: Restriction
    columns: tuple[CaptureObject, ...]


CompactCapture: TypeAlias = RestrictedAttribute | CompactColumn | CaptureObject

_COMPACT_CAPTURE: Kind[CompactCapture] = choice(
    "capture object with restriction",
    (RestrictedAttribute, RESTRICTED_ATTRIBUTE),
    (
        CompactColumn,
        structure(
            CompactColumn,
            LONG_UNSIGNED,
            LOGICAL_NAME,
            INTEGER,
            LONG_UNSIGNED,
            RESTRICTION,
            array(CAPTURE_OBJECT),
        ),
    ),
    (CaptureObject, CAPTURE_OBJECT),
)


class CompactDataV1(InterfaceClass, class_id=62, version=1):
    """Version 1: parts of profiles can be captured (4.3.10)."""

    compact_buffer = Attribute(2, OCTETS, dynamic=True)
    capture_objects = Attribute(
        3,
        array(_COMPACT_CAPTURE),
        access=_RW,
        unsure="elements of 5 or 6 members: sources differ; 4 to 6 are read",
    )
    template_id = Attribute(4, UNSIGNED, access=_RW)
    template_description = Attribute(5, OCTETS, dynamic=True)
    capture_method = Attribute(6, coded(CaptureMethod), access=_RW)

    reset = Method(1)
    capture = Method(2)


class StatusBits(NamedTuple):
    """Which entries of the reference table the bits of a status word stand for.

    ``entries`` is the number of the first, the others following, or one number a bit.
    """

    reference_table_id: int
    entries: int | tuple[int, ...]


_ENTRIES: Kind[int | tuple[int, ...]] = choice(
    "long-unsigned or array of long-unsigned",
    (int, LONG_UNSIGNED),
    (tuple, array(LONG_UNSIGNED)),
)


class StatusMapping(InterfaceClass, class_id=63, version=0):
    """A status word and the meaning of its bits (4.3.9)."""

    status_word = Attribute(2, RAW, dynamic=True)
    mapping_table = Attribute(3, structure(StatusBits, UNSIGNED, _ENTRIES))


class TriggerOrigin(IntEnum):
    """Who started a capture."""

    REMOTE = 0
    LOCAL_SCRIPT = 1


class TriggerSource(NamedTuple):
    """Who started a capture, and the cause as the meter numbers it."""

    origin: int
    cause: int


class MeasurementDataMonitoring(
    InterfaceClass, class_id=66, version=0, methods_at=0x48, unsure="single source"
):
    """The waveform of one quantity around a trigger; captures while samples are asked for."""

    waveform_data = Attribute(2, untyped(CompactArray), dynamic=True)
    trigger_time = Attribute(3, LONG64_UNSIGNED, dynamic=True)  # microseconds
    trigger_source = Attribute(
        4, structure(TriggerSource, coded(TriggerOrigin), LONG_UNSIGNED), dynamic=True
    )
    status = Attribute(5, ENUM, dynamic=True)
    sampling_rate = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)  # samples a second
    number_of_samples_before_trigger = Attribute(7, DOUBLE_LONG_UNSIGNED, access=_RW)
    number_of_samples_after_trigger = Attribute(8, DOUBLE_LONG_UNSIGNED, access=_RW)
    scaler_unit = Attribute(9, SCALER_UNIT)

    reset = Method(1)
    trigger = Method(2)
