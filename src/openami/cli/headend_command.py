# SPDX-License-Identifier: Apache-2.0
"""`openami headend command`: what is asked of meters, what came of it, and what is withdrawn.

The command writes what is wanted and looks at what came of it; a head-end does it
(`headend_command_send` has the kinds).
"""

import getpass
import json
from pathlib import Path

import click

from openami.access.accounts import Role
from openami.cli.headend_command_send import JSON_OPTION, as_json, line, send
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.exchange.commands import CommandState
from openami.headend import requests
from openami.store import commands


@click.group()
def command() -> None:
    """Send commands to meters, and tell what came of them."""


command.add_command(send)


@command.command("list")
@HOME_OPTION
@click.option("--meter", "meter_id", type=int, help="Of one meter.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([state.value for state in CommandState]),
    help="In this state; may be repeated.",
)
@click.option("--correlation", help="Of this correlation.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True)
@JSON_OPTION
def list_(  # noqa: PLR0913  one parameter an option
    *,
    home: Path,
    meter_id: int | None,
    states: tuple[str, ...],
    correlation: str | None,
    limit: int,
    json_wanted: bool,
) -> None:
    """List commands, newest first."""
    with opened(home) as engine:
        found = commands.commands(
            engine,
            meter_id=meter_id,
            states={CommandState(state) for state in states} or None,
            correlation=correlation,
            limit=limit,
        )
    if json_wanted:
        click.echo(json.dumps([as_json(each) for each in found], indent=1))
        return
    for each in found:
        click.echo(line(each))
    if not found:
        click.echo("no command fits: see `openami headend command send --help`")


@command.command()
@HOME_OPTION
@click.argument("command_id")
@JSON_OPTION
def show(*, home: Path, command_id: str, json_wanted: bool) -> None:
    """Tell what COMMAND_ID asks, how it stands and what happened to it."""
    with opened(home) as engine:
        found = commands.command(engine, command_id)
        steps = commands.history(engine, command_id)
    if json_wanted:
        rows = [
            {"at": time_text(s.at_real_us), "state": s.state.value, "note": s.note} for s in steps
        ]
        click.echo(json.dumps(as_json(found) | {"history": rows}, indent=1))
        return
    click.echo(line(found))
    for name in ("argument", "result"):
        if value := getattr(found, name):
            click.echo(f"{name}: {json.dumps(value)}")
    for step in steps:
        click.echo(f"{time_text(step.at_real_us)}  {step.state.value}: {step.note}")


@command.command()
@HOME_OPTION
@click.argument("command_ids", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why, for the audit trail.")
def cancel(*, home: Path, command_ids: tuple[str, ...], reason: str) -> None:
    """Withdraw COMMAND_IDS that nobody has begun with."""
    login = getpass.getuser()
    with opened(home) as engine:
        for command_id in command_ids:
            requests.cancel(engine, command_id, reason, login=login, role=Role.UTILITY)
            click.echo(f"{command_id} is cancelled")
