# SPDX-License-Identifier: Apache-2.0
"""How far a meter's clock is off, and how well that is known.

A deviation is what the meter's clock shows, less our calendar half-way between question and answer;
half of that span is its uncertainty, however the question went: through a concentrator, on a line,
by a slow bearer.  A clock that does not tell hundredths, or seconds, stands somewhere in between.
"""

from typing import Final, NamedTuple

from openami.dlms.datetimes import CosemDateTime
from openami.runtime.clock import MICROSECONDS, to_us

HALF_SECOND_S: Final = 0.5
HALF_MINUTE_S: Final = 30.0


class Deviation(NamedTuple):
    """How far a clock is off, calendar seconds; positive when it is ahead.

    Attributes:
        off_s: How far.
        uncertainty_s: What may be wrong of that, either way.
        status: Its clock_status; None where it tells none.
    """

    off_s: float
    uncertainty_s: float
    status: int | None = None


class Timeless(NamedTuple):
    """What is known of a clock that tells no time."""

    uncertainty_s: float
    status: int | None


def deviation_of(time: CosemDateTime, asked_us: int, answered_us: int) -> Deviation | Timeless:
    """Return how far a clock is off that told a time between two moments of the calendar."""
    half_s = (answered_us - asked_us) / 2 / MICROSECONDS
    status = None if time.clock_status is None else int(time.clock_status)
    try:
        told_us = to_us(time.to_utc())
    except ValueError:
        return Timeless(half_s, status)
    hidden_s = 0.0
    if time.second is None:
        hidden_s = HALF_MINUTE_S
    elif time.hundredths is None:
        hidden_s = HALF_SECOND_S
    off_s = (told_us - (asked_us + answered_us) / 2) / MICROSECONDS
    return Deviation(off_s + hidden_s, half_s + hidden_s, status)
