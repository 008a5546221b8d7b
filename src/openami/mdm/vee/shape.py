# SPDX-License-Identifier: Apache-2.0
"""Rules on the shape of a day: spike, high limit, zero run."""

import numpy as np

from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Flag, Series


def spike(series: Series, limits: Limits) -> list[Flag]:
    """The highest interval of a local day stands out: (P1 - P3) / P3 > ratio.

    P1 is the highest and P3 the third highest interval.  A day whose P1 is small is not looked
    at, nor one with fewer than three values; with P3 = 0 any P1 that is large enough stands out.
    """
    day = np.flatnonzero(series.present & ~series.estimated)
    day = day[day >= series.day]
    if len(day) < 3:
        return []
    order = day[np.argsort(series.values[day], kind="stable")]
    p1, p3 = int(series.values[order[-1]]), int(series.values[order[-3]])
    if p1 < limits.spike_minimum_wh or p1 - p3 <= limits.spike_ratio * max(p3, 0):
        return []
    ratio = round((p1 - p3) / p3, 3) if p3 > 0 else None
    return [Flag(int(order[-1]), {"p1_wh": p1, "p3_wh": p3, "ratio": ratio})]


def high(series: Series, limits: Limits) -> list[Flag]:
    """More than the service can carry in an interval."""
    over = series.present & (series.values > limits.high_limit_wh)
    over[: series.day] = False
    return [
        Flag(int(index), {"value_wh": int(series.values[index]), "limit_wh": limits.high_limit_wh})
        for index in np.flatnonzero(over)
    ]


def zero_run(series: Series, limits: Limits) -> list[Flag]:
    """Consecutive zeros beyond the limit: flagged once, where the run passes it.

    A missing interval ends the run: it proves nothing.  Without supply nothing can be used.
    """
    length = 0
    found = []
    zeros = series.present & ~series.estimated & ~series.dark & (series.values == 0)
    for index, zero in enumerate(zeros.tolist()):
        length = length + 1 if zero else 0
        if length == limits.zero_run_intervals + 1 and index >= series.day:
            found.append(Flag(index, {"intervals": length}))
    return found
