# SPDX-License-Identifier: Apache-2.0
"""`openami headend campaign study`: a campaign on models of bearers, before it is planned."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import click

from openami.cli.campaigncharts import chart
from openami.cli.image_files import FILE, octets_of
from openami.cli.progress import bar
from openami.cli.ranges import FiniteRange
from openami.exchange.campaign import MeterState
from openami.exchange.waves import Plan, PlanError, Share, Window
from openami.headend.campaign_study import Studied, Study, may_broadcast, studied
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import write_durably
from openami.transport.bearers.parameters import preset

IMAGE_OCTETS: Final = 153_685  # the meter's own image


@click.command()
@click.argument("bearers", nargs=-1, required=True)
@click.option("--meters", type=click.IntRange(1, 100_000), default=10_000, show_default=True)
@click.option(
    "--together",
    type=click.IntRange(1, 2000),
    default=100,
    show_default=True,
    help="Meters that share a medium.",
)
@click.option(
    "--per-medium", type=click.IntRange(1), default=5, show_default=True, help="At a time."
)
@click.option("--image", "file", type=FILE, help="Take its size.  [the meter's own image]")
@click.option("--canaries", default="10", show_default=True)
@click.option("--wave", "waves", multiple=True, default=("10%",), show_default=True)
@click.option("--soak-s", type=FiniteRange(0), default=86_400.0, show_default=True)
@click.option("--window", help="Local hours in which blocks are sent: 22:00-05:00.")
@click.option("--hour", type=FiniteRange(0, 24), default=20.0, show_default=True, help="Start.")
@click.option(
    "--broadcast",
    type=click.IntRange(0, 10),
    default=0,
    show_default=True,
    help="Also with so many rounds of broadcast before gaps are filled, on a shared wire.",
)
@click.option(
    "--bad-percent",
    type=FiniteRange(0, 100),
    default=0.0,
    show_default=True,
    help="Meters that leave the image again.",
)
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--chart", "chart_file", type=FILE, help="Draw how many run it when (SVG).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def study(
    *,
    bearers: tuple[str, ...],
    chart_file: Path | None,
    as_json: bool,
    **given: Any,  # noqa: ANN401  options
) -> int:
    """Carry a campaign out on models of BEARERS, in simulated time.

    \b
    openami headend campaign study nb-iot plc-prime --broadcast 2 --chart campaign.svg
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    plan = _plan(given)
    file = given["file"]
    octets = IMAGE_OCTETS if file is None else len(octets_of(file))
    wanted: list[tuple[str, Study]] = []
    for name in bearers:
        whole = Study(
            bearer=preset(name),
            plan=plan,
            meters=given["meters"],
            together=given["together"],
            image_octets=octets,
            bad_percent=given["bad_percent"],
            hour=given["hour"],
            seed=given["seed"],
        )
        wanted.append((name, whole))
        if given["broadcast"] and may_broadcast(whole.bearer):
            wanted.append((f"{name}, broadcast", replace(whole, rounds=given["broadcast"])))
    found: list[tuple[str, Study, Studied]] = []
    with bar(wanted=not as_json) as shown:
        for name, each in wanted:
            done = studied(each, lambda n, of, name=name: shown.at(n, of, f"{n:,} meters, {name}"))  # type: ignore[misc]
            found.append((name, each, done))
    if as_json:
        click.echo(json.dumps([_as_json(*each) for each in found], indent=1))
    else:
        for line in table(found):
            click.echo(line)
    if chart_file is not None:
        curves = [(name, done) for name, _, done in found]
        write_durably(chart_file, chart(curves, given["meters"]).encode())
        click.echo(f"{chart_file} is written", err=True)
    return int(ExitCode.REFUSED if any(each.stopped for _, _, each in found) else ExitCode.DONE)


def _plan(given: dict[str, Any]) -> Plan:
    try:
        return Plan(
            waves=tuple(map(Share.parse, (given["canaries"], *given["waves"]))),
            soak_s=given["soak_s"],
            window=None if given["window"] is None else Window.parse(given["window"]),
            per_concentrator=given["per_medium"],
        )
    except PlanError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None


def table(found: Sequence[tuple[str, Study, Studied]]) -> list[str]:
    """Return a table of Markdown: waves, halves, octets."""
    lines = [
        "| bearer | waves last | half run it after | all but 1 % | octets a meter | given up |",
        "|---|---|---|---|---|---|",
    ]
    for name, each, done in found:
        waves = ", ".join(duration(end_s - begin_s) for begin_s, end_s in done.waves_s)
        reached = sum(done.sizes[: len(done.waves_s)])
        cells = [
            name,
            waves,
            _when(done, each.meters, 0.5),
            _when(done, each.meters, 0.99),
            f"{done.octets / reached:,.0f}",
            str(done.states.get(MeterState.FAILED, 0)),
        ]
        lines.append("| " + " | ".join(cells) + " |")
        if done.stopped:
            lines.append(f"{name}: stopped after {reached:,} meters: {done.stopped}")
    return lines


def _when(done: Studied, meters: int, share: float) -> str:
    number = max(1, round(share * meters))
    return duration(done.confirmed_s[number - 1]) if len(done.confirmed_s) >= number else "never"


def duration(seconds: float) -> str:
    """Return a duration for people."""
    for most_s, unit, name in ((120.0, 1, "s"), (7200.0, 60, "min"), (172_800.0, 3600, "h")):
        if seconds < most_s:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.1f} d"


def _as_json(name: str, each: Study, done: Studied) -> dict[str, object]:
    return {
        "bearer": each.bearer.name,
        "name": name,
        "meters": each.meters,
        "broadcast_rounds": each.rounds,
        "waves": [
            {"meters": size, "from_s": begin_s, "to_s": end_s}
            for size, (begin_s, end_s) in zip(done.sizes, done.waves_s, strict=False)
        ],
        "states": {state.value: count for state, count in done.states.items() if count},
        "octets": done.octets,
        "broadcast_octets": done.broadcast_octets,
        "stopped": done.stopped,
        "half_s": _seconds(done, each.meters, 0.5),
        "most_s": _seconds(done, each.meters, 0.99),
    }


def _seconds(done: Studied, meters: int, share: float) -> float | None:
    number = max(1, round(share * meters))
    return done.confirmed_s[number - 1] if len(done.confirmed_s) >= number else None
