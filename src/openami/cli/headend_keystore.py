# SPDX-License-Identifier: Apache-2.0
"""`openami headend keystore`: where the head-end's key-encryption key is, and how it moves."""

import json
from collections import Counter
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from openami.access.custody import Custody, Places, keeper_of
from openami.access.keystore import KeyStoreError
from openami.cli.headend_store import HOME_OPTION, opened
from openami.cli.progress import bar
from openami.headend.config import HeadEndConfig
from openami.runtime.errors import ExitCode
from openami.store import broadcasts, concentrator_devices, keys, registry

NOWHERE: Final = "none of them"


@click.group()
def keystore() -> None:
    """Tell where the key-encryption key is, make it, and wrap meters' keys under another."""


@keystore.command()
@HOME_OPTION
def create(*, home: Path) -> None:
    """Make the configured key-encryption key, in its folder or token, if there is none."""
    places = HeadEndConfig.load(home.resolve()).keystore
    keeper = keeper_of(places.present, places.home, create=True)
    click.echo(f"{keeper} is there; back it up apart from the database")


@keystore.command()
@HOME_OPTION
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(*, home: Path, as_json: bool) -> int:
    """Count the keys of meters, groups and concentrators by what opens them."""
    places = HeadEndConfig.load(home.resolve()).keystore
    with opened(home) as engine:
        found = _count(engine, places)
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        for place, count in found.items():
            click.echo(f"{count:>9,}  {place}")
    return int(ExitCode.REFUSED if found.get(NOWHERE) else ExitCode.DONE)


@keystore.command()
@HOME_OPTION
def rewrap(*, home: Path) -> None:
    """Wrap all keys of meters and concentrators under the configured key, with the head-end up."""
    custody = Custody.open(HeadEndConfig.load(home.resolve()).keystore)
    with opened(home) as engine, bar() as shown:
        count = broadcasts.rewrap(engine, custody.renewed) + keys.rewrap(
            engine,
            custody.renewed,
            lambda done, total: shown.at(done, total, f"{total} keys"),
        )
        count += concentrator_devices.rewrap(engine, custody.renewed)
    click.echo(f"{count} keys wrapped anew under {custody.present}")


def _count(engine: Engine, places: Places) -> dict[str, int]:
    keepers = [(place, keeper_of(place, places.home)) for place in (places.present, *places.former)]
    found = Counter({place: 0 for place, _ in keepers})
    wrapped = [key.wrapped for key in registry.keys(engine)]
    for group in broadcasts.known_groups(engine):
        wrapped += [group.encryption, group.authentication]
    wrapped += concentrator_devices.wrapped_keys(engine)
    for octets in wrapped:
        for place, keeper in keepers:
            try:
                keeper.unwrap(octets)
            except KeyStoreError:
                continue
            found[place] += 1
            break
        else:
            found[NOWHERE] += 1
    return dict(found)
