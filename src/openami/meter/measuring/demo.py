# SPDX-License-Identifier: Apache-2.0
"""A simulated three-phase meter to look at: a typical home on a lively supply, measured live."""

from typing import Final

import numpy as np

from openami.meter.measuring.accumulators import ROWS
from openami.meter.measuring.accuracy import Bench
from openami.meter.measuring.adc import Samples, together
from openami.meter.measuring.appliances import typical_household
from openami.meter.measuring.chain import Chain, Frame
from openami.meter.measuring.display import Values, measured
from openami.meter.measuring.selftest import Status, self_test
from openami.meter.measuring.signal import Flicker, Harmonic, Supply
from openami.meter.measuring.watch import Watch, with_feed_in

PLATE: Final = (
    "OpenAMI, simulated · 3×230/400 V · 5(100) A · 50 Hz · 1000 imp/kWh\n"
    "No real meter: waveforms, front end and energy are simulated."
)
BEFORE_S: Final = 500 * 3600  # what it has counted before, at powers made up
BEFORE_W: Final = (2400.0, 350.0, 2500.0)  # active, reactive, apparent, in each phase
MOST_AT_ONCE_S: Final = 2.0


class DemoMeter:
    """A calibrated meter and what stands before it.

    Args:
        seed: Of front end and noise.
    """

    def __init__(self, seed: int = 1) -> None:
        bench = Bench(seed=seed)
        self.config = bench.config
        self._converter = bench.converter
        self._home = typical_household(
            Supply(
                frequency_hz=49.98,
                levels=(1.003, 0.991, 1.012),
                harmonics=(Harmonic(order=5, part=0.02), Harmonic(order=7, part=0.012)),
                flicker=Flicker(depth=0.002),
                noise_v=0.05,
                seed=seed,
            )
        )
        self.chain = Chain(self.config, bench.calibration)
        self.watch = Watch(self.config, 1, with_feed_in())
        powers = np.array(BEFORE_W) * np.ones((1, ROWS, 1))
        powers[:, -1] *= ROWS - 1
        self.chain.energy.add(powers, BEFORE_S)
        self._sampled = 0
        self._last: Frame | None = None
        self.status = Status(0)
        self.advance(self.config.frame_s * 2, 0)

    def advance(self, span_s: float, start_us: int) -> None:
        """Measure on for a while; what is longer than two seconds is cut.

        Args:
            span_s: How long.
            start_us: Calendar at the first sample.
        """
        count = round(min(span_s, MOST_AT_ONCE_S) * self.config.sampling_hz)
        block: Samples = together([self._converter.sample(self._home, self._sampled, count)])
        self._sampled += count
        for frame in self.chain.feed(block):
            self._last = frame
            self.watch.step(frame, start_us)
            (self.status,) = self_test(self.config, frame, self.chain.energy, watch=self.watch)

    def values(self, at_s: int) -> Values:
        """Return what the display shows at `at_s`."""
        if self._last is None:
            return Values(at_s=at_s)
        found = measured(self.config, self._last, self.chain.energy, at_s)
        return Values(
            at_s=at_s,
            of=found.of,
            phases=found.phases,
            quadrant=found.quadrant,
            error=int(self.status),
        )
