# SPDX-License-Identifier: Apache-2.0
"""Image transfer on the client's side (DLMS UA 1000-1 Ed. 12, 4.4.6), resumed where it was.

A client that was cut off calls `transfer` again with the same image: what the meter has of it is
not sent again.  `verify` and `activate` return whether that is done, as both may take a while.
"""

from typing import Final

from openami.cosem.asking.association import Steps
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.client import Client
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.obis import Obis

IMAGE: Final = Obis(0, 0, 44, 0, 0, 255)


def transfer(client: Client, identifier: bytes, image: bytes, *, at: Obis = IMAGE) -> Steps[int]:
    """Send what the meter has not got of an image; return how many blocks were sent.

    Raises:
        AccessError: The meter refuses it.
    """
    block_octets = yield from client.get(ImageTransfer.image_block_size, at=at)
    initiation = ImageInitiation(identifier, len(image))
    yield from client.act(ImageTransfer.image_transfer_initiate, initiation, at=at)
    received = yield from client.get(ImageTransfer.image_transferred_blocks_status, at=at)
    sent = 0
    for number, there in enumerate(received.bits):
        if there == "0":
            value = image[number * block_octets : (number + 1) * block_octets]
            block = ImageBlock(number, value)
            yield from client.act(ImageTransfer.image_block_transfer, block, at=at)
            sent += 1
    return sent


def verify(client: Client, *, at: Obis = IMAGE) -> Steps[bool]:
    """Have the image verified; return False while that is running.

    Raises:
        AccessError: The image is bad, or incomplete.
    """
    try:
        yield from client.act(ImageTransfer.image_verify, 0, at=at)
    except AccessError as error:
        if error.result is not ActionResult.TEMPORARY_FAILURE:
            raise
        return False
    return True


def activate(client: Client, *, at: Obis = IMAGE) -> Steps[bool]:
    """Activate the image; return False while that is running: the meter may restart.

    Raises:
        AccessError: It does not run.
    """
    try:
        yield from client.act(ImageTransfer.image_activate, 0, at=at)
    except AccessError as error:
        if error.result is not ActionResult.TEMPORARY_FAILURE:
            raise
        return False
    return True


def status(client: Client, *, at: Obis = IMAGE) -> Steps[ImageTransferStatus]:
    """Return how far the transfer has come."""
    return (yield from client.get(ImageTransfer.image_transfer_status, at=at))
