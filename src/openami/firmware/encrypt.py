# SPDX-License-Identifier: Apache-2.0
"""Encrypted images: the payload under a random key, the key wrapped for a device (ECIES).

======  ===============  ==========================================================
octets  field            value of ENC_EC256 (P-256); ENC_X25519 has 32 octets first
======  ===============  ==========================================================
65      ephemeral key    04, x, y
32      tag              HMAC-SHA-256 over the wrapped key
16, 32  wrapped key      AES-CTR, counter from 0
======  ===============  ==========================================================

Both keys come out of HKDF-SHA-256 over the agreed secret, without salt, with the info
``MCUBoot_ECIES_v1``: first the key that wraps, as long as the payload's, then 32 octets for HMAC.
The payload is AES-CTR, counter from 0; hash and signature are made over the clear one, with the
flag set.  So an image keeps its flag when it is decrypted, and verifies as it stands in the bank.
"""

from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from openami.firmware.errors import ImageError, Reason
from openami.firmware.image import Image
from openami.firmware.keys import AgreementKey, AgreementPublicKey, Entropy, fresh_p256
from openami.firmware.tlv import WRAPPED_KEYS, Tlv, TlvType

INFO: Final = b"MCUBoot_ECIES_v1"
BLOCK: Final = 16
TAG_OCTETS: Final = 32
_POINT_OCTETS: Final = {TlvType.ENC_EC256: 65, TlvType.ENC_X25519: 32}


@dataclass(frozen=True, slots=True)
class PayloadKey:
    """The key of one image's payload."""

    key: bytes = field(repr=False)

    def apply(self, octets: bytes, offset: int = 0) -> bytes:
        """Encrypt or decrypt what stands at `offset` of the payload; both are the same."""
        first, skip = divmod(offset, BLOCK)
        cipher = Cipher(algorithms.AES(self.key), modes.CTR(first.to_bytes(BLOCK)))
        return cipher.encryptor().update(bytes(skip) + octets)[skip:]


def wrap_key(key: PayloadKey, recipient: AgreementPublicKey, entropy: Entropy) -> Tlv:
    """Return the entry that brings a payload's key to the holder of `recipient`."""
    if isinstance(recipient, ec.EllipticCurvePublicKey):
        ephemeral = fresh_p256(entropy)
        secret = ephemeral.exchange(ec.ECDH(), recipient)
        point = ephemeral.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        number = TlvType.ENC_EC256
    else:
        other = x25519.X25519PrivateKey.from_private_bytes(entropy(32))
        secret = other.exchange(recipient)
        point = other.public_key().public_bytes_raw()
        number = TlvType.ENC_X25519
    wrapping, mac_key = _derived(secret, len(key.key))
    wrapped = PayloadKey(wrapping).apply(key.key)
    return Tlv(number, point + _tag(mac_key, wrapped).finalize() + wrapped)


def unwrap_key(image: Image, private: AgreementKey) -> PayloadKey:
    """Return the key of an image's payload.

    Raises:
        ImageError: None is wrapped in it, in another way, or for another key.
    """
    tlv = wrapped_key(image)
    place = tlv.name
    number = TlvType.ENC_EC256
    if isinstance(private, x25519.X25519PrivateKey):
        number = TlvType.ENC_X25519
    if tlv.type != number:
        detail = f"it was wrapped as {tlv.name}, the key here opens {number.name}"
        raise ImageError(Reason.ENCRYPTION_KEY, detail, place)
    size = _POINT_OCTETS[number]
    point, tag = tlv.value[:size], tlv.value[size : size + TAG_OCTETS]
    wrapped = tlv.value[size + TAG_OCTETS :]
    if len(wrapped) != image.header.key_octets:
        detail = f"{len(wrapped)} octets, the header's flags say {image.header.key_octets}"
        raise ImageError(Reason.ENCRYPTION_KEY, detail, place)
    wrapping, mac_key = _derived(_agreed(point, private, place), len(wrapped))
    try:
        _tag(mac_key, wrapped).verify(tag)
    except InvalidSignature:
        detail = "its tag does not fit the key that was given"
        raise ImageError(Reason.ENCRYPTION_KEY, detail, place) from None
    return PayloadKey(PayloadKey(wrapping).apply(wrapped))


def wrapped_key(image: Image) -> Tlv:
    """Return the entry with the wrapped key.

    Raises:
        ImageError: The image is not marked as encrypted, or has no such entry or two.
    """
    found = [tlv for tlv in image.unprotected if tlv.type in WRAPPED_KEYS]
    if not image.header.key_octets:
        raise ImageError(Reason.FLAGS, "it is not marked as encrypted", "octet 16")
    if len(found) != 1:
        reason = Reason.TLV_DUPLICATE if found else Reason.ENCRYPTION_MISSING
        raise ImageError(reason, f"{len(found)} wrapped keys, not one", "the unprotected TLVs")
    return found[0]


def decrypt(image: Image, private: AgreementKey) -> Image:
    """Return an encrypted image with its payload clear; its flag stays, for the signature's sake.

    Raises:
        ImageError: See `unwrap_key`.
    """
    return image.with_payload(unwrap_key(image, private).apply(image.payload))


def _agreed(point: bytes, private: AgreementKey, place: str) -> bytes:
    try:
        if isinstance(private, ec.EllipticCurvePrivateKey):
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
            return private.exchange(ec.ECDH(), public)
        return private.exchange(x25519.X25519PublicKey.from_public_bytes(point))
    except ValueError:
        detail = "its ephemeral key is no point on the curve"
        raise ImageError(Reason.ENCRYPTION_KEY, detail, place) from None


def _derived(secret: bytes, key_octets: int) -> tuple[bytes, bytes]:
    derived = HKDF(hashes.SHA256(), key_octets + TAG_OCTETS, salt=None, info=INFO).derive(secret)
    return derived[:key_octets], derived[key_octets:]


def _tag(key: bytes, wrapped: bytes) -> HMAC:
    mac = HMAC(key, hashes.SHA256())
    mac.update(wrapped)
    return mac
