# SPDX-License-Identifier: Apache-2.0
"""The pulse output: one pulse for each step of energy, at the sample where it was reached.

The meter constant is in impulses a kWh.  Pulse n falls where the register passes n steps; the place
inside a frame comes from the running sum of the frame's own samples, between two samples by
straight line.  Import and export have an output each.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from openami.meter.measuring.accumulators import Integers, Quantity
from openami.meter.measuring.signal import Floats

MICRO_WH_PER_KWH: Final = 1_000_000_000
TOTAL: Final = 3  # row of the registers


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse.

    Attributes:
        meter: Index of the meter.
        quantity: Which output: active import or export.
        at_sample: Place since the chain's first sample, with a fraction.
    """

    meter: int
    quantity: Quantity
    at_sample: float


def step_micro_wh(imp_per_kwh: int) -> int:
    """Return µWh a pulse.

    Raises:
        ValueError: The constant gives no whole number of µWh, so that pulses would drift.
    """
    step, rest = divmod(MICRO_WH_PER_KWH, imp_per_kwh) if imp_per_kwh > 0 else (0, 1)
    if rest:
        raise ValueError(f"{imp_per_kwh} imp/kWh is no whole number of µWh a pulse: take 1000")
    return step


def pulses(
    before: Integers, after: Integers, power: Floats, first: int, step: int
) -> tuple[Pulse, ...]:
    """Return the pulses of a frame, in order of time for each meter and output.

    Args:
        before: Registers before the frame, (m, 4, 8).
        after: And after it.
        power: Counted power of each sample of the frame, phases together, (m, n).
        first: Number of the frame's first sample.
        step: µWh a pulse.
    """
    found: list[Pulse] = []
    for quantity, sign in ((Quantity.ACTIVE_IMPORT, 1), (Quantity.ACTIVE_EXPORT, -1)):
        old, new = before[:, TOTAL, quantity], after[:, TOTAL, quantity]
        for meter in np.nonzero(old // step != new // step)[0].tolist():
            start, end = int(old[meter]), int(new[meter])
            running = np.maximum.accumulate(np.cumsum(sign * power[meter]))
            running = np.concatenate([[0.0], np.maximum(running, 0)])
            for number in range(start // step + 1, end // step + 1):
                part = (number * step - start) / (end - start) * running[-1]
                place = int(np.searchsorted(running, part, side="left"))
                low, high = running[place - 1], running[place]
                inside = (part - low) / (high - low)
                found.append(Pulse(meter, quantity, first + place - 1 + float(inside)))
    return tuple(found)
