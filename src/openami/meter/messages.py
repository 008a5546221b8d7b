# SPDX-License-Identifier: Apache-2.0
"""What metrology and management say to each other on the link (`device.link`).

======  ===================  ==========  ================================================
kind    message              direction   payload
======  ===================  ==========  ================================================
8       MOMENTARY            up          `Momentary`; a datagram
9       TIME                 down        calendar of management, microseconds u64; a datagram
64      CLOSED_INTERVALS     up          one to sixteen `ClosedInterval`
65      EVENT                up          sequence u32, event code u16, seconds UTC u32
66      BREAKER              down        1 close, 0 open
67      BREAKER_STANDS       up          where it stands, since when: `BreakerChange`
68      STORED               down        sequence u32 up to which the ring has everything
69      AGAIN                down        sequence u32 behind which to offer again
70      SOURCE               up          what is measured, as text
71      EVENTS_STORED        down        sequence u32 up to which the log has every event
======  ===================  ==========  ================================================

Up is from metrology to management.  An interval is offered until STORED covers it; a session that
ends in between begins with STORED, and metrology offers again from there.  An event is offered in
each session until EVENTS_STORED covers it.
"""

import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

from openami.meter.metrology import ClosedInterval

MOST_INTERVALS: Final = 16  # in one message
EVENT: Final = struct.Struct(">IHI")
TIME: Final = struct.Struct(">Q")
STORED: Final = struct.Struct(">I")
ONE: Final = ClosedInterval.FORMAT.size


class Kind(IntEnum):
    """Kinds of messages."""

    MOMENTARY = 8
    TIME = 9
    CLOSED_INTERVALS = 64
    EVENT = 65
    BREAKER = 66
    BREAKER_STANDS = 67
    STORED = 68
    AGAIN = 69
    SOURCE = 70
    EVENTS_STORED = 71


def encode_intervals(intervals: Sequence[ClosedInterval]) -> bytes:
    """Return the payload of CLOSED_INTERVALS."""
    return b"".join(interval.encode() for interval in intervals)


def decode_intervals(payload: bytes) -> list[ClosedInterval]:
    """Read the payload of CLOSED_INTERVALS.

    Raises:
        struct.error: It is no whole number of intervals.
    """
    return [
        ClosedInterval.decode(payload[start : start + ONE]) for start in range(0, len(payload), ONE)
    ]
