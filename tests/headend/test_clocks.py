# SPDX-License-Identifier: Apache-2.0
"""Clocks are measured along with reads, corrected by commands, or left to a person."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import Engine

from chain import NOW, QUICK_SCHEDULE, Chain, until
from loops import in_loop
from openami.access.accounts import audit_trail
from openami.dlms.datetimes import ClockStatus, CosemDateTime
from openami.exchange.commands import CommandKind, CommandState, Priority
from openami.headend.clocks import ASKER, ClockBook, ClockKeeping
from openami.headend.companion import Companion
from openami.headend.config import ClockSettings
from openami.headend.deviation import Deviation, Timeless, deviation_of
from openami.runtime.clock import MICROSECONDS, to_us
from openami.store import clocks, commands, leases, live
from openami.store.clocks import Measured
from openami.store.database import open_database
from openami.store.leases import Kind, Worker
from openami.store.registry import Meter

QUICK: Final = ClockSettings(look_s=0.02)
SLOW_US: Final = -90 * MICROSECONDS
IN_AN_INTERVAL: Final = NOW.replace(minute=10)


def chain_of(folder: Path, meters: int, settings: ClockSettings = QUICK) -> Chain:
    chain = Chain(folder, meters)
    chain.schedule = replace(QUICK_SCHEDULE, daily_at_s=60_000)
    chain.clocks = settings
    chain.now = IN_AN_INTERVAL
    return chain


async def read_all(chain: Chain) -> None:
    """Start everything and wait until every meter was read."""
    await chain.start_headend()
    await chain.start_concentrator()
    await chain.attach()
    await until(lambda: chain.headend.schedule.reads == len(chain.meters), chain.running_headend)


async def end(chain: Chain) -> None:
    for meter in chain.meters.values():
        if meter.wire is not None:
            meter.wire.close()
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


def settled(chain: Chain) -> timedelta:
    return timedelta(seconds=chain.clocks.settle_s)


@in_loop
async def test_a_slow_clock_is_found_by_the_scheduled_read_shifted_and_measured_well(
    tmp_path: Path,
) -> None:
    chain = chain_of(tmp_path, meters=3)
    chain.meters[2].clock._turn(SLOW_US)
    await read_all(chain)
    found = clocks.of(chain.engine, chain.meters)
    assert {number: kept.deviation_s for number, kept in found.items()} == {1: 0, 2: -90, 3: 0}
    assert [found[number].judged for number in (1, 2, 3)] == [True, False, True]
    assert found[2].tolerated_s == 30.0  # as their companion profile says
    assert found[2].status == 0
    assert commands.commands(chain.engine) == []  # others are waited for

    chain.now += settled(chain)
    await until(lambda: chain.headend.clocks.asked == 1, chain.running_headend)
    await until(lambda: len(clocks.history(chain.engine, 2)) == 2, chain.running_headend)
    (command,) = commands.commands(chain.engine)
    await until(
        lambda: commands.command(chain.engine, command.command_id).state is CommandState.CONFIRMED
    )
    assert (command.meter_id, command.kind) == (2, CommandKind.CLOCK)
    assert (command.asked_by, command.priority) == (ASKER, Priority.LOW)
    assert command.argument == {"action": "shift", "shift_s": 90, "guard_s": 60.0}
    assert command.reason.startswith("-90.0")
    assert chain.meters[2].clock.now_us() == to_us(chain.now)
    known = clocks.latest(chain.engine, 2)
    assert known is not None
    assert (known.deviation_s, known.command_id, known.judged) == (0.0, command.command_id, True)
    assert known.asked_us == to_us(chain.now)
    assert [each.moved for each in clocks.history(chain.engine, 2)] == [False, True]
    assert audit_trail(chain.engine, 1)[0].login == ASKER
    await end(chain)


@in_loop
async def test_a_clock_is_measured_once_a_day_along_with_the_full_read(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, meters=1)
    await read_all(chain)
    assert len(clocks.history(chain.engine, 1)) == 1
    asked = chain.meters[1].requests
    chain.now += timedelta(hours=5)  # the event log alone
    await until(lambda: chain.headend.directory.by_id(1).events_read_us == to_us(chain.now))
    assert chain.meters[1].requests > asked
    assert len(clocks.history(chain.engine, 1)) == 1
    chain.now = IN_AN_INTERVAL + timedelta(days=1)
    await until(lambda: chain.headend.schedule.reads == 2)
    assert len(clocks.history(chain.engine, 1)) == 2
    await end(chain)


@in_loop
async def test_a_clock_is_measured_with_reads_of_the_log_where_that_is_wished(
    tmp_path: Path,
) -> None:
    chain = chain_of(tmp_path, 1, replace(QUICK, measure_every_s=3600.0))
    await read_all(chain)
    chain.meters[1].clock._turn(SLOW_US)
    chain.now += timedelta(hours=5)
    await until(lambda: len(clocks.history(chain.engine, 1)) == 2, chain.running_headend)
    assert clocks.history(chain.engine, 1)[1].deviation_s == -90.0
    assert chain.headend.schedule.reads == 1
    await end(chain)


@in_loop
async def test_what_is_known_of_a_clock_is_as_wide_as_the_way_was_long(tmp_path: Path) -> None:
    chain = chain_of(tmp_path, meters=1)
    meter = chain.meters[1]
    await chain.start_headend()
    await chain.start_concentrator()
    meter.hold()
    await chain.attach()
    # Let go one request at a time, each 60 s later by the calendar, as on a slow bearer.
    while not chain.headend.schedule.reads:
        await until(lambda: bool(meter._held) or bool(chain.headend.schedule.reads))
        chain.now += timedelta(seconds=60)
        meter.go_on()
        meter.hold()
    (found,) = clocks.history(chain.engine, 1)
    assert found.uncertainty_s == 30.0
    assert found.deviation_s == 30.0  # it stood right when it answered, at the end of the span
    chain.now += settled(chain)
    meter.go_on()
    await until(lambda: getattr(clocks.latest(chain.engine, 1), "judged", False))
    known = clocks.latest(chain.engine, 1)
    assert known is not None
    assert known.said == "+30.0 s off, known to \u00b130 s only: left alone"
    assert commands.commands(chain.engine) == []
    await end(chain)


# Judging, without a chain -------------------------------------------------------------------------


class Registry:
    """Meters of one kind; enough of a `Directory` to judge by."""

    def by_id(self, meter_id: int) -> Meter:
        return Meter(
            meter_id=meter_id,
            title=bytes(8),
            ldn="OAM",
            region="north",
            concentrator=bytes(8),
            installed_us=0,
            capture_period_s=1800,
        )

    def companion(self, _meter: Meter) -> Companion:
        return Companion(name="some", title="", objects={}, models={})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    yield engine
    engine.dispose()


def keeper_of(
    now_us: int, name: str = "a", settings: ClockSettings = QUICK, speed: float = 1.0
) -> ClockKeeping:
    book = ClockBook(
        settings=settings,
        books=None,  # type: ignore[arg-type]  nothing is measured here
        directory=Registry(),  # type: ignore[arg-type]
        worker=name,
        now_us=lambda: now_us,
    )
    return ClockKeeping(book, Worker(name, name), lambda: speed)


MEASURED_US: Final = to_us(IN_AN_INTERVAL)
LATER_US: Final = MEASURED_US + 301 * MICROSECONDS


def measure(engine: Engine, meter_id: int, off_s: float, at_us: int = MEASURED_US) -> None:
    measured = Measured(
        meter_id=meter_id,
        measured_us=at_us,
        deviation_s=off_s,
        uncertainty_s=0.1,
        status=0,
        worker="headend",
    )
    clocks.record(engine, measured, tolerated_s=30.0, settled=False, keep=10)


def test_a_clock_far_off_is_left_to_a_person_who_is_told(engine: Engine) -> None:
    measure(engine, 1, 1000.0)
    keeper = keeper_of(LATER_US)
    keeper.sit(engine)
    keeper.sit(engine)
    assert (keeper.asked, keeper.noticed) == (0, 1)
    (known,) = clocks.worst(engine, notice=True)
    assert known.said.startswith("+1000.0 s off, more than 900 s")
    (told,) = live.feed_after(engine, 0)
    assert (told.kind, told.meter_id) == ("clock", 1)
    assert commands.commands(engine) == []


def test_a_head_end_that_is_wrong_itself_corrects_nobody_and_says_so(engine: Engine) -> None:
    for meter_id in range(1, 5):
        measure(engine, meter_id, -90.0, MEASURED_US + meter_id)
    keeper = keeper_of(LATER_US)
    keeper.sit(engine)
    keeper.sit(engine)
    assert keeper.trouble.startswith("headend: 4 of the last 4 meters are off by about -90 s")
    assert commands.commands(engine) == []
    assert all(kept.judged for kept in clocks.of(engine, range(1, 5)).values())

    clocks.trust(engine, ["headend"], LATER_US + 3600 * MICROSECONDS)  # a person has looked
    measure(engine, 1, -90.0, LATER_US)
    keeper = keeper_of(LATER_US + 301 * MICROSECONDS)
    keeper.sit(engine)
    assert (keeper.trouble, keeper.asked) == ("", 1)


def test_a_head_end_that_concentrators_agree_against_corrects_nobody(engine: Engine) -> None:
    measure(engine, 1, -90.0)
    keeper = keeper_of(LATER_US, "headend")
    keeper._own_doubt = lambda: True
    keeper.sit(engine)
    assert keeper.trouble.startswith("headend: the clocks of concentrators' hosts agree")
    later_us = LATER_US + 301 * MICROSECONDS
    measure(engine, 2, -80.0, LATER_US + 1)
    keeper = keeper_of(later_us, "headend")
    keeper.sit(engine)
    assert [each.meter_id for each in commands.commands(engine)] == [2]


def test_two_witnesses_against_a_head_end_say_one_sentence(engine: Engine) -> None:
    for meter_id in range(1, 5):
        measure(engine, meter_id, -90.0, MEASURED_US + meter_id)
    keeper = keeper_of(LATER_US, "headend")
    keeper._own_doubt = lambda: True
    keeper.sit(engine)
    keeper.sit(engine)
    assert keeper.trouble == (
        "headend: 4 of the last 4 meters are off by about -90 s, and the clocks of concentrators'"
        " hosts agree with each other and not with it: look at the clock of this head-end"
    )
    keeper._own_doubt = lambda: False
    keeper.sit(engine)
    assert "concentrators" not in keeper.trouble
    assert "4 of the last 4 meters" in keeper.trouble


def test_of_two_head_ends_one_asks_and_once(engine: Engine) -> None:
    measure(engine, 1, -90.0)
    one, other = keeper_of(LATER_US), keeper_of(LATER_US, "b")
    for keeper in (one, other, one):
        keeper.sit(engine)
    assert (one.asked, other.asked) == (1, 0)
    measure(engine, 2, -80.0, MEASURED_US + 1)
    held = leases.take(engine, Kind.CLOCKS, ["clocks"], Worker("c", "c"), 60.0)
    other.sit(engine)
    assert other.asked == 0
    leases.release(engine, held)
    other.sit(engine)
    assert other.asked == 1
    assert len(commands.commands(engine)) == 2


def test_what_a_meter_still_works_on_is_waited_for(engine: Engine) -> None:
    command_id = commands.ask(
        engine, meter_id=1, kind=CommandKind.READ, asked_by="somebody", reason="a look"
    )
    measure(engine, 1, -90.0)
    keeper = keeper_of(LATER_US)
    keeper.sit(engine)
    assert keeper.asked == 0
    commands.cancel(engine, command_id, "somebody", "no need")
    keeper.sit(engine)
    assert keeper.asked == 1


def test_a_correction_is_valid_while_the_clock_is_inside_an_interval(engine: Engine) -> None:
    late_us = to_us(IN_AN_INTERVAL.replace(minute=29))  # a minute before an interval ends
    measure(engine, 1, -90.0, late_us - 301 * MICROSECONDS)
    keeper_of(late_us, speed=2.0).sit(engine)
    (command,) = commands.commands(engine)
    waits_s = (command.valid_from_real_us - command.asked_real_us) / MICROSECONDS
    lasts_s = (command.valid_until_real_us - command.valid_from_real_us) / MICROSECONDS
    # The clock is 90 s slow: it and its guard of 60 s are past the end in 60 + 90 + 60.1 s.
    assert waits_s == pytest.approx(210.1 / 2)
    assert lasts_s == pytest.approx((1800 - 90 - 2 * 60.1) / 2)


def test_where_it_is_off_nothing_is_asked(engine: Engine) -> None:
    measure(engine, 1, -90.0)
    keeper = keeper_of(LATER_US, settings=replace(QUICK, on=False))
    keeper.sit(engine)
    assert keeper.asked == 0
    assert clocks.to_judge(engine, LATER_US, 1) != []


# What a time tells --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hidden", "off_s", "uncertainty_s"),
    [({}, -1.0, 1.0), ({"hundredths": None}, -0.5, 1.5), ({"second": None}, 29.0, 31.0)],
)
def test_what_a_clock_does_not_tell_is_uncertain(
    hidden: dict[str, None], off_s: float, uncertainty_s: float
) -> None:
    time = replace(CosemDateTime.from_utc(NOW.replace(second=0)), **hidden)  # type: ignore[arg-type]
    asked_us = to_us(NOW.replace(second=0))
    found = deviation_of(time, asked_us, asked_us + 2 * MICROSECONDS)
    assert found == Deviation(off_s, uncertainty_s, 0)


def test_a_clock_that_tells_no_time_is_known_as_such() -> None:
    invalid = ClockStatus.INVALID_VALUE
    time = CosemDateTime(
        year=None, month=None, day=None, hour=None, minute=None, clock_status=invalid
    )
    assert deviation_of(time, 0, 2 * MICROSECONDS) == Timeless(1.0, 1)
