# SPDX-License-Identifier: Apache-2.0
"""`openami decode`: what the octets of a DLMS/COSEM APDU say, bare or in frames.

Nothing is sent and nothing is stored.  Exit status 1 tells that the octets break a rule or a key
does not fit: what was understood up to there is printed first.
"""

import json
import sys
from collections.abc import Iterator
from typing import Final

import click

from openami.cosem.obis_names import describe as describe_obis
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import DecodeError
from openami.dlms.readings import Reading
from openami.dlms.translate import (
    Node,
    Translation,
    TranslationKeys,
    describe,
    octets_text,
    type_name,
)
from openami.dlms.units import symbol
from openami.runtime.errors import ExitCode, UserError

_KEY_OCTETS: Final = (16, 32)
_TITLE_OCTETS: Final = (8,)


@click.command()
@click.argument("octets", nargs=-1, metavar="[HEX]...")
@click.option("--guek", metavar="HEX", help="Global unicast encryption key, 16 or 32 octets.")
@click.option("--gak", metavar="HEX", help="Global authentication key, 16 or 32 octets.")
@click.option(
    "--title", metavar="HEX", help="The sender's system title, where the APDU does not carry it."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def decode(
    octets: tuple[str, ...], guek: str | None, gak: str | None, title: str | None, *, as_json: bool
) -> int:
    """Say what an APDU holds, bare or in frames: wrapper, HDLC or wired M-Bus.

    The framing is found by itself; an APDU in several frames or blocks is put together.

    HEX may have spaces, colons or 0x between the octets; without HEX it is read from standard
    input.
    """
    text = " ".join(octets) or sys.stdin.read()
    keys = _keys(guek, gak, title)
    translation = describe(_from_hex(text, "HEX"), keys=keys)
    if as_json:
        click.echo(json.dumps(_to_json(translation), indent=2, ensure_ascii=False))
    else:
        for line in _lines(translation):
            click.echo(line)
    return int(ExitCode.REFUSED if translation.findings else ExitCode.DONE)


def _keys(guek: str | None, gak: str | None, title: str | None) -> TranslationKeys | None:
    if guek is None:
        for name, given in (("--gak", gak), ("--title", title)):
            if given is not None:
                sentence = f"{name} serves only together with --guek, the encryption key: give both"
                raise UserError(sentence, ExitCode.ASKED_WRONGLY)
        return None
    return TranslationKeys(
        encryption_key=_sized(guek, "--guek", _KEY_OCTETS),
        authentication_key=b"" if gak is None else _sized(gak, "--gak", _KEY_OCTETS),
        system_title=b"" if title is None else _sized(title, "--title", _TITLE_OCTETS),
    )


def _sized(text: str, name: str, sizes: tuple[int, ...]) -> bytes:
    # A key that is wrong is still a secret: the sentence tells its length only.
    octets = _from_hex(text, name, secret=True)
    if len(octets) not in sizes:
        wanted = " or ".join(map(str, sizes))
        sentence = f"{name} has {len(octets)} octets: give {wanted}, in hexadecimal"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return octets


def _from_hex(text: str, name: str, *, secret: bool = False) -> bytes:
    digits = text.lower().replace("0x", "")
    digits = "".join(letter for letter in digits if letter not in " \t\r\n:,;-")
    if not digits:
        sentence = (
            f"{name} is empty: give the octets in hexadecimal, e.g. C4 01 C1 00 06 00 00 00 05"
        )
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    for place, letter in enumerate(digits):
        if letter not in "0123456789abcdef":
            shown = "" if secret else f" {letter!r}"
            sentence = f"{name}: digit {place + 1}{shown} is not hexadecimal: use 0-9 and A-F"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    if len(digits) % 2:
        sentence = f"{name} has {len(digits)} digits, an odd number: two digits make an octet"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return bytes.fromhex(digits)


def _lines(translation: Translation) -> Iterator[str]:
    for node in translation.tree:
        yield from _node_lines(node, 0)
    if translation.readings:
        yield ""
        yield from _table(translation.readings)


def _node_lines(node: Node, depth: int) -> Iterator[str]:
    yield f"{'  ' * depth}{node.label}{': ' if node.value else ''}{node.value}"
    for child in node.children:
        yield from _node_lines(child, depth + 1)


def _table(readings: tuple[Reading, ...]) -> Iterator[str]:
    rows = [("OBIS", "value", "unit", "time", "name")]
    rows += [
        (
            str(each.obis),
            _value_text(each),
            _unit_text(each) or "",
            _time_text(each.date_time),
            describe_obis(each.obis),
        )
        for each in readings
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _value_text(reading: Reading) -> str:
    if (quantity := reading.quantity) is not None:
        return str(quantity)
    value = reading.value
    return octets_text(value) if isinstance(value, bytes) else str(value)


def _unit_text(reading: Reading) -> str | None:
    return None if reading.unit is None else symbol(reading.unit)


def _time_text(octets: bytes) -> str:
    """Return a clock value as UTC where it tells its deviation, else as it is."""
    if not octets:
        return ""
    try:
        clock = CosemDateTime.decode(octets)
    except DecodeError:
        return octets.hex(" ")
    try:
        return clock.to_utc().isoformat()
    except ValueError:
        return str(clock)


def _to_json(translation: Translation) -> dict[str, object]:
    return {
        "tree": [_node_json(node) for node in translation.tree],
        "readings": [_reading_json(reading) for reading in translation.readings],
        "findings": list(translation.findings),
    }


def _node_json(node: Node) -> dict[str, object]:
    shown: dict[str, object] = {"label": node.label}
    if node.value:
        shown["value"] = node.value
    if node.children:
        shown["children"] = [_node_json(child) for child in node.children]
    return shown


def _reading_json(reading: Reading) -> dict[str, object]:
    value = reading.value
    quantity = reading.quantity
    return {
        "obis": str(reading.obis),
        "name": describe_obis(reading.obis),
        "attribute": reading.attribute_id,
        "type": type_name(value),
        "value": value if isinstance(value, int | float | str | None) else str(value),
        "scaler": reading.scaler,
        "unit": _unit_text(reading),
        "quantity": None if quantity is None else str(quantity),
        "time": _time_text(reading.date_time) or None,
    }
