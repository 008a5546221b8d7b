# SPDX-License-Identifier: Apache-2.0
"""Sags, swells, interruptions, tampering, and the meter's word about itself."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.meter.measuring.adc import Converter, together
from openami.meter.measuring.appliances import Household, Resistive, photovoltaics
from openami.meter.measuring.calibration import Calibration
from openami.meter.measuring.chain import Chain, ChainConfig, Frame
from openami.meter.measuring.rules import MICROSECONDS, RULES, Detector, Event, Kind, Rule
from openami.meter.measuring.selftest import (
    TEXT,
    ClockCheck,
    Status,
    critical,
    self_test,
    words,
)
from openami.meter.measuring.signal import Disturbance, Supply
from openami.meter.measuring.watch import Tampering, Watch, with_feed_in

CONFIG = ChainConfig()
NOISY = Converter(noise_codes=20.0)
START_US = 1_790_000_000_000_000
LOAD = Resistive(power_w=3450, phases=(1, 2))
FAST = {Kind.SAG, Kind.SWELL, Kind.INTERRUPTION, Kind.POWER_FAILURE}


def frames_of(home: Household, seconds: float, chain: Chain | None = None) -> list[Frame]:
    chain = chain or Chain(CONFIG, Calibration.nominal(NOISY))
    return chain.feed(together([NOISY.sample(home, 0, round(seconds * CONFIG.sampling_hz))]))


def events_of(
    home: Household, seconds: float = 2.0, tampering: Tampering | None = None
) -> list[Event]:
    watch = Watch(CONFIG, 1)
    given_ = () if tampering is None else (tampering,)
    for frame in frames_of(home, seconds):
        watch.step(frame, START_US, given_)
    return list(watch.log)


def disturbed(*disturbances: Disturbance) -> Household:
    return Household(supply=Supply(disturbances=disturbances), appliances=(LOAD,))


@pytest.mark.parametrize(
    ("factor", "code", "deviation"), [(0.7, 93, 0.3), (0.4, 93, 0.6), (1.15, 96, 0.15)]
)
@pytest.mark.parametrize("phase", [1, 2, 3])
@pytest.mark.parametrize("duration_s", [0.05, 0.3])
def test_a_sag_or_swell_is_told_with_depth_and_length(
    factor: float, code: int, deviation: float, phase: int, duration_s: float
) -> None:
    home = disturbed(
        Disturbance(start_s=0.5, duration_s=duration_s, factor=factor, phases=(phase,))
    )
    (event,) = events_of(home)
    assert event.code == code + phase - 1
    assert event.phase == phase
    assert event.worst == pytest.approx(deviation, abs=0.005)
    assert event.began_us - START_US == pytest.approx(0.5 * MICROSECONDS, abs=25_000)
    assert event.duration_us == pytest.approx(duration_s * MICROSECONDS, abs=25_000)


def test_an_interruption_of_a_phase_is_no_sag_besides() -> None:
    home = disturbed(Disturbance(start_s=0.5, duration_s=0.4, factor=0.0, phases=(2,)))
    assert [event.code for event in events_of(home)] == [87, 91]


def test_when_all_phases_are_gone_power_has_failed() -> None:
    events = events_of(disturbed(Disturbance(start_s=0.5, duration_s=0.4, factor=0.0)))
    assert {event.code for event in events} == {1, 2, 86, 87, 88, 90, 91, 92}
    (returned,) = (event for event in events if event.code == 2)
    assert returned.duration_us == pytest.approx(0.4 * MICROSECONDS, abs=25_000)
    assert [event.at_us for event in events] == sorted(event.at_us for event in events)


def test_a_voltage_that_wavers_about_the_threshold_is_one_sag() -> None:
    wavering = [
        Disturbance(start_s=0.5 + 0.2 * n, duration_s=0.1, factor=0.89) for n in range(5)
    ] + [Disturbance(start_s=0.6 + 0.2 * n, duration_s=0.1, factor=0.91) for n in range(5)]
    events = events_of(disturbed(*wavering))
    assert [event.code for event in events] == [93, 94, 95]


def test_a_sound_supply_has_no_events() -> None:
    supply = Supply(voltage_v=0.92 * 230, frequency_hz=50.8, noise_v=0.5)
    assert events_of(Household(supply=supply, appliances=(LOAD,)), 8.0) == []


def test_covers_and_magnets() -> None:
    home = Household(supply=Supply(), appliances=(LOAD,))
    watch = Watch(CONFIG, 1)
    for n, frame in enumerate(frames_of(home, 16.0)):
        at_s = n / 5
        watch.step(
            frame,
            START_US,
            (
                Tampering(
                    terminal_cover_open=1 <= at_s < 2,
                    meter_cover_open=3 <= at_s < 3.4,
                    magnet_mt=40.0 if 4 <= at_s < 6 else 25.0 if at_s < 8 else 0.0,
                ),
            ),
        )
        assert (Kind.MAGNET in watch.active(0)) == (5 <= at_s < 13)
    assert [event.code for event in watch.log] == [40, 44, 41, 42, 45, 43]
    (away,) = (event for event in watch.log if event.code == 43)
    assert away.worst == 40.0
    assert away.duration_us == 4 * MICROSECONDS


def test_a_lost_neutral_is_noticed_by_what_does_not_return() -> None:
    home = Household(supply=Supply(), appliances=(LOAD,), neutral=0.05)
    (event,) = events_of(home, 7.0)
    assert (event.code, event.kind) == (234, Kind.NEUTRAL)
    assert event.worst == pytest.approx(0.95, abs=0.01)


def test_a_reversed_sequence_is_noticed() -> None:
    supply = Supply(angles_deg=(0.0, 120.0, -120.0))
    (event,) = events_of(Household(supply=supply, appliances=(LOAD,)), 7.0)
    assert event.code == 236


def test_a_reversed_current_is_noticed_where_nothing_may_feed_in() -> None:
    home = Household(supply=Supply(), appliances=(photovoltaics(2000, phases=(3,)),))
    (event,) = events_of(home, 7.0)
    assert (event.code, event.phase) == (238, 0)
    watch = Watch(CONFIG, 1, with_feed_in())
    assert not any(watch.step(frame, START_US) for frame in frames_of(home, 7.0))


@pytest.mark.parametrize("rule", RULES, ids=[rule.kind.name for rule in RULES])
def test_each_row_holds_waits_and_rests(rule: Rule) -> None:
    detector = Detector(rule)
    assert detector.resting
    assert detector.step(0, rule.begins - 0.001) is None
    assert detector.resting
    hold_us = round(rule.hold_s * MICROSECONDS)
    begun = detector.step(1, rule.begins)
    if hold_us:
        assert begun is None
        assert detector.step(hold_us, rule.begins) is None
        begun = detector.step(hold_us + 1, rule.begins)
    assert detector.active
    assert (begun.code if begun else None) == rule.code
    between = (rule.begins + rule.ends) / 2
    assert detector.step(hold_us + 10, between) is None
    assert detector.active
    over_us = hold_us + 100
    release_us = round(rule.release_s * MICROSECONDS)
    ended = detector.step(over_us, rule.ends - 0.001)
    if release_us:
        assert ended is None
        ended = detector.step(over_us + release_us, rule.ends - 0.001)
    assert not detector.active
    assert ended is not None
    assert ended.code == rule.end_code
    assert ended.duration_us == over_us - 1


@given(st.lists(st.floats(min_value=0, max_value=1), max_size=200))
def test_beginnings_and_ends_take_turns(measures: list[float]) -> None:
    rule = next(rule for rule in RULES if rule.kind is Kind.INTERRUPTION)
    detector = Detector(rule, phase=1)
    events = [detector.step(10_000 * n, measure) for n, measure in enumerate(measures)]
    codes = [event.code for event in events if event is not None]
    assert codes == ([86, 90] * len(codes))[: len(codes)]
    assert detector.active == (len(codes) % 2 == 1)


def test_codes_of_the_table_are_told_apart() -> None:
    codes = [
        code + phase
        for rule in RULES
        for code in (rule.code, rule.end_code)
        if code is not None
        for phase in range(3 if rule.per_phase else 1)
    ]
    assert len(codes) == len(set(codes))
    assert {rule.kind for rule in RULES} == set(Kind)


def test_a_row_that_would_never_rest_is_refused() -> None:
    with pytest.raises(ValueError, match=r"it ends at 0\.2, above where it begins"):
        replace(RULES[0], ends=0.2)


def test_the_log_keeps_the_newest() -> None:
    swells = [Disturbance(start_s=0.2 + 0.1 * n, duration_s=0.05, factor=1.2) for n in range(8)]
    watch = Watch(CONFIG, 1, entries=4)
    for frame in frames_of(disturbed(*swells), 1.4):
        watch.step(frame, START_US)
    assert len(watch.log) == 4
    assert watch.log[-1].began_us > START_US + 850_000


def status_of(home: Household, converter: Converter = NOISY) -> Status:
    config = replace(CONFIG, highest_code=converter.highest)
    chain = Chain(config, Calibration.nominal(converter))
    (frame,) = chain.feed(together([converter.sample(home, 0, config.frame)]))
    (status,) = self_test(config, frame, chain.energy)
    return status


def test_a_meter_in_order_has_nothing_to_say() -> None:
    assert status_of(Household(supply=Supply(), appliances=(LOAD,))) == Status(0)


def test_each_finding_has_its_bit() -> None:
    home = Household(supply=Supply(), appliances=(LOAD,))
    one = Household(supply=Supply(levels=(1.0, 1.0, 0.0)), appliances=())
    assert status_of(one) == Status.NO_VOLTAGE_L3
    none = Household(supply=Supply(levels=(0.0, 0.0, 0.0)), appliances=())
    no_voltage = Status.NO_VOLTAGE_L1 | Status.NO_VOLTAGE_L2 | Status.NO_VOLTAGE_L3
    assert status_of(none) == no_voltage | Status.FREQUENCY_UNKNOWN
    assert status_of(home, replace(NOISY, full_scale_v=200.0)) == Status.CHANNEL_CLIPPED
    assert status_of(home, replace(NOISY, noise_codes=0.0)) == Status.CHANNEL_STUCK
    assert critical([Status.CHANNEL_STUCK, Status.TAMPER]) == [True, False]


def test_tampering_sequence_clock_and_registers_have_theirs() -> None:
    chain = Chain(CONFIG, Calibration.nominal(NOISY))
    supply = Supply(angles_deg=(0.0, 120.0, -120.0))
    home = Household(supply=supply, appliances=(LOAD,), neutral=0.0)
    watch = Watch(CONFIG, 1)
    frames = frames_of(home, 6.0, chain)
    for frame in frames:
        watch.step(frame, START_US)
    (status,) = self_test(CONFIG, frames[-1], chain.energy, watch=watch, clock_plausible=False)
    assert status == Status.TAMPER | Status.PHASE_SEQUENCE | Status.CLOCK_IMPLAUSIBLE
    chain.energy.micro[0, 0, 0] ^= 1
    (status,) = self_test(CONFIG, frames[-1], chain.energy)
    assert status == Status.REGISTERS_DAMAGED
    assert words(status) == ["registers do not fit their CRC"]


def test_every_bit_has_words() -> None:
    assert set(TEXT) == set(Status)


def test_a_clock_is_held_to_the_samples() -> None:
    check = ClockCheck(8000)
    assert check.plausible(0, START_US)
    hour = 3600 * 8000
    assert check.plausible(hour, START_US + 3600 * MICROSECONDS + 1_000_000)
    assert not check.plausible(hour, START_US + 3600 * MICROSECONDS + 9_000_000)
    assert check.plausible(hour + 8000, START_US + 3601 * MICROSECONDS + 9_000_000)
    assert not check.plausible(hour + 16_000, START_US)


def test_harmless_meters_cost_no_look() -> None:
    home = Household(supply=Supply(), appliances=(LOAD,))
    watch = Watch(CONFIG, 1)
    for frame in frames_of(home, 0.4):
        assert watch.step(frame, START_US) == []
    resting = [each.resting for of in watch._of.values() for each in of[0]]
    assert np.all(resting)
    assert set(watch._of) > FAST
