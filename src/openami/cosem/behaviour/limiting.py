# SPDX-License-Identifier: Apache-2.0
"""The limiter: acts when a value stays above or below its threshold for a while (class 71, 4.5.9).

The threshold is the normal one or, while an emergency profile is active, that of the emergency.
Time over it is counted between two looks that both find the value there, and no gap counts as more
than `Host.poll_us`: a clock that jumps trips nothing early, and a host that looks less often than
it says trips late.  Exactly at the threshold the value stays on its side.  The under action follows
only upon an over action.
"""

from dataclasses import dataclass
from typing import Any

from openami.cosem.behaviour.clock import to_calendar
from openami.cosem.behaviour.crossing import as_number
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import SECOND_US
from openami.cosem.classes.tariff import EmergencyProfile, Limiter
from openami.dlms.data import Data


@dataclass(frozen=True, slots=True)
class LimiterState:
    """What of a limiter outlives a restart; durations begin anew.

    Attributes:
        tripped: Whether the last action was the one for over.
        above: Whether the value was above the threshold; None if it was not seen.
    """

    tripped: bool
    above: bool | None


class Limiting:
    """Serves one limiter."""

    def __init__(self, row: Limiter, life: Life) -> None:
        self._row = row
        self._life = life
        self._tripped = False
        self._above: bool | None = None
        self._for_us = 0
        self._looked_us: int | None = None
        row.bind(Limiter.threshold_active, self.threshold)
        row.bind(Limiter.emergency_profile_active, lambda: self.is_emergency(life.now_us()))

    def due_us(self) -> int | None:
        """Return when to look next: a duration may end before the next regular look."""
        if self._looked_us is None:
            return 0
        wait_us = self._life.host.poll_us
        if (left_us := self._left_us()) is not None:
            wait_us = min(wait_us, max(left_us, 1))
        return self._looked_us + wait_us

    def tick(self, now_us: int) -> None:
        looked_us = now_us if self._looked_us is None else self._looked_us
        passed_us = min(max(now_us - looked_us, 0), self._life.host.poll_us)
        self._looked_us = now_us
        value = as_number(self._life.read(*self._row.monitored_value))
        limit = as_number(self._active(now_us))
        if value is None or limit is None:
            self._for_us = 0
            return
        above = self._above if value == limit else value > limit
        self._for_us = self._for_us + passed_us if above == self._above else 0
        self._above = above
        if self._left_us() == 0:
            self._act()

    def threshold(self) -> Data:
        """Return the threshold that holds now."""
        return self._active(self._life.now_us())

    def is_emergency(self, now_us: int) -> bool:
        """Return whether the emergency profile is active.

        It is from its activation time on, for its duration, if its id is in the list of groups.
        """
        held = self._row.values
        profile: EmergencyProfile | None = held.get(8)
        if profile is None or profile.emergency_profile_id not in held.get(9, ()):
            return False
        when = profile.emergency_activation_time
        if None in {when.year, when.month, when.day, when.hour, when.minute}:
            return False
        try:
            start_us = to_calendar(when, self._life.zone(), now_us)
        except ValueError:
            return False
        return start_us <= now_us < start_us + profile.emergency_duration * SECOND_US

    def state(self) -> LimiterState:
        return LimiterState(self._tripped, self._above)

    def restore(self, state: Any) -> None:  # noqa: ANN401  a LimiterState
        self._tripped, self._above, self._for_us = state.tripped, state.above, 0

    def _active(self, now_us: int) -> Data:
        index = 5 if self.is_emergency(now_us) else 4
        value: Data = self._row.values.get(index)
        return value

    def _left_us(self) -> int | None:
        """Return how long the value must still stay where it is to cause an action."""
        if self._above is None or self._above == self._tripped:
            return None
        seconds: int = self._row.values.get(6 if self._above else 7, 0)
        return max(0, seconds * SECOND_US - self._for_us)

    def _act(self) -> None:
        self._tripped = bool(self._above)
        actions = self._row.actions
        script = actions.action_up if self._tripped else actions.action_down
        self._life.run(script, by=self._row.logical_name, is_local=True)


def bind_limiter(row: Limiter, life: Life) -> Limiting:
    """Bind a limiter to the value it watches."""
    return Limiting(row, life)
