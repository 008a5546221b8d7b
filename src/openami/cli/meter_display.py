# SPDX-License-Identifier: Apache-2.0
"""`openami meter display`: the meter's glass in the terminal, or as a picture."""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click

from openami.device.files import MANAGEMENT
from openami.meter.glance import Glance
from openami.meter.measuring.demo import PLATE, DemoMeter
from openami.meter.measuring.display import (
    ITEMS,
    REPLAY_ITEMS,
    Display,
    DisplayConfig,
    Item,
    Values,
    replayed,
)
from openami.meter.measuring.lcd import Screen, sheet, terminal
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.runtime.status import Figures, read_statuses

REPLAY_PLATE = "OpenAMI, simulated · 230 V · 50 Hz\nThe load of a real home is replayed."
REFRESH_S = 0.5
TOP = "\x1b[H\x1b[2J"


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of a meter, e.g. var/meters/4F414D0000000001.",
)
@click.option("--demo", is_flag=True, help="Show a simulated three-phase meter instead.")
@click.option("--once", is_flag=True, help="Print each screen once, and end.")
@click.option("--dwell", type=float, default=5.0, show_default=True, help="Seconds a screen stays.")
@click.option("--item", "codes", multiple=True, help="Show this code only, e.g. 1.8.0.")
@click.option(
    "--svg",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw all screens into this SVG file, and end.",
)
def display(  # noqa: PLR0913  one parameter for each option
    *,
    home: Path | None,
    demo: bool,
    once: bool,
    dwell: float,
    codes: tuple[str, ...],
    svg: Path | None,
) -> None:
    """Show the screens of a meter's display, one after the other; times are UTC."""
    if (home is None) == (not demo):
        raise UserError("say which meter: --home DIR or --demo", ExitCode.ASKED_WRONGLY)
    items, plate = (ITEMS, PLATE) if home is None else (REPLAY_ITEMS, REPLAY_PLATE)
    if dwell <= 0:
        raise UserError(
            f"no screen can stay for {dwell:g} s: use 1 or more", ExitCode.ASKED_WRONGLY
        )
    glass = Display(DisplayConfig(items=_chosen(items, codes), dwell_s=dwell))
    values = _demo() if home is None else _of(home.resolve())
    if svg is not None:
        _draw(svg, sheet(glass.screens(values()), plate))
    elif once:
        for screen in glass.screens(values()):
            click.echo(terminal(screen))
        error, reason = (0, "") if home is None else _firmware(home.resolve())
        if error:
            click.echo(f"error {error}: {reason}")
    else:
        _run(glass, values)


def _chosen(items: tuple[Item, ...], codes: tuple[str, ...]) -> tuple[Item, ...]:
    by_code = {item.shown_code: item for item in items}
    unknown = [code for code in codes if code not in by_code]
    if unknown:
        sentence = f"{unknown[0]} is not in the display's list: use {', '.join(by_code)}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return tuple(by_code[code] for code in codes) or items


def _of(home: Path) -> Callable[[], Values]:
    glance = Glance(home)
    return lambda: replace(replayed(glance.momentary()), error=_error(home))


def _error(home: Path) -> int:
    """Return what stands under F.F: no firmware, or else what metrology's self-test says."""
    return _firmware(home)[0] or int(_said(home, "metrology").get("self-test", 0))


def _said(home: Path, process: str) -> Figures:
    """Return what a process of a meter that runs in full says in its status."""
    if not (home / MANAGEMENT).exists():
        return {}
    found = [each for each in read_statuses(Layout(home.parent.parent).run) if each.fresh]
    return next((each.figures for each in found if each.process == process), {})


def _firmware(home: Path) -> tuple[int, str]:
    """Return the error and the reason where management of a full meter has no firmware."""
    said = _said(home, "meter")
    return int(said.get("firmware error", 0)), str(said.get("firmware", ""))


def _demo() -> Callable[[], Values]:
    meter = DemoMeter()
    began = time.time()
    shown = [began]

    def values() -> Values:
        now = time.time()
        meter.advance(now - shown[0], round(began * 1e6))
        shown[0] = now
        return meter.values(int(now))

    return values


def _draw(file: Path, words: str) -> None:
    try:
        file.write_text(words, encoding="utf-8")
    except OSError as error:
        sentence = f"{file} cannot be written ({error.strerror}): name another file"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from error


def _run(glass: Display, values: Callable[[], Values]) -> None:
    """Show screens until a person has seen enough (Ctrl-C)."""
    began = time.monotonic()
    tty = sys.stdout.isatty()
    before: Screen | None = None
    try:
        while True:
            screen = glass.screen(time.monotonic() - began, values())
            if before is None or tty or replace(screen, value="") != replace(before, value=""):
                click.echo((TOP if tty else "") + terminal(screen))
            before = screen
            time.sleep(REFRESH_S)
    except KeyboardInterrupt:
        return
