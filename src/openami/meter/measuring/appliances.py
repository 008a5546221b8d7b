# SPDX-License-Identifier: Apache-2.0
"""What draws current behind a meter: load models, and the household they make together.

A model gives the current of each phase for a stretch of the supply; a household adds them up and
returns their sum through the neutral.  The spectra are typical ones, made up from what such
devices are known to do; they are no measurements of a product.
"""

from dataclasses import dataclass
from math import acos, sqrt
from typing import Final, Protocol

import numpy as np

from openami.meter.measuring.signal import PHASES, Floats, Harmonic, Moment, Supply, waves

NOMINAL_V: Final = 230.0
DEAD: Final = 0.05  # of the nominal voltage: below it nothing but a resistor conducts

SMPS: Final = (
    Harmonic(order=3, part=0.72, angle_deg=180),
    Harmonic(order=5, part=0.48),
    Harmonic(order=7, part=0.26, angle_deg=180),
    Harmonic(order=9, part=0.12),
    Harmonic(order=11, part=0.07, angle_deg=180),
)
"""A rectifier with a smoothing capacitor: narrow pulses at the voltage's peaks."""
SIX_PULSE: Final = (
    Harmonic(order=5, part=0.22, angle_deg=180),
    Harmonic(order=7, part=0.10, angle_deg=180),
    Harmonic(order=11, part=0.08),
    Harmonic(order=13, part=0.05),
)
"""A three-phase bridge with a choke, in front of a compressor's inverter."""
CORRECTED: Final = (Harmonic(order=3, part=0.03), Harmonic(order=5, part=0.02))
"""A converter with power factor correction: an inverter of PV, a car's charger."""


class Course(Protocol):
    """How much of its power a device takes, over time."""

    def factor(self, time_s: Floats) -> Floats:
        """Return the factor at each time, of the same shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switched:
    """On from one time to another."""

    on_s: float = 0.0
    off_s: float = float("inf")

    def factor(self, time_s: Floats) -> Floats:
        return ((time_s >= self.on_s) & (time_s < self.off_s)).astype(np.float64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inrush:
    """A motor that is started: several times its current, dying away."""

    at_s: float
    times: float = 6.0
    decay_s: float = 0.15

    def factor(self, time_s: Floats) -> Floats:
        since = np.maximum(time_s - self.at_s, 0)
        started = (time_s >= self.at_s).astype(np.float64)
        result: Floats = started * (1 + (self.times - 1) * np.exp(-since / self.decay_s))
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Ramp:
    """A converter that goes up to its power evenly."""

    at_s: float
    rise_s: float = 5.0

    def factor(self, time_s: Floats) -> Floats:
        result: Floats = np.clip((time_s - self.at_s) / self.rise_s, 0, 1)
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class Swing:
    """A power that goes up and down slowly: a modulating compressor, passing clouds."""

    depth: float
    period_s: float

    def factor(self, time_s: Floats) -> Floats:
        result: Floats = 1 + self.depth * np.sin(2 * np.pi * time_s / self.period_s)
        return result


class Appliance(Protocol):
    """A model of a load."""

    def current_a(self, moment: Moment) -> Floats:
        """Return the current into each phase, (3, n); fed in is negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resistive:
    """A heater or kettle: its current has the voltage's shape, whatever that is."""

    power_w: float  # at the nominal voltage, all phases together
    phases: tuple[int, ...] = (1,)
    courses: tuple[Course, ...] = ()

    def current_a(self, moment: Moment) -> Floats:
        siemens = self.power_w / len(self.phases) / NOMINAL_V**2
        return _of_phases(self.phases, siemens * moment.voltage_v) * _course(self.courses, moment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectral:
    """A device of constant current: a fundamental with its displacement, and harmonics.

    Attributes:
        power_w: Active power of the fundamental at the nominal voltage, all phases together;
            negative when it feeds in.
        power_factor: cos φ of the fundamental, 0 < cos φ ≤ 1.
        leading: Whether the current is ahead of the voltage (capacitive).
        harmonics: Of the current; their angles are against the voltage's zero crossing.
    """

    power_w: float
    power_factor: float = 1.0
    leading: bool = False
    harmonics: tuple[Harmonic, ...] = ()
    phases: tuple[int, ...] = (1,)
    courses: tuple[Course, ...] = ()

    def current_a(self, moment: Moment) -> Floats:
        lag = acos(self.power_factor) * (-1 if self.leading else 1)
        amplitude = sqrt(2) * self.power_w / len(self.phases) / NOMINAL_V / self.power_factor
        shape = np.sin(moment.angle - lag)
        for harmonic in self.harmonics:
            shape += waves(moment.angle, harmonic)
        alive = moment.envelope >= DEAD
        return _of_phases(self.phases, amplitude * shape * alive) * _course(self.courses, moment)


def motor(power_w: float, *, started_s: float = 0.0, phases: tuple[int, ...] = (1,)) -> Spectral:
    """Return an induction motor: inductive, with its inrush."""
    inrush = Inrush(at_s=started_s)
    return Spectral(power_w=power_w, power_factor=0.75, phases=phases, courses=(inrush,))


def rectifier(power_w: float, *, phases: tuple[int, ...] = (1,)) -> Spectral:
    """Return switched-mode power supplies: television, computers, lamps."""
    return Spectral(power_w=power_w, power_factor=0.99, leading=True, harmonics=SMPS, phases=phases)


def photovoltaics(power_w: float, *, phases: tuple[int, ...] = (1, 2, 3)) -> Spectral:
    """Return an inverter that feeds in `power_w`, under passing clouds."""
    clouds = Swing(depth=0.15, period_s=97.0)
    return Spectral(power_w=-power_w, harmonics=CORRECTED, phases=phases, courses=(clouds,))


def electric_vehicle(
    power_w: float, *, plugged_s: float = 0.0, phases: tuple[int, ...] = (1, 2, 3)
) -> Spectral:
    """Return a car's charger, which goes up to its power within seconds."""
    ramp = Ramp(at_s=plugged_s)
    return Spectral(
        power_w=power_w, power_factor=0.99, harmonics=CORRECTED, phases=phases, courses=(ramp,)
    )


def heat_pump(power_w: float, *, phases: tuple[int, ...] = (1, 2, 3)) -> Spectral:
    """Return a heat pump whose compressor turns as fast as it must."""
    modulation = Swing(depth=0.2, period_s=311.0)
    return Spectral(
        power_w=power_w,
        power_factor=0.96,
        harmonics=SIX_PULSE,
        phases=phases,
        courses=(modulation,),
    )


class Source(Protocol):
    """What a meter's front end is connected to."""

    @property
    def sampling_hz(self) -> int:
        """Samples a second."""

    def voltage_v(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        """Return the phase voltages, (3, count)."""

    def current_a(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        """Return the currents of L1, L2, L3 and neutral, (4, count); delays are (3,)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """Appliances on a supply.

    Attributes:
        neutral: Part of the phases' sum that returns through the neutral: 0 when it is lost.
    """

    supply: Supply
    appliances: tuple[Appliance, ...]
    neutral: float = 1.0

    @property
    def sampling_hz(self) -> int:
        return self.supply.sampling_hz

    def voltage_v(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        return self.supply.moment(first, count, delays_s).voltage_v

    def current_a(self, first: int, count: int, delays_s: Floats | None = None) -> Floats:
        moment = self.supply.moment(first, count, delays_s)
        phases = np.zeros((PHASES, count))
        for appliance in self.appliances:
            phases += appliance.current_a(moment)
        return with_neutral(phases, self.neutral)


def typical_household(supply: Supply) -> Household:
    """Return a home with one of everything, PV on the roof and a car in the garage."""
    return Household(
        supply=supply,
        appliances=(
            Resistive(power_w=1800, phases=(1,)),
            motor(180, phases=(2,)),
            rectifier(260, phases=(3,)),
            heat_pump(1500),
            electric_vehicle(7400, phases=(2, 3)),
            photovoltaics(3600),
        ),
    )


def with_neutral(phases: Floats, part: float = 1.0) -> Floats:
    """Return phase currents, (3, n), with the neutral's below them, (4, n)."""
    return np.concatenate([phases, part * phases.sum(axis=0, keepdims=True)])


def _of_phases(phases: tuple[int, ...], current: Floats) -> Floats:
    used = np.zeros((PHASES, 1))
    used[[phase - 1 for phase in phases]] = 1
    return used * current


def _course(courses: tuple[Course, ...], moment: Moment) -> Floats:
    factor = np.ones_like(moment.time_s)
    for course in courses:
        factor *= course.factor(moment.time_s)
    return factor
