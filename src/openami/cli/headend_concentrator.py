# SPDX-License-Identifier: Apache-2.0
"""`openami headend concentrator`: keys and firmware of the concentrators themselves.

The commands write what is wanted and look at what came of it; the head-end that has the uplink does
it.
"""

import getpass
import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.access.custody import Custody
from openami.cli.headend_store import HOME_OPTION, opened, time_text
from openami.cli.image_files import FILE, key_of
from openami.cli.release_files import image_options, release_of, take_release
from openami.concentrator.own.banks import KIND
from openami.concentrator.own.keys import load_keys
from openami.device.payload.judge import policy
from openami.exchange.campaign import ENDED
from openami.firmware.keys import public_key
from openami.headend.config import HeadEndConfig
from openami.headend.planning import cancel_update, update_concentrators
from openami.headend.registry_import import load_shipment
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import read_json
from openami.store import concentrator_devices as store
from openami.store import releases
from openami.store.concentrator_devices import ConcentratorUpdate, WrappedKeys
from openami.store.releases import Release

LOOK_S: Final = 0.5
TITLE_DIGITS: Final = 16
_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_REASON = click.option("--reason", required=True, help="Why, for the audit trail.")
_WHICH = click.argument("which", metavar="CONCENTRATOR")


@click.group()
def concentrator() -> None:
    """Speak with concentrators themselves: take their keys, bring them new firmware."""


@concentrator.command()
@HOME_OPTION
@click.argument("file", type=FILE, metavar="KEYS.JSON")
def adopt(*, home: Path, file: Path) -> None:
    """Take a concentrator's own DLMS keys into the head-end's custody."""
    config = HeadEndConfig.load(home.resolve())
    remedy = "give the keys.json of a concentrator"
    try:
        title = bytes.fromhex(read_json(file, remedy)["title"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{file} names no system title ({error!r}): {remedy}") from None
    keys = load_keys(file, title)
    if keys is None:
        raise UserError(f"{file} is not there: {remedy}")
    custody = Custody.open(config.keystore)
    wrapped = WrappedKeys(
        title=title,
        guek=custody.wrap(keys.encryption_key),
        gak=custody.wrap(keys.authentication_key),
    )
    with opened(home) as engine:
        store.adopt(engine, wrapped)
        record(engine, getpass.getuser(), "concentrator.adopt", title.hex().upper())
    click.echo(f"the keys of concentrator {title.hex().upper()} are here, wrapped")


@concentrator.command("release")
@HOME_OPTION
@image_options
@_REASON
def release_command(
    *, home: Path, file: Path, keys: tuple[Path, ...], counter: int | None, reason: str
) -> None:
    """Verify an image against trusted keys and take it: updates over REST name it."""
    found, octets = _release(file, keys, counter)
    with opened(home) as engine:
        take_release(engine, found, octets, reason)


@concentrator.command()
@HOME_OPTION
@image_options
@click.option("--follow", is_flag=True, help="Wait until it is over; status 1 if it did not work.")
@click.option("--all", "everybody", is_flag=True, help="All that are known, by name.")
@_REASON
@click.argument("which", metavar="[CONCENTRATOR]...", nargs=-1)
def update(  # noqa: PLR0913  one for each option
    *,
    home: Path,
    file: Path,
    keys: tuple[Path, ...],
    counter: int | None,
    follow: bool,
    everybody: bool,
    reason: str,
    which: tuple[str, ...],
) -> int:
    """Verify an image against trusted keys, and bring it to concentrators.

    One begins when the one before it runs the image for good, or is cancelled; the first that does
    not come to that ends it.
    """
    titles = _titles(home, which, everybody=everybody)
    release, octets = _release(file, keys, counter)
    with opened(home) as engine:
        releases.add(engine, release, octets)
        update_concentrators(engine, titles, release, asked_by=getpass.getuser(), reason=reason)
        for title in titles:
            click.echo(f"concentrator {title.hex().upper()} is to run {release.version}")
        return int(_followed(engine, titles) if follow else ExitCode.DONE)


def _followed(engine: Engine, titles: list[bytes]) -> ExitCode:
    """Print what becomes of updates until all are over; tell whether all did well."""
    said: dict[bytes, str] = {}
    while True:
        rows = {row.title: row for row in store.updates(engine)}
        found = [rows[title] for title in titles]
        for row in found:
            if (line := _line(row)) != said.get(row.title):
                click.echo(line)
                said[row.title] = line
        if all(row.state in ENDED for row in found):
            stopped = any(row.state not in store.GOOD for row in found)
            return ExitCode.REFUSED if stopped else ExitCode.DONE
        time.sleep(LOOK_S)


@concentrator.command()
@HOME_OPTION
@_REASON
@_WHICH
def cancel(*, home: Path, reason: str, which: str) -> None:
    """Give up an update that was not started yet at the concentrator."""
    title = _title(home, which)
    with opened(home) as engine:
        cancel_update(engine, title, asked_by=getpass.getuser(), reason=reason)
    click.echo(f"the update of concentrator {title.hex().upper()} is cancelled")


@concentrator.command()
@HOME_OPTION
@_JSON
def status(*, home: Path, as_json: bool) -> None:
    """Show the newest firmware update of each concentrator."""
    with opened(home) as engine:
        found = store.updates(engine)
    if as_json:
        click.echo(json.dumps([_plain(row) for row in found], indent=1))
        return
    if not found:
        click.echo("no update of a concentrator was asked for")
    for row in found:
        click.echo(f"{_line(row)} (by {row.asked_by}, {time_text(row.asked_real_us)}: {row.why})")


def _line(found: ConcentratorUpdate) -> str:
    blocks = f", block {found.blocks_there} of {found.blocks}" if found.blocks else ""
    note = f": {found.note}" if found.note else ""
    return f"{found.title.hex().upper()}  {found.state.value}{blocks}{note}"


def _plain(found: ConcentratorUpdate) -> dict[str, Any]:
    return asdict(found) | {"title": found.title.hex().upper(), "state": found.state.value}


def _title(home: Path, which: str) -> bytes:
    """Return the title of a concentrator that is named, or given by its title in hex."""
    if len(which) == TITLE_DIGITS:
        try:
            return bytes.fromhex(which)
        except ValueError:
            pass  # a name of as many letters
    places = load_shipment(HeadEndConfig.load(home.resolve()).shipment).places
    for title, place in places.items():
        if place.name == which:
            return title
    known = ", ".join(sorted(place.name for place in places.values())) or "none"
    raise UserError(
        f"no concentrator is called {which!r}: known are {known}; or give its title in hex",
        ExitCode.ASKED_WRONGLY,
    )


def _titles(home: Path, which: tuple[str, ...], *, everybody: bool) -> list[bytes]:
    """Return the titles of those that are named, in their order, or of all by name."""
    if bool(which) == everybody:
        sentence = "name concentrators, or give --all" if not which else "--all names all already"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    if everybody:
        places = load_shipment(HeadEndConfig.load(home.resolve()).shipment).places
        return [title for title, _ in sorted(places.items(), key=lambda each: each[1].name)]
    titles = [_title(home, each) for each in which]
    twice = next((each for n, each in enumerate(which) if titles[n] in titles[:n]), None)
    if twice is not None:
        raise UserError(f"{twice} is named twice: name it once", ExitCode.ASKED_WRONGLY)
    return titles


def _release(file: Path, keys: tuple[Path, ...], counter: int | None) -> tuple[Release, bytes]:
    trusted = tuple(key_of(path, public_key) for path in keys)
    demanded = replace(policy(trusted, kind=KIND), counter=counter)
    remedy = "give a concentrator's image that is signed with one of the keys"
    return release_of(file, demanded, remedy)
