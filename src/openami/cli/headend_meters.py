# SPDX-License-Identifier: Apache-2.0
"""`openami headend meters`: which meters the registry has, and who is there."""

import json
from pathlib import Path
from typing import Any, get_args

import click

from openami.cli.headend_store import HOME_OPTION, opened
from openami.exchange.words import many
from openami.store import overview
from openami.store.overview import MeterFilter, MeterState
from openami.store.registry import Attachment, Meter

STATES = [state for state in get_args(MeterState) if state]


@click.command()
@HOME_OPTION
@click.option("--region", default="", help="Meters of a region.")
@click.option("--state", type=click.Choice(STATES), help="Meters in this state.")
@click.option("--text", default="", help="Whose number, title or names have this in them.")
@click.option("--after", type=int, default=-1, help="Meters with a higher number.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def meters(  # noqa: PLR0913  one parameter an option
    *,
    home: Path,
    region: str,
    state: MeterState | None,
    text: str,
    after: int,
    limit: int,
    as_json: bool,
) -> None:
    """List meters by number: title, region, concentrator, and whether it is attached."""
    wanted = MeterFilter(text=text, region=region, state=state or "")
    with opened(home) as engine:
        rows, found = overview.page_of_meters(engine, wanted, limit=limit, after=after)
    if as_json:
        click.echo(json.dumps([_plain(*row) for row in rows], indent=1))
        return
    for row in rows:
        told = _plain(*row)
        cell = f"  cell {told['cell']}" if told["cell"] else ""
        click.echo(
            f"{told['meter_id']:>8}  {told['title']}  {told['ldn']}  {told['region']}"
            f"  {told['concentrator']}  {told['state']}{cell}"
        )
    if not found:
        click.echo("no meter fits: see `openami headend meters --help`")
    elif len(rows) == limit:
        last = rows[-1][0].meter_id
        click.echo(f"{many(found)} fit; go on with --after {last}")


def _plain(meter: Meter, state: Attachment | None) -> dict[str, Any]:
    return {
        "meter_id": meter.meter_id,
        "title": meter.title.hex().upper(),
        "ldn": meter.ldn,
        "region": meter.region,
        "concentrator": meter.concentrator.hex().upper(),
        "cell": meter.cell,
        "state": "never attached"
        if state is None
        else "attached"
        if state.attached
        else "detached",
    }
