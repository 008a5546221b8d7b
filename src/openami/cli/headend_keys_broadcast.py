# SPDX-License-Identifier: Apache-2.0
"""`openami headend keys broadcast`: keys that the meters of a concentrator share for broadcasts.

The command changes what the store has; each meter is given it by the head-end before it listens
the next time (docs/campaigns.md).
"""

import getpass
import json
import os
from pathlib import Path
from typing import Any

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.access.custody import Custody
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.headend.config import HeadEndConfig
from openami.headend.key_changes import KEY_OCTETS
from openami.runtime.errors import ExitCode, UserError
from openami.store import broadcasts, registry


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
            wanted = _wanted(engine, change)
            custody = Custody.open(HeadEndConfig.load(home.resolve()).keystore)
            login = getpass.getuser()
            for concentrator in wanted:
                broadcasts.change_keys(
                    engine,
                    concentrator,
                    lambda: custody.wrap(os.urandom(KEY_OCTETS)),
                    by=login,
                    reason=reason,
                )
            names = ", ".join(title.hex().upper() for title in wanted)
            record(engine, login, "keys.broadcast", f"groups {names}: {reason}")
        rows = [_row(engine, group) for group in broadcasts.known_groups(engine)]
    if as_json:
        click.echo(json.dumps(rows, indent=1))
        return
    if not rows:
        click.echo("no group has keys for broadcasts: the first broadcast draws them")
    for row in rows:
        click.echo(
            f"{row['concentrator']}  epoch {row['epoch']}, held by {row['meters']} meters, "
            f"since {row['since']} by {row['by']}: {row['reason']}"
        )


def _wanted(engine: Engine, regions: tuple[str, ...]) -> list[bytes]:
    """Return the groups of regions, or all; those that have keys.

    Raises:
        UserError: There is none.
    """
    known = [group.concentrator for group in broadcasts.known_groups(engine)]
    if regions:
        there = {m.concentrator for m in registry.meters(engine) if m.region in regions}
        known = [title for title in known if title in there]
    if not known:
        where = f"region {' or '.join(regions)}" if regions else "this store"
        raise UserError(f"no group of {where} has keys for broadcasts: there is nothing to change")
    return known


def _row(engine: Engine, group: broadcasts.Group) -> dict[str, Any]:
    return {
        "concentrator": group.concentrator.hex().upper(),
        "epoch": group.epoch,
        "meters": broadcasts.members_of(engine, group.concentrator, group.epoch),
        "since": time_text(group.changed_real_us),
        "by": group.changed_by,
        "reason": group.reason,
    }
