# SPDX-License-Identifier: Apache-2.0
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from openami.exchange.commands import OPEN, TRANSITIONS, CommandKind, CommandState
from openami.runtime.errors import UserError
from openami.store import commands

STATES = list(CommandState)


def ask(engine: Engine, valid_s: float = 60.0) -> str:
    return commands.ask(
        engine,
        meter_id=1,
        kind=CommandKind.DISCONNECT,
        asked_by="utility",
        reason="moved out",
        valid_s=valid_s,
    )


def test_a_command_goes_its_way_and_leaves_its_history(engine: Engine) -> None:
    command_id = ask(engine)
    assert [found.command_id for found in commands.due(engine)] == [command_id]

    requested, reserved = {CommandState.REQUESTED}, {CommandState.RESERVED}
    assert commands.advance(
        engine,
        command_id,
        requested,
        CommandState.RESERVED,
        "counters 1 to 4",
        counters=range(1, 5),
    )
    assert commands.due(engine) == []
    begun = {CommandState.RESERVED, CommandState.SENT}
    assert [found.command_id for found in commands.in_state(engine, begun)] == [command_id]
    assert commands.advance(engine, command_id, reserved, CommandState.SENT, "sent")
    assert commands.advance(
        engine,
        command_id,
        {CommandState.SENT},
        CommandState.CONFIRMED,
        "read back",
        result={"control_state": 0},
    )

    command = commands.command(engine, command_id)
    assert (command.counter_first, command.counter_after) == (1, 5)
    assert command.result == {"control_state": 0}
    assert command.kind is CommandKind.DISCONNECT
    assert [step.state for step in commands.history(engine, command_id)] == [
        CommandState.REQUESTED,
        CommandState.RESERVED,
        CommandState.SENT,
        CommandState.CONFIRMED,
    ]
    assert commands.in_state(engine, OPEN) == []
    assert [found.command_id for found in commands.commands(engine, meter_id=1)] == [command_id]
    assert commands.commands(engine, meter_id=2) == []


def test_only_one_of_two_workers_moves_a_command(engine: Engine) -> None:
    command_id = ask(engine)
    requested = {CommandState.REQUESTED}

    assert commands.advance(engine, command_id, requested, CommandState.RESERVED, "one")
    assert not commands.advance(engine, command_id, requested, CommandState.RESERVED, "two")
    assert len(commands.history(engine, command_id)) == 2


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_every_step_that_does_not_exist_is_refused(
    engine: Engine, before: CommandState, after: CommandState
) -> None:
    if after in TRANSITIONS[before]:
        assert not commands.advance(engine, "nobody", {before}, after, "")
    else:
        with pytest.raises(UserError, match="is never followed by"):
            commands.advance(engine, "nobody", {before}, after, "")


def test_a_command_nobody_began_expires(engine: Engine) -> None:
    command_id = ask(engine, valid_s=-1.0)

    assert commands.due(engine) == []
    assert commands.command(engine, command_id).state is CommandState.EXPIRED


def test_an_unknown_command_is_named(engine: Engine) -> None:
    with pytest.raises(UserError, match="no command 1234"):
        commands.command(engine, "1234")


def test_of_many_that_ask_at_once_one_is_heard(engine: Engine) -> None:
    def try_to(_: int) -> bool:
        try:
            ask(engine)
        except commands.MeterBusyError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(try_to, range(40))) == 1
    (waiting,) = commands.commands(engine, meter_id=1)
    with pytest.raises(commands.MeterBusyError, match="meter 1 still works on a disconnect"):
        ask(engine)
    note = "its validity ended before it was sent"
    commands.advance(
        engine, waiting.command_id, {CommandState.REQUESTED}, CommandState.EXPIRED, note
    )
    ask(engine)
    assert len(commands.commands(engine, meter_id=1)) == 2
