# SPDX-License-Identifier: Apache-2.0
"""Image files that a head-end is to bring to devices, verified before anybody is told of them."""

import getpass
from pathlib import Path

from openami.cli.image_files import image_of, octets_of
from openami.firmware.errors import ImageError
from openami.firmware.verify import Policy, verify
from openami.runtime.errors import UserError
from openami.store.releases import Release


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
