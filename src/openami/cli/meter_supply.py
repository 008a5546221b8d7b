# SPDX-License-Identifier: Apache-2.0
"""`openami meter supply`: cut the street's supply, and give it back.

Fleets are told by `supply.json` beside their `config.toml`, a meter that runs in full by its
terminals.  Who hangs where is what the registry knows.
"""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import click

from openami.lifecycle.plan import meter_title
from openami.meter import street
from openami.meter.config import FleetConfig
from openami.meter.measuring.terminals import FILE, Terminals
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout
from openami.store import registry, topology
from openami.store.database import open_database
from openami.store.registry import Meter

LEVELS = ("level_l1", "level_l2", "level_l3")


def chosen(
    meters: Iterable[Meter],
    places: dict[int, topology.Place],
    names: dict[str, tuple[str, ...]],
) -> list[int]:
    """Return the meters that the options name.

    Raises:
        UserError: A name fits nobody.
    """
    every = list(meters)
    of = {
        "--meter": {str(meter.meter_id): [meter.meter_id] for meter in every},
        "--transformer": _groups((place.transformer, place.meter_id) for place in places.values()),
        "--feeder": _groups((place.feeder, place.meter_id) for place in places.values()),
        "--region": _groups((meter.region, meter.meter_id) for meter in every),
    }
    found: set[int] = set()
    for option, wanted in names.items():
        for name in wanted:
            if name not in of[option]:
                known = ", ".join(list(of[option])[:8]) or "none"
                sentence = f"{option} {name} fits no meter of the registry; known are {known}"
                raise UserError(f"{sentence} …", ExitCode.ASKED_WRONGLY)
            found |= set(of[option][name])
    return sorted(found)


def _groups(pairs: Iterable[tuple[str, int]]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for name, number in pairs:
        groups.setdefault(name, []).append(number)
    return groups


def set_supply(layout: Layout, numbers: Iterable[int], *, on: bool) -> None:
    """Cut meters off, or give them their supply back.

    Raises:
        UserError: A file cannot be read or written, or a meter runs on another machine.
    """
    titles = {meter_title(number).hex().upper(): number for number in numbers}
    carried = {home.name for home in _fleet(layout)}
    fleet = {number for title, number in titles.items() if title in carried}
    for title, number in titles.items():
        home = layout.meters / title
        if number in fleet:
            continue
        if not home.is_dir():
            raise UserError(f"meter {number} does not run here: there is no {home}")
        path = home / FILE
        level = float(on)
        said = Terminals.load(path)
        replace(said, level_l1=level, level_l2=level, level_l3=level).store(path)
    if fleet:
        path = layout.fleet / street.SUPPLY_FILE
        without = street.load(path)
        street.store(path, without - fleet if on else without | fleet)


def without_supply(layout: Layout, numbers: Iterable[int]) -> list[int]:
    """Return the meters that have been cut off."""
    dark = set(street.load(layout.fleet / street.SUPPLY_FILE))
    for number in numbers:
        path = layout.meters / meter_title(number).hex().upper() / FILE
        said = Terminals.load(path)
        if path.exists() and not any(getattr(said, name) for name in LEVELS):
            dark.add(number)
    return sorted(dark)


def _fleet(layout: Layout) -> tuple[Path, ...]:
    if not (layout.fleet / "config.toml").exists():
        return ()
    return FleetConfig.load(layout.fleet).homes


@click.command()
@click.argument("what", type=click.Choice(["cut", "restore", "show"]))
@click.option(
    "--var",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var"),
    show_default=True,
    help="Folder of the AMI.",
)
@click.option("--meter", "meters", multiple=True, metavar="NUMBER")
@click.option("--transformer", "transformers", multiple=True, metavar="NAME", help="E.g. north-t1.")
@click.option("--feeder", "feeders", multiple=True, metavar="NAME", help="E.g. north-f1.")
@click.option(
    "--region", "regions", multiple=True, metavar="NAME", help="All of a concentrator, e.g. north."
)
def supply(  # noqa: PLR0913  one parameter for each option
    what: str,
    *,
    var: Path,
    meters: tuple[str, ...],
    transformers: tuple[str, ...],
    feeders: tuple[str, ...],
    regions: tuple[str, ...],
) -> None:
    """Cut the supply of simulated meters, restore it, or show who has none."""
    layout = Layout(var.resolve())
    database = open_database(layout.database_url)
    every, places = registry.meters(database), topology.read(database)
    database.dispose()
    names = {
        "--meter": meters,
        "--transformer": transformers,
        "--feeder": feeders,
        "--region": regions,
    }
    if what == "show":
        dark = without_supply(layout, [meter.meter_id for meter in every])
        for number in dark:
            place = places.get(number)
            click.echo(f"meter {number}" + (f" on {place.transformer}" if place else ""))
        click.echo(f"{len(dark)} of {len(every)} meters are without supply")
        return
    if not any(names.values()):
        if what == "cut":
            sentence = "say what to cut: --meter, --transformer, --feeder or --region"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        numbers = without_supply(layout, [meter.meter_id for meter in every])
    else:
        numbers = chosen(every, places, names)
    set_supply(layout, numbers, on=what == "restore")
    few = len(numbers) == 1
    done = ("is cut off", "are cut off") if what == "cut" else ("has supply", "have supply")
    click.echo(f"{len(numbers)} {'meter' if few else 'meters'} {done[not few]}")
