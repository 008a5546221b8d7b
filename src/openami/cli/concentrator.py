# SPDX-License-Identifier: Apache-2.0
"""`openami concentrator`: collect a region's meters, and see what became of them."""

import json
from pathlib import Path

import click

from openami.cli.image_files import octets_of
from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.installing import install_image
from openami.concentrator.module import boots, from_factory
from openami.concentrator.module import serve as serve_booted
from openami.concentrator.process import serve
from openami.concentrator.standing import Standing, stand
from openami.device.factory import is_made
from openami.exchange.field import notice_text
from openami.runtime.errors import UserError
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped
from openami.runtime.status import Figures

home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, certificates and journal, e.g. var/concentrators/north.",
)


@click.group()
def concentrator() -> None:
    """Collect a region's meters and lose none of their readings."""


@concentrator.command()
@home_option
@click.option("--verbose", is_flag=True, help="Log every connection.")
def run(home: Path, *, verbose: bool) -> None:
    """Run one concentrator until SIGTERM.

    Where its flash was made, that is what `boot` does; else the installed package
    (config.toml, [firmware] launcher).
    """
    set_up_logs(verbose=verbose)
    found = ConcentratorConfig.load(home.resolve())
    running = serve_booted if boots(found) else serve
    run_until_stopped(lambda stop: running(home.resolve(), stop))


@concentrator.command()
@home_option
def make(home: Path) -> None:
    """Make the concentrator's flash, with its first firmware; the next start runs that.

    From the folder `firmware/concentrator` beside `concentrators`, as its vendor delivers it, or
    with a key for development.
    """
    set_up_logs()
    config = ConcentratorConfig.load(home.resolve())
    if is_made(config.home):
        raise UserError(f"{config.name} has its flash already: bring firmware with `install`")
    from_factory(config)
    click.echo(f"{config.name} runs its firmware from the next start on")


@concentrator.command()
@home_option
def boot(home: Path) -> None:
    """Verify the concentrator's firmware and run it, until SIGTERM.

    Its flash is made first where there is none.  What runs is the image in the flash and not this
    package; it logs into the folder `run`.
    """
    set_up_logs()
    run_until_stopped(lambda stop: serve_booted(home.resolve(), stop))


@concentrator.command()
@home_option
@click.option(
    "--without-uplink",
    is_flag=True,
    help="Confirm it although the head-end is out of reach, as it is now.",
)
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False))
def install(home: Path, image: Path, *, without_uplink: bool) -> None:
    """Put the signed IMAGE into the bank that does not run; the next start tries it.

    The concentrator must not run.  A running one takes an image through its port for tools
    (`openami image send URL IMAGE --activate`) or from the head-end.
    """
    found = install_image(home.resolve(), octets_of(image), needs_uplink=not without_uplink)
    counter = found.security_counter
    click.echo(f"{image}: version {found.version}, security counter {counter}: tried at next start")


@concentrator.command()
@home_option
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(home: Path, *, as_json: bool) -> None:
    """Show meters, links, journal and notices, whether the concentrator runs or not."""
    found = stand(ConcentratorConfig.load(home.resolve()))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    for line in _lines(found):
        click.echo(line)


def _clock(figures: Figures) -> str:
    """Say how the host's clock is."""
    known = {name: value for name, value in figures.items() if not isinstance(value, str)}
    offset_s, near_s = (known.get(f"clock {name} seconds") for name in ("offset", "uncertainty"))
    if offset_s is None or near_s is None:
        said = "not compared with the head-end's yet"
    else:
        side = "behind" if offset_s >= 0 else "ahead of"
        said = f"{abs(offset_s):.3f} s {side} the head-end's, ±{near_s:.3f} s"
    past = ", past its limit" if known.get("clock past limit") else ""
    if "clock kept" not in known:
        return said + past
    kept = "a time daemon" if known["clock kept"] else "no time daemon that the kernel knows of"
    return f"{said}{past}, kept by {kept}"


def _lines(found: Standing) -> list[str]:
    lines = [f"concentrator {found.name}: {'runs' if found.figures else 'does not run'}"]
    lines.append(
        f"journal: {found.entries} entries wait, {found.octets} of {found.most_octets} octets; "
        f"of one meter at most {found.most_of_one} of {found.quota}"
    )
    if found.figures:
        lines.append(f"clock: {_clock(found.figures)}")
        lines.append(", ".join(f"{name} {value}" for name, value in found.figures.items()))
    lines.append(
        f"{'meter':16}  {'here':4}  {'waits':>5}  {'round trip':>10}  {'loss':>6}  last seen"
    )
    for meter in found.meters:
        round_trip = "" if meter.round_trip_us is None else f"{meter.round_trip_us / 1000:.1f} ms"
        loss = "" if meter.loss is None else f"{meter.loss:.2%}"
        lines.append(
            f"{meter.title.hex().upper()}  {'yes' if found.is_attached(meter) else 'no':4}"
            f"  {found.waiting.get(meter.title, 0):5}  {round_trip:>10}  {loss:>6}"
            f"  {meter.last_seen:%Y-%m-%d %H:%M:%S} {meter.bearer} {meter.address}"
        )
    for notice in found.notices:
        about = f" {notice.title.hex().upper()}" if notice.title else ""
        more = f" ({notice.text})" if notice.text else ""
        told = "" if notice.number not in found.untold else ", not told yet"
        lines.append(
            f"{notice.at:%Y-%m-%d %H:%M:%S}{about}: {notice_text(notice.code)}{more}{told}"
        )
    return lines
