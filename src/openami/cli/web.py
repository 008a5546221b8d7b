# SPDX-License-Identifier: Apache-2.0
"""`openami web`: the utility's console and the household app."""

from pathlib import Path

import click

from openami.access.accounts import STAFF, Role, create_account, new_password, set_password
from openami.runtime.logs import set_up_logs
from openami.store.database import open_database
from openami.web import process
from openami.web.config import WebConfig

HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="Folder with config.toml and session.key, e.g. var/web.",
)


@click.group()
def web() -> None:
    """The utility's console and the household app."""


@web.command()
@HOME
@click.option("--verbose", is_flag=True, help="Log every step.")
def run(home: Path, *, verbose: bool) -> None:
    """Serve the pages until stopped."""
    set_up_logs(verbose=verbose)
    process.run(home)


@web.command()
@HOME
@click.argument("login")
def password(home: Path, login: str) -> None:
    """Give LOGIN a new password, print it, and end its sessions."""
    database = open_database(WebConfig.load(home).database_url)
    fresh = new_password()
    set_password(database, login, fresh, by="command line")
    database.dispose()
    click.echo(fresh)


@web.command()
@HOME
@click.argument("login")
@click.option(
    "--role",
    type=click.Choice(sorted(role.value for role in STAFF)),
    required=True,
    help="What it may send: docs/commands.md.",
)
def account(home: Path, login: str, *, role: str) -> None:
    """Make an account LOGIN for one of the staff, and print its first password."""
    database = open_database(WebConfig.load(home).database_url)
    try:
        fresh = create_account(database, login, Role(role), by="command line")
    finally:
        database.dispose()
    click.echo(fresh)
