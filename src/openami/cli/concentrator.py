# SPDX-License-Identifier: Apache-2.0
"""`openami concentrator`: collect a region's meters, and see what became of them."""

import json
from pathlib import Path

import click

from openami.concentrator.config import ConcentratorConfig
from openami.concentrator.process import serve
from openami.concentrator.standing import Standing, stand
from openami.exchange.field import notice_text
from openami.runtime.logs import set_up_logs
from openami.runtime.process import run_until_stopped


@click.group()
def concentrator() -> None:
    """Collect a region's meters and lose none of their readings."""


@concentrator.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, certificates and journal, e.g. var/concentrators/north.",
)
@click.option("--verbose", is_flag=True, help="Log every connection.")
def run(home: Path, *, verbose: bool) -> None:
    """Run one concentrator until SIGTERM."""
    set_up_logs(verbose=verbose)
    run_until_stopped(lambda stop: serve(home.resolve(), stop))


@concentrator.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder with config.toml, certificates and journal, e.g. var/concentrators/north.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(home: Path, *, as_json: bool) -> None:
    """Show meters, links, journal and notices, whether the concentrator runs or not."""
    found = stand(ConcentratorConfig.load(home.resolve()))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: Standing) -> list[str]:
    lines = [f"concentrator {found.name}: {'runs' if found.figures else 'does not run'}"]
    lines.append(
        f"journal: {found.entries} entries wait, {found.octets} of {found.most_octets} octets; "
        f"of one meter at most {found.most_of_one} of {found.quota}"
    )
    if found.figures:
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
