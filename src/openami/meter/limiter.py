# SPDX-License-Identifier: Apache-2.0
"""The load limit (class 71), as far as this meter has it: too much for too long cuts the supply.

`cosem.behaviour.limiting` has the class whole, with any monitored value and scripts.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.classes.references import AttributeReference
from openami.cosem.classes.tariff import Crossing, EmergencyProfile, Limiter
from openami.cosem.classes.time_event import ScheduledScript
from openami.dlms.data import DoubleLongUnsigned
from openami.dlms.obis import Obis
from openami.meter.clock import NEVER, moment_us
from openami.meter.settings import Settings
from openami.runtime.clock import MICROSECONDS

LIMITER: Final = Obis(0, 0, 17, 0, 0, 255)
POWER: Final = Obis(1, 0, 1, 7, 0, 255)
DISCONNECTOR_SCRIPTS: Final = Obis(0, 0, 10, 0, 106, 255)

NO_LIMIT_W: Final = 2**32 - 1
NO_LIMIT: Final = DoubleLongUnsigned(NO_LIMIT_W)
NO_EMERGENCY: Final = EmergencyProfile(0, NEVER, 0)
MONITORED: Final = AttributeReference(3, POWER, 2)
ACTIONS: Final = Crossing(
    ScheduledScript(DISCONNECTOR_SCRIPTS, 1), ScheduledScript(DISCONNECTOR_SCRIPTS, 0)
)
"""Values are immutable: all meters of a process share them."""
OVER_S: Final = 60
LONGEST_LOOK_US: Final = 60 * MICROSECONDS  # no gap between two looks counts as more


class LoadLimit:
    """The limiter: too much for too long opens the breaker, and a person has to close it.

    Attributes:
        row: The object.
    """

    def __init__(
        self,
        settings: Settings,
        now_us: Callable[[], int],
        power_w: Callable[[], int | None],
        trip: Callable[[], None],
    ) -> None:
        """Bind the object; `trip` opens the breaker."""
        self._now_us = now_us
        self._power_w = power_w
        self._trip = trip
        self._over_us = 0
        self._looked_us: int | None = None  # when it was over the limit last
        self.row = Limiter(
            LIMITER,
            monitored_value=MONITORED,
            threshold_normal=NO_LIMIT,
            threshold_emergency=NO_LIMIT,
            min_over_threshold_duration=OVER_S,
            min_under_threshold_duration=0,
            emergency_profile=NO_EMERGENCY,
            emergency_profile_group_id_list=(),
            actions=ACTIONS,
        )
        settings.keep(
            self.row,
            Limiter.threshold_normal,
            Limiter.threshold_emergency,
            Limiter.min_over_threshold_duration,
            Limiter.min_under_threshold_duration,
            Limiter.emergency_profile,
            Limiter.emergency_profile_group_id_list,
        )
        self.row.bind(Limiter.threshold_active, lambda: self._threshold(self._now_us()))
        self.row.bind(Limiter.emergency_profile_active, lambda: self._is_emergency(self._now_us()))

    def tick(self) -> None:
        """Look at the load; time counts between two looks that both find it over the limit."""
        now_us = self._now_us()
        limit_w = self._threshold(now_us)
        power_w = None if limit_w == NO_LIMIT_W else self._power_w()
        if power_w is None or power_w <= limit_w:
            self._over_us, self._looked_us = 0, None
            return
        if self._looked_us is not None:
            self._over_us += min(max(0, now_us - self._looked_us), LONGEST_LOOK_US)
        self._looked_us = now_us
        if self._over_us >= self.row.min_over_threshold_duration * MICROSECONDS:
            self._over_us = 0
            self._trip()

    def _threshold(self, now_us: int) -> DoubleLongUnsigned:
        row = self.row
        held = row.threshold_emergency if self._is_emergency(now_us) else row.threshold_normal
        # A CHOICE keeps the type that it has at first.
        return held if isinstance(held, DoubleLongUnsigned) else NO_LIMIT

    def _is_emergency(self, now_us: int) -> bool:
        profile = self.row.emergency_profile
        if profile.emergency_profile_id not in self.row.emergency_profile_group_id_list:
            return False
        try:
            begin_us = moment_us(profile.emergency_activation_time)
        except ValueError:
            return False
        return begin_us <= now_us < begin_us + profile.emergency_duration * MICROSECONDS
