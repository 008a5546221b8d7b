# SPDX-License-Identifier: Apache-2.0
"""Image files that a head-end is to bring to devices, verified before anybody is told of them."""

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Engine

from openami.access.accounts import record
from openami.cli.image_files import FILE, NUMBER, image_of, octets_of
from openami.firmware.errors import ImageError
from openami.firmware.verify import Policy, verify
from openami.runtime.errors import UserError
from openami.store import releases
from openami.store.releases import Release

T = TypeVar("T")


def release_of(file: Path, policy: Policy, remedy: str) -> tuple[Release, bytes]:
    """Return what is kept of an image file that stands `policy`, and its octets.

    Raises:
        UserError: It cannot be read, is no image, or does not stand it; with `remedy`.
    """
    octets, image = octets_of(file), image_of(file)
    try:
        good = verify(image, policy)
    except ImageError as error:
        raise UserError(f"{file} is not sent to anybody: {error}; {remedy}") from None
    release = Release.of(
        octets,
        name=file.name,
        version=str(good.version),
        digest=good.digest,
        keyhash=good.keyhash,
        by=getpass.getuser(),
    )
    return release, octets


def take_release(engine: Engine, release: Release, octets: bytes, reason: str) -> None:
    """Keep a release that was verified, write down who took it, and say so."""
    releases.add(engine, release, octets)
    concerning = f"{release.release_id}: {release.name} {release.version}: {reason}"
    record(engine, getpass.getuser(), "firmware.release", concerning)
    click.echo(f"release {release.release_id} is taken: {release.name} {release.version}")


def image_options(command: Callable[..., T]) -> Callable[..., T]:
    """Add what says which image, and whom it has to be signed by."""
    for option in (
        click.option("--counter", type=NUMBER, help="Refuse a lower security counter."),
        click.option(
            "-k", "--key", "keys", type=FILE, multiple=True, required=True, help="Trusted key."
        ),
        click.option("--image", "file", type=FILE, required=True, help="The signed image."),
    ):
        command = option(command)
    return command
