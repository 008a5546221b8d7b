# SPDX-License-Identifier: Apache-2.0
"""Single action schedules: types, wildcards, clocks that jump, hours skipped and repeated."""

import pytest

from cosem.behaviour.life import BERLIN, SYDNEY, World, at
from cosem.behaviour.schedules import Noted, script
from openami.cosem.behaviour.localtime import Zone
from openami.cosem.behaviour.single_action import TYPES, fits
from openami.cosem.classes.time_event import ExecutionTime, SingleActionSchedule
from openami.cosem.model import Refused
from openami.dlms.data import Array, OctetString, Structure
from openami.dlms.obis import Obis

SCHEDULE = Obis(0, 0, 15, 0, 0, 255)
DAILY = "ffffffffff"


def times(*pairs: tuple[str, str]) -> tuple[ExecutionTime, ...]:
    return tuple(ExecutionTime(bytes.fromhex(time), bytes.fromhex(date)) for time, date in pairs)


def world(
    *pairs: tuple[str, str], now: str, zone: Zone = BERLIN, of_type: int = 5
) -> tuple[World, Noted]:
    noted = Noted()
    row = SingleActionSchedule(
        SCHEDULE, executed_script=script(1), type=of_type, execution_time=times(*pairs)
    )
    return noted.world(row, zone=zone, now_us=at(now)), noted


def ran(here: tuple[World, Noted], until: str) -> list[str]:
    here[0].run_to(at(until))
    return [when for _, when in here[1].taken()]


@pytest.mark.parametrize(
    ("pairs", "until", "expected"),
    [
        ([("06000000", DAILY)], "2026-03-03T12:00", ["2026-03-02T06:00", "2026-03-03T06:00"]),
        ([("06000000", "07ea0303ff")], "2026-03-09T12:00", ["2026-03-03T06:00"]),
        (
            [("06000000", "ffffff01ff")],
            "2026-05-02T12:00",
            ["2026-04-01T06:00", "2026-05-01T06:00"],
        ),
        (
            [("00000000", "fffffffeff")],
            "2026-05-02T12:00",
            ["2026-03-31T00:00", "2026-04-30T00:00"],
        ),
        (
            [("06000000", "ffffffff01")],
            "2026-03-10T12:00",
            ["2026-03-02T06:00", "2026-03-09T06:00"],
        ),
        (
            [("ff000000", "07ea0302ff")],
            "2026-03-02T02:30",
            ["2026-03-02T01:00", "2026-03-02T02:00", "2026-03-02T03:00"],
        ),
        (
            [("06000000", "07ea0302ff"), ("07000000", "07ea0302ff")],
            "2026-03-09T12:00",
            ["2026-03-02T06:00", "2026-03-02T07:00"],
        ),
        ([("ffffffff", DAILY)], "2026-03-03T12:00", []),
        ([("06000000", "ffff021dff")], "2029-01-01T00:00", ["2028-02-29T06:00"]),
        ([], "2026-03-03T12:00", []),
    ],
)
def test_a_script_runs_when_its_time_comes(
    pairs: list[tuple[str, str]], until: str, expected: list[str]
) -> None:
    assert ran(world(*pairs, now="2026-03-01T23:30"), until) == expected


@pytest.mark.parametrize(
    ("zone", "time", "now", "until", "expected"),
    [
        # 02:30 is skipped: it happens at 03:00, and once.
        (BERLIN, "021e0000", "2026-03-28T12:00", "2026-03-29T12:00", ["2026-03-29T03:00"]),
        # 02:30 comes twice: it happens the first time.
        (BERLIN, "021e0000", "2026-10-24T12:00", "2026-10-25T12:00", ["2026-10-25T02:30"]),
        (BERLIN, "03000000", "2026-10-24T12:00", "2026-10-25T12:00", ["2026-10-25T03:00"]),
        (SYDNEY, "021e0000", "2026-10-03T00:00", "2026-10-04T00:00", ["2026-10-04T03:00"]),
        (SYDNEY, "021e0000", "2026-04-04T00:00", "2026-04-05T00:00", ["2026-04-05T02:30"]),
    ],
)
def test_hours_that_are_skipped_or_repeated(
    zone: Zone, time: str, now: str, until: str, expected: list[str]
) -> None:
    assert ran(world((time, DAILY), now=now, zone=zone), until) == expected


def test_a_missed_time_is_made_up_for_once() -> None:
    here = world(("06000000", DAILY), now="2026-03-02T04:00")
    here[0].tick(at("2026-03-05T12:00"))
    assert here[1].taken() == [(1, "2026-03-05T13:00")]
    here[0].tick(at("2026-03-05T12:01"))
    assert here[1].taken() == []


def test_a_clock_set_back_a_little_repeats_nothing_and_far_back_repeats_the_day() -> None:
    here = world(("06000000", DAILY), now="2026-03-02T04:00")
    assert ran(here, "2026-03-02T05:05") == ["2026-03-02T06:00"]
    here[0].tick(at("2026-03-02T04:55"))
    assert ran(here, "2026-03-02T06:00") == []
    here[0].tick(at("2026-03-02T04:00"))
    assert ran(here, "2026-03-02T06:00") == ["2026-03-02T06:00"]


def test_a_restart_goes_on() -> None:
    here = world(("06000000", DAILY), now="2026-03-02T04:00")
    ran(here, "2026-03-02T04:30")
    again = world(("06000000", DAILY), now="2026-03-03T12:00")
    again[0].life.restore(here[0].life.state())
    again[0].tick()
    assert again[1].taken() == [(1, "2026-03-03T13:00")]
    fresh = world(("06000000", DAILY), now="2026-03-03T12:00")
    fresh[0].tick()
    assert fresh[1].taken() == []


def test_written_times_hold_from_now_on() -> None:
    here = world(("06000000", DAILY), now="2026-03-02T04:00")
    row = here[0].device[SCHEDULE]
    new = Array(
        Structure((OctetString(time), OctetString(date)))
        for time, date in times(("05000000", DAILY), ("08000000", DAILY))
    )
    row.write(SingleActionSchedule.execution_time, new)
    assert ran(here, "2026-03-02T12:00") == ["2026-03-02T08:00"]
    here[0].calendar.at_us = at("2026-03-03T04:30")  # what is past by now is not made up for
    row.write(SingleActionSchedule.execution_time, new)
    here[0].tick()
    assert here[1].taken() == []
    bad = Array((Structure((OctetString(b"\x19\0\0\0"), OctetString(b"\xff" * 5))),))
    with pytest.raises(Refused):
        row.write(SingleActionSchedule.execution_time, bad)
    assert ran(here, "2026-03-03T12:00") == ["2026-03-03T08:00"]


@pytest.mark.parametrize(
    ("pairs", "types"),
    [
        ([], {1, 2, 3, 4, 5}),
        ([("06000000", DAILY)], {1, 3, 5}),
        ([("06000000", "07ea0302ff")], {1, 2, 3, 4, 5}),
        ([("06000000", "07ea0302ff"), ("06000000", "07ea0303ff")], {2, 3, 4, 5}),
        ([("06000000", "07ea0302ff"), ("07000000", "07ea0303ff")], {4, 5}),
        ([("06000000", DAILY), ("07000000", "07ea0303ff")], {5}),
        ([("06000000", "07ea03feff")], {1, 3, 5}),
        ([("06000000", DAILY), ("06000000", "07ea0303ff")], {3, 5}),
    ],
)
def test_what_each_type_permits(pairs: list[tuple[str, str]], types: set[int]) -> None:
    assert {number for number, row in TYPES.items() if fits(times(*pairs), row)} == types


def test_times_that_the_type_does_not_permit_are_refused() -> None:
    here = world(("06000000", DAILY), now="2026-03-02T04:00", of_type=1)
    two = Array(
        Structure((OctetString(time), OctetString(date)))
        for time, date in times(("05000000", DAILY), ("08000000", DAILY))
    )
    with pytest.raises(Refused):
        here[0].device[SCHEDULE].write(SingleActionSchedule.execution_time, two)


def test_a_dumped_schedule_that_makes_no_sense_rests() -> None:
    here = world(("19000000", DAILY), now="2026-03-02T04:00")
    assert here[0].life.actors.due_us() is None
    assert "not understood" in here[0].reports[0].what
