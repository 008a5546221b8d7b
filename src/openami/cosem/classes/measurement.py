# SPDX-License-Identifier: Apache-2.0
"""Interface classes that hold a measured value (DLMS UA 1000-1 Ed. 12, 4.3).

The rows of a profile are served by `profile`, which also carries out selective access.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import RAW
from openami.cosem.kinds import (
    ANY,
    DATE_TIME,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    INTEGER,
    LONG_UNSIGNED,
    NUMBER,
    Kind,
    KindError,
    array,
    describe,
    enumeration,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.apdu.selective import CaptureObject
from openami.dlms.data import Data as AxdrData


class ScalerUnit(NamedTuple):
    """Meaning of a stored integer: physical value = integer x 10**scaler, in unit.

    ``ScalerUnit(-3, 30)`` is Wh in steps of 0.001 Wh; units are Table 4 of the standard.
    """

    scaler: int
    unit: int


SCALER_UNIT = structure(ScalerUnit, INTEGER, ENUM)


def _column_from(value: AxdrData) -> CaptureObject:
    try:
        return CaptureObject.from_data(value)
    except ValueError:
        raise KindError("capture_object_definition", describe(value)) from None


CAPTURE_OBJECT: Final[Kind[CaptureObject]] = Kind(
    "capture_object_definition", CaptureObject.to_data, _column_from
)


class SortMethod(IntEnum):
    """Which entry makes room when a profile is full, and in which order entries stand."""

    FIFO = 1
    LIFO = 2
    LARGEST = 3
    SMALLEST = 4
    NEAREST_TO_ZERO = 5
    FURTHEST_FROM_ZERO = 6


class Data(InterfaceClass, class_id=1, version=0):
    """A value without a unit (4.3.1), e.g. the logical device name 0.0.42.0.0.255."""

    value = Attribute(2, ANY, dynamic=True, access=Access.READ_WRITE)


class Register(InterfaceClass, class_id=3, version=0, methods_at=0x28):
    """A value with its scaler and unit (4.3.2), e.g. the energy register 1.0.1.8.0.255."""

    value = Attribute(2, NUMBER, dynamic=True)
    scaler_unit = Attribute(3, SCALER_UNIT)

    reset = Method(1)


class ExtendedRegister(InterfaceClass, class_id=4, version=0, methods_at=0x38):
    """A register with a status and the time its value was captured (4.3.3)."""

    value = Attribute(2, NUMBER, dynamic=True)
    scaler_unit = Attribute(3, SCALER_UNIT)
    status = Attribute(4, ANY, dynamic=True)
    capture_time = Attribute(5, DATE_TIME, dynamic=True)

    reset = Method(1)


class DemandRegister(InterfaceClass, class_id=5, version=0, methods_at=0x48):
    """The average of a value over a sliding period (4.3.4)."""

    current_average_value = Attribute(2, NUMBER, dynamic=True)
    last_average_value = Attribute(3, NUMBER, dynamic=True)
    scaler_unit = Attribute(4, SCALER_UNIT)
    status = Attribute(5, ANY, dynamic=True)
    capture_time = Attribute(6, DATE_TIME, dynamic=True)
    start_time_current = Attribute(7, DATE_TIME, dynamic=True)
    period = Attribute(8, DOUBLE_LONG_UNSIGNED, access=Access.READ_WRITE)  # seconds
    number_of_periods = Attribute(9, LONG_UNSIGNED, access=Access.READ_WRITE)

    reset = Method(1)
    next_period = Method(2)


class ProfileGeneric(InterfaceClass, class_id=7, version=1, methods_at=0x58):
    """Rows of captured values in the order of their capture (4.3.6), e.g. a load profile."""

    buffer = Attribute(2, ANY, dynamic=True)
    capture_objects = Attribute(3, array(CAPTURE_OBJECT), access=Access.READ_WRITE)
    capture_period = Attribute(  # seconds; 0: triggered from outside
        4, DOUBLE_LONG_UNSIGNED, access=Access.READ_WRITE
    )
    sort_method = Attribute(5, enumeration(SortMethod), access=Access.READ_WRITE)
    sort_object = Attribute(6, CAPTURE_OBJECT, access=Access.READ_WRITE)
    entries_in_use = Attribute(7, DOUBLE_LONG_UNSIGNED, dynamic=True)
    profile_entries = Attribute(8, DOUBLE_LONG_UNSIGNED, access=Access.READ_WRITE)

    reset = Method(1)
    capture = Method(2)


class ProfileGenericV0(ProfileGeneric, class_id=7, version=0, methods_at=0x58):
    """Version 0: two methods more, which selective access has replaced (4.3.6)."""

    get_buffer_by_range = Method(3, RAW, RAW)
    get_buffer_by_index = Method(4, RAW, RAW)
