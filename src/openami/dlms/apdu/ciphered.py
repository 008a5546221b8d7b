# SPDX-License-Identifier: Apache-2.0
"""Envelopes of protected APDUs: which tags, which header fields.

DLMS UA 1000-2 Ed. 10, 9.2.7.2 (ciphered APDUs) and 9.5 (abstract syntax).  Three kinds::

    glo-, ded-get-request ...     tag | length | SC | IC | body          one tag for each service
    general-glo-, -ded-ciphering  DB, DC | system title | length | SC | IC | body
    general-ciphering             DD | header | key info | length | SC | IC | body

The octets from SC on are made by `security.ciphering`; here they are `ciphered_service`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from types import MappingProxyType
from typing import ClassVar, Final, NamedTuple, Self, assert_never

from openami.dlms.axdr import Reader, encode_octet_string
from openami.dlms.errors import DecodeError, in_octets

CLAUSE: Final = "DLMS UA 1000-2 Ed. 10, 9.5"


class ServiceTags(NamedTuple):
    """One service in its three forms."""

    service: str
    plain: int
    glo: int
    ded: int


SERVICE_TAGS: Final = (
    ServiceTags("initiateRequest", 0x01, 0x21, 0x41),
    ServiceTags("readRequest", 0x05, 0x25, 0x45),
    ServiceTags("writeRequest", 0x06, 0x26, 0x46),
    ServiceTags("initiateResponse", 0x08, 0x28, 0x48),
    ServiceTags("readResponse", 0x0C, 0x2C, 0x4C),
    ServiceTags("writeResponse", 0x0D, 0x2D, 0x4D),
    ServiceTags("confirmedServiceError", 0x0E, 0x2E, 0x4E),
    ServiceTags("unconfirmedWriteRequest", 0x16, 0x36, 0x56),
    ServiceTags("informationReportRequest", 0x18, 0x38, 0x58),
    ServiceTags("get-request", 0xC0, 0xC8, 0xD0),
    ServiceTags("set-request", 0xC1, 0xC9, 0xD1),
    ServiceTags("event-notification-request", 0xC2, 0xCA, 0xD2),
    ServiceTags("action-request", 0xC3, 0xCB, 0xD3),
    ServiceTags("get-response", 0xC4, 0xCC, 0xD4),
    ServiceTags("set-response", 0xC5, 0xCD, 0xD5),
    ServiceTags("action-response", 0xC7, 0xCF, 0xD7),
)
"""Services with tags of their own; the others (data-notification, access) use the general kinds."""

BY_PLAIN: Final[Mapping[int, ServiceTags]] = MappingProxyType(
    {row.plain: row for row in SERVICE_TAGS}
)
BY_GLO: Final[Mapping[int, ServiceTags]] = MappingProxyType({row.glo: row for row in SERVICE_TAGS})
BY_DED: Final[Mapping[int, ServiceTags]] = MappingProxyType({row.ded: row for row in SERVICE_TAGS})

GENERAL_GLO_CIPHERING: Final = 0xDB
GENERAL_DED_CIPHERING: Final = 0xDC
GENERAL_CIPHERING: Final = 0xDD


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCiphering:
    """A glo- or ded- APDU with the tag of its service, e.g. glo-get-request.

    ======  ================  ========================
    octets  field             value
    ======  ================  ========================
    1       tag               see `SERVICE_TAGS`
    1 up    ciphered_service  length, SC, IC, body
    ======  ================  ========================
    """

    tag: int
    ciphered_service: bytes

    def encode(self) -> bytes:
        return bytes((self.tag,)) + encode_octet_string(self.ciphered_service)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets)
        tag = reader.unsigned(1, "APDU tag")
        if tag not in BY_GLO and tag not in BY_DED:
            raise DecodeError(f"{tag:02X} is no glo- or ded- tag", octets, 0, CLAUSE)
        apdu = cls(tag=tag, ciphered_service=reader.octet_string("ciphered service"))
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralGloCiphering:
    """General-Glo-Ciphering: any service under a global key, and who sent it.

    ======  ================  ======================================
    octets  field             value
    ======  ================  ======================================
    1       tag               DB
    1, 9    system_title      length 0 or 8, the sender's title
    1 up    ciphered_service  length, SC, IC, body
    ======  ================  ======================================
    """

    TAG: ClassVar[int] = GENERAL_GLO_CIPHERING

    system_title: bytes
    ciphered_service: bytes

    def encode(self) -> bytes:
        title = encode_octet_string(self.system_title)
        return bytes((self.TAG,)) + title + encode_octet_string(self.ciphered_service)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        title = reader.octet_string("system-title")
        if len(title) not in (0, 8):
            problem = f"system-title has {in_octets(len(title))}, neither 0 nor 8"
            raise reader.refusal(problem, back=len(title), clause=CLAUSE)
        apdu = cls(system_title=title, ciphered_service=reader.octet_string("ciphered-service"))
        reader.end()
        return apdu


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralDedCiphering(GeneralGloCiphering):
    """General-Ded-Ciphering: the same with tag DC, under the dedicated key."""

    TAG: ClassVar[int] = GENERAL_DED_CIPHERING


@unique
class KeyId(IntEnum):
    """Which global key an identified-key means."""

    GLOBAL_UNICAST_ENCRYPTION_KEY = 0
    GLOBAL_BROADCAST_ENCRYPTION_KEY = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentifiedKey:
    """A key that both sides hold; key-info choice 0."""

    key_id: KeyId


@dataclass(frozen=True, slots=True, kw_only=True)
class WrappedKey:
    """A key made for this APDU, wrapped (RFC 3394); key-info choice 1."""

    kek_id: int = 0
    """0: the master key."""
    key_ciphered_data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreedKey:
    """A key that both sides compute; key-info choice 2.  Computing it is not done here."""

    key_parameters: bytes
    """01: one-pass, C(1e, 1s); 02: static unified, C(0e, 2s)."""
    key_ciphered_data: bytes
    """The ephemeral public key and its signature; empty in the static scheme."""


KeyInfo = IdentifiedKey | WrappedKey | AgreedKey


def _encode_key_info(key_info: KeyInfo | None) -> bytes:
    match key_info:
        case None:
            return b"\x00"
        case IdentifiedKey():
            return bytes((1, 0, key_info.key_id))
        case WrappedKey():
            return bytes((1, 1, key_info.kek_id)) + encode_octet_string(key_info.key_ciphered_data)
        case AgreedKey():
            parameters = encode_octet_string(key_info.key_parameters)
            return b"\x01\x02" + parameters + encode_octet_string(key_info.key_ciphered_data)
        case _:
            assert_never(key_info)


def _read_key_info(reader: Reader) -> KeyInfo | None:
    if not reader.present("presence of key-info"):
        return None
    match reader.unsigned(1, "key-info"):
        case 0:
            number = reader.unsigned(1, "key-id")
            if number not in KeyId.__members__.values():
                raise reader.refusal(f"key-id {number} does not exist", back=1, clause=CLAUSE)
            return IdentifiedKey(key_id=KeyId(number))
        case 1:
            return WrappedKey(
                kek_id=reader.unsigned(1, "kek-id"),
                key_ciphered_data=reader.octet_string("key-ciphered-data"),
            )
        case 2:
            return AgreedKey(
                key_parameters=reader.octet_string("key-parameters"),
                key_ciphered_data=reader.octet_string("key-ciphered-data"),
            )
        case choice:
            raise reader.refusal(f"key-info choice {choice} is not 0 to 2", back=1, clause=CLAUSE)


class AuthenticatedHeader(Enum):
    """Whether the header of general-ciphering is under the tag.

    The standard puts it there.  Some meters in the field leave it out, and the only published
    example can be reproduced in neither form; so it can be chosen for each meter.
    """

    STANDARD = "standard"
    WITHOUT_HEADER = "without-header"


@dataclass(frozen=True, slots=True, kw_only=True)
class GeneralCiphering:
    """General-Ciphering: any service, between any two systems, with its own key.

    ======  =======================  ==========================================
    octets  field                    value
    ======  =======================  ==========================================
    1       tag                      DD
    1 up    transaction_id           length, octets
    1 up    originator_system_title  length, the sender's title
    1 up    recipient_system_title   length, title
    1 up    date_time                length, octets
    1 up    other_information        length, octets
    1 up    key_info                 00, or 01 and a choice
    1 up    ciphered_service         length, SC, IC, body
    ======  =======================  ==========================================
    """

    TAG: ClassVar = GENERAL_CIPHERING

    transaction_id: bytes
    originator_system_title: bytes
    recipient_system_title: bytes
    date_time: bytes = b""
    other_information: bytes = b""
    key_info: KeyInfo | None
    ciphered_service: bytes

    def header(self, form: AuthenticatedHeader = AuthenticatedHeader.STANDARD) -> bytes:
        """Return what of the header stands under the tag: each field with its length."""
        if form is AuthenticatedHeader.WITHOUT_HEADER:
            return b""
        return b"".join(
            map(
                encode_octet_string,
                (
                    self.transaction_id,
                    self.originator_system_title,
                    self.recipient_system_title,
                    self.date_time,
                    self.other_information,
                ),
            )
        )

    def encode(self) -> bytes:
        head = bytes((self.TAG,)) + self.header() + _encode_key_info(self.key_info)
        return head + encode_octet_string(self.ciphered_service)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        reader = Reader(octets).expect(cls.TAG, "APDU tag")
        apdu = cls(
            transaction_id=reader.octet_string("transaction-id"),
            originator_system_title=reader.octet_string("originator-system-title"),
            recipient_system_title=reader.octet_string("recipient-system-title"),
            date_time=reader.octet_string("date-time"),
            other_information=reader.octet_string("other-information"),
            key_info=_read_key_info(reader),
            ciphered_service=reader.octet_string("ciphered-content"),
        )
        reader.end()
        return apdu
