# SPDX-License-Identifier: Apache-2.0
"""The clock: what it shows, and how it is set, adjusted and shifted (class 8, 4.5.1).

The calendar itself is the host's (`ClockPort`); the object shows it in local time and turns what a
client writes into calendar time.  Only the fields that are specified change; a time in the hour
that comes twice is the first, unless its status says that daylight saving is over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final

from openami.cosem.behaviour.host import MOST_MINUTES, ClockPort, Life, zone_of
from openami.cosem.behaviour.localtime import GOOD, MINUTE_US, SECOND_US, Zone, to_us
from openami.cosem.classes.time_event import Clock, PresetTime
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.datetimes import ClockStatus, CosemDateTime
from openami.dlms.obis import Obis

LONGEST_SHIFT_S: Final = 900
DEFAULT_MEASURING_PERIOD_S: Final = 900
LOAD_PROFILE: Final = Obis(1, 0, 99, 1, 0, 255)

_MOST_SAVING: Final = 120
_ONE_US: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ClockState:
    """What of a clock outlives a restart: doubts about its time, and the time preset for later."""

    doubts: int
    preset: tuple[bytes, bytes, bytes] | None


class Timekeeper:
    """Serves one clock object.

    Attributes:
        doubts: Why the time cannot be trusted: bits of `ClockStatus`, gone when the time is set.
    """

    def __init__(
        self, clock: Clock, port: ClockPort, measuring_period_s: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._port = port
        self._measuring_period_s = measuring_period_s
        self._preset: PresetTime | None = None
        self._turned = False
        self.doubts = GOOD
        clock.bind(Clock.time, self.shown, self.write_time)
        clock.bind(Clock.status, lambda: int(self.status()))
        clock.bind_sink(Clock.time_zone, self._check_zone)
        clock.bind_sink(Clock.daylight_savings_deviation, self._check_saving)
        clock.bind_method(Clock.adjust_to_quarter, lambda _argument: self._adjust(900))
        clock.bind_method(
            Clock.adjust_to_measuring_period,
            lambda _argument: self._adjust(self._measuring_period_s()),
        )
        clock.bind_method(Clock.adjust_to_minute, lambda _argument: self._adjust(60))
        clock.bind_method(Clock.adjust_to_preset_time, self._adjust_to_preset)
        clock.bind_method(Clock.preset_adjusting_time, self._take_preset)
        clock.bind_method(Clock.shift_time, self._shift)

    @property
    def zone(self) -> Zone:
        """Local time as the object's attributes say now."""
        return zone_of(self._clock)

    def status(self) -> ClockStatus:
        """Return the clock status: doubts, and whether daylight saving is shown."""
        saving = self.zone.is_saving(self._port.now_us())
        return self.doubts | (ClockStatus.DAYLIGHT_SAVING_ACTIVE if saving else GOOD)

    def shown(self) -> CosemDateTime:
        """Return local date and time, with deviation and status."""
        return self.zone.shown(self._port.now_us(), self.doubts)

    def distrust(self, doubts: ClockStatus) -> None:
        """Mark the time as invalid or doubtful until it is set, e.g. after a power failure."""
        self.doubts |= doubts

    def write_time(self, value: CosemDateTime) -> None:
        """Set the calendar; fields that are not specified stay as they are.

        Raises:
            Refused: There is no such day.
        """
        try:
            now_us = to_calendar(value, self.zone, self._port.now_us())
        except ValueError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None
        self._turn(now_us)
        self.doubts = GOOD

    def due_us(self) -> int | None:
        """Return 0 once the calendar was set: all actors are to be told the time at once."""
        return 0 if self._turned else None

    def tick(self, now_us: int) -> None:
        del now_us
        self._turned = False

    def state(self) -> ClockState:
        preset = self._preset
        return ClockState(
            int(self.doubts),
            None
            if preset is None
            else (
                preset.preset_time.encode(),
                preset.validity_interval_start.encode(),
                preset.validity_interval_end.encode(),
            ),
        )

    def restore(self, state: Any) -> None:  # noqa: ANN401  a ClockState
        self.doubts = ClockStatus(state.doubts)
        self._preset = state.preset and PresetTime(*map(CosemDateTime.decode, state.preset))

    def _turn(self, now_us: int) -> None:
        self._port.set_us(now_us)
        self._turned = True

    def _adjust(self, period_s: int) -> None:
        """Go to the nearest start of a period after local midnight; half a period goes forward."""
        now_us = self._port.now_us()
        local = self.zone.local(now_us)
        period_us = max(1, period_s) * SECOND_US
        since_midnight = (local - datetime.combine(local.date(), time())) // _ONE_US
        past = since_midnight % period_us
        self._turn(now_us - past + (period_us if 2 * past >= period_us else 0))

    def _take_preset(self, preset: PresetTime) -> None:
        now_us, zone = self._port.now_us(), self.zone
        try:
            for each in preset:
                to_calendar(each, zone, now_us)
        except ValueError:
            raise Refused(ActionResult.TYPE_UNMATCHED) from None
        self._preset = preset

    def _adjust_to_preset(self, _argument: int) -> None:
        preset = self._preset
        if preset is None:
            raise Refused(ActionResult.OBJECT_UNAVAILABLE)
        now_us, zone = self._port.now_us(), self.zone
        start, end = (to_calendar(each, zone, now_us) for each in preset[1:])
        if not start <= now_us <= end:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self._turn(to_calendar(preset.preset_time, zone, now_us))
        self._preset = None  # invoked again it would set the clock back
        self.doubts = GOOD

    def _shift(self, seconds: int) -> None:
        if abs(seconds) > LONGEST_SHIFT_S:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._turn(self._port.now_us() + seconds * SECOND_US)

    def _check_zone(self, minutes: int) -> None:
        if max(abs(minutes), abs(minutes - self.zone.saving)) > MOST_MINUTES:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)

    def _check_saving(self, minutes: int) -> None:
        if abs(minutes) > _MOST_SAVING or abs(self.zone.time_zone - minutes) > MOST_MINUTES:
            raise Refused(DataAccessResult.TYPE_UNMATCHED)


def to_calendar(value: CosemDateTime, zone: Zone, now_us: int) -> int:
    """Return the calendar time that a date-time means; what it leaves open is taken from now.

    Raises:
        ValueError: There is no such day, or a field counts from the end of the month.
    """
    local = zone.local(now_us)
    wanted = datetime(  # noqa: DTZ001  local time
        local.year if value.year is None else value.year,
        local.month if value.month is None else value.month,
        local.day if value.day is None else value.day,
        local.hour if value.hour is None else value.hour,
        local.minute if value.minute is None else value.minute,
        local.second if value.second is None else value.second,
        local.microsecond if value.hundredths is None else value.hundredths * 10_000,
    )
    if value.deviation_minutes is not None:
        return to_us(wanted.replace(tzinfo=UTC)) + value.deviation_minutes * MINUTE_US
    status = value.clock_status
    saving_is_over = status is not None and not status & ClockStatus.DAYLIGHT_SAVING_ACTIVE
    return zone.moment(wanted, second_time=saving_is_over)


def bind_clock(clock: Clock, life: Life) -> Timekeeper:
    """Bind a clock to the host's calendar; its measuring period is that of the load profile."""

    def measuring_period_s() -> int:
        period = life.read(7, LOAD_PROFILE, 4)
        return int(period) if isinstance(period, int) and period else DEFAULT_MEASURING_PERIOD_S

    return Timekeeper(clock, life.host.clock, measuring_period_s)
