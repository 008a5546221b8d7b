# SPDX-License-Identifier: Apache-2.0
"""Calibration: what turns codes into volts and amperes, and how it is found.

A meter is put on a reference: steady voltage and current whose values and phase angle a reference
meter tells.  It measures them with its nominal constants; from the quotients follow the gains,
from the codes' means the offsets, from the angle between voltage and current the lag of each
current channel.  Gains, offsets and lags are constants from then on.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from openami.meter.measuring.adc import CURRENTS, Converter, Samples
from openami.meter.measuring.signal import PHASES, Floats
from openami.meter.measuring.spectrum import Analyser

MOST_LAG: Final = 1.0  # samples: beyond, the fractional delay has no taps


class CalibrationError(ValueError):
    """Readings from which no calibration can follow: the wiring is wrong, or the reference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Constants of some meters; each array has meters in front.

    Attributes:
        voltage_gain: Volts a code, (m, 3).
        voltage_offset: Codes at no voltage, (m, 3).
        current_gain: Amperes a code, (m, 4).
        current_offset: Codes at no current, (m, 4).
        lag: How many samples each current channel is behind its voltage channel, (m, 4).
    """

    voltage_gain: Floats
    voltage_offset: Floats
    current_gain: Floats
    current_offset: Floats
    lag: Floats

    @property
    def meters(self) -> int:
        return len(self.voltage_gain)

    @classmethod
    def nominal(cls, converter: Converter, meters: int = 1) -> Self:
        """Return what the converter's data sheet says."""
        return cls(
            voltage_gain=np.full((meters, PHASES), converter.volts_per_code),
            voltage_offset=np.zeros((meters, PHASES)),
            current_gain=np.full((meters, CURRENTS), converter.amperes_per_code),
            current_offset=np.zeros((meters, CURRENTS)),
            lag=np.zeros((meters, CURRENTS)),
        )

    def repeated(self, meters: int) -> Self:
        """Return the same constants for as many meters, from those of one."""
        return type(self)(
            voltage_gain=np.repeat(self.voltage_gain, meters, axis=0),
            voltage_offset=np.repeat(self.voltage_offset, meters, axis=0),
            current_gain=np.repeat(self.current_gain, meters, axis=0),
            current_offset=np.repeat(self.current_offset, meters, axis=0),
            lag=np.repeat(self.lag, meters, axis=0),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What a reference meter tells of a steady, balanced load, in each phase alike.

    Attributes:
        voltage_v: RMS.
        current_a: RMS, in each phase.
        lag_deg: Angle by which the current is behind the voltage; 60 at 0.5 inductive.
        neutral_a: RMS in the neutral's sensor: calibrated with a loop of known current.
    """

    voltage_v: float
    current_a: float
    lag_deg: float
    neutral_a: float = 0.0


def calibrate(
    samples: Samples, reference: Reference, nominal: Calibration, analyser: Analyser, rate: int
) -> Calibration:
    """Return the calibration of meters from one frame or several on the reference.

    The mean over whole frames of a reference at nominal frequency is the offset.  A neutral
    channel without reference current keeps its nominal gain; its lag stays 0, as no energy
    is counted by it.

    Args:
        samples: Codes, (m, 3, n) and (m, 4, n), n a whole number of the analyser's frames.
        reference: What the reference meter tells.
        nominal: The constants so far.
        analyser: Takes frames of the sampling rate `rate`.
        rate: Samples a second.

    Raises:
        CalibrationError: A channel is dead, or further off than a sound meter can be.
    """
    voltage_offset = samples.voltage.mean(axis=-1)
    current_offset = samples.current.mean(axis=-1)
    waves = np.concatenate(
        [
            (samples.voltage - voltage_offset[..., np.newaxis])
            * nominal.voltage_gain[..., np.newaxis],
            (samples.current - current_offset[..., np.newaxis])
            * nominal.current_gain[..., np.newaxis],
        ],
        axis=1,
    )
    meters, channels, count = waves.shape
    frames = count // analyser.frame
    cut = waves[..., : frames * analyser.frame].reshape(meters, channels, frames, analyser.frame)
    spectra = [analyser.take(cut[:, :, n], PHASES, 0.0) for n in range(frames)]
    found = np.array([np.abs(spectrum.fundamental) for spectrum in spectra]).mean(axis=0)
    wanted = np.array(
        [*(reference.voltage_v,) * PHASES, *(reference.current_a,) * PHASES, reference.neutral_a]
    )
    used = wanted > 0
    wrong = (np.abs(found / np.where(used, wanted, 1) - 1) > 0.1) & used
    if wrong.any():
        meter, channel = (int(place[0]) for place in np.nonzero(wrong))
        raise CalibrationError(
            f"meter {meter + 1}, channel {channel + 1} reads {found[meter, channel]:.4g} where the"
            f" reference tells {wanted[channel]:.4g}: look at its wiring, then calibrate again"
        )
    factor = np.where(used, wanted / np.where(used, found, 1), 1)
    turned = np.array(
        [
            s.fundamental[:, :PHASES] * np.conj(s.fundamental[:, PHASES : 2 * PHASES])
            for s in spectra
        ]
    ).sum(axis=0)
    frequency = np.array([spectrum.frequency_hz for spectrum in spectra]).mean(axis=0)
    excess = np.angle(turned * np.exp(-1j * np.deg2rad(reference.lag_deg)))
    lag = excess / (2 * np.pi * frequency[:, np.newaxis]) * rate
    if (np.abs(lag) > MOST_LAG).any():
        raise CalibrationError(
            f"a current channel lags by {np.abs(lag).max():.2f} samples, more than {MOST_LAG:g}:"
            " phases are crossed, or the reference's power factor is another"
        )
    return Calibration(
        voltage_gain=nominal.voltage_gain * factor[:, :PHASES],
        voltage_offset=voltage_offset,
        current_gain=nominal.current_gain * factor[:, PHASES:],
        current_offset=current_offset,
        lag=np.concatenate([lag, np.zeros((meters, 1))], axis=1),
    )
