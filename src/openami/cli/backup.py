# SPDX-License-Identifier: Apache-2.0
"""`openami backup` and `openami restore`: what a utility cannot lose, in one file."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click

from openami.cli.progress import Bar, bar
from openami.lifecycle import backup as copies
from openami.runtime.errors import ExitCode

FILE: Final = click.Path(path_type=Path, dir_okay=False)
FOLDER: Final = click.Path(path_type=Path, file_okay=False)


@click.command()
@click.argument("var", type=FOLDER)
@click.argument("file", type=FILE)
def backup(var: Path, file: Path) -> int:
    """Copy the AMI in the folder VAR into FILE, while it runs.

    Database, lake, authority, the head-end's keys, configurations. Not the meters and
    concentrators of a demo: devices keep their own state. FILE holds keys: keep it as you keep
    them. A store on PostgreSQL is for that server's own tools.
    """
    with bar() as shown:
        octets = copies.back_up(var, file, _telling(shown))
    click.echo(f"{file}: {octets:,} octets; it holds keys: keep it as you keep them")
    return int(ExitCode.DONE)


@click.command()
@click.argument("file", type=FILE)
@click.argument("var", type=FOLDER, required=False)
@click.option("--check", is_flag=True, help="Only tell whether FILE is as it was written.")
def restore(file: Path, var: Path | None, *, check: bool) -> int:
    """Put the copy FILE back below VAR, of an AMI that is stopped; nothing is overwritten.

    What meters measured after the copy is read from them again. Their invocation counters have
    gone on: the head-end moves its own on to what each meter expects; change the keys after it.
    """
    if check:
        click.echo(f"{file}: {len(copies.verify(file)):,} files, all as they were written")
        return int(ExitCode.DONE)
    if var is None:
        raise click.UsageError("give the folder VAR to put it back to, or --check")
    with bar() as shown:
        parts = copies.restore(file, var, _telling(shown))
    click.echo(f"{var}: {', '.join(parts)}")
    return int(ExitCode.DONE)


def _telling(shown: Bar) -> Callable[[str, int], None]:
    octets = 0

    def told(name: str, size: int) -> None:
        nonlocal octets
        octets += size
        shown.at(octets, None, name)

    return told
