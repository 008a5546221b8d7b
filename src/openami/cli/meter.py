# SPDX-License-Identifier: Apache-2.0
"""`openami meter …` and `openami fleet run`."""

from pathlib import Path

import click

from openami.cli.certifying import certifier
from openami.cli.measuring import errors
from openami.cli.meter_debug import debug
from openami.cli.meter_display import display
from openami.cli.meter_power import refuse_power, refuse_running_fleet
from openami.cli.meter_recover import recover
from openami.cli.meter_supply import supply
from openami.cli.meter_terminals import terminals
from openami.cli.progress import bar
from openami.device.handover import handed_over
from openami.meter import fleet as fleet_of_meters
from openami.meter import fleet_faults, fleet_secure, management_process, metrology_process, modules
from openami.meter import run as backplane
from openami.meter.config import FleetConfig
from openami.meter.through import Behind
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped

METER_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with device.toml, keys.json and certificates, e.g. var/meters/4F414D0000000001.",
)
VERBOSE = click.option("--verbose", is_flag=True, help="Log every connection.")


@click.group()
def meter() -> None:
    """Measure, and tell who is entitled to know."""


@meter.command("run")
@METER_HOME
@click.option(
    "--from-source",
    is_flag=True,
    help="For developers: run management from this package, unverified, and say so.",
)
@VERBOSE
def run_meter(home: Path, *, from_source: bool, verbose: bool) -> None:
    """Run one meter in full: two modules joined by a UART or SPI."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: backplane.serve(home.resolve(), stop, from_source=from_source))


@meter.command()
@METER_HOME
@click.option(
    "--descriptor", type=int, required=True, help="Open file descriptor of the line to management."
)
@VERBOSE
def metrology(home: Path, descriptor: int, *, verbose: bool) -> None:
    """Run the metrology module; `meter run` does it."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: metrology_process.serve(home.resolve(), descriptor, stop))


@meter.command()
@METER_HOME
@click.option(
    "--line",
    required=True,
    help="Line to metrology: a serial one, e.g. /dev/ttyS1, or spi: and an open file descriptor.",
)
@click.option("--record", type=int, help="Open file descriptor of the record of the start.")
@click.option("--door", type=click.Path(path_type=Path), help="Of the secure world with its keys.")
@VERBOSE
def management(
    home: Path, line: str, record: int | None, door: Path | None, *, verbose: bool
) -> int:
    """Run the management module from source; `meter run --from-source` does it."""
    set_up_logs(verbose=verbose)
    return run_until_stopped(
        lambda stop: management_process.serve(
            home.resolve(), line, stop, handed_over(record), Behind(door)
        )
    )


meter.add_command(errors)


@meter.command("personalise")
@METER_HOME
def personalise(home: Path) -> None:
    """Give a meter's keys to its secure world, as its factory does; while it has no power.

    keys.json is erased: the head-end has its copy, and the meter's flash the keys, ciphered under a
    key that its one-time-programmable memory alone holds.  There is no way back.
    """
    refuse_power(home)
    backplane.personalise(home.resolve(), certifier(home.resolve()))


@meter.command("pair")
@METER_HOME
def pair_modules(home: Path) -> None:
    """Let the modules of a meter know each other after one was exchanged; while it has no power."""
    refuse_power(home)
    modules.pair(home.resolve())


meter.add_command(debug)
meter.add_command(display)
meter.add_command(terminals)
meter.add_command(recover)
meter.add_command(supply)


@click.group()
def fleet() -> None:
    """Many meters in one process."""


FLEET_HOME = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, e.g. var/fleet.",
)


@fleet.command("personalise")
@FLEET_HOME
def personalise_meters(home: Path) -> None:
    """Bring the keys of a fleet's meters into their secure worlds; while it does not run."""
    set_up_logs(verbose=False)
    refuse_running_fleet(home)
    with bar() as shown:
        count = fleet_secure.personalise_fleet(
            home.resolve(), lambda done, total: shown.at(done, total, "meters"), certifier
        )
    click.echo(f"{count} meters are personalised now" if count else "all meters were personalised")


@fleet.command("faults")
@FLEET_HOME
@click.option("--version", default="", help="Of the firmware, as in its image: 1.2.0.  [any]")
@click.option("--percent", type=click.FloatRange(0, 100), default=100.0, show_default=True)
@click.option(
    "--check",
    type=click.Choice(fleet_faults.CHECKS),
    default="storage",
    show_default=True,
    help="The part of the self-test that they fail.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Chooses which meters.")
@click.option("--none", "none", is_flag=True, help="No meter fails any more.")
def say_faults(  # noqa: PLR0913  one parameter an option
    home: Path, *, version: str, percent: float, check: str, seed: int, none: bool
) -> None:
    """Let meters of a fleet fail the self-test of new firmware, for trials.

    It replaces what was said of this version before, and is looked at when a trial begins.
    """
    path = home / fleet_faults.FAULTS_FILE
    FleetConfig.load(home)  # otherwise nobody would ever look there
    if none:
        fleet_faults.store(path, ())
        click.echo("no meter fails any more")
        return
    fault = fleet_faults.Fault(version=version, percent=percent, check=check, seed=seed)
    others = [each for each in fleet_faults.load(path) if each.version != version]
    fleet_faults.store(path, [fault, *others])
    which = f"firmware {version}" if version else "any new firmware"
    click.echo(f"{percent:g} % of the meters fail the check {check} of {which}")


@fleet.command("run")
@FLEET_HOME
@VERBOSE
def run_fleet(home: Path, *, verbose: bool) -> None:
    """Run a fleet until SIGTERM."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: fleet_of_meters.serve(home.resolve(), stop))
