# SPDX-License-Identifier: Apache-2.0
"""Rules on energy: what goes backwards, and what does not add up to the register."""

from typing import Final

import numpy as np

from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Flag, Int64, Series

SIZES: Final = (2**32, *(10**digits for digits in range(5, 13)))
"""Of registers, in Wh: four octets, or decimal digits of Wh or kWh."""


def register_steps(series: Series, limits: Limits) -> Int64:
    """Return what the register advanced in each interval but the first, over its end too.

    A register with so many digits, or octets, begins at zero again behind its last number.  That it
    did is believed where the interval's own value says the same.
    """
    steps: Int64 = np.diff(series.register)
    both = series.register_present[1:] & series.register_present[:-1] & series.present[1:]
    for index in np.flatnonzero(both & (steps < 0)):
        value, step = int(series.values[index + 1]), int(steps[index])
        tolerance = max(limits.sum_tolerance_wh, limits.sum_tolerance_ratio * value)
        for size in SIZES:
            if series.register[index] < size and abs(step + size - value) <= tolerance:
                steps[index] += size
    return steps


def negative(series: Series, limits: Limits) -> list[Flag]:
    """A value below zero, or a register that went back and not over its end."""
    below = series.present & (series.values < 0)
    found = {int(index): {"value_wh": int(series.values[index])} for index in np.flatnonzero(below)}
    both = series.register_present[1:] & series.register_present[:-1]
    steps = register_steps(series, limits)
    for index in np.flatnonzero(both & (steps < 0)) + 1:
        found.setdefault(int(index), {})["register_step_wh"] = int(steps[index - 1])
    return [Flag(index, found[index]) for index in sorted(found) if index >= series.day]


def sum_check(series: Series, limits: Limits) -> list[Flag]:
    """The day's intervals do not add up to the difference of its boundary registers.

    |sum - (R_end - R_start)| <= max(tolerance, ratio x difference).  R_start is the register at the
    end of the interval before the day.  Flags the intervals that differ from their own register
    step; the day's first interval when none does by itself.
    """
    day = slice(series.day, None)
    if series.day == 0 or not series.present[day].any():
        return []
    start = series.day - 1
    if not (series.present[day].all() and series.register_present[start]):
        return []
    if not series.register_present[-1]:
        return []
    total = int(series.values[day].sum())
    steps = register_steps(series, limits)
    over = steps - np.diff(series.register)  # where the register began at zero again
    difference = int(series.register[-1] - series.register[start] + over[start:].sum())
    tolerance = max(limits.sum_tolerance_wh, limits.sum_tolerance_ratio * abs(difference))
    if abs(total - difference) <= tolerance:
        return []
    stepped = series.register_present[1:] & series.register_present[:-1] & ~series.estimated[1:]
    wrong = np.flatnonzero(stepped & (np.abs(steps - series.values[1:]) > tolerance)) + 1
    wrong = wrong[wrong >= series.day]
    numbers = {"sum_wh": total, "register_wh": difference, "tolerance_wh": round(tolerance, 3)}
    return [Flag(int(index), numbers) for index in wrong] or [Flag(series.day, numbers)]
