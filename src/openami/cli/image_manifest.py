# SPDX-License-Identifier: Apache-2.0
"""`openami image manifest`: judge a SUIT manifest, say what it asks for, and match its image."""

import json
from pathlib import Path

import click

from openami.cli.image_files import FILE, NUMBER, key_of, octets_of
from openami.firmware.keys import public_key
from openami.firmware.manifest import Manifest, ManifestError, accept
from openami.firmware.manifest_run import Identity, Part, plan
from openami.runtime.errors import ExitCode, UserError


@click.command()
@click.option("-k", "--key", "keys", type=FILE, multiple=True, required=True, help="Trusted key.")
@click.option("--vendor", metavar="HEX", help="The device's vendor id, a UUID.")
@click.option("--class", "class_", metavar="HEX", help="The device's class id, a UUID.")
@click.option("--slot", type=NUMBER, help="The slot that is free.")
@click.option("--sequence", type=NUMBER, default=0, help="Refuse a lower sequence number.")
@click.option("--image", "image_file", type=FILE, help="The image that it must speak of.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("file", type=FILE)
def manifest(  # noqa: PLR0913, PLR0917  one for each option
    keys: tuple[Path, ...],
    vendor: str | None,
    class_: str | None,
    slot: int | None,
    sequence: int,
    image_file: Path | None,
    file: Path,
    *,
    as_json: bool,
) -> int:
    """Say what the SUIT manifest in FILE asks a device for; exit status 1 if it is refused."""
    trusted = tuple(key_of(path, public_key) for path in keys)
    identity = Identity(vendor_id=_uuid(vendor), class_id=_uuid(class_), slot=slot)
    found: Manifest | None = None
    parts: tuple[Part, ...] = ()
    try:
        found = accept(octets_of(file), trusted, least_sequence=sequence)
        parts = plan(found, identity)
        if image_file is not None:
            parts[0].verify(octets_of(image_file))
    except ManifestError as error:
        if as_json:
            click.echo(json.dumps(_json(found, parts, error), indent=2))
        else:
            click.echo(f"verdict           refused, {error.reason.word}\nreason            {error}")
        return int(ExitCode.REFUSED)
    if as_json:
        click.echo(json.dumps(_json(found, parts, None), indent=2))
        return int(ExitCode.DONE)
    click.echo(f"sequence number   {found.sequence_number}")
    for part in parts:
        click.echo(f"component         {_name(part)}")
        click.echo(f"  fetched from    {part.uri or 'nowhere'}")
        click.echo(f"  SHA-256         {'none' if part.sha256 is None else part.sha256.hex()}")
        click.echo(f"  octets          {'any' if part.size is None else format(part.size, ',')}")
        click.echo(f"  runs            {'yes' if part.invoked else 'no'}")
    click.echo("verdict           valid")
    return int(ExitCode.DONE)


def _name(part: Part) -> str:
    return "/".join(each.hex() for each in part.component)


def _json(
    found: Manifest | None, parts: tuple[Part, ...], refusal: ManifestError | None
) -> dict[str, object]:
    return {
        "valid": refusal is None,
        "reason": None if refusal is None else refusal.reason.word,
        "sequence_number": None if found is None else found.sequence_number,
        "components": [
            {
                "component": _name(part),
                "uri": part.uri,
                "sha256": None if part.sha256 is None else part.sha256.hex(),
                "size": part.size,
                "slot": part.slot,
                "invoked": part.invoked,
            }
            for part in parts
        ],
    }


def _uuid(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        octets = bytes.fromhex(text.replace("-", ""))
    except ValueError:
        octets = b""
    if len(octets) != 16:
        raise UserError(f"{text} is no UUID: give 32 hexadecimal digits", ExitCode.ASKED_WRONGLY)
    return octets
