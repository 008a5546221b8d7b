# SPDX-License-Identifier: Apache-2.0
"""A replayed load as the measuring chain counts it: waveforms between the data and the registers.

Each second of a replayed load has a power of whole watts.  That power is made a waveform, taken by
a simulated front end with the errors of its assembly and its years, calibrated, and measured by
the chain; what the chain says is what flowed.  A power is measured once, for one frame, and
remembered, so that the same second always has the same energy, also after a restart.

The port's half-hours are whole Wh, as the data's are.  What is measured of one is rounded up or
down by lot, the likelier the nearer, so that long sums are those of the chain: rounding to the
nearest would hide errors of a part of a thousand altogether.
"""

from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from openami.meter.load import INTERVAL_S, WS_PER_WH
from openami.meter.measuring.accuracy import Bench
from openami.meter.measuring.adc import together
from openami.meter.measuring.appliances import Household as Home
from openami.meter.measuring.appliances import Resistive
from openami.meter.measuring.chain import Chain
from openami.meter.measuring.pulses import TOTAL
from openami.meter.measuring.signal import Floats, Supply

AT_ONCE: Final = 64  # powers that are measured together
LOTS: Final = 31  # number of the stream of lots


class ShapedLoad(Protocol):
    """A load that tells the energy of each second of a half-hour."""

    def shape_ws(self, start_s: int) -> npt.NDArray[np.int32]:
        """Return the energy from the half-hour's start to each of its seconds: 1801 values, Ws."""


class MeasuredLoad:
    """What a meter with a front end of its own counts of a load (a `meter.load.Load`).

    Args:
        load: What really flows.
        seed: Draws the front end.
    """

    __slots__ = ("_bench", "_cache", "_load", "_measured_w", "_seed", "_supply")

    def __init__(self, load: ShapedLoad, seed: int) -> None:
        self._load = load
        self._seed = seed
        self._bench = Bench(seed=seed)
        self._supply = Supply(sampling_hz=self._bench.config.sampling_hz)
        self._measured_w: dict[int, float] = {}
        self._cache: tuple[int, npt.NDArray[np.int64]] | None = None

    def interval_wh(self, start_s: int) -> int:
        return self.interval_ws(start_s) // WS_PER_WH

    def interval_ws(self, start_s: int) -> int:
        return int(self.shape_ws(start_s)[-1])

    def energy_ws(self, start_s: int, stop_s: int) -> int:
        """Return what was measured from `start_s` to `stop_s`, both within one half-hour.

        Raises:
            ValueError: The span leaves the half-hour it starts in.
        """
        grid_s = start_s - start_s % INTERVAL_S
        if not start_s <= stop_s <= grid_s + INTERVAL_S:
            raise ValueError(f"{start_s} to {stop_s} s is no span within one half-hour")
        shape = self.shape_ws(grid_s)
        return int(shape[stop_s - grid_s]) - int(shape[start_s - grid_s])

    def power_w(self, at_s: int) -> int:
        return self.energy_ws(at_s, at_s + 1)

    def shape_ws(self, start_s: int) -> npt.NDArray[np.int64]:
        """Return what was measured from the half-hour's start to each of its seconds, Ws."""
        if self._cache is None or self._cache[0] != start_s:
            self._cache = (start_s, self._measure(start_s))
        return self._cache[1]

    def measured_w(self, powers_w: npt.NDArray[np.int64]) -> Floats:
        """Return what the chain measures of powers of whole watts, of the same shape."""
        levels, place = np.unique(powers_w, return_inverse=True)
        new = [level for level in levels.tolist() if level not in self._measured_w]
        for at in range(0, len(new), AT_ONCE):
            self._take(new[at : at + AT_ONCE])
        found = np.array([self._measured_w[level] for level in levels.tolist()])
        result: Floats = found[place].reshape(powers_w.shape)
        return result

    def _measure(self, start_s: int) -> npt.NDArray[np.int64]:
        powers = np.diff(self._load.shape_ws(start_s)).astype(np.int64)
        running = np.cumsum(self.measured_w(powers))
        shape = np.zeros(INTERVAL_S + 1, dtype=np.int64)
        lot = np.random.Generator(np.random.PCG64([self._seed, start_s, LOTS])).random()
        total_ws = int(running[-1] / WS_PER_WH + lot) * WS_PER_WH
        if total_ws:
            shape[1:] = np.rint(running * (total_ws / running[-1]))
        return shape

    def _take(self, powers_w: list[int]) -> None:
        """Measure powers, each for one frame of its own."""
        bench, size = self._bench, self._bench.config.frame
        homes = [
            Home(supply=self._supply, appliances=(Resistive(power_w=power),)) for power in powers_w
        ]
        samples = together(
            [
                bench.converter.sample(home, power * size, size)
                for home, power in zip(homes, powers_w, strict=True)
            ]
        )
        (frame,) = Chain(bench.config, bench.calibration.repeated(len(homes))).feed(samples)
        for power, found in zip(powers_w, frame.active_w[:, TOTAL].tolist(), strict=True):
            self._measured_w[power] = max(found, 0.0)
