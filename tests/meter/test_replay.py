# SPDX-License-Identifier: Apache-2.0
"""The carried data set and its replay."""

import itertools
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.meter.load import INTERVAL_S, WS_PER_WH, energy_over
from openami.meter.replay import SLOTS, STANDARD_OFFSET_S, WEEK_S, ReplayedLoad, home_weeks

# Sums of the whole weeks, computed apart from the published half-hourly table.
SUM_WH = {
    10006414: (106, 6_615_564),
    10006486: (54, 2_146_321),
    10017554: (81, 3_429_021),
    10017994: (83, 3_061_584),
    10018250: (80, 6_583_482),
}
FIRST_WH = [279, 216, 260, 176, 75, 56]
MOMENTS_S = st.integers(min_value=0, max_value=4_000_000_000)
METERS = st.integers(min_value=1, max_value=2**24 - 1)
SEEDS = st.integers(min_value=0, max_value=2**31)


def test_data_set_is_whole_and_exact() -> None:
    data = home_weeks()

    assert data.wh.shape == (404, SLOTS)
    assert data.wh.dtype == np.uint16
    assert int(data.wh.sum(dtype=np.int64)) == 21_835_972
    found = {
        home: (len(data.weeks_of(home)), int(data.wh[data.home == home].sum(dtype=np.int64)))
        for home in data.homes()
    }
    assert found == SUM_WH
    assert set((data.monday - 4) % 7) == {0}


def test_data_set_first_half_hours() -> None:
    """Home 10006414, Monday 2012-02-13 from 00:00, as printed in the published table."""
    data = home_weeks()

    assert (
        data.monday[0]
        == (datetime(2012, 2, 13, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).days
    )
    assert data.wh[0, :6].tolist() == FIRST_WH


def test_text_names_home_week_and_shift() -> None:
    load = ReplayedLoad(1, 1)
    monday_utc = datetime(2026, 11, 15, 14, tzinfo=UTC)  # Monday 00:00 in Sydney's standard time

    week = load.week(int(monday_utc.timestamp()))

    shifted = datetime.fromisoformat(str(week.monday)) + timedelta(days=week.shift_days)
    assert shifted == datetime(2026, 11, 16)  # noqa: DTZ001  a bare date
    assert str(week) == (
        f"SGSC home {load.home}, week of {week.monday}, shifted by {week.shift_days} days"
    )


@given(MOMENTS_S, METERS, SEEDS)
def test_replay_keeps_weekdays_and_the_data_sets_wh(at_s: int, meter: int, seed: int) -> None:
    load = ReplayedLoad(meter, seed)
    data = home_weeks()
    start_s = at_s - at_s % INTERVAL_S

    week = load.week(start_s)
    local_s = start_s + STANDARD_OFFSET_S - week.shift_days * 86_400
    monday_s = int(week.monday.astype(np.int64)) * 86_400

    row = next(r for r in data.weeks_of(load.home) if data.monday[r] * 86_400 == monday_s)
    assert 0 <= local_s - monday_s < WEEK_S
    assert week.shift_days % 7 == 0
    assert load.interval_wh(start_s) == data.wh[row, (local_s - monday_s) // INTERVAL_S]


@given(METERS, SEEDS)
def test_weeks_follow_in_order_and_start_again(meter: int, seed: int) -> None:
    load = ReplayedLoad(meter, seed)
    data = home_weeks()
    rows = data.weeks_of(load.home)

    mondays = [load.week(week * WEEK_S).monday.astype(np.int64) for week in range(len(rows) + 1)]

    assert sorted(mondays[:-1]) == data.monday[rows.start : rows.stop].tolist()
    assert mondays[-1] == mondays[0]
    assert sum(after < before for before, after in itertools.pairwise(mondays)) == 1


@settings(max_examples=60, deadline=None)
@given(MOMENTS_S, METERS, SEEDS, st.data())
def test_shape_integrates_exactly(at_s: int, meter: int, seed: int, data: st.DataObject) -> None:
    load = ReplayedLoad(meter, seed)
    start_s = at_s - at_s % INTERVAL_S
    total_ws = load.interval_wh(start_s) * WS_PER_WH
    cut = data.draw(st.integers(min_value=0, max_value=INTERVAL_S))

    shape = load.shape_ws(start_s)

    assert shape[0] == 0
    assert shape[-1] == total_ws
    assert np.diff(shape).min() >= 0
    whole = load.energy_ws(start_s, start_s + cut) + load.energy_ws(start_s + cut, start_s + 1800)
    assert whole == total_ws
    assert np.array_equal(shape, ReplayedLoad(meter, seed).shape_ws(start_s))
    assert load.power_w(start_s) == shape[1]


@settings(max_examples=30, deadline=None)
@given(MOMENTS_S, st.lists(st.integers(min_value=0, max_value=9000), min_size=1, max_size=4))
def test_energy_over_is_additive(at_s: int, cuts: list[int]) -> None:
    load = ReplayedLoad(7, 3)
    marks = [at_s, *(at_s + cut for cut in sorted(cuts)), at_s + 9000]

    parts = sum(energy_over(load, a, b) for a, b in itertools.pairwise(marks))

    assert parts == energy_over(load, at_s, at_s + 9000)


def test_span_across_half_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="no span within one half-hour"):
        ReplayedLoad(1, 1).energy_ws(1799, 1801)


def test_meters_differ() -> None:
    """A hundred meters do not march in step: few share home and week."""
    weeks = {str(ReplayedLoad(meter, 1).week(1_790_000_000)) for meter in range(1, 101)}

    assert len(weeks) > 75
