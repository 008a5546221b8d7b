# SPDX-License-Identifier: Apache-2.0
"""Real load as a waveform: the integral of its power is the data's energy, to the last Wh.

The load tells whole Ws of each second (`meter.load.Load`).  The current of a second has a shape,
and an amplitude chosen so that the sum of voltage times current over that second's own samples is
those Ws, whatever frequency, harmonics or noise the voltage has.  A second without voltage carries
no energy: what the load would have drawn in it is not drawn.
"""

from dataclasses import dataclass
from math import acos, sqrt

import numpy as np

from openami.meter.load import Load
from openami.meter.measuring.appliances import with_neutral
from openami.meter.measuring.signal import Floats, Harmonic, Supply, waves


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayedSource:
    """A replayed load, connected to a supply.

    Attributes:
        load: What flows, in whole Ws a second.
        start_s: Calendar second of the first sample, UTC.
        shares: Part of the current's amplitude in each phase.
        power_factor: cos φ of the current, inductive.
        harmonics: Of the current.
    """

    load: Load
    supply: Supply
    start_s: int
    shares: tuple[float, float, float] = (1.0, 0.0, 0.0)
    power_factor: float = 1.0
    harmonics: tuple[Harmonic, ...] = ()

    @property
    def sampling_hz(self) -> int:
        return self.supply.sampling_hz

    def voltage_v(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        return self.supply.moment(first, count, delays_s).voltage_v

    def current_a(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        rate = self.sampling_hz
        shape = self._shape(self.supply.moment(first, count, delays_s).angle)
        seconds = range(first // rate, (first + max(count, 1) - 1) // rate + 1)
        amplitudes = [self._amplitude(second) for second in seconds]
        of_sample = (first + np.arange(count)) // rate - seconds[0]
        return with_neutral(shape * np.array(amplitudes)[of_sample])

    def _shape(self, angle: Floats) -> Floats:
        shape = np.sin(angle - acos(self.power_factor))
        for harmonic in self.harmonics:
            shape += waves(angle, harmonic)
        result: Floats = shape * np.array(self.shares)[:, np.newaxis]
        return result

    def _amplitude(self, second: int) -> float:
        """Return the current's amplitude in one second, A; 0 where the voltage can carry none."""
        rate = self.sampling_hz
        moment = self.supply.moment(second * rate, rate)
        unit_ws = float((moment.voltage_v * self._shape(moment.angle)).sum()) / rate
        if unit_ws <= self.supply.voltage_v * sqrt(2) * 1e-3:
            return 0.0
        return self.load.power_w(self.start_s + second) / unit_ws
