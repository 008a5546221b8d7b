# SPDX-License-Identifier: Apache-2.0
"""Event codes of the meter's event log (0.0.96.11.0.255).

The numbers follow Dutch (D)SMR practice where it names the event; 230 to 249 are the
manufacturer's, ours.
"""

from enum import IntEnum
from typing import Final


class EventCode(IntEnum):
    """What the meter's event log says happened."""

    POWER_FAILURE = 1
    POWER_RETURNED = 2
    CLOCK_ADJUSTED = 4
    ERROR_REGISTER_CLEARED = 10
    ALARM_REGISTER_CLEARED = 11
    MEASUREMENT_ERROR = 16
    MODULE_REMOVED = 21
    MODULE_INSERTED = 22
    TERMINAL_COVER_REMOVED = 40
    TERMINAL_COVER_CLOSED = 41
    STRONG_FIELD = 42
    STRONG_FIELD_GONE = 43
    METER_COVER_REMOVED = 44
    METER_COVER_CLOSED = 45
    FAILED_LOGIN = 46
    CONFIGURATION_CHANGED = 47
    OUTAGE_L1 = 86
    OUTAGE_L2 = 87
    OUTAGE_L3 = 88
    RETURNED_L1 = 90
    RETURNED_L2 = 91
    RETURNED_L3 = 92
    SAG_L1 = 93
    SAG_L2 = 94
    SAG_L3 = 95
    SWELL_L1 = 96
    SWELL_L2 = 97
    SWELL_L3 = 98
    DISCONNECTED_REMOTELY = 230
    CONNECTED_REMOTELY = 231
    REPLAY_REFUSED = 232
    STATE_RESTORED = 233
    NEUTRAL_LOST = 234
    NEUTRAL_RETURNED = 235
    PHASE_SEQUENCE_REVERSED = 236
    PHASE_SEQUENCE_RIGHT = 237
    CURRENT_REVERSED = 238
    CURRENT_RIGHT = 239
    MODULE_REFUSED = 240
    METROLOGY_CHANGED = 241
    LOAD_LIMITED = 245


TEXT: Final[dict[EventCode, str]] = {
    EventCode.POWER_FAILURE: "power failed",
    EventCode.POWER_RETURNED: "power returned",
    EventCode.CLOCK_ADJUSTED: "clock adjusted",
    EventCode.ERROR_REGISTER_CLEARED: "error register cleared",
    EventCode.ALARM_REGISTER_CLEARED: "alarm register cleared",
    EventCode.MEASUREMENT_ERROR: "measurement error",
    EventCode.MODULE_REMOVED: "metrology and management lost each other",
    EventCode.MODULE_INSERTED: "metrology and management joined",
    EventCode.TERMINAL_COVER_REMOVED: "terminal cover removed",
    EventCode.TERMINAL_COVER_CLOSED: "terminal cover closed",
    EventCode.STRONG_FIELD: "strong magnetic field",
    EventCode.STRONG_FIELD_GONE: "strong magnetic field gone",
    EventCode.METER_COVER_REMOVED: "meter cover removed",
    EventCode.METER_COVER_CLOSED: "meter cover closed",
    EventCode.OUTAGE_L1: "no voltage on L1",
    EventCode.OUTAGE_L2: "no voltage on L2",
    EventCode.OUTAGE_L3: "no voltage on L3",
    EventCode.RETURNED_L1: "voltage returned on L1",
    EventCode.RETURNED_L2: "voltage returned on L2",
    EventCode.RETURNED_L3: "voltage returned on L3",
    EventCode.SAG_L1: "voltage sag on L1",
    EventCode.SAG_L2: "voltage sag on L2",
    EventCode.SAG_L3: "voltage sag on L3",
    EventCode.SWELL_L1: "voltage swell on L1",
    EventCode.SWELL_L2: "voltage swell on L2",
    EventCode.SWELL_L3: "voltage swell on L3",
    EventCode.FAILED_LOGIN: "an association was refused: wrong password or key",
    EventCode.CONFIGURATION_CHANGED: "configuration changed",
    EventCode.DISCONNECTED_REMOTELY: "supply disconnected remotely",
    EventCode.CONNECTED_REMOTELY: "supply connected remotely",
    EventCode.REPLAY_REFUSED: "an old invocation counter was refused",
    EventCode.STATE_RESTORED: "damaged state was set aside and restored",
    EventCode.NEUTRAL_LOST: "neutral lost",
    EventCode.NEUTRAL_RETURNED: "neutral returned",
    EventCode.PHASE_SEQUENCE_REVERSED: "phase sequence reversed",
    EventCode.PHASE_SEQUENCE_RIGHT: "phase sequence right again",
    EventCode.CURRENT_REVERSED: "current reversed",
    EventCode.CURRENT_RIGHT: "current flows the right way again",
    EventCode.MODULE_REFUSED: "a module of the meter that was not paired with it was refused",
    EventCode.LOAD_LIMITED: "supply cut by the load limit",
    EventCode.METROLOGY_CHANGED: "metrology runs another program than before",
}

TEXT_BY_NUMBER: Final[dict[int, str]] = {int(code): text for code, text in TEXT.items()}

ALARMS: Final = frozenset(
    {
        EventCode.POWER_FAILURE,
        EventCode.MEASUREMENT_ERROR,
        EventCode.MODULE_REMOVED,
        EventCode.TERMINAL_COVER_REMOVED,
        EventCode.STRONG_FIELD,
        EventCode.METER_COVER_REMOVED,
        EventCode.NEUTRAL_LOST,
        EventCode.CURRENT_REVERSED,
        EventCode.FAILED_LOGIN,
        EventCode.REPLAY_REFUSED,
        EventCode.MODULE_REFUSED,
        EventCode.METROLOGY_CHANGED,
    }
)


def event_text(code: int) -> str:
    """Return what a code means, or say that it is unknown."""
    return TEXT_BY_NUMBER.get(code, f"event {code} (no text known)")
