# SPDX-License-Identifier: Apache-2.0
"""`openami provision`: what `openami up` makes before it starts anything, and nothing started."""

from pathlib import Path
from typing import Final

import click

from openami.cli.progress import bar
from openami.cli.up import only_one, plan_for
from openami.lifecycle.provision import provision
from openami.runtime.layout import Layout

PORT: Final = click.IntRange(1, 65280)


@click.command("provision")
@click.argument("var", type=click.Path(path_type=Path, file_okay=False))
@click.option("--meters", type=click.IntRange(1), help="How many meters.  [100]")
@click.option(
    "--region", "regions", multiple=True, help="One concentrator each.  [north and south]"
)
@click.option("--zone", help="Time zone of local days and tariffs.  [Australia/Sydney]")
@click.option("--capture-period-s", type=int, help="Of the load profile.  [1800]")
@click.option(
    "--history-days",
    type=click.IntRange(0, 60),
    default=0,
    show_default=True,
    help="How long the meters have measured already.",
)
@click.option("--host", help="Where listeners listen and devices dial.  [127.0.0.1]")
@click.option("--web-port", type=PORT, help="Of the pages.  [8080]")
@click.option("--uplink-port", type=PORT, help="Of the head-end, for concentrators.  [24050]")
@click.option(
    "--concentrator-port",
    type=PORT,
    help="Of the first concentrator, for meters; the next ones take the next.  [24060]",
)
@click.option("--suite", type=click.IntRange(0, 2), help="Security suite of the meters.  [0]")
def provision_parts(
    var: Path, regions: tuple[str, ...], history_days: int, **wishes: int | str | None
) -> None:
    """Make certificates, keys and configurations of all parts below VAR, and start nothing.

    What is there stays; run again with more meters, it adds meters. Each part is then run by
    itself: its folder is all that it needs (docs/provisioning.md), and ca/ none of them does.
    """
    layout = Layout(var.resolve())
    with only_one(layout.var), bar() as shown:
        plan = plan_for(layout, {**wishes, "regions": regions or None}, history_days)
        told = provision(layout, plan, lambda what, done, total: shown.at(done, total, what))
    for sentence in told:
        click.echo(f"! {sentence}")
    click.echo(f"{layout.var} holds {plan.meters} meters of {', '.join(plan.regions)}")
