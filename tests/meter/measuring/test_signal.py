# SPDX-License-Identifier: Apache-2.0
"""Waveforms: the same however they are cut, and what each load model promises."""

from math import cos, radians, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.meter.load import INTERVAL_S, WS_PER_WH
from openami.meter.measuring.adc import ChannelError, Converter, drawn_converter
from openami.meter.measuring.appliances import (
    Appliance,
    Household,
    Resistive,
    electric_vehicle,
    heat_pump,
    motor,
    photovoltaics,
    rectifier,
    typical_household,
)
from openami.meter.measuring.replayed import ReplayedSource
from openami.meter.measuring.signal import Disturbance, Flicker, Floats, Harmonic, Supply
from openami.meter.replay import ReplayedLoad

SECOND = 8000
MONDAY_S = 1_790_000_000 // INTERVAL_S * INTERVAL_S
LIVELY = Supply(
    frequency_hz=49.8,
    drift_hz_per_s=0.05,
    harmonics=(Harmonic(order=5, part=0.04, angle_deg=30), Harmonic(order=7, part=0.02)),
    dc_v=0.4,
    noise_v=0.2,
    flicker=Flicker(depth=0.01),
    disturbances=(
        Disturbance(start_s=0.3, duration_s=0.2, factor=0.7),
        Disturbance(start_s=0.6, duration_s=0.1, factor=0.0, phases=(2,)),
    ),
    seed=5,
)


def power_w(household: Household, seconds: int = 1, first: int = 0) -> Floats:
    count = seconds * SECOND
    voltage = household.voltage_v(first, count)
    result: Floats = (voltage * household.current_a(first, count)[:3]).mean(axis=-1)
    return result


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=SECOND), min_size=1, max_size=6))
def test_a_waveform_is_the_same_however_it_is_cut(sizes: list[int]) -> None:
    home = typical_household(LIVELY)
    converter = drawn_converter(9)
    whole = converter.sample(home, 0, sum(sizes))
    at = 0
    for size in sizes:
        part = converter.sample(home, at, size)
        assert (part.voltage == whole.voltage[:, at : at + size]).all()
        assert (part.current == whole.current[:, at : at + size]).all()
        at += size


def test_another_seed_is_another_noise() -> None:
    one, other = (Supply(noise_v=1.0, seed=seed).moment(0, 100).voltage_v for seed in (1, 2))
    assert np.abs(one - other).max() > 0.5
    quiet = Supply().moment(0, 2 * SECOND).voltage_v
    noisy = Supply(noise_v=1.0).moment(0, 2 * SECOND).voltage_v
    assert (noisy - quiet).std() == pytest.approx(1.0, rel=0.02)


def test_a_supply_has_its_rms_its_angles_and_its_disturbances() -> None:
    supply = Supply(disturbances=(Disturbance(start_s=1, duration_s=1, factor=0.4, phases=(3,)),))
    voltage = supply.moment(0, SECOND).voltage_v
    assert np.sqrt((voltage**2).mean(axis=-1)) == pytest.approx(230.0)
    assert voltage.sum(axis=0) == pytest.approx(0.0, abs=1e-9)
    sagging = supply.moment(SECOND, SECOND).voltage_v
    assert np.sqrt((sagging**2).mean(axis=-1)) == pytest.approx([230, 230, 92])


def test_frequency_drifts() -> None:
    supply = Supply(frequency_hz=50.0, drift_hz_per_s=0.5)
    angle = np.unwrap(supply.moment(4 * SECOND, 2).angle[0])
    assert (angle[1] - angle[0]) * SECOND / (2 * np.pi) == pytest.approx(52.0, abs=1e-3)


def test_too_few_samples_a_second_are_refused() -> None:
    with pytest.raises(ValueError, match="3999 samples a second are too few: take 4000 or more"):
        Supply(sampling_hz=3999)


@pytest.mark.parametrize(
    ("appliance", "watts"),
    [
        (Resistive(power_w=1000), 1000),
        (motor(200, started_s=-10), 200),
        (rectifier(300), 300),
        (photovoltaics(3000), -3000),
        (electric_vehicle(7400, plugged_s=-10), 7400),
        (heat_pump(1500), 1500),
    ],
    ids=["resistive", "motor", "rectifier", "photovoltaics", "electric vehicle", "heat pump"],
)
def test_a_load_model_takes_its_power(appliance: Appliance, watts: float) -> None:
    home = Household(supply=Supply(), appliances=(appliance,))
    assert power_w(home).sum() == pytest.approx(watts, rel=0.02)
    current = home.current_a(0, SECOND)
    assert current[3] == pytest.approx(current[:3].sum(axis=0))


def test_a_resistor_follows_the_square_of_the_voltage() -> None:
    home = Household(supply=Supply(voltage_v=207.0), appliances=(Resistive(power_w=1000),))
    assert power_w(home)[0] == pytest.approx(810.0)


def test_a_motor_takes_six_times_its_current_when_started() -> None:
    home = Household(supply=Supply(), appliances=(motor(200, started_s=1.0),))
    current = np.abs(home.current_a(0, 3 * SECOND)[0])
    assert current[:SECOND].max() == 0
    assert current[SECOND : SECOND + 160].max() > 5 * current[2 * SECOND + 4000 :].max()


def test_a_converter_gives_codes_with_the_errors_of_its_channels() -> None:
    error = ChannelError(gain=0.01, offset=0.002, delay_us=125.0)
    converter = Converter(bits=16, current=(error,) * 4)
    home = Household(supply=Supply(), appliances=(Resistive(power_w=2300),))
    codes = converter.sample(home, 0, SECOND)
    assert codes.current[0].mean() == pytest.approx(0.002 * converter.highest, abs=0.1)
    clean = home.current_a(-1, SECOND)[0]  # 125 µs are one sample
    wanted = clean / converter.amperes_per_code * 1.01 + 0.002 * converter.highest
    assert np.abs(codes.current[0] - wanted).max() <= 0.51


def test_a_converter_clips_at_its_full_scale() -> None:
    converter = Converter(full_scale_v=300.0)
    codes = converter.sample(Household(supply=Supply(), appliances=()), 0, SECOND).voltage
    assert codes.max() == converter.highest == 2**23 - 1
    assert codes.min() == -converter.highest


@pytest.mark.parametrize(
    "supply",
    [Supply(sampling_hz=4000), Supply(frequency_hz=50.7, harmonics=LIVELY.harmonics, noise_v=0.3)],
    ids=["clean", "off frequency, with harmonics and noise"],
)
def test_a_replayed_load_integrates_to_its_ws_second_by_second(supply: Supply) -> None:
    load = ReplayedLoad(1, 1)
    rate = supply.sampling_hz
    source = ReplayedSource(
        load=load, supply=supply, start_s=MONDAY_S, shares=(0.6, 0.3, 0.1), power_factor=0.9
    )
    for second in (0, 7, 1799):
        voltage = source.voltage_v(second * rate, rate)
        current = source.current_a(second * rate, rate)[:3]
        assert (voltage * current).sum() / rate == pytest.approx(load.power_w(MONDAY_S + second))


def test_a_replayed_half_hour_integrates_to_the_wh_of_the_data() -> None:
    load = ReplayedLoad(1, 1)
    rate = 4000
    source = ReplayedSource(load=load, supply=Supply(sampling_hz=rate), start_s=MONDAY_S)
    flowed_ws = 0.0
    for second in range(INTERVAL_S):
        moment = source.voltage_v(second * rate, rate)[0]
        flowed_ws += float(moment @ source.current_a(second * rate, rate)[0]) / rate
    assert flowed_ws / WS_PER_WH == pytest.approx(load.interval_wh(MONDAY_S), abs=1e-6)


def test_a_dead_network_carries_nothing() -> None:
    dead = Supply(disturbances=(Disturbance(start_s=0, duration_s=9, factor=0.0),))
    source = ReplayedSource(load=ReplayedLoad(1, 1), supply=dead, start_s=MONDAY_S)
    assert not source.current_a(0, SECOND).any()
    assert not Household(supply=dead, appliances=(motor(200),)).current_a(0, SECOND).any()


def test_a_lost_neutral_carries_nothing_back() -> None:
    home = Household(supply=Supply(), appliances=(Resistive(power_w=2300),), neutral=0.0)
    current = home.current_a(0, SECOND)
    assert not current[3].any()
    assert np.sqrt((current[0] ** 2).mean()) == pytest.approx(10.0)


def test_harmonics_stand_where_they_are_put() -> None:
    wave = Supply(harmonics=(Harmonic(order=3, part=0.1, angle_deg=90),)).moment(0, 1).voltage_v
    assert wave[0, 0] == pytest.approx(sqrt(2) * 230 * 0.1 * cos(radians(0)))
