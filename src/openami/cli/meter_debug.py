# SPDX-License-Identifier: Apache-2.0
"""`openami meter debug …`: a laboratory at the debug port of a meter that has no power."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric import ec

from openami.cli.image_files import FILE, NUMBER, key_of, octets_of, write
from openami.cli.meter_power import refuse_power
from openami.device.debugport import DebugError, DebugPort, Standing
from openami.device.debugtoken import Permission, Token, TokenError
from openami.device.files import OTP_FILE, SECURE
from openami.device.lockwords import Lock
from openami.firmware.keys import private_key
from openami.runtime.errors import ExitCode, UserError

HOME: Final = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder of a meter without power, e.g. var/meters/4F414D0000000001.",
)
PERMISSIONS: Final = {"non-secure": Permission.NON_SECURE, "secure": Permission.SECURE}
LOCKS: Final = {"secure": Lock.SECURE, "all": Lock.ALL, "port": Lock.PORT}
MOST_OCTETS: Final = 0x80000
HEX_COLUMNS: Final = 16


@click.group()
def debug() -> None:
    """Work at the debug port of a meter that has no power: it opens for a signed challenge only."""


@debug.command()
@HOME
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def status(home: Path, *, as_json: bool) -> None:
    """Say how the port stands: life, debug key, what it is open for, locks."""
    said = _said(_port(home).standing())
    if as_json:
        click.echo(json.dumps(said, indent=1))
        return
    for name, value in said.items():
        click.echo(f"{name:13} {', '.join(value) if isinstance(value, list) else value}")


@debug.command()
@HOME
def challenge(home: Path) -> None:
    """Draw a challenge, and print it; one drawn before is worth nothing any more."""
    with _refusing():
        click.echo(_port(home).challenge().hex())


@debug.command()
@click.option("--key", type=FILE, required=True, help="Debug key, PEM; `openami image keygen`.")
@click.option("-p", "--password", is_flag=True, help="Ask for the password of the key.")
@click.option("--challenge", "drawn", required=True, help="What `challenge` printed.")
@click.option("--permission", type=click.Choice(list(PERMISSIONS)), required=True)
@click.option("--out", type=FILE, required=True, help="The token.")
def sign(key: Path, drawn: str, permission: str, out: Path, *, password: bool) -> None:
    """Sign a challenge with the debug key, at the desk of whoever holds it.

    With `secure` the device destroys its keys before it opens, for good.
    """
    word = click.prompt("Password", hide_input=True).encode() if password else None
    found = key_of(key, lambda pem: private_key(pem, word))
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise UserError(f"{key} is no key of P-256: make one with `openami image keygen`")
    try:
        octets = bytes.fromhex(drawn)
    except ValueError:
        sentence = f"{drawn} is no challenge in hexadecimal: `openami meter debug challenge`"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    with _refusing():
        token = Token.make(PERMISSIONS[permission], octets, found)
    write(out, token.encode())


@debug.command()
@HOME
@click.option("--token", type=FILE, required=True, help="Signed over the last challenge.")
def unlock(home: Path, token: Path) -> None:
    """Open the port with a token, until the meter's next start.

    The meter goes to a state of its life in which it may be debugged; there is no way back, and
    attestation says so.
    """
    with _refusing():
        found = _port(home).unlock(octets_of(token))
    click.echo(f"open for {_word(found.permission)}; life cycle {found.state.name.lower()}")


@debug.command()
@HOME
@click.option("--address", type=NUMBER, required=True, help="E.g. 0x8000.")
@click.option("--octets", "count", type=NUMBER, default=256, show_default=True)
@click.option("--out", type=FILE, help="Write them into a file instead.")
def read(home: Path, address: int, count: int, out: Path | None) -> None:
    """Read memory through the port, as far as it is open."""
    if not 0 < count <= MOST_OCTETS:
        sentence = f"{count} octets are not read at once: ask for 1 to {MOST_OCTETS}"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    with _refusing():
        octets = _port(home).read(address, count)
    if out is not None:
        write(out, octets)
        return
    for at in range(0, len(octets), HEX_COLUMNS):
        click.echo(f"{address + at:08x}  {octets[at : at + HEX_COLUMNS].hex(' ')}")


@debug.command()
@HOME
@click.option("--what", type=click.Choice(list(LOCKS)), required=True)
@click.option("--yes", is_flag=True, required=True, help="It stays closed for good.")
def lock(home: Path, *, what: str, yes: bool) -> None:  # noqa: ARG001  asked for, not looked at
    """Close a lock of the part: the secure region, all memory, or the port itself.

    Above a closed lock no token opens anything; a mass erase does, unless the port is closed.
    """
    _port(home).close_lock(LOCKS[what])
    click.echo(f"{what}: locked")


@debug.command("mass-erase")
@HOME
@click.option("--yes", is_flag=True, required=True, help="Everything but fuses goes.")
def mass_erase(home: Path, *, yes: bool) -> None:  # noqa: ARG001  asked for, not looked at
    """Erase flash, key for encrypted images and locks, without a token: the meter is dead then."""
    with _refusing():
        _port(home).mass_erase()
    click.echo("erased: the meter starts no more, until its maker makes it anew")


def _port(home: Path) -> DebugPort:
    folder = home.resolve() / SECURE
    if not (folder / OTP_FILE).exists():
        sentence = f"{home} has no {SECURE}/{OTP_FILE}: name the folder of a meter with firmware"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY)
    refuse_power(home)
    return DebugPort(folder, os.urandom)


def _said(found: Standing) -> dict[str, str | list[str]]:
    closed = [name for name, lock in LOCKS.items() if lock in found.locks.closed]
    regions = [
        f"{number}: {region.octets} octets at {region.offset:#x}"
        for number, region in found.locks.execute_only
    ]
    return {
        "life cycle": found.state.name.lower(),
        "debug key": "burned" if found.has_key else "none",
        "open for": _word(found.permission),
        "locked": closed or ["nothing"],
        "execute only": regions or ["nothing"],
    }


def _word(permission: Permission) -> str:
    return next((name for name, each in PERMISSIONS.items() if each is permission), "nothing")


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except (DebugError, TokenError) as error:
        raise UserError(f"the port refuses: {error}") from None
