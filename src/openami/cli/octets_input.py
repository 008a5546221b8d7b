# SPDX-License-Identifier: Apache-2.0
"""Octets as people have them: hexadecimal in many forms, dumps with offsets, base64, files.

Every refusal is one sentence; what may be a secret is told by its size only.
"""

import base64
import binascii
import re
import string
from pathlib import Path
from typing import Final

from openami.runtime.errors import ExitCode, UserError

_SEPARATORS: Final = " \t\r\n:,;-_'\"{}[]()"
_COMMENT: Final = re.compile(r"(?m)(^\s*(#|//)|\s(#|//)).*$")
_DUMP_LINE: Final = re.compile(r"\s*(?:0x)?([0-9A-Fa-f]{4,16})(:|\s|$)(.*)")
_PRINTABLE: Final = frozenset(string.printable.encode())


def from_hex(text: str, name: str, *, secret: bool = False) -> bytes:
    """Return the octets that a text prints in hexadecimal.

    Spaces, colons, commas, 0x, backslash-x and brackets may stand between them, and offsets and
    characters around them as hex dumps print them; ``#`` and ``//`` begin a comment.

    Args:
        text: What was given.
        name: Where it was given, for the sentence.
        secret: Whether to keep what is wrong out of the sentence.
    """
    if not secret:
        dumped = from_dump(text)
        if dumped is not None:
            return dumped
        text = _COMMENT.sub("", text)
    digits = text.lower().replace("0x", "").replace("\\x", "")
    digits = "".join(letter for letter in digits if letter not in _SEPARATORS)
    if not digits:
        sentence = (
            f"{name} is empty: give the octets in hexadecimal, e.g. C4 01 C1 00 06 00 00 00 05"
        )
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    for place, letter in enumerate(digits):
        if letter not in "0123456789abcdef":
            shown = "" if secret else f" {letter!r}"
            sentence = f"{name}: digit {place + 1}{shown} is not hexadecimal: use 0-9 and A-F"
            if not secret and _is_file(text):
                sentence += f", or --file {text} for what is in that file"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    if len(digits) % 2:
        count = f"{len(digits)} digit" + "s" * (len(digits) > 1)
        sentence = f"{name} has {count}, an odd number: two digits make an octet"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    return bytes.fromhex(digits)


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):
        return False


def from_dump(text: str) -> bytes | None:
    """Return the octets of a hex dump (hexdump -C, xxd, od, Wireshark); None if it is none.

    It is one if each line begins with an offset that counts the octets before it.
    """
    lines = [line for line in text.splitlines() if line.strip()]
    octets = b""
    for number, line in enumerate(lines):
        matched = _DUMP_LINE.match(line)
        if matched is None:
            return None
        offset, mark, rest = matched.groups()
        alone = len(lines) == 1 and mark != ":" and "|" not in rest and not rest.startswith("  ")
        counts = {int(offset, 16)} | ({int(offset, 8)} if set(offset) <= set("01234567") else set())
        if alone or len(octets) not in counts or (number == 0 and int(offset, 16) != 0):
            return None
        try:
            octets += bytes.fromhex(_row(rest, mark))
        except ValueError:
            return None
    return octets or None


def _row(rest: str, mark: str) -> str:
    """Return the octets of a dump's line without the characters beside them."""
    if "|" in rest:
        return rest[: rest.index("|")]
    if mark == ":":
        return re.split(r"\s{2,}", rest.strip())[0]
    found = re.match(r"\s*((?:[0-9A-Fa-f]{2}\s?){1,8}\s?(?:\s?[0-9A-Fa-f]{2}(?=\s|$)){0,8})", rest)
    return found[1] if found else rest


def from_base64(text: str, name: str) -> bytes:
    """Return the octets that base64 writes, with or without line ends and padding."""
    letters = "".join(text.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        octets = base64.b64decode(letters + "=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, ValueError):
        sentence = f"{name} is not base64: use A-Z, a-z, 0-9, + and /"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    if not octets:
        raise UserError(f"{name} is empty: give octets in base64", ExitCode.ASKED_WRONGLY)
    return octets


def from_file(path: Path, *, as_base64: bool = False) -> bytes:
    """Return the octets of a file: as they are, or what its text prints."""
    try:
        content = path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read: {error.strerror}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return from_content(content, str(path), as_base64=as_base64)


def from_content(content: bytes, name: str, *, as_base64: bool = False) -> bytes:
    """Return the octets of a file's or a pipe's content.

    Text is hexadecimal, but for a telegram of a consumer port, which begins with a slash.
    """
    if as_base64:
        return from_base64(content.decode("latin-1"), name)
    if not content.strip() or (set(content) <= _PRINTABLE and not content.startswith(b"/")):
        return from_hex(content.decode("ascii"), name)
    return content
