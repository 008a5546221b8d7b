# SPDX-License-Identifier: Apache-2.0
"""When a campaign may send, and when its images are started: the local day of the calendar."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from openami.exchange.waves import Plan
from openami.runtime.clock import MICROSECONDS, from_us


@dataclass(frozen=True, slots=True)
class Hours:
    """The local day of the metering calendar."""

    zone: ZoneInfo
    now_us: Callable[[], int]

    def allow(self, plan: Plan) -> bool:
        """Tell whether a plan lets blocks be sent now."""
        now = self._local()
        second = now.hour * 3600 + now.minute * 60 + now.second
        return plan.window is None or plan.window.is_open(second)

    def activation_us(self, plan: Plan) -> int:
        """Return when an image that is verified now is to be started."""
        if plan.activate_s is None:
            return self.now_us()
        now = self._local()
        hour, minute = divmod(plan.activate_s // 60, 60)
        due = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
        if due < now:
            due = (due + timedelta(days=1)).replace(hour=hour, minute=minute)
        return round(due.timestamp() * MICROSECONDS)

    def text(self, at_us: int) -> str:
        """Return a moment for people."""
        return f"{from_us(at_us).astimezone(self.zone):%d %b %H:%M}"

    def _local(self) -> datetime:
        return from_us(self.now_us()).astimezone(self.zone)
