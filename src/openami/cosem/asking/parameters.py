# SPDX-License-Identifier: Apache-2.0
"""Who a client is, and how it associates (DLMS UA 1000-2 Ed. 10, 9.4.4)."""

from dataclasses import dataclass, field
from typing import Final

from openami.cosem.asking.base_names import BaseNames
from openami.dlms.apdu.ciphered import AuthenticatedHeader
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.association import ApplicationContext
from openami.dlms.block_transfer import DEFAULT_WINDOW
from openami.dlms.hls import ManufacturerProof, Mechanism, encrypted_challenge
from openami.dlms.sap import MANAGEMENT_LOGICAL_DEVICE, PUBLIC_CLIENT
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.credentials import Credentials, KeyScheme
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    SecurityControl,
    SecurityPolicy,
)

UNLIMITED_PDU_OCTETS: Final = 0xFFFF

LONGEST_VALUE_OCTETS: Final = 64 * 2**20
"""A meter that sends more than this in blocks is stopped."""

DEFAULT_CONFORMANCE: Final = (
    Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
    | Conformance.BLOCK_TRANSFER_WITH_ACTION
    | Conformance.MULTIPLE_REFERENCES
    | Conformance.GET
    | Conformance.SET
    | Conformance.SELECTIVE_ACCESS
    | Conformance.ACTION
)
"""What every meter is asked for."""
ALL_SERVICES: Final = (
    DEFAULT_CONFORMANCE
    | Conformance.GENERAL_BLOCK_TRANSFER
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET
    | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET
    | Conformance.DATA_NOTIFICATION
    | Conformance.ACCESS
    | Conformance.EVENT_NOTIFICATION
)
"""All that the client can do by logical names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientParameters:
    """Who the client is, and how it associates.

    Attributes:
        client_sap: The client's service access point.
        server_sap: The logical device's.
        mechanism: How to authenticate.
        secret: The password of LLS, or the secret of HLS of the manufacturer or with a hash.
        manufacturer: What mechanism 2 computes from secret and challenge.
        cipher: The global keys; with them the application context is ciphered.
        plain_context: Keep the application context plain though there are keys: they serve HLS
            with GMAC alone.
        system_title: The client's; needed with keys.
        server_title: The meter's, if it is known: no other may answer.
        policy: The least protection of requests and responses.
        general: Use general-glo-ciphering instead of the tags of each service, if the meter
            negotiates it.
        dedicated_key: Protects the services of this association instead of the global key.
        conformance: What is proposed.
        max_receive_pdu_octets: The longest APDU the client takes.
        challenge_octets: Length of the client's challenge, 8 to 64; 0 for that which the
            mechanism asks for.
        credentials: For HLS with ECDSA, signatures, and keys that travel with an APDU.
        control: How services are ciphered, where that is not authenticated and encrypted.
        scheme: Protect services in general-ciphering, with a key of this scheme.
        general_header: Whether the header of general-ciphering is under its tag, as the standard
            has it, or left out, as some meters have it.
        sign: Sign services even where the policy does not ask for it.
        user_id: Who uses this client, where the meter tells users apart: the
            calling-AE-invocation-identifier.
        short_names: Refer by short name, with what is known of the meter's; `conformance` means
            the same as for logical names.
        confirmed: Whether the meter is to answer; without it the AARQ is not answered either, and
            the meter is believed to grant what is proposed.
        pre_established: Whether the association stands without an AARQ; the meter is believed to
            grant what would be proposed, and there is nothing to release.
        server_max_receive_pdu_octets: The longest APDU that the meter takes, where no AARE tells.
        general_blocks: Whether general block transfer, where it is negotiated, goes before the
            blocks of GET, SET and ACTION.  The first request then goes as a block, which tells
            the meter that we can do it, and our window.
        block_window: How many blocks of a general block transfer we take in one go, 1 to 63.
    """

    client_sap: int = PUBLIC_CLIENT
    server_sap: int = MANAGEMENT_LOGICAL_DEVICE
    mechanism: Mechanism = Mechanism.LOWEST
    secret: bytes = field(default=b"", repr=False)
    manufacturer: ManufacturerProof = encrypted_challenge
    cipher: Cipher | None = field(default=None, repr=False)
    plain_context: bool = False
    system_title: bytes = b""
    server_title: bytes = b""
    policy: SecurityPolicy = AUTHENTICATED_AND_ENCRYPTED
    general: bool = False
    dedicated_key: bytes | None = field(default=None, repr=False)
    conformance: Conformance = DEFAULT_CONFORMANCE
    max_receive_pdu_octets: int = UNLIMITED_PDU_OCTETS
    challenge_octets: int = 0
    credentials: Credentials | None = field(default=None, repr=False)
    control: SecurityControl | None = None
    scheme: KeyScheme | None = None
    general_header: AuthenticatedHeader = AuthenticatedHeader.STANDARD
    sign: bool = False
    user_id: int | None = None
    short_names: BaseNames | None = None
    confirmed: bool = True
    pre_established: bool = False
    server_max_receive_pdu_octets: int = UNLIMITED_PDU_OCTETS
    general_blocks: bool = True
    block_window: int = DEFAULT_WINDOW

    @property
    def application_context(self) -> ApplicationContext:
        """Logical or short names, ciphered if there are keys for it."""
        return ApplicationContext.of(
            short_names=self.short_names is not None, ciphered=self.service_cipher is not None
        )

    @property
    def service_cipher(self) -> Cipher | None:
        """What protects services; None in a plain context."""
        return None if self.plain_context else self.cipher
