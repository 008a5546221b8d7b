# SPDX-License-Identifier: Apache-2.0
"""What the subcommands of `openami image` share: numbers, files and keys."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from openami.firmware.errors import ImageError, KeyFormatError
from openami.firmware.image import Image
from openami.firmware.revocation import TYPE, Revocation, RevocationError
from openami.firmware.tlv import Tlv
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.files import write_durably

Key = TypeVar("Key")
FILE = click.Path(path_type=Path, dir_okay=False)


class Number(click.ParamType[int]):
    """A number, decimal or with 0x."""

    name = "number"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            number = int(str(value), 0)
        except ValueError:
            self.fail(f"{value!r} is no number: write 512 or 0x200", param, ctx)
        if number < 0:
            self.fail(f"{value} is negative", param, ctx)
        return number


NUMBER = Number()


def octets_of(path: Path) -> bytes:
    """Return the octets of a file."""
    try:
        return path.read_bytes()
    except OSError as error:
        sentence = f"{path} cannot be read: {error.strerror}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None


def image_of(path: Path) -> Image:
    """Return the image in a file; a refusal is a sentence with the file's name."""
    try:
        return Image.decode(octets_of(path))
    except ImageError as error:
        raise UserError(f"{path}: {error}") from None


def key_of(path: Path, read: Callable[[bytes], Key]) -> Key:
    """Return the key in a file."""
    try:
        return read(octets_of(path))
    except KeyFormatError as error:
        raise UserError(f"{path}: {error}", ExitCode.ASKED_WRONGLY) from None


def write(path: Path, octets: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all; a private one for its owner only, and never over another.

    Raises:
        UserError: It cannot be written, or a key would be lost.
    """
    if private and path.exists():
        sentence = f"{path} is there already, and a key is never overwritten: give another name"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    write_durably(path, octets, mode=0o600 if private else 0o644)


def revocation_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command its option for keys that are given up."""
    text = "What `openami credentials revoke` wrote: the image carries it to the meters."
    return click.option("--revocation", type=FILE, help=text)(command)


def revocation_of(path: Path) -> Tlv:
    """Return the statement in a file as an image carries it."""
    octets = octets_of(path)
    try:
        Revocation.decode(octets)
    except RevocationError as error:
        sentence = f"{path} is no revocation: {error}; make one with `openami credentials revoke`"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return Tlv(TYPE, octets)
