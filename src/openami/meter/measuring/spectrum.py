# SPDX-License-Identifier: Apache-2.0
"""Frequency, fundamental phasors and harmonics of a frame, vectorised over meters and channels.

A frame is ten nominal cycles (twelve at 60 Hz), as IEC 61000-4-7 has it, under a Hann window.  The
window makes a wave that is no whole number of cycles long leak into its neighbours only, and in a
known way: bin k of a wave δ bins away holds its amplitude times ``sinc δ / (1 − δ²)``.  So the
frequency follows from two neighbouring bins, and amplitude and angle of each harmonic from the
bin nearest to a multiple of it.  Angles are those at the frame's middle.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from openami.meter.measuring.signal import Floats

Complexes = npt.NDArray[np.complex128]

ORDERS: Final = 40
SEARCH: Final = 0.2  # of the nominal frequency, to each side


@dataclass(frozen=True, slots=True)
class Spectrum:
    """What a frame holds, by order.

    Attributes:
        frequency_hz: Of each meter, (m,); NaN where no voltage shows any.
        phasors: RMS phasor of each order of each channel, (m, channels, 40); order 1 first.
            Orders at or above half the sampling rate are NaN.
    """

    frequency_hz: Floats
    phasors: Complexes

    @property
    def fundamental(self) -> Complexes:
        """RMS phasor of each channel's fundamental, (m, channels)."""
        first: Complexes = self.phasors[..., 0]
        return first

    def thd(self, least: Floats) -> Floats:
        """Return total harmonic distortion, orders 2 to 40, as a part of the fundamental.

        Args:
            least: Fundamental below which a channel has no distortion worth a number (NaN).
        """
        size = np.abs(self.phasors)
        harmonics = np.sqrt(np.nansum(size[..., 1:] ** 2, axis=-1))
        with np.errstate(divide="ignore", invalid="ignore"):
            part: Floats = np.where(size[..., 0] >= least, harmonics / size[..., 0], np.nan)
        return part


def hann(count: int) -> Floats:
    """Return a periodic Hann window, symmetric about its middle sample `count // 2`."""
    window: Floats = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(count) / count)
    return window


class Analyser:
    """Takes frames apart.

    Args:
        sampling_hz: Samples a second.
        frame: Samples in a frame.
        nominal_hz: Nominal frequency of the network.
    """

    def __init__(self, sampling_hz: int, frame: int, nominal_hz: float) -> None:
        self._sampling_hz = sampling_hz
        self.frame = frame
        self._nominal_hz = nominal_hz
        self._bin_hz = sampling_hz / frame
        self._window = hann(frame)
        self._lowest = round(nominal_hz * (1 - SEARCH) / self._bin_hz)
        self._highest = round(nominal_hz * (1 + SEARCH) / self._bin_hz)

    def take(self, waves: Floats, voltages: int, least_v: float) -> Spectrum:
        """Return the spectrum of a frame.

        Args:
            waves: (m, channels, frame); the voltages come first.
            voltages: How many of the channels are voltages.
            least_v: RMS of the fundamental below which a voltage shows no frequency.
        """
        bins = np.fft.rfft(waves * self._window, axis=-1)
        frequency = self._frequency(bins[:, :voltages], least_v)
        used = np.where(np.isnan(frequency), self._nominal_hz, frequency)
        return Spectrum(frequency, self._phasors(bins, used))

    def _frequency(self, bins: Complexes, least_v: float) -> Floats:
        """Return the frequency that the strongest voltage of each meter has, (m,)."""
        near = np.abs(bins[..., self._lowest - 1 : self._highest + 2])
        strongest = near.max(axis=-1).argmax(axis=-1)
        near = near[np.arange(len(near)), strongest]
        peak = near[:, 1:-1].argmax(axis=-1) + 1
        meter = np.arange(len(near))
        centre, below, above = near[meter, peak], near[meter, peak - 1], near[meter, peak + 1]
        upward = above >= below
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(upward, above, below) / centre
        offset = np.where(upward, 1, -1) * (2 * ratio - 1) / (1 + ratio)
        frequency = (self._lowest - 1 + peak + offset) * self._bin_hz
        weak = centre * 4 / self.frame / np.sqrt(2) < least_v
        found: Floats = np.where(weak, np.nan, frequency)
        return found

    def _phasors(self, bins: Complexes, frequency_hz: Floats) -> Complexes:
        """Return RMS phasors of the orders 1 to 40, (m, channels, 40)."""
        place = frequency_hz[:, np.newaxis] * np.arange(1, ORDERS + 1) / self._bin_hz
        bin_of = np.rint(place).astype(np.int64)
        beyond = bin_of >= bins.shape[-1] - 1
        bin_of = np.where(beyond, 0, bin_of)
        away = np.where(beyond, 0, place - bin_of)
        # Half of the window's sum is N/4; RMS is amplitude over √2.
        size = self.frame / 4 * np.sinc(away) / (1 - away**2) * np.sqrt(2)
        middle = np.where(bin_of % 2, -1.0, 1.0)  # turns the angle from the first sample's
        taken = np.take_along_axis(bins, bin_of[:, np.newaxis, :], axis=-1)
        phasors: Complexes = taken * (middle / size)[:, np.newaxis, :]
        phasors[np.broadcast_to(beyond[:, np.newaxis, :], phasors.shape)] = np.nan
        return phasors
