# SPDX-License-Identifier: Apache-2.0
"""xDLMS context negotiation: InitiateRequest and InitiateResponse.

DLMS UA 1000-2 Ed. 10, 9.4.4 (negotiation) and 9.5 (APDU tags 01 and 08).  They travel as the
user-information of AARQ and AARE, ciphered or not.
"""

from dataclasses import dataclass, field
from enum import IntFlag
from typing import ClassVar, Final, Self

from openami.dlms.axdr import Reader, encode_optional_octet_string

DLMS_VERSION: Final = 6
VAA_NAME_LN: Final = 0x0007
"""vaa-name of an association with logical name referencing."""
VAA_NAME_SN: Final = 0xFA00
"""vaa-name of an association with short name referencing."""

# [APPLICATION 31] IMPLICIT BIT STRING of 24 bits: tag, 4 octets, no unused bits.
_CONFORMANCE_HEAD: Final = bytes.fromhex("5F1F0400")


class Conformance(IntFlag):
    """Conformance block: bit 0 of the standard is the most significant of the 24 bits."""

    GENERAL_PROTECTION = 1 << 22
    GENERAL_BLOCK_TRANSFER = 1 << 21
    READ = 1 << 20
    WRITE = 1 << 19
    UNCONFIRMED_WRITE = 1 << 18
    DELTA_VALUE_ENCODING = 1 << 17  # newer editions; to be clear towards older peers
    ATTRIBUTE_0_SUPPORTED_WITH_SET = 1 << 15
    PRIORITY_MGMT_SUPPORTED = 1 << 14
    ATTRIBUTE_0_SUPPORTED_WITH_GET = 1 << 13
    BLOCK_TRANSFER_WITH_GET_OR_READ = 1 << 12
    BLOCK_TRANSFER_WITH_SET_OR_WRITE = 1 << 11
    BLOCK_TRANSFER_WITH_ACTION = 1 << 10
    MULTIPLE_REFERENCES = 1 << 9
    INFORMATION_REPORT = 1 << 8
    DATA_NOTIFICATION = 1 << 7
    ACCESS = 1 << 6
    PARAMETERIZED_ACCESS = 1 << 5
    GET = 1 << 4
    SET = 1 << 3
    SELECTIVE_ACCESS = 1 << 2
    EVENT_NOTIFICATION = 1 << 1
    ACTION = 1 << 0

    def encode(self) -> bytes:
        """Return tag, length, unused bits, and the three octets."""
        return _CONFORMANCE_HEAD + self.to_bytes(3)

    @classmethod
    def read(cls, reader: Reader) -> Self:
        """Take the block off the front of `reader`."""
        for value in _CONFORMANCE_HEAD:
            reader.expect(value, "head of the conformance block")
        return cls(reader.unsigned(3, "conformance"))


LN_ONLY: Final = (
    Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.ACCESS
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.EVENT_NOTIFICATION
    | Conformance.ACTION
)
"""Bits that mean something with logical name referencing alone."""
SN_ONLY: Final = (
    Conformance.READ
    | Conformance.WRITE
    | Conformance.UNCONFIRMED_WRITE
    | Conformance.INFORMATION_REPORT
    | Conformance.PARAMETERIZED_ACCESS
)
"""Bits that mean something with short name referencing alone."""

_EQUIVALENT: Final = (
    (Conformance.GET, Conformance.READ),
    (Conformance.SET, Conformance.WRITE | Conformance.UNCONFIRMED_WRITE),
    (Conformance.SELECTIVE_ACCESS, Conformance.PARAMETERIZED_ACCESS),
    (Conformance.ACTION, Conformance.WRITE | Conformance.PARAMETERIZED_ACCESS),
    (Conformance.EVENT_NOTIFICATION, Conformance.INFORMATION_REPORT),
)


def in_short_names(conformance: Conformance) -> Conformance:
    """Return the bits by which short name services do what `conformance` names for either way.

    Reading is READ, writing WRITE; a selection or a parameter needs PARAMETERIZED_ACCESS, and a
    method one of the two.
    """
    for by_logical_name, by_short_name in _EQUIVALENT:
        if conformance & by_logical_name:
            conformance |= by_short_name
    return conformance & ~LN_ONLY


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiateRequest:
    """What the client proposes: InitiateRequest.

    ======  ==============================  ===============================================
    octets  field                           value
    ======  ==============================  ===============================================
    1       tag                             01
    1 + n   dedicated_key                   00 none; 01, length, key
    1 or 2  response_allowed                00 true (default); 01 and a boolean
    1 or 2  proposed_quality_of_service     00 none; 01 and an integer
    1       proposed_dlms_version_number    06
    7       proposed_conformance            5F 1F 04 00 and three octets
    2       client_max_receive_pdu_size     octets; 0 is no limit
    ======  ==============================  ===============================================
    """

    TAG: ClassVar = 0x01

    dedicated_key: bytes | None = field(default=None, repr=False)
    response_allowed: bool = True
    proposed_quality_of_service: int | None = None
    proposed_dlms_version_number: int = DLMS_VERSION
    proposed_conformance: Conformance
    client_max_receive_pdu_size: int

    def encode(self) -> bytes:
        return b"".join(
            (
                bytes((self.TAG,)),
                encode_optional_octet_string(self.dedicated_key),
                b"\x00" if self.response_allowed else b"\x01\x00",
                _encode_quality(self.proposed_quality_of_service),
                bytes((self.proposed_dlms_version_number,)),
                self.proposed_conformance.encode(),
                self.client_max_receive_pdu_size.to_bytes(2),
            )
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        dedicated_key = reader.optional_octet_string("dedicated-key")
        response_allowed = True
        if reader.present("presence of response-allowed"):
            response_allowed = reader.boolean("response-allowed")
        apdu = cls(
            dedicated_key=dedicated_key,
            response_allowed=response_allowed,
            proposed_quality_of_service=_read_quality(reader),
            proposed_dlms_version_number=reader.unsigned(1, "proposed-dlms-version-number"),
            proposed_conformance=Conformance.read(reader),
            client_max_receive_pdu_size=reader.unsigned(2, "client-max-receive-pdu-size"),
        )
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class InitiateResponse:
    """What the server grants: InitiateResponse.

    ======  ==============================  ======================================
    octets  field                           value
    ======  ==============================  ======================================
    1       tag                             08
    1 or 2  negotiated_quality_of_service   00 none; 01 and an integer
    1       negotiated_dlms_version_number  06
    7       negotiated_conformance          5F 1F 04 00 and three octets
    2       server_max_receive_pdu_size     octets; 0 is no limit
    2       vaa_name                        0007 for LN, FA00 for SN
    ======  ==============================  ======================================
    """

    TAG: ClassVar = 0x08

    negotiated_quality_of_service: int | None = None
    negotiated_dlms_version_number: int = DLMS_VERSION
    negotiated_conformance: Conformance
    server_max_receive_pdu_size: int
    vaa_name: int = VAA_NAME_LN

    def encode(self) -> bytes:
        return b"".join(
            (
                bytes((self.TAG,)),
                _encode_quality(self.negotiated_quality_of_service),
                bytes((self.negotiated_dlms_version_number,)),
                self.negotiated_conformance.encode(),
                self.server_max_receive_pdu_size.to_bytes(2),
                self.vaa_name.to_bytes(2),
            )
        )

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            negotiated_quality_of_service=_read_quality(reader),
            negotiated_dlms_version_number=reader.unsigned(1, "negotiated-dlms-version-number"),
            negotiated_conformance=Conformance.read(reader),
            server_max_receive_pdu_size=reader.unsigned(2, "server-max-receive-pdu-size"),
            vaa_name=reader.unsigned(2, "vaa-name"),
        )
        reader.end()
        return apdu


def _encode_quality(quality: int | None) -> bytes:
    return b"\x00" if quality is None else b"\x01" + quality.to_bytes(1, signed=True)


def _read_quality(reader: Reader) -> int | None:
    return reader.signed(1, "quality-of-service") if reader.present("quality-of-service") else None
