# SPDX-License-Identifier: Apache-2.0
"""`openami meter errors`: the measuring chain on its test bench, against class 0.5 S."""

import json
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from openami.meter.measuring.accuracy import Bench, Errors
from openami.meter.measuring.error_plot import error_plot
from openami.runtime.errors import ExitCode, UserError


@click.command()
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw the errors and their limits into this SVG file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--seed", type=int, default=1, show_default=True, help="Draws the front end.")
def errors(*, plot: Path | None, as_json: bool, seed: int) -> None:
    """Measure the chain's errors over the tables of class 0.5 S (IEC 62053-22).

    A front end is drawn by the seed, calibrated, and put through every point.  The exit code is 1
    when a point is outside its limit.
    """
    if seed < 0:
        raise UserError(f"{seed} is no seed: use 0 or more", ExitCode.ASKED_WRONGLY)
    found = Bench(seed=seed).walk()
    if plot is not None:
        _write(plot, error_plot(found))
    if as_json:
        click.echo(json.dumps(_as_json(found), ensure_ascii=False, indent=1))
    else:
        _show(found)
    if not found.within:
        raise UserError("a point is outside its limit: the chain is not within class 0.5 S")


def _write(path: Path, words: str) -> None:
    try:
        path.write_text(words, encoding="utf-8")
    except OSError as error:
        sentence = f"{path} cannot be written ({error.strerror}): name another file"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from error


def _show(found: Errors) -> None:
    console = Console(width=None if Console().is_terminal else 100)
    table = Table(title="Errors at reference conditions")
    for name in ("cos φ", "current, In", "error, %", "limit, %", ""):
        table.add_column(name, justify="left" if name in {"cos φ", ""} else "right")
    for row in found.rows:
        table.add_row(
            row.load.words,
            f"{row.current_in:g}",
            f"{row.error_percent:+.4f}",
            f"±{row.limit_percent:.1f}",
            "within" if row.within else "OUTSIDE",
        )
    console.print(table)
    table = Table(title="Variation of the error by influences")
    for name in ("influence", "cos φ", "current, In", "variation, %", "limit, %", ""):
        left = name in {"influence", "cos φ", ""}
        table.add_column(name, justify="left" if left else "right")
    for moved in found.influences:
        each = moved.influence
        table.add_row(
            each.name,
            each.load.words,
            f"{moved.current_in:g}",
            f"{moved.variation_percent:+.4f}",
            f"±{each.limit_percent:g}{'' if each.sure else ' (?)'}",
            "within" if moved.within else "OUTSIDE",
        )
    console.print(table)
    console.print("(?) a limit with one source only; compare it with the standard.")


def _as_json(found: Errors) -> dict[str, Any]:
    return {
        "class": "0.5 S",
        "within": found.within,
        "errors": [
            {
                "power_factor": row.load.words,
                "current_in": row.current_in,
                "error_percent": row.error_percent,
                "limit_percent": row.limit_percent,
                "within": row.within,
            }
            for row in found.rows
        ],
        "influences": [
            {
                "influence": row.influence.name,
                "power_factor": row.influence.load.words,
                "current_in": row.current_in,
                "variation_percent": row.variation_percent,
                "limit_percent": row.influence.limit_percent,
                "limit_sure": row.influence.sure,
                "within": row.within,
            }
            for row in found.influences
        ],
    }
