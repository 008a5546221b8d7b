# SPDX-License-Identifier: Apache-2.0
"""Commands as durable intents (docs/architecture.md, 7).

Pages and tools ask, the head-end advances.  Every step is a compare-and-set against
`exchange.commands.TRANSITIONS` and leaves a line of history, so two workers cannot both send.
A command is worked on under a lease, by the worker that can reach its meter; when that worker dies,
another takes it over and asks the meter what became of it.
"""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, RowMapping, func, literal_column, select, update

from openami.exchange.commands import OPEN, TRANSITIONS, CommandKind, CommandState, Priority
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import UserError
from openami.store.database import Database, insert_all, reading, transaction
from openami.store.leases import Kind, Lease, Worker, claim, require
from openami.store.registry import with_route
from openami.store.tables import attachments, command_history, meters
from openami.store.tables import commands as commands_table

BEGUN: Final = frozenset({CommandState.RESERVED, CommandState.SENT})  # may have been sent
SWEPT: Final = 1000  # expired commands of one look

Argument = dict[str, Any]  # JSON object

# In the words of the indexes of what is due and what is late: a parameter says nothing to them.
_REQUESTED: Final = commands_table.c.state == literal_column(f"'{CommandState.REQUESTED.value}'")


class MeterBusyError(UserError):
    """The meter still works on an earlier command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An intent and where it stands."""

    command_id: str
    meter_id: int
    kind: CommandKind
    argument: Argument
    state: CommandState
    asked_by: str
    reason: str
    asked_real_us: int
    valid_until_real_us: int
    counter_first: int | None
    counter_after: int | None
    result: Argument | None
    priority: Priority
    valid_from_real_us: int
    attempts: int  # that did not reach the meter
    next_attempt_real_us: int
    changed_real_us: int  # when it came to its state
    correlation: str  # what the asker calls it; several commands may belong together


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a command's history."""

    command_id: str
    at_real_us: int
    state: CommandState
    note: str


def ask(  # noqa: PLR0913  a command has these fields
    database: Database,
    *,
    meter_id: int,
    kind: CommandKind,
    asked_by: str,
    reason: str,
    valid_s: float = 300.0,
    valid_in_s: float = 0.0,
    priority: Priority = Priority.NORMAL,
    argument: Argument | None = None,
    correlation: str | None = None,
) -> str:
    """Make an intent durable; return its command id.

    It is sent from `valid_in_s` from now on, for `valid_s`.  `argument` is one that
    `headend.orders` takes; `correlation` is what the asker calls it, else it is the command id.

    Raises:
        MeterBusyError: An earlier command of this meter, not less urgent, is still open.
    """
    command_id = str(uuid.uuid4())
    now_us = real_us()
    from_us = now_us + round(valid_in_s * MICROSECONDS)
    row = {
        "command_id": command_id,
        "meter_id": meter_id,
        "kind": kind.value,
        "argument": json.dumps(argument or {}),
        "state": CommandState.REQUESTED.value,
        "asked_by": asked_by,
        "reason": reason,
        "asked_real_us": now_us,
        "valid_from_real_us": from_us,
        "valid_until_real_us": from_us + round(valid_s * MICROSECONDS),
        "priority": int(priority),
        "changed_real_us": now_us,
        "correlation": correlation or command_id,
    }
    with transaction(database) as connection:
        if valid_in_s <= 0:
            _refuse_second(connection, meter_id, priority)
        insert_all(connection, commands_table, [row])
        _note(connection, command_id, CommandState.REQUESTED, f"asked by {asked_by}: {reason}")
    return command_id


def _refuse_second(connection: Connection, meter_id: int, priority: Priority) -> None:
    """Refuse a command while one as urgent is due; two that ask at once meet at the meter.

    Those for later wait in a row: they are sent one after another when their time has come.
    """
    # SQLite has one writer; PostgreSQL makes the second wait here until the first is committed.
    row = select(meters.c.meter_id).where(meters.c.meter_id == meter_id).with_for_update()
    connection.execute(row).first()
    earlier = select(commands_table.c.kind).where(
        (commands_table.c.meter_id == meter_id)
        & commands_table.c.state.in_([state.value for state in OPEN])
        & (commands_table.c.priority <= int(priority))
        & (commands_table.c.valid_from_real_us <= real_us())
    )
    kind = connection.execute(earlier.limit(1)).scalar()
    if kind is not None:
        raise MeterBusyError(f"meter {meter_id} still works on a {kind}: wait for its end")


def advance(  # noqa: PLR0913  a step has these fields
    database: Database,
    command_id: str,
    from_states: Collection[CommandState],
    to_state: CommandState,
    note: str,
    *,
    counters: range | None = None,
    result: Argument | None = None,
    lease: Lease | None = None,
    noted: bool = True,
) -> bool:
    """Move a command if it stands in one of `from_states`; tell whether it did.

    `counters` is the block of invocation counters reserved for it, `result` what came of it.  Where
    it is not `noted` here, the caller does so in the same transaction (`note_steps`).

    Raises:
        LostLeaseError: `lease` is another's by now; nothing was moved.
        UserError: No such step exists.
    """
    for state in from_states:
        if to_state not in TRANSITIONS[state]:
            sentence = f"command {command_id}: {state.value} is never followed by {to_state.value}"
            raise UserError(f"{sentence}: ask for a new command")
    values: dict[str, object] = {"state": to_state.value, "changed_real_us": real_us()}
    if counters is not None:
        values |= {"counter_first": counters.start, "counter_after": counters.stop}
    if result is not None:
        values["result"] = json.dumps(result)
    wanted = (commands_table.c.command_id == command_id) & commands_table.c.state.in_(
        [state.value for state in from_states]
    )
    with transaction(database) as connection:
        done = connection.execute(update(commands_table).where(wanted).values(**values))
        if lease is not None:
            require(connection, lease)
        if done.rowcount == 0:
            return False
        if noted:
            _note(connection, command_id, to_state, note)
    return True


def _note(database: Database, command_id: str, state: CommandState, note: str) -> None:
    step = Step(command_id=command_id, at_real_us=real_us(), state=state, note=note)
    note_steps(database, [step])


def note_steps(database: Database, steps: Collection[Step]) -> None:
    """Append to the history of commands."""
    rows = [
        {
            "command_id": step.command_id,
            "at_real_us": step.at_real_us,
            "state": step.state.value,
            "note": step.note,
        }
        for step in steps
    ]
    with transaction(database) as connection:
        insert_all(connection, command_history, rows)


def progress(database: Database, command_id: str, result: Argument, lease: Lease) -> None:
    """Record how far a command that is being sent has come.

    Raises:
        LostLeaseError: `lease` is another's by now; nothing is recorded.
    """
    wanted = (commands_table.c.command_id == command_id) & (
        commands_table.c.state == CommandState.SENT.value
    )
    with transaction(database) as connection:
        require(connection, lease)
        said = json.dumps(result)
        connection.execute(update(commands_table).where(wanted).values(result=said))


def cancel(database: Database, command_id: str, by: str, reason: str) -> Command:
    """Withdraw a command that nobody has begun with; return it.

    Raises:
        UserError: There is none of that id, or it is too late.
    """
    note = f"cancelled by {by}: {reason}"
    requested = {CommandState.REQUESTED}
    with transaction(database) as connection:
        done = advance(connection, command_id, requested, CommandState.CANCELLED, note)
        found = command(connection, command_id)
    if not done:
        raise UserError(
            f"command {command_id} is {found.state.value} by now: only what is requested is"
            " cancelled; ask for the opposite"
        )
    return found


def expire(database: Database) -> int:
    """Move commands away whose validity ended before they were begun; return how many."""
    table = commands_table.c
    late = select(table.command_id).where(_REQUESTED, table.valid_until_real_us < real_us())
    with reading(database) as connection:
        found = list(connection.execute(late.limit(SWEPT)).scalars())
    note = "its validity ended before it was sent"
    requested = {CommandState.REQUESTED}
    return sum(advance(database, each, requested, CommandState.EXPIRED, note) for each in found)


def claim_requested(
    database: Database, worker: Worker, *, seconds: float, limit: int
) -> list[tuple[Command, Lease]]:
    """Take commands that are due and whose meters this worker can reach, most urgent first."""
    table, now_us = commands_table.c, real_us()
    wanted = (
        _REQUESTED
        & (table.valid_from_real_us <= now_us)
        & (table.valid_until_real_us >= now_us)
        & (table.next_attempt_real_us <= now_us)
        & with_route(worker.name)
    )
    return _claim(database, wanted, worker, seconds, limit)


def claim_unsettled(
    database: Database, worker: Worker, *, seconds: float, limit: int, doubt_after_s: float
) -> list[tuple[Command, Lease]]:
    """Take commands that may have been sent and that nobody works on.

    Those are of a worker that died, or lost its way to the meter: whose meter this worker can
    reach, and whose doubt is not written down though it lasts longer than `doubt_after_s`.  One in
    doubt rests between two questions (`rest`).
    """
    table, now_us = commands_table.c, real_us()
    begun = table.state.in_([state.value for state in BEGUN])
    overdue = begun & (table.changed_real_us < now_us - round(doubt_after_s * MICROSECONDS))
    doubtful = table.state == CommandState.IN_DOUBT.value
    asked = doubtful & (table.next_attempt_real_us <= now_us)
    wanted = (begun | asked) & (with_route(worker.name) | overdue)
    return _claim(database, wanted, worker, seconds, limit)


def _claim(
    database: Database, wanted: ColumnElement[bool], worker: Worker, seconds: float, limit: int
) -> list[tuple[Command, Lease]]:
    table = commands_table.c
    order = (table.priority, table.asked_real_us)
    query = (
        select(table.command_id)
        .join_from(commands_table, meters, meters.c.meter_id == table.meter_id, isouter=True)
        .join(attachments, attachments.c.meter_id == table.meter_id, isouter=True)
        .where(wanted)
        .order_by(*order)
    )
    key = table.command_id
    given = claim(database, Kind.COMMAND, key, query, worker, seconds=seconds, limit=limit)
    if not given:
        return []
    leases = {lease.item: lease for lease in given}
    rows = select(commands_table).where(key.in_(list(leases))).order_by(*order)
    with reading(database) as connection:
        found = [_command(row) for row in connection.execute(rows).mappings()]
    return [(command, leases[command.command_id]) for command in found]


def postpone(database: Database, command_id: str, pause_s: float, lease: Lease) -> int:
    """Record an attempt that reached no meter, and when to try next; return how many there were.

    Raises:
        LostLeaseError: `lease` is another's by now; nothing is written.
    """
    table = commands_table.c
    with transaction(database) as connection:
        require(connection, lease)
        done = connection.execute(
            update(commands_table)
            .where(table.command_id == command_id)
            .values(
                attempts=table.attempts + 1,
                next_attempt_real_us=real_us() + round(pause_s * MICROSECONDS),
            )
            .returning(table.attempts)
        )
        return int(done.scalar_one())


def rest(database: Database, command_id: str, pause_s: float, lease: Lease) -> None:
    """Let a command in doubt rest before its meter is asked again.

    Raises:
        LostLeaseError: `lease` is another's by now; nothing is written.
    """
    wanted = commands_table.c.command_id == command_id
    values = {"next_attempt_real_us": real_us() + round(pause_s * MICROSECONDS)}
    with transaction(database) as connection:
        require(connection, lease)
        connection.execute(update(commands_table).where(wanted).values(values))


def in_state(
    database: Database, states: Collection[CommandState], *, limit: int = 100
) -> list[Command]:
    """Return commands in these states, oldest first."""
    query = select(commands_table).where(
        commands_table.c.state.in_([state.value for state in states])
    )
    query = query.order_by(commands_table.c.asked_real_us).limit(limit)
    with reading(database) as connection:
        return [_command(row) for row in connection.execute(query).mappings()]


def count(database: Database, states: Collection[CommandState]) -> int:
    """Return how many commands are in these states."""
    query = select(func.count()).select_from(commands_table)
    query = query.where(commands_table.c.state.in_([state.value for state in states]))
    with reading(database) as connection:
        return int(connection.scalar(query) or 0)


def command(database: Database, command_id: str) -> Command:
    """Return one command.

    Raises:
        UserError: There is none of that id.
    """
    query = select(commands_table).where(commands_table.c.command_id == command_id)
    with reading(database) as connection:
        row = connection.execute(query).mappings().first()
    if row is None:
        raise UserError(f"there is no command {command_id}: see the list of jobs")
    return _command(row)


def commands(
    database: Database,
    *,
    meter_id: int | None = None,
    states: Collection[CommandState] | None = None,
    correlation: str | None = None,
    limit: int = 100,
) -> list[Command]:
    """Return commands, newest first."""
    query = select(commands_table).order_by(commands_table.c.asked_real_us.desc()).limit(limit)
    if meter_id is not None:
        query = query.where(commands_table.c.meter_id == meter_id)
    if states is not None:
        query = query.where(commands_table.c.state.in_([state.value for state in states]))
    if correlation is not None:
        query = query.where(commands_table.c.correlation == correlation)
    with reading(database) as connection:
        return [_command(row) for row in connection.execute(query).mappings()]


def history(database: Database, command_id: str) -> list[Step]:
    """Return what happened to a command, oldest first."""
    columns = command_history.c
    query = select(columns.command_id, columns.at_real_us, columns.state, columns.note)
    query = query.where(columns.command_id == command_id).order_by(columns.history_id)
    with reading(database) as connection:
        return [
            Step(**{**row, "state": CommandState(row["state"])})
            for row in connection.execute(query).mappings()
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """When a command was asked for, and when it was confirmed; None if it was not."""

    meter_id: int
    asked_real_us: int
    confirmed_real_us: int | None


def outcomes(
    database: Database, kinds: Collection[CommandKind], from_us: int, to_us: int
) -> list[Outcome]:
    """Return what came of the commands asked for in [from_us, to_us), oldest first."""
    table, steps = commands_table.c, command_history.c
    confirmed = (
        select(steps.command_id, func.min(steps.at_real_us).label("confirmed_real_us"))
        .where(steps.state == CommandState.CONFIRMED.value)
        .group_by(steps.command_id)
        .subquery()
    )
    query = (
        select(table.meter_id, table.asked_real_us, confirmed.c.confirmed_real_us)
        .join_from(
            commands_table, confirmed, confirmed.c.command_id == table.command_id, isouter=True
        )
        .where(table.kind.in_([kind.value for kind in kinds]))
        .where(table.asked_real_us >= from_us, table.asked_real_us < to_us)
        .order_by(table.asked_real_us)
    )
    with reading(database) as connection:
        return [Outcome(**row) for row in connection.execute(query).mappings()]


def _command(row: RowMapping) -> Command:
    fields = dict(row)
    fields["kind"] = CommandKind(fields["kind"])
    fields["state"] = CommandState(fields["state"])
    fields["priority"] = Priority(fields["priority"])
    fields["argument"] = json.loads(fields["argument"])
    fields["result"] = None if fields["result"] is None else json.loads(fields["result"])
    return Command(**fields)
