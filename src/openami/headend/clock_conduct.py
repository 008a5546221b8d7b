# SPDX-License-Identifier: Apache-2.0
"""A meter's clock is set, adjusted or shifted, and its deviation measured before and after.

A clock that is further off than the head-end takes for a mistake of ours is not touched unless the
command is forced: a wrong calendar here must not turn the clocks of a fleet.  An order with a guard
is sent only where it leaves the clock in its interval, away from its ends, and less wrong.

Whether a shift or an adjustment took place is told from how far the clock has moved since it was
measured before.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from openami.cosem.classes.time_event import Clock, PresetTime
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.exchange.commands import CommandState
from openami.headend.associations import MeterSession
from openami.headend.clock_policy import keeps_interval
from openami.headend.conduct import TOO_LATE, Json, NotAllowedError, Outcome
from openami.headend.deviation import Deviation, Timeless, deviation_of
from openami.headend.orders import ClockOrder
from openami.runtime.clock import MICROSECONDS, from_us
from openami.runtime.errors import UserError
from openami.store.registry import Meter

QUARTER_S: Final = 900
MINUTE_S: Final = 60
TOLERANCE_S: Final = 1.0  # beside the uncertainty; a date-time may lack hundredths
PRESET_AHEAD_S: Final = 2.0
PRESET_WINDOW: Final = timedelta(minutes=10)
LOOK_S: Final = 0.02


class NoTimeError(UserError):
    """The clock tells no time."""


async def measure(session: MeterSession, at: Obis, now_us: Callable[[], int]) -> Deviation:
    """Return how far the meter's clock is off.

    Raises:
        NoTimeError: It tells none.
    """
    asked_us = now_us()
    time = await session.run(session.client.get(Clock.time, at=at))
    found = deviation_of(time, asked_us, now_us())
    if isinstance(found, Timeless):
        problem = f"the clock of meter {session.meter.meter_id} tells no time ({time})"
        raise NoTimeError(f"{problem}: set it")
    return found


async def _nothing(_meter: Meter, _found: Deviation) -> None:
    """Keep nothing of what was measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockConduct:
    """Carries out a `ClockOrder`.

    Attributes:
        order: What is asked.
        at: The clock.
        now_us: The calendar.
        most_s: How far it may be off without force.
        period_s: The measuring period.
        measured: Told what is measured once the order was sent.
    """

    order: ClockOrder
    at: Obis
    now_us: Callable[[], int]
    most_s: float
    period_s: int
    measured: Callable[[Meter, Deviation], Awaitable[None]] = _nothing
    changes = True

    async def before(self, session: MeterSession) -> Json:
        try:
            found = await measure(session, self.at, self.now_us)
        except NoTimeError as error:
            if self.order.action != "set":
                raise NotAllowedError(str(error)) from error
            if not self.order.force:
                raise NotAllowedError(f"{error}, and ask with force") from error
            return {"at_us": self.now_us()}
        if abs(found.off_s) > self.most_s and not self.order.force:
            raise NotAllowedError(
                f"the clock is {found.off_s:+.1f} s off, more than clock_most_s = {self.most_s:g}:"
                " find out which of the two is wrong, then ask with force"
            )
        self._guard(found)
        return {
            "deviation_before_s": round(found.off_s, 3),
            "uncertainty_before_s": round(found.uncertainty_s, 3),
            "at_us": self.now_us(),
        }

    def _guard(self, found: Deviation) -> None:
        """Refuse what would take the clock over an interval's end, or make it worse.

        Raises:
            NotAllowedError: It would.
        """
        if self.order.guard_s is None:
            return
        move_s = self.order.shift_s or -found.off_s
        margin_s = self.order.guard_s + found.uncertainty_s
        if not keeps_interval(self.now_us(), found.off_s, move_s, margin_s, self.period_s):
            raise NotAllowedError(
                f"the clock is {found.off_s:+.1f} s off: to move it by {move_s:+.1f} s would bring"
                f" it over the end of an interval now, or within {margin_s:.1f} s of one"
            )
        if abs(found.off_s + move_s) >= abs(found.off_s):
            sentence = f"the clock is {found.off_s:+.1f} s off: {move_s:+.0f} s make it no better"
            raise NotAllowedError(sentence)

    async def send(self, session: MeterSession) -> None:
        client, at = session.client, self.at
        match self.order.action:
            case "set":
                time = CosemDateTime.from_utc(from_us(self.now_us()))
                await session.run(client.set(Clock.time, time, at=at))
            case "adjust_to_quarter":
                await session.run(client.act(Clock.adjust_to_quarter, 0, at=at))
            case "adjust_to_measuring_period":
                await session.run(client.act(Clock.adjust_to_measuring_period, 0, at=at))
            case "adjust_to_minute":
                await session.run(client.act(Clock.adjust_to_minute, 0, at=at))
            case "shift":
                await session.run(client.act(Clock.shift_time, self.order.shift_s, at=at))
            case "preset":
                await self._preset(session)

    async def _preset(self, session: MeterSession) -> None:
        """Hand over a time that is to come, and let it hold when it has come."""
        found = await measure(session, self.at, self.now_us)
        due_us = self.now_us() + round(PRESET_AHEAD_S * MICROSECONDS)
        moment = from_us(due_us)
        # The window is checked by the meter's clock, however far off that is.
        margin = PRESET_WINDOW + timedelta(seconds=abs(found.off_s))
        preset = PresetTime(
            *map(CosemDateTime.from_utc, (moment, moment - margin, moment + margin))
        )
        await session.run(session.client.act(Clock.preset_adjusting_time, preset, at=self.at))
        while self.now_us() < due_us:  # noqa: ASYNC110  the calendar has a speed of its own
            await asyncio.sleep(LOOK_S)
        await session.run(session.client.act(Clock.adjust_to_preset_time, 0, at=self.at))

    async def prove(self, session: MeterSession, before: Json | None) -> Outcome:
        try:
            after = await measure(session, self.at, self.now_us)
        except NoTimeError as error:
            return Outcome(CommandState.FAILED, f"{error}{TOO_LATE}", dict(before or {}))
        await self.measured(session.meter, after)
        result: Json = {
            **(before or {}),
            "deviation_after_s": round(after.off_s, 3),
            "uncertainty_after_s": round(after.uncertainty_s, 3),
        }
        note = f"the clock is {after.off_s:+.1f} s off"
        if before is not None and "deviation_before_s" in before:
            note = f"{note}, it was {before['deviation_before_s']:+.1f} s"
        if self._holds(after, before):
            return Outcome(CommandState.CONFIRMED, note, result)
        return Outcome(CommandState.FAILED, f"{note}, not as asked{TOO_LATE}", result)

    def _holds(self, after: Deviation, before: Json | None) -> bool:
        slack_s = TOLERANCE_S + after.uncertainty_s
        if self.order.action in {"set", "preset"}:
            # A time is right when it leaves here and late by its way when it is set.
            return abs(after.off_s) <= slack_s + after.uncertainty_s
        if before is None:
            return False
        was_s, slack_s = before["deviation_before_s"], slack_s + before["uncertainty_before_s"]
        if self.order.action == "shift":
            return bool(abs(after.off_s - was_s - self.order.shift_s) <= slack_s)
        # Where the clock stood when it was adjusted is known to within the time since.
        grid_s = {"adjust_to_quarter": QUARTER_S, "adjust_to_minute": MINUTE_S}.get(
            self.order.action, self.period_s
        )
        passed_s = max(0.0, (self.now_us() - before["at_us"]) / MICROSECONDS)
        stood_s = before["at_us"] / MICROSECONDS + was_s
        moved_s = after.off_s - was_s
        # It was turned to a mark of the grid from somewhere in [stood, stood + passed].
        mark_s = stood_s + moved_s
        nearest_s = -(-(mark_s - slack_s) // grid_s) * grid_s
        is_mark = nearest_s <= mark_s + passed_s + slack_s
        return bool(is_mark and abs(moved_s) <= grid_s / 2 + slack_s)
