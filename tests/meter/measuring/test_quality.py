# SPDX-License-Identifier: Apache-2.0
"""Sags and swells as registers."""

import pytest

from openami.dlms.obis import Obis
from openami.meter.measuring.adc import Converter, together
from openami.meter.measuring.appliances import Household, Resistive
from openami.meter.measuring.calibration import Calibration
from openami.meter.measuring.chain import Chain, ChainConfig
from openami.meter.measuring.quality import QualityRegisters
from openami.meter.measuring.signal import Disturbance, Supply
from openami.meter.measuring.watch import Watch

CONFIG, CONVERTER = ChainConfig(), Converter()


def test_each_phase_counts_its_own_and_keeps_the_last() -> None:
    supply = Supply(
        disturbances=(
            Disturbance(start_s=0.3, duration_s=0.10, factor=0.8, phases=(1,)),
            Disturbance(start_s=0.7, duration_s=0.20, factor=0.6, phases=(1,)),
            Disturbance(start_s=1.1, duration_s=0.30, factor=1.2, phases=(3,)),
            Disturbance(start_s=1.6, duration_s=0.20, factor=0.0, phases=(2,)),
        )
    )
    home = Household(supply=supply, appliances=(Resistive(power_w=500, phases=(1, 2, 3)),))
    chain, watch = Chain(CONFIG, Calibration.nominal(CONVERTER)), Watch(CONFIG, 1)
    registers, other = QualityRegisters(230.0), QualityRegisters(230.0, meter=1)
    for frame in chain.feed(together([CONVERTER.sample(home, 0, 2 * CONFIG.sampling_hz)])):
        events = watch.step(frame, 0)
        registers.count(events)
        other.count(events)

    found = {(obis.c, obis.d): value for obis, value in registers.values.items()}
    assert (found[32, 32], found[52, 32], found[72, 32]) == (2, 0, 0)
    assert (found[32, 36], found[52, 36], found[72, 36]) == (0, 0, 1)
    assert found[32, 33] == pytest.approx(0.20, abs=0.025)
    assert found[32, 34] == pytest.approx(0.6 * 230, rel=0.01)
    assert found[72, 37] == pytest.approx(0.30, abs=0.025)
    assert found[72, 38] == pytest.approx(1.2 * 230, rel=0.01)
    assert (52, 33) not in found
    assert set(other.values.values()) == {0.0}
    assert Obis(1, 0, 32, 32, 0, 255) in registers.values
