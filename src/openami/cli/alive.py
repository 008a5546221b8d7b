# SPDX-License-Identifier: Apache-2.0
"""`openami alive`: whether a process says something, for whoever watches over containers."""

from pathlib import Path

import click

from openami.runtime.errors import UserError
from openami.runtime.status import FRESH_S, read_statuses


@click.command()
@click.argument("run", type=click.Path(path_type=Path, file_okay=False))
@click.argument("process")
def alive(run: Path, process: str) -> None:
    """Tell whether PROCESS has written its status in the folder RUN lately.

    A process does so each second: one that hangs does not. Status 1 where it has not.
    """
    found = next((each for each in read_statuses(run) if each.process == process), None)
    if found is None:
        raise UserError(f"{process} has said nothing in {run}: is it started?")
    if not found.fresh:
        raise UserError(f"{process} has said nothing for {found.age_s:.0f} s, over {FRESH_S:.0f}")
    click.echo(f"{process} is alive")
