# SPDX-License-Identifier: Apache-2.0
"""`openami concentrator run`: collect a region's meters."""

from pathlib import Path

import click

from openami.concentrator.process import serve
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped


@click.group()
def concentrator() -> None:
    """Collect a region's meters and lose none of their readings."""


@concentrator.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, certificates and journal, e.g. var/concentrators/north.",
)
@click.option("--verbose", is_flag=True, help="Log every connection.")
def run(home: Path, *, verbose: bool) -> None:
    """Run one concentrator until SIGTERM."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: serve(home.resolve(), stop))
