# SPDX-License-Identifier: Apache-2.0
"""Commands: what may be asked of a meter, and the states an intent goes through.

A command is made durable before anything is sent.  What cannot be proven done or not done is
`IN_DOUBT` and shown to a person; it is never silently sent again.
"""

from collections.abc import Mapping
from enum import Enum, IntEnum
from typing import Final


class CommandKind(Enum):
    """What is asked."""

    READ = "read"  # registers, on demand
    CONNECT = "connect"
    ARM = "arm"  # let a person reconnect by hand
    DISCONNECT = "disconnect"
    LIMIT = "limit"  # of the load: thresholds, emergency profile
    TARIFF = "tariff"  # activity calendar, special days
    CLOCK = "clock"  # set, adjust, shift
    ALARMS = "alarms"  # show, clear, filter
    PARAMETERS = "parameters"  # any attributes
    BUNDLE = "bundle"  # several of the others in one association


class Priority(IntEnum):
    """How urgent a command is; the smaller number first."""

    URGENT = 0
    NORMAL = 1
    LOW = 2


class CommandState(Enum):
    """Where an intent stands."""

    REQUESTED = "requested"  # written, nothing reserved
    RESERVED = "reserved"  # its invocation counters are durable; sending may have begun
    SENT = "sent"
    CONFIRMED = "confirmed"  # the meter's state was read back and is as asked
    REFUSED = "refused"  # the meter said no
    FAILED = "failed"  # proven not done
    IN_DOUBT = "in doubt"  # neither proven done nor proven not done
    EXPIRED = "expired"  # its validity ended before it was sent
    CANCELLED = "cancelled"  # withdrawn before it was sent


TRANSITIONS: Final[Mapping[CommandState, frozenset[CommandState]]] = {
    CommandState.REQUESTED: frozenset(
        {
            CommandState.RESERVED,
            CommandState.EXPIRED,
            CommandState.FAILED,
            CommandState.CANCELLED,
        }
    ),
    CommandState.RESERVED: frozenset(
        {CommandState.SENT, CommandState.FAILED, CommandState.IN_DOUBT, CommandState.CONFIRMED}
    ),
    CommandState.SENT: frozenset(
        {
            CommandState.CONFIRMED,
            CommandState.REFUSED,
            CommandState.FAILED,
            CommandState.IN_DOUBT,
        }
    ),
    CommandState.IN_DOUBT: frozenset({CommandState.CONFIRMED, CommandState.FAILED}),
    CommandState.CONFIRMED: frozenset(),
    CommandState.REFUSED: frozenset(),
    CommandState.FAILED: frozenset(),
    CommandState.EXPIRED: frozenset(),
    CommandState.CANCELLED: frozenset(),
}

OPEN: Final = frozenset({CommandState.REQUESTED, CommandState.RESERVED, CommandState.SENT})
