# SPDX-License-Identifier: Apache-2.0
"""The activity calendar: seasons, weeks and days of tariffs (class 20, 4.5.5).

At any time the last action that has begun is the one that holds: of today's day profile or, before
its first, of the days before.  It is executed when it begins, and once after a power failure, after
the clock was set, and when another calendar became active, unless it was the last one executed.  A
season begins with the day of its start; a special day has the profile of its own day_id.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

from openami.cosem.behaviour.clock import to_calendar
from openami.cosem.behaviour.due import Next
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import Rule, Zone, last_date, times_of_day
from openami.cosem.behaviour.special_days import SPECIAL_DAYS, SpecialDays, special_day_id
from openami.cosem.classes.tariff import ActivityCalendar, DayProfileAction
from openami.cosem.classes.time_event import ScheduledScript
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.datetimes import CosemDateTime, CosemTime
from openami.dlms.errors import DecodeError

SEARCHED_DAYS: Final = 400
ACTIVE: Final = (2, 3, 4, 5)
PASSIVE: Final = (6, 7, 8, 9)
_MOMENT: Final = ("year", "month", "day", "hour", "minute")


@dataclass(frozen=True, slots=True)
class ActivityState:
    """What of an activity calendar outlives a restart.

    Attributes:
        ran: When the last executed action began, and its script; None before the first.
        activated: The activation time that was carried out, as octets.
    """

    ran: tuple[int, bytes, int] | None
    activated: bytes


class Activities:
    """Serves one activity calendar."""

    def __init__(self, row: ActivityCalendar, life: Life) -> None:
        self._row = row
        self._life = life
        self._ran: tuple[int, bytes, int] | None = None
        self._activated = b""
        self._next = Next()
        self._known: object = None
        self._is_new = True
        row.bind_method(ActivityCalendar.activate_passive_calendar, lambda _argument: self._copy())
        row.bind_sink(ActivityCalendar.activate_passive_calendar_time, self._write_time)
        due = self._activation_us()
        if due is not None and due <= life.now_us():
            self._activated = row.activate_passive_calendar_time.encode()

    def due_us(self) -> int | None:
        """Return when the next action begins or the passive calendar becomes active."""
        if self._ran is None:
            return 0
        following = self._following(self._ran[0])
        activation = self._activation_us()
        return min((each for each in (following, activation) if each is not None), default=None)

    def tick(self, now_us: int) -> None:
        """Make the passive calendar active if it is time; execute the action that holds now."""
        due = self._activation_us()
        if due is not None and due <= now_us:
            self._copy()
            self._activated = self._row.activate_passive_calendar_time.encode()
        if self._holds(now_us):
            return
        holding = self.holding(now_us)
        if holding is None:
            self._ran = self._ran or (now_us, b"", 0)
            return
        at_us, action = holding
        ran = (at_us, action.script_logical_name.encode(), action.script_selector)
        if ran == self._ran:
            return
        self._ran = ran
        script = ScheduledScript(action.script_logical_name, action.script_selector)
        self._life.run(script, by=self._row.logical_name)

    def holding(self, now_us: int) -> tuple[int, DayProfileAction] | None:
        """Return the action that holds at a time, and when it began; None if there is none."""
        zone = self._life.zone()
        day = zone.local(now_us).date()
        for back in range(SEARCHED_DAYS):
            found = [
                each for each in self._actions(day - timedelta(back), zone) if each[0] <= now_us
            ]
            if found:
                return found[-1]
            if not any(each.day_schedule for each in self._row.day_profile_table_active):
                return None
        return None

    def day_id(self, day: date) -> int | None:
        """Return the day profile of a day; None where season or week are missing."""
        special = special_day_id(self._life, day)
        if special is not None:
            return special
        week_name = self._week_name(day)
        for week in self._row.week_profile_table_active:
            if week.week_profile_name == week_name:
                number = week[1 + day.weekday()]
                return number if isinstance(number, int) else None
        return None

    def state(self) -> ActivityState:
        return ActivityState(self._ran, self._activated)

    def restore(self, state: Any) -> None:  # noqa: ANN401  an ActivityState
        self._ran, self._activated = state.ran, state.activated

    def _following(self, since_us: int) -> int | None:
        """Return when the next action begins after a time."""
        zone = self._life.zone()
        held = self._row.values
        special = self._life.acting.get(SPECIAL_DAYS)
        days = special.entries() if isinstance(special, SpecialDays) else ()
        key = (zone, days, *(held.get(index) for index in ACTIVE))
        if key != self._known:
            self._known = key
            self._is_new = True
        return self._next.after(since_us, key, lambda start: self._first_after(start, zone))

    def _holds(self, now_us: int) -> bool:
        """Return whether the last executed action is the one that holds still."""
        if self._ran is None or now_us < self._ran[0]:
            return False
        following = self._following(self._ran[0])
        if self._is_new:
            self._is_new = False
            return False
        return following is None or now_us < following

    def _week_name(self, day: date) -> bytes | None:
        zone, best = self._life.zone(), None
        for season in self._row.season_profile_active:
            began = last_date(Rule.of(season.season_start).on, day, zone)
            if began is not None and (best is None or began >= best[0]):
                best = (began, season.week_name)
        return best and best[1]

    def _actions(self, day: date, zone: Zone) -> Iterator[tuple[int, DayProfileAction]]:
        number = self.day_id(day)
        for profile in self._row.day_profile_table_active:
            if profile.day_id == number:
                found = [
                    (zone.moment(datetime.combine(day, each)), index, action)
                    for index, action in enumerate(profile.day_schedule)
                    for each in _times(action.start_time)
                ]
                for at_us, _, action in sorted(found, key=lambda each: each[:2]):
                    yield at_us, action
                return

    def _first_after(self, since_us: int, zone: Zone) -> int | None:
        if not any(each.day_schedule for each in self._row.day_profile_table_active):
            return None
        day = (zone.local(since_us) - timedelta(days=1)).date()
        for ahead in range(SEARCHED_DAYS):
            for at_us, _ in self._actions(day + timedelta(ahead), zone):
                if at_us > since_us:
                    return at_us
        return None

    def _activation_us(self) -> int | None:
        """Return when the passive calendar becomes active; None if never, or if it was."""
        value: CosemDateTime | None = self._row.values.get(10)
        if value is None or value.encode() == self._activated:
            return None
        if any(getattr(value, field) is None for field in _MOMENT):
            return None
        try:
            return to_calendar(value, self._life.zone(), self._life.now_us())
        except ValueError:
            return None

    def _write_time(self, value: CosemDateTime) -> None:
        """Take the time of activation: a moment, or nothing specified at all."""
        open_fields = {getattr(value, field) is None for field in _MOMENT}
        if len(open_fields) > 1:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)
        if open_fields == {False}:
            try:
                to_calendar(value, self._life.zone(), self._life.now_us())
            except ValueError:
                raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        self._activated = b""

    def _copy(self) -> None:
        """Make the passive calendar the active one; the passive one stays as it is."""
        held = self._row.values
        for active, passive in zip(ACTIVE, PASSIVE, strict=True):
            if passive in held:
                held[active] = held[passive]


def _times(octets: bytes) -> Iterator[Any]:
    try:
        yield from times_of_day(CosemTime.decode(octets))
    except DecodeError:
        return


def bind_activity_calendar(row: ActivityCalendar, life: Life) -> Activities:
    """Bind an activity calendar to the scripts and special days of its device."""
    return Activities(row, life)
