# SPDX-License-Identifier: Apache-2.0
"""The registries of CoAP: types, codes, options, content formats (RFC 7252, 12; RFC 7959, 6)."""

from collections.abc import Mapping
from enum import Enum, IntEnum
from types import MappingProxyType
from typing import Final, NamedTuple


class Type(IntEnum):
    """What a message is to the message layer (RFC 7252, 4)."""

    CON = 0
    """Confirmable: repeated until it is acknowledged."""
    NON = 1
    """Non-confirmable."""
    ACK = 2
    """Acknowledgement, perhaps with the response in it."""
    RST = 3
    """Reset: the message has no meaning here."""


class Code(IntEnum):
    """Methods and response codes: class in the upper three bits, detail in the lower five."""

    EMPTY = 0x00
    GET = 0x01
    POST = 0x02
    PUT = 0x03
    DELETE = 0x04
    FETCH = 0x05
    PATCH = 0x06
    IPATCH = 0x07
    CREATED = 0x41
    DELETED = 0x42
    VALID = 0x43
    CHANGED = 0x44
    CONTENT = 0x45
    CONTINUE = 0x5F
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    METHOD_NOT_ALLOWED = 0x85
    NOT_ACCEPTABLE = 0x86
    REQUEST_ENTITY_INCOMPLETE = 0x88
    CONFLICT = 0x89
    PRECONDITION_FAILED = 0x8C
    REQUEST_ENTITY_TOO_LARGE = 0x8D
    UNSUPPORTED_CONTENT_FORMAT = 0x8F
    INTERNAL_SERVER_ERROR = 0xA0
    NOT_IMPLEMENTED = 0xA1
    BAD_GATEWAY = 0xA2
    SERVICE_UNAVAILABLE = 0xA3
    GATEWAY_TIMEOUT = 0xA4
    PROXYING_NOT_SUPPORTED = 0xA5


def is_request(code: int) -> bool:
    """Tell whether a code is a method."""
    return 0 < code < 0x20


def is_response(code: int) -> bool:
    """Tell whether a code is a response: classes 2, 4 and 5."""
    return code >> 5 in {2, 4, 5}


def is_success(code: int) -> bool:
    """Tell whether a response says that all went well."""
    return code >> 5 == 2


def code_text(code: int) -> str:
    """Return a code as the standard prints it: ``2.04 changed``."""
    dotted = f"{code >> 5}.{code & 0x1F:02d}"
    try:
        name = Code(code).name.lower().replace("_", " ")
    except ValueError:
        return dotted
    return name.upper() if is_request(code) else f"{dotted} {name}"


class OptionNumber(IntEnum):
    """Options by number; an odd one is critical: who does not know it refuses the message."""

    IF_MATCH = 1
    URI_HOST = 3
    ETAG = 4
    IF_NONE_MATCH = 5
    OBSERVE = 6
    URI_PORT = 7
    LOCATION_PATH = 8
    OSCORE = 9
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    ACCEPT = 17
    LOCATION_QUERY = 20
    BLOCK2 = 23
    BLOCK1 = 27
    SIZE2 = 28
    PROXY_URI = 35
    PROXY_SCHEME = 39
    SIZE1 = 60
    ECHO = 252
    NO_RESPONSE = 258
    REQUEST_TAG = 292


class Format(Enum):
    """What the value of an option is (RFC 7252, 3.2)."""

    EMPTY = "empty"
    OPAQUE = "opaque"
    UINT = "uint"
    STRING = "string"


class OptionRow(NamedTuple):
    """A row of table 4 of RFC 7252: shortest and longest value in octets."""

    form: Format
    shortest: int
    longest: int
    repeatable: bool = False


_N: Final = OptionNumber
OPTIONS: Final[Mapping[int, OptionRow]] = MappingProxyType(
    {
        _N.IF_MATCH: OptionRow(Format.OPAQUE, 0, 8, repeatable=True),
        _N.URI_HOST: OptionRow(Format.STRING, 1, 255),
        _N.ETAG: OptionRow(Format.OPAQUE, 1, 8, repeatable=True),
        _N.IF_NONE_MATCH: OptionRow(Format.EMPTY, 0, 0),
        _N.OBSERVE: OptionRow(Format.UINT, 0, 3),
        _N.URI_PORT: OptionRow(Format.UINT, 0, 2),
        _N.LOCATION_PATH: OptionRow(Format.STRING, 0, 255, repeatable=True),
        _N.URI_PATH: OptionRow(Format.STRING, 0, 255, repeatable=True),
        _N.CONTENT_FORMAT: OptionRow(Format.UINT, 0, 2),
        _N.MAX_AGE: OptionRow(Format.UINT, 0, 4),
        _N.URI_QUERY: OptionRow(Format.STRING, 0, 255, repeatable=True),
        _N.ACCEPT: OptionRow(Format.UINT, 0, 2),
        _N.LOCATION_QUERY: OptionRow(Format.STRING, 0, 255, repeatable=True),
        _N.BLOCK2: OptionRow(Format.UINT, 0, 3),
        _N.BLOCK1: OptionRow(Format.UINT, 0, 3),
        _N.SIZE2: OptionRow(Format.UINT, 0, 4),
        _N.SIZE1: OptionRow(Format.UINT, 0, 4),
    }
)
"""What this room understands; other critical options are refused with 4.02."""


def is_critical(number: int) -> bool:
    """Tell whether who does not know this option must refuse the message (RFC 7252, 5.4.1)."""
    return bool(number & 1)


def is_cache_key(number: int) -> bool:
    """Tell whether the option is part of what a request asks for (RFC 7252, 5.4.2)."""
    return number & 0x1E != 0x1C


class ContentFormat(IntEnum):
    """What a payload is (RFC 7252, 12.3)."""

    TEXT_PLAIN = 0
    LINK_FORMAT = 40
    OCTET_STREAM = 42
    CBOR = 60
    SENML_JSON = 110
    SENML_CBOR = 112
    LWM2M_TLV = 11542
