# SPDX-License-Identifier: Apache-2.0
"""`openami mdm run`: drain, validate, estimate, look for gaps."""

from pathlib import Path

import click

from openami.mdm.process import serve
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped


@click.group()
def mdm() -> None:
    """Meter data management: from the inbox to validated intervals."""


@mdm.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, e.g. var/mdm.",
)
@click.option("--verbose", is_flag=True, help="Log more.")
def run(home: Path, *, verbose: bool) -> None:
    """Run meter data management until SIGTERM."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: serve(home.resolve(), stop))
