# SPDX-License-Identifier: Apache-2.0
"""Opening and releasing an application association: AARQ, AARE, RLRQ, RLRE.

DLMS UA 1000-2 Ed. 10, 9.4.2 (services) and 9.5 (abstract syntax, tags 60 to 63, BER).
Each APDU is a table of fields in the order of the standard; `acse_fields` interprets it.  Fields
are written in that order and read in any.  The xDLMS part (InitiateRequest, InitiateResponse,
ciphered or not, or a ConfirmedServiceError) travels as octets in `user_information`.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, Final, Self, TypeAlias

from openami.dlms.apdu.acse_fields import (
    BitStringField,
    ExplicitInteger,
    ExplicitOctets,
    Field,
    OctetsField,
    SmallInteger,
    SourceDiagnostic,
    decode_fields,
    encode_fields,
)
from openami.dlms.apdu.codes import Code, MechanismName
from openami.dlms.datatypes import BitString


class ApplicationContextName(bytes, Enum):
    """Application context names: the contents of their object identifiers, 2.16.756.5.8.1.n."""

    LN = bytes.fromhex("60857405080101")
    SN = bytes.fromhex("60857405080102")
    LN_CIPHERED = bytes.fromhex("60857405080103")
    SN_CIPHERED = bytes.fromhex("60857405080104")

    @property
    def ciphered(self) -> bool:
        """Whether APDUs may be ciphered in this context."""
        return self in {type(self).LN_CIPHERED, type(self).SN_CIPHERED}


AUTHENTICATION: Final = BitString(b"\x80", 1)
"""The one ACSE requirement there is: bit 0, the authentication functional unit."""


class AssociationResult(Code):
    """Association-result of the AARE."""

    ACCEPTED = 0
    REJECTED_PERMANENT = 1
    REJECTED_TRANSIENT = 2


class AcseServiceUser(Code):
    """Associate-source-diagnostic, acse-service-user: what the application found."""

    NULL = 0
    NO_REASON_GIVEN = 1
    APPLICATION_CONTEXT_NAME_NOT_SUPPORTED = 2
    CALLING_AP_TITLE_NOT_RECOGNIZED = 3
    CALLING_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 4
    CALLING_AE_QUALIFIER_NOT_RECOGNIZED = 5
    CALLING_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 6
    CALLED_AP_TITLE_NOT_RECOGNIZED = 7
    CALLED_AP_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 8
    CALLED_AE_QUALIFIER_NOT_RECOGNIZED = 9
    CALLED_AE_INVOCATION_IDENTIFIER_NOT_RECOGNIZED = 10
    AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED = 11
    AUTHENTICATION_MECHANISM_NAME_REQUIRED = 12
    AUTHENTICATION_FAILURE = 13
    AUTHENTICATION_REQUIRED = 14


class AcseServiceProvider(Code):
    """Associate-source-diagnostic, acse-service-provider: what the protocol found."""

    NULL = 0
    NO_REASON_GIVEN = 1
    NO_COMMON_ACSE_VERSION = 2


Diagnostic: TypeAlias = AcseServiceUser | AcseServiceProvider


class ReleaseRequestReason(Code):
    """Release-request-reason of the RLRQ."""

    NORMAL = 0
    URGENT = 1
    USER_DEFINED = 30


class ReleaseResponseReason(Code):
    """Release-response-reason of the RLRE."""

    NORMAL = 0
    NOT_FINISHED = 1
    USER_DEFINED = 30


def _object_identifier(names: type[ApplicationContextName | MechanismName]) -> Any:  # noqa: ANN401
    """Return what makes a name of known octets, and leaves others as they are."""
    known: dict[bytes, bytes] = {bytes(name): name for name in names}
    return lambda octets: known.get(octets, octets)


_CONTEXT_NAME: Final = ExplicitOctets(
    0xA1, "application_context_name", 0x06, _object_identifier(ApplicationContextName)
)
_IMPLEMENTATION_INFORMATION: Final = OctetsField(0x9D, "implementation_information")
_USER_INFORMATION: Final = ExplicitOctets(0xBE, "user_information", 0x04)

# [29] is IMPLICIT GraphicString, so primitive; some clients send it constructed.
_TOLERATED: Final = {0xBD: 0x9D}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aarq:
    """Ask to open an association: AARQ.

    ====  ===========================  ==================================================
    tag   field                        contents
    ====  ===========================  ==================================================
    60                                 the APDU
    80    protocol_version             bit string, absent for version 1
    A1    application_context_name     06 and 7 octets
    A2    called_ap_title              04, octets
    A3    called_ae_qualifier          04, octets
    A4    called_ap_invocation_id      02, integer
    A5    called_ae_invocation_id      02, integer
    A6    calling_ap_title             04 08, system title of the client
    A7    calling_ae_qualifier         04, signing certificate of the client
    A8    calling_ap_invocation_id     02, integer
    A9    calling_ae_invocation_id     02 01, user id
    8A    sender_acse_requirements     bit string; bit 0 authentication
    8B    mechanism_name               7 octets
    AC    calling_authentication_value 80, password or challenge
    9D    implementation_information   text
    BE    user_information             04, InitiateRequest
    ====  ===========================  ==================================================
    """

    TAG: ClassVar = 0x60
    FIELDS: ClassVar[tuple[Field, ...]] = (
        BitStringField(0x80, "protocol_version"),
        _CONTEXT_NAME,
        ExplicitOctets(0xA2, "called_ap_title", 0x04),
        ExplicitOctets(0xA3, "called_ae_qualifier", 0x04),
        ExplicitInteger(0xA4, "called_ap_invocation_id"),
        ExplicitInteger(0xA5, "called_ae_invocation_id"),
        ExplicitOctets(0xA6, "calling_ap_title", 0x04),
        ExplicitOctets(0xA7, "calling_ae_qualifier", 0x04),
        ExplicitInteger(0xA8, "calling_ap_invocation_id"),
        ExplicitInteger(0xA9, "calling_ae_invocation_id"),
        BitStringField(0x8A, "sender_acse_requirements"),
        OctetsField(0x8B, "mechanism_name", _object_identifier(MechanismName)),
        ExplicitOctets(0xAC, "calling_authentication_value", 0x80),
        _IMPLEMENTATION_INFORMATION,
        _USER_INFORMATION,
    )

    protocol_version: BitString | None = None
    application_context_name: bytes
    called_ap_title: bytes | None = None
    called_ae_qualifier: bytes | None = None
    called_ap_invocation_id: int | None = None
    called_ae_invocation_id: int | None = None
    calling_ap_title: bytes | None = None
    calling_ae_qualifier: bytes | None = None
    calling_ap_invocation_id: int | None = None
    calling_ae_invocation_id: int | None = None
    sender_acse_requirements: BitString | None = None
    mechanism_name: bytes | None = None
    calling_authentication_value: bytes | None = field(default=None, repr=False)
    implementation_information: bytes | None = None
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return encode_fields(self.TAG, self.FIELDS, self)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        return cls(
            **decode_fields(
                octets, cls.TAG, cls.FIELDS, _TOLERATED, required=("application_context_name",)
            )
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Aare:
    """Answer whether an association opens: AARE.

    ====  ===============================  ==============================================
    tag   field                            contents
    ====  ===============================  ==============================================
    61                                     the APDU
    80    protocol_version                 bit string, absent for version 1
    A1    application_context_name         06 and 7 octets
    A2    result                           02 01, 0 accepted, 1 permanent, 2 transient
    A3    result_source_diagnostic         A1 (user) or A2 (provider), 02 01, number
    A4    responding_ap_title              04 08, system title of the server
    A5    responding_ae_qualifier          04, signing certificate of the server
    A6    responding_ap_invocation_id      02, integer
    A7    responding_ae_invocation_id      02, integer
    88    responder_acse_requirements      bit string; bit 0 authentication
    89    mechanism_name                   7 octets
    AA    responding_authentication_value  80, challenge
    9D    implementation_information       text
    BE    user_information                 04, InitiateResponse or ConfirmedServiceError
    ====  ===============================  ==============================================
    """

    TAG: ClassVar = 0x61
    FIELDS: ClassVar[tuple[Field, ...]] = (
        BitStringField(0x80, "protocol_version"),
        _CONTEXT_NAME,
        ExplicitInteger(0xA2, "result", AssociationResult),
        SourceDiagnostic(
            0xA3, "result_source_diagnostic", {0xA1: AcseServiceUser, 0xA2: AcseServiceProvider}
        ),
        ExplicitOctets(0xA4, "responding_ap_title", 0x04),
        ExplicitOctets(0xA5, "responding_ae_qualifier", 0x04),
        ExplicitInteger(0xA6, "responding_ap_invocation_id"),
        ExplicitInteger(0xA7, "responding_ae_invocation_id"),
        BitStringField(0x88, "responder_acse_requirements"),
        OctetsField(0x89, "mechanism_name", _object_identifier(MechanismName)),
        ExplicitOctets(0xAA, "responding_authentication_value", 0x80),
        _IMPLEMENTATION_INFORMATION,
        _USER_INFORMATION,
    )

    protocol_version: BitString | None = None
    application_context_name: bytes
    result: AssociationResult
    result_source_diagnostic: Diagnostic
    responding_ap_title: bytes | None = None
    responding_ae_qualifier: bytes | None = None
    responding_ap_invocation_id: int | None = None
    responding_ae_invocation_id: int | None = None
    responder_acse_requirements: BitString | None = None
    mechanism_name: bytes | None = None
    responding_authentication_value: bytes | None = None
    implementation_information: bytes | None = None
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return encode_fields(self.TAG, self.FIELDS, self)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        required = ("application_context_name", "result", "result_source_diagnostic")
        return cls(**decode_fields(octets, cls.TAG, cls.FIELDS, _TOLERATED, required=required))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlrq:
    """Ask to release the association: RLRQ.

    ====  =================  ====================================================
    tag   field              contents
    ====  =================  ====================================================
    62                       the APDU
    80    reason             0 normal, 1 urgent, 30 user defined
    BE    user_information   04, in a ciphered association the InitiateRequest
    ====  =================  ====================================================
    """

    TAG: ClassVar = 0x62
    FIELDS: ClassVar[tuple[Field, ...]] = (
        SmallInteger(0x80, "reason", ReleaseRequestReason),
        _USER_INFORMATION,
    )

    reason: ReleaseRequestReason | None = None
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return encode_fields(self.TAG, self.FIELDS, self)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        return cls(**decode_fields(octets, cls.TAG, cls.FIELDS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rlre:
    """Answer that the association is released: RLRE.

    ====  =================  ====================================================
    tag   field              contents
    ====  =================  ====================================================
    63                       the APDU
    80    reason             0 normal, 1 not finished, 30 user defined
    BE    user_information   04, in a ciphered association the InitiateResponse
    ====  =================  ====================================================
    """

    TAG: ClassVar = 0x63
    FIELDS: ClassVar[tuple[Field, ...]] = (
        SmallInteger(0x80, "reason", ReleaseResponseReason),
        _USER_INFORMATION,
    )

    reason: ReleaseResponseReason | None = None
    user_information: bytes | None = None

    def encode(self) -> bytes:
        return encode_fields(self.TAG, self.FIELDS, self)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        return cls(**decode_fields(octets, cls.TAG, cls.FIELDS))
