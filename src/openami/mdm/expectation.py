# SPDX-License-Identifier: Apache-2.0
"""How many intervals should be there: the measure for coverage, gaps and read rate."""

from openami.runtime.clock import MICROSECONDS
from openami.store.intervals import DAY_US
from openami.store.registry import Meter


def expected_in_day(meter: Meter, day: int, until_us: int) -> int:
    """Return how many intervals of a UTC day (days since 1970) ended by `until_us`."""
    first, after = expected_range(meter, day * DAY_US, (day + 1) * DAY_US, until_us)
    return max(0, after - first) // (meter.capture_period_s * MICROSECONDS)


def expected_range(meter: Meter, from_us: int, to_us: int, until_us: int) -> tuple[int, int]:
    """Return [first start, start after the last) of what should be there in [from_us, to_us).

    A meter's first interval starts at `installed_us`, rounded up to its capture period; an interval
    is expected once it ended by `until_us`.
    """
    period_us = meter.capture_period_s * MICROSECONDS
    installed = -(-meter.installed_us // period_us) * period_us
    first = max(installed, -(-from_us // period_us) * period_us)
    after = min(to_us, until_us // period_us * period_us)
    return first, max(first, after)
