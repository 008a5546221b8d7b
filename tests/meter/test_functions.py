# SPDX-License-Identifier: Apache-2.0
"""Clock, load limit and tariffs, as the manager writes them; they outlast a restart."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meter.house import MeterInMemory, Reader, config_in
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data
from openami.cosem.classes.tariff import (
    ActivityCalendar,
    DayProfile,
    DayProfileAction,
    Limiter,
    Season,
    SpecialDay,
    SpecialDaysTable,
    Week,
)
from openami.cosem.classes.time_event import Clock, PresetTime
from openami.cosem.refusals import AccessError
from openami.dlms.data import DoubleLongUnsigned, LongUnsigned
from openami.dlms.datetimes import CosemDate, CosemDateTime, CosemTime
from openami.dlms.obis import Obis
from openami.exchange.events import EventCode
from openami.meter.clock import CLOCK
from openami.meter.limiter import LIMITER
from openami.meter.objects import DISCONNECT
from openami.meter.tariffs import ACTIVE_TARIFF, CALENDAR, SPECIAL_DAYS

SCRIPTS = Obis(0, 0, 10, 0, 100, 255)


@pytest.fixture
def meter(tmp_path: Path) -> MeterInMemory:
    return MeterInMemory(config_in(tmp_path))


def manager(meter: MeterInMemory) -> Reader:
    connection = meter.management.connection()
    reader = Reader(connection.receive, 1)
    reader.run(reader.client.associate())
    return reader


def restart(meter: MeterInMemory) -> None:
    meter.management.close()
    meter.start_management()


def shown(reader: Reader) -> datetime:
    return reader.run(reader.client.get(Clock.time, at=CLOCK)).to_utc()


def test_the_clock_is_set_and_shifted_and_stays_so(meter: MeterInMemory) -> None:
    reader = manager(meter)
    before = shown(reader)
    reader.run(reader.client.act(Clock.shift_time, -90, at=CLOCK))
    assert shown(reader) == before - timedelta(seconds=90)
    with pytest.raises(AccessError, match="scope-of-access"):
        reader.run(reader.client.act(Clock.shift_time, 901, at=CLOCK))
    restart(meter)
    reader = manager(meter)
    assert shown(reader) == before - timedelta(seconds=90)
    wanted = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    east = CosemDateTime.from_utc(wanted, deviation_minutes=-60)
    reader.run(reader.client.set(Clock.time, east, at=CLOCK))
    assert shown(reader) == wanted
    reader.run(reader.client.act(Clock.adjust_to_quarter, 0, at=CLOCK))
    assert shown(reader) == datetime(2026, 3, 4, 5, 0, tzinfo=UTC)
    reader.run(reader.client.act(Clock.shift_time, 1 + 450, at=CLOCK))
    reader.run(reader.client.act(Clock.adjust_to_quarter, 0, at=CLOCK))
    assert shown(reader) == datetime(2026, 3, 4, 5, 15, tzinfo=UTC)
    nowhere = CosemDateTime(year=2026, month=2, day=31, hour=0, minute=0)
    with pytest.raises(AccessError, match="type-unmatched"):
        reader.run(reader.client.set(Clock.time, nowhere, at=CLOCK))


def test_a_preset_time_holds_within_its_window_and_once(meter: MeterInMemory) -> None:
    reader = manager(meter)
    with pytest.raises(AccessError, match="object-unavailable"):
        reader.run(reader.client.act(Clock.adjust_to_preset_time, 0, at=CLOCK))
    now = shown(reader)
    wanted = now + timedelta(seconds=100)
    for begin, taken in ((now + timedelta(hours=1), False), (now, True)):
        window = (begin, begin + timedelta(hours=2))
        preset = PresetTime(*map(CosemDateTime.from_utc, (wanted, *window)))
        reader.run(reader.client.act(Clock.preset_adjusting_time, preset, at=CLOCK))
        adjust = reader.client.act(Clock.adjust_to_preset_time, 0, at=CLOCK)
        if taken:
            reader.run(adjust)
        else:
            with pytest.raises(AccessError, match="temporary-failure"):
                reader.run(adjust)
    assert shown(reader) == wanted
    with pytest.raises(AccessError, match="object-unavailable"):
        reader.run(reader.client.act(Clock.adjust_to_preset_time, 0, at=CLOCK))


def test_too_much_load_opens_the_breaker_and_says_why(meter: MeterInMemory) -> None:
    reader = manager(meter)
    meter.run(3600)
    reader.run(reader.client.set(Limiter.min_over_threshold_duration, 20, at=LIMITER))
    with pytest.raises(AccessError, match="type-unmatched"):  # a threshold keeps its type
        reader.run(reader.client.set(Limiter.threshold_normal, LongUnsigned(1), at=LIMITER))
    reader.run(reader.client.set(Limiter.threshold_normal, DoubleLongUnsigned(0), at=LIMITER))
    restart(meter)
    meter.run(0, steps=5)  # metrology joins again
    reader = manager(meter)
    for _ in range(30):
        meter.run(1, steps=1)
        meter.management.tick()
    state = reader.run(reader.client.get(DisconnectControl.control_state, at=DISCONNECT))
    assert state is ControlState.READY_FOR_RECONNECTION
    assert meter.logged().count(EventCode.LOAD_LIMITED) == 1
    assert EventCode.DISCONNECTED_REMOTELY not in meter.logged()
    assert not meter.bank.meters[1].breaker_closed


def tariff_day(*switches: tuple[int, int]) -> tuple[DayProfileAction, ...]:
    return tuple(
        DayProfileAction(CosemTime(hour=hour, minute=0).encode(), SCRIPTS, tariff)
        for hour, tariff in switches
    )


def test_the_tariff_follows_season_week_day_and_special_day(meter: MeterInMemory) -> None:
    reader = manager(meter)
    row = ActivityCalendar
    spring = CosemDateTime(year=None, month=3, day=1, hour=0, minute=0)
    autumn = CosemDateTime(year=None, month=10, day=1, hour=0, minute=0)
    seasons = (Season(b"cold", autumn, b"c"), Season(b"warm", spring, b"w"))
    weeks = (Week(b"c", 1, 1, 1, 1, 1, 2, 2), Week(b"w", 3, 3, 3, 3, 3, 3, 3))
    days = (
        DayProfile(1, tariff_day((6, 11), (22, 12))),
        DayProfile(2, tariff_day((0, 13))),
        DayProfile(3, tariff_day((0, 14))),
    )
    for attribute, value in (
        (row.calendar_name_passive, b"x"),
        (row.season_profile_passive, seasons),
        (row.week_profile_table_passive, weeks),
        (row.day_profile_table_passive, days),
    ):
        reader.run(reader.client.set(attribute, value, at=CALENDAR))
    assert reader.run(reader.client.get(Data.value, at=ACTIVE_TARIFF)) == 0
    reader.run(reader.client.act(row.activate_passive_calendar, 0, at=CALENDAR))
    new_year = SpecialDay(1, CosemDate(year=None, month=1, day=1).encode(), 2)
    reader.run(reader.client.set(SpecialDaysTable.entries, (new_year,), at=SPECIAL_DAYS))
    restart(meter)
    reader = manager(meter)
    for moment, tariff in (
        (datetime(2026, 11, 2, 6, 0), 11),  # noqa: DTZ001  a Monday
        (datetime(2026, 11, 2, 5, 59), 13),  # noqa: DTZ001  still Sunday's
        (datetime(2026, 11, 3, 5, 59), 12),  # noqa: DTZ001
        (datetime(2026, 11, 7, 12, 0), 13),  # noqa: DTZ001  a Saturday
        (datetime(2026, 9, 30, 12, 0), 14),  # noqa: DTZ001  the warm season's last day
        (datetime(2027, 2, 26, 12, 0), 11),  # noqa: DTZ001  the cold one goes on over New Year
        (datetime(2027, 1, 1, 12, 0), 13),  # noqa: DTZ001  a special day
    ):
        time = CosemDateTime.from_utc(moment.replace(tzinfo=UTC))
        reader.run(reader.client.set(Clock.time, time, at=CLOCK))
        assert reader.run(reader.client.get(Data.value, at=ACTIVE_TARIFF)) == tariff, moment


def test_a_season_without_a_day_is_refused(meter: MeterInMemory) -> None:
    reader = manager(meter)
    never = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)
    seasons = (Season(b"s", never, b"w"),)
    with pytest.raises(AccessError, match="type-unmatched"):
        reader.run(reader.client.set(ActivityCalendar.season_profile_passive, seasons, at=CALENDAR))


def test_damaged_settings_are_set_aside(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text("[]", encoding="utf-8")
    meter = MeterInMemory(config_in(tmp_path))
    assert EventCode.STATE_RESTORED in meter.management._last_logged
    assert list(tmp_path.glob("settings.json.*"))


@pytest.mark.parametrize("date", [b"xxxxx", bytes.fromhex("07ea0d2009")])
def test_a_special_day_that_is_no_date_is_refused(meter: MeterInMemory, date: bytes) -> None:
    reader = manager(meter)

    with pytest.raises(AccessError, match="type-unmatched"):
        reader.run(
            reader.client.set(SpecialDaysTable.entries, (SpecialDay(1, date, 1),), at=SPECIAL_DAYS)
        )

    assert reader.run(reader.client.get(Data.value, at=ACTIVE_TARIFF)) == 0
