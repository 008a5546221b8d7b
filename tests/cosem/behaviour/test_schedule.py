# SPDX-License-Identifier: Apache-2.0
"""Schedules and special days."""

from datetime import date

import pytest

from cosem.behaviour.life import BERLIN, World, at
from cosem.behaviour.schedules import TABLE, Noted
from openami.cosem.behaviour.due import Next
from openami.cosem.behaviour.localtime import DAY_US, is_between, last_date
from openami.cosem.behaviour.special_days import SPECIAL_DAYS, SpecialDays
from openami.cosem.classes.tariff import Schedule, ScheduleEntry, SpecialDay, SpecialDaysTable
from openami.cosem.model import Refused
from openami.dlms.data import (
    BitString,
    LongUnsigned,
    OctetString,
    Structure,
    Unsigned,
)
from openami.dlms.datetimes import CosemDate
from openami.dlms.obis import Obis

SCHEDULE = Obis(0, 0, 12, 0, 0, 255)
ALWAYS = "ffffffffff"


def entry(
    index: int,
    hour: int,
    *,
    window: int = 0,
    weekdays: str = "1111111",
    specdays: str = "",
    begin: str = ALWAYS,
    end: str = ALWAYS,
    enable: bool = True,
) -> ScheduleEntry:
    return ScheduleEntry(
        index,
        enable,
        TABLE,
        index,
        bytes((hour, 0, 0, 0)),
        window,
        BitString.from_bits(weekdays),
        BitString.from_bits(specdays),
        bytes.fromhex(begin),
        bytes.fromhex(end),
    )


def world(
    *entries: ScheduleEntry, now: str = "2026-03-01T23:30", special: tuple[SpecialDay, ...] = ()
) -> tuple[World, Noted]:
    noted = Noted()
    objects = (
        Schedule(SCHEDULE, entries=entries),
        SpecialDaysTable(SPECIAL_DAYS, entries=special),
    )
    return noted.world(*objects, zone=BERLIN, now_us=at(now)), noted


def ran(here: tuple[World, Noted], until: str) -> list[tuple[int, str]]:
    here[0].run_to(at(until))
    return here[1].taken()


def test_entries_run_on_their_weekdays_between_their_dates() -> None:
    here = world(
        entry(1, 6, weekdays="1010000"),
        entry(2, 7, begin="07ea0303ff", end="07ea0304ff"),
        entry(3, 8, enable=False),
    )
    assert ran(here, "2026-03-08T12:00") == [
        (1, "2026-03-02T06:00"),
        (2, "2026-03-03T07:00"),
        (1, "2026-03-04T06:00"),
        (2, "2026-03-04T07:00"),
    ]


def test_entries_of_the_same_time_run_in_the_order_of_their_numbers() -> None:
    here = world(entry(2, 6), entry(1, 6))
    assert ran(here, "2026-03-02T12:00") == [(1, "2026-03-02T06:00"), (2, "2026-03-02T06:00")]


def test_on_a_special_day_only_its_entries_run() -> None:
    special = (SpecialDay(1, bytes.fromhex("ffff0303ff"), 2),)
    here = world(entry(1, 6), entry(2, 7, weekdays="0000000", specdays="001"), special=special)
    assert ran(here, "2026-03-04T12:00") == [
        (1, "2026-03-02T06:00"),
        (2, "2026-03-03T07:00"),
        (1, "2026-03-04T06:00"),
    ]


@pytest.mark.parametrize(
    ("window", "back", "expected"),
    [
        (0, "2026-03-02T05:00:30", True),  # a tick that is a little late
        (0, "2026-03-02T05:02", False),
        (30, "2026-03-02T05:30", True),
        (30, "2026-03-02T05:31", False),
        (0xFFFE, "2026-03-20T12:00", True),
        (0xFFFE, "2026-06-20T12:00", False),
        (0xFFFF, "2026-06-20T12:00", True),
    ],
)
def test_a_validity_window_says_what_is_made_up_for(
    window: int,
    back: str,
    expected: bool,  # noqa: FBT001
) -> None:
    here = world(entry(1, 6, window=window, begin="07ea0302ff", end="07ea0302ff"))
    here[0].tick(at("2026-03-02T04:00"))
    here[0].tick(at(back))
    assert bool(here[1].taken()) is expected
    here[0].tick(at(back) + 1)
    assert here[1].taken() == []


def test_of_each_entry_the_latest_missed_time_is_made_up_for_in_order() -> None:
    here = world(entry(1, 9, window=0xFFFF), entry(2, 6, window=0xFFFF))
    here[0].tick(at("2026-03-04T12:00"))
    assert [number for number, _ in here[1].taken()] == [2, 1]


def test_a_restart_makes_up_and_a_clock_set_back_repeats() -> None:
    here = world(entry(1, 6, window=60))
    ran(here, "2026-03-02T04:00")
    again = world(entry(1, 6, window=60), now="2026-03-02T05:30")
    again[0].life.restore(here[0].life.state())
    again[0].tick()
    assert again[1].taken() == [(1, "2026-03-02T06:30")]
    again[0].tick(at("2026-03-02T05:20"))  # a synchronisation
    again[0].tick(at("2026-03-02T05:31"))
    assert again[1].taken() == []
    again[0].tick(at("2026-03-02T04:00"))
    assert ran(again, "2026-03-02T06:00") == [(1, "2026-03-02T06:00")]


def test_skipped_hours_are_carried_out_and_repeated_ones_once() -> None:
    spring = world(entry(1, 2), now="2026-03-28T12:00")
    assert ran(spring, "2026-03-29T12:00") == [(1, "2026-03-29T03:00")]
    autumn = world(entry(1, 2), now="2026-10-24T12:00")
    assert ran(autumn, "2026-10-25T12:00") == [(1, "2026-10-25T02:00")]


def test_inserting_deleting_enabling() -> None:
    here = world(entry(1, 6), entry(3, 8))
    inside, row = here[0].life.inside, here[0].device[SCHEDULE]
    assert isinstance(row, Schedule)
    kind = Schedule.insert.argument
    inside.invoke(10, SCHEDULE, 2, kind.to_data(entry(2, 7)))
    inside.invoke(10, SCHEDULE, 2, kind.to_data(entry(3, 9)))
    assert [(each.entry_index, each.switch_time[0]) for each in row.entries] == [
        (1, 6),
        (2, 7),
        (3, 9),
    ]
    numbers = Structure(map(LongUnsigned, (1, 3, 2, 2)))
    inside.invoke(10, SCHEDULE, 1, numbers)
    assert [each.enable for each in row.entries] == [False, True, False]
    inside.invoke(10, SCHEDULE, 1, Structure(map(LongUnsigned, (0, 0, 3, 9))))
    assert [each.enable for each in row.entries] == [False, True, True]
    assert ran(here, "2026-03-02T12:00") == [(2, "2026-03-02T07:00"), (3, "2026-03-02T09:00")]
    inside.invoke(10, SCHEDULE, 3, Structure(map(LongUnsigned, (2, 9))))
    assert [each.entry_index for each in row.entries] == [1]
    with pytest.raises(Refused):
        inside.invoke(10, SCHEDULE, 2, kind.to_data(entry(4, 24)))


def test_special_days_make_room_for_their_like() -> None:
    here = world(special=(SpecialDay(1, bytes.fromhex("ffff0c19ff"), 2),))
    inside, table = here[0].life.inside, here[0].device[SPECIAL_DAYS]
    assert isinstance(table, SpecialDaysTable)

    def insert(index: int, day: str, day_id: int) -> None:
        octets = OctetString(bytes.fromhex(day))
        parameter = Structure((LongUnsigned(index), octets, Unsigned(day_id)))
        inside.invoke(11, SPECIAL_DAYS, 1, parameter)

    insert(3, "ffff0101ff", 5)
    insert(2, "ffff0c19ff", 4)  # the same date as number 1
    insert(3, "ffff0102ff", 6)  # the same number
    assert [tuple(each[::2]) for each in table.entries] == [(2, 4), (3, 6)]
    unit = here[0].life.acting[SPECIAL_DAYS]
    assert isinstance(unit, SpecialDays)
    days = [date(2026, 12, 25), date(2026, 1, 1), date(2026, 1, 2)]
    assert [unit.day_id(day) for day in days] == [4, None, 6]
    inside.invoke(11, SPECIAL_DAYS, 2, LongUnsigned(2))
    assert unit.day_id(days[0]) is None
    with pytest.raises(Refused):
        inside.invoke(11, SPECIAL_DAYS, 2, LongUnsigned(2))
    with pytest.raises(Refused):
        insert(4, "ffff0d01ff", 1)


@pytest.mark.parametrize(
    ("day", "begin", "end", "expected"),
    [
        ("2026-06-15", ALWAYS, ALWAYS, True),
        ("2026-06-15", "ffff0601ff", "ffff081fff", True),
        ("2026-09-01", "ffff0601ff", "ffff081fff", False),
        ("2026-12-31", "ffff0b01ff", "ffff021cff", True),  # over the new year
        ("2027-02-28", "ffff0b01ff", "ffff021cff", True),
        ("2027-03-01", "ffff0b01ff", "ffff021cff", False),
        ("2026-02-28", "ffff0201ff", "ffff02feff", True),
        ("2026-06-15", "07ea0701ff", ALWAYS, False),
        ("2026-06-15", "07e90701ff", "07ea060fff", True),
    ],
)
def test_days_between_dates(day: str, begin: str, end: str, expected: bool) -> None:  # noqa: FBT001
    first, last = (CosemDate.decode(bytes.fromhex(text)) for text in (begin, end))
    assert is_between(date.fromisoformat(day), first, last) is expected


@pytest.mark.parametrize(
    ("rule", "day", "expected"),
    [
        (ALWAYS, "2026-06-15", date.min),
        ("ffff0401ff", "2026-06-15", date(2026, 4, 1)),
        ("ffff0401ff", "2026-03-31", date(2025, 4, 1)),
        ("ffff021dff", "2026-03-31", date(2024, 2, 29)),
        ("07ea0701ff", "2026-06-15", None),
        ("fffffffe07", "2026-06-15", date(2026, 5, 31)),
    ],
)
def test_the_last_day_that_matches(rule: str, day: str, expected: date | None) -> None:
    found = last_date(CosemDate.decode(bytes.fromhex(rule)), date.fromisoformat(day), BERLIN)
    assert found == expected


def test_what_is_due_is_looked_for_again_only_if_that_may_have_changed() -> None:
    asked: list[int] = []

    def find(since_us: int) -> int | None:
        asked.append(since_us)
        return None if since_us >= 100 else 100

    known = Next()
    assert [known.after(since, "key", find) for since in (0, 50, 99)] == [100, 100, 100]
    assert asked == [0]
    assert known.after(100, "key", find) is None
    assert known.after(101, "key", find) is None
    assert asked == [0, 100]
    assert known.after(100 + DAY_US, "key", find) is None  # nothing for a day may be something then
    assert known.after(50, "key", find) == 100  # set back
    assert known.after(60, "other", find) == 100
    known.forget()
    assert known.after(61, "other", find) == 100
    assert asked == [0, 100, 100 + DAY_US, 50, 60, 61]
