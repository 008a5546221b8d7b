# SPDX-License-Identifier: Apache-2.0
"""Interface classes of time and event control (DLMS UA 1000-1 Ed. 12, 4.5).

The clock shows the time and lets a manager shift it; what the time is, and what a shift does to
a running interval, is the meter's business.
"""

from enum import IntEnum
from typing import NamedTuple

from openami.cosem.kinds import (
    BOOLEAN,
    DATE_OCTETS,
    DATE_TIME,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
    LONG,
    LONG_UNSIGNED,
    TIME_OCTETS,
    UNSIGNED,
    array,
    enumeration,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis


class ClockBase(IntEnum):
    """Where a clock takes its rate from."""

    UNDEFINED = 0
    INTERNAL_CRYSTAL = 1
    MAINS_50_HZ = 2
    MAINS_60_HZ = 3
    GPS = 4
    RADIO_CONTROLLED = 5


class PresetTime(NamedTuple):
    """A time to be set later, and the window in which the command holds."""

    preset_time: CosemDateTime
    validity_interval_start: CosemDateTime
    validity_interval_end: CosemDateTime


class Clock(InterfaceClass, class_id=8, version=0, methods_at=0x60):
    """Date, time and daylight saving of the meter (4.5.1)."""

    time = Attribute(2, DATE_TIME, dynamic=True, access=Access.READ_WRITE)
    time_zone = Attribute(3, LONG, access=Access.READ_WRITE)  # minutes; UTC = local + time_zone
    status = Attribute(4, UNSIGNED, dynamic=True)
    daylight_savings_begin = Attribute(5, DATE_TIME, access=Access.READ_WRITE)
    daylight_savings_end = Attribute(6, DATE_TIME, access=Access.READ_WRITE)
    daylight_savings_deviation = Attribute(7, INTEGER, access=Access.READ_WRITE)  # minutes
    daylight_savings_enabled = Attribute(8, BOOLEAN, access=Access.READ_WRITE)
    clock_base = Attribute(9, enumeration(ClockBase))

    adjust_to_quarter = Method(1)
    adjust_to_measuring_period = Method(2)
    adjust_to_minute = Method(3)
    adjust_to_preset_time = Method(4)
    preset_adjusting_time = Method(5, structure(PresetTime, DATE_TIME, DATE_TIME, DATE_TIME))
    shift_time = Method(6, LONG)  # seconds, -900 to 900


class ScheduledScript(NamedTuple):
    """A script of a script table."""

    script_logical_name: Obis
    script_selector: int


SCHEDULED_SCRIPT = structure(ScheduledScript, LOGICAL_NAME, LONG_UNSIGNED)


class ExecutionTime(NamedTuple):
    """When to execute: time in 4 octets and date in 5, either may hold wildcards."""

    time: bytes
    date: bytes


class SingleActionSchedule(InterfaceClass, class_id=22, version=0):
    """A script that runs at set times (4.5.7), e.g. to push or to activate an image."""

    executed_script = Attribute(2, SCHEDULED_SCRIPT, access=Access.READ_WRITE)
    type = Attribute(3, ENUM)  # 1 to 5: how many times, and wildcards in the date
    execution_time = Attribute(
        4, array(structure(ExecutionTime, TIME_OCTETS, DATE_OCTETS)), access=Access.READ_WRITE
    )
