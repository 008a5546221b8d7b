# SPDX-License-Identifier: Apache-2.0
"""What flows behind a meter: the port between the measuring chain and whatever stands for a home.

Energies are exact integers: Wh for a whole interval, Ws inside one.  A load says what the home
would draw while it is connected; metrology decides what of it flows through its breaker.
"""

from typing import Final, Protocol

INTERVAL_S: Final = 1800  # the grid of half-hours that a load is told in
WS_PER_WH: Final = 3600


class Load(Protocol):
    """A home's demand as a function of calendar time."""

    def interval_ws(self, start_s: int) -> int:
        """Return the energy of the half-hour that starts at `start_s` (seconds UTC), in Ws."""

    def energy_ws(self, start_s: int, stop_s: int) -> int:
        """Return the energy from `start_s` to `stop_s`, in Ws; exact and additive."""

    def power_w(self, at_s: int) -> int:
        """Return the power in the second that starts at `at_s`."""


def energy_over(load: Load, start_s: int, stop_s: int) -> int:
    """Return a load's energy in Ws over any span: whole half-hours at once, the ends by shape."""
    energy_ws = 0
    while start_s < stop_s:
        grid_s = start_s - start_s % INTERVAL_S
        end_s = min(grid_s + INTERVAL_S, stop_s)
        if start_s == grid_s and end_s == grid_s + INTERVAL_S:
            energy_ws += load.interval_ws(grid_s)
        else:
            energy_ws += load.energy_ws(start_s, end_s)
        start_s = end_s
    return energy_ws
