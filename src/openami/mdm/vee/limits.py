# SPDX-License-Identifier: Apache-2.0
"""The numbers of the rules, with their units; `[vee]` of `mdm/config.toml` may set each."""

from dataclasses import dataclass
from typing import Final, Self

HALF_HOUR_S: Final = 1800  # the intervals that the defaults are written for


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Thresholds; none of them is given by a standard that binds every market.

    Those of energy and of counted intervals are for intervals of half an hour: `of_period` gives
    the same of others.
    """

    grace_s: float = 600.0  # after its end an interval may still be on its way
    spike_ratio: float = 1.8  # (highest - third highest) / third highest of a local day
    spike_minimum_wh: int = 2500  # a day whose highest interval is below is not looked at
    high_limit_wh: int = 12_650  # 230 V x 100 A x 0.5 h x 1.1
    sum_tolerance_wh: int = 2  # two steps of the register
    sum_tolerance_ratio: float = 0.001  # of the register difference
    zero_run_intervals: int = 48  # consecutive zeros beyond this are a finding
    interpolate_intervals: int = 4  # two hours: straight line up to here, like days beyond
    like_days: int = 3  # nearest valid days of the same weekday
    like_days_within: int = 35  # days to look back and ahead for them
    scale_limit: float = 3.0  # a larger factor to the register difference is not believed
    estimate_after_s: float = 21_600.0  # six hours: reading again comes first
    estimate_unasked_s: float = 86_400.0  # estimate even if nobody could ask again

    @classmethod
    def of_period(cls, period_s: int) -> Self:
        """Return the defaults for intervals of a capture period."""
        share = period_s / HALF_HOUR_S
        return cls(
            spike_minimum_wh=round(cls.spike_minimum_wh * share),
            high_limit_wh=round(cls.high_limit_wh * share),
            zero_run_intervals=max(1, round(cls.zero_run_intervals / share)),
            interpolate_intervals=int(cls.interpolate_intervals / share),
        )
