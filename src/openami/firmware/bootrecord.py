# SPDX-License-Identifier: Apache-2.0
"""The boot record: what an image brings for the attestation of the device that boots it.

=====  ===========  =======================================================================
key    claim        value; a map in CBOR
=====  ===========  =======================================================================
1      type         text of at most 12 characters
4      version      text, major.minor.revision
5      signer id    the key hash
6      description  of the measurement: the hash in use
2      measurement  zeros; the boot puts the image's hash there when it hands the record on
=====  ===========  =======================================================================
"""

from dataclasses import dataclass
from typing import Final, Self

from openami.firmware import cbor
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Version
from openami.firmware.keys import HASHES, VerifyingKey
from openami.firmware.tlv import TlvType

LONGEST_TYPE: Final = 12
TYPE, MEASUREMENT, VERSION, SIGNER, DESCRIPTION = 1, 2, 4, 5, 6


@dataclass(frozen=True, slots=True, kw_only=True)
class BootRecord:
    """One software component, as an attestation lists it."""

    sw_type: str
    version: str
    signer_id: bytes
    description: str
    measurement: bytes

    @classmethod
    def of(cls, sw_type: str, version: Version, signer: VerifyingKey | None) -> Self:
        """Return the record to be signed, its measurement still zeros."""
        if not 0 < len(sw_type) <= LONGEST_TYPE:
            problem = f"the type of a boot record has 1 to {LONGEST_TYPE} characters: {sw_type!r}"
            raise ValueError(problem)
        hash_type = TlvType.SHA256 if signer is None else signer.hash_type
        return cls(
            sw_type=sw_type,
            version=f"{version.major}.{version.minor}.{version.revision}",
            signer_id=b"" if signer is None else signer.keyhash,
            description=hash_type.name,
            measurement=bytes(HASHES[hash_type]().digest_size),
        )

    def encode(self) -> bytes:
        claims: dict[int, object] = {
            TYPE: self.sw_type,
            VERSION: self.version,
            SIGNER: self.signer_id,
            DESCRIPTION: self.description,
            MEASUREMENT: self.measurement,
        }
        return cbor.encode(claims)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the value of a boot record.

        Raises:
            ImageError: It is no such map.
        """
        place = TlvType.BOOT_RECORD.name
        try:
            claims = cbor.decode(octets)
        except cbor.CborError as error:
            raise ImageError(Reason.TLV_VALUE, str(error), place) from None
        match claims:
            case {
                1: str(sw_type),
                4: str(version),
                5: bytes(signer),
                6: str(description),
                2: bytes(measurement),
                **others,
            } if not others:
                return cls(
                    sw_type=sw_type,
                    version=version,
                    signer_id=signer,
                    description=description,
                    measurement=measurement,
                )
            case _:
                detail = "a boot record is a map of texts 1, 4, 6 and octet strings 5, 2"
                raise ImageError(Reason.TLV_VALUE, detail, place)
