# SPDX-License-Identifier: Apache-2.0
"""SUIT manifests: who says what is to be installed (draft-ietf-suit-manifest-37).

======  ==============  =================================================================
key     of an envelope  value; the envelope has tag 107
======  ==============  =================================================================
2       authentication  bstr of [ bstr of digest, bstr of COSE_Sign1, … ]
3       manifest        bstr of the manifest; the digest is made over the bstr with its head
16, 20  severed         bstr of a sequence; the manifest holds its digest then
23      severed         bstr of the text
"#…"    payload         octets that came along
======  ==============  =================================================================

A digest is [-16, SHA-256].  COSE_Sign1 (tag 18) is ES256 over the encoded digest, which is not
repeated inside.  What is read here is a form and a signature; what the commands mean is the
business of `manifest_run`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final, NamedTuple, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)

from openami.firmware import cbor
from openami.firmware.errors import FirmwareError
from openami.firmware.keys import VerifyingKey
from openami.firmware.tlv import TlvType

ENVELOPE_TAG: Final = 107
COSE_SIGN1_TAG: Final = 18
SHA256: Final = -16
ES256_HEADER: Final = cbor.encode({1: -7})
COORDINATE_OCTETS: Final = 32

AUTHENTICATION, MANIFEST = 2, 3
VERSION, SEQUENCE_NUMBER, COMMON, REFERENCE_URI = 1, 2, 3, 4
COMPONENTS, SHARED = 2, 4
TEXT = 23


@unique
class ManifestReason(Enum):
    """Every reason to refuse a manifest: the word for programs, and its sentence."""

    CBOR = "cbor", "the envelope is no CBOR that can be read in one way only"
    FORM = "form", "the manifest has not the form that the standard draws"
    DIGEST = "digest", "the manifest was altered: its digest is another one"
    SIGNATURE_MISSING = "signature-missing", "the manifest is not signed"
    SIGNATURE_WRONG = "signature-wrong", "no trusted key signed the manifest"
    SEVERED = "severed", "what was severed from the manifest is not what it speaks of"
    VERSION = "version", "the manifest has a version that is not known"
    SEQUENCE = "sequence-low", "the manifest is older than one that was accepted"
    UNSUPPORTED = "unsupported", "the manifest asks for what is not done here"
    CONDITION = "condition", "a condition of the manifest is not met here"
    MISSING = "missing", "the manifest does not say what it must"

    def __init__(self, word: str, sentence: str) -> None:
        self.word = word
        self.sentence = sentence


@dataclass(eq=False)
class ManifestError(FirmwareError):
    """A manifest is refused.

    Attributes:
        reason: Which rule it breaks.
        detail: What was found.
    """

    reason: ManifestReason
    detail: str

    def __str__(self) -> str:
        return f"{self.reason.sentence} ({self.detail})"


@unique
class Step(Enum):
    """The sequences of a manifest, by their keys."""

    VALIDATE = 7
    LOAD = 8
    INVOKE = 9
    PAYLOAD_FETCH = 16
    INSTALL = 20


SEVERABLE: Final = frozenset({Step.PAYLOAD_FETCH.value, Step.INSTALL.value, TEXT})
_MANIFEST_KEYS: Final = frozenset(
    {VERSION, SEQUENCE_NUMBER, COMMON, REFERENCE_URI, TEXT} | {step.value for step in Step}
)


class Command(NamedTuple):
    """A condition or a directive, with its argument."""

    code: int
    argument: object


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is to be done, as it was signed.

    Attributes:
        components: Identifiers, each of one or more parts.
        shared: Comes before each of the sequences.
    """

    sequence_number: int
    components: tuple[tuple[bytes, ...], ...]
    shared: tuple[Command, ...]
    steps: Mapping[Step, tuple[Command, ...]]
    reference_uri: str | None = None
    payloads: Mapping[str, bytes] = field(default_factory=dict, repr=False)


def digest_of(octets: bytes) -> list[object]:
    """Return the digest of a bstr, its head included."""
    return [SHA256, hashlib.sha256(cbor.encode(octets)).digest()]


def seal(manifest: Mapping[object, object], key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the envelope of a manifest, signed with a key on P-256."""
    octets = cbor.encode(dict(manifest))
    digest = cbor.encode(digest_of(octets))
    algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
    r, s = decode_dss_signature(key.sign(_signed(ES256_HEADER, digest), algorithm))
    signature = r.to_bytes(COORDINATE_OCTETS) + s.to_bytes(COORDINATE_OCTETS)
    cose = cbor.encode(cbor.Tagged(COSE_SIGN1_TAG, [ES256_HEADER, {}, None, signature]))
    authentication = cbor.encode([digest, cose])
    envelope = {AUTHENTICATION: authentication, MANIFEST: octets}
    return cbor.encode(cbor.Tagged(ENVELOPE_TAG, envelope))


def accept(octets: bytes, keys: tuple[VerifyingKey, ...], *, least_sequence: int = 0) -> Manifest:
    """Return the manifest of an envelope that a trusted key signed.

    Args:
        octets: The envelope.
        keys: Those on P-256 are asked.
        least_sequence: The sequence number of the last manifest that was accepted.

    Raises:
        ManifestError: The first rule that it breaks.
    """
    envelope = Envelope.decode(octets)
    envelope.verify(keys)
    manifest = envelope.manifest()
    if manifest.sequence_number < least_sequence:
        detail = f"sequence number {manifest.sequence_number}, {least_sequence} was accepted"
        raise ManifestError(ManifestReason.SEQUENCE, detail)
    return manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """An envelope whose form was checked, and nothing else yet."""

    digest: bytes  # encoded, as it was signed
    signatures: tuple[bytes, ...]
    octets: bytes = field(repr=False)
    severed: Mapping[int, bytes] = field(repr=False)
    payloads: Mapping[str, bytes] = field(repr=False)

    @classmethod
    def decode(cls, octets: bytes) -> Self:
        """Read an envelope.

        Raises:
            ManifestError: It is none.
        """
        match _cbor(octets, "the envelope"):
            case cbor.Tagged(107, {2: bytes(authentication), 3: bytes(manifest), **others}):
                pass
            case _:
                raise _form("an envelope is a map of octet strings 2 and 3 with tag 107")
        severed: dict[int, bytes] = {}
        payloads: dict[str, bytes] = {}
        for key, value in others.items():
            if not isinstance(value, bytes):
                raise _form(f"element {key!r} of the envelope is no octet string")
            if key in SEVERABLE:
                severed[_number(key, "key")] = value
            elif isinstance(key, str) and key.startswith("#"):
                payloads[key] = value
            else:
                raise _form(f"an envelope has no element {key!r}")
        match _cbor(authentication, "the authentication"):
            case [bytes(digest), *signatures]:
                pass
            case _:
                raise _form("an authentication is a list of octet strings, the digest first")
        return cls(
            digest=digest,
            signatures=tuple(_octets(each, "a signature") for each in signatures),
            octets=manifest,
            severed=severed,
            payloads=payloads,
        )

    def verify(self, keys: tuple[VerifyingKey, ...]) -> None:
        """Accept the digest, and one signature over it.

        Raises:
            ManifestError: The manifest was altered, or nobody trusted signed it.
        """
        if _cbor(self.digest, "the digest") != digest_of(self.octets):
            detail = "no SHA-256 of this manifest"
            raise ManifestError(ManifestReason.DIGEST, detail)
        if not self.signatures:
            raise ManifestError(ManifestReason.SIGNATURE_MISSING, "no COSE_Sign1")
        if not any(self._signed_by(key, each) for key in keys for each in self.signatures):
            detail = f"{len(self.signatures)} signatures, {len(keys)} trusted keys"
            raise ManifestError(ManifestReason.SIGNATURE_WRONG, detail)

    def _signed_by(self, key: VerifyingKey, octets: bytes) -> bool:
        match _cbor(octets, "a signature"):
            case cbor.Tagged(18, [bytes(protected), dict(), None, bytes(signature)]):
                pass
            case _:
                raise _form("a signature is a COSE_Sign1 with tag 18 and without its payload")
        on_p256 = key.signature_type is TlvType.ECDSA_SIG and key.hash_type is TlvType.SHA256
        if protected != ES256_HEADER or len(signature) != 2 * COORDINATE_OCTETS or not on_p256:
            return False
        r, s = (
            int.from_bytes(part)
            for part in (signature[:COORDINATE_OCTETS], signature[COORDINATE_OCTETS:])
        )
        digest = hashlib.sha256(_signed(protected, self.digest)).digest()
        return key.verifies(encode_dss_signature(r, s), digest, b"", pure=False)

    def manifest(self) -> Manifest:
        """Read the manifest; `verify` it before.

        Raises:
            ManifestError: It has not the form of one.
        """
        found = _cbor(self.octets, "the manifest")
        if not isinstance(found, dict):
            raise _form("a manifest is a map")
        if unknown := [key for key in found if key not in _MANIFEST_KEYS]:
            detail = f"element {unknown[0]!r} of the manifest"
            raise ManifestError(ManifestReason.UNSUPPORTED, detail)
        if found.get(VERSION) != 1:
            raise ManifestError(ManifestReason.VERSION, f"{found.get(VERSION)!r}, not 1")
        uri = found.get(REFERENCE_URI)
        if uri is not None and not isinstance(uri, str):
            raise _form("the reference URI is no text")
        components, shared = _common(_octets(found.get(COMMON), "common"))
        return Manifest(
            sequence_number=_number(found.get(SEQUENCE_NUMBER), "the sequence number"),
            components=components,
            shared=shared,
            steps=self._steps(found),
            reference_uri=uri,
            payloads=self.payloads,
        )

    def _steps(self, found: dict[object, object]) -> dict[Step, tuple[Command, ...]]:
        for key in (*SEVERABLE, *self.severed):
            value = found.get(key)
            if key in self.severed and value != digest_of(self.severed[key]):
                detail = f"element {key}"
                raise ManifestError(ManifestReason.SEVERED, detail)
        steps: dict[Step, tuple[Command, ...]] = {}
        for step in Step:
            value = found.get(step.value)
            if isinstance(value, list):
                if step.value not in SEVERABLE:
                    raise _form(f"sequence {step.name} cannot be severed")
                value = self.severed.get(step.value)
                if value is None:
                    detail = f"sequence {step.name} was severed and did not come along"
                    raise ManifestError(ManifestReason.SEVERED, detail)
            if value is not None:
                steps[step] = commands(_octets(value, f"sequence {step.name}"))
        return steps


def commands(octets: bytes) -> tuple[Command, ...]:
    """Read a sequence: codes and arguments by turns.

    Raises:
        ManifestError: It is none.
    """
    found = _cbor(octets, "a sequence")
    if not isinstance(found, list) or len(found) % 2 or not found:
        raise _form("a sequence is a list of codes and arguments by turns")
    pairs = zip(found[::2], found[1::2], strict=True)
    return tuple(Command(_number(code, "a command"), argument) for code, argument in pairs)


def _common(octets: bytes) -> tuple[tuple[tuple[bytes, ...], ...], tuple[Command, ...]]:
    match _cbor(octets, "common"):
        case {2: list(listed), **others} if not others.keys() - {SHARED} and listed:
            pass
        case _:
            raise _form("common is a map of the components (2) and the shared sequence (4)")
    components = []
    for component in listed:
        if not isinstance(component, list) or not component:
            raise _form("a component is a list of octet strings")
        components.append(tuple(_octets(part, "a component") for part in component))
    shared = others.get(SHARED)
    return tuple(components), () if shared is None else commands(_octets(shared, "common"))


def _signed(protected: bytes, payload: bytes) -> bytes:
    """Return what a COSE_Sign1 is made over."""
    return cbor.encode(["Signature1", protected, b"", payload])


def _cbor(octets: bytes, what: str) -> object:
    try:
        return cbor.decode(octets)
    except cbor.CborError as error:
        raise ManifestError(ManifestReason.CBOR, f"{what}: {error}") from None


def _octets(value: object, what: str) -> bytes:
    if not isinstance(value, bytes):
        raise _form(f"{what} is no octet string")
    return value


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _form(f"{what} is no number of 0 or more")
    return value


def _form(detail: str) -> ManifestError:
    return ManifestError(ManifestReason.FORM, detail)
