# SPDX-License-Identifier: Apache-2.0
"""Interface classes that switch tariffs and watch limits (DLMS UA 1000-1 Ed. 12, 4.3.5, 4.5).

Scripts say what is done, calendars when, monitors and limiters on which value.
"""

from typing import NamedTuple

from openami.cosem.choices import bits
from openami.cosem.classes.references import ATTRIBUTE_REFERENCE, OBJECT_REFERENCE
from openami.cosem.classes.time_event import SCHEDULED_SCRIPT, ScheduledScript
from openami.cosem.kinds import (
    ANY,
    BITS,
    BOOLEAN,
    DATE_OCTETS,
    DATE_TIME,
    DOUBLE_LONG_UNSIGNED,
    ENUM,
    INTEGER,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    OCTETS,
    TIME_OCTETS,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import BitString
from openami.dlms.data import Data as AxdrData
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

_RW = Access.READ_WRITE


class RegisterActMask(NamedTuple):
    """Which of the assigned registers run while the mask is active."""

    mask_name: bytes
    index_list: tuple[int, ...]


_MASK = structure(RegisterActMask, OCTETS, array(UNSIGNED))


class RegisterActivation(InterfaceClass, class_id=6, version=0, methods_at=0x30):
    """Which registers count in which tariff (4.3.5)."""

    register_assignment = Attribute(2, array(OBJECT_REFERENCE), access=_RW)
    mask_list = Attribute(
        3, array(_MASK), access=_RW, unsure="whether indexes begin at 1, as here, or at 0"
    )
    active_mask = Attribute(4, OCTETS, dynamic=True, access=_RW)

    add_register = Method(1, OBJECT_REFERENCE)
    add_mask = Method(2, _MASK)
    delete_mask = Method(3, OCTETS)


class ActionSpecification(NamedTuple):
    """One step of a script: service 1 writes an attribute, 2 invokes a method, by its index."""

    service_id: int
    class_id: int
    logical_name: Obis
    row_index: int
    parameter: AxdrData


class Script(NamedTuple):
    """Steps that are carried out together."""

    script_identifier: int
    actions: tuple[ActionSpecification, ...]


class ScriptTable(InterfaceClass, class_id=9, version=0, methods_at=0x20):
    """Scripts by number (4.5.2), e.g. 0.0.10.0.106.255 for the disconnector."""

    scripts = Attribute(
        2,
        array(
            structure(
                Script,
                LONG_UNSIGNED,
                array(
                    structure(ActionSpecification, ENUM, LONG_UNSIGNED, LOGICAL_NAME, INTEGER, ANY)
                ),
            )
        ),
        access=_RW,
    )

    execute = Method(1, LONG_UNSIGNED)


class ScheduleEntry(NamedTuple):
    """A script that runs at a time of day on certain days.

    Time in 4 octets and dates in 5 may hold wildcards; the validity window is in minutes.
    """

    entry_index: int
    enable: bool
    script_logical_name: Obis
    script_selector: int
    switch_time: bytes
    validity_window: int
    exec_weekdays: BitString
    exec_specdays: BitString
    begin_date: bytes
    end_date: bytes


class EnableDisable(NamedTuple):
    """Ranges of entry numbers: first those to disable, then those to enable; 0 is none."""

    first_entry_to_disable: int
    last_entry_to_disable: int
    first_entry_to_enable: int
    last_entry_to_enable: int


class EntryRange(NamedTuple):
    """Entries from one number to another, both included."""

    first_index: int
    last_index: int


_SCHEDULE_ENTRY = structure(
    ScheduleEntry,
    LONG_UNSIGNED,
    BOOLEAN,
    LOGICAL_NAME,
    LONG_UNSIGNED,
    TIME_OCTETS,
    LONG_UNSIGNED,
    bits(7),
    BITS,
    DATE_OCTETS,
    DATE_OCTETS,
)


class Schedule(InterfaceClass, class_id=10, version=0, methods_at=0x20):
    """Scripts by time of day, weekday and special day (4.5.3)."""

    entries = Attribute(
        2,
        array(_SCHEDULE_ENTRY),
        access=_RW,
        unsure="whether the first bit of exec_specdays is day_id 0, as here",
    )

    enable_disable = Method(1, structure(EnableDisable, *(LONG_UNSIGNED,) * 4))
    insert = Method(2, _SCHEDULE_ENTRY)
    delete = Method(3, structure(EntryRange, LONG_UNSIGNED, LONG_UNSIGNED))


class SpecialDay(NamedTuple):
    """A day with a profile of its own; the date in 5 octets may hold wildcards."""

    entry_index: int
    special_day_date: bytes
    day_id: int


_SPECIAL_DAY = structure(SpecialDay, LONG_UNSIGNED, DATE_OCTETS, UNSIGNED)


class SpecialDaysTable(InterfaceClass, class_id=11, version=0, methods_at=0x10):
    """Days that override the calendar (4.5.4)."""

    entries = Attribute(2, array(_SPECIAL_DAY), access=_RW)

    insert = Method(1, _SPECIAL_DAY)
    delete = Method(2, LONG_UNSIGNED)


class Season(NamedTuple):
    """A season begins and has a week."""

    season_profile_name: bytes
    season_start: CosemDateTime
    week_name: bytes


class Week(NamedTuple):
    """The day profile of each day of a week."""

    week_profile_name: bytes
    monday: int
    tuesday: int
    wednesday: int
    thursday: int
    friday: int
    saturday: int
    sunday: int


class DayProfileAction(NamedTuple):
    """From this time (4 octets) on, what a script does."""

    start_time: bytes
    script_logical_name: Obis
    script_selector: int


class DayProfile(NamedTuple):
    """A day and what happens in it."""

    day_id: int
    day_schedule: tuple[DayProfileAction, ...]


_SEASONS = array(structure(Season, OCTETS, DATE_TIME, OCTETS))
_WEEKS = array(structure(Week, OCTETS, *(UNSIGNED,) * 7))
_DAYS = array(
    structure(
        DayProfile,
        UNSIGNED,
        array(structure(DayProfileAction, TIME_OCTETS, LOGICAL_NAME, LONG_UNSIGNED)),
    )
)


class ActivityCalendar(InterfaceClass, class_id=20, version=0, methods_at=0x50):
    """Seasons, weeks and days of tariffs, and those that come next (4.5.5)."""

    calendar_name_active = Attribute(2, OCTETS)
    season_profile_active = Attribute(3, _SEASONS)
    week_profile_table_active = Attribute(4, _WEEKS)
    day_profile_table_active = Attribute(5, _DAYS)
    calendar_name_passive = Attribute(6, OCTETS, access=_RW)
    season_profile_passive = Attribute(7, _SEASONS, access=_RW)
    week_profile_table_passive = Attribute(8, _WEEKS, access=_RW)
    day_profile_table_passive = Attribute(9, _DAYS, access=_RW)
    activate_passive_calendar_time = Attribute(10, DATE_TIME, access=_RW)

    activate_passive_calendar = Method(1)


class Crossing(NamedTuple):
    """What is done when a threshold is crossed upwards and downwards."""

    action_up: ScheduledScript
    action_down: ScheduledScript


_CROSSING = structure(Crossing, SCHEDULED_SCRIPT, SCHEDULED_SCRIPT)


class RegisterMonitor(InterfaceClass, class_id=21, version=0):
    """Scripts that run when a value crosses thresholds (4.5.6)."""

    thresholds = Attribute(2, array(ANY), access=_RW)
    monitored_value = Attribute(3, ATTRIBUTE_REFERENCE, access=_RW)
    actions = Attribute(4, array(_CROSSING), access=_RW)


class EmergencyProfile(NamedTuple):
    """When the emergency threshold holds; the duration in seconds."""

    emergency_profile_id: int
    emergency_activation_time: CosemDateTime
    emergency_duration: int


class Limiter(InterfaceClass, class_id=71, version=0):
    """Acts when a value stays above or below a limit for a while (4.5.9)."""

    monitored_value = Attribute(2, ATTRIBUTE_REFERENCE, access=_RW)
    threshold_active = Attribute(3, ANY, dynamic=True)
    threshold_normal = Attribute(4, ANY, access=_RW)
    threshold_emergency = Attribute(5, ANY, access=_RW)
    min_over_threshold_duration = Attribute(6, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    min_under_threshold_duration = Attribute(7, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    emergency_profile = Attribute(
        8, structure(EmergencyProfile, LONG_UNSIGNED, DATE_TIME, DOUBLE_LONG_UNSIGNED), access=_RW
    )
    emergency_profile_group_id_list = Attribute(9, array(LONG_UNSIGNED), access=_RW)
    emergency_profile_active = Attribute(10, BOOLEAN, dynamic=True)
    actions = Attribute(11, _CROSSING, access=_RW)
