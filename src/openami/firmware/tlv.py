# SPDX-License-Identifier: Apache-2.0
"""Type, length, value: what follows the payload of an image (MCUboot design, "Image format").

======  =======  =====================================================================
octets  field    value of one area
======  =======  =====================================================================
2       magic    6908 protected, 6907 unprotected; all numbers little-endian
2       total    octets of the area, these four included
2       type     of an entry
2       length   of its value
length  value    the next entry follows at once, without alignment
======  =======  =====================================================================

The protected area is hashed with header and payload; the unprotected one holds what is made of
the hash.  `RULES` says where each type may stand, how long it is and how often it may come:
what a signature must cover is refused where it does not.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, unique
from typing import Final, NamedTuple

from openami.firmware.errors import ImageError, Reason

INFO: Final = struct.Struct("<HH")
ENTRY: Final = struct.Struct("<HH")
LONGEST_AREA: Final = 0xFFFF
VENDOR: Final = range(0xA0, 0xFFFF)
"""Types that vendors may use."""


@unique
class TlvType(IntEnum):
    """Types that have a meaning in MCUboot."""

    KEYHASH = 0x01
    PUBKEY = 0x02
    SHA256 = 0x10
    SHA384 = 0x11
    SHA512 = 0x12
    RSA2048_PSS = 0x20
    ECDSA_SIG = 0x22
    RSA3072_PSS = 0x23
    ED25519 = 0x24
    SIG_PURE = 0x25
    ENC_RSA2048 = 0x30
    ENC_KW = 0x31
    ENC_EC256 = 0x32
    ENC_X25519 = 0x33
    ENC_X25519_SHA512 = 0x34
    DEPENDENCY = 0x40
    SEC_CNT = 0x50
    BOOT_RECORD = 0x60
    DECOMP_SIZE = 0x70
    DECOMP_SHA = 0x71
    DECOMP_SIGNATURE = 0x72
    COMP_DEC_SIZE = 0x73
    UUID_VID = 0x74
    UUID_CID = 0x75


class Area(Enum):
    """The two areas, with their magic numbers."""

    PROTECTED = 0x6908
    UNPROTECTED = 0x6907

    @property
    def word(self) -> str:
        return self.name.lower()


class Rule(NamedTuple):
    """Where a type may stand, the octets of its value, and whether it may come again."""

    area: Area
    lengths: range | tuple[int, ...]
    repeats: bool = False


_P: Final = Area.PROTECTED
_U: Final = Area.UNPROTECTED
_T: Final = TlvType

RULES: Final[Mapping[TlvType, Rule]] = {
    _T.KEYHASH: Rule(_U, (32, 48, 64), repeats=True),
    _T.PUBKEY: Rule(_U, range(32, 600), repeats=True),
    _T.SHA256: Rule(_U, (32,)),
    _T.SHA384: Rule(_U, (48,)),
    _T.SHA512: Rule(_U, (64,)),
    _T.RSA2048_PSS: Rule(_U, (256,), repeats=True),
    _T.ECDSA_SIG: Rule(_U, range(8, 105), repeats=True),
    _T.RSA3072_PSS: Rule(_U, (384,), repeats=True),
    _T.ED25519: Rule(_U, (64,), repeats=True),
    _T.SIG_PURE: Rule(_U, (1,)),
    _T.ENC_RSA2048: Rule(_U, (256,)),
    _T.ENC_KW: Rule(_U, (24, 40)),
    _T.ENC_EC256: Rule(_U, (113, 129)),
    _T.ENC_X25519: Rule(_U, (80, 96)),
    _T.ENC_X25519_SHA512: Rule(_U, (112, 128)),
    _T.DEPENDENCY: Rule(_P, (12,), repeats=True),
    _T.SEC_CNT: Rule(_P, (4,)),
    _T.BOOT_RECORD: Rule(_P, range(1, 256)),
    _T.DECOMP_SIZE: Rule(_P, (4,)),
    _T.DECOMP_SHA: Rule(_P, (32, 48, 64)),
    _T.DECOMP_SIGNATURE: Rule(_P, range(8, 385)),
    _T.COMP_DEC_SIZE: Rule(_P, (4,)),
    _T.UUID_VID: Rule(_P, (16,)),
    _T.UUID_CID: Rule(_P, (16,)),
}
VENDOR_RULE: Final = Rule(Area.PROTECTED, range(LONGEST_AREA))

SIGNATURES: Final = frozenset({_T.RSA2048_PSS, _T.ECDSA_SIG, _T.RSA3072_PSS, _T.ED25519})
HASHES: Final = frozenset({_T.SHA256, _T.SHA384, _T.SHA512})
WRAPPED_KEYS: Final = frozenset(
    {_T.ENC_RSA2048, _T.ENC_KW, _T.ENC_EC256, _T.ENC_X25519, _T.ENC_X25519_SHA512}
)
COMPRESSION: Final = frozenset(
    {_T.DECOMP_SIZE, _T.DECOMP_SHA, _T.DECOMP_SIGNATURE, _T.COMP_DEC_SIZE}
)


@dataclass(frozen=True, slots=True)
class Tlv:
    """One entry."""

    type: int
    value: bytes

    def encode(self) -> bytes:
        return ENTRY.pack(self.type, len(self.value)) + self.value

    @property
    def name(self) -> str:
        """The type in MCUboot's words, or as a number."""
        return type_name(self.type)


def type_name(number: int) -> str:
    """Return a type in MCUboot's words; a vendor's as a number."""
    try:
        return TlvType(number).name
    except ValueError:
        return f"vendor {number:04X}" if number in VENDOR else f"{number:04X}"


def rule_of(number: int) -> Rule | None:
    """Return the rule of a type; None for one that nobody knows."""
    if number in VENDOR:
        return VENDOR_RULE
    try:
        return RULES[TlvType(number)]
    except ValueError:
        return None


def encode_area(area: Area, tlvs: tuple[Tlv, ...]) -> bytes:
    """Return an area; a protected one without entries is not there at all."""
    if area is Area.PROTECTED and not tlvs:
        return b""
    entries = b"".join(tlv.encode() for tlv in tlvs)
    total = INFO.size + len(entries)
    if total > LONGEST_AREA:
        raise ValueError(f"the {area.word} TLVs have {total} octets, at most {LONGEST_AREA} fit")
    return INFO.pack(area.value, total) + entries


def decode_area(octets: bytes, start: int, area: Area) -> tuple[tuple[Tlv, ...], int]:
    """Return the entries of the area at `start`, and the offset behind it.

    Raises:
        ImageError: Octets that break a rule of the areas, or an entry that breaks its `RULES`.
    """
    if start + INFO.size > len(octets):
        detail = f"the {area.word} TLVs need {INFO.size} octets, {len(octets) - start} are left"
        raise ImageError(Reason.TRUNCATED, detail, f"octet {start}")
    magic, total = INFO.unpack_from(octets, start)
    if magic != area.value:
        detail = f"magic {magic:04X}, not {area.value:04X} of the {area.word} TLVs"
        raise ImageError(Reason.TLV_MAGIC, detail, f"octet {start}")
    if total < INFO.size:
        detail = f"the {area.word} area has {total} octets, less than its own head"
        raise ImageError(Reason.TLV_SIZE, detail, f"octet {start + 2}")
    if total == INFO.size and area is Area.PROTECTED:
        detail = "a protected area without TLVs"
        raise ImageError(Reason.TLV_SIZE, detail, f"octet {start + 2}")
    end = start + total
    if end > len(octets):
        detail = f"the {area.word} area has {total} octets, {len(octets) - start} are left"
        raise ImageError(Reason.TRUNCATED, detail, f"octet {start + 2}")
    found: list[Tlv] = []
    seen: set[int] = set()
    at = start + INFO.size
    while at < end:
        tlv, after = _entry(octets, at, end, area)
        _accept(tlv, at, area, lambda number: number in seen)
        if tlv in found:
            raise ImageError(Reason.TLV_DUPLICATE, f"{tlv.name}, word for word", f"octet {at}")
        seen.add(tlv.type)
        found.append(tlv)
        at = after
    return tuple(found), end


def _entry(octets: bytes, at: int, end: int, area: Area) -> tuple[Tlv, int]:
    if at + ENTRY.size > end:
        detail = f"{end - at} octets are left in the {area.word} area, an entry needs {ENTRY.size}"
        raise ImageError(Reason.TLV_SIZE, detail, f"octet {at}")
    number, length = ENTRY.unpack_from(octets, at)
    value = at + ENTRY.size
    if value + length > end:
        detail = (
            f"{type_name(number)} has {length} octets, {end - value} are left in the "
            f"{area.word} area"
        )
        raise ImageError(Reason.TLV_SIZE, detail, f"octet {at + 2}")
    return Tlv(number, octets[value : value + length]), value + length


def _accept(tlv: Tlv, at: int, area: Area, seen: Callable[[int], bool]) -> None:
    rule = rule_of(tlv.type)
    if rule is None:
        raise ImageError(Reason.TLV_UNKNOWN, tlv.name, f"octet {at}")
    if rule.area is not area:
        wrong = Reason.TLV_UNPROTECTED if area is Area.UNPROTECTED else Reason.TLV_PROTECTED
        raise ImageError(wrong, tlv.name, f"octet {at}")
    if len(tlv.value) not in rule.lengths:
        raise ImageError(
            Reason.TLV_LENGTH, f"{tlv.name} has {len(tlv.value)} octets", f"octet {at + 2}"
        )
    if seen(tlv.type) and not rule.repeats:
        raise ImageError(Reason.TLV_DUPLICATE, tlv.name, f"octet {at}")
