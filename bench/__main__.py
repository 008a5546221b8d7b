# SPDX-License-Identifier: Apache-2.0
"""`python -m bench`: measure everything in one run and show it; docs/bench.md explains it."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from bench.measure import FULL, QUICK, Row, Scale
from bench.report import as_json, as_markdown, machine, show

SECTIONS: Final = (
    "codecs",
    "round_trips",
    "crowd",
    "meter_reads",
    "fleet",
    "memory",
    "handshakes",
    "pushes",
    "blackout",
    "lake",
    "measuring",
    "modules",
    "updates",
    "wall",
)
JSON_INDENT: Final = 1


def section(name: str) -> Callable[[Scale], Iterator[Row]]:
    """Return what measures a section; its imports cost nothing where it is not asked for."""
    measure: Callable[[Scale], Iterator[Row]] = import_module(f"bench.{name}").measure
    return measure


@click.command()
@click.option("--quick", is_flag=True, help="See that it works; the figures mean little.")
@click.option("--only", multiple=True, type=click.Choice(SECTIONS), help="Measure this alone.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Keep every round."
)
@click.option(
    "--markdown", "table", type=click.Path(dir_okay=False, path_type=Path), help="Write the table."
)
def main(*, quick: bool, only: tuple[str, ...], file: Path | None, table: Path | None) -> None:
    """Measure OpenAMI beside its peers, in one run; docs/bench.md says how."""
    console = Console(width=None if Console().is_terminal else 180)
    progress = Console(stderr=True)
    about = machine()
    rows: list[Row] = []
    for name in only or SECTIONS:
        progress.print(f"measuring {name} …", highlight=False)
        rows.extend(section(name)(QUICK if quick else FULL))
    show(about, rows, console, judged=not quick)
    if file is not None:
        text = json.dumps(as_json(about, rows), indent=JSON_INDENT, ensure_ascii=False)
        file.write_text(text + "\n", encoding="utf-8")
    if table is not None:
        table.write_text(as_markdown(rows), encoding="utf-8")


if __name__ == "__main__":
    main()
