# SPDX-License-Identifier: Apache-2.0
"""`openami image send`: an image into a running meter, by DLMS image transfer."""

import asyncio
import time
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

import click

from openami.cli.connecting import INTERRUPTED, Meter, Work, run_with_meter
from openami.cli.image_files import octets_of
from openami.cli.meter_options import meter_options
from openami.cli.progress import Bar, bar
from openami.cosem.asking import image as asking
from openami.cosem.classes.image_transfer import ImageTransferStatus
from openami.cosem.refusals import AccessError
from openami.dlms.obis import Obis
from openami.runtime.errors import ExitCode, UserError
from openami.transport.wire import WireError

IDENTIFIER_OCTETS: Final = 16
LOOK_S: Final = 1.0
VERIFIED_WITHIN_S: Final = 120.0
REFUSED: Final = "the meter refuses the image"
REMEDY: Final = "give one that is whole, newer than what runs, and signed for this meter"
ENDED: Final = frozenset(
    {
        ImageTransferStatus.VERIFICATION_SUCCESSFUL,
        ImageTransferStatus.VERIFICATION_FAILED,
    }
)


@dataclass(frozen=True, slots=True)
class Sending:
    """What goes where."""

    identifier: bytes
    image: bytes
    at: Obis
    anew: bool


class _Interrupted(Exception):  # noqa: N818  nobody's error
    """The person wants to go on another time."""


@click.command()
@click.argument("url")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--at", default=str(asking.IMAGE), show_default=True, help="The object.")
@click.option(
    "--identifier", help="What the transfer is called.  [half of the SHA-256 of FILE, in hex]"
)
@click.option(
    "--resume",
    is_flag=True,
    help="Initiate nothing where a transfer of this size is under way: some meters forget it then.",
)
@click.option("--activate", is_flag=True, help="Let the meter start the image when it is good.")
@click.option("--yes", is_flag=True, help="Ask nothing before that.")
@meter_options
def send(  # noqa: PLR0913  one parameter an option
    *,
    url: str,
    file: Path,
    at: str,
    identifier: str | None,
    resume: bool,
    activate: bool,
    yes: bool,
    config: Path | None,
    **given: str | None,
) -> int:
    """Send the image FILE to the meter at URL, have it verified, and let it start if wished.

    What the meter has of FILE already is not sent again: after a break, give the same command, with
    --resume where the meter begins anew each time.

    \b
    openami image send tcp://127.0.0.1:4059 meter-1.1.0.bin --client 1 --keys keys.json
    openami image send tls://meter:4059 meter-1.1.0.bin --keys keys.json --activate
    """  # noqa: D301  click wants the character itself before lines that stay as they are
    octets = octets_of(file)
    if not octets:
        raise UserError(f"{file} is empty: give an image", ExitCode.ASKED_WRONGLY)
    try:
        place = Obis.parse(at)
    except ValueError:
        sentence = f"--at {at!r} is no logical name: write six numbers such as {asking.IMAGE}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    name = (identifier or sha256(octets).digest()[:IDENTIFIER_OCTETS].hex()).encode()
    if activate and not yes:
        click.confirm(f"{url} is to start {file.name} once it is verified. Go on?", abort=True)
    meter = Meter.gather(url, given, config)
    with bar() as shown:
        try:
            sending = Sending(name, octets, place, anew=not resume)
            run_with_meter(meter, lambda work: _send(work, sending, shown, activate=activate))
        except _Interrupted:
            click.echo("openami: interrupted: the same command goes on from here", err=True)
            return INTERRUPTED
    return int(ExitCode.DONE)


async def _send(work: Work, sending: Sending, shown: Bar, *, activate: bool) -> None:
    began_s = time.monotonic()

    def told(there: int, blocks: int) -> None:
        if work.stop.asked:
            raise _Interrupted
        shown.at(there, blocks, f"block {there} of {blocks}")

    client = work.session.client
    at = sending.at
    sent = await work.run(
        asking.transfer(
            client, sending.identifier, sending.image, at=at, anew=sending.anew, told=told
        )
    )
    click.echo(f"{sent} blocks sent in {time.monotonic() - began_s:.1f} s")
    await _verify(work, at)
    click.echo("the meter has verified the image")
    if not activate:
        return
    work.changes = True
    try:
        done = await work.run(asking.activate(client, at=at))
    except WireError:
        done = False  # it restarts at once
    click.echo("the image is active" if done else "the meter starts the image")


async def _verify(work: Work, at: Obis) -> None:
    """Have the image verified.

    Raises:
        UserError: It is refused, or that takes too long.
    """
    client = work.session.client
    try:
        if await work.run(asking.verify(client, at=at)):
            return
        until_s = time.monotonic() + VERIFIED_WITHIN_S
        while (found := await work.run(asking.status(client, at=at))) not in ENDED:
            if work.stop.asked:
                raise _Interrupted
            if time.monotonic() > until_s:
                sentence = f"the image is still not verified after {VERIFIED_WITHIN_S:g} s"
                raise UserError(f"{sentence} ({found.name}): ask the meter again later")
            await asyncio.sleep(LOOK_S)
    except AccessError as refused:
        sentence = (
            f"the meter refuses the image ({refused}): is it whole, newer, and signed for it?"
        )
        raise UserError(sentence) from refused
    if found is ImageTransferStatus.VERIFICATION_FAILED:
        raise UserError(f"{REFUSED}: {REMEDY}")
