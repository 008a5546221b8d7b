# SPDX-License-Identifier: Apache-2.0
"""SUIT manifests: the standard's examples, and everything that must be refused."""

import hashlib
from contextlib import suppress
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from hypothesis import given
from hypothesis import strategies as st

from firmware.made import FOLDER, OURS, SIGNS
from openami.firmware import cbor
from openami.firmware.keys import VerifyingKey, public_key
from openami.firmware.manifest import (
    Command,
    Envelope,
    Manifest,
    ManifestError,
    ManifestReason,
    Step,
    accept,
    digest_of,
    seal,
)
from openami.firmware.manifest_run import Code, Identity, Part, plan

R = ManifestReason
EXAMPLES = public_key((FOLDER / "suit-examples-pub.pem").read_bytes())
VENDOR = bytes.fromhex("fa6b4a53d5ad5fdfbe9de663e4d41ffe")
CLASS = bytes.fromhex("1492af1425695e48bf429b2d51f2ab45")
DIGEST = bytes.fromhex("00112233445566778899aabbccddeeff0123456789abcdeffedcba9876543210")
DEVICE = Identity(vendor_id=VENDOR, class_id=CLASS, slot=1)
IMAGE = b"an image"
ALL: object = True
NOT_ALL: object = False


def example(number: int) -> bytes:
    return (FOLDER / f"suit-example{number}.cbor").read_bytes()


@pytest.mark.parametrize(
    ("number", "steps", "uri", "invoked"),
    [
        (0, {Step.VALIDATE, Step.INVOKE}, None, True),
        (1, {Step.VALIDATE, Step.INSTALL}, "http://example.com/file.bin", False),
        (
            2,
            {Step.VALIDATE, Step.INVOKE, Step.INSTALL},
            "http://example.com/very/long/path/to/file/file.bin",
            True,
        ),
    ],
)
def test_the_examples_of_the_standard(
    number: int, steps: set[Step], uri: str | None, *, invoked: bool
) -> None:
    found = accept(example(number), (EXAMPLES,))
    assert found.sequence_number == number
    assert found.components == ((b"\x00",),)
    assert set(found.steps) == steps
    part = Part(component=(b"\x00",), uri=uri, sha256=DIGEST, size=34768, invoked=invoked)
    assert plan(found, DEVICE) == (part,)
    with pytest.raises(ManifestError) as caught:
        plan(found, Identity(vendor_id=VENDOR))
    assert caught.value.reason is R.CONDITION


def test_the_manifest_of_an_image_speaks_of_it() -> None:
    envelope = Envelope.decode((FOLDER / "suit-1.3.0.suit").read_bytes())
    assert cbor.decode(envelope.digest) == digest_of(envelope.octets)
    identity = Identity(
        vendor_id=bytes.fromhex("9a535eeaf4b4546d9b6efd15aad31133"),
        class_id=bytes.fromhex("bea8f128da715538b97bbcf7e63c84a5"),
    )
    (part,) = plan(envelope.manifest(), identity)
    part.verify((FOLDER / "good-1.3.0.bin").read_bytes())
    assert part.invoked
    assert part.uri is not None
    for other in ("good-1.2.3.bin", "bad-flip-payload.bin"):
        with pytest.raises(ManifestError, match="octets, not 24676"):
            part.verify((FOLDER / other).read_bytes())


def reason(octets: bytes, *keys: VerifyingKey, least: int = 0) -> R | None:
    try:
        accept(octets, keys or (EXAMPLES,), least_sequence=least)
    except ManifestError as error:
        return error.reason
    return None


def test_an_older_manifest_is_refused() -> None:
    assert reason(example(2), least=2) is None
    assert reason(example(2), least=3) is R.SEQUENCE


def test_a_key_that_is_not_trusted_is_refused() -> None:
    other = VerifyingKey.of(ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key())
    p384 = VerifyingKey.of(ec.derive_private_key(5, ec.SECP384R1()))
    assert reason(example(0), OURS) is R.SIGNATURE_WRONG
    assert reason(example(0), other, p384) is R.SIGNATURE_WRONG
    assert reason(example(0), OURS, EXAMPLES) is None


@pytest.mark.parametrize("number", [0, 1, 2])
def test_every_octet_that_was_changed_is_refused(number: int) -> None:
    octets = example(number)
    for at in range(len(octets)):
        changed = bytearray(octets)
        changed[at] ^= 1
        assert reason(bytes(changed)) is not None, at


def test_every_truncation_is_refused() -> None:
    octets = example(2)
    for end in range(len(octets)):
        assert reason(octets[:end]) is R.CBOR


@given(st.binary(max_size=100))
def test_any_octets_are_accepted_or_refused(octets: bytes) -> None:
    with suppress(ManifestError):
        Envelope.decode(octets).manifest()
    parts: dict[Any, Any] = {2: cbor.encode([b"", b""]), 3: octets}
    with suppress(ManifestError):
        Envelope.decode(cbor.encode(cbor.Tagged(107, parts))).manifest()


def sequence(*words: object) -> bytes:
    return cbor.encode(list(words))


PARAMETERS = {1: VENDOR, 2: CLASS, 3: cbor.encode([-16, hashlib.sha256(IMAGE).digest()]), 14: 8}


def made(install: bytes, *, shared: bytes | None = None, components: int = 1) -> Manifest:
    common = {
        2: [[bytes((number,))] for number in range(components)],
        4: shared or sequence(20, PARAMETERS, 1, 15, 2, 15),
    }
    octets = seal({1: 1, 2: 7, 3: cbor.encode(common), 20: install}, SIGNS)
    return accept(octets, (OURS,))


def test_a_manifest_of_ours() -> None:
    (part,) = plan(made(sequence(20, {21: "coaps://x/y"}, 21, 15, 3, 15, 23, 2)), DEVICE)
    assert (part.uri, part.size, part.invoked) == ("coaps://x/y", 8, True)
    part.verify(IMAGE)
    with pytest.raises(ManifestError, match="SHA-256"):
        part.verify(IMAGE[::-1])
    with pytest.raises(ManifestError, match="7 octets"):
        part.verify(IMAGE[1:])
    with pytest.raises(ManifestError, match="no digest"):
        Part(component=()).verify(IMAGE)


@pytest.mark.parametrize("slot", [0, 1])
def test_one_manifest_for_both_banks(slot: int) -> None:
    def bank(number: int) -> bytes:
        digest = cbor.encode([-16, hashlib.sha256(bytes((number,))).digest()])
        return sequence(20, {5: number, 3: digest}, 5, 15)

    install = sequence(15, [bank(0), bank(1)], 20, {21: "x"}, 21, 15, 3, 15)
    (part,) = plan(made(install), Identity(vendor_id=VENDOR, class_id=CLASS, slot=slot))
    assert part.slot == slot
    assert part.sha256 == hashlib.sha256(bytes((slot,))).digest()
    with pytest.raises(ManifestError, match="it is for slot 1"):
        plan(made(install), Identity(vendor_id=VENDOR, class_id=CLASS, slot=2))
    optional = sequence(15, [bank(7), None])
    (other,) = plan(made(optional), DEVICE)
    assert other.slot is None, "what a failed sequence set is forgotten"


def test_components_are_named_by_their_index() -> None:
    install = sequence(12, 1, 20, {21: "b"}, 21, 15, 12, ALL, 23, 2, 12, [0], 20, {21: "a"}, 21, 15)
    parts = plan(made(install, components=2), DEVICE)
    assert [(part.uri, part.invoked) for part in parts] == [("a", True), ("b", True)]
    nested = sequence(32, sequence(32, sequence(23, 2)))
    assert plan(made(nested), DEVICE)[0].invoked


def deep(levels: int) -> bytes:
    inner = sequence(23, 2)
    for _ in range(levels):
        inner = sequence(32, inner)
    return inner


@pytest.mark.parametrize(
    ("install", "wanted"),
    [
        (sequence(14, 15), R.CONDITION),
        (sequence(6, 15), R.UNSUPPORTED),
        (sequence(22, 15), R.UNSUPPORTED),
        (sequence(20, {13: True}), R.UNSUPPORTED),
        (sequence(20, {21: b"x"}), R.FORM),
        (sequence(20, []), R.FORM),
        (sequence(12, 1), R.FORM),
        (sequence(12, NOT_ALL), R.FORM),
        (sequence(12, "x"), R.FORM),
        (sequence(15, []), R.FORM),
        (sequence(15, [7]), R.FORM),
        (sequence(15, [sequence(6, 15), None]), R.UNSUPPORTED),
        (sequence(32, 7), R.FORM),
        (deep(10), R.UNSUPPORTED),
        (sequence(21, 15), R.MISSING),
        (sequence(5, 15), R.MISSING),
        (sequence(24, 15), R.MISSING),
        (sequence(20, {24: bytes(16)}, 24, 15), R.CONDITION),
        (sequence(20, {3: cbor.encode([-44, bytes(64)])}, 3, 15), R.UNSUPPORTED),
        (sequence(20, {3: b"\xff"}, 3, 15), R.CBOR),
    ],
)
def test_what_cannot_be_done_is_refused(install: bytes, wanted: R) -> None:
    with pytest.raises(ManifestError) as caught:
        plan(made(install), DEVICE)
    assert caught.value.reason is wanted
    assert caught.value.reason.sentence in str(caught.value)


COMMON = cbor.encode({2: [[b"\x00"]]})


@pytest.mark.parametrize(
    ("manifest", "wanted"),
    [
        ({1: 2, 2: 0, 3: COMMON}, R.VERSION),
        ({2: 0, 3: COMMON}, R.VERSION),
        ({1: 1, 3: COMMON}, R.FORM),
        ({1: 1, 2: -1, 3: COMMON}, R.FORM),
        ({1: 1, 2: 0}, R.FORM),
        ({1: 1, 2: 0, 3: cbor.encode({2: []})}, R.FORM),
        ({1: 1, 2: 0, 3: cbor.encode({2: [[]]})}, R.FORM),
        ({1: 1, 2: 0, 3: cbor.encode({2: [["x"]]})}, R.FORM),
        ({1: 1, 2: 0, 3: cbor.encode({2: [[b"\x00"]], 5: 1})}, R.FORM),
        ({1: 1, 2: 0, 3: COMMON, 4: b"x"}, R.FORM),
        ({1: 1, 2: 0, 3: COMMON, 99: 1}, R.UNSUPPORTED),
        ({1: 1, 2: 0, 3: COMMON, 7: sequence(3)}, R.FORM),
        ({1: 1, 2: 0, 3: COMMON, 7: sequence("a", 1)}, R.FORM),
        ({1: 1, 2: 0, 3: COMMON, 7: digest_of(b"")}, R.FORM),
        ({1: 1, 2: 0, 3: COMMON, 20: digest_of(b"")}, R.SEVERED),
        ({1: 1, 2: 0, 3: COMMON}, None),
    ],
)
def test_the_form_of_a_manifest(manifest: dict[object, object], wanted: R | None) -> None:
    assert reason(seal(manifest, SIGNS), OURS) is wanted


def envelope(**changes: Any) -> bytes:
    """Return a sound envelope with some of its elements exchanged."""
    sound = cbor.decode(seal({1: 1, 2: 0, 3: COMMON, 20: digest_of(sequence(23, 2))}, SIGNS))
    assert isinstance(sound, cbor.Tagged)
    assert isinstance(sound.value, dict)
    elements = sound.value | {20: sequence(23, 2)}
    tag = changes.pop("tag", 107)
    for key, value in changes.items():
        elements[int(key[1:]) if key[1:].isdigit() else key] = value
    return cbor.encode(cbor.Tagged(tag, elements))


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, None),
        ({"tag": 1070}, R.FORM),
        ({"_20": sequence(23, 3)}, R.SEVERED),
        ({"_23": b"x"}, R.SEVERED),
        ({"_16": 7}, R.FORM),
        ({"_5": b""}, R.FORM),
        ({"#app": b"payload"}, None),
        ({"app": b"payload"}, R.FORM),
        ({"_2": cbor.encode([])}, R.FORM),
        ({"_2": cbor.encode({})}, R.FORM),
        ({"_2": cbor.encode([b"\x00"])}, R.DIGEST),
        ({"_3": cbor.encode({1: 1})}, R.DIGEST),
    ],
)
def test_the_form_of_an_envelope(changes: dict[str, Any], wanted: R | None) -> None:
    assert reason(envelope(**changes), OURS) is wanted


def test_a_manifest_without_a_signature_is_refused() -> None:
    octets = cbor.encode({1: 1, 2: 0, 3: COMMON})
    digest = cbor.encode(digest_of(octets))
    for signatures, wanted in (([], R.SIGNATURE_MISSING), ([cbor.encode([])], R.FORM)):
        elements = {2: cbor.encode([digest, *signatures]), 3: octets}
        assert reason(cbor.encode(cbor.Tagged(107, elements)), OURS) is wanted


def test_commands_have_the_standards_numbers() -> None:
    assert Command(Code.FETCH, 2) == (21, 2)
    assert {code.value for code in Code} == {1, 2, 3, 5, 12, 14, 15, 20, 21, 23, 24, 32}
