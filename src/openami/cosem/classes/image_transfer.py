# SPDX-License-Identifier: Apache-2.0
"""Image transfer: how new firmware comes into a meter (DLMS UA 1000-1 Ed. 12, 4.4.6).

The class is declared here; blocks, verification and activation are the meter's business.
"""

from enum import IntEnum
from typing import NamedTuple

from openami.cosem.kinds import (
    BITS,
    BOOLEAN,
    DOUBLE_LONG_UNSIGNED,
    OCTETS,
    array,
    enumeration,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method


class ImageTransferStatus(IntEnum):
    """How far a transfer has come."""

    NOT_INITIATED = 0
    INITIATED = 1
    VERIFICATION_INITIATED = 2
    VERIFICATION_SUCCESSFUL = 3
    VERIFICATION_FAILED = 4
    ACTIVATION_INITIATED = 5
    ACTIVATION_SUCCESSFUL = 6
    ACTIVATION_FAILED = 7


class ImageToActivate(NamedTuple):
    """One image that was verified; its size in octets."""

    image_size: int
    image_identification: bytes
    image_signature: bytes


class ImageInitiation(NamedTuple):
    """What is going to be transferred; its size in octets."""

    image_identifier: bytes
    image_size: int


class ImageBlock(NamedTuple):
    """One block; numbers start at 0."""

    image_block_number: int
    image_block_value: bytes


class ImageTransfer(InterfaceClass, class_id=18, version=0, methods_at=0x40):
    """Receives an image in blocks, verifies and activates it (4.4.6), e.g. 0.0.44.0.0.255."""

    image_block_size = Attribute(2, DOUBLE_LONG_UNSIGNED)  # octets
    image_transferred_blocks_status = Attribute(3, BITS, dynamic=True)
    image_first_not_transferred_block_number = Attribute(4, DOUBLE_LONG_UNSIGNED, dynamic=True)
    image_transfer_enabled = Attribute(5, BOOLEAN, access=Access.READ_WRITE)
    image_transfer_status = Attribute(6, enumeration(ImageTransferStatus), dynamic=True)
    image_to_activate_info = Attribute(
        7,
        array(structure(ImageToActivate, DOUBLE_LONG_UNSIGNED, OCTETS, OCTETS)),
        dynamic=True,
    )

    image_transfer_initiate = Method(1, structure(ImageInitiation, OCTETS, DOUBLE_LONG_UNSIGNED))
    image_block_transfer = Method(2, structure(ImageBlock, DOUBLE_LONG_UNSIGNED, OCTETS))
    image_verify = Method(3)
    image_activate = Method(4)
