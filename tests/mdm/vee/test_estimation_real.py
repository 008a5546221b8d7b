# SPDX-License-Identifier: Apache-2.0
"""Estimates on real households: how far off, and whether they invent or lose energy.

Seeded gaps are cut into the carried home-weeks (openami/meter/data, CC BY 3.0 AU) and filled.  The
bounds lie a little above what was measured when they were written; errors are mean absolute
errors in per cent of the home's mean, bias is of energy.  Filling zeros scores 100.
"""

import random
from functools import cache
from importlib.resources import files

import numpy as np
import pytest

from openami.mdm.vee.estimation import Window, estimate
from openami.mdm.vee.limits import Limits
from openami.mdm.vee.series import Bool, Int64

LIMITS = Limits()
AROUND = 48 * (LIMITS.like_days_within + 1)
GAPS = 40  # a home
SLOTS = 336


@cache
def homes() -> list[tuple[Int64, Int64, Bool]]:
    """For each home day and slot (as day x 48 + slot), Wh, and whether the week is there."""
    with np.load(str(files("openami.meter").joinpath("data/sgsc_home_weeks.npz"))) as carried:
        wh, home = carried["wh"], carried["home"]
        monday = carried["monday"].astype("M8[D]").astype(np.int64)
    found = []
    for number in sorted(set(home.tolist())):
        mine = home == number
        first = int(monday[mine].min())
        values = np.zeros((int(monday[mine].max()) - first + 7) * 48, np.int64)
        known = np.zeros(len(values), np.bool_)
        for week, start in zip(wh[mine], monday[mine], strict=True):
            at = (int(start) - first) * 48
            values[at : at + SLOTS] = week
            known[at : at + SLOTS] = True
        found.append((np.arange(len(values)) + first * 48, values, known))
    return found


@cache
def errors(length: int, *, registers: bool) -> tuple[float, float]:
    """Return (mean absolute error, bias) in per cent for gaps of a length."""
    entropy = random.Random(length)
    absolute, bias = [], []
    for place, values, known in homes():
        mean = values[known].mean()
        count = 0
        while count < GAPS:
            first = entropy.randrange(1, len(values) - length - 1)
            after = first + length
            if not known[first - 1 : after + 1].all():
                continue
            count += 1
            low, high = max(0, first - AROUND), min(len(values), after + AROUND)
            valid = known[low:high].copy()
            valid[first - low : after - low] = False
            truth = values[first:after]
            window = Window(
                values=np.where(valid, values[low:high], 0),
                valid=valid,
                day=place[low:high] // 48,
                slot=place[low:high] % 48,
                gap=(first - low, after - low),
                total=int(truth.sum()) if registers else None,
            )
            found = estimate(window, LIMITS)
            assert found is not None
            absolute.append(float(np.abs(found.values - truth).mean() / mean))
            bias.append(float((found.values.sum() - truth.sum()) / mean / length))
    return 100 * float(np.mean(absolute)), 100 * float(np.mean(bias))


@pytest.mark.parametrize(
    ("length", "bound", "bias_bound"),
    [(1, 75, 10), (2, 88, 10), (4, 80, 10), (8, 102, 10), (48, 95, 8), (144, 95, 8)],
)
def test_without_registers(length: int, bound: float, bias_bound: float) -> None:
    error, bias = errors(length, registers=False)

    assert error < bound
    assert abs(bias) < bias_bound


@pytest.mark.parametrize(
    ("length", "bound"), [(1, 0.001), (2, 45), (4, 60), (8, 75), (48, 90), (144, 92)]
)
def test_with_registers_energy_is_exact_and_the_error_smaller(length: int, bound: float) -> None:
    error, bias = errors(length, registers=True)

    assert bias == pytest.approx(0, abs=1e-9)
    assert error < bound
    assert error < errors(length, registers=False)[0]
