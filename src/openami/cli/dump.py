# SPDX-License-Identifier: Apache-2.0
"""`openami dump`: everything a client can see of a meter, into one file."""

import json
from datetime import UTC, datetime
from pathlib import Path

import click

from openami.cli.connecting import INTERRUPTED, Meter, Work, run_with_meter
from openami.cli.dumping import Dumper
from openami.cli.meter_options import meter_options
from openami.cli.progress import Bar, bar
from openami.cosem.dump import Dump
from openami.runtime.errors import ExitCode
from openami.runtime.files import write_durably


@click.command()
@click.argument("url")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="File to write, in JSON; - for standard output.",
)
@click.option(
    "--rows",
    type=click.IntRange(0, 1_000_000),
    default=10,
    show_default=True,
    help="How many of the newest rows of each profile.",
)
@meter_options
def dump(*, url: str, output: Path, rows: int, config: Path | None, **given: str | None) -> int:
    """Write all objects of a meter at URL to a file, with rights and values.

    Passwords and keys are not asked for and never written.  `openami simulate` runs a meter from
    the file.

    \b
    openami dump tcp://127.0.0.1:4059 -o meter.json
    openami dump tcp://127.0.0.1:4059 --client 1 --keys keys.json -o meter.json --rows 96
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    meter = Meter.gather(url, given, config)
    with bar() as shown:
        found, ended = run_with_meter(meter, lambda work: _dump(work, rows, shown))
    octets = json.dumps(found.to_json(), indent=1, ensure_ascii=False).encode() + b"\n"
    if str(output) == "-":
        click.echo(octets.decode(), nl=False)
    else:
        write_durably(output, octets)
    click.echo(summary(found, output), err=True)
    if not ended:
        return int(ExitCode.DONE)
    click.echo(f"openami: {meter.url}: the dump is not whole: {ended}", err=True)
    return INTERRUPTED if ended == "interrupted" else int(ExitCode.REFUSED)


async def _dump(work: Work, rows: int, shown: Bar) -> tuple[Dump, str]:
    dumper = Dumper(work, rows, shown.at)
    found = await dumper.dump(datetime.now(UTC).isoformat(timespec="seconds"))
    return found, dumper.ended


def summary(found: Dump, output: Path) -> str:
    """Say in a few lines what a dump holds and what it lacks."""
    attributes = [row for each in found.objects for row in each.attributes]
    read = sum(row.octets is not None for row in attributes)
    reasons: dict[str, int] = {}
    for row in attributes:
        if row.refused:
            reasons[row.refused] = reasons.get(row.refused, 0) + 1
    lines = [f"{len(found.objects)} objects, {read} of {len(attributes)} attributes read: {output}"]
    most = sorted(reasons.items(), key=lambda pair: -pair[1])
    lines += [f"  {count:>5}  {reason}" for reason, count in most]
    return "\n".join(lines)
