# SPDX-License-Identifier: Apache-2.0
"""The measuring chain: codes of the converter in, readings and energy out.

Blocks of any size are joined and cut into frames of ten nominal cycles; each frame of all meters is
taken at once.  How the samples were cut into blocks changes nothing, to the last bit.

Definitions (docs/metrology.md):

- **Active energy** of a frame is the sum of voltage times current over all its samples, so that
  the frames' energies add up to the whole, harmonics included.  A slowly tracked direct component
  is taken off both first.
- **Active power** and **RMS** values, which are shown, are of the frame under a Hann window, so
  that they need no whole cycles.
- **Reactive power** is that of the fundamental, ``Q₁ = U₁·I₁·sin φ₁``, positive when the current
  is behind.  **Apparent power** is U·I, the total the arithmetic sum of the phases.
- **Power factor** is P/S with the sign of P.

The current channels are brought in line with the voltages by a fractional delay (third-order
Lagrange), by the calibrated lag.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.meter.measuring.accumulators import ROWS, Accumulators
from openami.meter.measuring.adc import CURRENTS, Codes, Samples
from openami.meter.measuring.calibration import Calibration
from openami.meter.measuring.pulses import Pulse, pulses, step_micro_wh
from openami.meter.measuring.signal import PHASES, Floats
from openami.meter.measuring.spectrum import ORDERS, Analyser, Complexes, Spectrum, hann

Flags = npt.NDArray[np.bool_]

CHANNELS: Final = PHASES + CURRENTS
HISTORY: Final = 3  # samples of the frame before that the fractional delay needs
ALIGNED: Final = 1  # samples by which the voltage is put back, and the energy with it
SLOWEST: Final = 64  # frames over which the direct component is tracked
DEAD_V: Final = 0.02  # of the nominal voltage
LEAST_HZ: Final = 0.8  # of the nominal frequency: length of history for half-cycle values


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainConfig:
    """What a chain is built for."""

    sampling_hz: int = 8000
    nominal_hz: int = 50
    nominal_v: float = 230.0
    nominal_a: float = 5.0  # In
    starting: float = 0.0005  # of In: no current below it is counted
    imp_per_kwh: int = 1000
    highest_code: int = (1 << 23) - 1

    def __post_init__(self) -> None:
        if self.sampling_hz % (2 * self.nominal_hz):
            raise ValueError(
                f"{self.sampling_hz} samples a second are no whole number in a half-cycle of"
                f" {self.nominal_hz} Hz: take a multiple of {2 * self.nominal_hz}"
            )
        step_micro_wh(self.imp_per_kwh)

    @property
    def frame(self) -> int:
        """Samples in a frame: ten cycles at 50 Hz, twelve at 60 Hz."""
        return self.sampling_hz // self.nominal_hz * (self.nominal_hz // 5)

    @property
    def half_cycle(self) -> int:
        """Samples in half a nominal cycle."""
        return self.sampling_hz // (2 * self.nominal_hz)

    @property
    def frame_s(self) -> float:
        return self.frame / self.sampling_hz

    def analyser(self) -> Analyser:
        """Return what takes this chain's frames apart."""
        return Analyser(self.sampling_hz, self.frame, self.nominal_hz)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What was measured in one frame; arrays have meters in front.

    Attributes:
        first: Number of the frame's first sample since the chain began.
        voltage_v: RMS, (m, 3).
        current_a: RMS, L1 to L3 and neutral, (m, 4).
        active_w: Under the window, L1 to L3 and total, import positive, (m, 4).
        reactive_var: The same, of the fundamental.
        apparent_va: The same.
        spectrum: Frequency and phasors of the seven channels.
        half_cycle_v: RMS of the cycle that ends at each half-cycle, (m, 3, k); NaN while the
            first cycle is not over.
        clipped: Channels that reached the end of the converter's scale, (m, 7).
        stuck: Channels all of whose codes were one, (m, 7).
        pulses: Of the pulse outputs.
    """

    first: int
    voltage_v: Floats
    current_a: Floats
    active_w: Floats
    reactive_var: Floats
    apparent_va: Floats
    spectrum: Spectrum
    half_cycle_v: Floats
    clipped: Flags
    stuck: Flags
    pulses: tuple[Pulse, ...]

    @property
    def frequency_hz(self) -> Floats:
        return self.spectrum.frequency_hz

    @property
    def power_factor(self) -> Floats:
        """P/S of each row, (m, 4); NaN without apparent power."""
        with np.errstate(divide="ignore", invalid="ignore"):
            factor: Floats = np.where(
                self.apparent_va > 0, self.active_w / self.apparent_va, np.nan
            )
        return factor

    @property
    def voltage_angle_deg(self) -> Floats:
        """Angle of each voltage's fundamental behind that of L1, 0 to 360, (m, 3)."""
        voltage = self.spectrum.fundamental[:, :PHASES]
        behind: Floats = np.rad2deg(np.angle(voltage[:, :1] * np.conj(voltage))) % 360
        behind[:, 0] = 0.0  # its own angle, which rounding might make 360
        return behind

    @property
    def current_angle_deg(self) -> Floats:
        """Angle by which each phase's current is behind its voltage, -180 to 180, (m, 3)."""
        first = self.spectrum.fundamental
        behind: Floats = np.rad2deg(np.angle(first[:, :PHASES] * np.conj(first[:, PHASES:-1])))
        return behind


class Chain:
    """The chain of one meter or many, sampled alike.

    Args:
        config: What it is built for.
        calibration: Its constants; says how many meters there are.
        energy: Registers to go on from, after a restart; from nothing if left out.

    Raises:
        ValueError: The registers are of more or fewer meters than the calibration.
    """

    def __init__(
        self, config: ChainConfig, calibration: Calibration, energy: Accumulators | None = None
    ) -> None:
        meters = calibration.meters
        self.config = config
        self.energy = energy or Accumulators(meters)
        if len(self.energy.micro) != meters:
            raise ValueError(
                f"registers of {len(self.energy.micro)} meters do not belong to the calibration of"
                f" {meters}: restore those that were kept with it"
            )
        self._calibration = calibration
        self._analyser = config.analyser()
        window = hann(config.frame)
        self._window = window / window.sum()
        self._step = step_micro_wh(config.imp_per_kwh)
        self._taps = delay_taps(ALIGNED - calibration.lag)
        self._evened = evened(calibration.lag, config.nominal_hz / config.sampling_hz)
        self._waiting: list[Samples] = []
        self._waiting_samples = 0
        self._frames = 0
        self._direct = np.zeros((meters, CHANNELS))
        self._history = np.zeros((meters, CHANNELS, HISTORY))
        tail = int(config.sampling_hz / (config.nominal_hz * LEAST_HZ)) + 1
        self._squares = np.full((meters, PHASES, tail), np.nan)
        self._cycle = np.full(meters, 2 * config.half_cycle)

    @property
    def meters(self) -> int:
        return self._calibration.meters

    @property
    def counted_samples(self) -> int:
        """Samples in the registers; fewer than one frame wait for their frame to be full."""
        return self._frames * self.config.frame

    def feed(self, samples: Samples) -> list[Frame]:
        """Take a block; return the frames that it filled.

        Args:
            samples: Codes, (m, 3, n) and (m, 4, n).

        Raises:
            ValueError: The block is not of as many meters, or channels, as the chain.
            RegistersDamagedError: The registers no longer fit their CRC.
        """
        count = samples.voltage.shape[-1]
        if samples.voltage.shape != (self.meters, PHASES, count) or samples.current.shape != (
            self.meters,
            CURRENTS,
            count,
        ):
            raise ValueError(
                f"a block of shape {samples.voltage.shape} and {samples.current.shape} is not one"
                f" of {self.meters} meters with {PHASES} voltages and {CURRENTS} currents"
            )
        self._waiting.append(samples)
        self._waiting_samples += count
        if self._waiting_samples < self.config.frame:
            return []
        codes = np.concatenate(
            [np.concatenate([each.voltage, each.current], axis=1) for each in self._waiting],
            axis=-1,
        )
        size = self.config.frame
        whole = codes.shape[-1] // size * size
        frames = [self._frame(codes[..., at : at + size]) for at in range(0, whole, size)]
        rest = codes[..., whole:].copy()
        self._waiting = [Samples(rest[:, :PHASES], rest[:, PHASES:])]
        self._waiting_samples = rest.shape[-1]
        return frames

    def _frame(self, codes: Codes) -> Frame:
        first = self._frames * self.config.frame
        waves = self._aligned(self._physical(codes))
        voltage, current = waves[:, :PHASES], waves[:, PHASES:-1]
        spectrum = self._analyser.take(waves, PHASES, DEAD_V * self.config.nominal_v)
        spectrum.phasors[:, PHASES:] *= self._evened
        rms = np.sqrt(np.einsum("mcn,n->mc", waves**2, self._window))
        starting = self.config.starting * self.config.nominal_a
        counted = rms[:, PHASES:-1] >= starting
        power = voltage * current * counted[..., np.newaxis]
        crossed = spectrum.fundamental[:, :PHASES] * np.conj(spectrum.fundamental[:, PHASES:-1])
        powers = np.empty((self.meters, ROWS, 3))
        powers[:, :PHASES, 0] = power.mean(axis=-1)
        powers[:, :PHASES, 1] = crossed.imag * counted
        powers[:, :PHASES, 2] = rms[:, :PHASES] * rms[:, PHASES:-1] * counted
        powers[:, PHASES] = powers[:, :PHASES].sum(axis=1)
        active = np.einsum("mcn,n->mc", power, self._window)
        before = self.energy.micro.copy()
        self.energy.add(powers, self.config.frame_s)
        self._frames += 1
        return Frame(
            first=first,
            voltage_v=rms[:, :PHASES],
            current_a=rms[:, PHASES:],
            active_w=np.concatenate([active, active.sum(axis=1, keepdims=True)], axis=1),
            reactive_var=powers[..., 1],
            apparent_va=powers[..., 2],
            spectrum=spectrum,
            half_cycle_v=self._half_cycles(voltage, spectrum.frequency_hz),
            clipped=np.any(np.abs(codes) >= self.config.highest_code, axis=-1, keepdims=True)[
                ..., 0
            ],
            stuck=np.all(codes == codes[..., :1], axis=-1, keepdims=True)[..., 0],
            pulses=pulses(before, self.energy.micro, power.sum(axis=1), first, self._step),
        )

    def _physical(self, codes: Codes) -> Floats:
        """Return volts and amperes without their direct component, (m, 7, n)."""
        constants = self._calibration
        offset = np.concatenate([constants.voltage_offset, constants.current_offset], axis=1)
        gain = np.concatenate([constants.voltage_gain, constants.current_gain], axis=1)
        waves: Floats = (codes - offset[..., np.newaxis]) * gain[..., np.newaxis]
        waves -= self._direct[..., np.newaxis]
        self._direct += waves.mean(axis=-1) / SLOWEST
        return waves

    def _aligned(self, waves: Floats) -> Floats:
        """Return the waves with their currents in line with their voltages."""
        size = waves.shape[-1]
        joined = np.concatenate([self._history, waves], axis=-1)
        self._history = joined[..., size:].copy()
        aligned = np.empty_like(waves)
        at = HISTORY - ALIGNED
        aligned[:, :PHASES] = joined[:, :PHASES, at : at + size]
        currents = joined[:, PHASES:]
        aligned[:, PHASES:] = sum(
            self._taps[..., tap, np.newaxis] * currents[..., HISTORY - tap : HISTORY - tap + size]
            for tap in range(HISTORY + 1)
        )
        return aligned

    def _half_cycles(self, voltage: Floats, frequency_hz: Floats) -> Floats:
        """Return the RMS of the cycle before each half-cycle's end, (m, 3, k)."""
        tail = self._squares.shape[-1]
        joined = np.concatenate([self._squares, voltage**2], axis=-1)
        self._squares = joined[..., -tail:].copy()
        known = ~np.isnan(frequency_hz)
        cycle = np.rint(self.config.sampling_hz / np.where(known, frequency_hz, 1)).astype(np.int64)
        self._cycle = np.where(known, np.minimum(cycle, tail), self._cycle)
        missing = np.isnan(joined)
        running = np.zeros((*joined.shape[:-1], joined.shape[-1] + 1))
        np.cumsum(np.where(missing, 0, joined), axis=-1, out=running[..., 1:])
        half = self.config.half_cycle
        ends = tail + np.arange(half, voltage.shape[-1] + 1, half)
        starts = ends[np.newaxis, :] - self._cycle[:, np.newaxis]
        low = np.take_along_axis(running, starts[:, np.newaxis, :], axis=-1)
        squares = (running[..., ends] - low) / self._cycle[:, np.newaxis, np.newaxis]
        early = missing.sum(axis=-1)[..., np.newaxis] > starts[:, np.newaxis, :]
        result: Floats = np.sqrt(np.where(early, np.nan, np.maximum(squares, 0)))
        return result


def delay_taps(delay: Floats) -> Floats:
    """Return the four taps that put a wave back by `delay` samples (0 to 3), (..., 4).

    Third-order Lagrange: exact for waves that are cubic between samples, so that at 50 Hz and 8000
    samples a second its error is below a millionth.
    """
    taps = np.ones((*delay.shape, HISTORY + 1))
    for tap in range(HISTORY + 1):
        for other in range(HISTORY + 1):
            if other != tap:
                taps[..., tap] *= (delay - other) / (tap - other)
    return taps


def evened(lag: Floats, fundamental: float) -> Complexes:
    """Return what the delay's taps take from each order, to be given back, (..., 40).

    Above the 10th order the taps are no pure delay any more; phasors are set right by what the
    taps do at the nominal frequency.

    Args:
        lag: Of each channel, in samples.
        fundamental: Nominal frequency, as a part of the sampling rate.
    """
    turn = -2j * np.pi * fundamental * np.arange(1, ORDERS + 1)
    delay = (ALIGNED - lag)[..., np.newaxis]
    taps = delay_taps(ALIGNED - lag)
    done = taps @ np.exp(turn * np.arange(HISTORY + 1)[:, np.newaxis])
    back: Complexes = np.exp(turn * delay) / done
    return back
