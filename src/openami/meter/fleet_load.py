# SPDX-License-Identifier: Apache-2.0
"""The replayed loads of many meters at once: one half-hour of all of them is one look-up.

It says what `replay.ReplayedLoad` says of each, by the same rule: meters take the homes in turn,
the seed and the meter's number choose the week to begin with.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from openami.meter.config import MeterConfig
from openami.meter.load import INTERVAL_S
from openami.meter.replay import (
    FIRST_MONDAY_S,
    STANDARD_OFFSET_S,
    WEEK_S,
    first_week,
    home_numbers,
    home_weeks,
)

Int64 = npt.NDArray[np.int64]


class FleetLoad:
    """What the homes behind many meters draw.

    Args:
        configs: Of the meters; a column of every array here is one of them, in this order.
    """

    def __init__(self, configs: Sequence[MeterConfig]) -> None:
        data, homes = home_weeks(), np.array(home_numbers())
        turn = np.array([config.meter_id + config.seed - 2 for config in configs], np.int64)
        mine = homes[turn % len(homes)]
        self._first = np.searchsorted(data.home, mine)
        self._weeks = np.searchsorted(data.home, mine, side="right") - self._first
        draws = [first_week(config.seed, config.meter_id) for config in configs]
        self._start = np.array(draws, np.int64) % self._weeks
        self._wh = data.wh

    def interval_wh(self, start_s: int) -> Int64:
        """Return the Wh of the half-hour that starts at `start_s` (seconds UTC), by column."""
        week, second = divmod(start_s + STANDARD_OFFSET_S - FIRST_MONDAY_S, WEEK_S)
        rows = self._first + (self._start + week) % self._weeks
        found: Int64 = self._wh[rows, second // INTERVAL_S].astype(np.int64)
        return found
