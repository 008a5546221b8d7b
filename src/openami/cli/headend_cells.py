# SPDX-License-Identifier: Apache-2.0
"""`openami headend cells`: which meters share a narrow way, a radio cell or a transformer.

At most `[sessions] cell_parallel` conversations run in a cell at once.
"""

import csv
import getpass
from pathlib import Path
from typing import Final

import click

from openami.access.accounts import record
from openami.cli.headend_store import HOME_OPTION, opened
from openami.exchange.words import many
from openami.runtime.errors import ExitCode, UserError
from openami.store import registry

WHEN: Final = "a running head-end knows from a meter's next scheduled read on, or when started anew"
COLUMNS: Final = ["meter_id", "cell"]


@click.group()
def cells() -> None:
    """Tell which meters share a narrow way, and which cells there are."""


@cells.command("list")
@HOME_OPTION
def list_(*, home: Path) -> None:
    """List the cells, and how many meters each has."""
    with opened(home) as engine:
        known = registry.cells(engine)
    for name, count in known.items():
        click.echo(f"{name}  {many(count)}")
    if not known:
        click.echo("no meter has a cell: see `openami headend cells set --help`")


@cells.command("set")
@HOME_OPTION
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def set_(*, home: Path, file: Path) -> None:
    """Take the cells of meters from FILE: CSV with the columns meter_id and cell."""
    wanted = read_cells(file)
    with opened(home) as engine:
        count = registry.set_cells(engine, wanted)
        record(engine, getpass.getuser(), "cells.set", f"{many(count)} from {file.name}")
    click.echo(f"{many(count)} changed; {WHEN}")


def read_cells(file: Path) -> dict[int, str]:
    """Return the cells that a CSV file tells.

    Raises:
        UserError: It cannot be read, or a line in it is none.
    """
    try:
        with file.open(encoding="utf-8", newline="") as lines:
            rows = list(csv.reader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        problem = f"{file} cannot be read ({error}): name a CSV file"
        raise UserError(problem, ExitCode.ASKED_WRONGLY) from error
    if not rows or rows[0] != COLUMNS:
        problem = f"{file} does not begin with {','.join(COLUMNS)}: write that line first"
        raise UserError(problem, ExitCode.ASKED_WRONGLY)
    found: dict[int, str] = {}
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2 or not row[0].isdigit() or len(row[1].strip()) > registry.MOST_CELL:
            problem = f"{file}, line {number}: {','.join(row)!r} is no meter number and its cell"
            raise UserError(f"{problem}: correct it", ExitCode.ASKED_WRONGLY)
        found[int(row[0])] = row[1].strip()
    return found
