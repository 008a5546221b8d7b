# SPDX-License-Identifier: Apache-2.0
"""Accuracy class 0.5 S of IEC 62053-22, as tables, and the bench that walks them.

The bench is a meter of its own making, 5(100) A: a front end drawn at random is calibrated at two
points, then each point of the tables is put on it for a while, all points at once as if they were
so many meters.  By then the front end has drifted a little from what was calibrated.  The error is
the registers' energy against the integral of the very waveform.

`ERROR_LIMITS` are the limits at reference conditions.  `INFLUENCES` are the variations of the error
that an influence may cause; `sure` tells whether the limit has more than one source.  What is
marked unsure is to be compared with the standard before anybody relies on it.
"""

from dataclasses import dataclass
from enum import Enum
from math import acos, degrees
from typing import Final

import numpy as np

from openami.meter.measuring.accumulators import Quantity
from openami.meter.measuring.adc import Converter, drawn_converter, drifted, together
from openami.meter.measuring.appliances import NOMINAL_V, Household, Spectral
from openami.meter.measuring.calibration import Calibration, Reference, calibrate
from openami.meter.measuring.chain import ALIGNED, Chain, ChainConfig
from openami.meter.measuring.pulses import TOTAL
from openami.meter.measuring.signal import Harmonic, Supply

NOMINAL_A: Final = 5.0
MOST_A: Final = 100.0
WARM_FRAMES: Final = 2
MICRO_WH_PER_WS: Final = 1e6 / 3600
UNDISTURBED: Final = Supply()


class Load(Enum):
    """Power factors of the tables: cos φ, and whether the current is ahead."""

    UNITY = (1.0, False)
    INDUCTIVE = (0.5, False)
    CAPACITIVE = (0.8, True)

    @property
    def words(self) -> str:
        """How the standard writes it."""
        return {Load.UNITY: "1", Load.INDUCTIVE: "0.5 inductive"}.get(self, "0.8 capacitive")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorLimit:
    """One row of the table of percentage error limits: from one current up to another."""

    load: Load
    from_in: float  # in In, included
    below_in: float  # in In; not included, but for Imax
    limit_percent: float


MOST_IN: Final = MOST_A / NOMINAL_A
ERROR_LIMITS: Final = (
    ErrorLimit(load=Load.UNITY, from_in=0.01, below_in=0.05, limit_percent=1.0),
    ErrorLimit(load=Load.UNITY, from_in=0.05, below_in=MOST_IN, limit_percent=0.5),
    ErrorLimit(load=Load.INDUCTIVE, from_in=0.02, below_in=0.1, limit_percent=1.0),
    ErrorLimit(load=Load.INDUCTIVE, from_in=0.1, below_in=MOST_IN, limit_percent=0.6),
    ErrorLimit(load=Load.CAPACITIVE, from_in=0.02, below_in=0.1, limit_percent=1.0),
    ErrorLimit(load=Load.CAPACITIVE, from_in=0.1, below_in=MOST_IN, limit_percent=0.6),
)
CURRENTS_IN: Final = (0.01, 0.02, 0.035, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, MOST_IN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Influence:
    """A quantity that may move the error, and by how much at most.

    Attributes:
        name: What it is.
        load: At which power factor.
        currents_in: The currents it is tried at, in In.
        limit_percent: Most variation of the error.
        sure: Whether more than one source gives this limit.
        supply: Changes to the supply.
        harmonics: Of the current.
    """

    name: str
    load: Load
    currents_in: tuple[float, ...]
    limit_percent: float
    sure: bool = False
    supply: Supply = UNDISTURBED
    harmonics: tuple[Harmonic, ...] = ()


RANGE_UNITY: Final = (0.05, 1.0, MOST_IN)
RANGE_INDUCTIVE: Final = (0.1, 1.0, MOST_IN)
FIFTH_V: Final = (Harmonic(order=5, part=0.1),)
FIFTH_A: Final = (Harmonic(order=5, part=0.4),)

INFLUENCES: Final = (
    *(
        Influence(name=name, load=load, currents_in=currents, limit_percent=limit, supply=supply)
        for name, supply, unity, inductive in (
            ("voltage −10 %", Supply(voltage_v=0.9 * NOMINAL_V), 0.2, 0.4),
            ("voltage +10 %", Supply(voltage_v=1.1 * NOMINAL_V), 0.2, 0.4),
            ("frequency −2 %", Supply(frequency_hz=49.0), 0.2, 0.2),
            ("frequency +2 %", Supply(frequency_hz=51.0), 0.2, 0.2),
        )
        for load, currents, limit in (
            (Load.UNITY, RANGE_UNITY, unity),
            (Load.INDUCTIVE, RANGE_INDUCTIVE, inductive),
        )
    ),
    Influence(
        name="reversed phase sequence",
        load=Load.UNITY,
        currents_in=(0.1,),
        limit_percent=0.1,
        supply=Supply(angles_deg=(0.0, 120.0, -120.0)),
    ),
    Influence(
        name="voltage unbalance",
        load=Load.UNITY,
        currents_in=(1.0,),
        limit_percent=1.0,
        supply=Supply(levels=(1.0, 1.0, 0.0)),
    ),
    Influence(
        name="5th harmonic",
        load=Load.UNITY,
        currents_in=(0.5 * MOST_IN,),
        limit_percent=0.5,
        supply=Supply(harmonics=FIFTH_V),
        harmonics=FIFTH_A,
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorRow:
    """One measured point of the table of errors."""

    load: Load
    current_in: float
    error_percent: float
    limit_percent: float

    @property
    def within(self) -> bool:
        return abs(self.error_percent) <= self.limit_percent


@dataclass(frozen=True, slots=True, kw_only=True)
class InfluenceRow:
    """One measured influence: how far it moved the error from that at reference conditions."""

    influence: Influence
    current_in: float
    variation_percent: float

    @property
    def within(self) -> bool:
        return abs(self.variation_percent) <= self.influence.limit_percent


@dataclass(frozen=True, slots=True)
class Errors:
    """All that the bench measured."""

    rows: tuple[ErrorRow, ...]
    influences: tuple[InfluenceRow, ...]

    @property
    def within(self) -> bool:
        return all(row.within for row in self.rows) and all(row.within for row in self.influences)


def limit_percent(load: Load, current_in: float) -> float | None:
    """Return the limit at a current; None where the table has none."""
    for row in ERROR_LIMITS:
        last = row.below_in == MOST_IN and current_in == MOST_IN
        if row.load is load and (row.from_in <= current_in < row.below_in or last):
            return row.limit_percent
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """What is put on the meter."""

    load: Load
    current_in: float
    supply: Supply = UNDISTURBED
    harmonics: tuple[Harmonic, ...] = ()

    def source(self, sampling_hz: int) -> Household:
        """Return a balanced load of this current in each phase, whatever the voltage."""
        factor, leading = self.load.value
        power_w = 3 * NOMINAL_V * NOMINAL_A * self.current_in * factor
        load = Spectral(
            power_w=power_w,
            power_factor=factor,
            leading=leading,
            harmonics=self.harmonics,
            phases=(1, 2, 3),
        )
        s = self.supply
        supply = Supply(
            sampling_hz=sampling_hz,
            voltage_v=s.voltage_v,
            frequency_hz=s.frequency_hz,
            angles_deg=s.angles_deg,
            levels=s.levels,
            harmonics=s.harmonics,
        )
        return Household(supply=supply, appliances=(load,))


class Bench:
    """A calibrated meter on a test bench.

    Args:
        seed: Draws the front end and its noise.
        frames: For how many frames (of 0.2 s) each point is measured.
        converter: Another front end than the drawn one.
    """

    def __init__(self, seed: int = 1, frames: int = 20, converter: Converter | None = None) -> None:
        self.converter = converter or drawn_converter(seed)
        self._frames = frames
        self.config = ChainConfig(
            nominal_a=NOMINAL_A, highest_code=self.converter.highest, sampling_hz=8000
        )
        self.calibration = self._calibrated()
        self.converter = drifted(self.converter, seed)

    def _calibrated(self) -> Calibration:
        """Calibrate at In: gains and offsets at unity, lags at 0.5 inductive."""
        rate, count = self.config.sampling_hz, 10 * self.config.frame
        constants = Calibration.nominal(self.converter)
        analyser = self.config.analyser()
        for load in (Load.UNITY, Load.INDUCTIVE):
            source = Point(load=load, current_in=1.0).source(rate)
            told = Reference(
                voltage_v=NOMINAL_V, current_a=NOMINAL_A, lag_deg=degrees(acos(load.value[0]))
            )
            samples = together([self.converter.sample(source, 0, count)])
            constants = calibrate(samples, told, constants, analyser, rate)
        return constants

    def errors_percent(self, points: list[Point]) -> list[float]:
        """Return the error of each point, in percent of the true energy."""
        rate, size = self.config.sampling_hz, self.config.frame
        chain = Chain(self.config, self.calibration.repeated(len(points)))
        sources = [point.source(rate) for point in points]
        true_ws = np.zeros(len(points))
        warm = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT].copy()
        for frame in range(WARM_FRAMES + self._frames):
            first = frame * size
            chain.feed(together([self.converter.sample(each, first, size) for each in sources]))
            if frame == WARM_FRAMES - 1:
                warm = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT].copy()
            elif frame >= WARM_FRAMES:
                at = first - ALIGNED
                true_ws += [
                    float((s.voltage_v(at, size) * s.current_a(at, size)[:3]).sum()) / rate
                    for s in sources
                ]
        counted = chain.energy.micro[:, TOTAL, Quantity.ACTIVE_IMPORT] - warm
        errors: list[float] = (100 * (counted / (true_ws * MICRO_WH_PER_WS) - 1)).tolist()
        return errors

    def walk(self) -> Errors:
        """Measure every point of both tables."""
        steady = [
            Point(load=load, current_in=current)
            for load in Load
            for current in CURRENTS_IN
            if limit_percent(load, current) is not None
        ]
        moved = [
            (
                each,
                Point(
                    load=each.load,
                    current_in=current,
                    supply=each.supply,
                    harmonics=each.harmonics,
                ),
            )
            for each in INFLUENCES
            for current in each.currents_in
        ]
        errors = self.errors_percent([*steady, *(point for _, point in moved)])
        at = {(p.load, p.current_in): e for p, e in zip(steady, errors, strict=False)}
        rows = [
            ErrorRow(
                load=point.load,
                current_in=point.current_in,
                error_percent=at[point.load, point.current_in],
                limit_percent=limit_percent(point.load, point.current_in) or 0.0,
            )
            for point in steady
        ]
        influences = [
            InfluenceRow(
                influence=influence,
                current_in=point.current_in,
                variation_percent=error - at[point.load, point.current_in],
            )
            for (influence, point), error in zip(moved, errors[len(steady) :], strict=True)
        ]
        return Errors(tuple(rows), tuple(influences))
