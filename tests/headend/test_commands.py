# SPDX-License-Identifier: Apache-2.0
"""Commands as durable intents: done once, proven, or honestly in doubt."""

import asyncio
from pathlib import Path

import pytest

from chain import NOW, Chain, closed, running_chain, until
from loops import in_loop
from openami.cosem.classes.disconnect import ControlState
from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.events import EventCode
from openami.headend import conduct as module
from openami.headend.associations import MeterSession
from openami.headend.config import CommandSettings
from openami.store import commands, counters, live, registry
from openami.store.commands import Command
from openami.store.database import transaction
from ports import free_port


def ask(chain: Chain, kind: CommandKind, meter_id: int = 1, valid_s: float = 300.0) -> str:
    return commands.ask(
        chain.engine,
        meter_id=meter_id,
        kind=kind,
        asked_by="utility",
        reason="test",
        valid_s=valid_s,
    )


async def settled(chain: Chain, command_id: str, *states: CommandState) -> Command:
    await until(lambda: commands.command(chain.engine, command_id).state in states)
    return commands.command(chain.engine, command_id)


def path_of(chain: Chain, command_id: str) -> list[CommandState]:
    return [step.state for step in commands.history(chain.engine, command_id)]


@in_loop
async def test_disconnect_and_connect_are_read_back_and_shown(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        meter = chain.meters[1]
        meter.log_event(NOW, EventCode.DISCONNECTED_REMOTELY)
        await chain.attach()
        off = await settled(chain, ask(chain, CommandKind.DISCONNECT), CommandState.CONFIRMED)
        assert not meter.switch.closed
        assert registry.meter(chain.engine, 1).breaker == ControlState.DISCONNECTED
        assert off.result == {"control_state": 0}
        assert path_of(chain, off.command_id) == [
            CommandState.REQUESTED,
            CommandState.RESERVED,
            CommandState.SENT,
            CommandState.CONFIRMED,
        ]
        assert off.counter_first is not None
        assert off.counter_after is not None
        assert counters.next_counter(chain.engine, 1, 1) >= off.counter_after
        on = await settled(chain, ask(chain, CommandKind.CONNECT), CommandState.CONFIRMED)
        assert meter.switch.closed
        assert on.counter_first is not None
        assert on.counter_after is not None
        assert on.counter_first >= off.counter_after
        sent = meter.command_counters  # each with its own block
        assert sent == [off.counter_first, on.counter_first]
        (event,) = registry.events(chain.engine)  # the log is read along
        assert event.code == EventCode.DISCONNECTED_REMOTELY
        told = [e.body["state"] for e in live.feed_after(chain.engine, 0) if e.kind == "command"]
        assert told == ["reserved", "sent", "confirmed"] * 2


@in_loop
async def test_a_read_gives_its_values_to_the_row_and_to_the_pages(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        await chain.attach()
        done = await settled(chain, ask(chain, CommandKind.READ, 2), CommandState.CONFIRMED)
        register = chain.meters[2].rows()[-1][2]
        assert done.result == {
            "power_w": 402,
            "voltage_dv": 2301,
            "current_ca": 174,
            "import_wh": register,
            "export_wh": 0,
        }
        assert {v.channel: v.value for v in live.latest(chain.engine, meter_ids=[2])}[3] == register


@in_loop
async def test_a_meter_that_says_no_has_refused(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.meters[1].breaker.mode = 0  # always connected
        await chain.attach()
        command = await settled(chain, ask(chain, CommandKind.DISCONNECT), CommandState.REFUSED)
        note = commands.history(chain.engine, command.command_id)[-1].note
        assert "refuses to invoke" in note
        assert chain.meters[1].switch.closed


@in_loop
async def test_a_meter_that_cannot_be_reached_keeps_the_command_until_it_expires(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        late = ask(chain, CommandKind.DISCONNECT, valid_s=1.0)
        await settled(chain, late, CommandState.EXPIRED)
        assert path_of(chain, late) == [CommandState.REQUESTED, CommandState.EXPIRED]
        waiting = ask(chain, CommandKind.DISCONNECT)
        await asyncio.sleep(0.5)
        assert commands.command(chain.engine, waiting).state is CommandState.REQUESTED
        await chain.attach()
        await settled(chain, waiting, CommandState.CONFIRMED)
        assert not chain.meters[1].switch.closed


@pytest.mark.parametrize("arrives", [True, False])
def test_after_silence_the_meter_is_asked_and_never_commanded_twice(
    tmp_path: Path, *, arrives: bool
) -> None:
    """The answer to the command is lost, or the command is; the state read back tells which."""

    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=1) as chain:
            chain.headend.commands.ask_first_s = 0.05
            meter = chain.meters[1]
            chain.headend.routes.answer_timeout_s = 0.3
            await chain.attach()
            meter.silence_at_command(arrives=arrives)
            command_id = ask(chain, CommandKind.DISCONNECT)
            outcome = CommandState.CONFIRMED if arrives else CommandState.FAILED
            await settled(chain, command_id, outcome)
            assert meter.switch.closed is not arrives
            assert len(meter.switch.moves) == int(arrives)
            assert CommandState.SENT in path_of(chain, command_id)

    test()


@in_loop
async def test_what_cannot_be_proven_is_in_doubt_until_the_meter_answers(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.commands.ask_first_s = 0.05
        chain.headend.commands.doubt_after_s = 0.2
        chain.headend.routes.answer_timeout_s = 0.3
        meter = chain.meters[1]
        await chain.attach()
        meter.silence_at_command(arrives=True, for_good=True)
        command_id = ask(chain, CommandKind.DISCONNECT)
        await settled(chain, command_id, CommandState.IN_DOUBT)
        meter.speak_again()
        await settled(chain, command_id, CommandState.CONFIRMED)
        assert path_of(chain, command_id)[-2:] == [CommandState.IN_DOUBT, CommandState.CONFIRMED]


@in_loop
async def test_a_command_in_doubt_takes_no_place_from_others(tmp_path: Path) -> None:
    async with running_chain(tmp_path, meters=2) as chain:
        chain.headend.commands.ask_first_s = 0.05
        chain.headend.commands.doubt_after_s = 0.2
        chain.headend.routes.answer_timeout_s = 0.3
        chain.headend.commands.work._parallel = 1
        meter = chain.meters[1]
        await chain.attach()
        meter.silence_at_command(arrives=True, for_good=True)
        doubtful = ask(chain, CommandKind.DISCONNECT)
        await settled(chain, doubtful, CommandState.IN_DOUBT)
        await settled(chain, ask(chain, CommandKind.READ, 2), CommandState.CONFIRMED)
        assert commands.command(chain.engine, doubtful).state is CommandState.IN_DOUBT
        meter.speak_again()
        await settled(chain, doubtful, CommandState.CONFIRMED)


@in_loop
async def test_a_command_that_cannot_be_proven_does_not_keep_the_meter_from_the_next(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        with transaction(chain.engine) as connection:
            unknown = commands.ask(
                connection,
                meter_id=1,
                kind=CommandKind.CLOCK,
                argument={"action": "of a later version"},
                asked_by="utility",
                reason="test",
            )
            for before, after in (
                (CommandState.REQUESTED, CommandState.RESERVED),
                (CommandState.RESERVED, CommandState.SENT),
            ):
                commands.advance(connection, unknown, {before}, after, "test")
            commands.advance(
                connection, unknown, {CommandState.SENT}, CommandState.IN_DOUBT, "test"
            )
        await chain.attach()
        await settled(chain, ask(chain, CommandKind.DISCONNECT), CommandState.CONFIRMED)
        assert commands.command(chain.engine, unknown).state is CommandState.IN_DOUBT


@pytest.mark.parametrize("arrives", [True, False])
def test_a_command_in_doubt_is_settled_before_the_next_one_changes_the_meter(
    tmp_path: Path, *, arrives: bool
) -> None:
    """Else the later state would be taken for what became of the earlier command."""

    @in_loop
    async def test() -> None:
        async with running_chain(tmp_path, meters=1) as chain:
            chain.headend.commands.ask_first_s = 3600.0  # nobody but the next command asks
            chain.headend.commands.doubt_after_s = 0.0
            chain.headend.routes.answer_timeout_s = 0.3
            meter = chain.meters[1]
            await chain.attach()
            meter.silence_at_command(arrives=arrives, for_good=True)
            doubtful = ask(chain, CommandKind.DISCONNECT)
            await settled(chain, doubtful, CommandState.IN_DOUBT)
            meter.speak_again()
            kind = CommandKind.CONNECT if arrives else CommandKind.DISCONNECT
            await settled(chain, ask(chain, kind), CommandState.CONFIRMED)
            found = commands.command(chain.engine, doubtful)
            assert found.state is (CommandState.CONFIRMED if arrives else CommandState.FAILED)
            assert found.result == {"control_state": 0 if arrives else 1}

    test()


@pytest.mark.parametrize("state", [CommandState.RESERVED, CommandState.SENT])
@pytest.mark.parametrize("done", [True, False])
def test_after_a_restart_the_meter_is_asked_what_became_of_it(
    tmp_path: Path, state: CommandState, *, done: bool
) -> None:
    @in_loop
    async def test() -> None:
        chain = Chain(tmp_path, meters=2)
        chain.meters[1].switch.closed = not done
        chain.meters[1].breaker.state = (
            ControlState.DISCONNECTED if done else ControlState.CONNECTED
        )
        engine = chain.engine
        await chain.start_headend()  # enters the meters
        await chain.headend_ends()
        command_id = ask(chain, CommandKind.DISCONNECT)
        read_id = ask(chain, CommandKind.READ, 2)
        block = range(1, 9)
        counters.reserve(engine, 1, 1, 8)
        for each in (command_id, read_id):
            step = {CommandState.REQUESTED}
            commands.advance(engine, each, step, CommandState.RESERVED, "test", counters=block)
            if state is CommandState.SENT:
                step = {CommandState.RESERVED}
                commands.advance(engine, each, step, CommandState.SENT, "test")
        await chain.start_headend()
        await chain.start_concentrator()
        await chain.attach()
        outcome = CommandState.CONFIRMED if done else CommandState.FAILED
        await settled(chain, command_id, outcome)
        await settled(chain, read_id, CommandState.FAILED)
        assert chain.meters[1].switch.closed is not done
        for meter in chain.meters.values():
            assert meter.wire is not None
            await closed(meter.wire)
        await chain.concentrator_ends()
        await chain.headend_ends()
        chain.close()

    test()


@in_loop
async def test_a_fault_of_ours_leaves_no_command_behind_as_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        chain.headend.commands.ask_first_s = 0.02
        chain.headend.commands.doubt_after_s = 0.1
        await chain.attach()

        async def fail(_session: MeterSession) -> ControlState:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        with monkeypatch.context() as broken:
            broken.setattr(module, "read_control_state", fail)
            command_id = ask(chain, CommandKind.DISCONNECT)
            await settled(chain, command_id, CommandState.IN_DOUBT)
            assert "ZeroDivisionError" in commands.history(chain.engine, command_id)[-1].note
        await settled(chain, command_id, CommandState.CONFIRMED)
        assert len(chain.meters[1].switch.moves) == 1


@in_loop
async def test_a_meter_that_answers_nothing_is_tried_with_growing_pauses_and_given_up(
    tmp_path: Path,
) -> None:
    async with running_chain(tmp_path, meters=1) as chain:
        settings = CommandSettings(retry_first_s=0.05, retry_most_s=0.1, attempts_most=3)
        chain.headend.commands.settings = settings
        registry.set_address(chain.engine, 1, f"tls://127.0.0.1:{free_port()}")
        chain.headend.directory.refresh()
        command = await settled(chain, ask(chain, CommandKind.DISCONNECT), CommandState.FAILED)
        assert command.attempts == 3
        assert path_of(chain, command.command_id) == [CommandState.REQUESTED, CommandState.FAILED]
        last = commands.history(chain.engine, command.command_id)[-1]
        assert "given up after 3 attempts" in last.note
