# SPDX-License-Identifier: Apache-2.0
"""The self-test: what a meter can know about its own health, as one status word.

Each bit stands for one finding; 0 is a meter in order.  The word is made anew for each frame.
"""

from collections.abc import Sequence
from enum import IntFlag
from typing import Final

import numpy as np

from openami.meter.measuring.accumulators import Accumulators, RegistersDamagedError
from openami.meter.measuring.chain import DEAD_V, ChainConfig, Frame
from openami.meter.measuring.rules import MICROSECONDS, Kind
from openami.meter.measuring.signal import PHASES
from openami.meter.measuring.watch import Watch

CLOCK_PPM: Final = 500  # between the sampling clock and the calendar
CLOCK_SLACK_US: Final = 500_000  # what a frame, and a late tick, may be apart
TAMPER: Final = frozenset(
    {Kind.TERMINAL_COVER, Kind.METER_COVER, Kind.MAGNET, Kind.NEUTRAL, Kind.REVERSE_CURRENT}
)


class Status(IntFlag):
    """Bits of the status word."""

    NO_VOLTAGE_L1 = 1 << 0
    NO_VOLTAGE_L2 = 1 << 1
    NO_VOLTAGE_L3 = 1 << 2
    PHASE_SEQUENCE = 1 << 3
    CHANNEL_STUCK = 1 << 4
    CHANNEL_CLIPPED = 1 << 5
    CLOCK_IMPLAUSIBLE = 1 << 6
    REGISTERS_DAMAGED = 1 << 7
    TAMPER = 1 << 8
    FREQUENCY_UNKNOWN = 1 << 9


CRITICAL: Final = Status.CHANNEL_STUCK | Status.REGISTERS_DAMAGED
"""What makes measured values unfit for billing."""

TEXT: Final = {
    Status.NO_VOLTAGE_L1: "no voltage on L1",
    Status.NO_VOLTAGE_L2: "no voltage on L2",
    Status.NO_VOLTAGE_L3: "no voltage on L3",
    Status.PHASE_SEQUENCE: "phase sequence reversed",
    Status.CHANNEL_STUCK: "a channel of the converter gives one code only",
    Status.CHANNEL_CLIPPED: "a channel is beyond its full scale",
    Status.CLOCK_IMPLAUSIBLE: "calendar and sampling clock disagree",
    Status.REGISTERS_DAMAGED: "registers do not fit their CRC",
    Status.TAMPER: "tampering is suspected",
    Status.FREQUENCY_UNKNOWN: "no frequency can be found",
}


def words(status: Status) -> list[str]:
    """Return what each set bit says."""
    return [TEXT[bit] for bit in status]


class ClockCheck:
    """Compares the calendar with the number of samples taken.

    Args:
        sampling_hz: Samples a second.
    """

    __slots__ = ("_first", "_sampling_hz")

    def __init__(self, sampling_hz: int) -> None:
        self._sampling_hz = sampling_hz
        self._first: tuple[int, int] | None = None

    def plausible(self, samples: int, at_us: int) -> bool:
        """Tell whether the calendar has gone on as the samples have.

        A calendar that was set begins a new comparison: it is implausible once.

        Args:
            samples: Taken so far.
            at_us: The calendar now.
        """
        if self._first is None:
            self._first = (samples, at_us)
            return True
        first_samples, first_us = self._first
        sampled_us = (samples - first_samples) * MICROSECONDS // self._sampling_hz
        apart_us = abs(at_us - first_us - sampled_us)
        if apart_us <= CLOCK_SLACK_US + sampled_us * CLOCK_PPM // MICROSECONDS:
            return True
        self._first = (samples, at_us)
        return False


def self_test(
    config: ChainConfig,
    frame: Frame,
    registers: Accumulators,
    *,
    watch: Watch | None = None,
    clock_plausible: bool = True,
) -> list[Status]:
    """Return the status word of each meter after a frame."""
    common = Status(0) if clock_plausible else Status.CLOCK_IMPLAUSIBLE
    try:
        registers.verify()
    except RegistersDamagedError:
        common |= Status.REGISTERS_DAMAGED
    dead = frame.voltage_v < DEAD_V * config.nominal_v
    said: list[Status] = []
    for meter in range(len(frame.voltage_v)):
        status = common
        for phase in range(PHASES):
            if dead[meter, phase]:
                status |= Status(1 << phase)
        status |= _where(frame.stuck[meter].any(), Status.CHANNEL_STUCK)
        status |= _where(frame.clipped[meter].any(), Status.CHANNEL_CLIPPED)
        status |= _where(np.isnan(frame.frequency_hz[meter]), Status.FREQUENCY_UNKNOWN)
        if watch is not None:
            active = watch.active(meter)
            status |= _where(Kind.PHASE_SEQUENCE in active, Status.PHASE_SEQUENCE)
            status |= _where(not active.isdisjoint(TAMPER), Status.TAMPER)
        said.append(status)
    return said


def _where(found: object, bit: Status) -> Status:
    return bit if found else Status(0)


def critical(statuses: Sequence[Status]) -> list[bool]:
    """Tell of each meter whether its values are unfit for billing."""
    return [bool(status & CRITICAL) for status in statuses]
