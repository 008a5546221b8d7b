# SPDX-License-Identifier: Apache-2.0
"""Local days over UTC intervals: days have 23 or 25 hours where the clock is changed."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import polars as pl

from openami.mdm.vee.series import Int64
from openami.runtime.clock import from_us, to_us
from openami.store.intervals import FIRST_DAY, SCHEMA, day_number


@dataclass(frozen=True, slots=True)
class LocalDays:
    """The calendar days of a zone; a day is a number of days since 1970-01-01."""

    zone: ZoneInfo

    def day_of(self, moment_us: int) -> int:
        """Return the local day of a moment."""
        return day_number(from_us(moment_us).astimezone(self.zone).date())

    def date_of(self, day: int) -> date:
        return FIRST_DAY + timedelta(days=day)

    def bounds(self, day: int) -> tuple[int, int]:
        """Return a day's beginning and end, microseconds UTC."""
        return self._midnight(day), self._midnight(day + 1)

    def _midnight(self, day: int) -> int:
        return to_us(datetime.combine(self.date_of(day), time(), self.zone))

    def days_and_slots(self, starts_us: Int64, period_s: int) -> tuple[Int64, Int64]:
        """Return for each interval its local day and its local time of day in periods."""
        starts = pl.Series(starts_us).cast(SCHEMA["start"]).dt.convert_time_zone(self.zone.key)
        seconds = (starts.dt.hour().cast(pl.Int64) * 3600) + starts.dt.minute().cast(pl.Int64) * 60
        days: Int64 = starts.dt.date().dt.epoch("d").cast(pl.Int64).to_numpy()
        slots: Int64 = (seconds // period_s).to_numpy()
        return days, slots
