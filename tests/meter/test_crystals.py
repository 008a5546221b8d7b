# SPDX-License-Identifier: Apache-2.0
"""Crystals of a fleet: some are off, always the same ones, by as much as is said."""

import pytest

from openami.meter.crystals import EXACT, Crystals

DAY_US = 86_400 * 10**6


def test_a_part_of_a_fleet_has_crystals_that_are_off_and_the_seed_says_which() -> None:
    crystals = Crystals(drifting=0.2, drift_ppm=100.0)
    found = [crystals.ppm_of(number, 1) for number in range(1, 1001)]
    off = [ppm for ppm in found if ppm]
    assert 150 < len(off) < 250
    assert all(-100 <= ppm <= 100 for ppm in off)
    assert min(off) < -50
    assert max(off) > 50
    assert found == [crystals.ppm_of(number, 1) for number in range(1, 1001)]
    assert found != [crystals.ppm_of(number, 2) for number in range(1, 1001)]


def test_a_crystal_gains_from_the_day_of_installation() -> None:
    crystals = Crystals(drifting=1.0, drift_ppm=100.0)
    now_us = [5 * DAY_US]
    crystal = crystals.of(7, 1, 4 * 86_400, lambda: now_us[0])
    assert crystal is not None
    ppm = crystals.ppm_of(7, 1)
    assert crystal() - now_us[0] == round(DAY_US * ppm / 1e6)
    now_us[0] += DAY_US
    assert crystal() - now_us[0] == pytest.approx(2 * DAY_US * ppm / 1e6, abs=1)


def test_an_exact_one_is_the_calendar() -> None:
    assert EXACT.of(7, 1, 0, lambda: 5) is None
