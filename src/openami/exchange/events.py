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
    MEASUREMENT_ERROR = 16
    MODULE_REMOVED = 21
    MODULE_INSERTED = 22
    FAILED_LOGIN = 46
    CONFIGURATION_CHANGED = 47
    DISCONNECTED_REMOTELY = 230
    CONNECTED_REMOTELY = 231
    REPLAY_REFUSED = 232
    STATE_RESTORED = 233
    MODULE_REFUSED = 240


TEXT: Final[dict[EventCode, str]] = {
    EventCode.POWER_FAILURE: "power failed",
    EventCode.POWER_RETURNED: "power returned",
    EventCode.CLOCK_ADJUSTED: "clock adjusted",
    EventCode.MEASUREMENT_ERROR: "measurement error",
    EventCode.MODULE_REMOVED: "metrology and management lost each other",
    EventCode.MODULE_INSERTED: "metrology and management joined",
    EventCode.FAILED_LOGIN: "an association was refused: wrong password or key",
    EventCode.CONFIGURATION_CHANGED: "configuration changed",
    EventCode.DISCONNECTED_REMOTELY: "supply disconnected remotely",
    EventCode.CONNECTED_REMOTELY: "supply connected remotely",
    EventCode.REPLAY_REFUSED: "an old invocation counter was refused",
    EventCode.STATE_RESTORED: "damaged state was set aside and restored",
    EventCode.MODULE_REFUSED: "a module of the meter that was not paired with it was refused",
}

TEXT_BY_NUMBER: Final[dict[int, str]] = {int(code): text for code, text in TEXT.items()}

ALARMS: Final = frozenset(
    {
        EventCode.POWER_FAILURE,
        EventCode.MEASUREMENT_ERROR,
        EventCode.MODULE_REMOVED,
        EventCode.FAILED_LOGIN,
        EventCode.REPLAY_REFUSED,
        EventCode.MODULE_REFUSED,
    }
)


def event_text(code: int) -> str:
    """Return what a code means, or say that it is unknown."""
    return TEXT_BY_NUMBER.get(code, f"event {code} (no text known)")
