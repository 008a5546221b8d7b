# SPDX-License-Identifier: Apache-2.0
"""The activity calendar, alone and as the head of a whole tariff."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosem.behaviour.life import BERLIN, SYDNEY, World, at
from cosem.behaviour.schedules import TABLE, Noted
from openami.cosem.behaviour.activity import Activities
from openami.cosem.behaviour.localtime import MINUTE_US, Zone
from openami.cosem.behaviour.registers import Quantity
from openami.cosem.behaviour.special_days import SPECIAL_DAYS
from openami.cosem.classes.measurement import Register, ScalerUnit
from openami.cosem.classes.references import ObjectReference
from openami.cosem.classes.tariff import (
    ActionSpecification,
    ActivityCalendar,
    DayProfile,
    DayProfileAction,
    RegisterActivation,
    RegisterActMask,
    Script,
    ScriptTable,
    Season,
    SpecialDay,
    SpecialDaysTable,
    Week,
)
from openami.cosem.model import Refused
from openami.dlms.data import DoubleLongUnsigned, Integer, OctetString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

CALENDAR = Obis(0, 0, 13, 0, 0, 255)
NEVER = CosemDateTime.decode(b"\xff" * 9 + b"\x80\x00\xff")


def day(number: int, *starts: tuple[int, int]) -> DayProfile:
    return DayProfile(
        number,
        tuple(DayProfileAction(bytes((hour, 0, 0, 0)), TABLE, script) for hour, script in starts),
    )


def start(month: int | None, number: int | None) -> CosemDateTime:
    return CosemDateTime(year=None, month=month, day=number, hour=0, minute=0)


DAYS = (day(1, (6, 1), (22, 2)), day(2, (0, 2)), day(3, (8, 3)), day(4))
WEEKS = (Week(b"w", 1, 1, 1, 1, 1, 2, 2), Week(b"s", 3, 3, 3, 3, 3, 3, 4))
SEASONS = (Season(b"winter", start(10, 1), b"w"), Season(b"summer", start(4, 1), b"s"))
OTHER_DAYS = (day(1, (0, 7)), day(2, (0, 7)), day(3, (0, 7)), day(4, (0, 7)))


def calendar(**more: object) -> ActivityCalendar:
    values: dict[str, object] = {
        "calendar_name_active": b"one",
        "season_profile_active": SEASONS,
        "week_profile_table_active": WEEKS,
        "day_profile_table_active": DAYS,
        "calendar_name_passive": b"two",
        "season_profile_passive": SEASONS,
        "week_profile_table_passive": WEEKS,
        "day_profile_table_passive": OTHER_DAYS,
        "activate_passive_calendar_time": NEVER,
    }
    return ActivityCalendar(CALENDAR, **{**values, **more})


def world(
    now: str,
    row: ActivityCalendar | None = None,
    *special: SpecialDay,
    zone: Zone = BERLIN,
) -> tuple[World, Noted]:
    noted = Noted()
    table = SpecialDaysTable(SPECIAL_DAYS, entries=special)
    return noted.world(row or calendar(), table, zone=zone, now_us=at(now)), noted


def ran(here: tuple[World, Noted], until: str) -> list[tuple[int, str]]:
    here[0].run_to(at(until))
    return here[1].taken()


@pytest.mark.parametrize(
    ("now", "until", "expected"),
    [
        (  # a Friday and a Saturday in winter; what holds is established first
            "2026-01-09T03:00",
            "2026-01-10T12:00",
            [
                (2, "2026-01-09T04:00"),
                (1, "2026-01-09T06:00"),
                (2, "2026-01-09T22:00"),
                (2, "2026-01-10T00:00"),
            ],
        ),
        (  # the summer season begins on Wednesday, 1 April; its day begins at 8
            "2026-03-31T12:00",
            "2026-04-01T12:00",
            [(1, "2026-03-31T14:00"), (2, "2026-03-31T22:00"), (3, "2026-04-01T08:00")],
        ),
        (  # a Sunday without actions: Saturday's goes on
            "2026-04-04T12:00",
            "2026-04-06T12:00",
            [(3, "2026-04-04T14:00"), (3, "2026-04-06T08:00")],
        ),
    ],
)
def test_actions_begin_by_season_week_and_day(
    now: str, until: str, expected: list[tuple[int, str]]
) -> None:
    here = world(now)
    here[0].tick()
    assert ran(here, until) == expected


def test_a_special_day_has_its_own_profile() -> None:
    here = world("2026-01-07T12:00", None, SpecialDay(1, bytes.fromhex("ffff0108ff"), 3))
    here[0].tick()
    found = ran(here, "2026-01-09T06:00")
    assert found[1:] == [
        (2, "2026-01-07T22:00"),
        (3, "2026-01-08T08:00"),
        (1, "2026-01-09T06:00"),
    ]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        ((day(1, (2, 1), (3, 2)), day(2, (2, 1), (3, 2))), ["03:00", "03:00"]),
    ],
)
def test_actions_of_a_skipped_hour_are_made_up_for(
    days: tuple[DayProfile, ...], expected: list[str]
) -> None:
    row = calendar(day_profile_table_active=days)
    here = world("2026-03-28T12:00", row)
    here[0].tick()
    here[1].taken()
    found = ran(here, "2026-03-29T12:00")
    # Both begin at the change: the later one holds.
    assert found[-1] == (2, "2026-03-29T03:00")
    assert len(found) <= len(expected)


def test_actions_of_a_repeated_hour_are_not_repeated() -> None:
    days = (day(1, (2, 1), (3, 2)), day(2, (2, 1), (3, 2)))
    here = world("2026-10-24T12:00", calendar(day_profile_table_active=days))
    here[0].tick()
    here[1].taken()
    assert ran(here, "2026-10-25T12:00") == [(1, "2026-10-25T02:00"), (2, "2026-10-25T03:00")]


def test_after_a_power_failure_only_what_holds_is_executed() -> None:
    here = world("2026-01-09T03:00")
    here[0].tick()
    here[1].taken()
    again = world("2026-01-12T12:00")
    again[0].life.restore(here[0].life.state())
    again[0].tick()
    assert again[1].taken() == [(1, "2026-01-12T13:00")]
    again[0].tick(at("2026-01-12T12:01"))
    assert again[1].taken() == []
    once_more = world("2026-01-12T13:00")
    once_more[0].life.restore(again[0].life.state())
    once_more[0].tick()
    assert once_more[1].taken() == []


def test_a_clock_that_is_set_brings_the_tariff_of_its_new_time() -> None:
    here = world("2026-01-09T12:00")
    here[0].tick()
    here[0].tick(at("2026-01-09T21:30"))
    here[0].tick(at("2026-01-09T20:55"))
    here[0].tick(at("2026-01-09T03:00"))
    assert [number for number, _ in here[1].taken()] == [1, 2, 1, 2]


def test_the_passive_calendar_becomes_active_by_method() -> None:
    row = calendar()
    here = world("2026-01-09T12:00", row)
    here[0].tick()
    here[1].taken()
    here[0].life.inside.invoke(20, CALENDAR, 1, Integer(0))
    assert (row.calendar_name_active, row.day_profile_table_active) == (b"two", OTHER_DAYS)
    here[0].tick()
    assert here[1].taken() == [(7, "2026-01-09T13:00")]


def moment(text: str) -> CosemDateTime:
    return CosemDateTime.from_utc(BERLIN.shown(at(text)).to_utc(), deviation_minutes=-60)


def test_the_passive_calendar_becomes_active_at_its_time() -> None:
    row = calendar()
    here = world("2026-01-09T12:00", row)
    here[0].tick()
    here[1].taken()
    when = OctetString(moment("2026-01-09T14:30").encode())
    here[0].life.inside.write(20, CALENDAR, 10, when)
    assert here[0].life.actors.due_us() == at("2026-01-09T14:30")
    # The action of midnight is the one that holds since then.
    assert ran(here, "2026-01-09T20:00") == [(7, "2026-01-09T15:30")]
    assert row.calendar_name_active == b"two"
    # It is carried out once, also over a restart.
    state = here[0].life.state()
    row.calendar_name_active = b"three"
    here[0].tick()
    again = world("2026-01-09T20:00", row)
    again[0].life.restore(state)
    again[0].tick()
    assert row.calendar_name_active == b"three"


def test_a_time_of_activation_in_a_dump_that_is_long_past_activates_nothing() -> None:
    row = calendar(activate_passive_calendar_time=moment("2020-01-01T00:00"))
    here = world("2026-01-09T12:00", row)
    here[0].tick()
    assert row.calendar_name_active == b"one"


@pytest.mark.parametrize("octets", ["07eaffffffffffffffffffff", "07ea021eff00000000800000"])
def test_half_a_time_of_activation_is_refused(octets: str) -> None:
    here = world("2026-01-09T12:00")
    with pytest.raises(Refused):
        here[0].life.inside.write(20, CALENDAR, 10, OctetString(bytes.fromhex(octets)))
    here[0].life.inside.write(20, CALENDAR, 10, OctetString(NEVER.encode()))


def test_which_day_profile_a_day_has() -> None:
    here = world("2026-01-09T12:00")
    unit = here[0].life.acting[CALENDAR]
    assert isinstance(unit, Activities)
    days = [date(2026, 1, 9), date(2026, 1, 10), date(2026, 4, 1), date(2026, 4, 5)]
    assert [unit.day_id(each) for each in days] == [1, 2, 3, 4]
    empty = world("2026-01-09T12:00", calendar(week_profile_table_active=()))
    unit = empty[0].life.acting[CALENDAR]
    assert isinstance(unit, Activities)
    assert unit.day_id(days[0]) is None
    empty[0].tick()
    assert empty[1].taken() == []


# A whole tariff: the calendar runs scripts, the scripts write masks, the masks let registers
# count, and the energy of each interval is found in the register of its tariff.

MASKS = Obis(0, 0, 14, 0, 0, 255)
TOTAL, HIGH, LOW = (Obis(1, 0, 1, 8, rate, 255) for rate in range(3))


def tariff(zone: Zone, now: str) -> World:
    def mask(number: int, name: bytes) -> Script:
        return Script(number, (ActionSpecification(1, 6, MASKS, 4, OctetString(name)),))

    objects = [
        calendar(
            season_profile_active=(Season(b"all", start(None, None), b"w"),),
            day_profile_table_active=(day(1, (6, 1), (22, 2)), day(2, (0, 2), (2, 1), (4, 2))),
        ),
        ScriptTable(TABLE, scripts=(mask(1, b"high"), mask(2, b"low"))),
        RegisterActivation(
            MASKS,
            register_assignment=(ObjectReference(3, HIGH), ObjectReference(3, LOW)),
            mask_list=(RegisterActMask(b"high", (1,)), RegisterActMask(b"low", (2,))),
            active_mask=b"low",
        ),
        *(
            Register(at, value=DoubleLongUnsigned(0), scaler_unit=ScalerUnit(0, 30))
            for at in (TOTAL, HIGH, LOW)
        ),
    ]
    return World(objects, zone=zone, now_us=at(now))


@pytest.mark.parametrize(
    ("zone", "midnight", "quarters", "high_quarters"),
    [
        (BERLIN, "2026-01-08T23:00", 96, 64),  # a Friday
        (BERLIN, "2026-01-09T23:00", 96, 8),  # a Saturday: high from 2 to 4
        (BERLIN, "2026-03-28T23:00", 92, 4),  # 2 to 3 is skipped
        (BERLIN, "2026-10-24T22:00", 100, 12),  # 2 to 3 comes twice
        (SYDNEY, "2026-10-03T14:00", 92, 4),
        (SYDNEY, "2026-04-04T13:00", 100, 12),
    ],
)
@settings(max_examples=25)
@given(data=st.data())
def test_a_day_of_energy_lands_in_the_register_of_its_tariff(
    zone: Zone, midnight: str, quarters: int, high_quarters: int, data: st.DataObject
) -> None:
    intervals = data.draw(
        st.lists(st.integers(0, 5000), min_size=quarters, max_size=quarters), label="Wh"
    )
    world = tariff(zone, midnight)
    meter = Quantity(world.life, TOTAL)
    world.tick()
    expected = {HIGH: 0, LOW: 0}
    high = 0
    for amount in intervals:
        since = world.calendar.at_us
        hour = zone.local(since).hour
        weekend = zone.local(since).weekday() >= 5
        rate = HIGH if (2 <= hour < 4 if weekend else 6 <= hour < 22) else LOW
        expected[rate] += amount
        high += rate == HIGH
        meter.add(amount, since, since + 15 * MINUTE_US)
        world.tick(since + 15 * MINUTE_US)
    assert high == high_quarters
    assert zone.local(world.calendar.at_us).hour == 0
    found = {each: int(world.device[each].values[2]) for each in (HIGH, LOW)}
    assert found == expected
    assert world.device[TOTAL].values[2] == sum(intervals)
    assert world.reports == []


def test_days_that_become_special_while_an_action_holds() -> None:
    here = world("2026-01-09T12:00", None)
    here[0].tick()
    assert here[1].taken() == [(1, "2026-01-09T13:00")]
    table = here[0].device[SPECIAL_DAYS]
    today = SpecialDay(1, bytes.fromhex("07ea0109ff"), 3)
    table.invoke(SpecialDaysTable.insert, SpecialDaysTable.insert.argument.to_data(today))
    here[0].tick(at("2026-01-09T12:01"))
    assert here[1].taken() == [(3, "2026-01-09T13:01")]
