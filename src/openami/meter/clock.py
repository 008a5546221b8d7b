# SPDX-License-Identifier: Apache-2.0
"""The meter's clock (class 8), as far as this meter has it: an offset from the calendar.

`cosem.behaviour.clock` has the class whole, with local time, for what runs on a larger machine.
Intervals and events keep metrology's time, whatever the clock is set to.
"""

import struct
from collections.abc import Callable
from typing import Final

from openami.cosem.classes.time_event import Clock, ClockBase, PresetTime
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis
from openami.meter.settings import Settings
from openami.runtime.clock import MICROSECONDS, from_us, to_us

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)
NEVER: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)
MOST_SHIFT_S: Final = 900
_OFFSET: Final = struct.Struct(">q")


class MeterClock:
    """The clock object and the time by it.

    Attributes:
        row: The object.
    """

    def __init__(
        self,
        calendar_us: Callable[[], int],
        settings: Settings,
        period_s: int,
        turned: Callable[[], object],
    ) -> None:
        """Bind the object; `turned` is told when somebody has set the clock."""
        self._calendar_us = calendar_us
        self._settings = settings
        self._turned = turned
        self._preset: PresetTime | None = None
        kept = settings.get("clock_offset_us")
        self._offset_us: int = 0 if kept is None else _OFFSET.unpack(kept)[0]
        self.row = row = Clock(
            CLOCK,
            time_zone=0,
            status=0,
            daylight_savings_begin=NEVER,
            daylight_savings_end=NEVER,
            daylight_savings_deviation=0,
            daylight_savings_enabled=False,
            clock_base=ClockBase.INTERNAL_CRYSTAL,
        )
        row.bind(Clock.time, lambda: CosemDateTime.from_utc(from_us(self.now_us())), self._write)
        row.bind_method(Clock.adjust_to_quarter, lambda _: self._adjust(900))
        row.bind_method(Clock.adjust_to_measuring_period, lambda _: self._adjust(period_s))
        row.bind_method(Clock.adjust_to_minute, lambda _: self._adjust(60))
        row.bind_method(Clock.adjust_to_preset_time, lambda _: self._adjust_to_preset())
        row.bind_method(Clock.preset_adjusting_time, self._take_preset)
        row.bind_method(Clock.shift_time, self._shift)

    def now_us(self) -> int:
        """Return the time by the clock, microseconds UTC."""
        return self._calendar_us() + self._offset_us

    def _turn(self, by_us: int) -> None:
        offset_us = self._offset_us + by_us
        self._settings.put(clock_offset_us=_OFFSET.pack(offset_us))
        self._offset_us = offset_us
        self._turned()

    def _write(self, value: CosemDateTime) -> None:
        try:
            told_us = moment_us(value)
        except ValueError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        self._turn(told_us - self.now_us())

    def _adjust(self, period_s: int) -> None:
        period_us = period_s * MICROSECONDS
        past_us = self.now_us() % period_us
        self._turn(period_us - past_us if 2 * past_us >= period_us else -past_us)

    def _shift(self, seconds: int) -> None:
        if abs(seconds) > MOST_SHIFT_S:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._turn(seconds * MICROSECONDS)

    def _take_preset(self, preset: PresetTime) -> None:
        try:
            for each in preset:
                moment_us(each)
        except ValueError:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None
        self._preset = preset

    def _adjust_to_preset(self) -> None:
        if self._preset is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        time_us, begin_us, end_us = map(moment_us, self._preset)
        if not begin_us <= self.now_us() <= end_us:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self._turn(time_us - self.now_us())
        self._preset = None  # invoked again it would set the clock back


def moment_us(value: CosemDateTime) -> int:
    """Return a date-time as microseconds UTC; raises `ValueError` where it is none."""
    return to_us(value.to_utc(assume_deviation_minutes=0))
