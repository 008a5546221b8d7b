# SPDX-License-Identifier: Apache-2.0
"""From what boot verified to what attestation says (RFC 9783, 4.4.1), signed by key id.

`firmware` hands on the boot record of each image that it runs, with the hash it measured; a
software component of a token says the same in the same terms.
"""

from collections.abc import Iterable
from typing import Final

from openami.device.handover import Handover
from openami.firmware.verify import Verified
from openami.psa import algorithms, asymmetric
from openami.psa.attestation import SoftwareComponent, instance_id
from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.cose import Sign
from openami.psa.keystore import KeyStore

ES256: Final = algorithms.ecdsa(algorithms.SHA_256)

ATTESTATION_KEY: Final = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1, bits=256, usage=Usage.SIGN_MESSAGE, alg=ES256
)
"""What the initial attestation key is created with; its identifier is the device's choice."""


def software_of(images: Iterable[Verified]) -> tuple[SoftwareComponent, ...]:
    """Return the software components of the images that run, in their order.

    An image without a boot record is told by its hash and the hash of its signer's key.
    """
    return tuple(_component(verified) for verified in images)


def software_of_start(record: Handover) -> tuple[SoftwareComponent, ...]:
    """Return the software components of a start, from the ROM up."""
    return tuple(
        SoftwareComponent(
            measurement=each.measurement,
            signer_id=each.signer,
            kind=each.kind,
            version=each.version,
            description=each.description,
        )
        for each in record.components
    )


def _component(verified: Verified) -> SoftwareComponent:
    record = verified.boot_record
    if record is None:
        return SoftwareComponent(
            measurement=verified.digest,
            signer_id=verified.keyhash,
            version=str(verified.version),
        )
    return SoftwareComponent(
        measurement=record.measurement,
        signer_id=verified.keyhash,
        kind=record.sw_type,
        version=record.version,
        description=record.description,
    )


def attestation_identity(keys: KeyStore, client: int, key_id: int) -> tuple[bytes, Sign]:
    """Return the instance id that an attestation key gives, and how to sign with it."""

    def sign(octets: bytes) -> bytes:
        return asymmetric.sign_message(keys, client, key_id, ES256, octets)

    return instance_id(keys.export_public_key(client, key_id)), sign
