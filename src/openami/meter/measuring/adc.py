# SPDX-License-Identifier: Apache-2.0
"""The front end: sensors and analogue-to-digital converter, with the errors that real ones have.

Each channel has a gain error, an offset and a delay of its own, a current transformer keeps a part
for its own magnetisation, and the converter has bits, a full scale at which it clips, and noise.
What comes out are signed codes, as a sigma-delta converter gives them.  There is no anti-alias
filter: the modelled waveforms end below half the sampling rate.
"""

from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from openami.meter.measuring.appliances import Source
from openami.meter.measuring.signal import PHASES, Floats, noise

Codes = npt.NDArray[np.int32]

CURRENTS: Final = 4  # L1, L2, L3, neutral
MICRO: Final = 1e-6
KNEE: Final = 0.7  # exponent of the magnetising current
VOLTAGE_NOISE, CURRENT_NOISE = 11, 12  # numbers of the streams of noise


class Samples(NamedTuple):
    """A block of codes: of one meter (3, n) and (4, n), of several with meters in front."""

    voltage: Codes
    current: Codes


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelError:
    """How one channel is wrong before it is calibrated."""

    gain: float = 0.0  # part of the reading: 0.01 reads 1 % too much
    offset: float = 0.0  # part of the full scale
    delay_us: float = 0.0  # how late its samples are
    magnetising: float = 0.0  # part that a transformer keeps at full scale; more of small currents


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """A seven-channel front end.

    Attributes:
        bits: Of a code, sign included.
        full_scale_v: Voltage at which the voltage channels clip, peak.
        full_scale_a: Current at which the current channels clip, peak.
        voltage: Errors of L1, L2, L3.
        current: Errors of L1, L2, L3, neutral.  The neutral's delay is not modelled.
        noise_codes: White noise of each channel, RMS, in steps of the converter.
        seed: Of the noise.
    """

    bits: int = 24
    full_scale_v: float = 500.0
    full_scale_a: float = 180.0
    voltage: tuple[ChannelError, ...] = (ChannelError(),) * PHASES
    current: tuple[ChannelError, ...] = (ChannelError(),) * CURRENTS
    noise_codes: float = 0.0
    seed: int = 0

    @property
    def highest(self) -> int:
        """The code at full scale."""
        return (1 << (self.bits - 1)) - 1

    @property
    def volts_per_code(self) -> float:
        return self.full_scale_v / self.highest

    @property
    def amperes_per_code(self) -> float:
        return self.full_scale_a / self.highest

    def sample(self, source: Source, first: int, count: int) -> Samples:
        """Return the codes of `count` samples from number `first` on."""
        voltage = source.voltage_v(first, count, _delays(self.voltage))
        current = source.current_a(first, count, _delays(self.current[:PHASES]))
        return Samples(
            self._codes(voltage / self.volts_per_code, self.voltage, (VOLTAGE_NOISE, first)),
            self._codes(current / self.amperes_per_code, self.current, (CURRENT_NOISE, first)),
        )

    def _codes(
        self, steps: Floats, errors: tuple[ChannelError, ...], place: tuple[int, int]
    ) -> Codes:
        stream, first = place
        gain = np.array([1 + error.gain for error in errors])[:, np.newaxis]
        offset = np.array([error.offset * self.highest for error in errors])[:, np.newaxis]
        kept = np.array([error.magnetising * self.highest for error in errors])[:, np.newaxis]
        if kept.any():
            steps = steps - kept * np.sign(steps) * (np.abs(steps) / self.highest) ** KNEE
        read = steps * gain + offset
        if self.noise_codes:
            rows, count = steps.shape
            read += self.noise_codes * noise((self.seed, stream), first, count, rows)
        codes: Codes = np.clip(np.rint(read), -self.highest, self.highest).astype(np.int32)
        return codes


def together(samples: list[Samples]) -> Samples:
    """Return the blocks of several meters as one block, meters in front."""
    return Samples(
        np.stack([each.voltage for each in samples]), np.stack([each.current for each in samples])
    )


def drawn_converter(seed: int, *, noise_codes: float = 48.0) -> Converter:
    """Return a front end as it leaves assembly: each channel wrong by its own share.

    Gains are within ±2 %, offsets within ±0.1 % of full scale, delays within ±40 µs of the
    current channels (0.72° at 50 Hz, as a current transformer turns it); transformers keep 0.02 to
    0.04 % at full scale, and 0.3 % of a current that is 3,000 times smaller.
    """
    draw = np.random.Generator(np.random.PCG64([seed, 21])).uniform(-1, 1, (PHASES + CURRENTS, 4))
    errors = [
        ChannelError(
            gain=0.02 * gain,
            offset=0.001 * offset,
            delay_us=40 * delay,
            magnetising=3e-4 + 1e-4 * kept,
        )
        for gain, offset, delay, kept in draw.tolist()
    ]
    return Converter(
        voltage=tuple(ChannelError(gain=each.gain, offset=each.offset) for each in errors[:PHASES]),
        current=tuple(errors[PHASES:]),
        noise_codes=noise_codes,
        seed=seed,
    )


def drifted(converter: Converter, seed: int) -> Converter:
    """Return the front end some summers later: what calibration did not see.

    Gains have moved by up to 0.05 %, delays of the currents by up to 4 µs (0.07° at 50 Hz).
    """
    draw = np.random.Generator(np.random.PCG64([seed, 22])).uniform(-1, 1, (PHASES + CURRENTS, 2))

    def moved(error: ChannelError, gain: float, delay_us: float) -> ChannelError:
        return replace(error, gain=error.gain + gain, delay_us=error.delay_us + delay_us)

    gains, delays = (5e-4 * draw[:, 0]).tolist(), (4 * draw[:, 1]).tolist()
    return replace(
        converter,
        voltage=tuple(map(moved, converter.voltage, gains[:PHASES], [0.0] * PHASES)),
        current=tuple(map(moved, converter.current, gains[PHASES:], delays[PHASES:])),
    )


def _delays(errors: tuple[ChannelError, ...]) -> Floats | None:
    delays = np.array([error.delay_us * MICRO for error in errors])
    return delays if delays.any() else None
