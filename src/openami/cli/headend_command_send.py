# SPDX-License-Identifier: Apache-2.0
"""`openami headend command send KIND`: one form a kind, the same options for whom, when and why."""

import functools
import getpass
import json
import time
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from openami.access.accounts import Role
from openami.cli.headend_store import HOME_OPTION, group_of, opened, time_text
from openami.cli.progress import bar
from openami.exchange.commands import OPEN, CommandKind, CommandState, Priority
from openami.exchange.words import many
from openami.headend import requests
from openami.headend.orders import ALARM_ACTIONS, CLOCK_ACTIONS, OrderError, attribute_row
from openami.headend.requests import Request
from openami.headend.tariff_file import read_tariff_file
from openami.runtime.clock import MICROSECONDS, real_us, to_us
from openami.runtime.errors import ExitCode, UserError
from openami.store import commands
from openami.store.commands import Command

LOOK_S: Final = 0.2
SHOWN: Final = 20
JSON_OPTION: Final = click.option("--json", "json_wanted", is_flag=True, help="Print JSON.")
Json = dict[str, Any]

_OPTIONS: Final = (
    HOME_OPTION,
    click.option("--meter", "meter_ids", type=int, multiple=True, help="A meter; may be repeated."),
    click.option("--region", "regions", multiple=True, help="All meters of a region."),
    click.option("--all", "everyone", is_flag=True, help="Every meter of the registry."),
    click.option("--reason", required=True, help="Why, for the audit trail."),
    click.option(
        "--priority",
        type=click.Choice([each.name.lower() for each in Priority]),
        default="normal",
        show_default=True,
        help="An urgent command overtakes others.",
    ),
    click.option("--at", metavar="TIME", help="Not before this real time, ISO 8601 with offset."),
    click.option(
        "--valid-s",
        type=float,
        default=300.0,
        show_default=True,
        help="Seconds in which it may be begun.",
    ),
    click.option("--correlation", help="What you call it, a work order for example."),
    click.option("--follow", is_flag=True, help="Wait until each has ended."),
    JSON_OPTION,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Whom, when and why: the options that all kinds have."""

    home: Path
    meter_ids: tuple[int, ...]
    regions: tuple[str, ...]
    everyone: bool
    reason: str
    priority: str
    at: str | None
    valid_s: float
    correlation: str | None
    follow: bool
    json_wanted: bool

    def send(self, kind: CommandKind, argument: Mapping[str, Any] | None = None) -> int:
        """Write the commands; return the exit status."""
        if sum(map(bool, (self.regions, self.meter_ids, self.everyone))) != 1:
            sentence = "name the meters with --meter, with --region, or with --all"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        wanted = Request(
            kind=kind,
            argument=argument or {},
            reason=self.reason,
            priority=Priority[self.priority.upper()],
            valid_in_s=0.0 if self.at is None else seconds_until(self.at),
            valid_s=self.valid_s,
            correlation=self.correlation,
        )
        login = getpass.getuser()
        with opened(self.home) as engine:
            meters = group_of(engine, self.regions, self.meter_ids)
            with bar(wanted=len(meters) > 1) as shown:
                asked, left = requests.ask_many(
                    engine,
                    meters,
                    wanted,
                    login=login,
                    role=Role.UTILITY,
                    progress=lambda count: shown.at(count, len(meters), "asking"),
                )
            return self._report(engine, asked, left)

    def _report(self, engine: Engine, asked: dict[int, str], left: dict[int, str]) -> int:
        if self.follow:
            follow(engine, list(asked.values()))
        found = [commands.command(engine, command_id) for command_id in asked.values()]
        if self.json_wanted:
            said = {"commands": [as_json(each) for each in found], "left_out": left}
            click.echo(json.dumps(said, indent=1))
        else:
            _print(engine, found, left)
        failed = self.follow and any(each.state is not CommandState.CONFIRMED for each in found)
        return int(ExitCode.REFUSED if failed or not asked else ExitCode.DONE)


def _print(engine: Engine, found: list[Command], left: dict[int, str]) -> None:
    for each in found[:SHOWN]:
        click.echo(line(each))
        if each.state not in OPEN:
            click.echo(f"  {commands.history(engine, each.command_id)[-1].note}")
    if len(found) > SHOWN:
        click.echo(f"and {len(found) - SHOWN} more")
    for problem in list(left.values())[:SHOWN]:
        click.echo(f"left out: {problem}")
    if len(left) > SHOWN:
        click.echo(f"and {many(len(left) - SHOWN)} more left out")


def follow(engine: Engine, command_ids: list[str]) -> None:
    """Wait until commands have ended; what is for later is not waited for longer than it lasts."""
    open_ = set(command_ids)
    with bar() as shown:
        while open_:
            open_ = {each for each in open_ if commands.command(engine, each).state in OPEN}
            shown.at(len(command_ids) - len(open_), len(command_ids), "commands")
            if open_:
                time.sleep(LOOK_S)


def seconds_until(text: str) -> float:
    """Return the real seconds until a time; raises `OrderError`."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        remedy = "give ISO 8601 with its offset, such as 2026-12-01T06:00:00+01:00"
        raise OrderError(f"--at is {text!r}: {remedy}")
    seconds = (to_us(moment) - real_us()) / MICROSECONDS
    if seconds < 0:
        raise OrderError(f"--at is {text}, which is over: give a time to come, or leave it out")
    return seconds


def line(found: Command) -> str:
    """Return a command on one line."""
    return (
        f"{found.command_id}  meter {found.meter_id}  {found.kind.value}  {found.state.value}"
        f"  ({time_text(found.asked_real_us)} by {found.asked_by}: {found.reason})"
    )


def as_json(found: Command) -> Json:
    """Return a command for programs."""
    return {
        "command_id": found.command_id,
        "correlation": found.correlation,
        "meter_id": found.meter_id,
        "kind": found.kind.value,
        "argument": found.argument,
        "state": found.state.value,
        "priority": found.priority.name.lower(),
        "asked_by": found.asked_by,
        "asked_at": time_text(found.asked_real_us),
        "not_before": time_text(found.valid_from_real_us),
        "not_after": time_text(found.valid_until_real_us),
        "reason": found.reason,
        "attempts": found.attempts,
        "result": found.result,
    }


def _common(function: Callable[..., int]) -> Callable[..., int]:
    """Give a kind the options of `Sending`."""

    @functools.wraps(function)
    def sending(**options: Any) -> int:  # noqa: ANN401  click's options
        names = Sending.__dataclass_fields__
        common = {name: options.pop(name) for name in names}
        return function(Sending(**common), **options)

    for option in reversed(_OPTIONS):
        sending = option(sending)
    return sending


@click.group()
def send() -> None:
    """Ask meters for something; a head-end does it when it can reach them."""


@send.command()
@_common
def read(sending: Sending) -> int:
    """Read the registers now."""
    return sending.send(CommandKind.READ)


@send.command()
@_common
def connect(sending: Sending) -> int:
    """Connect the supply."""
    return sending.send(CommandKind.CONNECT)


@send.command()
@_common
def arm(sending: Sending) -> int:
    """Let a person connect the supply at the meter."""
    return sending.send(CommandKind.ARM)


@send.command()
@_common
def disconnect(sending: Sending) -> int:
    """Disconnect the supply."""
    return sending.send(CommandKind.DISCONNECT)


@send.command()
@click.option("--normal", type=int, help="Threshold, in the unit of the monitored register.")
@click.option("--emergency", type=int, help="Threshold while the emergency profile is active.")
@click.option("--over-s", type=int, help="Seconds that the load may stay above.")
@click.option("--under-s", type=int, help="Seconds that it has to stay below.")
@click.option("--group", "groups", type=int, multiple=True, help="Emergency profiles that count.")
@click.option("--profile-id", type=int, help="Number of the emergency profile.")
@click.option("--profile-start", metavar="TIME", help="When it begins, ISO 8601 with offset.")
@click.option("--profile-s", type=int, help="Seconds that it lasts.")
@_common
def limit(sending: Sending, *, groups: tuple[int, ...], **given: int | str | None) -> int:
    """Limit the load; what is not given stays as it is."""
    argument: Json = {
        name: given[name]
        for name in ("normal", "emergency", "over_s", "under_s")
        if given[name] is not None
    }
    if groups:
        argument["groups"] = list(groups)
    profile = {
        name: given[option]
        for name, option in (
            ("id", "profile_id"),
            ("start", "profile_start"),
            ("duration_s", "profile_s"),
        )
        if given[option] is not None
    }
    if profile:
        argument["profile"] = profile
    return sending.send(CommandKind.LIMIT, argument)


@send.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--activate", help='"now", "later", or a time; instead of what FILE says.')
@_common
def tariff(sending: Sending, *, file: Path, activate: str | None) -> int:
    """Write the tariff of FILE (TOML or JSON) and make it active as it says."""
    argument = read_tariff_file(file)
    if activate is not None:
        argument["activate"] = activate
    return sending.send(CommandKind.TARIFF, argument)


@send.command()
@click.argument("action", type=click.Choice([each.replace("_", "-") for each in CLOCK_ACTIONS]))
@click.option("--shift-s", type=int, help="Seconds to shift by, -900 to 900.")
@click.option("--force", is_flag=True, help="Also a clock that is far off.")
@_common
def clock(sending: Sending, *, action: str, shift_s: int | None, force: bool) -> int:
    """Set, adjust or shift the clock, and measure it before and after."""
    argument: Json = {"action": action.replace("-", "_"), "force": force}
    if shift_s is not None:
        argument["shift_s"] = shift_s
    return sending.send(CommandKind.CLOCK, argument)


@send.command()
@click.argument("action", type=click.Choice(list(ALARM_ACTIONS)))
@click.option("--register", type=int, help="Which alarm register, from 1; 0 is the error register.")
@click.option("--bit", "bits", type=int, multiple=True, help="To clear; else whatever is set.")
@click.option("--enable", type=int, multiple=True, help="Bit that the filter lets through.")
@click.option("--disable", type=int, multiple=True, help="Bit that the filter keeps out.")
@click.option("--value", help="The whole filter, such as 0xFFFFFFFF.")
@_common
def alarms(
    sending: Sending,
    *,
    action: str,
    register: int | None,
    value: str | None,
    **given: tuple[int, ...],
) -> int:
    """Show or clear alarms, or say which may rise."""
    argument: Json = {"action": action}
    if register is not None:
        argument["register"] = register
    if value is not None:
        try:
            argument["value"] = int(value, 0)
        except ValueError:
            raise OrderError(f"--value is {value!r}: give a number such as 0xFFFFFFFF") from None
    argument |= {name: list(bits) for name, bits in given.items() if bits}
    return sending.send(CommandKind.ALARMS, argument)


@send.command()
@click.argument("values", nargs=-1, required=True, metavar="CLASS:OBIS:ATTRIBUTE=TYPE:VALUE...")
@_common
def parameters(sending: Sending, *, values: tuple[str, ...]) -> int:
    """Write attributes, in this order: 71:0.0.17.0.0.255:6=double-long-unsigned:30."""
    return sending.send(CommandKind.PARAMETERS, {"set": [attribute_row(text) for text in values]})


@send.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_common
def bundle(sending: Sending, *, file: Path) -> int:
    """Do the items of FILE (TOML or JSON) in one association."""
    try:
        text = file.read_text(encoding="utf-8")
        said = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise OrderError(f"{file} cannot be read ({error}): name a file with items") from error
    except (ValueError, RecursionError) as error:
        form = "JSON" if file.suffix == ".json" else "TOML"
        raise OrderError(f"{file} is no {form} ({error}): correct it") from error
    if not isinstance(said, dict):
        raise OrderError(f"{file} holds no table: give items and on_failure")
    return sending.send(CommandKind.BUNDLE, json.loads(json.dumps(said, default=str)))
