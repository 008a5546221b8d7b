# SPDX-License-Identifier: Apache-2.0
"""An image put into a concentrator's flash at the machine itself, while no program of it runs."""

import hashlib
from pathlib import Path
from typing import Final

from openami.concentrator.own.banks import open_update
from openami.concentrator.own.firmware import note_uplink
from openami.device.alone import alone
from openami.device.files import SECURE
from openami.device.images import IMAGE_BLOCK_OCTETS
from openami.firmware.errors import FirmwareError
from openami.firmware.state import UpdateState
from openami.firmware.verify import Verified
from openami.runtime.errors import UserError

IDENTIFIER_OCTETS: Final = 16


def install_image(home: Path, image: bytes, *, needs_uplink: bool) -> Verified:
    """Write an image into the bank that does not run, verify it, and have the next start try it.

    Args:
        home: The concentrator's folder.
        image: Signed.
        needs_uplink: Whether the uplink must come up before the image is confirmed.

    Raises:
        UserError: The concentrator runs or was never booted, or the image is refused.
    """
    folder = home / SECURE
    if not folder.is_dir():
        raise UserError(f"{folder} is not there: `openami concentrator boot` makes it")
    try:
        with alone(folder, waits=False):
            return _installed(home, image, needs_uplink=needs_uplink)
    except BlockingIOError:
        raise UserError(
            f"the concentrator in {home} runs: stop it, or send the image through its port with "
            "`openami image send`"
        ) from None
    except FirmwareError as error:
        raise UserError(f"{home}: {error}: the firmware stays as it is") from None


def _installed(home: Path, image: bytes, *, needs_uplink: bool) -> Verified:
    flash, update = open_update(home)
    try:
        if update.state is UpdateState.STAGED:
            update.reject("replaced")
        name = hashlib.sha256(image).hexdigest()[: 2 * IDENTIFIER_OCTETS].encode()
        update.check(name, len(image), IMAGE_BLOCK_OCTETS)
        update.give_up()
        update.start(name, len(image), IMAGE_BLOCK_OCTETS)
        for number, at in enumerate(range(0, len(image), IMAGE_BLOCK_OCTETS)):
            update.write(number, image[at : at + IMAGE_BLOCK_OCTETS])
        verified = update.finish()
        note_uplink(home, is_up=needs_uplink)
        update.install()
    finally:
        flash.close()
    return verified
