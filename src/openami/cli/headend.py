# SPDX-License-Identifier: Apache-2.0
"""`openami headend`: speak with all meters through their concentrators; change their keys."""

from pathlib import Path

import click

from openami.cli.headend_alarms import alarms
from openami.cli.headend_campaign import campaign
from openami.cli.headend_cells import cells
from openami.cli.headend_clocks import clocks
from openami.cli.headend_command import command
from openami.cli.headend_commission import commission
from openami.cli.headend_concentrator import concentrator
from openami.cli.headend_keys import keys
from openami.cli.headend_keystore import keystore
from openami.cli.headend_sla import sla
from openami.headend.process import serve
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped
from openami.transport.url import Url


@click.group()
def headend() -> None:
    """Speak with all meters: take their pushes, read them, carry out commands."""


@headend.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, certificates and keystore, e.g. var/headend.",
)
@click.option(
    "--worker",
    metavar="NAME",
    help="Name among several head-ends over one store; it stays over restarts.",
)
@click.option("--listen", metavar="URL", help="Port for concentrators, e.g. tls://0.0.0.0:4060.")
@click.option("--verbose", is_flag=True, help="Log every connection and association.")
def run(home: Path, *, worker: str | None, listen: str | None, verbose: bool) -> None:
    """Run the head-end until SIGTERM; several over one PostgreSQL share meters and commands."""
    url = None if listen is None else Url.parse(listen, "--listen")
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: serve(home.resolve(), stop, worker=worker, listen=url))


headend.add_command(alarms)
headend.add_command(campaign)
headend.add_command(cells)
headend.add_command(clocks)
headend.add_command(command)
headend.add_command(commission)
headend.add_command(concentrator)
headend.add_command(keys)
headend.add_command(keystore)
headend.add_command(sla)
