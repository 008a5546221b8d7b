# SPDX-License-Identifier: Apache-2.0
"""Demand: the average power of a window that slides in steps, and the highest there was.

As the demand register of the interface classes (class 5) has it: `period_s` is the step,
`number_of_periods` how many of them make the window; 1 is block demand.  Periods end on multiples
of `period_s` of the calendar.
"""

from collections import deque
from dataclasses import dataclass
from typing import Final

from openami.meter.measuring.pulses import MICRO_WH_PER_KWH

SECONDS_PER_HOUR: Final = 3600
MICRO_W: Final = MICRO_WH_PER_KWH // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """The highest demand, and the end of its window."""

    demand_w: float
    at_s: int


class Demand:
    """One register's demand.

    Args:
        period_s: Length of a period.
        number_of_periods: Periods in the sliding window.
    """

    __slots__ = ("_ends", "_now", "_number", "_period_s", "last_average_w", "maximum")

    def __init__(self, period_s: int = 900, number_of_periods: int = 1) -> None:
        if period_s <= 0 or number_of_periods <= 0:
            raise ValueError(f"{number_of_periods} periods of {period_s} s are no window")
        self._period_s = period_s
        self._number = number_of_periods
        self._ends: deque[tuple[int, int]] = deque(maxlen=number_of_periods + 1)
        self._now: tuple[float, int] = (0.0, 0)
        self.last_average_w: float | None = None
        self.maximum: Peak | None = None

    def update(self, at_s: float, register_micro_wh: int) -> None:
        """Tell the register's value; at each end of a period it must be told once at least.

        A period that began before the first value is not judged.
        """
        end_s = int(at_s // self._period_s * self._period_s)
        if not self._ends:
            if at_s == end_s:
                self._ends.append((end_s, register_micro_wh))
            elif self._now[0] < end_s and self._now[0]:
                self._ends.append((end_s, self._between(end_s, at_s, register_micro_wh)))
        elif end_s > self._ends[-1][0]:
            value = self._between(end_s, at_s, register_micro_wh)
            self._ends.append((end_s, value))
            self._close(end_s)
        self._now = (at_s, register_micro_wh)

    @property
    def current_average_w(self) -> float:
        """Average since the window's last whole periods began, over the whole window so far."""
        if not self._ends:
            return 0.0
        start_s, start = self._ends[-min(self._number, len(self._ends))]
        at_s, value = self._now
        return _average_w(value - start, at_s - start_s) if at_s > start_s else 0.0

    def _between(self, end_s: int, at_s: float, value: int) -> int:
        """Return the register at `end_s`, by straight line from the value told before."""
        before_s, before = self._now
        if at_s <= before_s:
            return value
        return before + round((value - before) * (end_s - before_s) / (at_s - before_s))

    def _close(self, end_s: int) -> None:
        if len(self._ends) <= self._number:
            return
        start_s, start = self._ends[0]
        self.last_average_w = _average_w(self._ends[-1][1] - start, end_s - start_s)
        if self.maximum is None or self.last_average_w > self.maximum.demand_w:
            self.maximum = Peak(demand_w=self.last_average_w, at_s=end_s)


def _average_w(micro_wh: int, span_s: float) -> float:
    return micro_wh * SECONDS_PER_HOUR / MICRO_W / span_s
