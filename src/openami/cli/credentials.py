# SPDX-License-Identifier: Apache-2.0
"""`openami credentials`: the keys that firmware is believed by, which no one person can use."""

import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.cli.cards import cards_option, shares_of, vault_at
from openami.cli.image_files import FILE, image_of, octets_of, write
from openami.device.factory import FACTORY_IMAGE, ROOT_FILE, TRUSTED
from openami.device.payload.judge import policy
from openami.firmware.errors import ImageError
from openami.firmware.keys import VerifyingKey
from openami.firmware.shares import MOST_SHARES, Share, ShareError
from openami.firmware.verify import verify
from openami.lifecycle.vault import MOST_SIGNING, ROOT, Group, Quorum, Vault
from openami.runtime.errors import ExitCode, UserError

FOLDER: Final = click.Path(path_type=Path, file_okay=False)
WHOSE: Final = {Group.ROOT: "the root key", Group.SIGNING: "the signing keys"}


@click.group()
def credentials() -> None:
    """Root and signing keys, split among people: begin, look at, revoke, deliver."""


@credentials.command()
@click.argument("folder", type=FOLDER)
@click.option(
    "--signing",
    type=click.IntRange(1, MOST_SIGNING),
    default=3,
    show_default=True,
    help="Signing keys, the spare ones included.",
)
@click.option(
    "--needed",
    type=click.IntRange(2, MOST_SHARES),
    default=2,
    show_default=True,
    help="Cards that open a key.",
)
@click.option(
    "--cards",
    "count",
    type=click.IntRange(2, MOST_SHARES),
    default=3,
    show_default=True,
    help="Cards of each group of keys.",
)
@click.option(
    "--card-files",
    type=FOLDER,
    help="Write the cards into this folder instead of showing them one by one.",
)
def begin(folder: Path, signing: int, needed: int, count: int, card_files: Path | None) -> int:
    """Make a root key and signing keys in the new folder FOLDER, and hand out their cards.

    Do this on a machine without a network, with all holders in the room.
    """
    try:
        vault, cards = Vault.begin(
            folder,
            signing=signing,
            quorum=Quorum(needed=needed, cards=count),
            entropy=os.urandom,
            now=lambda: datetime.now(UTC),
        )
    except ShareError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None
    try:
        for group, shares in cards.items():
            for share in shares:
                if card_files is None:
                    _hand_out(vault, group, share)
                else:
                    path = card_files / f"{group.value}-{share.number}.card"
                    write(path, f"{share.card()}\n".encode(), private=True)
    except click.Abort:
        sentence = f"the ceremony was broken off, and cards of {folder} are lost: remove it"
        raise UserError(f"{sentence}, destroy the cards, and begin again") from None
    click.echo(f"{folder}: {ROOT} and {signing} signing keys; {needed} of {count} cards open each")
    click.echo(f"last line of the log, for the minutes: {vault.log()[-1].digest}")
    return int(ExitCode.DONE)


def _hand_out(vault: Vault, group: Group, share: Share) -> None:
    """Show a card to its holder alone, and see that it was copied."""
    click.clear()
    holder = click.prompt(f"Card {share.number} of {WHOSE[group]}: name of its holder")
    click.prompt("When nobody else sees the screen, press Enter", default="", show_default=False)
    click.echo(f"\n  {share.card()}\n")
    while True:
        typed = click.prompt("Copy it, then type the whole card from your copy", hide_input=True)
        try:
            if Share.from_card(typed) == share:
                break
            click.echo("that is another card: type this one")
        except ShareError as error:
            click.echo(str(error))
    click.clear()
    vault.note("handed out", group=group.value, card=share.number, holder=holder)


@credentials.command("list")
@click.argument("folder", type=FOLDER)
@click.option("--log", "with_log", is_flag=True, help="Show what was done, too.")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
def list_command(folder: Path, *, with_log: bool, as_json: bool) -> int:
    """Show the keys of FOLDER, and that its log was not altered."""
    vault = vault_at(folder)
    gone = vault.revoked()
    rows = [
        {
            "name": name,
            "id": vault.public(name).keyhash.hex(),
            "state": "revoked" if name in gone else "trusted",
        }
        for name in vault.names
    ]
    if as_json:
        log = [json.loads(entry.line) for entry in vault.log()]
        click.echo(json.dumps({"keys": rows, "log": log}, indent=1))
        return int(ExitCode.DONE)
    for row in rows:
        click.echo(f"{row['name']:<12}{row['state']:<9}{row['id']}")
    if with_log:
        for entry in vault.log():
            click.echo(f"{entry.at}  {entry.action}  {_told(entry.details)}")
    click.echo(f"the log is whole; its last line: {vault.log()[-1].digest}")
    return int(ExitCode.DONE)


def _told(details: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in details.items() if name != "keys")


@credentials.command()
@click.argument("folder", type=FOLDER)
@click.argument("name")
@click.argument("target", type=FILE)
@cards_option
def revoke(folder: Path, name: str, target: Path, cards: tuple[Path, ...]) -> int:
    """Give up the signing key NAME of FOLDER for good; TARGET is what images carry to the meters.

    The root key signs it: `openami image build --revocation TARGET` puts it into an image that
    another key signs. A meter that confirms that image never believes NAME again.
    """
    vault = vault_at(folder)
    statement = vault.revoke(name, shares_of(cards, WHOSE[Group.ROOT]))
    write(target, statement.encode())
    click.echo(f"{target}: gives up {', '.join(dict.fromkeys(vault.revoked()))}")
    return int(ExitCode.DONE)


@credentials.command()
@click.argument("folder", type=FOLDER)
@click.argument("file", type=FILE)
@click.argument("target", type=FOLDER)
def delivery(folder: Path, file: Path, target: Path) -> int:
    """Make the folder TARGET that a factory needs: the image FILE, and the keys to believe."""
    vault = vault_at(folder)
    gone = vault.revoked()
    keys = {name: vault.public(name) for name in vault.names if name != ROOT and name not in gone}
    try:
        verify(image_of(file), policy(tuple(keys.values()), root=vault.public(ROOT)))
    except ImageError as error:
        raise UserError(f"{file}: {error}: sign it with a trusted key of {folder}") from None
    for name, key in keys.items():
        write(target / TRUSTED / f"{name}.pem", _pem(key))
    write(target / ROOT_FILE, _pem(vault.public(ROOT)))
    write(target / FACTORY_IMAGE, octets_of(file))  # last: it makes the delivery whole
    click.echo(f"{target}: {file.name}, and {len(keys)} keys to believe")
    return int(ExitCode.DONE)


def _pem(key: VerifyingKey) -> bytes:
    return key.key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
