# SPDX-License-Identifier: Apache-2.0
"""`openami headend alarms`: what is wrong with which meters, as the head-end knows it."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from openami.cli.headend_command_send import JSON_OPTION
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.exchange.words import many
from openami.store import alarms as store
from openami.store import registry
from openami.store.alarms import Alarm


@click.command()
@HOME_OPTION
@click.option("--meter", "meter_id", type=int, help="Of one meter, those that were cleared too.")
@click.option("--region", default="", help="Of the meters of a region.")
@click.option("--kind", default="", help="Of one kind, such as terminal-cover.")
@click.option("--regions", "counts", is_flag=True, help="Count meters by region and kind instead.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=200, show_default=True)
@JSON_OPTION
def alarms(  # noqa: PLR0913  one parameter an option
    *,
    home: Path,
    meter_id: int | None,
    region: str,
    kind: str,
    counts: bool,
    limit: int,
    json_wanted: bool,
) -> None:
    """Tell which alarms are open; `command send alarms` asks the meters, and clears."""
    with opened(home) as engine:
        if counts:
            by_region = store.by_region(engine, [region] if region else ())
            _tell_counts(by_region, json_wanted=json_wanted)
            return
        if meter_id is None:
            found = store.open_ones(engine, region=region, kind=kind, limit=limit)
        else:
            meter = registry.meter(engine, meter_id)
            all_ = store.of(engine, meter_id)[:limit]
            found = [(meter.region, each) for each in all_ if kind in {"", each.kind}]
    if json_wanted:
        click.echo(json.dumps([{"region": where, **asdict(each)} for where, each in found]))
        return
    for where, each in found:
        click.echo(_line(where, each))
    if not found:
        click.echo("no alarm is known that fits")


def _line(region: str, alarm: Alarm) -> str:
    register = f"register {alarm.register}" if alarm.register else "error register"
    state = "standing"
    if alarm.cleared_us is not None:
        state = f"cleared {time_text(alarm.cleared_us)}, {alarm.cleared_by}"
    elif not alarm.standing:
        state = f"over {time_text(alarm.ended_us or 0)}, not cleared"
    return (
        f"meter {alarm.meter_id}  {region}  {alarm.kind}  {register} bit {alarm.bit}"
        f"  since {time_text(alarm.since_us)}  {state}  ({alarm.text})"
    )


def _tell_counts(counts: dict[str, dict[str, int]], *, json_wanted: bool) -> None:
    if json_wanted:
        click.echo(json.dumps(counts))
        return
    for region, kinds in counts.items():
        for kind, count in kinds.items():
            click.echo(f"{region}  {kind}  {many(count)}")
    if not counts:
        click.echo("no meter has an open alarm")
