# SPDX-License-Identifier: Apache-2.0
"""Estimation of missing intervals: straight line, like days, scaling to the register.

Up to two hours a straight line between the neighbours; beyond, the mean of the same local time on
the nearest valid days of the same weekday (California's VEE standards of 1998; IESO allows the
line for one hour only).  Where registers are known on both sides of a gap, the estimate is scaled
so that it adds up to their difference exactly.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.exchange.quality import Quality
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Bool, Int64

Float64 = npt.NDArray[np.float64]

WEEK: Final = 7
SATURDAY: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Window:
    """A channel around a gap.

    Attributes:
        values: On the grid of intervals.
        valid: Measured, not suspect, not in a power failure: what an estimate may lean on.
        day: Local day of each interval, days since 1970-01-01.
        slot: Local time of day of each interval, in capture periods.
        gap: The missing intervals: [first, after).
        total: What the gap must add up to, by the registers; None if they do not tell.
    """

    values: Int64
    valid: Bool
    day: Int64
    slot: Int64
    gap: tuple[int, int]
    total: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Estimate:
    """Values for the gap, and how they came about."""

    values: Int64
    quality: Quality


def estimate(window: Window, limits: Limits) -> Estimate | None:
    """Estimate a gap; None when there is nothing to lean on."""
    first, after = window.gap
    shape: Float64 | None = None
    quality = Quality.ESTIMATED
    if after - first <= limits.interpolate_intervals:
        shape = interpolate(window)
        quality |= Quality.INTERPOLATED
    if shape is None:
        shape = like_days(window, limits)
        quality = Quality.ESTIMATED | Quality.LIKE_DAY
    if shape is None:
        shape = interpolate(window)
        quality = Quality.ESTIMATED | Quality.INTERPOLATED
    if shape is None and window.total is not None:
        shape = np.zeros(after - first)  # the registers alone: spread flat
    if shape is None:
        return None
    scaled = None if window.total is None else scale(shape, window.total, limits)
    if scaled is None:
        return Estimate(np.rint(np.maximum(shape, 0)).astype(np.int64), quality)
    return Estimate(scaled, quality | Quality.SCALED)


def interpolate(window: Window) -> Float64 | None:
    """x_i = a + (b - a) i / (n + 1) between the neighbours a and b; flat with one of them."""
    first, after = window.gap
    left = first > 0 and bool(window.valid[first - 1])
    right = after < len(window.values) and bool(window.valid[after])
    if not (left or right):
        return None
    a = float(window.values[first - 1]) if left else float(window.values[after])
    b = float(window.values[after]) if right else a
    steps = np.arange(1, after - first + 1) / (after - first + 1)
    return a + (b - a) * steps


def like_days(window: Window, limits: Limits) -> Float64 | None:
    """Mean of the same slot over the nearest valid days of the same weekday.

    With too few of them days of the same kind (Monday to Friday, Saturday, Sunday) fill up, then
    any days.  Days are local, so a day with 23 or 25 hours leans on the same wall-clock time.
    """
    first, after = window.gap
    found = np.full(after - first, np.nan)
    usable = window.valid.copy()
    usable[first:after] = False
    for place in range(first, after):
        same_slot = np.flatnonzero(usable & (window.slot == window.slot[place]))
        distance = np.abs(window.day[same_slot] - window.day[place])
        near = (distance <= limits.like_days_within) & (distance > 0)
        same_slot, distance = same_slot[near], distance[near]
        if not len(same_slot):
            continue
        rank = _likeness(window.day[same_slot], int(window.day[place])) * 1000 + distance
        nearest = same_slot[np.argsort(rank, kind="stable")[: limits.like_days]]
        found[place - first] = window.values[nearest].mean()
    if np.isnan(found).all():
        return None
    return np.where(np.isnan(found), np.nanmean(found), found)


def _likeness(days: Int64, day: int) -> Int64:
    """Return 0 for days of the same weekday, 1 for the same kind of day, 2 for others."""
    weekdays, weekday = _weekday(days), int(_weekday(np.array([day]))[0])
    kinds, kind = np.maximum(weekdays, SATURDAY - 1), max(weekday, SATURDAY - 1)
    likeness: Int64 = np.where(weekdays == weekday, 0, np.where(kinds == kind, 1, 2))
    return likeness


def _weekday(days: Int64) -> Int64:
    """Return 0 for Monday; day 0 was a Thursday."""
    weekday: Int64 = (days + 3) % WEEK
    return weekday


def scale(shape: Float64, total: int, limits: Limits) -> Int64 | None:
    """Bring an estimate to integers that add up to `total` exactly; None if `total` is negative.

    The registers are measured, the shape is not: where the factor would be beyond belief, the
    difference is spread flat instead, and so is all of it over a shape of zeros.  Rounding gives
    the odd units to the largest remainders.
    """
    if total < 0:
        return None
    weights: Float64 = np.maximum(shape, 0)
    if total > limits.scale_limit * weights.sum():
        exact: Float64 = weights + (total - weights.sum()) / len(weights)
    elif total == 0:
        exact = np.zeros(len(weights))
    else:
        exact = weights * (total / weights.sum())
    whole: Int64 = np.floor(exact).astype(np.int64)
    odd = total - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:odd]] += 1
    return whole
