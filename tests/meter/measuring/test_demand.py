# SPDX-License-Identifier: Apache-2.0
"""Demand of blocks and of sliding windows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.meter.measuring.accumulators import Quantity
from openami.meter.measuring.adc import Converter, together
from openami.meter.measuring.appliances import Household, Spectral
from openami.meter.measuring.calibration import Calibration
from openami.meter.measuring.chain import Chain, ChainConfig
from openami.meter.measuring.demand import Demand
from openami.meter.measuring.pulses import TOTAL
from openami.meter.measuring.signal import Supply

WATT_S = 1_000_000 / 3600  # µWh


def told(demand: Demand, powers_w: list[float], period_s: int) -> list[int]:
    """Tell a register once a period, after a beginning at 0; return the register's values."""
    register = 0
    values = [register]
    demand.update(0, register)
    for number, watts in enumerate(powers_w, 1):
        register += round(watts * period_s * WATT_S)
        values.append(register)
        demand.update(number * period_s, register)
    return values


def test_block_demand_is_the_mean_of_a_period() -> None:
    demand = Demand(period_s=900)
    told(demand, [1000.0, 3000.0, 2000.0], 900)
    assert demand.last_average_w == pytest.approx(2000.0)
    assert demand.maximum is not None
    assert demand.maximum.demand_w == pytest.approx(3000.0)
    assert demand.maximum.at_s == 1800


def test_a_sliding_window_moves_by_periods() -> None:
    demand = Demand(period_s=300, number_of_periods=3)
    told(demand, [900.0, 900.0], 300)
    assert demand.last_average_w is None  # no whole window yet
    demand.update(900, round(2700 * 300 * WATT_S))
    assert demand.last_average_w == pytest.approx(900.0)
    demand.update(1200, round((2700 + 1800) * 300 * WATT_S))
    assert demand.last_average_w == pytest.approx(1200.0)
    assert demand.maximum is not None
    assert demand.maximum.demand_w == pytest.approx(1200.0)
    assert demand.maximum.at_s == 1200


def test_the_running_average_begins_with_its_window() -> None:
    demand = Demand(period_s=900)
    demand.update(0, 0)
    demand.update(300, round(600 * 300 * WATT_S))
    assert demand.current_average_w == pytest.approx(600.0)
    assert demand.last_average_w is None


def test_a_period_that_began_before_the_meter_is_not_judged() -> None:
    demand = Demand(period_s=900)
    demand.update(600, 0)
    demand.update(1000, round(400 * 5000 * WATT_S))
    assert demand.last_average_w is None
    demand.update(1800, round(1200 * 5000 * WATT_S))
    assert demand.last_average_w == pytest.approx(5000.0)


@given(
    st.lists(st.floats(min_value=0, max_value=70_000), min_size=1, max_size=30),
    st.integers(min_value=1, max_value=6),
)
def test_demand_is_the_difference_of_the_register(powers_w: list[float], number: int) -> None:
    demand = Demand(period_s=60, number_of_periods=number)
    values = told(demand, powers_w, 60)
    averages = [
        (values[n] - values[n - number]) / WATT_S / (60 * number)
        for n in range(number, len(values))
    ]
    if not averages:
        assert demand.maximum is None
        return
    assert demand.last_average_w == pytest.approx(averages[-1], rel=1e-9, abs=1e-9)
    assert demand.maximum is not None
    assert demand.maximum.demand_w == pytest.approx(max(averages), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("period_s", "number"), [(0, 1), (900, 0)])
def test_no_window_is_refused(period_s: int, number: int) -> None:
    with pytest.raises(ValueError, match="are no window"):
        Demand(period_s, number)


def test_demand_of_a_chain() -> None:
    config, converter = ChainConfig(), Converter()
    load = Spectral(power_w=6000, phases=(1, 2, 3))
    home = Household(supply=Supply(), appliances=(load,))
    chain = Chain(config, Calibration.nominal(converter))
    demand = Demand(period_s=2)
    for frame in range(1, 25):
        first = (frame - 1) * config.frame
        chain.feed(together([converter.sample(home, first, config.frame)]))
        register = int(chain.energy.micro[0, TOTAL, Quantity.ACTIVE_IMPORT])
        demand.update(frame * config.frame_s, register)
    assert demand.last_average_w == pytest.approx(6000, rel=1e-4)
