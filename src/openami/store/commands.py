# SPDX-License-Identifier: Apache-2.0
"""Commands as durable intents (docs/architecture.md, 7).

Pages and tools ask, the head-end advances.  Every step is a compare-and-set against
`exchange.commands.TRANSITIONS` and leaves a line of history, so two workers cannot both send.
"""

import json
import uuid
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Connection, RowMapping, select, update

from openami.exchange.commands import OPEN, TRANSITIONS, CommandKind, CommandState
from openami.runtime.clock import real_us
from openami.runtime.errors import UserError
from openami.store.database import Database, insert_all, reading, transaction
from openami.store.tables import command_history, meters
from openami.store.tables import commands as commands_table

Argument = dict[str, int | float | str | bool | None]


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
    argument: Argument | None = None,
) -> str:
    """Make an intent durable; return its command id.

    Raises:
        MeterBusyError: An earlier command of this meter is still open.
    """
    command_id = str(uuid.uuid4())
    now_us = real_us()
    row = {
        "command_id": command_id,
        "meter_id": meter_id,
        "kind": kind.value,
        "argument": json.dumps(argument or {}),
        "state": CommandState.REQUESTED.value,
        "asked_by": asked_by,
        "reason": reason,
        "asked_real_us": now_us,
        "valid_until_real_us": now_us + round(valid_s * 1e6),
    }
    with transaction(database) as connection:
        _refuse_second(connection, meter_id)
        insert_all(connection, commands_table, [row])
        _note(connection, command_id, CommandState.REQUESTED, f"asked by {asked_by}: {reason}")
    return command_id


def _refuse_second(connection: Connection, meter_id: int) -> None:
    """Refuse a command while another is open; two that ask at once meet at the meter's row."""
    # SQLite has one writer; PostgreSQL makes the second wait here until the first is committed.
    row = select(meters.c.meter_id).where(meters.c.meter_id == meter_id).with_for_update()
    connection.execute(row).first()
    earlier = select(commands_table.c.kind).where(
        (commands_table.c.meter_id == meter_id)
        & commands_table.c.state.in_([state.value for state in OPEN])
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
) -> bool:
    """Move a command if it stands in one of `from_states`; tell whether it did.

    `counters` is the block of invocation counters reserved for it, `result` what came of it.

    Raises:
        UserError: No such step exists.
    """
    for state in from_states:
        if to_state not in TRANSITIONS[state]:
            sentence = f"command {command_id}: {state.value} is never followed by {to_state.value}"
            raise UserError(f"{sentence}: ask for a new command")
    values: dict[str, object] = {"state": to_state.value}
    if counters is not None:
        values |= {"counter_first": counters.start, "counter_after": counters.stop}
    if result is not None:
        values["result"] = json.dumps(result)
    wanted = (commands_table.c.command_id == command_id) & commands_table.c.state.in_(
        [state.value for state in from_states]
    )
    with transaction(database) as connection:
        done = connection.execute(update(commands_table).where(wanted).values(**values))
        if done.rowcount == 0:
            return False
        _note(connection, command_id, to_state, note)
    return True


def _note(database: Database, command_id: str, state: CommandState, note: str) -> None:
    row = {
        "command_id": command_id,
        "at_real_us": real_us(),
        "state": state.value,
        "note": note,
    }
    with transaction(database) as connection:
        insert_all(connection, command_history, [row])


def due(database: Database, *, limit: int = 100) -> list[Command]:
    """Return commands that nobody has begun, oldest first; expired ones are moved away first."""
    now_us = real_us()
    for command in in_state(database, {CommandState.REQUESTED}, limit=limit):
        if command.valid_until_real_us < now_us:
            note = "its validity ended before it was sent"
            advance(
                database,
                command.command_id,
                {CommandState.REQUESTED},
                CommandState.EXPIRED,
                note,
            )
    return in_state(database, {CommandState.REQUESTED}, limit=limit)


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


def commands(database: Database, *, meter_id: int | None = None, limit: int = 100) -> list[Command]:
    """Return commands, newest first."""
    query = select(commands_table).order_by(commands_table.c.asked_real_us.desc()).limit(limit)
    if meter_id is not None:
        query = query.where(commands_table.c.meter_id == meter_id)
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


def _command(row: RowMapping) -> Command:
    fields = dict(row)
    fields["kind"] = CommandKind(fields["kind"])
    fields["state"] = CommandState(fields["state"])
    fields["argument"] = json.loads(fields["argument"])
    fields["result"] = None if fields["result"] is None else json.loads(fields["result"])
    return Command(**fields)
