# SPDX-License-Identifier: Apache-2.0
"""Real load as a waveform: the integral of its power is the data's energy, to the last Wh.

The load tells whole Ws of each second (`meter.load.Load`).  The current of a second has a shape,
and an amplitude chosen so that the sum of voltage times current over that second's own samples is
those Ws, whatever frequency, harmonics or noise the voltage has.  A second without voltage carries
no energy: what the load would have drawn in it is not drawn.
"""

from dataclasses import dataclass
from math import acos, sqrt
from typing import Final

import numpy as np

from openami.meter.load import Load
from openami.meter.measuring.appliances import with_neutral
from openami.meter.measuring.signal import Floats, Harmonic, Supply, waves

CARRIES: Final = 1e-3  # of the nominal amplitude: a voltage below carries no energy


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
        seconds = range(first // rate, (first + max(count, 1) - 1) // rate + 1)
        whole = self.supply.moment(seconds[0] * rate, len(seconds) * rate)
        shape = self._shape(whole.angle)
        amplitudes = self._amplitudes(seconds, whole.voltage_v * shape)
        skipped = first - seconds[0] * rate
        if delays_s is not None:
            shape = self._shape(self.supply.moment(first, count, delays_s).angle)
        else:
            shape = shape[:, skipped : skipped + count]
        return with_neutral(shape * np.repeat(amplitudes, rate)[skipped : skipped + count])

    def _shape(self, angle: Floats) -> Floats:
        shape = np.sin(angle - acos(self.power_factor))
        for harmonic in self.harmonics:
            shape += waves(angle, harmonic)
        result: Floats = shape * np.array(self.shares)[:, np.newaxis]
        return result

    def _amplitudes(self, seconds: range, unit_power: Floats) -> Floats:
        """Return the current's amplitude in each second, A; 0 where the voltage can carry none.

        Args:
            seconds: Numbers of the seconds.
            unit_power: Power of each of their samples at an amplitude of 1 A, (3, n).
        """
        rate = self.sampling_hz
        unit_ws = unit_power.sum(axis=0).reshape(len(seconds), rate).sum(axis=1) / rate
        wanted_ws = np.array([self.load.power_w(self.start_s + each) for each in seconds])
        carries = unit_ws > self.supply.voltage_v * sqrt(2) * CARRIES
        amplitudes: Floats = np.where(carries, wanted_ws / np.where(carries, unit_ws, 1), 0.0)
        return amplitudes
