# SPDX-License-Identifier: Apache-2.0
"""Cards that open keys, from files or from the keyboard."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from openami.cli.image_files import FILE
from openami.firmware.keys import PrivateKey
from openami.firmware.shares import Share, ShareError
from openami.lifecycle.vault import LOG, PRIVATE_END, Vault
from openami.runtime.errors import ExitCode, UserError


def cards_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command its option for cards that lie in files."""
    text = "File with a holder's card; without any, the holders are asked to type theirs."
    option = click.option("--card", "cards", type=FILE, multiple=True, help=text)
    return option(command)


def vault_at(folder: Path) -> Vault:
    """Open a folder of keys."""
    return Vault.open(folder, lambda: datetime.now(UTC))


def is_in_vault(key: Path) -> bool:
    """Tell whether a file is a private key that only cards open."""
    return key.name.endswith(PRIVATE_END) and (key.parent / LOG).exists()


def opened(key: Path, cards: Sequence[Path], purpose: str) -> PrivateKey:
    """Open a key of a vault, and note in its log what for.

    Raises:
        UserError: The cards do not open it.
    """
    vault = vault_at(key.parent)
    name = key.name.removesuffix(PRIVATE_END)
    shares = shares_of(cards, f"the key {name}")
    found = vault.private(name, shares)
    vault.note("opened", key=name, cards=[share.number for share in shares], purpose=purpose)
    return found


def shares_of(cards: Sequence[Path], what: str) -> list[Share]:
    """Return the shares on some cards, or ask for as many as are needed.

    Raises:
        UserError: A file holds no card.
    """
    if cards:
        return [_from_file(path) for path in cards]
    shares: list[Share] = []
    while not shares or len(shares) < shares[0].needed:
        of = f" of {shares[0].needed}" if shares else ""
        text = click.prompt(f"Card {len(shares) + 1}{of} for {what}", hide_input=True)
        try:
            shares.append(Share.from_card(text))
        except ShareError as error:
            click.echo(f"openami: {error}", err=True)
    return shares


def _from_file(path: Path) -> Share:
    try:
        return Share.from_card(path.read_text(encoding="ascii"))
    except (OSError, UnicodeDecodeError):
        sentence = f"{path} cannot be read as a card: give a file with its letters"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    except ShareError as error:
        raise UserError(f"{path}: {error}", ExitCode.ASKED_WRONGLY) from None
