# SPDX-License-Identifier: Apache-2.0
"""Image transfer on the client's side (DLMS UA 1000-1 Ed. 12, 4.4.6), resumed where it was.

A client that was cut off calls `transfer` again with the same image: what the meter has of it is
not sent again.  `verify` and `activate` return whether that is done, as both may take a while.
"""

from collections.abc import Callable
from typing import Final

from openami.cosem.asking.association import Steps
from openami.cosem.classes.image_transfer import (
    ImageBlock,
    ImageInitiation,
    ImageTransfer,
    ImageTransferStatus,
)
from openami.cosem.client import Client
from openami.cosem.model import Method
from openami.cosem.refusals import AccessError
from openami.dlms.apdu.action import ActionRequestNormal
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.fields import MethodDescriptor
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.data import DoubleLongUnsigned, OctetString, Structure
from openami.dlms.obis import Obis

IMAGE: Final = Obis(0, 0, 44, 0, 0, 255)


def transfer(  # noqa: PLR0913  all a transfer depends on
    client: Client,
    identifier: bytes,
    image: bytes,
    *,
    at: Obis = IMAGE,
    anew: bool = True,
    told: Callable[[int, int], None] = lambda _there, _blocks: None,
) -> Steps[int]:
    """Send what the meter has not got of an image; return how many blocks were sent.

    Args:
        client: Associated, with the right to do it.
        identifier: The same identifier and size go on where an earlier transfer ended.
        image: The octets.
        at: The object.
        anew: Initiate the transfer.  There are meters that forget all blocks then; without it a
            transfer of as many blocks that is under way goes on, whatever image it was begun for.
        told: Hears how many blocks are there, of how many; what it raises ends the transfer.

    Raises:
        AccessError: The meter refuses it.
    """
    block_octets = yield from client.get(ImageTransfer.image_block_size, at=at)
    blocks = -(-len(image) // block_octets)
    if anew or not (yield from _is_under_way(client, blocks, at)):
        yield from initiate(client, identifier, len(image), at=at)
    there = yield from received(client, at=at)
    sent, blocks = 0, len(there)
    already = there.count("1")
    for number, mark in enumerate(there):
        told(already + sent, blocks)
        if mark == "0":
            yield from send_block(client, image, number, block_octets, at=at)
            sent += 1
    told(blocks, blocks)
    return sent


def initiate(client: Client, identifier: bytes, size: int, *, at: Obis = IMAGE) -> Steps[None]:
    """Initiate a transfer of `size` octets."""
    initiation = ImageInitiation(identifier, size)
    yield from client.act(ImageTransfer.image_transfer_initiate, initiation, at=at)


def received(client: Client, *, at: Obis = IMAGE) -> Steps[str]:
    """Return which blocks are there: a `1` for each that is, a `0` for each that is missing."""
    found = yield from client.get(ImageTransfer.image_transferred_blocks_status, at=at)
    return found.bits


def send_block(
    client: Client, image: bytes, number: int, block_octets: int, *, at: Obis = IMAGE
) -> Steps[int]:
    """Send one block of an image; return its octets."""
    value = image[number * block_octets : (number + 1) * block_octets]
    block = ImageBlock(number, value)
    yield from client.act(ImageTransfer.image_block_transfer, block, at=at)
    return len(value)


def unconfirmed_block(image: bytes, number: int, block_octets: int, *, at: Obis = IMAGE) -> bytes:
    """Return the plain APDU that brings one block to whoever hears it; nobody answers."""
    value = image[number * block_octets : (number + 1) * block_octets]
    return ActionRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(0, confirmed=False),
        method=MethodDescriptor(
            class_id=ImageTransfer.class_id,
            instance_id=at,
            method_id=ImageTransfer.image_block_transfer.index,
        ),
        parameters=Structure((DoubleLongUnsigned(number), OctetString(value))),
    ).encode()


def verify(client: Client, *, at: Obis = IMAGE) -> Steps[bool]:
    """Have the image verified; return False while that is running.

    Raises:
        AccessError: The image is bad, or incomplete.
    """
    return (yield from _done(client, ImageTransfer.image_verify, at))


def activate(client: Client, *, at: Obis = IMAGE) -> Steps[bool]:
    """Activate the image; return False while that is running: the meter may restart.

    Raises:
        AccessError: It does not run.
    """
    return (yield from _done(client, ImageTransfer.image_activate, at))


def status(client: Client, *, at: Obis = IMAGE) -> Steps[ImageTransferStatus]:
    """Return how far the transfer has come."""
    return (yield from client.get(ImageTransfer.image_transfer_status, at=at))


def _is_under_way(client: Client, blocks: int, at: Obis) -> Steps[bool]:
    if (yield from status(client, at=at)) is not ImageTransferStatus.INITIATED:
        return False
    return len((yield from received(client, at=at))) == blocks


def _done(client: Client, method: Method[int, None], at: Obis) -> Steps[bool]:
    try:
        yield from client.act(method, 0, at=at)
    except AccessError as error:
        if error.result is not ActionResult.TEMPORARY_FAILURE:
            raise
        return False
    return True
