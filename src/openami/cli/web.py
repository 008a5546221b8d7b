# SPDX-License-Identifier: Apache-2.0
"""`openami web`: the utility's console and the household app."""

from pathlib import Path

import click

from openami.runtime.logs import set_up_logs
from openami.web import process


@click.group()
def web() -> None:
    """The utility's console and the household app."""


@web.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    help="folder with config.toml and session.key",
)
@click.option("--verbose", is_flag=True, help="log every step")
def run(home: Path, *, verbose: bool) -> None:
    """Serve the pages until stopped."""
    set_up_logs(verbose=verbose)
    process.run(home)
