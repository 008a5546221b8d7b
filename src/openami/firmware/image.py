# SPDX-License-Identifier: Apache-2.0
"""An image in MCUboot's format: header, payload, TLVs, and what stands behind them.

======  ================  ==================================================================
octets  field             value; all numbers little-endian
======  ================  ==================================================================
4       magic             96F3B83D; FFFFFFFF is erased flash
4       load_addr         address, if flags say that it counts
2       hdr_size          octets of this header with its padding, at least 32
2       protect_tlv_size  octets of the protected TLVs with their head; 0 for none
4       img_size          octets of the payload
4       flags             `ImageFlag`
8       version           major u8, minor u8, revision u16, build u32
4       pad               0
n       padding           up to hdr_size
n       payload
n       TLVs              protected, then unprotected: `tlv`
n       rest              erased flash and, where an image fills its slot, a `trailer`
======  ================  ==================================================================

`Image.decode` accounts for every octet and trusts none: each sum is checked before anything is
read.  Whether an image is signed, and by whom, is the business of `verify`.
"""

import re
import struct
from dataclasses import dataclass, field, replace
from enum import IntFlag
from typing import Final, NamedTuple, Self

from openami.firmware.errors import ImageError, Reason
from openami.firmware.tlv import Area, Tlv, TlvType, decode_area, encode_area
from openami.firmware.trailer import ERASED, Trailer

HEADER: Final = struct.Struct("<IIHHIIBBHII")
MAGIC: Final = 0x96F3B83D
DEPENDENCY: Final = struct.Struct("<B3xBBHI")
_VERSION: Final = re.compile(r"(\d+)(?:\.(\d+)(?:\.(\d+)(?:\+(\d+))?)?)?")


class ImageFlag(IntFlag):
    """What a header says of its image."""

    PIC = 0x1
    ENCRYPTED_AES128 = 0x4
    ENCRYPTED_AES256 = 0x8
    NON_BOOTABLE = 0x10
    RAM_LOAD = 0x20
    ROM_FIXED = 0x100
    COMPRESSED_LZMA1 = 0x200
    COMPRESSED_LZMA2 = 0x400
    COMPRESSED_ARM_THUMB = 0x800


ENCRYPTED: Final = ImageFlag.ENCRYPTED_AES128 | ImageFlag.ENCRYPTED_AES256
COMPRESSED: Final = (
    ImageFlag.COMPRESSED_LZMA1 | ImageFlag.COMPRESSED_LZMA2 | ImageFlag.COMPRESSED_ARM_THUMB
)
NO_FLAGS: Final = ImageFlag(0)
ALL_FLAGS: Final = sum(ImageFlag)


class Version(NamedTuple):
    """A version, in the order in which versions are compared."""

    major: int
    minor: int = 0
    revision: int = 0
    build: int = 0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``1.2.3+4``; what is missing at the end is 0.

        Raises:
            ValueError: Says what does not fit.
        """
        found = _VERSION.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} is no version: write it as 1.2.3+4")
        version = cls(*(int(part or 0) for part in found.groups()))
        for part, bits in zip(version._fields, (8, 8, 16, 32), strict=True):
            if getattr(version, part) >> bits:
                raise ValueError(f"{part} of {text} needs more than {bits} bits")
        return version

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.revision}+{self.build}"


class Dependency(NamedTuple):
    """Another image that must be there, at least in a version."""

    image_id: int
    least: Version

    def encode(self) -> bytes:
        return DEPENDENCY.pack(self.image_id, *self.least)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the value of a dependency.

        Raises:
            ImageError: Its padding is not 0.
        """
        if any(octets[1:4]):
            detail = f"padding of a dependency is {octets[1:4].hex()}, not 000000"
            raise ImageError(Reason.TLV_VALUE, detail, TlvType.DEPENDENCY.name)
        image_id, *version = DEPENDENCY.unpack(octets)
        return cls(image_id, Version(*version))


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """The first 32 octets."""

    load_addr: int = 0
    hdr_size: int
    protect_tlv_size: int
    img_size: int
    flags: ImageFlag = NO_FLAGS
    version: Version

    def encode(self) -> bytes:
        sizes = (self.hdr_size, self.protect_tlv_size, self.img_size)
        return HEADER.pack(MAGIC, self.load_addr, *sizes, self.flags, *self.version, 0)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read the header at the front of `octets`.

        Raises:
            ImageError: There is none, or it breaks a rule.
        """
        if octets[:4] == ERASED * 4:
            raise ImageError(Reason.NO_IMAGE, "the magic number is FFFFFFFF", "octet 0")
        if len(octets) < 4:
            detail = f"a header needs {HEADER.size} octets, {len(octets)} are there"
            raise ImageError(Reason.TRUNCATED, detail, f"octet {len(octets)}")
        if int.from_bytes(octets[:4], "little") != MAGIC:
            detail = f"{octets[:4].hex().upper()}, not 3DB8F396"
            raise ImageError(Reason.MAGIC, detail, "octet 0")
        if len(octets) < HEADER.size:
            detail = f"a header needs {HEADER.size} octets, {len(octets)} are there"
            raise ImageError(Reason.TRUNCATED, detail, f"octet {len(octets)}")
        _, load_addr, hdr, protected, img, flags, *version, pad = HEADER.unpack_from(octets)
        if flags & ~ALL_FLAGS:
            detail = f"flags {flags & ~ALL_FLAGS:08X} are not known"
            raise ImageError(Reason.FLAGS, detail, "octet 16")
        header = cls(
            load_addr=load_addr,
            hdr_size=hdr,
            protect_tlv_size=protected,
            img_size=img,
            flags=ImageFlag(flags),
            version=Version(*version),
        )
        header._check(pad)
        return header

    def _check(self, pad: int) -> None:
        if self.hdr_size < HEADER.size:
            detail = f"hdr_size is {self.hdr_size}, at least {HEADER.size} is needed"
            raise ImageError(Reason.HEADER, detail, "octet 8")
        if not self.img_size:
            raise ImageError(Reason.HEADER, "img_size is 0: nothing could run", "octet 12")
        if pad:
            raise ImageError(Reason.HEADER, f"pad is {pad:08X}, not 0", "octet 28")
        for one, other in (
            (ImageFlag.ENCRYPTED_AES128, ImageFlag.ENCRYPTED_AES256),
            (ImageFlag.RAM_LOAD, ImageFlag.ROM_FIXED),
            (ImageFlag.COMPRESSED_LZMA1, ImageFlag.COMPRESSED_LZMA2),
        ):
            if one in self.flags and other in self.flags:
                detail = f"{one.name} and {other.name} exclude each other"
                raise ImageError(Reason.FLAGS, detail, "octet 16")

    @property
    def payload_end(self) -> int:
        """Offset behind the payload, where the TLVs begin."""
        return self.hdr_size + self.img_size

    @property
    def key_octets(self) -> int:
        """Octets of the key that encrypts the payload; 0 if it is not marked as encrypted."""
        if ImageFlag.ENCRYPTED_AES128 in self.flags:
            return 16
        return 32 if ImageFlag.ENCRYPTED_AES256 in self.flags else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A whole image; whether its payload is clear or encrypted, its octets do not say."""

    header: Header
    padding: bytes = field(default=b"", repr=False)
    payload: bytes = field(repr=False)
    protected: tuple[Tlv, ...] = ()
    unprotected: tuple[Tlv, ...] = ()
    rest: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        return self.signed + encode_area(Area.UNPROTECTED, self.unprotected) + self.rest

    @property
    def signed(self) -> bytes:
        """What is hashed: everything before the unprotected TLVs, the payload being clear."""
        front = self.header.encode() + self.padding + self.payload
        return front + encode_area(Area.PROTECTED, self.protected)

    @property
    def size(self) -> int:
        """Octets of the image, without what stands behind it."""
        areas = encode_area(Area.UNPROTECTED, self.unprotected)
        return self.header.payload_end + self.header.protect_tlv_size + len(areas)

    @property
    def trailer(self) -> Trailer | None:
        """The trailer of an image that fills its slot."""
        return Trailer.find(self.rest)

    @classmethod
    def decode(cls, octets: bytes, *, room: int | None = None) -> Self:
        """Read an image, and nothing but an image.

        Args:
            octets: A file, or the content of a slot.
            room: The end of the unprotected TLVs can be no further than this.

        Raises:
            ImageError: Says which rule is broken, and where.
        """
        header = Header.decode(octets)
        limit = len(octets) if room is None else room
        least = header.payload_end + header.protect_tlv_size + 4
        if room is not None and least > room:
            detail = f"it needs {least} octets or more, the slot has {room} for it"
            raise ImageError(Reason.TOO_LARGE, detail, "octet 12")
        if least > len(octets):
            detail = f"its header tells of {least} octets or more, {len(octets)} are there"
            raise ImageError(Reason.TRUNCATED, detail, f"octet {len(octets)}")
        at = header.payload_end
        protected: tuple[Tlv, ...] = ()
        if header.protect_tlv_size:
            start = at
            protected, at = decode_area(octets, start, Area.PROTECTED)
            if at - start != header.protect_tlv_size:
                detail = f"the header says {header.protect_tlv_size} octets, the area {at - start}"
                raise ImageError(Reason.TLV_SIZE, detail, f"octet {start + 2}")
        unprotected, end = decode_area(octets, at, Area.UNPROTECTED)
        if end > limit:
            detail = f"it has {end} octets, the slot has {limit} for it"
            raise ImageError(Reason.TOO_LARGE, detail, f"octet {limit}")
        image = cls(
            header=header,
            padding=octets[HEADER.size : header.hdr_size],
            payload=octets[header.hdr_size : header.payload_end],
            protected=protected,
            unprotected=unprotected,
            rest=octets[end:],
        )
        image._check_values(end)
        return image

    def _check_values(self, end: int) -> None:
        identities = [dependency.image_id for dependency in self.dependencies]
        if len(set(identities)) < len(identities):
            detail = "two dependencies on one image"
            raise ImageError(Reason.TLV_DUPLICATE, detail, TlvType.DEPENDENCY.name)
        trailer = self.trailer
        odd = Trailer.first_odd(self.rest, trailer)
        if odd is not None:
            detail = f"{self.rest[odd : odd + 8].hex(' ')}, not FF"
            raise ImageError(Reason.TRAILING, detail, f"octet {end + odd}")

    def of_type(self, number: int) -> tuple[bytes, ...]:
        """Return the values of a type, from the area where it belongs."""
        return tuple(
            tlv.value for tlv in (*self.protected, *self.unprotected) if tlv.type == number
        )

    def one(self, number: int) -> bytes | None:
        """Return the value of a type that comes once; None if it does not come."""
        found = self.of_type(number)
        return found[0] if found else None

    @property
    def security_counter(self) -> int | None:
        """The counter against rolling back; None if the image carries none."""
        value = self.one(TlvType.SEC_CNT)
        return None if value is None else int.from_bytes(value, "little")

    @property
    def dependencies(self) -> tuple[Dependency, ...]:
        """The images that this one needs."""
        return tuple(map(Dependency.decode, self.of_type(TlvType.DEPENDENCY)))

    def with_payload(self, payload: bytes) -> Self:
        """Return the image with another payload of the same length."""
        return replace(self, payload=payload)
