# SPDX-License-Identifier: Apache-2.0
"""`openami meter terminals`: do to a simulated meter what happens to real ones."""

import time
from dataclasses import replace
from pathlib import Path

import click

from openami.meter.config import MeterConfig
from openami.meter.measuring.terminals import FILE, Terminals
from openami.runtime.errors import ExitCode, UserError

SWITCHES = {
    "terminal-cover": "terminal_cover_open",
    "meter-cover": "meter_cover_open",
    "neutral": "neutral_lost",
    "current": "current_reversed",
    "sequence": "sequence_reversed",
}
PHASES = {"L1": "level_l1", "L2": "level_l2", "L3": "level_l3"}


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of a meter that runs in full, e.g. var/meters/4F414D0000000001.",
)
@click.option("--level", "levels", multiple=True, metavar="PHASE=PART", help="E.g. L1=0.7, a sag.")
@click.option(
    "--harmonic", type=float, help="Fifth harmonic of the voltages, part of the fundamental."
)
@click.option("--magnet", type=float, help="Field at the sensor, in mT.")
@click.option(
    "--spoil",
    "spoilt",
    multiple=True,
    type=click.Choice(list(SWITCHES)),
    help="Open a cover, lose the neutral, reverse current or phase sequence.",
)
@click.option("--sound", is_flag=True, help="Everything as it should be, before the rest.")
@click.option("--for", "for_s", type=float, help="Put everything right after so many seconds.")
def terminals(  # noqa: PLR0913  one parameter for each option
    home: Path,
    *,
    levels: tuple[str, ...],
    harmonic: float | None,
    magnet: float | None,
    spoilt: tuple[str, ...],
    sound: bool,
    for_s: float | None,
) -> None:
    """Change what is at a meter's terminals; its metrology notices."""
    path = MeterConfig.load(home.resolve()).home / FILE
    before = Terminals() if sound else Terminals.load(path)
    changes: dict[str, float | bool] = {SWITCHES[each]: True for each in spoilt}
    changes |= dict(_level(each) for each in levels)
    if harmonic is not None:
        changes["harmonic_5"] = harmonic
    if magnet is not None:
        changes["magnet_mt"] = magnet
    try:
        replace(before, **changes).store(path)  # type: ignore[arg-type]  # fields by name
    except ValueError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None
    if for_s is not None:
        try:
            time.sleep(max(0.0, for_s))
        finally:
            Terminals().store(path)


def _level(words: str) -> tuple[str, float]:
    phase, _, part = words.partition("=")
    try:
        return PHASES[phase], float(part)
    except (KeyError, ValueError):
        sentence = f"{words!r} is no level: use L1=0.7, L2=… or L3=…"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
