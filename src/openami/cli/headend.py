# SPDX-License-Identifier: Apache-2.0
"""`openami headend`: speak with all meters through their concentrators; change their keys."""

from collections.abc import Mapping
from pathlib import Path

import click

from openami.cli.loading import Loading
from openami.headend.process import serve
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped
from openami.transport.url import Url


class Parts(Loading):
    """What is asked of a head-end's store, beside `run`."""

    table: Mapping[str, tuple[str, str]] = {
        "alarms": ("openami.cli.headend_alarms", "alarms"),
        "campaign": ("openami.cli.headend_campaign", "campaign"),
        "cells": ("openami.cli.headend_cells", "cells"),
        "clocks": ("openami.cli.headend_clocks", "clocks"),
        "command": ("openami.cli.headend_command", "command"),
        "commission": ("openami.cli.headend_commission", "commission"),
        "concentrator": ("openami.cli.headend_concentrator", "concentrator"),
        "keys": ("openami.cli.headend_keys", "keys"),
        "keystore": ("openami.cli.headend_keystore", "keystore"),
        "meters": ("openami.cli.headend_meters", "meters"),
        "sla": ("openami.cli.headend_sla", "sla"),
    }


@click.group(cls=Parts)
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
