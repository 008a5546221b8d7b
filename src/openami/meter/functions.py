# SPDX-License-Identifier: Apache-2.0
"""What the meter does by its own clock, beside measuring: clock, load limit, tariffs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from openami.meter.clock import MeterClock
from openami.meter.limiter import LoadLimit
from openami.meter.settings import Settings
from openami.meter.tariffs import Tariffs

if TYPE_CHECKING:
    from openami.cosem.model import InterfaceClass


class Functions:
    """The three, and their objects.

    Attributes:
        clock: The clock.
        limit: The load limit.
        tariffs: The activity calendar.
        objects: Of all.
    """

    def __init__(  # noqa: PLR0913  its ports, bound in one place
        self,
        settings: Settings,
        *,
        calendar_us: Callable[[], int],
        period_s: int,
        turned: Callable[[], object],
        power_w: Callable[[], int | None],
        trip: Callable[[], None],
    ) -> None:
        """Bind the ports.

        Args:
            settings: What was written into the objects.
            calendar_us: The calendar that the clock is an offset from.
            period_s: Of the load profile.
            turned: Told when somebody has set the clock.
            power_w: The load; None while nobody knows it.
            trip: Opens the breaker.
        """
        self.clock = MeterClock(calendar_us, settings, period_s, turned)
        self.limit = LoadLimit(settings, self.clock.now_us, power_w, trip)
        self.tariffs = Tariffs(settings, self.clock.now_us)
        self.objects: list[InterfaceClass] = [
            self.clock.row,
            self.limit.row,
            *self.tariffs.objects,
        ]

    def tick(self) -> None:
        """Do what is due; call it often."""
        self.limit.tick()
        self.tariffs.tick()
