# SPDX-License-Identifier: Apache-2.0
"""`openami headend clocks`: how right meters' clocks are, as the head-end measured them."""

import getpass
import json
from dataclasses import asdict
from pathlib import Path

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.cli.headend_command_send import JSON_OPTION
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.cli.ranges import FiniteRange
from openami.runtime.clock import MICROSECONDS, Clock
from openami.runtime.errors import UserError
from openami.runtime.layout import Layout
from openami.store import clocks as store
from openami.store import registry
from openami.store.clocks import Kept, Measured
from openami.store.database import transaction

HOUR_US = 3600 * MICROSECONDS


@click.group(invoke_without_command=True)
@HOME_OPTION
@click.option("--meter", "meter_id", type=int, help="One meter, with what was measured.")
@click.option("--notices", is_flag=True, help="Only those that wait for a person.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=10, show_default=True)
@JSON_OPTION
@click.pass_context
def clocks(  # noqa: PLR0913  one parameter an option
    context: click.Context,
    *,
    home: Path,
    meter_id: int | None,
    notices: bool,
    limit: int,
    json_wanted: bool,
) -> None:
    """Tell how far clocks are off, the furthest first; the head-end corrects them by itself."""
    if context.invoked_subcommand is not None:
        return
    with opened(home) as engine:
        if meter_id is not None:
            registry.meter(engine, meter_id)
            _tell_meter(engine, meter_id, json_wanted=json_wanted)
            return
        summary = store.summary(engine)
        suspected = [each for each in store.suspicions(engine).values() if each.said]
        found = store.worst(engine, limit, notice=notices)
    if json_wanted:
        said = {
            "summary": asdict(summary),
            "suspicions": [{**asdict(each), "said": each.said} for each in suspected],
            "clocks": [asdict(each) for each in found],
        }
        click.echo(json.dumps(said))
        return
    for each in suspected:
        click.echo(f"head-end {each.worker}: {each.said}")
    drift = "" if summary.drift_s is None else f"; they drift by {summary.drift_s:+.2f} s a day"
    click.echo(
        f"{summary.measured} measured, {summary.within} within what is tolerated,"
        f" {summary.noticed} for a person{drift}"
    )
    for clock in found:
        click.echo(_line(clock))


@clocks.command()
@HOME_OPTION
@click.option("--worker", "workers", multiple=True, help="A head-end; all that measured, else.")
@click.option(
    "--hours",
    type=FiniteRange(0.1, 24 * 31),
    default=24.0,
    show_default=True,
    help="For so long, by the metering calendar.",
)
@click.option("--reason", required=True, help="How you know, for the audit trail.")
def trust(*, home: Path, workers: tuple[str, ...], hours: float, reason: str) -> None:
    """Say that the clock of a head-end is right: it corrects meters that are off alike."""
    now_us = Clock(Layout(home.resolve().parent).clock).now_us()
    with opened(home) as engine:
        known = store.workers(engine)
        chosen = list(workers) or known
        if odd := sorted(set(chosen) - set(known)):
            there = ", ".join(known) or "none"
            raise UserError(f"head-end {odd[0]} has measured no clock: there are {there}")
        with transaction(engine) as connection:
            store.trust(connection, chosen, now_us + round(hours * HOUR_US))
            names = ", ".join(chosen)
            record(connection, getpass.getuser(), "clocks.trust", f"{names}: {reason.strip()}")
    click.echo(f"{names or 'no head-end'} trusted for {hours:g} h")


def _tell_meter(engine: Engine, meter_id: int, *, json_wanted: bool) -> None:
    clock, history = store.latest(engine, meter_id), store.history(engine, meter_id)
    if json_wanted:
        last = None if clock is None else asdict(clock)
        click.echo(json.dumps({"clock": last, "history": [asdict(each) for each in history]}))
        return
    if clock is None:
        click.echo(f"the clock of meter {meter_id} was never measured")
        return
    click.echo(_line(clock))
    if clock.asked_us is not None:
        click.echo(f"corrected {time_text(clock.asked_us)} by command {clock.command_id}")
    for each in history:
        moved = "  after a command" if each.moved else ""
        click.echo(f"  {time_text(each.measured_us)}  {_off(each)}  by {each.worker}{moved}")


def _line(clock: Kept) -> str:
    drift = ""
    if clock.drift_s is not None and clock.drift_uncertainty_s is not None:
        drift = f"  {clock.drift_s:+.1f} \u00b1 {clock.drift_uncertainty_s:.1f} s a day"
    mark = "" if clock.within else f"  beyond {clock.tolerated_s:g} s"
    said = f"  ({clock.said})" if clock.said else ""
    person = "  for a person" if clock.notice else ""
    return (
        f"meter {clock.meter_id}  {_off(clock)}  {time_text(clock.measured_us)}"
        f"{drift}{mark}{person}{said}"
    )


def _off(each: Kept | Measured) -> str:
    if each.deviation_s is None:
        return "tells no time"
    return f"{each.deviation_s:+.1f} \u00b1 {each.uncertainty_s:.1f} s off"
