# SPDX-License-Identifier: Apache-2.0
"""Rules on what is there: missing and duplicate intervals."""

from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Flag, Series, runs


def missing(series: Series, _limits: Limits) -> list[Flag]:
    """No value at an expected interval; one flag for each run, at its first interval."""
    absent = series.expected & ~series.present
    absent[: series.day] = False
    return [Flag(first, {"intervals": after - first}) for first, after in runs(absent)]


def duplicate(series: Series, _limits: Limits) -> list[Flag]:
    """Two measured values for one interval; identical ones were ignored at the intake."""
    found = [index for index, differs in enumerate(series.differing) if differs]
    return [
        Flag(index, {"value": int(series.values[index])}) for index in found if index >= series.day
    ]
