# SPDX-License-Identifier: Apache-2.0
"""The clock object: what it shows, and what each way of setting it does to the calendar."""

import pytest

from cosem.behaviour.life import BERLIN, SYDNEY, World, at
from openami.cosem.behaviour.clock import Timekeeper
from openami.cosem.behaviour.host import CLOCK
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.classes.time_event import Clock, PresetTime
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import Data, Integer, Long, OctetString, Structure
from openami.dlms.datetimes import ClockStatus, CosemDateTime
from openami.dlms.obis import Obis

ZERO = Integer(0)


def clock(world: World) -> Clock:
    found = world.device[CLOCK]
    assert isinstance(found, Clock)
    return found


def keeper(world: World) -> Timekeeper:
    found = world.life.acting[CLOCK]
    assert isinstance(found, Timekeeper)
    return found


def berlin(now: str, *more: InterfaceClass) -> World:
    return World(more, zone=BERLIN, now_us=at(now))


def invoke(world: World, index: int, argument: Data = ZERO) -> None:
    world.life.inside.invoke(8, CLOCK, index, argument)


@pytest.mark.parametrize(
    ("zone", "now", "hour", "deviation", "status"),
    [
        (BERLIN, "2026-01-15T12:00", 13, -60, 0),
        (BERLIN, "2026-07-15T12:00", 14, -120, 0x80),
        (BERLIN, "2026-03-29T00:59:59", 1, -60, 0),
        (BERLIN, "2026-03-29T01:00:00", 3, -120, 0x80),
        (BERLIN, "2026-10-25T00:59:59", 2, -120, 0x80),
        (BERLIN, "2026-10-25T01:00:00", 2, -60, 0),
        (SYDNEY, "2026-01-15T12:00", 23, -660, 0x80),
        (SYDNEY, "2026-04-04T16:00", 2, -600, 0),
    ],
)
def test_what_is_shown(zone: object, now: str, hour: int, deviation: int, status: int) -> None:
    world = World([], zone=zone, now_us=at(now))  # type: ignore[arg-type]
    shown = clock(world).time
    assert (shown.hour, shown.deviation_minutes) == (hour, deviation)
    assert shown.clock_status == clock(world).status == status


def written(world: World, **fields: int | ClockStatus | None) -> None:
    none = dict.fromkeys(("year", "month", "day", "hour", "minute", "second", "hundredths"))
    value = CosemDateTime(**{**none, **fields})  # type: ignore[arg-type]
    world.life.inside.write(8, CLOCK, 2, OctetString(value.encode()))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"hour": 9, "minute": 30, "second": 0, "hundredths": 0}, "2026-01-15T08:30"),
        ({"year": 2027, "month": 2, "day": 3}, "2027-02-03T12:00:07.250000"),
        ({"second": 0, "hundredths": 0}, "2026-01-15T12:00"),
        (
            {"hour": 9, "minute": 0, "second": 0, "hundredths": 0, "deviation_minutes": 0},
            "2026-01-15T09:00",
        ),
        (
            {"month": 7, "hour": 9, "minute": 0, "second": 0, "hundredths": 0},
            "2026-07-15T07:00",
        ),
    ],
)
def test_only_what_is_specified_changes(fields: dict[str, int], expected: str) -> None:
    world = berlin("2026-01-15T12:00:07.250000")
    written(world, **fields)
    assert world.calendar.at_us == at(expected)


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (None, "2026-10-25T00:30"),
        (ClockStatus.DAYLIGHT_SAVING_ACTIVE, "2026-10-25T00:30"),
        (ClockStatus(0), "2026-10-25T01:30"),
    ],
)
def test_the_hour_that_comes_twice(status: ClockStatus | None, expected: str) -> None:
    world = berlin("2026-10-25T05:00")
    written(world, hour=2, minute=30, second=0, hundredths=0, clock_status=status)
    assert world.calendar.at_us == at(expected)


def test_a_day_that_is_not_there_is_refused() -> None:
    world = berlin("2026-01-15T12:00")
    with pytest.raises(Refused) as refused:
        written(world, month=2, day=30)
    assert refused.value.result == DataAccessResult.TYPE_UNMATCHED
    assert world.calendar.at_us == at("2026-01-15T12:00")


def test_doubts_stay_until_the_time_is_set() -> None:
    world = berlin("2026-07-15T12:00")
    keeper(world).distrust(ClockStatus.DOUBTFUL_VALUE)
    assert clock(world).status == 0x82
    assert clock(world).time.clock_status == 0x82

    again = berlin("2026-07-15T12:00")
    again.life.restore(world.life.state())
    assert clock(again).status == 0x82
    written(again, hour=1)
    assert clock(again).status == 0x80


@pytest.mark.parametrize(
    ("method", "now", "expected"),
    [
        (1, "2026-01-15T12:07:29", "2026-01-15T12:00"),
        (1, "2026-01-15T12:07:30", "2026-01-15T12:15"),
        (1, "2026-01-15T23:59:00", "2026-01-16T00:00"),
        (3, "2026-01-15T12:07:29.990000", "2026-01-15T12:07"),
        (3, "2026-01-15T12:07:30", "2026-01-15T12:08"),
        (2, "2026-01-15T12:14", "2026-01-15T12:00"),
        (2, "2026-01-15T12:16", "2026-01-15T12:30"),
    ],
)
def test_adjusting_to_the_nearest(method: int, now: str, expected: str) -> None:
    period = ProfileGeneric(Obis(1, 0, 99, 1, 0, 255), capture_objects=(), capture_period=1800)
    world = berlin(now, period)
    invoke(world, method)
    assert world.calendar.at_us == at(expected)


def test_the_measuring_period_is_a_quarter_where_there_is_no_load_profile() -> None:
    world = berlin("2026-01-15T12:14")
    invoke(world, 2)
    assert world.calendar.at_us == at("2026-01-15T12:15")


def preset(world: World, *hours: int) -> None:
    def local(hour: int) -> CosemDateTime:
        return CosemDateTime(year=2026, month=1, day=15, hour=hour, minute=0)

    value = PresetTime(*map(local, hours))
    octets = Structure(OctetString(each.encode()) for each in value)
    invoke(world, 5, octets)


def test_the_preset_time_is_taken_once_within_its_window() -> None:
    world = berlin("2026-01-15T12:00")  # 13:00
    with pytest.raises(Refused) as refused:
        invoke(world, 4)
    assert refused.value.result == ActionResult.OBJECT_UNAVAILABLE

    preset(world, 15, 14, 16)
    with pytest.raises(Refused) as refused:
        invoke(world, 4)
    assert refused.value.result == ActionResult.TEMPORARY_FAILURE

    later = berlin("2026-01-15T13:30")
    later.life.restore(world.life.state())
    invoke(later, 4)
    assert later.calendar.at_us == at("2026-01-15T14:00")
    with pytest.raises(Refused):
        invoke(later, 4)


def test_a_preset_time_that_is_no_day_is_refused() -> None:
    world = berlin("2026-01-15T12:00")
    never = OctetString(bytes.fromhex("07ea021eff0c000000800000"))
    with pytest.raises(Refused):
        invoke(world, 5, Structure((never, never, never)))


@pytest.mark.parametrize("seconds", [-900, -1, 0, 900])
def test_shifting(seconds: int) -> None:
    world = berlin("2026-01-15T12:00")
    invoke(world, 6, Long(seconds))
    assert world.calendar.at_us == at("2026-01-15T12:00") + seconds * 1_000_000


@pytest.mark.parametrize("seconds", [-901, 901, 32767])
def test_shifting_further_is_refused(seconds: int) -> None:
    world = berlin("2026-01-15T12:00")
    with pytest.raises(Refused) as refused:
        invoke(world, 6, Long(seconds))
    assert refused.value.result == ActionResult.SCOPE_OF_ACCESS_VIOLATED


def test_a_written_zone_holds_at_once_and_an_impossible_one_is_refused() -> None:
    world = berlin("2026-07-15T12:00")
    world.life.inside.write(8, CLOCK, 3, Long(-120))
    assert clock(world).time.hour == 15
    world.life.inside.write(8, CLOCK, 8, value=False)
    assert clock(world).time.hour == 14
    for index, value in ((3, Long(900)), (7, Integer(125))):
        with pytest.raises(Refused):
            world.life.inside.write(8, CLOCK, index, value)
    assert clock(world).time_zone == -120


def test_once_the_calendar_was_set_all_actors_are_due() -> None:
    world = berlin("2026-01-15T12:00")
    assert world.life.actors.due_us() is None
    invoke(world, 6, Long(-900))
    assert world.life.actors.due_us() == 0
    world.tick()
    assert world.life.actors.due_us() is None


def test_a_clock_that_does_not_know_its_zone_shows_utc() -> None:
    world = berlin("2026-07-15T12:00")
    clock(world).values[3] = -0x8000
    assert (clock(world).time.hour, clock(world).time.deviation_minutes) == (12, 0)
