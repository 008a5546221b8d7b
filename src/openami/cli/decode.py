# SPDX-License-Identifier: Apache-2.0
"""`openami decode`: what the octets of a DLMS/COSEM APDU say, bare or in frames.

Nothing is sent and nothing is stored.  Exit status 1 tells that the octets break a rule or a key
does not fit: what was understood all the same is printed.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

from openami.cli.octets_input import from_base64, from_content, from_file, from_hex
from openami.cli.telegram_json import lines as table
from openami.cli.telegram_json import time_text, to_json
from openami.dlms.errors import in_octets
from openami.dlms.recordings.framings import FRAMINGS
from openami.dlms.recordings.habits import BY_NAME, INVERTED_DEVIATION, LENIENT
from openami.dlms.recordings.translate import Node, Translation, TranslationKeys, describe
from openami.runtime.errors import ExitCode, UserError

_KEY_OCTETS: Final = (16, 32)
_TITLE_OCTETS: Final = (8,)


@click.command()
@click.argument("octets", nargs=-1, metavar="[HEX]...")
@click.option("-f", "--file", "path", type=Path, help="Read this file: hexadecimal, or raw octets.")
@click.option("--base64", "as_base64", is_flag=True, help="The octets are in base64.")
@click.option("--guek", metavar="HEX", help="Global unicast encryption key, 16 or 32 octets.")
@click.option("--gak", metavar="HEX", help="Global authentication key, 16 or 32 octets.")
@click.option("--gbek", metavar="HEX", help="Global broadcast encryption key, 16 or 32 octets.")
@click.option("--dek", metavar="HEX", help="Dedicated key of one association, 16 or 32 octets.")
@click.option(
    "--title", metavar="HEX", help="The sender's system title, where the APDU does not carry it."
)
@click.option("--auto", is_flag=True, help="Find the framing out; this is the default.")
@click.option("--framing", type=click.Choice(list(FRAMINGS)), help="Take it for this framing.")
@click.option("--lenient", is_flag=True, help="Accept the known habits of makers, as notes.")
@click.option(
    "--habit",
    "habits",
    multiple=True,
    type=click.Choice(list(BY_NAME)),
    help="Accept this habit; may be given several times.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def decode(  # noqa: PLR0913, PLR0917  one for each option
    octets: tuple[str, ...],
    path: Path | None,
    guek: str | None,
    gak: str | None,
    gbek: str | None,
    dek: str | None,
    title: str | None,
    framing: str | None,
    habits: tuple[str, ...],
    *,
    as_base64: bool,
    auto: bool,
    lenient: bool,
    as_json: bool,
) -> int:
    """Say what octets hold: an APDU or a value, bare or in frames.

    HDLC, wrapper, wired and wireless M-Bus, gateway headers, block transfer and consumer ports'
    telegrams are found by themselves; an APDU in several frames or blocks is put together.

    HEX may have spaces, colons or 0x between the octets, or be a hex dump with offsets; without
    HEX it is read from FILE, or from standard input.
    """
    if auto and framing is not None:
        sentence = f"--auto finds the framing out, --framing {framing} tells it: give one of them"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    keys = _keys(guek, gak, gbek, dek, title)
    accepted = frozenset(habits) | (LENIENT if lenient else frozenset())
    given = _octets(octets, path, as_base64=as_base64)
    translation = describe(given, keys=keys, accept=accepted, framing=framing)
    inverted = INVERTED_DEVIATION in accepted
    if as_json:
        shown = to_json(translation, inverted=inverted)
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        for line in _lines(translation, inverted=inverted):
            click.echo(line)
    return int(ExitCode.REFUSED if translation.findings else ExitCode.DONE)


def _octets(octets: tuple[str, ...], path: Path | None, *, as_base64: bool) -> bytes:
    if path is not None:
        if octets:
            sentence = f"octets stand on the command line and in {path}: give them in one place"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        return from_file(path, as_base64=as_base64)
    if not octets:
        return from_content(sys.stdin.buffer.read(), "HEX", as_base64=as_base64)
    text = " ".join(octets)
    return from_base64(text, "BASE64") if as_base64 else from_hex(text, "HEX")


def _keys(
    guek: str | None, gak: str | None, gbek: str | None, dek: str | None, title: str | None
) -> TranslationKeys | None:
    if guek is None and gbek is None and dek is None:
        for name, given in (("--gak", gak), ("--title", title)):
            if given is not None:
                sentence = f"{name} serves only together with --guek, the encryption key: give both"
                raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        return None
    return TranslationKeys(
        encryption_key=_sized(guek, "--guek", _KEY_OCTETS),
        authentication_key=_sized(gak, "--gak", _KEY_OCTETS),
        broadcast_key=_sized(gbek, "--gbek", _KEY_OCTETS),
        dedicated_key=_sized(dek, "--dek", _KEY_OCTETS),
        system_title=_sized(title, "--title", _TITLE_OCTETS),
    )


def _sized(text: str | None, name: str, sizes: tuple[int, ...]) -> bytes:
    # A key that is wrong is still a secret: the sentence tells its length only.
    if text is None:
        return b""
    octets = from_hex(text, name, secret=True)
    if len(octets) not in sizes:
        wanted = " or ".join(map(str, sizes))
        sentence = f"{name} has {in_octets(len(octets))}: give {wanted}, in hexadecimal"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return octets


def _lines(translation: Translation, *, inverted: bool) -> Iterator[str]:
    for node in translation.tree:
        yield from _node_lines(node, 0)
    if translation.readings:
        yield ""
        yield from table(translation, inverted=inverted)
    when = time_text(translation.moment, inverted=inverted)
    if when:
        yield ""
        yield f"time: {when}"
    for note in translation.notes:
        yield f"note: {note}"


def _node_lines(node: Node, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{node.label}{': ' if node.value else ''}{node.value}"
    for child in node.children:
        yield from _node_lines(child, depth + 1)
