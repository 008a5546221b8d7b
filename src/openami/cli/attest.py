# SPDX-License-Identifier: Apache-2.0
"""`openami attest`: ask a running meter what it is and what it runs, and hold it to a release."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from openami.cli.image_files import image_of
from openami.device.files import ATTESTATION_PUBLIC
from openami.device.payload.container import Payload
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import METROLOGY_SW_TYPE, SW_TYPE
from openami.device.secure.client import SecureClient
from openami.device.secure.world import REDUCED
from openami.firmware.image import Image
from openami.firmware.tlv import TlvType
from openami.meter.run import DOOR
from openami.psa.attestation import Claims, verify_token
from openami.psa.lifecycle import LifeCycle
from openami.psa.status import PsaError
from openami.runtime.errors import ExitCode, UserError
from openami.runtime.layout import Layout

CHALLENGE_OCTETS: Final = 32


@click.command()
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The meter's folder, e.g. var/meters/4F414D0000000001.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"Its public attestation key, as its factory told it.  [{ATTESTATION_PUBLIC} in HOME]",
)
@click.option(
    "--image",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The release that it ought to run.",
)
@click.option(
    "--metrology",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The image that its seal ought to cover.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def attest(
    home: Path, key: Path | None, image: Path | None, metrology: Path | None, *, as_json: bool
) -> ExitCode:
    """Ask a running meter for an attestation token with a fresh challenge, and verify it.

    It is refused where the token is not signed by the meter's key, where the meter's life permits
    no trust, and where it runs something else than the release.
    """
    claims = _asked(home.resolve(), key or home / ATTESTATION_PUBLIC)
    problems = _problems(claims, {**_of_release(image), **_of_metrology(metrology)})
    said = _said(claims) | {"problems": problems}
    if as_json:
        click.echo(json.dumps(said, indent=1))
    else:
        for name, value in said.items():
            for line in value if isinstance(value, list) else [value]:
                click.echo(f"{name:15} {line}")
    return ExitCode.REFUSED if problems else ExitCode.DONE


def _asked(home: Path, key: Path) -> Claims:
    point = _point(key)
    challenge = os.urandom(CHALLENGE_OCTETS)
    try:
        client = SecureClient.connect(Layout(home.parent.parent).run / DOOR)
        try:
            token = client.octets("initial_attest_get_token", challenge)
        finally:
            client.close()
        return verify_token(token, point, challenge)
    except PsaError as error:
        remedy = "run the meter, personalised, and ask as who started it"
        raise UserError(f"no token of {home.name} can be believed: {error}: {remedy}") from error


def _point(path: Path) -> bytes:
    try:
        key = load_pem_public_key(path.read_bytes())
    except OSError as error:
        remedy = "`openami meter personalise` makes it"
        raise UserError(f"{path} cannot be read ({error.strerror}): {remedy}") from error
    except ValueError:
        raise UserError(f"{path} holds no public key: take the one from its factory") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise UserError(f"{path} holds no key of P-256: take the one from its factory")
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def _of_release(path: Path | None) -> dict[str, tuple[Path, bytes]]:
    """Return what a release lets be measured, by kind: the image, and each program in it."""
    if path is None:
        return {}
    image = image_of(path)
    try:
        payload = Payload.decode(image.payload)
    except PayloadError as error:
        remedy = "give a release of the meter's firmware, in the clear"
        raise UserError(f"{path}: {error}: {remedy}", ExitCode.ASKED_WRONGLY) from None
    return {
        SW_TYPE: (path, _digest(path, image)),
        "SECURE": (path, hashlib.sha256(payload.secure).digest()),
        "MANAGEMENT": (path, hashlib.sha256(payload.management).digest()),
    }


def _of_metrology(path: Path | None) -> dict[str, tuple[Path, bytes]]:
    return {} if path is None else {METROLOGY_SW_TYPE: (path, _digest(path, image_of(path)))}


def _digest(path: Path, image: Image) -> bytes:
    digest = image.one(TlvType.SHA256)
    if digest is None:
        raise UserError(f"{path} tells no SHA-256 of itself", ExitCode.ASKED_WRONGLY)
    return digest


def _problems(claims: Claims, wanted: Mapping[str, tuple[Path, bytes]]) -> list[str]:
    found = []
    state = LifeCycle.of_claim(claims.lifecycle)
    if state is not LifeCycle.SECURED:
        found.append(f"the meter's life cycle is {state.name.lower()}, not secured")
    for kind, (path, digest) in wanted.items():
        runs = [each.measurement for each in claims.software if each.kind == kind]
        if runs != [digest]:
            told = ", ".join(each.hex()[:16] for each in runs) or "none that was verified"
            found.append(f"its {kind} is {told}, and that of {path} is {digest.hex()[:16]}")
    return found


def _said(claims: Claims) -> dict[str, str | list[str]]:
    return {
        "instance": claims.instance_id.hex(),
        "implementation": claims.implementation_id.hex(),
        "life cycle": LifeCycle.of_claim(claims.lifecycle).name.lower(),
        "isolation": "reduced" if claims.lifecycle & REDUCED else "full",
        "software": [
            f"{each.kind} {each.version} {each.measurement.hex()}".replace("  ", " ")
            for each in claims.software
        ],
    }
