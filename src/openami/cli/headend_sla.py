# SPDX-License-Identifier: Apache-2.0
"""`openami headend sla`: are the service levels kept, and which could a bearer keep at all."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import click
import polars as pl

from openami.cli.progress import bar
from openami.cli.ranges import FiniteRange
from openami.cli.slacharts import chart
from openami.headend.sla import (
    Data,
    Level,
    Rule,
    Window,
    begun_since,
    days_back,
    first_day,
    levels,
    local_day_us,
    read_rules,
)
from openami.headend.slaobserved import KINDS, observed, of_population
from openami.headend.slastudy import Study, studied
from openami.mdm.config import MdmConfig
from openami.runtime.clock import MICROSECONDS, Clock, real_us
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import write_durably
from openami.runtime.layout import Layout
from openami.store import registry
from openami.store.database import open_database
from openami.store.intervals import DAY_US, Lake
from openami.transport.bearers.parameters import preset

FILE: Final = click.Path(path_type=Path, dir_okay=False)
PRESETS: Final = Path(str(resources.files("openami.headend") / "slapresets.toml"))
MOST_DAYS: Final = 400

_RULES = click.option(
    "--rules", "rules_file", type=FILE, default=PRESETS, help="TOML; without it the examples."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="For programs.")
_CHART = click.option(
    "--chart", "chart_file", type=FILE, help="Draw how soon the values were there (SVG)."
)


@click.group()
def sla() -> None:
    """Service levels: show the rules, hold them to what happened, or to a model of a bearer."""


@sla.command()
@_RULES
def rules(rules_file: Path) -> int:
    """Show the rules of a file, or the examples: a start for rules of your own."""
    read_rules(rules_file)
    click.echo(rules_file.read_text(encoding="utf-8"), nl=False)
    return int(ExitCode.DONE)


@sla.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/mdm"),
    show_default=True,
    help="Folder of the MDM, which knows store and zone.",
)
@click.option("--days", type=click.IntRange(1, MOST_DAYS), default=7, show_default=True)
@_RULES
@_CHART
@_JSON
def check(
    *, home: Path, days: int, rules_file: Path, chart_file: Path | None, as_json: bool
) -> int:
    """Hold the rules to what happened in the last days; status 1 where one is not kept.

    A month is looked at whole, from its first day.
    """
    rules_, exclusions = read_rules(rules_file)
    config = MdmConfig.load(home)
    database, lake = open_database(config.database), Lake(config.lake)
    calendar_us = Clock(Layout(home.resolve().parent).clock).now_us()
    meters = registry.meters(database)
    found: list[Level] = []
    for data in Data:
        mine = [rule for rule in rules_ if rule.data is data]
        if not mine:
            continue
        # Commands are dated in real time: a person waits for them.
        now_us = real_us() if data in KINDS else calendar_us
        today = datetime.fromtimestamp(now_us / MICROSECONDS, config.zone).date()
        first = days_back(today, days)
        begins = {rule.name: local_day_us(first_day(rule, first), config.zone) for rule in mine}
        frame = observed(database, lake, data, min(begins.values()), now_us)
        if data is Data.INTERVAL and chart_file is not None and frame.height:
            write_durably(chart_file, chart(frame, mine, "How soon values were there").encode())
        for rule in mine:
            part = of_population(rule, begun_since(rule, frame, begins[rule.name]), meters)
            found += levels(rule, part, zone=config.zone, now_us=now_us, exclusions=exclusions)
    return _report(found, rules_, as_json=as_json)


@sla.command()
@click.argument("bearers", nargs=-1, required=True)
@click.option("--meters", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option(
    "--together",
    type=click.IntRange(1, 2000),
    default=50,
    show_default=True,
    help="Meters that share a medium.",
)
@click.option("--days", type=click.IntRange(1, 31), default=1, show_default=True)
@click.option("--period-s", type=click.IntRange(60, 86_400), default=1800, show_default=True)
@click.option(
    "--spread-s",
    type=FiniteRange(0, 86_400),
    default=600.0,
    show_default=True,
    help="The most that a meter waits before it pushes.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@_RULES
@_CHART
@_JSON
def study(  # noqa: PLR0913  one parameter an option
    *,
    bearers: tuple[str, ...],
    meters: int,
    together: int,
    days: int,
    period_s: int,
    spread_s: float,
    seed: int,
    rules_file: Path,
    chart_file: Path | None,
    as_json: bool,
) -> int:
    """Hold the rules for values to a model of BEARERS (see `openami bearer list`).

    \b
    openami headend sla study plc-prime nb-iot rf-mesh --meters 200 --chart soon.svg
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    rules_, _ = read_rules(rules_file)  # what is excluded has happened; a model has no storms
    mine = [rule for rule in rules_ if rule.data is Data.INTERVAL]
    if not mine:
        sentence = f'{rules_file} has no rule for values (data = "interval"): add one to study'
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    bearers = tuple(dict.fromkeys(bearers))
    begins_us = round(datetime(2026, 3, 1, tzinfo=UTC).timestamp() * MICROSECONDS)
    frames = []
    with bar(wanted=not as_json) as shown:
        for name in bearers:
            plan = Study(
                bearer=preset(name),
                meters=meters,
                together=together,
                days=days,
                period_s=period_s,
                spread_s=spread_s,
                seed=seed,
            )
            frames.append(studied(plan, begins_us, lambda at, of: shown.at(at, of, name)))  # noqa: B023  called at once
    frame = pl.concat(frames)
    if chart_file is not None:
        title = f"How soon values are there over {', '.join(bearers)} (simulated)"
        write_durably(chart_file, chart(frame, mine, title).encode())
    found = [
        level
        for name in bearers
        for rule in mine
        for level in levels(
            replace(rule, title=f"{name}: {rule.title}", regions=(), concentrators=(), models=()),
            frame.filter(pl.col("region") == name),
            zone=ZoneInfo("UTC"),
            now_us=begins_us + (days + 31) * DAY_US,
        )
    ]
    return _report(found, mine, as_json=as_json)


def _report(found: Sequence[Level], rules_: Sequence[Rule], *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps([_fields(level) for level in found], indent=1))
    else:
        for level in found:
            click.echo(_line(level))
        for rule in rules_:
            if all(level.rule.name != rule.name for level in found):
                click.echo(f"– {rule.title}: nothing was due {rule.whose}".rstrip())
        if any(rule.illustrative for rule in rules_):
            click.echo("(rules marked ~ are illustrative: not checked against a binding text)")
    kept = all(level.kept for level in found)
    return int(ExitCode.DONE if kept else ExitCode.REFUSED)


def _line(level: Level) -> str:
    rule = level.rule
    mark = "✓" if level.kept else "✕"
    when = level.begins.isoformat()[: 10 if rule.window is Window.DAY else 7]
    reached = "never" if level.reached_s is None else f"after {_span(level.reached_s)}"
    excluded = f", {level.excluded:,} excluded" if level.excluded else ""
    penalty = f", penalty {level.penalty:g} {rule.penalty.unit}" if level.penalty else ""
    return (
        f"{mark} {when} {rule.title}{' ~' if rule.illustrative else ''}: {_share(level)} of "
        f"{level.due:,} (at least {rule.percent:g} %); {rule.percent:g} % {reached}; "
        f"{level.missing:,} missing{excluded}{penalty}"
    )


def _share(level: Level) -> str:
    # Rounded down: 97.996 % is not 98 %.
    return f"{math.floor(level.percent * 100) / 100:.2f} %"


def _span(seconds: float) -> str:
    for size, unit in ((86_400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def _fields(level: Level) -> dict[str, object]:
    return {
        "rule": level.rule.name,
        "title": level.rule.title,
        "window": level.begins.isoformat(),
        "kept": level.kept,
        "percent": level.percent,
        "asked_percent": level.rule.percent,
        "within_s": level.rule.within_s,
        "due": level.due,
        "on_time": level.on_time,
        "missing": level.missing,
        "excluded": level.excluded,
        "reached_s": level.reached_s,
        "penalty": level.penalty,
        "penalty_unit": level.rule.penalty.unit,
        "illustrative": level.rule.illustrative,
    }
