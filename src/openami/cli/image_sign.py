# SPDX-License-Identifier: Apache-2.0
"""`openami image sign` and `encrypt`: what makes images."""

import os
import re
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import click

from openami.cli.cards import cards_option, is_in_vault, opened
from openami.cli.image_files import (
    FILE,
    NUMBER,
    image_of,
    key_of,
    octets_of,
    revocation_of,
    revocation_option,
    write,
)
from openami.firmware.errors import ImageError, KeyFormatError
from openami.firmware.image import HEADER, NO_FLAGS, Dependency, Image, ImageFlag, Version
from openami.firmware.keys import PrivateKey, encryption_key, private_key
from openami.firmware.sign import Encryption, Recipe, padded, recipe_of
from openami.firmware.sign import sign as signed
from openami.firmware.tlv import Tlv
from openami.runtime.errors import ExitCode, UserError

Made = TypeVar("Made")
_DEPENDENCY: Final = re.compile(r"\(\s*([0-9]+)\s*,\s*([0-9.+]+)\s*\)")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_SIZES: Final = {"128": 16, "256": 32}


def _password_option(command: Callable[..., int]) -> Callable[..., int]:
    text = "Ask for the password of the private key."
    return click.option("-p", "--password", "asks", is_flag=True, help=text)(command)


@click.command()
@click.option("-k", "--key", type=FILE, help="Private key; without it nothing is signed.")
@click.option("-v", "--version", "version_text", required=True, metavar="1.2.3+4")
@click.option("-s", "--security-counter", "--counter", "counter", metavar="N|auto")
@click.option("-d", "--dependencies", metavar='"(1,2.0.0),…"', help="Images that it needs.")
@click.option("-H", "--header-size", type=NUMBER, default=0x200, show_default=True)
@click.option(
    "--pad-header/--header-there",
    default=True,
    help="Put the header before the file (the default), or over the zeros that it begins with.",
)
@click.option("--align", type=NUMBER, default=8, show_default=True, help="Of writing to the flash.")
@click.option("-S", "--slot-size", type=NUMBER, help="Octets of the slot; refuse what is longer.")
@click.option("--test", is_flag=True, help="Fill the slot, with a trailer that asks for a trial.")
@click.option("--confirm", is_flag=True, help="Fill the slot, with a trailer of a confirmed image.")
@click.option("--boot-record", metavar="TYPE", help="Write a boot record of this software type.")
@click.option("--vid", metavar="UUID|DOMAIN", help="Vendor.")
@click.option("--cid", metavar="UUID|NAME", help="Class of devices.")
@click.option("--custom-tlv", multiple=True, type=(NUMBER, str), metavar="TYPE VALUE")
@click.option("-F", "--rom-fixed", type=NUMBER, help="Address in flash that it was built for.")
@click.option("-L", "--load-addr", type=NUMBER, help="Address in RAM to load it to.")
@click.option("--non-bootable", is_flag=True, help="Mark it as one that does not boot.")
@click.option("-E", "--encrypt", "recipient", type=FILE, help="Public key to encrypt it for.")
@click.option("--encrypt-keylen", type=click.Choice(list(_SIZES)), default="128")
@click.option("-c", "--clear", is_flag=True, help="With --encrypt: leave the payload clear.")
@_password_option
@revocation_option
@cards_option
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
def sign(  # noqa: PLR0913, PLR0917  one for each option
    key: Path | None,
    version_text: str,
    counter: str | None,
    dependencies: str | None,
    header_size: int,
    align: int,
    slot_size: int | None,
    boot_record: str | None,
    vid: str | None,
    cid: str | None,
    custom_tlv: tuple[tuple[int, str], ...],
    rom_fixed: int | None,
    load_addr: int | None,
    recipient: Path | None,
    encrypt_keylen: str,
    revocation: Path | None,
    cards: tuple[Path, ...],
    source: Path,
    target: Path,
    *,
    pad_header: bool,
    test: bool,
    confirm: bool,
    non_bootable: bool,
    clear: bool,
    asks: bool,
) -> int:
    """Make the image of what stands in SOURCE, sign it, and write it to TARGET."""
    if rom_fixed is not None and load_addr is not None:
        _refuse("--rom-fixed and --load-addr exclude each other: give one of them")
    version = _asked(lambda: Version.parse(version_text))
    vendor = None if vid is None else _identity(vid, uuid.NAMESPACE_DNS.bytes, "--vid")
    flags = ImageFlag.NON_BOOTABLE if non_bootable else NO_FLAGS
    flags |= ImageFlag.ROM_FIXED if rom_fixed is not None else NO_FLAGS
    flags |= ImageFlag.RAM_LOAD if load_addr is not None else NO_FLAGS
    carried = () if revocation is None else (revocation_of(revocation),)
    recipe = _asked(
        lambda: Recipe(
            version=version,
            security_counter=_counter(counter, version),
            header_octets=header_size,
            dependencies=_dependencies(dependencies),
            sw_type=boot_record,
            vendor_id=vendor,
            class_id=None if cid is None else _identity(cid, vendor, "--cid"),
            custom=(*(Tlv(number, _value(text)) for number, text in custom_tlv), *carried),
            address=rom_fixed or load_addr or 0,
            flags=flags,
        )
    )
    payload, padding = _payload(source, header_size, there=not pad_header)
    encryption = _encryption(recipient, encrypt_keylen, clear=clear)
    signer = None if key is None else _private(key, cards, target, asks=asks)
    made = _asked(lambda: signed(payload, recipe, signer, padding=padding, encryption=encryption))
    _finish(made, target, slot_size, align, fill=test or confirm, confirmed=confirm)
    return int(ExitCode.DONE)


@click.command()
@click.option("-k", "--key", type=FILE, required=True, help="Private key that signs it anew.")
@click.option(
    "-E", "--encrypt", "--enc-key", "recipient", type=FILE, required=True, help="For this key."
)
@click.option("--encrypt-keylen", type=click.Choice(list(_SIZES)), default="128")
@_password_option
@cards_option
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
def encrypt(  # noqa: PLR0913, PLR0917  one for each option
    key: Path,
    recipient: Path,
    encrypt_keylen: str,
    cards: tuple[Path, ...],
    source: Path,
    target: Path,
    *,
    asks: bool,
) -> int:
    """Encrypt the clear image in SOURCE, sign it anew, and write it to TARGET.

    The flag that tells of encryption is signed: so an image cannot be encrypted without the key
    that signs it.
    """
    image = image_of(source)
    if image.header.key_octets:
        _refuse(f"{source} is marked as encrypted already: decrypt it first")
    encryption = _encryption(recipient, encrypt_keylen, clear=False)
    signer = _private(key, cards, target, asks=asks)
    try:
        recipe = recipe_of(image)
    except ImageError as error:
        raise UserError(f"{source}: {error}") from None
    made = _asked(
        lambda: signed(image.payload, recipe, signer, padding=image.padding, encryption=encryption)
    )
    _finish(made, target, None, 8, fill=False, confirmed=False)
    return int(ExitCode.DONE)


def _refuse(sentence: str) -> None:
    raise UserError(sentence, ExitCode.ASKED_WRONGLY)


def _asked(make: Callable[[], Made]) -> Made:
    """Return what is made; what the options say wrongly is a sentence."""
    try:
        return make()
    except ValueError as error:
        raise UserError(str(error), ExitCode.ASKED_WRONGLY) from None


def _counter(text: str | None, version: Version) -> int | None:
    if text is None:
        return None
    if text == "auto":
        return version.major << 24 | version.minor << 16 | version.revision
    try:
        return int(text, 0)
    except ValueError:
        raise ValueError(f"{text!r} is no security counter: give a number, or auto") from None


def _dependencies(text: str | None) -> tuple[Dependency, ...]:
    if text is None:
        return ()
    found = _DEPENDENCY.findall(text)
    if not found or _DEPENDENCY.sub("", text).strip(" ,"):
        raise ValueError(f"{text!r} tells of no images: write them as (1,2.0.0),(2,1.4.0+3)")
    if any(int(number) > 0xFF for number, _ in found):
        raise ValueError(f"{text!r}: numbers of images are 0 to 255")
    return tuple(Dependency(int(number), Version.parse(least)) for number, least in found)


def _identity(text: str, space: bytes | None, option: str) -> bytes:
    if _UUID.fullmatch(text):
        return uuid.UUID(text).bytes
    if space is None:
        _refuse(f"{option} {text} is a name inside a vendor's: give --vid too, or a UUID")
        return b""
    return uuid.uuid5(uuid.UUID(bytes=space), text).bytes


def _value(text: str) -> bytes:
    if not text.startswith("0x"):
        return text.encode()
    try:
        return bytes.fromhex(text[2:])
    except ValueError:
        raise ValueError(f"{text} is no hexadecimal: give two digits for each octet") from None


def _payload(source: Path, header_size: int, *, there: bool) -> tuple[bytes, bytes | None]:
    octets = octets_of(source)
    padding = None
    if there:
        front = octets[:header_size]
        if len(octets) < header_size or any(front):
            _refuse(
                f"{source} does not begin with {header_size} zeros that make room for the header: "
                "give --pad-header, or the right --header-size"
            )
        octets, padding = octets[header_size:], front[HEADER.size :]
    if not octets:
        _refuse(f"{source} holds nothing that could run")
    return octets, padding


def _encryption(recipient: Path | None, key_bits: str, *, clear: bool) -> Encryption | None:
    if recipient is None:
        if clear:
            _refuse("--clear serves only together with --encrypt")
        return None
    return Encryption(
        recipient=key_of(recipient, encryption_key),
        entropy=os.urandom,
        key_octets=_SIZES[key_bits],
        leave_clear=clear,
    )


def _private(path: Path, cards: tuple[Path, ...], target: Path, *, asks: bool) -> PrivateKey:
    if is_in_vault(path):
        return opened(path, cards, target.name)
    password = click.prompt("Password", hide_input=True).encode() if asks else None
    try:
        return private_key(octets_of(path), password)
    except KeyFormatError as error:
        hint = ": give --password" if "needs a password" in str(error) else ""
        raise UserError(f"{path}: {error}{hint}", ExitCode.ASKED_WRONGLY) from None


def _finish(  # noqa: PLR0913  what a slot asks for
    made: Image, target: Path, slot_size: int | None, align: int, *, fill: bool, confirmed: bool
) -> None:
    result = made
    if slot_size is not None:
        result = _asked(lambda: padded(made, slot_size, align=align, confirmed=confirmed))
    elif fill:
        _refuse("--test and --confirm fill a slot: give its --slot-size")
    octets = result.encode() if fill else made.encode()
    write(target, octets)
    click.echo(f"{target} is written: version {made.header.version}, {len(octets):,} octets")
