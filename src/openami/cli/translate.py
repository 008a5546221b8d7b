# SPDX-License-Identifier: Apache-2.0
"""`openami translate`: APDUs and frames from hexadecimal to XML, and from XML to hexadecimal.

The form of the XML is our own (see `openami.dlms.xmlform`); both ways give back exactly what was
there.
"""

import sys
from pathlib import Path

import click

from openami.cli.octets_input import from_base64, from_content, from_hex
from openami.dlms.recordings.framings import FRAMINGS
from openami.dlms.xmlform import schema
from openami.dlms.xmlform.document import from_xml, to_xml
from openami.dlms.xmlform.element import XmlError
from openami.runtime.errors import ExitCode, UserError


@click.command()
@click.argument("given", nargs=-1, metavar="[HEX|XML]...")
@click.option("-f", "--file", "path", type=Path, help="Read this file: XML, hexadecimal or octets.")
@click.option("--base64", "as_base64", is_flag=True, help="The octets are in base64.")
@click.option("--framing", type=click.Choice(list(FRAMINGS)), help="Take it for this framing.")
@click.option("--schema", "as_schema", is_flag=True, help="Print the schema of the XML.")
def translate(
    given: tuple[str, ...],
    path: Path | None,
    framing: str | None,
    *,
    as_base64: bool,
    as_schema: bool,
) -> int:
    """Write APDUs and frames as XML, or XML as hexadecimal.

    What begins with < is XML; everything else is octets, in any form that `openami decode` takes.
    Without an argument it is read from FILE, or from standard input.
    """
    if as_schema:
        click.echo(schema.shipped(), nl=False)
        return int(ExitCode.DONE)
    content, name = _content(given, path)
    if content.lstrip().startswith(b"<"):
        click.echo(_from_xml(content, name).hex(" "))
        return int(ExitCode.DONE)
    if given:
        text = content.decode("utf-8")
        octets = from_base64(text, name) if as_base64 else from_hex(text, name)
    else:
        octets = from_content(content, name, as_base64=as_base64)
    click.echo(to_xml(octets, framing), nl=False)
    return int(ExitCode.DONE)


def _content(given: tuple[str, ...], path: Path | None) -> tuple[bytes, str]:
    if path is None:
        if given:
            return " ".join(given).encode("utf-8", errors="surrogateescape"), "HEX"
        return sys.stdin.buffer.read(), "HEX"
    if given:
        sentence = f"something stands on the command line and in {path}: give it in one place"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    try:
        return path.read_bytes(), str(path)
    except OSError as error:
        sentence = f"{path} cannot be read: {error.strerror}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None


def _from_xml(content: bytes, name: str) -> bytes:
    where = "XML" if name == "HEX" else name
    try:
        return from_xml(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        sentence = f"{where}: octet {error.start} is not UTF-8"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    except XmlError as error:
        raise UserError(f"{where}, {error}", ExitCode.ASKED_WRONGLY) from None
