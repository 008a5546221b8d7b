# SPDX-License-Identifier: Apache-2.0
"""Profiles that capture: periods, clocks that jump, methods, sorting, other columns."""

from typing import Any

import pytest

from cosem.behaviour.life import BERLIN, SYDNEY, World, at
from openami.cosem.behaviour.host import CLOCK
from openami.cosem.behaviour.localtime import Zone
from openami.cosem.classes.measurement import (
    CAPTURE_OBJECT,
    ProfileGeneric,
    ProfileGenericV0,
    Register,
    ScalerUnit,
    SortMethod,
)
from openami.cosem.model import Refused
from openami.cosem.serving.profile import MemoryBuffer
from openami.dlms import data as axdr_data
from openami.dlms.apdu.selective import ByEntry, ByRange, CaptureObject
from openami.dlms.data import (
    Array,
    DoubleLongUnsigned,
    Enum,
    Integer,
    LongUnsigned,
    OctetString,
    Structure,
)
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

PROFILE, OTHER = Obis(1, 0, 99, 1, 0, 255), Obis(1, 0, 99, 2, 0, 255)
ENERGY = Obis(1, 0, 1, 8, 0, 255)
TIME = CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=2)
VALUE = CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=2)


def profile(*columns: CaptureObject, at: Obis = PROFILE, **more: Any) -> ProfileGeneric:
    values = {"capture_period": 900, "profile_entries": 500, **more}
    return ProfileGeneric(at, capture_objects=columns or (TIME, VALUE), **values)


def energy(value: int = 0) -> Register:
    return Register(ENERGY, value=DoubleLongUnsigned(value), scaler_unit=ScalerUnit(0, 30))


def world(*profiles: ProfileGeneric, now: str, zone: Zone = BERLIN, **ports: Any) -> World:
    register = energy()
    here = World([*profiles, register], zone=zone, now_us=at(now), **ports)
    register.bind(Register.value, lambda: DoubleLongUnsigned(here.calendar.at_us // 10**9 % 10**6))
    return here


def rows(of: ProfileGeneric) -> list[Structure]:
    read = of.reader(2)
    assert read is not None
    found = axdr_data.decode(read())
    assert isinstance(found, Array)
    return [row for row in found if isinstance(row, Structure)]


def times(of: ProfileGeneric) -> list[str]:
    found = []
    for row in rows(of):
        assert isinstance(row[0], bytes)
        shown = CosemDateTime.decode(bytes(row[0]))
        found.append(f"{shown.day:02}.{shown.hour:02}:{shown.minute:02} {shown.deviation_minutes}")
    return found


def test_a_row_at_the_end_of_each_period() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T11:45"))
    assert times(row) == ["09.12:15 -60", "09.12:30 -60", "09.12:45 -60"]
    assert row.entries_in_use == 3
    assert row.sort_object == TIME


@pytest.mark.parametrize(
    ("zone", "midnight", "count"),
    [
        (BERLIN, "2026-03-28T23:00", 92),
        (BERLIN, "2026-10-24T22:00", 100),
        (SYDNEY, "2026-04-04T13:00", 100),
        (SYDNEY, "2026-10-03T14:00", 92),
        (BERLIN, "2028-02-28T23:00", 96),
    ],
)
def test_days_of_23_and_25_hours(zone: Zone, midnight: str, count: int) -> None:
    quarters, days = profile(), profile(at=OTHER, capture_period=86_400)
    here = world(quarters, days, now=midnight, zone=zone)
    here.run_to(at(midnight) + count * 900 * 1_000_000)
    assert len(set(times(quarters))) == count == quarters.entries_in_use
    assert [each[3:8] for each in times(days)] == ["00:00"]


def test_a_late_tick_is_captured_under_the_end_of_its_period_and_a_missed_one_not() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07")
    here.tick(at("2026-01-09T11:15:40"))
    here.tick(at("2026-01-09T11:50"))  # 11:30 and 11:45 were missed
    here.tick(at("2026-01-09T12:00:30"))
    assert times(row) == ["09.12:15 -60", "09.13:00 -60"]
    assert rows(row)[0][0] == OctetString(BERLIN.shown(at("2026-01-09T11:15")).encode())


def test_clocks_that_jump() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T11:16"))
    here.tick(at("2026-01-09T11:12"))  # a synchronisation: 11:15 is not captured again
    here.run_to(at("2026-01-09T11:31"))
    here.tick(at("2026-01-09T13:10"))
    here.run_to(at("2026-01-09T13:16"))
    here.tick(at("2026-01-09T11:10"))
    here.run_to(at("2026-01-09T11:16"))
    assert [each[3:8] for each in times(row)] == ["12:15", "12:30", "14:15", "12:15"]


def test_by_method_and_by_script() -> None:
    row = profile(capture_period=0)
    here = world(row, now="2026-01-09T11:07:30")
    assert here.life.actors.due_us() is None
    here.life.inside.invoke(7, PROFILE, 2, Integer(0))
    assert times(row) == ["09.12:07 -60"]
    here.life.inside.invoke(7, PROFILE, 1, Integer(0))
    assert rows(row) == []


def test_the_ring_keeps_the_newest() -> None:
    row = profile(profile_entries=2)
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T12:00"))
    assert [each[3:8] for each in times(row)] == ["12:45", "13:00"]


def test_other_columns_and_elements() -> None:
    columns = (
        CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=3, data_index=2),
        CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=3, data_index=3),
        CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=3, data_index=0x1001),
        CaptureObject(class_id=3, instance_id=ENERGY, attribute_id=0),
        CaptureObject(class_id=3, instance_id=OTHER, attribute_id=2),
        CaptureObject(class_id=3, instance_id=OTHER, attribute_id=0),
        CaptureObject(class_id=8, instance_id=CLOCK, attribute_id=3),
    )
    row = profile(*columns, capture_period=0)
    here = world(row, now="2026-01-09T11:07")
    here.device[ENERGY].bind(Register.value, lambda: DoubleLongUnsigned(5))
    here.life.inside.invoke(7, PROFILE, 2, Integer(0))
    (captured,) = rows(row)
    everything = Structure(
        (
            OctetString(ENERGY.encode()),
            DoubleLongUnsigned(5),
            Structure((Integer(0), Enum(30))),
        )
    )
    assert captured[:6] == (30, None, None, everything, None, None)
    assert captured[6] == -60


def test_sorted_by_a_value_and_selected_by_it() -> None:
    row = profile(
        capture_period=0, sort_method=SortMethod.LARGEST, sort_object=VALUE, profile_entries=3
    )
    here = world(row, now="2026-01-09T11:00")
    values = iter([3, 9, 1, 7, 9])
    here.device[ENERGY].bind(Register.value, lambda: DoubleLongUnsigned(next(values)))
    for minute in range(5):
        here.calendar.at_us = at(f"2026-01-09T11:0{minute}")
        here.life.inside.invoke(7, PROFILE, 2, Integer(0))
    assert [(each[3:8], row[1]) for each, row in zip(times(row), rows(row), strict=True)] == [
        ("12:01", 9),
        ("12:04", 9),
        ("12:03", 7),
    ]
    by_value = ByRange(
        restricting_object=VALUE,
        from_value=DoubleLongUnsigned(7),
        to_value=DoubleLongUnsigned(8),
    )
    found = axdr_data.decode(row.selections[2](by_value.access()))
    assert found == [rows(row)[2]]
    start = OctetString(BERLIN.shown(at("2026-01-09T11:02")).encode())
    by_time = ByRange(restricting_object=TIME, from_value=start, to_value=OctetString(b"\xff" * 12))
    assert axdr_data.decode(row.selections[2](by_time.access())) == rows(row)[1:]
    first = axdr_data.decode(row.selections[2](ByEntry(from_entry=1, to_entry=1).access()))
    assert first == [rows(row)[0]]


def test_a_sort_object_that_is_not_captured_sorts_nothing_and_is_told() -> None:
    row = profile(TIME, sort_method=SortMethod.LARGEST, sort_object=VALUE)
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T11:30"))
    assert len(times(row)) == 2
    assert "sort_object is no captured column" in here.reports[0].what


@pytest.mark.parametrize(
    ("index", "value"),
    [
        (3, Array((CAPTURE_OBJECT.to_data(VALUE),))),
        (4, DoubleLongUnsigned(1800)),
        (5, Enum(2)),
        (6, CAPTURE_OBJECT.to_data(VALUE)),
        (8, DoubleLongUnsigned(7)),
    ],
)
def test_what_describes_the_rows_clears_them(index: int, value: Any) -> None:
    row, over = (
        profile(),
        profile(CaptureObject(class_id=7, instance_id=PROFILE, attribute_id=7), at=OTHER),
    )
    here = world(row, over, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T11:30"))
    assert (row.entries_in_use, over.entries_in_use) == (2, 2)
    here.life.inside.write(7, PROFILE, index, value)
    assert (row.entries_in_use, over.entries_in_use) == (0, 0)  # and who captures it
    here.run_to(at("2026-01-09T12:00"))
    assert row.entries_in_use == (1 if index == 4 else 2)
    assert len(rows(row)[0]) == (1 if index == 3 else 2)


def test_a_profile_without_entries_is_refused() -> None:
    here = world(profile(), now="2026-01-09T11:07")
    with pytest.raises(Refused):
        here.life.inside.write(7, PROFILE, 8, DoubleLongUnsigned(0))


def test_rows_outlive_a_restart_in_memory_or_with_the_host() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T11:30"))
    again = profile()
    later = world(again, now="2026-01-09T11:44")
    later.life.restore(here.life.state())
    assert rows(again) == rows(row)
    later.run_to(at("2026-01-09T11:45"))
    assert len(rows(again)) == 3

    kept = MemoryBuffer(10)
    ring = profile()
    here = world(ring, now="2026-01-09T11:07", rows=lambda _profile: kept)
    here.run_to(at("2026-01-09T11:30"))
    assert kept.count() == ring.entries_in_use == 2


def test_rows_of_a_dump_are_there_to_begin_with() -> None:
    told = [
        Structure(
            (OctetString(BERLIN.shown(at(f"2026-01-09T1{hour}:00")).encode()), LongUnsigned(hour))
        )
        for hour in range(3)
    ]
    row = profile()
    row.values[2] = Array([*told, Structure((None,))])
    world(row, now="2026-01-09T13:07")
    assert rows(row) == told
    start = told[1][0]
    by_time = ByRange(restricting_object=TIME, from_value=start, to_value=start)
    assert axdr_data.decode(row.selections[2](by_time.access())) == [told[1]]


def test_null_data_for_what_repeats() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07", null_data=True)
    here.device[ENERGY].bind(Register.value, lambda: DoubleLongUnsigned(5))
    here.run_to(at("2026-01-09T12:00"))
    first, *others = rows(row)
    assert first[1] == 5
    assert others == [Structure((None, None))] * 3
    last = axdr_data.decode(row.selections[2](ByEntry(from_entry=3).access()))
    assert isinstance(last, Array)
    assert last[0] != Structure((None, None))
    assert last[1] == Structure((None, None))


def test_clock_columns_show_local_time_whatever_the_period() -> None:
    row = profile(TIME, capture_period=3600)
    here = world(row, now="2026-10-25T00:00")
    here.run_to(at("2026-10-25T03:00"))
    assert times(row) == ["25.02:00 -60", "25.03:00 -60", "25.04:00 -60"]


def test_a_reader_that_a_server_keeps_finds_other_rows_too() -> None:
    row = profile()
    here = world(row, now="2026-01-09T11:07")
    kept, counted = row.reader(2), row.reader(7)
    assert kept is not None
    assert counted is not None
    here.run_to(at("2026-01-09T11:30"))
    here.life.inside.write(7, PROFILE, 3, Array((CAPTURE_OBJECT.to_data(VALUE),)))
    assert kept() == b"\x01\x00"
    here.run_to(at("2026-01-09T12:00"))
    assert axdr_data.decode(kept()) == Array(rows(row))
    assert axdr_data.decode(counted()) == 2


def test_rows_of_a_dump_with_null_data_are_told_in_full() -> None:
    first = Structure((OctetString(BERLIN.shown(at("2026-01-09T11:00")).encode()), LongUnsigned(7)))
    row = profile()
    row.values[2] = Array([first, Structure((None, None)), Structure((None, LongUnsigned(8)))])
    world(row, now="2026-01-09T13:07")
    assert [each[3:8] for each in times(row)] == ["12:00", "12:15", "12:30"]
    assert [each[1] for each in rows(row)] == [7, 7, 8]


def test_version_0_has_methods_for_what_selective_access_does() -> None:
    row = ProfileGenericV0(
        PROFILE, capture_objects=(TIME, VALUE), capture_period=900, profile_entries=9
    )
    here = world(row, now="2026-01-09T11:07")
    here.run_to(at("2026-01-09T12:00"))
    inside = here.life.inside
    by_entry = ByEntry(from_entry=2, to_entry=3).access().parameters
    assert inside.invoke(7, PROFILE, 4, by_entry) == Array(rows(row)[1:3])
    start = rows(row)[3][0]
    by_range = ByRange(restricting_object=TIME, from_value=start, to_value=start)
    assert inside.invoke(7, PROFILE, 3, by_range.access().parameters) == Array(rows(row)[3:])
    with pytest.raises(Refused):
        inside.invoke(7, PROFILE, 4, None)
