# SPDX-License-Identifier: Apache-2.0
"""`openami headend keys broadcast`: keys that the meters of a concentrator share for broadcasts.

The command changes what the store has; each meter is given it by the head-end before it listens
the next time (docs/campaigns.md).
"""

import getpass
import json
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.access.custody import Custody
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.exchange.words import many
from openami.headend.config import HeadEndConfig
from openami.headend.group_keys import draw
from openami.runtime.errors import ExitCode, UserError
from openami.store import group_changes
from openami.store.group_changes import ChangeState, GroupChange, Holding


@click.command()
@HOME_OPTION
@click.option("--change", multiple=True, metavar="REGION", help="Draw other keys; may be repeated.")
@click.option("--change-all", is_flag=True, help="Draw other keys for every group.")
@click.option("--reason", default="", help="Why, for the audit trail; needed for a change.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def broadcast(
    *, home: Path, change: tuple[str, ...], change_all: bool, reason: str, as_json: bool
) -> None:
    """Tell which groups have keys for broadcasts, and how many meters hold them; or change them.

    A group is the meters of one concentrator.
    """
    changing = bool(change or change_all)
    if changing and (not reason or (change and change_all)):
        sentence = "a change needs --reason, and either --change REGION or --change-all"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    with opened(home) as engine:
        if changing:
            _change(engine, home, change, reason)
        rows = [_row(holding) for holding in _all(engine)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo("no group has keys for broadcasts: the first broadcast draws them")
    for row in rows:
        click.echo(
            f"{row['concentrator']}  epoch {row['epoch']}, held by {many(row['meters'])}, "
            f"since {row['since']} by {row['by']}: {row['reason']}{_waits(row['asked'])}"
        )


def _change(engine: Engine, home: Path, regions: tuple[str, ...], reason: str) -> None:
    """Ask as anybody does, and draw here and now: the keystore is at hand.

    Raises:
        UserError: No such group has keys, or all are being changed already.
    """
    known = group_changes.with_keys(engine, regions)
    if not known:
        where = f"region {' or '.join(regions)}" if regions else "this store"
        raise UserError(f"no group of {where} has keys for broadcasts: there is nothing to change")
    custody = Custody.open(HeadEndConfig.load(home.resolve()).keystore)
    login = getpass.getuser()
    rotation, taken = group_changes.ask(engine, known, asked_by=login, reason=reason)
    if not taken:
        sentence = "the keys of these groups are being changed already: a head-end that runs does"
        raise UserError(f"{sentence} it, or `openami headend run`")
    names = ", ".join(title.hex().upper() for title in taken)
    record(engine, login, "keys.broadcast", f"groups {names}: {reason}")
    for one in group_changes.changes(engine, rotation, limit=len(taken)):
        draw(engine, custody.wrap, one)


def _all(engine: Engine) -> list[Holding]:
    found: list[Holding] = []
    while more := group_changes.holdings(
        engine, after=found[-1].group.concentrator if found else b""
    ):
        found += more
    return found


def _row(holding: Holding) -> dict[str, Any]:
    group = holding.group
    return {
        "concentrator": group.concentrator.hex().upper(),
        "epoch": group.epoch,
        "meters": holding.holders,
        "since": time_text(group.changed_real_us),
        "by": group.changed_by,
        "reason": group.reason,
        "asked": _asked(holding.last),
    }


def _asked(last: GroupChange | None) -> dict[str, str] | None:
    if last is None or last.state is ChangeState.CHANGED:
        return None
    return {
        "state": last.state.value,
        "by": last.asked_by,
        "reason": last.reason,
        "note": last.note,
    }


def _waits(asked: dict[str, str] | None) -> str:
    if asked is None or asked["state"] == ChangeState.WITHDRAWN.value:
        return ""
    note = f" ({asked['note']})" if asked["note"] else ""
    return f"; a change by {asked['by']} is {asked['state']}{note}"
