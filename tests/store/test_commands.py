# SPDX-License-Identifier: Apache-2.0
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from openami.exchange.commands import OPEN, TRANSITIONS, CommandKind, CommandState, Priority
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store import commands, registry
from openami.store.leases import Lease, LostLeaseError, Worker, release
from store.test_registry import meter

HERE, THERE = Worker("here", "1"), Worker("there", "1")
STATES = list(CommandState)


def attach(engine: Engine, worker: Worker, *meter_ids: int) -> None:
    registry.import_meters(engine, [meter(n) for n in meter_ids])
    registry.set_attached(engine, dict.fromkeys(meter_ids, True), 1, worker.name)


def claimed(engine: Engine, worker: Worker) -> list[tuple[commands.Command, Lease]]:
    return list(commands.claim_requested(engine, worker, seconds=60, limit=100))


def due(engine: Engine, worker: Worker = HERE) -> list[str]:
    given = claimed(engine, worker)
    release(engine, [lease for _, lease in given])
    return [command.command_id for command, _ in given]


def ask(
    engine: Engine,
    valid_s: float = 60.0,
    meter_id: int = 1,
    priority: Priority = Priority.NORMAL,
    valid_in_s: float = 0.0,
) -> str:
    return commands.ask(
        engine,
        meter_id=meter_id,
        priority=priority,
        valid_in_s=valid_in_s,
        kind=CommandKind.DISCONNECT,
        asked_by="utility",
        reason="moved out",
        valid_s=valid_s,
    )


def test_a_command_goes_its_way_and_leaves_its_history(engine: Engine) -> None:
    attach(engine, HERE, 1)
    command_id = ask(engine)
    assert due(engine) == [command_id]

    requested, reserved = {CommandState.REQUESTED}, {CommandState.RESERVED}
    assert commands.advance(
        engine,
        command_id,
        requested,
        CommandState.RESERVED,
        "counters 1 to 4",
        counters=range(1, 5),
    )
    assert due(engine) == []
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

    assert commands.expire(engine) == 1
    assert commands.command(engine, command_id).state is CommandState.EXPIRED


def test_an_unknown_command_is_named(engine: Engine) -> None:
    with pytest.raises(UserError, match="no command 1234"):
        commands.command(engine, "1234")


def test_of_many_that_ask_at_once_one_is_heard(engine: Engine) -> None:
    attach(engine, HERE, 1)

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


def test_a_command_is_work_of_the_worker_that_reaches_its_meter(engine: Engine) -> None:
    attach(engine, HERE, 1)
    attach(engine, THERE, 2)
    mine, other = ask(engine), ask(engine, meter_id=2)
    ask(engine, meter_id=3)  # hangs nowhere
    assert (due(engine, HERE), due(engine, THERE)) == ([mine], [other])

    registry.set_address(engine, 2, "tls://127.0.0.1:4059")  # anybody's to dial
    assert due(engine, HERE) == [mine, other]


def test_the_most_urgent_is_first_within_its_window(engine: Engine) -> None:
    attach(engine, HERE, 1, 2, 3, 4)
    low = ask(engine, meter_id=1, priority=Priority.LOW)
    normal = ask(engine, meter_id=2)
    urgent = ask(engine, meter_id=3, priority=Priority.URGENT)
    later = ask(engine, meter_id=4, priority=Priority.URGENT, valid_in_s=3600)
    assert due(engine) == [urgent, normal, low]
    assert commands.command(engine, later).valid_until_real_us - real_us() > 3600e6

    leases = {c.command_id: lease for c, lease in claimed(engine, HERE)}
    assert commands.postpone(engine, urgent, 3600, leases[urgent]) == 1
    assert commands.postpone(engine, normal, -1, leases[normal]) == 1
    release(engine, list(leases.values()))
    assert due(engine) == [normal, low]


def test_who_lost_its_lease_postpones_nothing(engine: Engine) -> None:
    attach(engine, HERE, 1)
    command_id = ask(engine)
    ((_, lease),) = claimed(engine, HERE)
    release(engine, [lease])
    claimed(engine, HERE)  # another life of ours, with a lease of its own
    with pytest.raises(LostLeaseError):
        commands.postpone(engine, command_id, 3600, lease)
    assert commands.command(engine, command_id).attempts == 0


def test_an_urgent_command_does_not_wait_for_the_end_of_another(engine: Engine) -> None:
    attach(engine, HERE, 1)
    normal = ask(engine)
    urgent = ask(engine, priority=Priority.URGENT)
    for priority in (Priority.URGENT, Priority.LOW):
        with pytest.raises(commands.MeterBusyError):
            ask(engine, priority=priority)
    assert due(engine) == [urgent, normal]


def test_who_lost_its_lease_moves_nothing(engine: Engine) -> None:
    attach(engine, HERE, 1)
    command_id = ask(engine)
    ((_, stale),) = commands.claim_requested(engine, HERE, seconds=0, limit=1)
    attach(engine, THERE, 1)
    ((_, fresh),) = commands.claim_requested(engine, THERE, seconds=60, limit=1)
    step = (command_id, {CommandState.REQUESTED}, CommandState.RESERVED, "")

    with pytest.raises(LostLeaseError):
        commands.advance(engine, *step, lease=stale)
    assert commands.command(engine, command_id).state is CommandState.REQUESTED
    assert commands.advance(engine, *step, lease=fresh)


def test_what_may_have_been_sent_is_taken_over(engine: Engine) -> None:
    attach(engine, HERE, 1)
    command_id = ask(engine)
    commands.claim_requested(engine, HERE, seconds=0, limit=1)
    commands.advance(engine, command_id, {CommandState.REQUESTED}, CommandState.RESERVED, "")

    def taken(doubt_after_s: float) -> list[str]:
        found = commands.claim_unsettled(
            engine, THERE, seconds=0, limit=9, doubt_after_s=doubt_after_s
        )
        return [command.command_id for command, _ in found]

    assert taken(3600) == []  # its meter hangs elsewhere
    assert taken(-1) == [command_id]  # but somebody has to say that it is in doubt
    commands.advance(engine, command_id, {CommandState.RESERVED}, CommandState.IN_DOUBT, "")
    assert taken(-1) == []
    attach(engine, THERE, 1)
    assert taken(3600) == [command_id]
