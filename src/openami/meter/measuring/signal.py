# SPDX-License-Identifier: Apache-2.0
"""The supply at a meter's terminals: three phase voltages, sampled.

A `Supply` says what the network does; `Supply.moment` gives any stretch of it, by number of the
first sample.  Every value is a function of the sample's number and the seed, never of what was
asked before: two halves of a block are the block.

The voltage of a phase is ``√2·U·e(t)·(sin θ + Σ rₕ·sin(hθ + φₕ)) + DC + noise``, where θ is the
integral of the drifting frequency and the envelope e(t) holds level, flicker and disturbances.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

PHASES: Final = 3
LEAST_SAMPLING_HZ: Final = 4000
CHUNK: Final = 4096  # samples of noise that one seed gives
VOLTAGE_NOISE: Final = 1  # number of the stream of noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Harmonic:
    """One harmonic of a voltage or current."""

    order: int
    part: float  # of the fundamental's amplitude
    angle_deg: float = 0.0  # against the fundamental's zero crossing, in degrees of the harmonic


@dataclass(frozen=True, slots=True, kw_only=True)
class Flicker:
    """A sinusoidal modulation of the amplitude, like that of an arc furnace's neighbour."""

    depth: float  # of the amplitude, to each side
    frequency_hz: float = 8.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbance:
    """A sag, swell or interruption: the amplitude times `factor`, for a while."""

    start_s: float
    duration_s: float
    factor: float
    phases: tuple[int, ...] = (1, 2, 3)


@dataclass(frozen=True, slots=True)
class Moment:
    """A stretch of the supply; each array is (3, n).

    Attributes:
        time_s: Time of each sample, since the first one ever.
        angle: θ of each phase, radians.
        envelope: Amplitude against the nominal one.
        voltage_v: The voltage itself.
    """

    time_s: Floats
    angle: Floats
    envelope: Floats
    voltage_v: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """What the network gives at the terminals.

    Attributes:
        sampling_hz: Samples a second, at least 4000.
        voltage_v: Nominal voltage to neutral, RMS.
        frequency_hz: At the first sample.
        drift_hz_per_s: How it moves from there.
        angles_deg: Of the three phases; reversed sequence when the last two change places.
        levels: Each phase's voltage against the nominal one.
        harmonics: Of the voltage, in each phase alike.
        dc_v: Direct voltage on each phase.
        noise_v: White noise, RMS.
        flicker: Modulation of the amplitude, if any.
        disturbances: Sags, swells and interruptions; where they meet they multiply.
        seed: Of the noise.
    """

    sampling_hz: int = 8000
    voltage_v: float = 230.0
    frequency_hz: float = 50.0
    drift_hz_per_s: float = 0.0
    angles_deg: tuple[float, float, float] = (0.0, -120.0, 120.0)
    levels: tuple[float, float, float] = (1.0, 1.0, 1.0)
    harmonics: tuple[Harmonic, ...] = ()
    dc_v: float = 0.0
    noise_v: float = 0.0
    flicker: Flicker | None = None
    disturbances: tuple[Disturbance, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sampling_hz < LEAST_SAMPLING_HZ:
            raise ValueError(
                f"{self.sampling_hz} samples a second are too few: take {LEAST_SAMPLING_HZ} or more"
            )

    def moment(self, first: int, count: int, delays_s: Floats | None = None) -> Moment:
        """Return `count` samples from number `first` on.

        Args:
            first: Number of the first sample, from 0.
            count: How many.
            delays_s: How much later than its time each phase is sampled, (3,).
        """
        time_s = np.tile((first + np.arange(count)) / self.sampling_hz, (PHASES, 1))
        if delays_s is not None:
            time_s -= delays_s[:, np.newaxis]
        turns = self.frequency_hz * time_s + self.drift_hz_per_s / 2 * time_s**2
        turns += np.array(self.angles_deg)[:, np.newaxis] / 360
        angle = 2 * np.pi * (turns - np.floor(turns))
        envelope = self._envelope(time_s)
        shape = np.sin(angle)
        for harmonic in self.harmonics:
            shape += waves(angle, harmonic)
        voltage = sqrt(2) * self.voltage_v * envelope * shape + self.dc_v
        if self.noise_v:
            voltage += self.noise_v * noise((self.seed, VOLTAGE_NOISE), first, count, PHASES)
        return Moment(time_s, angle, envelope, voltage)

    def _envelope(self, time_s: Floats) -> Floats:
        envelope = np.repeat(np.array(self.levels)[:, np.newaxis], time_s.shape[1], axis=1)
        if self.flicker is not None:
            turn = 2 * np.pi * self.flicker.frequency_hz
            envelope *= 1 + self.flicker.depth * np.sin(turn * time_s)
        for each in self.disturbances:
            for phase in each.phases:
                since = time_s[phase - 1] - each.start_s
                envelope[phase - 1, (since >= 0) & (since < each.duration_s)] *= each.factor
        return envelope


def waves(angle: Floats, harmonic: Harmonic) -> Floats:
    """Return a harmonic's part of a shape whose fundamental is ``sin(angle)``."""
    turned = harmonic.order * angle + np.deg2rad(harmonic.angle_deg)
    wave: Floats = harmonic.part * np.sin(turned)
    return wave


def noise(seeds: tuple[int, ...], first: int, count: int, rows: int) -> Floats:
    """Return white noise of RMS 1, (rows, count); the same numbers however it is cut."""
    chunks = range(first // CHUNK, (first + max(count, 1) - 1) // CHUNK + 1)
    drawn = np.concatenate(
        [
            np.random.Generator(np.random.PCG64([*seeds, chunk])).standard_normal((rows, CHUNK))
            for chunk in chunks
        ],
        axis=1,
    )
    skipped = first - chunks[0] * CHUNK
    return drawn[:, skipped : skipped + count]
