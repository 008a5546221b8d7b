# SPDX-License-Identifier: Apache-2.0
"""Crystals that are not exact: what the clocks of some meters of a fleet run by.

A meter's clock is an offset from its crystal, and the crystal gains from the moment at which the
meter was installed.  Which meters have such a one, and how fast it is, comes from the seed alone.
Intervals and events keep metrology's time (docs/meter.md, 5).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from openami.runtime.clock import MICROSECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Crystals:
    """Of a fleet.

    Attributes:
        drifting: The part of the meters whose crystal is not exact.
        drift_ppm: The most that one gains or loses, parts per million.
    """

    drifting: float = 0.0
    drift_ppm: float = 0.0

    def ppm_of(self, meter_id: int, seed: int) -> float:
        """Return what a meter's crystal gains, parts per million; 0 where it is exact."""
        drawn = random.Random(f"crystal {seed} {meter_id}")  # noqa: S311  no secret
        if drawn.random() >= self.drifting:
            return 0.0
        return drawn.uniform(-self.drift_ppm, self.drift_ppm)

    def of(
        self, meter_id: int, seed: int, installed_s: int, calendar_us: Callable[[], int]
    ) -> Callable[[], int] | None:
        """Return a meter's crystal, microseconds; None where it is the calendar.

        Args:
            meter_id: The meter's.
            seed: Of the fleet.
            installed_s: When it stood right, calendar seconds.
            calendar_us: The calendar.
        """
        ppm = self.ppm_of(meter_id, seed)
        if not ppm:
            return None
        begun_us = installed_s * MICROSECONDS

        def crystal_us() -> int:
            now_us = calendar_us()
            return now_us + round((now_us - begun_us) * ppm / 1e6)

        return crystal_us


EXACT = Crystals()
