# SPDX-License-Identifier: Apache-2.0
"""A replayed load behind the measuring chain: within class, additive, and the same every time."""

import asyncio
import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meter.house import config_in
from meter.plant import HISTORY_DAYS, HopProcess, Plant
from openami.meter.load import INTERVAL_S, energy_over
from openami.meter.measuring.measured_load import MeasuredLoad
from openami.meter.metrology_process import metrology_of
from openami.meter.replay import ReplayedLoad

START_S = 1_790_000_000 // INTERVAL_S * INTERVAL_S
DATA = ReplayedLoad(1, 1)
LOAD = MeasuredLoad(DATA, 1)
HALF_HOURS = 96


def test_each_power_is_measured_within_class() -> None:
    powers = np.array([12, 60, 230, 1150, 4000, 11_500])  # 0.01 In and more
    measured = MeasuredLoad(DATA, 4).measured_w(powers)
    assert measured == pytest.approx(powers, rel=0.01)
    assert measured[2:] == pytest.approx(powers[2:], rel=0.005)
    assert (np.abs(measured / powers - 1) > 1e-6).all()  # no meter is without error


def test_nothing_is_nothing_and_a_repeated_power_is_one_measurement() -> None:
    load = MeasuredLoad(DATA, 2)
    assert load.measured_w(np.array([0, 0])).tolist() == [0.0, 0.0]
    first = load.measured_w(np.array([500, 700, 500]))
    assert first[0] == first[2]
    assert load.measured_w(np.array([500]))[0] == first[0]
    assert MeasuredLoad(DATA, 2).measured_w(np.array([500]))[0] == first[0]
    assert MeasuredLoad(DATA, 3).measured_w(np.array([500]))[0] != first[0]


def test_a_long_sum_has_the_error_of_the_chain_and_no_half_hour_more_than_a_wh() -> None:
    starts = range(START_S, START_S + HALF_HOURS * INTERVAL_S, INTERVAL_S)
    measured = [LOAD.interval_wh(start) for start in starts]
    data = [DATA.interval_wh(start) for start in starts]
    for mine, theirs in zip(measured, data, strict=True):
        assert abs(mine - theirs) <= 1 + 0.01 * theirs
    assert measured != data
    assert sum(measured) == pytest.approx(sum(data), rel=0.01)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(min_value=0, max_value=INTERVAL_S), min_size=2, max_size=8))
def test_spans_add_up_to_the_half_hour(cuts: list[int]) -> None:
    places = [START_S + cut for cut in sorted([0, *cuts, INTERVAL_S])]
    parts = [LOAD.energy_ws(a, b) for a, b in itertools.pairwise(places)]
    assert min(parts) >= 0
    assert sum(parts) == LOAD.interval_wh(START_S) * 3600
    assert sum(parts) == energy_over(LOAD, START_S, START_S + INTERVAL_S)


def test_a_span_over_two_half_hours_is_refused() -> None:
    with pytest.raises(ValueError, match="is no span within one half-hour"):
        LOAD.energy_ws(START_S + 1, START_S + INTERVAL_S + 1)


def test_metrology_counts_what_the_configuration_says(tmp_path: Path) -> None:
    plain, waved = (config_in(tmp_path, waveforms=waveforms) for waveforms in (False, True))
    assert plain.remark == ""
    assert waved.remark == ", measured from simulated waveforms"
    meter = metrology_of(waved)
    closed = meter.advance(waved.installed_s + 12 * INTERVAL_S)
    for interval in closed:
        assert interval.import_wh == LOAD.interval_wh(interval.end_s - INTERVAL_S)
    momentary = meter.momentary(waved.installed_s + 12 * INTERVAL_S + 100)
    assert momentary.power_w == LOAD.power_w(momentary.at_s)


@pytest.mark.faults
def test_the_full_meter_runs_on_waveforms(tmp_path: Path) -> None:
    plant = Plant(tmp_path, meters=1, speed=360.0)
    file = plant.meter_home(1) / "device.toml"
    words = file.read_text(encoding="utf-8") + "\n[metrology]\nwaveforms = true\n"
    file.write_text(words, encoding="utf-8")

    async def story() -> None:
        hop = HopProcess(plant)
        await hop.open()
        try:
            plant.start_meter()
            await plant.until(lambda: plant.figure("management", "receipts") > 0, "a push")
        finally:
            await asyncio.to_thread(plant.stop)
            await hop.close()

    asyncio.run(story())
    ring = plant.ring(1)
    assert len(ring) >= HISTORY_DAYS * 48
    for interval in ring:
        assert interval.import_wh == LOAD.interval_wh(interval.end_s - INTERVAL_S)
