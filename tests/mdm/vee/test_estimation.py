# SPDX-License-Identifier: Apache-2.0
"""Estimates follow their method, add up to the registers, and never use what they must not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.exchange.quality import Quality
from openami.mdm.vee.estimation import Window, estimate, interpolate, like_days, scale
from openami.mdm.vee.limits import Limits

LIMITS = Limits()
E, LINE, LIKE, SCALED = (
    Quality.ESTIMATED,
    Quality.INTERPOLATED,
    Quality.LIKE_DAY,
    Quality.SCALED,
)


def window(days: int, first: int, after: int, total: int | None = None) -> Window:
    """Days of 48 slots from a Monday; a value is 1000 x weekday + slot."""
    place = np.arange(days * 48)
    day, slot = place // 48 + 4, place % 48  # day 4 after 1970-01-01 is a Monday
    values = ((day + 3) % 7) * 1000 + slot
    valid = np.ones(len(place), np.bool_)
    valid[first:after] = False
    return Window(values=values, valid=valid, day=day, slot=slot, gap=(first, after), total=total)


@pytest.mark.parametrize(("count", "quality"), [(1, E | LINE), (4, E | LINE), (5, E | LIKE)])
def test_two_hours_are_the_border(count: int, quality: Quality) -> None:
    found = estimate(window(28, 500, 500 + count), LIMITS)

    assert found is not None
    assert found.quality == quality
    assert len(found.values) == count


def test_the_line_runs_between_the_neighbours() -> None:
    around = window(1, 10, 13)

    assert interpolate(around) == pytest.approx([10, 11, 12])
    around.valid[13] = False
    assert interpolate(around) == pytest.approx([9, 9, 9])
    around.valid[9] = False
    assert interpolate(around) is None
    around.valid[13] = True
    assert interpolate(around) == pytest.approx([13, 13, 13])
    assert interpolate(window(1, 0, 2)) == pytest.approx([2, 2])
    assert interpolate(window(1, 46, 48)) == pytest.approx([45, 45])


def test_like_days_are_the_nearest_of_the_same_weekday() -> None:
    around = window(42, 21 * 48 + 8, 21 * 48 + 20)  # a Monday morning
    around.values[14 * 48 : 15 * 48] += 300  # the Monday before
    around.values[0:48] += 77_777  # a Monday three weeks away: too far among three
    found = like_days(around, LIMITS)

    assert found is not None
    # The nearest three: one week before (+300), one week after, two weeks before or after.
    assert found == pytest.approx(np.arange(8, 20) + 100)


def test_days_that_are_not_valid_are_left_out() -> None:
    around = window(28, 14 * 48, 14 * 48 + 10)
    around.values[7 * 48 : 8 * 48] = 99_999
    around.valid[7 * 48 : 8 * 48] = False

    # Two Mondays are left; the day after is the nearest of the same kind.
    assert like_days(around, LIMITS) == pytest.approx(np.arange(10) + 1000 / 3)


def test_other_days_fill_up_by_kind() -> None:
    """On the second Tuesday there is one Tuesday: two more weekdays, never a weekend."""
    around = window(9, 8 * 48, 9 * 48)
    found = like_days(around, LIMITS)

    assert found is not None
    # Tuesday a week ago (1000), Monday yesterday (0), Friday four days ago (4000).
    assert found == pytest.approx((1000 + 0 + 4000) / 3 + np.arange(48))


def test_a_weekend_day_is_better_than_none() -> None:
    around = window(7, 6 * 48, 7 * 48)  # the first Sunday
    found = like_days(around, LIMITS)

    assert found is not None
    assert found == pytest.approx((5000 + 4000 + 3000) / 3 + np.arange(48))


def test_days_too_far_away_are_no_help() -> None:
    around = window(80, 79 * 48, 80 * 48)
    around.valid[30 * 48 :] = False

    assert like_days(around, LIMITS) is None


def test_slots_without_a_like_day_take_the_mean_of_the_others() -> None:
    around = window(2, 48, 96)
    around.valid[10:48] = False

    found = like_days(around, LIMITS)
    assert found is not None
    assert found[:10] == pytest.approx(np.arange(10))
    assert found[10:] == pytest.approx(4.5)


def test_a_change_of_clock_leans_on_the_wall_clock() -> None:
    """A day of 46 slots (the clock went forward) has no slots 4 and 5."""
    around = window(8, 7 * 48 + 20, 7 * 48 + 30)
    keep = np.ones(len(around.values), np.bool_)
    keep[4:6] = False
    moved = Window(
        values=around.values[keep],
        valid=around.valid[keep],
        day=around.day[keep],
        slot=around.slot[keep],
        gap=(7 * 48 + 18, 7 * 48 + 28),
        total=None,
    )
    found = like_days(moved, replace(LIMITS, like_days=1))

    assert found == pytest.approx(np.arange(20, 30))


def test_the_registers_alone_spread_flat_and_nothing_gives_nothing() -> None:
    around = window(1, 0, 48)

    assert estimate(around, LIMITS) is None
    found = estimate(replace(around, total=100), LIMITS)
    assert found is not None
    assert found.quality == E | LINE | SCALED
    assert sorted(found.values) == [2] * 44 + [3] * 4


def test_a_negative_difference_is_not_believed() -> None:
    found = estimate(window(28, 500, 502, total=-3), LIMITS)

    assert found is not None
    assert found.quality == E | LINE


def test_a_short_gap_without_neighbours_leans_on_like_days() -> None:
    around = window(28, 14 * 48, 14 * 48 + 2)
    around.valid[[14 * 48 - 1, 14 * 48 + 2]] = False

    found = estimate(around, LIMITS)
    assert found is not None
    assert found.quality == E | LIKE


shapes = st.lists(st.floats(-10, 1e5), min_size=1, max_size=60).map(np.array)


@given(shapes, st.integers(0, 10**9))
def test_scaled_estimates_add_up_exactly_and_are_never_negative(
    shape: np.ndarray[tuple[int], np.dtype[np.float64]], total: int
) -> None:
    found = scale(shape, total, LIMITS)

    assert found is not None
    assert int(found.sum()) == total
    assert (found >= 0).all()


def test_scaling_keeps_the_shape_until_the_factor_is_beyond_belief() -> None:
    shape = np.array([100.0, 300.0])

    assert scale(shape, 800, LIMITS) == pytest.approx([200, 600])
    assert scale(shape, 1300, LIMITS) == pytest.approx([550, 750])
    assert scale(np.zeros(2), 10, LIMITS) == pytest.approx([5, 5])
    assert scale(shape, 0, LIMITS) == pytest.approx([0, 0])
    assert scale(shape, -1, LIMITS) is None
