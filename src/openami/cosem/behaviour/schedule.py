# SPDX-License-Identifier: Apache-2.0
"""Schedules: scripts by time of day, weekday and special day (class 10, 4.5.3).

What was missed while the device was off, or skipped when the clock was set forward, is carried out
on the next tick if that comes within the entry's validity window: 0 makes up for nothing, FFFF for
everything; of one entry the latest missed time is made up for, and entries run in the order of
their times.  On a special day only the entries run that name its day_id in exec_specdays.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any, Final, NamedTuple

from openami.cosem.behaviour.due import Done, Next
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.localtime import (
    DAY_US,
    MINUTE_US,
    Zone,
    is_between,
    times_of_day,
)
from openami.cosem.behaviour.special_days import special_day_id
from openami.cosem.classes.tariff import EnableDisable, EntryRange, Schedule, ScheduleEntry
from openami.cosem.classes.time_event import ScheduledScript
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.datetimes import CosemDate, CosemTime
from openami.dlms.errors import DecodeError

LATE_US: Final = MINUTE_US
"""How late a tick may be before what is due counts as missed."""
ANY_TIME: Final = 0xFFFF
"""A validity window without an end."""
SEARCHED_DAYS: Final = 400


class _Plan(NamedTuple):
    """An entry, its octets read."""

    entry: ScheduleEntry
    at: CosemTime
    begin: CosemDate
    end: CosemDate


class Scheduler:
    """Serves one schedule.

    Args:
        row: The object.
        life: Its device.
        first_special_day: The day_id that the first bit of exec_specdays stands for; not checked
            twice.
    """

    def __init__(self, row: Schedule, life: Life, *, first_special_day: int = 0) -> None:
        self._row = row
        self._life = life
        self._first_special_day = first_special_day
        self._done = Done(life.now_us())
        self._next = Next()
        self._plans: tuple[_Plan, ...] = ()
        row.bind_sink(Schedule.entries, self._write)
        row.bind_method(Schedule.enable_disable, self._enable_disable)
        row.bind_method(Schedule.insert, self._insert)
        row.bind_method(Schedule.delete, self._delete)
        try:
            self._plan(row.entries)
        except DecodeError as error:
            life.report(row.values[1], f"entries are not understood: {error}")

    def due_us(self) -> int | None:
        zone, since = self._life.zone(), self._done.until_us or 0
        key = (zone, self._special_days())
        return self._next.after(since, key, lambda start: next(self._times(start, zone), None))

    def tick(self, now_us: int) -> None:
        if self._done.passes(now_us, self.due_us()):
            return
        zone = self._life.zone()
        since = max(self._done.since(now_us), now_us - SEARCHED_DAYS * DAY_US)
        latest: dict[int, tuple[int, _Plan]] = {}
        for at_us, plan in self._occurrences(since, now_us, zone):
            window = plan.entry.validity_window
            allowed = max(LATE_US, window * MINUTE_US)
            if window == ANY_TIME or now_us - at_us <= allowed:
                latest[plan.entry.entry_index] = (at_us, plan)
        for _, plan in sorted(latest.values(), key=lambda each: (each[0], each[1].entry[0])):
            entry = plan.entry
            script = ScheduledScript(entry.script_logical_name, entry.script_selector)
            self._life.run(script, by=self._row.logical_name)

    def state(self) -> int | None:
        """Return until when everything was carried out, microseconds UTC."""
        return self._done.until_us

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._done.until_us = state

    def _times(self, since_us: int, zone: Zone) -> Iterator[int]:
        if self._plans:
            end = since_us + SEARCHED_DAYS * DAY_US
            yield from (at_us for at_us, _ in self._occurrences(since_us, end, zone))

    def _occurrences(self, since_us: int, end_us: int, zone: Zone) -> Iterator[tuple[int, _Plan]]:
        """Yield what is due later than `since_us` up to `end_us`, day by day in order of time."""
        day = (zone.local(since_us) - timedelta(days=1)).date()
        last = zone.local(end_us).date()
        while day <= last:
            special = special_day_id(self._life, day)
            found = [
                (zone.moment(datetime.combine(day, at)), plan)
                for plan in self._plans
                if self._runs_on(plan, day, special)
                for at in times_of_day(plan.at)
            ]
            for at_us, plan in sorted(found, key=lambda each: (each[0], each[1].entry[0])):
                if since_us < at_us <= end_us:
                    yield at_us, plan
            day += timedelta(days=1)

    def _runs_on(self, plan: _Plan, day: date, special: int | None) -> bool:
        entry = plan.entry
        if not entry.enable or not is_between(day, plan.begin, plan.end):
            return False
        if special is None:
            return entry.exec_weekdays.bits[day.weekday()] == "1"
        number = special - self._first_special_day
        return 0 <= number < entry.exec_specdays.length_bits and (
            entry.exec_specdays.bits[number] == "1"
        )

    def _special_days(self) -> object:
        """Return what changes when the special days do."""
        found = [each for each in self._life.device if each.class_id == 11]
        return tuple(each.values.get(2) for each in found)

    def _plan(self, entries: tuple[ScheduleEntry, ...]) -> None:
        self._next.forget()
        self._plans = tuple(
            _Plan(
                entry,
                CosemTime.decode(entry.switch_time),
                CosemDate.decode(entry.begin_date),
                CosemDate.decode(entry.end_date),
            )
            for entry in entries
        )

    def _write(self, entries: tuple[ScheduleEntry, ...]) -> None:
        try:
            self._plan(entries)
        except DecodeError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        self._done.until_us = self._life.now_us()

    def _take(self, entries: tuple[ScheduleEntry, ...]) -> None:
        try:
            self._write(entries)
        except Refused:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None
        self._row.entries = entries

    def _insert(self, entry: ScheduleEntry) -> None:
        """Add an entry, or replace the one with its number."""
        others = [each for each in self._row.entries if each.entry_index != entry.entry_index]
        self._take(tuple(sorted((*others, entry), key=lambda each: each.entry_index)))

    def _delete(self, which: EntryRange) -> None:
        first, last = which
        self._take(
            tuple(each for each in self._row.entries if not first <= each.entry_index <= last)
        )

    def _enable_disable(self, which: EnableDisable) -> None:
        """Disable one range, then enable another; a range from 0, or backwards, is none."""

        def change(entry: ScheduleEntry) -> ScheduleEntry:
            enable = entry.enable
            if 0 < which.first_entry_to_disable <= entry.entry_index <= which.last_entry_to_disable:
                enable = False
            if 0 < which.first_entry_to_enable <= entry.entry_index <= which.last_entry_to_enable:
                enable = True
            return entry._replace(enable=enable)

        self._take(tuple(map(change, self._row.entries)))


def bind_schedule(row: Schedule, life: Life) -> Scheduler:
    """Bind a schedule to the scripts and special days of its device."""
    return Scheduler(row, life)
