# SPDX-License-Identifier: Apache-2.0
"""What a meter demands of an image: its class, and a payload that can be taken apart."""

from openami.device.payload.container import Payload
from openami.device.payload.errors import PayloadError
from openami.device.payload.identity import CLASS_ID, VENDOR_ID
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Image
from openami.firmware.keys import AgreementKey, VerifyingKey
from openami.firmware.verify import Policy


def policy(
    keys: tuple[VerifyingKey, ...],
    decryption_key: AgreementKey | None = None,
    root: VerifyingKey | None = None,
) -> Policy:
    """Return what `firmware` demands of an image for this device."""
    return Policy(
        keys=keys,
        vendor_id=VENDOR_ID.bytes,
        class_id=CLASS_ID.bytes,
        root=root,
        decryption_key=decryption_key,
        judge=_judge,
    )


def _judge(image: Image) -> None:
    try:
        Payload.decode(image.payload)
    except PayloadError as error:
        raise ImageError(Reason.PAYLOAD, str(error), "the payload") from None
