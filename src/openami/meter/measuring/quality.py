# SPDX-License-Identifier: Apache-2.0
"""Voltage quality as registers: how many sags and swells each phase had, and what the last was.

The codes are those of the value group D for voltages: 32 number of sags, 33 and 34 duration and
magnitude of the last one; 36, 37 and 38 the same of swells.  Value group C is 32, 52 or 72 for
L1, L2 or L3.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from openami.dlms.obis import Obis
from openami.meter.measuring.rules import MICROSECONDS, Event, Kind
from openami.meter.measuring.signal import PHASES

COUNTED: Final[Mapping[Kind, int]] = {Kind.SAG: 32, Kind.SWELL: 36}
"""Value group D of the number; duration and magnitude are the next two."""
VOLTAGE_OF_L1: Final = 32
BETWEEN_PHASES: Final = 20


class QualityRegisters:
    """The registers of one meter.

    Args:
        meter: Index of the meter whose events are counted.
        nominal_v: Nominal voltage, for magnitudes in volts.
    """

    __slots__ = ("_meter", "_nominal_v", "values")

    def __init__(self, nominal_v: float, meter: int = 0) -> None:
        self._meter = meter
        self._nominal_v = nominal_v
        self.values: dict[Obis, float] = {
            _obis(phase + 1, d): 0.0 for phase in range(PHASES) for d in COUNTED.values()
        }
        """Number, seconds, volts; duration and magnitude are missing before the first event."""

    def count(self, events: Iterable[Event]) -> None:
        """Take what `watch.Watch.step` returned."""
        for event in events:
            d = COUNTED.get(event.kind)
            if d is None or event.duration_us is None or event.meter != self._meter:
                continue
            sign = -1 if event.kind is Kind.SAG else 1
            self.values[_obis(event.phase, d)] += 1
            self.values[_obis(event.phase, d + 1)] = event.duration_us / MICROSECONDS
            magnitude_v = self._nominal_v * (1 + sign * event.worst)
            self.values[_obis(event.phase, d + 2)] = magnitude_v


def _obis(phase: int, d: int) -> Obis:
    return Obis(1, 0, VOLTAGE_OF_L1 + BETWEEN_PHASES * (phase - 1), d, 0, 255)
