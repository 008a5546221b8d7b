# SPDX-License-Identifier: Apache-2.0
"""`openami image build` and `budget`: firmware of this package, and what of its room it takes."""

import json
from pathlib import Path

import click

from openami.cli.cards import cards_option, is_in_vault, opened
from openami.cli.image_files import (
    FILE,
    NUMBER,
    key_of,
    revocation_of,
    revocation_option,
    write,
)
from openami.concentrator.module import RELEASE as CONCENTRATORS
from openami.device.payload.errors import PayloadError
from openami.device.payload.pack import Packed, pack
from openami.device.payload.parts import CONCENTRATOR, METROLOGY, Program
from openami.device.payload.release import Release, verify_room
from openami.device.payload.sources import here, sizes
from openami.device.sealedimage import sealed_image
from openami.firmware.image import Version
from openami.firmware.keys import private_key
from openami.runtime.errors import ExitCode, UserError

SHOWN = 20


@click.command()
@click.option("-k", "--key", type=FILE, required=True, help="Private key that signs it.")
@click.option("-v", "--version", "version_text", required=True, metavar="1.2.3+4")
@click.option("-s", "--security-counter", "--counter", "counter", type=NUMBER, required=True)
@revocation_option
@cards_option
@click.option("--metrology", is_flag=True, help="Of metrology, under its seal's key.")
@click.option("--concentrator", is_flag=True, help="Of a concentrator.")
@click.argument("target", type=FILE)
def build(  # noqa: PLR0913, PLR0917  one for each option
    key: Path,
    version_text: str,
    counter: int,
    revocation: Path | None,
    cards: tuple[Path, ...],
    target: Path,
    *,
    metrology: bool,
    concentrator: bool,
) -> int:
    """Build the meter's firmware from this package, or another device's, and sign it."""
    if metrology and concentrator:
        sentence = "an image is of metrology or of a concentrator: give one of both options"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    if metrology and revocation is not None:
        sentence = "a seal is given up by exchanging the module: leave out --revocation"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    carried = () if revocation is None else (revocation_of(revocation),)
    try:
        version = Version.parse(version_text)
        signer = (
            opened(key, cards, f"{target.name}, version {version}")
            if is_in_vault(key)
            else key_of(key, private_key)
        )
        if metrology:
            image = sealed_image(version, counter, signer)
        elif concentrator:
            image = CONCENTRATORS.image(here(), version, counter, signer, carried)
        else:
            image = released().image(version, counter, signer, carried)
    except ValueError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None
    except PayloadError as error:
        raise UserError(str(error)) from None
    write(target, image.encode())
    click.echo(f"{target}: version {version}, security counter {counter}, {image.size:,} octets")
    return int(ExitCode.DONE)


@click.command()
@click.option("--all", "everything", is_flag=True, help="Show every module.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def budget(*, everything: bool, as_json: bool) -> int:
    """Say what the firmware takes of its slot, the largest modules first; status 1 if too much."""
    release = released()
    if as_json:
        click.echo(json.dumps(_as_json(release), indent=1))
    else:
        _print(release, None if everything else SHOWN)
    try:
        release.verify_budget()
        verify_room(_packed(METROLOGY))
        verify_room(_packed(CONCENTRATOR))
    except PayloadError as error:
        raise UserError(str(error)) from None
    return 0


def released() -> Release:
    """Return this package's firmware.

    Raises:
        UserError: It cannot be made.
    """
    try:
        return Release.of(here())
    except PayloadError as error:
        raise UserError(str(error)) from None


def _packed(program: Program) -> Packed:
    try:
        return pack(program, here())
    except PayloadError as error:
        raise UserError(str(error)) from None


def _print(release: Release, most: int | None) -> None:
    for packed in (*release.programs, _packed(METROLOGY), _packed(CONCENTRATOR)):
        name, octets, room = packed.program.name, len(packed.octets), packed.program.room_octets
        click.echo(
            f"{name}: {octets:,} of {room:,} octets, {100 * octets / room:.0f} %, "
            f"{len(packed.modules)} modules; each compressed by itself:"
        )
        for each, module in sizes(packed.modules)[:most]:
            click.echo(f"  {each:6,}  {module.rstrip('.')}")
    click.echo(f"the slot has {release.spare_octets:,} octets left")


def _as_json(release: Release) -> dict[str, object]:
    programs = {
        packed.program.name: {
            "octets": len(packed.octets),
            "room": packed.program.room_octets,
            "modules": {name.rstrip("."): octets for name, octets in packed.modules.items()},
        }
        for packed in (*release.programs, _packed(METROLOGY), _packed(CONCENTRATOR))
    }
    return {"programs": programs, "spare": release.spare_octets}
