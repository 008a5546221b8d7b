# SPDX-License-Identifier: Apache-2.0
"""What a device demands of an image: its class, and a payload that can be taken apart."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from openami.device.payload.container import Payload
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import CLASS_ID, VENDOR_ID
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Image
from openami.firmware.keys import AgreementKey, VerifyingKey
from openami.firmware.verify import Policy


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of device: images of another one are refused, whoever signed them.

    Attributes:
        class_id: 16 octets.
        judge: Refuses, with an `ImageError`, payloads that such devices cannot run.
    """

    class_id: bytes
    judge: Callable[[Image], None]


def policy(
    keys: tuple[VerifyingKey, ...],
    decryption_key: AgreementKey | None = None,
    root: VerifyingKey | None = None,
    kind: Kind | None = None,
) -> Policy:
    """Return what `firmware` demands of an image for a device, a meter unless told."""
    kind = kind or METER
    return Policy(
        keys=keys,
        vendor_id=VENDOR_ID.bytes,
        class_id=kind.class_id,
        root=root,
        decryption_key=decryption_key,
        judge=kind.judge,
    )


def _judge(image: Image) -> None:
    try:
        Payload.decode(image.payload)
    except PayloadError as error:
        raise ImageError(Reason.PAYLOAD, str(error), "the payload") from None


METER: Final = Kind(CLASS_ID.bytes, _judge)
