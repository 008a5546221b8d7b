# SPDX-License-Identifier: Apache-2.0
"""The chain: what it reads, and that nothing is lost between blocks."""

from dataclasses import replace
from functools import cache
from math import acos, degrees, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.meter.load import INTERVAL_S
from openami.meter.measuring.accumulators import (
    Accumulators,
    Quantity,
    RegistersDamagedError,
    obis_c,
)
from openami.meter.measuring.adc import ChannelError, Converter, Samples, drawn_converter, together
from openami.meter.measuring.appliances import (
    Household,
    Resistive,
    Source,
    Spectral,
    typical_household,
)
from openami.meter.measuring.calibration import (
    Calibration,
    CalibrationError,
    Reference,
    calibrate,
)
from openami.meter.measuring.chain import ALIGNED, Chain, ChainConfig, Frame
from openami.meter.measuring.pulses import step_micro_wh
from openami.meter.measuring.replayed import ReplayedSource
from openami.meter.measuring.signal import Flicker, Harmonic, Supply
from openami.meter.replay import ReplayedLoad

CONFIG = ChainConfig()
CLEAN = Converter()
MONDAY_S = 1_790_000_000 // INTERVAL_S * INTERVAL_S
TOTAL = 3


def balanced(
    power_w: float, factor: float = 1.0, *, leading: bool = False, supply: Supply | None = None
) -> Household:
    load = Spectral(power_w=power_w, power_factor=factor, leading=leading, phases=(1, 2, 3))
    return Household(supply=supply or Supply(), appliances=(load,))


def chain_of(
    source: Source, frames: int = 4, converter: Converter = CLEAN
) -> tuple[Chain, list[Frame]]:
    config = replace(CONFIG, sampling_hz=source.sampling_hz)
    chain = Chain(config, Calibration.nominal(converter))
    samples = converter.sample(source, 0, frames * config.frame)
    return chain, chain.feed(together([samples]))


@cache
def recorded() -> Samples:
    """Two seconds of a lively home."""
    supply = Supply(frequency_hz=49.7, drift_hz_per_s=0.1, noise_v=0.1)
    return together([drawn_converter(2).sample(typical_household(supply), 0, 16_000)])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=5000), max_size=12))
def test_blocks_of_any_size_give_the_same_frames_and_energy(sizes: list[int]) -> None:
    samples = recorded()
    whole = Chain(CONFIG, Calibration.nominal(drawn_converter(2)))
    frames = whole.feed(samples)
    pieces = Chain(CONFIG, Calibration.nominal(drawn_converter(2)))
    found: list[Frame] = []
    at = 0
    for size in [*sizes, 16_000]:
        stop = min(at + size, 16_000)
        block = Samples(samples.voltage[..., at:stop], samples.current[..., at:stop])
        found += pieces.feed(block)
        at = stop
    assert pieces.energy.encode() == whole.energy.encode()
    assert pieces.counted_samples == whole.counted_samples == 16_000
    assert len(found) == len(frames) == 10
    for mine, theirs in zip(found, frames, strict=True):
        assert (mine.active_w == theirs.active_w).all()
        assert mine.pulses == theirs.pulses
        assert np.array_equal(mine.half_cycle_v, theirs.half_cycle_v, equal_nan=True)


def test_meters_beside_each_other_do_not_disturb_each_other() -> None:
    homes = [balanced(3000), balanced(-900, 0.7), typical_household(Supply(frequency_hz=50.4))]
    blocks = [CLEAN.sample(home, 0, 3 * CONFIG.frame) for home in homes]
    many = Chain(CONFIG, Calibration.nominal(CLEAN, 3))
    frames = many.feed(together(blocks))
    for meter, block in enumerate(blocks):
        alone = Chain(CONFIG, Calibration.nominal(CLEAN))
        (*_, last) = alone.feed(together([block]))
        assert (alone.energy.micro[0] == many.energy.micro[meter]).all()
        assert last.frequency_hz[0] == frames[-1].frequency_hz[meter]


@pytest.mark.parametrize("frequency_hz", [49.0, 49.9, 50.0, 50.013, 51.0])
def test_readings_are_right_off_the_nominal_frequency(frequency_hz: float) -> None:
    supply = Supply(frequency_hz=frequency_hz, voltage_v=235.0)
    _, frames = chain_of(balanced(3 * 230 * 8 * 0.5, 0.5, supply=supply))
    last = frames[-1]
    assert last.frequency_hz[0] == pytest.approx(frequency_hz, abs=5e-4)
    assert last.voltage_v[0] == pytest.approx(235.0, rel=1e-4)
    assert last.current_a[0, :3] == pytest.approx(8.0, rel=1e-4)
    assert last.active_w[0, TOTAL] == pytest.approx(3 * 235 * 8 * 0.5, rel=2e-4)
    assert last.reactive_var[0, TOTAL] == pytest.approx(3 * 235 * 8 * sqrt(0.75), rel=2e-4)
    assert last.apparent_va[0, TOTAL] == pytest.approx(3 * 235 * 8, rel=2e-4)
    assert last.power_factor[0] == pytest.approx(0.5, rel=2e-4)
    assert last.voltage_angle_deg[0] == pytest.approx([0, 120, 240], abs=0.02)
    assert last.current_angle_deg[0] == pytest.approx(60.0, abs=0.02)
    assert last.half_cycle_v[0] == pytest.approx(235.0, rel=3e-3)


def test_drifting_frequency_is_followed() -> None:
    _, frames = chain_of(balanced(1000, supply=Supply(drift_hz_per_s=0.2)), frames=10)
    for frame in frames:
        middle_s = (frame.first + CONFIG.frame / 2) / CONFIG.sampling_hz
        assert frame.frequency_hz[0] == pytest.approx(50 + 0.2 * middle_s, abs=2e-3)


@pytest.mark.parametrize("frequency_hz", [49.3, 50.0])
def test_harmonics_to_the_fortieth(frequency_hz: float) -> None:
    parts = {order: 0.2 / order for order in range(2, 41)}
    harmonics = tuple(Harmonic(order=order, part=part) for order, part in parts.items())
    supply = Supply(frequency_hz=frequency_hz, harmonics=harmonics)
    home = Household(supply=supply, appliances=(Resistive(power_w=2300),))
    _, frames = chain_of(home)
    size = np.abs(frames[-1].spectrum.phasors[0, 0])
    assert size[0] == pytest.approx(230.0, rel=1e-4)
    for order, part in parts.items():
        assert size[order - 1] / size[0] == pytest.approx(part, rel=3e-3)
    wanted = sqrt(sum(part**2 for part in parts.values()))
    thd = frames[-1].spectrum.thd(np.full((1, 7), 0.01))
    assert thd[0, 0] == pytest.approx(wanted, rel=1e-3)
    assert thd[0, 3] == pytest.approx(wanted, rel=1e-3)
    assert np.isnan(thd[0, 4])  # no current there


def test_harmonics_of_a_current_that_lags_are_set_right() -> None:
    late = replace(CLEAN, current=(ChannelError(delay_us=62.5),) * 4)  # half a sample
    harmonics = tuple(Harmonic(order=order, part=0.05) for order in (5, 20, 39))
    home = Household(supply=Supply(harmonics=harmonics), appliances=(Resistive(power_w=2300),))
    constants = replace(Calibration.nominal(late), lag=np.array([[0.5, 0.5, 0.5, 0.0]]))
    chain = Chain(CONFIG, constants)
    (*_, last) = chain.feed(together([late.sample(home, 0, 3 * CONFIG.frame)]))
    voltage, current = last.spectrum.phasors[0, 0], last.spectrum.phasors[0, 3]
    for order in (1, 5, 20, 39):
        ohms = voltage[order - 1] / current[order - 1]
        assert ohms == pytest.approx(23.0, rel=1e-3), order


def test_orders_beyond_half_the_sampling_rate_are_no_number() -> None:
    _, frames = chain_of(balanced(3000, supply=Supply(sampling_hz=4000)))
    orders = np.isnan(frames[-1].spectrum.phasors[0, 0])
    assert not orders[:39].any()
    assert orders[39]


QUADRANTS = [
    (1000, False, Quantity.ACTIVE_IMPORT, Quantity.REACTIVE_I, Quantity.APPARENT_IMPORT),
    (-1000, True, Quantity.ACTIVE_EXPORT, Quantity.REACTIVE_II, Quantity.APPARENT_EXPORT),
    (-1000, False, Quantity.ACTIVE_EXPORT, Quantity.REACTIVE_III, Quantity.APPARENT_EXPORT),
    (1000, True, Quantity.ACTIVE_IMPORT, Quantity.REACTIVE_IV, Quantity.APPARENT_IMPORT),
]


@pytest.mark.parametrize(("power_w", "leading", "active", "reactive", "apparent"), QUADRANTS)
def test_energy_goes_to_its_quadrant(
    *, power_w: float, leading: bool, active: Quantity, reactive: Quantity, apparent: Quantity
) -> None:
    chain, _ = chain_of(balanced(power_w, 0.8, leading=leading), frames=10)
    for row in range(4):
        used = {quantity for quantity in Quantity if chain.energy.micro[0, row, quantity] > 1000}
        assert used == {active, reactive, apparent}
    micro = chain.energy.micro[0, TOTAL]
    assert micro[active] == pytest.approx(1000 * 2 / 3600 * 1e6, rel=2e-3)
    assert micro[reactive] == pytest.approx(750 * 2 / 3600 * 1e6, rel=2e-3)
    assert micro[apparent] == pytest.approx(1250 * 2 / 3600 * 1e6, rel=2e-3)


def test_registers_have_their_obis_codes() -> None:
    assert [obis_c(TOTAL, quantity) for quantity in Quantity] == [1, 2, 5, 6, 7, 8, 9, 10]
    assert [obis_c(0, quantity) for quantity in Quantity] == [21, 22, 25, 26, 27, 28, 29, 30]
    assert obis_c(2, Quantity.ACTIVE_EXPORT) == 62


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(min_value=-70_000, max_value=70_000), min_size=1, max_size=60))
def test_import_minus_export_is_all_that_flowed(powers_w: list[float]) -> None:
    registers = Accumulators(1)
    for watts in powers_w:
        powers = np.zeros((1, 4, 3))
        powers[..., 0] = watts
        registers.add(powers, 0.2)
    flowed = sum(watts * 0.2 / 3600 * 1e6 for watts in powers_w)
    rows = registers.micro[0]
    for row in range(4):
        net = rows[row, Quantity.ACTIVE_IMPORT] - rows[row, Quantity.ACTIVE_EXPORT]
        assert abs(net - flowed) <= 0.5001 + 1e-9 * abs(flowed)


def test_registers_survive_as_octets_and_damage_is_seen() -> None:
    chain, _ = chain_of(typical_household(Supply()))
    octets = chain.energy.encode()
    again = Accumulators.decode(octets)
    assert again.encode() == octets
    for cut in range(0, len(octets), 7):
        with pytest.raises(RegistersDamagedError, match=r"do(es)? not fit|are not"):
            Accumulators.decode(octets[:cut])
    for place in (0, 5, 20, len(octets) - 1):
        spoilt = bytearray(octets)
        spoilt[place] ^= 1
        with pytest.raises(RegistersDamagedError):
            Accumulators.decode(bytes(spoilt))
    again.micro[0, 0, 0] += 1
    with pytest.raises(RegistersDamagedError, match="restore them from the journal"):
        again.add(np.zeros((1, 4, 3)), 0.2)


def test_the_starting_current_counts_and_no_current_does_not() -> None:
    noisy = replace(CLEAN, noise_codes=48.0)
    starting = balanced(3 * 230 * 0.001 * 5)
    chain, _ = chain_of(starting, 50, noisy)
    wanted = 3 * 230 * 0.005 * 10 / 3600 * 1e6
    counted = chain.energy.micro[0, TOTAL, Quantity.ACTIVE_IMPORT]
    assert counted == pytest.approx(wanted, rel=0.02)

    idle = Household(supply=Supply(voltage_v=1.15 * 230), appliances=())
    chain, frames = chain_of(idle, 50, noisy)
    assert not chain.energy.micro.any()
    assert not any(frame.pulses for frame in frames)


def test_pulses_come_where_the_energy_was_reached() -> None:
    home = balanced(36_000)  # 10 Ws a ms: a pulse each 100 ms
    chain, frames = chain_of(home, 20)
    places = [pulse.at_sample for frame in frames for pulse in frame.pulses]
    assert len(places) == chain.energy.micro[0, TOTAL, 0] // step_micro_wh(1000) == 39
    steps = np.diff(places)
    # Three-phase power is steady: pulses are 800 samples apart.
    assert steps == pytest.approx(800, abs=1.0)
    assert places[0] == pytest.approx(800 + ALIGNED, abs=1.0)


def test_pulses_of_export_have_an_output_of_their_own() -> None:
    _, frames = chain_of(balanced(-72_000), 5)
    outputs = {pulse.quantity for frame in frames for pulse in frame.pulses}
    assert outputs == {Quantity.ACTIVE_EXPORT}


@pytest.mark.parametrize("constant", [0, -5, 7])
def test_a_meter_constant_that_would_drift_is_refused(constant: int) -> None:
    with pytest.raises(ValueError, match="no whole number of µWh a pulse: take 1000"):
        ChainConfig(imp_per_kwh=constant)


def test_a_sampling_rate_that_cuts_half_cycles_is_refused() -> None:
    with pytest.raises(ValueError, match="take a multiple of 100"):
        ChainConfig(sampling_hz=8050)
    assert ChainConfig(sampling_hz=7680, nominal_hz=60).frame == 1536


def test_a_block_of_other_meters_is_refused() -> None:
    chain = Chain(CONFIG, Calibration.nominal(CLEAN, 2))
    with pytest.raises(ValueError, match="is not one of 2 meters with 3 voltages and 4 currents"):
        chain.feed(recorded())


def test_clipped_and_stuck_channels_are_told() -> None:
    low = replace(CLEAN, full_scale_a=5.0)
    config = replace(CONFIG, highest_code=low.highest)
    chain = Chain(config, Calibration.nominal(low))
    home = Household(supply=Supply(), appliances=(Resistive(power_w=2300),))
    (frame,) = chain.feed(together([low.sample(home, 0, CONFIG.frame)]))
    assert frame.clipped[0].tolist() == [False, False, False, True, False, False, True]
    assert frame.stuck[0].tolist() == [False] * 3 + [False, True, True, False]


@pytest.mark.parametrize("seed", range(4))
def test_calibration_takes_out_what_assembly_left(seed: int) -> None:
    converter = replace(drawn_converter(seed), noise_codes=0.0)
    count = 10 * CONFIG.frame
    told = Reference(voltage_v=230, current_a=5, lag_deg=degrees(acos(0.5)))
    source = balanced(3 * 230 * 5 * 0.5, 0.5)
    samples = together([converter.sample(source, 0, count)])
    nominal = Calibration.nominal(converter)
    found = calibrate(samples, told, nominal, CONFIG.analyser(), CONFIG.sampling_hz)
    for channel in range(3):
        voltage, current = converter.voltage[channel], converter.current[channel]
        gain = found.voltage_gain[0, channel] / converter.volts_per_code
        assert gain == pytest.approx(1 / (1 + voltage.gain), rel=1e-5)
        lag = current.delay_us * 1e-6 * CONFIG.sampling_hz
        assert found.lag[0, channel] == pytest.approx(lag, abs=1e-3)
        offset = current.offset * converter.highest
        assert found.current_offset[0, channel] == pytest.approx(offset, abs=1.0)


def test_a_reference_that_cannot_be_is_refused() -> None:
    samples = recorded()
    told = Reference(voltage_v=110, current_a=5, lag_deg=60)
    nominal = Calibration.nominal(drawn_converter(2))
    with pytest.raises(CalibrationError, match=r"meter 1, channel 1 reads .* tells 110: look at"):
        calibrate(samples, told, nominal, CONFIG.analyser(), CONFIG.sampling_hz)
    crossed = together([CLEAN.sample(balanced(3 * 230 * 5), 0, CONFIG.frame)])
    told = Reference(voltage_v=230, current_a=5, lag_deg=60)
    with pytest.raises(CalibrationError, match="more than 1: phases are crossed"):
        calibrate(crossed, told, Calibration.nominal(CLEAN), CONFIG.analyser(), CONFIG.sampling_hz)


def test_a_replayed_half_hour_is_measured_to_the_last_wh() -> None:
    """Twenty parts of the half-hour are measured beside each other, as if by so many meters."""
    load, rate, parts, step_s = ReplayedLoad(1, 1), 4000, 20, 6
    config = ChainConfig(sampling_hz=rate)
    source = ReplayedSource(load=load, supply=Supply(sampling_hz=rate), start_s=MONDAY_S)
    chain = Chain(config, Calibration.nominal(CLEAN, parts))
    part_s = INTERVAL_S // parts
    for at in range(0, part_s, step_s):
        firsts = [(part * part_s + at) * rate for part in range(parts)]
        blocks = [CLEAN.sample(source, first, step_s * rate) for first in firsts]
        chain.feed(together(blocks))
    assert chain.counted_samples == part_s * rate
    measured_wh = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT].sum() / 1e6
    assert measured_wh == pytest.approx(load.interval_wh(MONDAY_S), abs=0.01)
    assert load.interval_wh(MONDAY_S) > 50


def test_sixty_hertz_has_frames_of_twelve_cycles() -> None:
    config = ChainConfig(sampling_hz=7680, nominal_hz=60)
    supply = Supply(sampling_hz=7680, frequency_hz=59.9, voltage_v=225.0)
    load = Spectral(power_w=3 * 230 * 5 * 0.8, power_factor=0.8, phases=(1, 2, 3))
    home = Household(supply=supply, appliances=(load,))
    chain = Chain(config, Calibration.nominal(CLEAN))
    (*_, last) = chain.feed(together([CLEAN.sample(home, 0, 4 * config.frame)]))
    assert last.frequency_hz[0] == pytest.approx(59.9, abs=5e-4)
    assert last.active_w[0, TOTAL] == pytest.approx(3 * 225 * 5 * 0.8, rel=2e-4)
    assert last.half_cycle_v[0] == pytest.approx(225.0, rel=5e-3)
    assert last.half_cycle_v.shape == (1, 3, 24)


def test_a_direct_component_that_calibration_did_not_see_is_tracked_away() -> None:
    error = ChannelError(offset=0.02)  # 10 V and 3.6 A
    drifting = replace(CLEAN, voltage=(error,) * 3, current=(error,) * 4)
    chain = Chain(CONFIG, Calibration.nominal(drifting))
    frames: list[Frame] = []
    block = together([drifting.sample(balanced(690), 0, CONFIG.frame)])  # whole cycles: it repeats
    for _ in range(600):
        frames += chain.feed(block)
    assert frames[0].active_w[0, TOTAL] == pytest.approx(690 + 3 * 10 * 3.6, rel=0.01)
    assert frames[-1].active_w[0, TOTAL] == pytest.approx(690, rel=1e-4)
    assert frames[-1].voltage_v[0] == pytest.approx(230, rel=1e-4)


def test_flicker_and_the_neutral_are_seen() -> None:
    supply = Supply(flicker=Flicker(depth=0.05, frequency_hz=8.8))
    home = Household(supply=supply, appliances=(Resistive(power_w=2300, phases=(1, 2)),))
    _, frames = chain_of(home, frames=6)
    halves = np.concatenate([frame.half_cycle_v[0, 0] for frame in frames[1:]])
    assert halves.max() == pytest.approx(230 * 1.05, rel=5e-3)
    assert halves.min() == pytest.approx(230 * 0.95, rel=5e-3)
    # Two phases of 5 A, 120° apart, return as one of 5 A.
    assert frames[-1].current_a[0] == pytest.approx([5, 5, 0, 5], rel=0.03)


def test_a_chain_goes_on_from_registers_that_were_kept() -> None:
    home = balanced(36_000)
    blocks = [
        together([CLEAN.sample(home, n * 10 * CONFIG.frame, 10 * CONFIG.frame)]) for n in (0, 1)
    ]
    whole = Chain(CONFIG, Calibration.nominal(CLEAN))
    expected = [frame.pulses for block in blocks for frame in whole.feed(block)]
    before = Chain(CONFIG, Calibration.nominal(CLEAN))
    found = [frame.pulses for frame in before.feed(blocks[0])]
    kept = Accumulators.decode(before.energy.encode())
    after = Chain(CONFIG, Calibration.nominal(CLEAN), kept)
    found += [frame.pulses for frame in after.feed(blocks[1])]
    # The first sample after a restart has no history: at a zero crossing it carries nothing.
    assert after.energy.micro[0, TOTAL] == pytest.approx(whole.energy.micro[0, TOTAL], rel=1e-4)
    assert [len(pulses) for pulses in found] == [len(pulses) for pulses in expected]
    with pytest.raises(ValueError, match="registers of 1 meters do not belong"):
        Chain(CONFIG, Calibration.nominal(CLEAN, 2), kept)
