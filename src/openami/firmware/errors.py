# SPDX-License-Identifier: Apache-2.0
"""Why an image is refused: one reason, a sentence, and the place in the image."""

from dataclasses import dataclass, fields, is_dataclass
from enum import Enum, unique


@unique
class Reason(Enum):
    """Every reason there is: the word that programs compare, and its sentence."""

    NO_IMAGE = "no-image", "there is no image here: the flash is erased"
    TRUNCATED = "truncated", "the image ends before it is complete"
    MAGIC = "magic", "this is no MCUboot image: it does not begin with the magic number"
    HEADER = "header", "the header breaks a rule"
    FLAGS = "flags", "the header has flags that mean nothing, or exclude each other"
    TOO_LARGE = "too-large", "the image does not fit into its slot"
    TLV_MAGIC = "tlv-magic", "an area of TLVs does not begin where the header says"
    TLV_SIZE = "tlv-size", "the sizes of the TLVs contradict each other"
    TLV_LENGTH = "tlv-length", "a TLV has not the length of its type"
    TLV_VALUE = "tlv-value", "a TLV holds what cannot be read"
    TLV_UNKNOWN = "tlv-unknown", "a TLV has a type that is not known"
    TLV_DUPLICATE = "tlv-duplicate", "a TLV that may come once comes twice"
    TLV_UNPROTECTED = "tlv-unprotected", "a TLV stands in the area that no signature covers"
    TLV_PROTECTED = "tlv-protected", "a TLV stands in the protected area and belongs behind it"
    TRAILING = "trailing", "something follows the image that is neither erased flash nor a trailer"
    UNSUPPORTED = "unsupported", "the image needs what this boot does not do"
    NOT_BOOTABLE = "not-bootable", "the image is marked as one that does not boot"
    ADDRESS = "address", "the image was built for another address"
    ENCRYPTED = "encrypted", "the payload is encrypted and no key for it is here"
    ENCRYPTION_MISSING = "encryption-missing", "the image is marked as encrypted and carries no key"
    ENCRYPTION_KEY = "encryption-key", "the image's key was wrapped for another key, or altered"
    HASH_MISSING = "hash-missing", "the image carries no hash"
    HASH_WRONG = "hash-wrong", "the image was altered: its hash is another one"
    SIGNATURE_MISSING = "signature-missing", "the image is not signed"
    KEY_UNKNOWN = "key-unknown", "the image is signed with a key that is not trusted here"
    SIGNATURE_WRONG = "signature-wrong", "the signature was not made over this image"
    COUNTER_MISSING = "counter-missing", "the image carries no security counter"
    COUNTER_LOW = "counter-low", "the image is older than what ran here: rolling back is refused"
    DEPENDENCY = "dependency", "the image needs another image that is not there or too old"
    VENDOR = "vendor", "the image is of another vendor"
    PAYLOAD = "payload", "the payload is not what this device runs"
    IMAGE_CLASS = "class", "the image is for another class of device"

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence


class FirmwareError(Exception):
    """Anything that this room refuses."""

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:
        """Travel between processes however the error was built, by name or by position."""
        if not is_dataclass(self):
            return type(self), self.args
        return type(self), tuple(getattr(self, field.name) for field in fields(self))


@dataclass(eq=False)
class ImageError(FirmwareError):
    """An image is refused.

    Attributes:
        reason: Which rule it breaks.
        detail: The value that was found, and what was expected.
        place: The octet, TLV or slot that it concerns.
    """

    reason: Reason
    detail: str
    place: str

    def __str__(self) -> str:
        return f"{self.reason.sentence} ({self.detail}), at {self.place}"


class KeyFormatError(FirmwareError):
    """A key file cannot be used; the sentence never shows a key."""
