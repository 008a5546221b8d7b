# SPDX-License-Identifier: Apache-2.0
"""Objects of a device whose firmware boot started: what runs, and where the next one goes.

=====================  ==================================================================
object                 what
=====================  ==================================================================
``0.0.44.0.0.255``     image transfer (class 18), DLMS UA 1000-1 Ed. 12, 4.4.6
``1.0.0.2.8.255``      firmware signature: the hash of the image that runs
=====================  ==================================================================

The version is the device's own to show, at 1.0.0.2.0.255.
"""

from dataclasses import dataclass
from typing import Final

from openami.cosem.behaviour.image import ImageReceiver, ImageSink, image_transfer
from openami.cosem.classes.image_transfer import ImageTransfer
from openami.cosem.classes.measurement import Data
from openami.cosem.model import InterfaceClass
from openami.dlms.data import OctetString
from openami.dlms.obis import Obis

IMAGE_TRANSFER: Final = Obis(0, 0, 44, 0, 0, 255)
FIRMWARE_SIGNATURE: Final = Obis(1, 0, 0, 2, 8, 255)
IMAGE_BLOCK_OCTETS: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """The firmware that boot started, and where the next one goes.

    Attributes:
        version: As it is shown.
        signature: Hash of the image.
        sink: Where images go.
        is_receiving: Whether a transfer is under way, so that blocks may come to all of a group.
    """

    version: str
    signature: bytes
    sink: ImageSink
    is_receiving: bool = True


def receive_images(objects: list[InterfaceClass], firmware: Firmware) -> ImageReceiver:
    """Add what tells of the firmware, and receives the next."""
    thing = ImageTransfer(
        IMAGE_TRANSFER, image_block_size=IMAGE_BLOCK_OCTETS, image_transfer_enabled=True
    )
    objects += [thing, Data(FIRMWARE_SIGNATURE, value=OctetString(firmware.signature))]
    return image_transfer(thing, ImageReceiver(thing, firmware.sink, resumes=True))
