# SPDX-License-Identifier: Apache-2.0
"""`openami headend keys`: new keys for a group of meters, while the head-end goes on reading.

The command writes what is wanted and looks at what came of it; the head-end does it.
"""

import getpass
import json
import time
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.cli.headend_keys_broadcast import broadcast
from openami.cli.headend_store import HOME_OPTION, group_of, opened, time_text
from openami.cli.progress import Bar, bar
from openami.cli.ranges import FiniteRange
from openami.exchange.words import many
from openami.runtime.clock import MICROSECONDS, real_us
from openami.runtime.errors import ExitCode, UserError
from openami.store import key_changes, registry
from openami.store import keys as epochs
from openami.store.key_changes import ChangeState, Rotation

LOOK_S: Final = 0.5
DAY_US: Final = 86_400 * MICROSECONDS
SHOWN: Final = 20  # meters that wait or refused, under a rotation

_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FOLLOW = click.option("--follow", is_flag=True, help="Wait until every meter's change has ended.")


@click.group()
def keys() -> None:
    """Change meters' keys, and tell which keys hold."""


keys.add_command(broadcast)


@keys.command()
@HOME_OPTION
@click.option("--region", multiple=True, help="All meters of a region; may be repeated.")
@click.option("--meter", "meter_ids", type=int, multiple=True, help="A meter; may be repeated.")
@click.option("--all", "everyone", is_flag=True, help="Every meter of the registry.")
@click.option("--master-key", is_flag=True, help="Change the master key (KEK) of the meter too.")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@_FOLLOW
@_JSON
def rotate(  # noqa: PLR0913  one parameter an option
    *,
    home: Path,
    region: tuple[str, ...],
    meter_ids: tuple[int, ...],
    everyone: bool,
    master_key: bool,
    reason: str,
    follow: bool,
    as_json: bool,
) -> int:
    """Give new keys to a group of meters."""
    if sum(map(bool, (region, meter_ids, everyone))) != 1:
        sentence = "name the group with --region, with --meter, or with --all"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    with opened(home) as engine:
        wanted = group_of(engine, region, meter_ids)
        names = ("guek", "gak", "kek") if master_key else ("guek", "gak")
        login = getpass.getuser()
        rotation, count = key_changes.ask(
            engine, wanted, asked_by=login, reason=reason, key_names=names
        )
        if not count:
            sentence = "the keys of these meters are being changed already: see"
            raise UserError(f"{sentence} `openami headend keys status`")
        record(engine, login, "keys.rotate", f"{many(count)}, rotation {rotation}: {reason}")
        if not as_json:
            click.echo(f"rotation {rotation} of {many(count)} is asked for")
            if left := len(wanted) - count:
                click.echo(f"{many(left)} left out: their keys are being changed already")
        return _report(engine, rotation, follow=follow, as_json=as_json)


@keys.command()
@HOME_OPTION
@click.argument("rotation", required=False)
@_FOLLOW
@_JSON
def status(*, home: Path, rotation: str | None, follow: bool, as_json: bool) -> int:
    """Tell how far ROTATION is, or the latest ones."""
    with opened(home) as engine:
        found = key_changes.rotations(engine)
        if rotation is None and not follow:
            if as_json:
                click.echo(json.dumps([_as_json(engine, each) for each in found], indent=1))
            for each in [] if as_json else found:
                click.echo(_line(each))
            if not found and not as_json:
                click.echo("no keys were ever changed: see `openami headend keys rotate --help`")
            return int(ExitCode.DONE)
        if rotation is None and not found:
            raise UserError("there is no rotation to follow: see `openami headend keys rotate`")
        return _report(engine, rotation or found[0].rotation, follow=follow, as_json=as_json)


@keys.command()
@HOME_OPTION
@click.argument("rotation")
def stop(*, home: Path, rotation: str) -> None:
    """Withdraw what ROTATION has not sent yet; what was sent goes on until it is proven."""
    with opened(home) as engine:
        _find(engine, rotation)
        login = getpass.getuser()
        count = key_changes.withdraw(engine, rotation, f"stopped by {login}")
        record(engine, login, "keys.stop", f"{many(count)}, rotation {rotation}")
        click.echo(f"{many(count)} withdrawn")


@keys.command()
@HOME_OPTION
@click.option(
    "--retired-days",
    type=FiniteRange(0),
    required=True,
    help="Keys that retired at least so long ago; 0 for all, where they are known to others.",
)
@click.option("--reason", required=True, help="Why, for the audit trail.")
def close(*, home: Path, retired_days: float, reason: str) -> None:
    """Let retired keys open nothing more: concentrators' journals have drained since."""
    login = getpass.getuser()
    before_us = real_us() - round(retired_days * DAY_US)
    with opened(home) as engine:
        count = epochs.close_retired(engine, before_us, f"closed by {login}: {reason}")
        record(
            engine, login, "keys.close", f"{count} epochs retired {retired_days:g} days: {reason}"
        )
    click.echo(f"{count} retired epochs open nothing more")


@keys.command()
@HOME_OPTION
@click.argument("meter_id", type=int)
@_JSON
def history(*, home: Path, meter_id: int, as_json: bool) -> None:
    """Tell which key epochs METER_ID has had, and what happened to each."""
    with opened(home) as engine:
        registry.meter(engine, meter_id)
        known = epochs.epochs(engine, meter_id)
        steps = epochs.history(engine, meter_id)
    if as_json:
        rows = [
            {
                "epoch": s.epoch,
                "at": time_text(s.at_real_us),
                "state": s.state.value,
                "note": s.note,
            }
            for s in steps
        ]
        states = {each.epoch: each.state.value for each in known}
        click.echo(json.dumps({"epochs": states, "history": rows}, indent=1))
        return
    for each in reversed(known):
        click.echo(f"epoch {each.epoch}: {each.state.value}")
    for step in steps:
        click.echo(
            f"{time_text(step.at_real_us)}  epoch {step.epoch} {step.state.value}: {step.note}"
        )


def _find(engine: Engine, rotation: str) -> Rotation:
    for each in key_changes.rotations(engine, limit=1_000):
        if each.rotation == rotation:
            return each
    raise UserError(f"there is no rotation {rotation}: see `openami headend keys status`")


def _report(engine: Engine, rotation: str, *, follow: bool, as_json: bool) -> int:
    """Print how far a rotation is; refused meters make the status 1."""
    found = _find(engine, rotation)
    if follow:
        with bar() as shown:
            while _show(shown, found):
                time.sleep(LOOK_S)
                found = _find(engine, rotation)
    if as_json:
        click.echo(json.dumps(_as_json(engine, found), indent=1))
    else:
        click.echo(_line(found))
        for state in (ChangeState.OPEN, ChangeState.REFUSED):
            rows = key_changes.changes(engine, rotation, state=state, limit=SHOWN)
            for row in rows:
                if row.note:
                    click.echo(f"  meter {row.meter_id} {state.value}: {row.note}")
            if (more := found.meters.get(state, 0) - len(rows)) > 0:
                click.echo(f"  and {more} more {state.value}")
    refused = found.meters.get(ChangeState.REFUSED, 0)
    return int(ExitCode.REFUSED if refused else ExitCode.DONE)


def _show(shown: Bar, found: Rotation) -> bool:
    """Move the bar; tell whether anything is open."""
    total = sum(found.meters.values())
    open_ = found.meters.get(ChangeState.OPEN, 0)
    shown.at(total - open_, total, f"keys of {many(total)}")
    return open_ > 0


def _line(found: Rotation) -> str:
    counts = ", ".join(f"{count} {state.value}" for state, count in found.meters.items())
    asked = f"asked by {found.asked_by} at {time_text(found.asked_real_us)}: {found.reason}"
    return f"{found.rotation}  {counts}  ({asked})"


def _as_json(engine: Engine, found: Rotation) -> dict[str, object]:
    return {
        "rotation": found.rotation,
        "asked_by": found.asked_by,
        "asked_at": time_text(found.asked_real_us),
        "reason": found.reason,
        "meters": {state.value: found.meters.get(state, 0) for state in ChangeState},
        "refused": [
            {"meter_id": row.meter_id, "note": row.note}
            for row in key_changes.changes(
                engine, found.rotation, state=ChangeState.REFUSED, limit=1_000
            )
        ],
    }
