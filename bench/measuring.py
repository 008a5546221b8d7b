# SPDX-License-Identifier: Apache-2.0
"""The measuring chain: samples a second of processor time, for one meter and for many at once.

A sample here is one code of one channel; a meter has seven channels.  The work is proven by the
energy that comes out.  Processor time is taken: the chain runs on one core and waits for
nothing.
"""

import time
from collections.abc import Iterator

import numpy as np

from bench.measure import OURS, Row, Scale, same
from openami.meter.measuring.accumulators import Quantity
from openami.meter.measuring.adc import Converter, Samples, together
from openami.meter.measuring.appliances import Household, Spectral
from openami.meter.measuring.calibration import Calibration
from openami.meter.measuring.chain import CHANNELS, Chain, ChainConfig
from openami.meter.measuring.pulses import TOTAL
from openami.meter.measuring.signal import Supply

CONFIG = ChainConfig()
POWER_W = 6000.0
MANY = 100
ENOUGH = 2  # frames until the first sample's history counts for nothing
CODES = Converter(noise_codes=20.0)


def measure(scale: Scale) -> Iterator[Row]:
    """Measure the chain, and how fast waveforms can be made for it."""
    home = Household(
        supply=Supply(),
        appliances=(Spectral(power_w=POWER_W, power_factor=0.9, phases=(1, 2, 3)),),
    )
    block = together([CODES.sample(home, 0, CONFIG.frame)])
    for meters, note in ((1, "one meter"), (MANY, f"{MANY} meters at once")):
        row = Row(
            f"measuring chain, {note}",
            "samples/s",
            note="7 channels at 8 kHz; of processor time, one core",
        )
        blocks = Samples(np.repeat(block.voltage, meters, 0), np.repeat(block.current, meters, 0))
        for _ in range(scale.rounds):
            row.add({OURS: _chain(blocks, meters, scale.seconds)})
        yield row
    row = Row("waveforms made", "samples/s", note="supply, load, front end with noise")
    for _ in range(scale.rounds):
        row.add({OURS: _waveforms(home, scale.seconds)})
    yield row


def _chain(block: Samples, meters: int, seconds: float) -> float:
    """Return samples a second that the chain takes."""
    chain = Chain(CONFIG, Calibration.nominal(CODES, meters))
    for _ in range(ENOUGH):
        chain.feed(block)
    before = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT].copy()
    frames, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        frames += len(chain.feed(block))
    counted = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT] - before
    wanted = POWER_W * frames * CONFIG.frame_s / 3600 * 1e6
    same(set(np.round(counted / wanted, 3).tolist()), {1.0}, "energy of the chain, as a part,")
    return frames * meters * CHANNELS * CONFIG.frame / spent


def _waveforms(home: Household, seconds: float) -> float:
    """Return samples a second that a simulated front end gives."""
    first, began = 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        block = CODES.sample(home, first, CONFIG.frame)
        same(block.current.shape, (4, CONFIG.frame), "a block of the front end")
        first += CONFIG.frame
    return first * CHANNELS / spent
