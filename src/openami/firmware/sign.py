# SPDX-License-Identifier: Apache-2.0
"""Make an image: header, protected TLVs, hash, key hash, signature, and the wrapped key.

Entries stand in the order in which imgtool writes them, so that both make the same octets.
"""

from dataclasses import dataclass, replace
from typing import Final

from openami.firmware.bootrecord import BootRecord
from openami.firmware.encrypt import BLOCK, PayloadKey, wrap_key
from openami.firmware.image import (
    ENCRYPTED,
    HEADER,
    NO_FLAGS,
    Dependency,
    Header,
    Image,
    ImageFlag,
    Version,
)
from openami.firmware.keys import (
    HASHES,
    AgreementPublicKey,
    Entropy,
    PrivateKey,
    VerifyingKey,
    sign_digest,
)
from openami.firmware.tlv import VENDOR, Area, Tlv, TlvType, encode_area
from openami.firmware.trailer import ERASED, Trailer, trailer_octets

USUAL_HEADER_OCTETS: Final = 0x200
LARGEST_COUNTER: Final = 0xFFFFFFFF


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an image says of itself.

    Attributes:
        header_octets: Header with padding; vector tables want a round number.
        sw_type: Of the boot record; none is written without it.
        vendor_id: A UUID, 16 octets.
        class_id: A UUID, 16 octets.
        custom: Vendors' TLVs by type.
        address: Where the image runs from: flash with ROM_FIXED, else RAM.
    """

    version: Version
    security_counter: int | None = None
    header_octets: int = USUAL_HEADER_OCTETS
    dependencies: tuple[Dependency, ...] = ()
    sw_type: str | None = None
    vendor_id: bytes | None = None
    class_id: bytes | None = None
    custom: tuple[Tlv, ...] = ()
    address: int = 0
    flags: ImageFlag = NO_FLAGS

    def __post_init__(self) -> None:
        if not HEADER.size <= self.header_octets <= 0xFFFF:
            problem = f"a header has {HEADER.size} to 65535 octets, not {self.header_octets}"
            raise ValueError(problem)
        counter = self.security_counter
        if counter is not None and not 0 <= counter <= LARGEST_COUNTER:
            raise ValueError(f"security counter {counter} is not a number of 32 bits")
        types = [tlv.type for tlv in self.custom]
        for number in types:
            if number not in VENDOR:
                raise ValueError(f"custom TLV {number:04X} is not a vendor's: use 00A0 to FFFE")
            if types.count(number) > 1:
                raise ValueError(f"custom TLV {number:04X} is given twice")
        images = [dependency.image_id for dependency in self.dependencies]
        if len(set(images)) < len(images):
            raise ValueError("two dependencies on one image: give the higher version only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Encryption:
    """For whom a payload is encrypted."""

    recipient: AgreementPublicKey
    entropy: Entropy
    key_octets: int = 16
    leave_clear: bool = False  # carry the key all the same, as in a slot that runs


def sign(
    payload: bytes,
    recipe: Recipe,
    key: PrivateKey | None,
    *,
    padding: bytes | None = None,
    encryption: Encryption | None = None,
) -> Image:
    """Return the image of a payload.

    Args:
        payload: What runs.
        recipe: What the image says of itself.
        key: None makes an image with a hash only, which no boot accepts.
        padding: Stands between the 32 octets of the header and the payload; FF if not given.
        encryption: For whom to encrypt; nobody if not given.
    """
    flags = recipe.flags & ~ENCRYPTED
    if encryption is not None:
        big = encryption.key_octets == 32
        flags |= ImageFlag.ENCRYPTED_AES256 if big else ImageFlag.ENCRYPTED_AES128
        payload += bytes(-(recipe.header_octets + len(payload)) % BLOCK)
    verifier = None if key is None else VerifyingKey.of(key)
    protected = _protected(recipe, verifier)
    header = Header(
        load_addr=recipe.address,
        hdr_size=recipe.header_octets,
        protect_tlv_size=len(encode_area(Area.PROTECTED, protected)),
        img_size=len(payload),
        flags=flags,
        version=recipe.version,
    )
    if padding is None:
        padding = ERASED * (recipe.header_octets - HEADER.size)
    image = Image(header=header, padding=padding, payload=payload, protected=protected)
    image = with_signature(image, key)
    return image if encryption is None else _encrypted(image, encryption)


def with_signature(image: Image, key: PrivateKey | None) -> Image:
    """Return the image with hash, key hash and signature, and no other unprotected TLVs."""
    verifier = None if key is None else VerifyingKey.of(key)
    hash_type = TlvType.SHA256 if verifier is None else verifier.hash_type
    digest = HASHES[hash_type](image.signed).digest()
    entries = [Tlv(hash_type, digest)]
    if key is not None and verifier is not None:
        entries += [
            Tlv(TlvType.KEYHASH, verifier.keyhash),
            Tlv(verifier.signature_type, sign_digest(key, digest)),
        ]
    return replace(image, unprotected=tuple(entries))


def recipe_of(image: Image) -> Recipe:
    """Return what an image says of itself, to make it anew."""
    protected = [tlv for tlv in image.protected if tlv.type in VENDOR]
    record = image.one(TlvType.BOOT_RECORD)
    return Recipe(
        version=image.header.version,
        security_counter=image.security_counter,
        header_octets=image.header.hdr_size,
        dependencies=image.dependencies,
        sw_type=None if record is None else BootRecord.decode(record).sw_type,
        vendor_id=image.one(TlvType.UUID_VID),
        class_id=image.one(TlvType.UUID_CID),
        custom=tuple(protected),
        address=image.header.load_addr,
        flags=image.header.flags & ~ENCRYPTED,
    )


def padded(image: Image, slot_octets: int, *, align: int = 8, confirmed: bool = False) -> Image:
    """Return the image filled up to its slot, with a trailer that asks MCUboot to swap it in.

    Raises:
        ValueError: It does not fit.
    """
    unit = max(8, align)
    reserved = trailer_octets(align, encrypted=bool(image.header.key_octets))
    if image.size + reserved > slot_octets:
        raise ValueError(
            f"image ({image.size} octets) and trailer ({reserved}) exceed the slot ({slot_octets})"
        )
    trailer = Trailer(
        align=unit, image_ok=confirmed, copy_done=False, swap_info=None, swap_size=None
    ).encode()
    rest = trailer.rjust(slot_octets - image.size, ERASED)
    return replace(image, rest=rest)


def _encrypted(image: Image, encryption: Encryption) -> Image:
    payload_key = PayloadKey(encryption.entropy(encryption.key_octets))
    entry = wrap_key(payload_key, encryption.recipient, encryption.entropy)
    image = replace(image, unprotected=(*image.unprotected, entry))
    if encryption.leave_clear:
        return image
    return image.with_payload(payload_key.apply(image.payload))


def _protected(recipe: Recipe, verifier: VerifyingKey | None) -> tuple[Tlv, ...]:
    entries = []
    if recipe.security_counter is not None:
        entries.append(Tlv(TlvType.SEC_CNT, recipe.security_counter.to_bytes(4, "little")))
    if recipe.sw_type is not None:
        record = BootRecord.of(recipe.sw_type, recipe.version, verifier)
        entries.append(Tlv(TlvType.BOOT_RECORD, record.encode()))
    entries += [Tlv(TlvType.DEPENDENCY, each.encode()) for each in recipe.dependencies]
    for number, value in (
        (TlvType.UUID_VID, recipe.vendor_id),
        (TlvType.UUID_CID, recipe.class_id),
    ):
        if value is not None:
            entries.append(Tlv(number, value))
    return (*entries, *recipe.custom)
