# SPDX-License-Identifier: Apache-2.0
"""Codes that services share: results, names of authentication mechanisms (IEC 62056-5-3, 9.5)."""

from enum import Enum, IntEnum
from typing import Self


class Code(IntEnum):
    """An ENUMERATED octet; a number that the standard leaves open is kept as ``RESERVED_n``.

    Meters in the field answer with numbers of their own.  A reading must not fail over one, and
    encoding must give back what arrived.
    """

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int) or not 0 <= value <= 0xFF:
            return None
        member = int.__new__(cls, value)
        member._name_ = f"RESERVED_{value}"
        member._value_ = value
        return member

    def __str__(self) -> str:
        return self.name.lower().replace("_", "-")


class DataAccessResult(Code):
    """Data-Access-Result: why an attribute was not read or written."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_GET_ABORTED = 15
    NO_LONG_GET_IN_PROGRESS = 16
    LONG_SET_ABORTED = 17
    NO_LONG_SET_IN_PROGRESS = 18
    DATA_BLOCK_NUMBER_INVALID = 19
    OTHER_REASON = 250


class ActionResult(Code):
    """Action-Result: how a method ended."""

    SUCCESS = 0
    HARDWARE_FAULT = 1
    TEMPORARY_FAILURE = 2
    READ_WRITE_DENIED = 3
    OBJECT_UNDEFINED = 4
    OBJECT_CLASS_INCONSISTENT = 9
    OBJECT_UNAVAILABLE = 11
    TYPE_UNMATCHED = 12
    SCOPE_OF_ACCESS_VIOLATED = 13
    DATA_BLOCK_UNAVAILABLE = 14
    LONG_ACTION_ABORTED = 15
    NO_LONG_ACTION_IN_PROGRESS = 16
    OTHER_REASON = 250


class MechanismName(bytes, Enum):
    """Authentication mechanism names: object identifiers 2.16.756.5.8.2.n."""

    LOWEST = bytes.fromhex("60857405080200")
    LLS = bytes.fromhex("60857405080201")
    HLS = bytes.fromhex("60857405080202")
    HLS_MD5 = bytes.fromhex("60857405080203")
    HLS_SHA1 = bytes.fromhex("60857405080204")
    HLS_GMAC = bytes.fromhex("60857405080205")
    HLS_SHA256 = bytes.fromhex("60857405080206")
    HLS_ECDSA = bytes.fromhex("60857405080207")
