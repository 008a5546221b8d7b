# SPDX-License-Identifier: Apache-2.0
"""`openami image`: make, look at and judge firmware images in MCUboot's format.

The options of `sign` carry the names that imgtool gives them, so that a script may call either.
"""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from openami.cli.image_build import budget, build
from openami.cli.image_files import FILE, NUMBER, image_of, key_of, octets_of, write
from openami.cli.image_layout import as_json as layout_json
from openami.cli.image_layout import drawing
from openami.cli.image_manifest import manifest
from openami.cli.image_send import send
from openami.cli.image_sign import encrypt, sign
from openami.firmware.encrypt import decrypt as decrypted
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Header, Image, Version
from openami.firmware.keys import (
    AgreementKey,
    PrivateKey,
    decryption_key,
    fresh_p256,
    public_key,
)
from openami.firmware.trailer import trailer_octets
from openami.firmware.verify import Policy, Verified
from openami.firmware.verify import verify as verified
from openami.runtime.errors import ExitCode, UserError


@click.group()
def image() -> None:
    """Firmware images in MCUboot's format: make them, judge them, send them."""


image.add_command(build)
image.add_command(budget)
image.add_command(sign)
image.add_command(encrypt)
image.add_command(manifest)
image.add_command(send)


@image.command("verify")
@click.option("-k", "--key", "keys", type=FILE, multiple=True, required=True, help="Trusted key.")
@click.option("--counter", type=NUMBER, help="Refuse a lower security counter, or none.")
@click.option("--slot-size", type=NUMBER, help="Octets of the slot that it must fit into.")
@click.option("--align", type=NUMBER, default=8, show_default=True, help="Of the slot's trailer.")
@click.option("--address", type=NUMBER, help="Where it is going to run from.")
@click.option("--enc-key", type=FILE, help="Private key that opens encrypted images.")
@click.option(
    "--image", "others", multiple=True, metavar="ID=VERSION", help="Another image that is there."
)
@click.option("--no-other-image", is_flag=True, help="Judge dependencies: no other image is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("file", type=FILE)
def verify_command(  # noqa: PLR0913, PLR0917  one for each option
    keys: tuple[Path, ...],
    counter: int | None,
    slot_size: int | None,
    align: int,
    address: int | None,
    enc_key: Path | None,
    others: tuple[str, ...],
    file: Path,
    *,
    no_other_image: bool,
    as_json: bool,
) -> int:
    """Say whether the image in FILE may run; exit status 0 if it may, 1 if not.

    Without --counter rolling back is not judged, and without --image dependencies are not.
    """
    policy = Policy(
        keys=tuple(key_of(path, public_key) for path in keys),
        counter=counter,
        address=address,
        images=_others(others) if others or no_other_image else None,
        decryption_key=None if enc_key is None else key_of(enc_key, decryption_key),
    )
    octets = octets_of(file)
    found: Image | None = None
    result: Verified | None = None
    refusal: ImageError | None = None
    try:
        found = _decoded(octets, slot_size, align)
        result = verified(found, policy)
    except ImageError as error:
        refusal = error
    if as_json:
        click.echo(json.dumps(_verdict(octets, found, refusal), indent=2))
    else:
        for line in _report(file, octets, found, result, refusal):
            click.echo(line)
    return int(ExitCode.DONE if refusal is None else ExitCode.REFUSED)


def _decoded(octets: bytes, slot_size: int | None, align: int) -> Image:
    if slot_size is None:
        return Image.decode(octets)
    if len(octets) > slot_size:
        detail = f"the file has {len(octets)} octets, the slot {slot_size}"
        raise ImageError(Reason.TOO_LARGE, detail, f"octet {slot_size}")
    header = Header.decode(octets)
    reserved = trailer_octets(align, encrypted=bool(header.key_octets))
    return Image.decode(octets, room=max(0, slot_size - reserved))


def _others(given: tuple[str, ...]) -> dict[int, Version]:
    found: dict[int, Version] = {}
    for text in given:
        number, _, version = text.partition("=")
        try:
            found[int(number, 0)] = Version.parse(version)
        except ValueError:
            sentence = f"--image {text} tells of no image: write it as 1=2.0.0"
            raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return found


def _header(octets: bytes) -> Header | None:
    try:
        return Header.decode(octets)
    except ImageError:
        return None


def _verdict(octets: bytes, found: Image | None, refusal: ImageError | None) -> dict[str, object]:
    header = _header(octets)
    return {
        "valid": refusal is None,
        "reason": None if refusal is None else refusal.reason.word,
        "version": None if header is None else str(header.version),
        "security_counter": None if found is None else found.security_counter,
    }


def _report(
    file: Path,
    octets: bytes,
    found: Image | None,
    result: Verified | None,
    refusal: ImageError | None,
) -> list[str]:
    header = _header(octets)
    rows = [("file", f"{file} ({len(octets):,} octets)")]
    if header is not None:
        rows.append(("version", str(header.version)))
    if found is not None:
        counter = found.security_counter
        rows.append(("security counter", "none" if counter is None else str(counter)))
        rows.append(("image", f"{found.size:,} octets, payload {found.header.img_size:,}"))
        rows += [
            ("needs", f"image {number}, {least} or later") for number, least in found.dependencies
        ]
        if found.trailer is not None:
            rows.append(("trailer", f"asks for a {found.trailer.request} swap"))
    if result is not None:
        encrypted = found is not None and found.payload != result.image.payload
        rows.append(("payload", "encrypted, opened with the key given" if encrypted else "clear"))
        rows.append(("hash", result.digest.hex()))
        rows.append(("signed with", result.keyhash.hex()))
    if refusal is None:
        rows.append(("verdict", "valid"))
    else:
        rows.append(("verdict", f"refused, {refusal.reason.word}"))
        rows.append(("reason", str(refusal)))
    return [f"{name:<17} {value}" for name, value in rows]


@image.command("inspect")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.argument("file", type=FILE)
def inspect(file: Path, *, as_json: bool) -> int:
    """Draw the layout of the image in FILE; nothing is verified but its form."""
    octets = octets_of(file)
    try:
        found = Image.decode(octets)
    except ImageError as error:
        header = _header(octets)
        if header is not None and not as_json:
            click.echo(
                f"header: version {header.version}, header {header.hdr_size} octets, "
                f"payload {header.img_size}, protected TLVs {header.protect_tlv_size}"
            )
        raise UserError(f"{file}: {error}") from None
    if as_json:
        click.echo(json.dumps(layout_json(found), indent=2))
        return int(ExitCode.DONE)
    for line in drawing(found):
        click.echo(line)
    return int(ExitCode.DONE)


@image.command("decrypt")
@click.option("--enc-key", type=FILE, required=True, help="Private key that opens the image.")
@click.argument("source", type=FILE)
@click.argument("target", type=FILE)
def decrypt_command(enc_key: Path, source: Path, target: Path) -> int:
    """Write the encrypted image in SOURCE to TARGET with its payload clear.

    Its flag and its wrapped key stay, so that its signature stays good.
    """
    opened = key_of(enc_key, decryption_key)
    try:
        result = decrypted(image_of(source), opened)
    except ImageError as error:
        raise UserError(f"{source}: {error}") from None
    write(target, result.encode())
    click.echo(f"{target} is written: {result.header.img_size:,} octets of payload, clear")
    return int(ExitCode.DONE)


KINDS: Final[Mapping[str, Callable[[], PrivateKey | AgreementKey]]] = {
    "ecdsa-p256": lambda: fresh_p256(os.urandom),
    "ecdsa-p384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa-2048": lambda: rsa.generate_private_key(65537, 2048),
    "rsa-3072": lambda: rsa.generate_private_key(65537, 3072),
    "x25519": x25519.X25519PrivateKey.generate,
}


@image.command("keygen")
@click.option("-k", "--key", "private", type=FILE, required=True, help="File of the private key.")
@click.option("--public", type=FILE, help="File of the public key.")
@click.option(
    "-t", "--type", "kind", type=click.Choice(list(KINDS)), default="ecdsa-p256", show_default=True
)
@click.option("-p", "--password", is_flag=True, help="Ask for a password that protects the key.")
def keygen(private: Path, public: Path | None, kind: str, *, password: bool) -> int:
    """Make a key that signs images (or, of type ecdsa-p256 or x25519, that opens them)."""
    key = KINDS[kind]()
    protection: KeySerializationEncryption = NoEncryption()
    if password:
        words = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        protection = BestAvailableEncryption(words.encode())
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    write(private, pem, private=True)
    click.echo(f"{private} holds the private key: keep it where nobody else reads it")
    if public is not None:
        form = PublicFormat.SubjectPublicKeyInfo
        write(public, key.public_key().public_bytes(Encoding.PEM, form))
        click.echo(f"{public} holds the public key")
    return int(ExitCode.DONE)
