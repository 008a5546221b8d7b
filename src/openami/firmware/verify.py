# SPDX-License-Identifier: Apache-2.0
"""Verify an image: hash, signature, security counter, dependencies, and whom it is for.

What MCUboot's `bootutil_img_validate` accepts and this does not: an unprotected TLV that a
signature ought to cover, an unknown or a repeated one, a wrong signature beside a good one,
anything but erased flash or a trailer behind the image.  What it refuses is refused here too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from openami.firmware.bootrecord import BootRecord
from openami.firmware.encrypt import unwrap_key, wrapped_key
from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import COMPRESSED, Image, ImageFlag, Version
from openami.firmware.keys import HASHES, AgreementKey, VerifyingKey
from openami.firmware.revocation import NAME as REVOCATION
from openami.firmware.revocation import revoked_by
from openami.firmware.tlv import COMPRESSION, SIGNATURES, WRAPPED_KEYS, Tlv, TlvType
from openami.firmware.tlv import HASHES as HASH_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What a boot demands of an image.

    Attributes:
        keys: Public keys that are trusted; one good signature is enough.
        counter: The least security counter; None where rolling back is not refused.
        address: Where the image will run from; None where nobody asks.
        images: Versions of the other images, by their numbers; None where dependencies are not
            judged.
        vendor_id: Demanded, if given; 16 octets.
        class_id: Demanded, if given; 16 octets.
        root: Says which keys are given up for good; None where nobody can.
        decryption_key: Opens encrypted payloads.
        judge: Refuses, with an `ImageError`, payloads that this device cannot run.
    """

    keys: tuple[VerifyingKey, ...]
    counter: int | None = 0
    address: int | None = None
    images: Mapping[int, Version] | None = None
    vendor_id: bytes | None = None
    class_id: bytes | None = None
    root: VerifyingKey | None = None
    decryption_key: AgreementKey | None = field(default=None, repr=False)
    judge: Callable[[Image], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """An image that stands all tests.

    Attributes:
        image: With its payload clear.
        digest: Its hash, which an attestation measures.
        keyhash: Of the key that signed it.
        revoked: Keys that must not be believed any more once the image is confirmed
            (`revocation`).
    """

    image: Image
    digest: bytes
    keyhash: bytes
    revoked: tuple[bytes, ...] = ()

    @property
    def version(self) -> Version:
        return self.image.header.version

    @property
    def security_counter(self) -> int | None:
        return self.image.security_counter

    @property
    def boot_record(self) -> BootRecord | None:
        """The image's boot record with the measurement filled in."""
        octets = self.image.one(TlvType.BOOT_RECORD)
        if octets is None:
            return None
        record = BootRecord.decode(octets)
        return BootRecord(
            sw_type=record.sw_type,
            version=record.version,
            signer_id=record.signer_id,
            description=record.description,
            measurement=self.digest,
        )


def verify(image: Image, policy: Policy) -> Verified:
    """Accept an image, or refuse it.

    Raises:
        ImageError: The first rule that it breaks.
    """
    _supported(image)
    image, digest = _hashed(image, policy)
    key = _signed(image, digest, policy)
    revoked = revoked_by(image, policy.root)
    if any(key.is_named_by(each) for each in revoked):
        raise ImageError(Reason.TLV_VALUE, "it gives up the key that signed it", REVOCATION)
    _counted(image, policy)
    _for_this_device(image, policy)
    verified = Verified(image=image, digest=digest, keyhash=key.keyhash, revoked=revoked)
    if verified.boot_record is not None:
        _measured_with(verified)
    if policy.judge is not None:
        policy.judge(image)
    return verified


def _supported(image: Image) -> None:
    flags = image.header.flags
    if flags & COMPRESSED or any(tlv.type in COMPRESSION for tlv in image.protected):
        raise ImageError(Reason.UNSUPPORTED, "its payload is compressed", "octet 16")
    if ImageFlag.NON_BOOTABLE in flags:
        raise ImageError(Reason.NOT_BOOTABLE, "flag NON_BOOTABLE", "octet 16")
    if image.header.key_octets or any(tlv.type in WRAPPED_KEYS for tlv in image.unprotected):
        wrapped_key(image)


def _hashed(image: Image, policy: Policy) -> tuple[Image, bytes]:
    """Return the image with its payload clear, and its hash."""
    found = [tlv for tlv in image.unprotected if tlv.type in HASH_TYPES]
    if len(found) != 1:
        reason = Reason.TLV_DUPLICATE if found else Reason.HASH_MISSING
        raise ImageError(reason, f"{len(found)} hashes, not one", "the unprotected TLVs")
    tlv = found[0]
    digest = HASHES[TlvType(tlv.type)](image.signed).digest()
    if digest == tlv.value:
        return image, digest
    if image.header.key_octets:
        if policy.decryption_key is None:
            detail = f"AES-{image.header.key_octets * 8}, wrapped as {wrapped_key(image).name}"
            raise ImageError(Reason.ENCRYPTED, detail, "the payload")
        key = unwrap_key(image, policy.decryption_key)
        image = image.with_payload(key.apply(image.payload))
        digest = HASHES[TlvType(tlv.type)](image.signed).digest()
        if digest == tlv.value:
            return image, digest
    detail = f"{digest.hex()[:16]}…, the image says {tlv.value.hex()[:16]}…"
    raise ImageError(Reason.HASH_WRONG, detail, tlv.name)


def _signed(image: Image, digest: bytes, policy: Policy) -> VerifyingKey:
    """Return a trusted key that signed the image."""
    pairs = list(_signatures(image))
    if not pairs:
        raise ImageError(Reason.SIGNATURE_MISSING, "no signature", "the unprotected TLVs")
    pure = image.one(TlvType.SIG_PURE)
    if pure is not None and pure != b"\x01":
        raise ImageError(Reason.TLV_VALUE, f"SIG_PURE is {pure.hex()}, not 01", "SIG_PURE")
    accepted: VerifyingKey | None = None
    for selector, signature in pairs:
        key = _selected(selector, policy.keys)
        if key is None:
            continue
        if key.signature_type != signature.type:
            detail = f"{signature.name} with a key that makes {key.signature_type.name}"
            raise ImageError(Reason.SIGNATURE_WRONG, detail, signature.name)
        if pure is not None and key.signature_type is not TlvType.ED25519:
            detail = f"SIG_PURE with {signature.name}"
            raise ImageError(Reason.UNSUPPORTED, detail, "SIG_PURE")
        fits = len(digest) == HASHES[key.hash_type]().digest_size or pure is not None
        if not fits and key.signature_type is not TlvType.ED25519:
            detail = f"a hash of {len(digest)} octets with a key that signs {key.hash_type.name}"
            raise ImageError(Reason.SIGNATURE_WRONG, detail, signature.name)
        if not key.verifies(signature.value, digest, image.signed, pure=pure is not None):
            detail = f"with key {key.keyhash.hex()[:16]}…"
            raise ImageError(Reason.SIGNATURE_WRONG, detail, signature.name)
        accepted = accepted or key
    if accepted is None:
        signers = ", ".join(f"{selector.value.hex()[:16]}…" for selector, _ in pairs)
        raise ImageError(Reason.KEY_UNKNOWN, f"signed with {signers}", "KEYHASH")
    return accepted


def _signatures(image: Image) -> Iterator[tuple[Tlv, Tlv]]:
    """Yield each signature with the entry just before it, which names its key."""
    selector: Tlv | None = None
    for tlv in image.unprotected:
        if tlv.type in {TlvType.KEYHASH, TlvType.PUBKEY}:
            selector = tlv
        elif tlv.type in SIGNATURES:
            if selector is None:
                detail = "no KEYHASH or PUBKEY stands before it"
                raise ImageError(Reason.SIGNATURE_MISSING, detail, tlv.name)
            yield selector, tlv
            selector = None


def _selected(selector: Tlv, keys: tuple[VerifyingKey, ...]) -> VerifyingKey | None:
    full = selector.type == TlvType.PUBKEY
    for key in keys:
        if key.octets == selector.value if full else key.is_named_by(selector.value):
            return key
    return None


def _counted(image: Image, policy: Policy) -> None:
    if policy.counter is None:
        return
    counter = image.security_counter
    if counter is None:
        detail = f"at least {policy.counter} is demanded"
        raise ImageError(Reason.COUNTER_MISSING, detail, "the protected TLVs")
    if counter < policy.counter:
        detail = f"security counter {counter}, at least {policy.counter} is demanded"
        raise ImageError(Reason.COUNTER_LOW, detail, TlvType.SEC_CNT.name)


def _for_this_device(image: Image, policy: Policy) -> None:
    header = image.header
    if policy.address is not None:
        if ImageFlag.RAM_LOAD in header.flags:
            raise ImageError(Reason.UNSUPPORTED, "it asks to be loaded into RAM", "octet 16")
        fixed = ImageFlag.ROM_FIXED in header.flags
        if fixed and header.load_addr != policy.address:
            detail = f"{header.load_addr:#x}, it would run from {policy.address:#x}"
            raise ImageError(Reason.ADDRESS, detail, "octet 4")
    for number, wanted, reason in (
        (TlvType.UUID_VID, policy.vendor_id, Reason.VENDOR),
        (TlvType.UUID_CID, policy.class_id, Reason.IMAGE_CLASS),
    ):
        found = image.one(number)
        if wanted is not None and found != wanted:
            detail = f"{'none' if found is None else found.hex()}, not {wanted.hex()}"
            raise ImageError(reason, detail, number.name)
    for image_id, least in image.dependencies:
        if policy.images is None:
            break
        there = policy.images.get(image_id)
        if there is None or there < least:
            detail = f"image {image_id} in version {least}, here is {there or 'none'}"
            raise ImageError(Reason.DEPENDENCY, detail, TlvType.DEPENDENCY.name)


def _measured_with(verified: Verified) -> None:
    record = verified.boot_record
    name = {32: "SHA256", 48: "SHA384", 64: "SHA512"}[len(verified.digest)]
    if record is not None and record.description != name:
        detail = f"it speaks of {record.description}, the image's hash is {name}"
        raise ImageError(Reason.TLV_VALUE, detail, TlvType.BOOT_RECORD.name)
