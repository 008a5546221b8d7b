# SPDX-License-Identifier: Apache-2.0
"""`openami headend commission`: from a shipment file and device certificates to operating meters.

The command verifies, enters and asks; the head-end does it; the command looks.
"""

import getpass
import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.cli.headend_store import HOME_OPTION, group_of, opened, time_text
from openami.cli.progress import bar
from openami.exchange.words import many
from openami.headend.config import HeadEndConfig
from openami.headend.device_certificate import verify_device_certificate
from openami.headend.pairs import believing
from openami.headend.registry_import import import_shipment, load_shipment
from openami.runtime.errors import ExitCode, UserError
from openami.store import commissioning as store
from openami.store import registry
from openami.store.commissioning import Stage, State

LOOK_S: Final = 0.5
SHOWN: Final = 20
_FILE = click.Path(path_type=Path, dir_okay=False)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_FOLLOW = click.option("--follow", is_flag=True, help="Wait until none is under way.")


@click.group()
def commission() -> None:
    """Bring meters into operation: identity, keys, clock, profile, push, first read."""


@commission.command()
@HOME_OPTION
@click.option("--shipment", type=_FILE, help="Enter the meters of this file first.")
@click.option("--certificate", "certificates", type=_FILE, multiple=True, help="Of a meter (PEM).")
@click.option("--region", multiple=True, help="All meters of a region; may be repeated.")
@click.option("--meter", "meter_ids", type=int, multiple=True, help="A meter; may be repeated.")
@click.option("--all", "everyone", is_flag=True, help="Every meter of the registry.")
@click.option("--reason", required=True, help="Why, for the audit trail.")
@_FOLLOW
@_JSON
def begin(  # noqa: PLR0913  one parameter an option
    *,
    home: Path,
    shipment: Path | None,
    certificates: tuple[Path, ...],
    region: tuple[str, ...],
    meter_ids: tuple[int, ...],
    everyone: bool,
    reason: str,
    follow: bool,
    as_json: bool,
) -> int:
    """Begin with meters, or go on with those that were held."""
    chosen = sum(map(bool, (region, meter_ids, everyone)))
    if chosen > 1 or not (chosen or shipment):
        sentence = "name the meters with --shipment, --region, --meter, or --all"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    with opened(home) as engine:
        delivered = None
        if shipment is not None:
            found = load_shipment(shipment)
            import_shipment(engine, found, believing(HeadEndConfig.load(home.resolve())))
            delivered = [meter.meter_id for meter in found.meters]
        wanted = delivered if delivered and not chosen else group_of(engine, region, meter_ids)
        fingerprints = _verified(engine, certificates, home, wanted)
        login = getpass.getuser()
        count = store.ask(engine, wanted, asked_by=login, reason=reason, certificates=fingerprints)
        record(engine, login, "meters.commission", f"{many(count)}: {reason}")
        if not as_json:
            click.echo(f"{many(count)} on the way into operation")
        return _report(engine, follow=follow, as_json=as_json)


@commission.command()
@HOME_OPTION
@_FOLLOW
@_JSON
def status(*, home: Path, follow: bool, as_json: bool) -> int:
    """Count meters by stage, and tell which are held and why."""
    with opened(home) as engine:
        return _report(engine, follow=follow, as_json=as_json)


@commission.command()
@HOME_OPTION
@click.argument("meter_id", type=int)
@_JSON
def history(*, home: Path, meter_id: int, as_json: bool) -> None:
    """Tell what METER_ID has passed."""
    with opened(home) as engine:
        now = store.commissioning(engine, meter_id)
        passed = store.history(engine, meter_id)
    rows = [
        {"at": time_text(each.at_real_us), "stage": each.stage.value, "note": each.note}
        for each in passed
    ]
    if as_json:
        state = {"stage": now.stage.value, "state": now.state.value, "note": now.note}
        click.echo(json.dumps(state | {"history": rows}, indent=1))
        return
    for row in rows:
        click.echo(f"{row['at']}  {row['stage']}: {row['note']}")
    waits = f", waits: {now.note}" if now.note and now.state is State.OPEN else ""
    click.echo(f"now {now.state.value} at {now.stage.value}{waits}")


def _verified(
    engine: Engine, paths: Sequence[Path], home: Path, wanted: Sequence[int]
) -> dict[int, str]:
    """Return the fingerprints of sound certificates by meter."""
    authority = HeadEndConfig.load(home.resolve()).identity.ca
    found: dict[int, str] = {}
    for path in paths:
        certificate = verify_device_certificate(path, authority, datetime.now(UTC))
        meter = registry.by_title(engine, certificate.title)
        if meter is None or meter.meter_id not in wanted:
            title = certificate.title.hex().upper()
            raise UserError(f"{path} is of {title}, which is none of the meters: leave it out")
        found[meter.meter_id] = certificate.fingerprint
    return found


def _report(engine: Engine, *, follow: bool, as_json: bool) -> int:
    """Print where all meters stand; held ones make the status 1."""
    counts = store.progress(engine)
    if follow:
        with bar() as shown:
            while under_way := sum(n for (_, state), n in counts.items() if state is State.OPEN):
                total = sum(counts.values())
                shown.at(total - under_way, total, many(total))
                time.sleep(LOOK_S)
                counts = store.progress(engine)
    held = store.in_state(engine, State.HELD, limit=1_000)
    if as_json:
        stages = {
            stage.value: {
                state.value: counts[stage, state] for state in State if (stage, state) in counts
            }
            for stage in Stage
        }
        rows = [
            {"meter_id": each.meter_id, "stage": each.stage.value, "reason": each.note}
            for each in held
        ]
        click.echo(json.dumps({"stages": stages, "held": rows}, indent=1))
    else:
        for stage in Stage:
            for state in State:
                if count := counts.get((stage, state), 0):
                    click.echo(f"{count:>9,}  {stage.value:<11} {state.value}")
        for each in held[:SHOWN]:
            click.echo(f"meter {each.meter_id} is held at {each.stage.value}: {each.note}")
        if len(held) > SHOWN:
            click.echo(f"and {len(held) - SHOWN} more")
    return int(ExitCode.REFUSED if held else ExitCode.DONE)
