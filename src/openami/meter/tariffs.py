# SPDX-License-Identifier: Apache-2.0
"""Which tariff holds: activity calendar and special days (classes 20 and 11).

The tariff is the number of the script that the day's profile began last; it is shown in
0.0.96.14.0.255.  Times are the clock's, which shows UTC.  Registers are not split by tariff: what
costs what is found from the intervals.
"""

import logging
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, Final

from openami.cosem.classes.measurement import Data
from openami.cosem.classes.tariff import ActivityCalendar, Season, SpecialDay, SpecialDaysTable
from openami.cosem.model import Attribute, Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Unsigned
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from openami.meter.clock import NEVER, moment_us
from openami.meter.settings import Settings
from openami.runtime.clock import MICROSECONDS, from_us

log = logging.getLogger(__name__)

CALENDAR: Final = Obis(0, 0, 13, 0, 0, 255)
SPECIAL_DAYS: Final = Obis(0, 0, 11, 0, 0, 255)
ACTIVE_TARIFF: Final = Obis(0, 0, 96, 14, 0, 255)
LOOKED_BACK_DAYS: Final = 8
LOOK_US: Final = 60 * MICROSECONDS
_ROW: Final = ActivityCalendar
PASSIVE: Final[dict[Attribute[Any], Attribute[Any]]] = {
    _ROW.calendar_name_passive: _ROW.calendar_name_active,
    _ROW.season_profile_passive: _ROW.season_profile_active,
    _ROW.week_profile_table_passive: _ROW.week_profile_table_active,
    _ROW.day_profile_table_passive: _ROW.day_profile_table_active,
}


class Tariffs:
    """The calendar and its special days.

    Attributes:
        objects: Calendar, special days, active tariff.
    """

    def __init__(self, settings: Settings, now_us: Callable[[], int]) -> None:
        self._settings = settings
        self._now_us = now_us
        self._looked_us = 0
        self.calendar = calendar = ActivityCalendar(CALENDAR)
        for passive, active in PASSIVE.items():
            empty: object = b"" if passive is _ROW.calendar_name_passive else ()
            calendar.values |= {passive.index: empty, active.index: empty}
        calendar.values[_ROW.activate_passive_calendar_time.index] = NEVER
        seasons = _ROW.season_profile_passive
        settings.keep(calendar, *PASSIVE.values())
        settings.keep(calendar, *(row for row in PASSIVE if row is not seasons))
        settings.keep(calendar, seasons, check=_check_seasons)
        settings.keep(calendar, _ROW.activate_passive_calendar_time, check=_check_moment)
        calendar.bind_method(_ROW.activate_passive_calendar, lambda _: self._activate())
        self.special = SpecialDaysTable(SPECIAL_DAYS, entries=())
        settings.keep(self.special, SpecialDaysTable.entries, check=_check_days)
        shown = Data(ACTIVE_TARIFF)
        shown.bind(Data.value, lambda: Unsigned(min(255, self.tariff(self._now_us()))))
        self.objects = [calendar, self.special, shown]

    def tick(self) -> None:
        """Make the passive calendar active if it is time."""
        now_us = self._now_us()
        if abs(now_us - self._looked_us) < MICROSECONDS:
            return
        self._looked_us = now_us
        when = self.calendar.activate_passive_calendar_time
        if when == NEVER or moment_us(when) > now_us:
            return
        if self._settings.get("calendar_activated") == when.encode():
            return
        try:
            self._activate(calendar_activated=when.encode())
        except Refused:
            log.warning("the calendar is made active later")

    def tariff(self, now_us: int) -> int:
        """Return the tariff that holds at a time; 0 where no calendar says."""
        now = from_us(now_us)
        time = CosemTime(hour=now.hour, minute=now.minute, second=now.second).encode()
        for back in range(LOOKED_BACK_DAYS):
            day_id = self._day_id(now.date() - timedelta(back))
            for profile in self.calendar.day_profile_table_active:
                begun = [
                    action.script_selector
                    for action in profile.day_schedule
                    if profile.day_id == day_id and (back or action.start_time <= time)
                ]
                if begun:
                    return begun[-1]
        return 0

    def _day_id(self, day: date) -> int | None:
        for entry in self.special.entries:
            on = CosemDate.decode(entry.special_day_date)
            if on.year in {None, day.year} and (on.month, on.day) == (day.month, day.day):
                return entry.day_id
        began = [
            (start, season.week_name)
            for season in self.calendar.season_profile_active
            if (start := _last_start(season, day)) is not None
        ]
        for week in self.calendar.week_profile_table_active:
            if began and week.week_profile_name == max(began)[1]:
                return int(week[1 + day.weekday()])
        return None

    def _activate(self, **done: bytes) -> None:
        held = self.calendar.values
        values = {active: held[passive.index] for passive, active in PASSIVE.items()}
        try:
            self._settings.write(self.calendar, values, **done)
        except Refused:
            raise Refused(ActionResult.TEMPORARY_FAILURE) from None


def _last_start(season: Season, day: date) -> date | None:
    on = season.season_start
    for year in (day.year, day.year - 1) if on.year is None else (on.year,):
        start = date(year, on.month or 1, min(on.day or 1, 28) if on.month == 2 else on.day or 1)
        if start <= day:
            return start
    return None


def _check_seasons(seasons: tuple[Season, ...]) -> None:
    for season in seasons:
        on = season.season_start
        try:
            date(on.year or 2028, on.month or 0, on.day or 0)
        except ValueError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None


def _check_days(days: tuple[SpecialDay, ...]) -> None:
    try:
        for each in days:
            CosemDate.decode(each.special_day_date)
    except DecodeError:
        raise Refused(DataAccessResult.TYPE_UNMATCHED) from None


def _check_moment(when: CosemDateTime) -> None:
    try:
        if when != NEVER:
            moment_us(when)
    except (ValueError, DecodeError):
        raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
