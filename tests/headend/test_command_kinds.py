# SPDX-License-Identifier: Apache-2.0
"""Every kind of command at a meter whose objects are our own meter's code."""

import dataclasses
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from chain import NOW, Chain, running_chain, until
from loops import in_loop
from openami.cosem.classes.disconnect import ControlState
from openami.exchange.commands import CommandKind, CommandState, Priority
from openami.headend import clock_conduct
from openami.headend.sessions import Urgency
from openami.meter.limiter import NO_LIMIT_W
from openami.runtime.clock import to_us
from openami.runtime.errors import UserError
from openami.store import clocks, commands
from openami.store.commands import Command

TARIFF: dict[str, Any] = {
    "name": "winter26",
    "activate": "now",
    "days": [
        {"id": 1, "switch": [{"at": "06:00", "tariff": 1}, {"at": "22:00", "tariff": 2}]},
        {"id": 2, "switch": [{"at": "00:00", "tariff": 2}]},
    ],
    "weeks": [{"name": "all", "days": [1, 1, 1, 1, 1, 2, 2]}],
    "seasons": [{"name": "year", "start": "01-01", "week": "all"}],
    "special_days": [{"date": "12-25", "day": 2}],
}


def ask(chain: Chain, kind: CommandKind, argument: dict[str, Any] | None = None) -> str:
    return commands.ask(
        chain.engine,
        meter_id=1,
        kind=kind,
        asked_by="utility",
        reason="test",
        argument=argument,
    )


async def ended(chain: Chain, command_id: str) -> Command:
    open_ = {CommandState.REQUESTED, CommandState.RESERVED, CommandState.SENT}
    await until(lambda: commands.command(chain.engine, command_id).state not in open_)
    return commands.command(chain.engine, command_id)


async def done(
    chain: Chain,
    kind: CommandKind,
    argument: dict[str, Any] | None = None,
    state: CommandState = CommandState.CONFIRMED,
) -> Command:
    command = await ended(chain, ask(chain, kind, argument))
    note = commands.history(chain.engine, command.command_id)[-1].note
    assert command.state is state, note
    return command


def note_of(chain: Chain, command: Command) -> str:
    return commands.history(chain.engine, command.command_id)[-1].note


@in_loop
async def test_a_load_limit_is_written_read_back_and_cuts_the_supply(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        start = (NOW + timedelta(hours=1)).isoformat()
        limit = {
            "normal": 5000,
            "emergency": 300,
            "over_s": 30,
            "groups": [7],
            "profile": {"id": 7, "start": start, "duration_s": 3600},
        }
        command = await done(chain, CommandKind.LIMIT, limit)
        assert command.result is not None
        assert command.result["0.0.17.0.0.255:4 (class 71)"] == 5000
        assert meter.limit.row.threshold_active == 5000
        for minute in range(60):
            chain.now = NOW + timedelta(minutes=minute)
            meter.limit.tick()
        assert meter.switch.closed  # 401 W are below the normal limit
        chain.now = NOW + timedelta(hours=1)
        meter.limit.tick()
        assert meter.limit.row.emergency_profile_active
        chain.now += timedelta(seconds=29)
        meter.limit.tick()
        assert meter.switch.closed  # not for 30 s yet
        chain.now += timedelta(seconds=1)
        meter.limit.tick()
        assert not meter.switch.closed
        assert meter.breaker.state is ControlState.READY_FOR_RECONNECTION
        chain.now = NOW + timedelta(hours=3)
        assert meter.limit.row.threshold_active == 5000
        await done(chain, CommandKind.LIMIT, {"normal": NO_LIMIT_W})
        assert meter.limit.row.min_over_threshold_duration == 30  # what was not said stays


@in_loop
async def test_a_tariff_becomes_active_now_or_at_its_time(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        tariffs = chain.meters[1].tariffs
        assert tariffs.tariff(to_us(NOW)) == 0
        await done(chain, CommandKind.TARIFF, TARIFF)
        assert NOW.weekday() == 1  # midnight of a Tuesday
        hours = {hour: tariffs.tariff(to_us(NOW + timedelta(hours=hour))) for hour in (0, 6, 22)}
        assert hours == {0: 2, 6: 1, 22: 2}  # what began yesterday lasts until 06:00
        christmas = NOW.replace(month=12, day=25, hour=12)
        assert tariffs.tariff(to_us(christmas)) == 2
        at = NOW + timedelta(days=1)
        later = TARIFF | {"name": "flat", "activate": at.isoformat()}
        later["days"] = [{"id": n, "switch": [{"at": "00:00", "tariff": 9}]} for n in (1, 2)]
        command = await done(chain, CommandKind.TARIFF, later)
        assert "from 2026-03-04T00:00+00:00 on" in note_of(chain, command)
        tariffs.tick()
        assert tariffs.calendar.calendar_name_active == b"winter26"
        chain.now = at
        tariffs.tick()
        assert tariffs.calendar.calendar_name_active == b"flat"
        assert tariffs.tariff(to_us(at)) == 9


@in_loop
async def test_a_clock_is_set_adjusted_and_shifted_and_measured(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.now = NOW + timedelta(minutes=5)
        await chain.attach()
        shifted = await done(chain, CommandKind.CLOCK, {"action": "shift", "shift_s": -240})
        assert shifted.result is not None
        assert shifted.result["deviation_before_s"] == 0
        assert shifted.result["deviation_after_s"] == -240
        await done(chain, CommandKind.CLOCK, {"action": "adjust_to_quarter"})  # 00:01 to 00:00
        assert chain.meters[1].clock.now_us() == to_us(NOW)
        done_by_set = await done(chain, CommandKind.CLOCK, {"action": "set"})
        assert done_by_set.result is not None
        assert done_by_set.result["deviation_before_s"] == -300
        assert chain.meters[1].clock.now_us() == to_us(chain.now)
        preset = ask(chain, CommandKind.CLOCK, {"action": "preset"})
        await until(lambda: chain.meters[1].clock._preset is not None)
        chain.now += timedelta(seconds=3)
        assert (await ended(chain, preset)).state is CommandState.CONFIRMED
        assert abs(chain.meters[1].clock.now_us() - to_us(chain.now)) <= 1_000_000


@in_loop
async def test_a_clock_that_is_far_off_is_set_by_force_only(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        chain.meters[1].clock._turn(-7200 * 10**6)
        refused = await done(chain, CommandKind.CLOCK, {"action": "set"}, CommandState.FAILED)
        assert "-7200.0 s off, more than clock_most_s = 900" in note_of(chain, refused)
        assert [step.state for step in commands.history(chain.engine, refused.command_id)] == [
            CommandState.REQUESTED,
            CommandState.RESERVED,
            CommandState.FAILED,  # never sent
        ]
        preset = ask(chain, CommandKind.CLOCK, {"action": "preset", "force": True})
        await until(lambda: chain.meters[1].clock._preset is not None)
        chain.now += timedelta(seconds=3)
        command = await ended(chain, preset)
        assert command.state is CommandState.CONFIRMED, note_of(chain, command)
        chain.meters[1].clock._turn(-7200 * 10**6)
        await done(chain, CommandKind.CLOCK, {"action": "set", "force": True})
        assert chain.meters[1].clock.now_us() == to_us(chain.now)


@in_loop
async def test_a_guarded_order_keeps_a_clock_in_its_interval_and_makes_it_better(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        clock = chain.meters[1].clock
        chain.now = NOW.replace(minute=10)
        clock._turn(-20 * 10**6)
        shift = {"action": "shift", "shift_s": 20, "guard_s": 60}
        done_well = await done(chain, CommandKind.CLOCK, shift)
        assert clock.now_us() == to_us(chain.now)
        refused = await done(chain, CommandKind.CLOCK, shift, CommandState.FAILED)
        assert note_of(chain, refused).endswith("+20 s make it no better")
        clock._turn(-20 * 10**6)
        chain.now = NOW.replace(minute=29, second=30)  # an interval ends in half a minute
        for argument in (shift, {"action": "set", "guard_s": 60}):
            refused = await done(chain, CommandKind.CLOCK, argument, CommandState.FAILED)
            assert "over the end of an interval now, or within 60.0 s of one" in note_of(
                chain, refused
            )
        assert clock.now_us() == to_us(chain.now) - 20 * 10**6
        assert [each.moved for each in clocks.history(chain.engine, 1)] == [True]
        assert done_well.state is CommandState.CONFIRMED


@in_loop
async def test_a_clock_that_tells_no_time_is_set_by_force_and_never_in_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        real = clock_conduct.measure
        problem: list[UserError] = []

        async def first_nothing(*given: Any) -> clock_conduct.Deviation:
            if problem:
                raise problem.pop()
            return await real(*given)

        monkeypatch.setattr(clock_conduct, "measure", first_nothing)
        for argument, remedy in (
            ({"action": "set"}, "set it, and ask with force"),
            ({"action": "adjust_to_minute"}, "set it"),
        ):
            problem.append(clock_conduct.NoTimeError("the clock tells no time: set it"))
            refused = await done(chain, CommandKind.CLOCK, argument, CommandState.FAILED)
            assert remedy in note_of(chain, refused)
        problem.append(clock_conduct.NoTimeError("the clock tells no time: set it"))
        await done(chain, CommandKind.CLOCK, {"action": "set", "force": True})
        problem.append(UserError("the line broke"))
        broken = await done(chain, CommandKind.CLOCK, {"action": "set"}, CommandState.FAILED)
        assert note_of(chain, broken) == "it was never sent: the line broke"


@in_loop
async def test_parameters_are_written_in_their_order_until_one_is_refused(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()

        def row(class_id: int, name: str, attribute_id: int, value: object) -> dict[str, Any]:
            return {
                "class_id": class_id,
                "logical_name": name,
                "attribute_id": attribute_id,
                "value": value,
            }

        over = row(71, "0.0.17.0.0.255", 6, {"double-long-unsigned": 45})
        pushes = row(40, "0.0.25.9.0.255", 6, {"unsigned": 3})
        command = await done(chain, CommandKind.PARAMETERS, {"set": [over, pushes]})
        assert command.result == {
            "0.0.17.0.0.255:6 (class 71)": 45,
            "0.0.25.9.0.255:6 (class 40)": 3,
        }
        name = row(1, "0.0.42.0.0.255", 2, {"octet-string": "00"})
        wrong = row(1, "0.0.99.99.0.255", 2, {"octet-string": "00"})
        refused = await done(
            chain, CommandKind.PARAMETERS, {"set": [name, wrong]}, CommandState.REFUSED
        )
        assert "1 of 2 steps before it are done and stay" in note_of(chain, refused)


@pytest.mark.parametrize("on_failure", ["stop", "continue"])
def test_a_bundle_is_done_in_one_association(tmp_path: Path, on_failure: str) -> None:
    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=1) as chain:
            await chain.attach()
            opened = chain.headend.sessions.opened
            items = [
                {"kind": "read"},
                {"kind": "limit", "argument": {"normal": 2**31}},
                {"kind": "parameters", "argument": {"set": [unknown()]}},
                {"kind": "disconnect"},
            ]
            argument = {"items": items, "on_failure": on_failure}
            command = await done(chain, CommandKind.BUNDLE, argument, CommandState.FAILED)
            assert chain.headend.sessions.opened == opened + 1
            assert command.result is not None
            states = [item["state"] for item in command.result["items"]]
            goes_on = on_failure == "continue"
            last = "confirmed" if goes_on else "not sent"
            assert states == ["confirmed", "confirmed", "refused", last]
            assert command.result["items"][0]["result"]["power_w"] == 401
            assert f"{3 if goes_on else 2} of 4 done; 3: parameters refused" in note_of(
                chain, command
            )
            assert chain.meters[1].switch.closed is not goes_on

    test()


def unknown() -> dict[str, Any]:
    value = {"octet-string": "00"}
    return {"class_id": 1, "logical_name": "0.0.99.99.0.255", "attribute_id": 2, "value": value}


@in_loop
async def test_what_of_a_bundle_may_have_been_sent_is_read_back(tmp_path: Path) -> None:
    """The answer to the second order is lost: it is proven, what follows was not sent."""
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.commands.ask_first_s = 0.05
        chain.headend.routes.answer_timeout_s = 0.3
        await chain.attach()
        chain.meters[1].silence_at_command(arrives=True)
        items = [{"kind": "read"}, {"kind": "disconnect"}, {"kind": "connect"}]
        command = await done(chain, CommandKind.BUNDLE, {"items": items}, CommandState.FAILED)
        assert command.result is not None
        states = [item["state"] for item in command.result["items"]]
        assert states == ["confirmed", "confirmed", "not sent"]
        assert chain.meters[1].switch.moves == [ControlState.DISCONNECTED]  # once


@pytest.mark.parametrize("arrives", [True, False])
def test_a_shift_whose_answer_is_lost_is_told_from_how_far_the_clock_has_moved(
    tmp_path: Path, *, arrives: bool
) -> None:
    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=1) as chain:
            chain.headend.commands.ask_first_s = 0.05
            chain.headend.routes.answer_timeout_s = 0.3
            await chain.attach()
            chain.meters[1].silence_at_command(arrives=arrives)
            state = CommandState.CONFIRMED if arrives else CommandState.FAILED
            argument = {"action": "shift", "shift_s": 30}
            command = await done(chain, CommandKind.CLOCK, argument, state)
            assert command.result is not None
            moved = command.result["deviation_after_s"] - command.result["deviation_before_s"]
            assert moved == (30 if arrives else 0)

    test()


@in_loop
async def test_an_urgent_disconnect_goes_between_the_orders_of_a_bundle(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        meter = chain.meters[1]
        items = [{"kind": "read"} for _ in range(50)]
        chain.headend.routes.answer_timeout_s = 60.0  # the meter is held for as long as it takes
        meter.hold(after=20)  # at one of the bundle's orders
        long = ask(chain, CommandKind.BUNDLE, {"items": items})
        await until(lambda: bool(meter._held))  # before that it would go first, and be held
        urgent = commands.ask(
            chain.engine,
            meter_id=1,
            kind=CommandKind.DISCONNECT,
            asked_by="utility",
            reason="fire",
            priority=Priority.URGENT,
        )
        await until(lambda: chain.headend.sessions.outranked(1, Urgency.COMMAND))
        meter.go_on()
        assert (await ended(chain, urgent)).state is CommandState.CONFIRMED
        assert not meter.switch.closed
        assert (await ended(chain, long)).state is CommandState.CONFIRMED
        at = {each: commands.history(chain.engine, each)[-1].at_real_us for each in (long, urgent)}
        assert at[urgent] < at[long]
        assert chain.headend.sessions.opened == 1


@in_loop
async def test_requests_for_later_wait_for_their_time_and_do_not_block(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        later = commands.ask(
            chain.engine,
            meter_id=1,
            kind=CommandKind.DISCONNECT,
            asked_by="utility",
            reason="moves out",
            valid_in_s=3600.0,
            correlation="WO-17",
        )
        await done(chain, CommandKind.READ)
        assert commands.command(chain.engine, later).state is CommandState.REQUESTED
        assert commands.cancel(chain.engine, later, "utility", "stays").correlation == "WO-17"
        assert (await ended(chain, later)).state is CommandState.CANCELLED
        assert chain.meters[1].switch.moves == []


@in_loop
async def test_an_object_that_the_profile_does_not_name_is_not_guessed(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        await chain.attach()
        companions = chain.headend.directory._companions.known
        kind = companions["openami"]
        objects = {name: at for name, at in kind.objects.items() if name != "limiter"}
        companions["openami"] = dataclasses.replace(kind, objects=objects)
        failed = await done(chain, CommandKind.LIMIT, {"normal": 1}, CommandState.FAILED)
        assert "companion profile 'openami' has no limiter" in note_of(chain, failed)
