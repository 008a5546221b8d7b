# SPDX-License-Identifier: Apache-2.0
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from firmware.made import DEVICE, OURS, SIGNS, entropy, image_of, payload_of
from openami.firmware.bootrecord import BootRecord
from openami.firmware.encrypt import PayloadKey, decrypt, wrap_key
from openami.firmware.errors import ImageError, KeyFormatError, Reason
from openami.firmware.image import Dependency, Image, ImageFlag, Version
from openami.firmware.keys import (
    AgreementKey,
    PrivateKey,
    VerifyingKey,
    decryption_key,
    encryption_key,
    private_key,
    public_key,
)
from openami.firmware.sign import Encryption, Recipe, recipe_of, sign, with_signature
from openami.firmware.tlv import Tlv, TlvType
from openami.firmware.verify import Policy, Verified, verify

POLICY = Policy(keys=(OURS,), counter=0)

KEYS: dict[str, Callable[[], PrivateKey]] = {
    "p256": lambda: SIGNS,
    "p384": lambda: ec.derive_private_key(77, ec.SECP384R1()),
    "ed25519": lambda: ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)),
    "rsa2048": lambda: rsa.generate_private_key(65537, 2048),
}


def reason(image: Image, policy: Policy = POLICY) -> Reason | None:
    try:
        verify(Image.decode(image.encode()), policy)
    except ImageError as error:
        return error.reason
    return None


def test_an_image_is_verified() -> None:
    image = image_of("1.2.3+4", counter=7)
    found = verify(image, POLICY)
    assert isinstance(found, Verified)
    assert (found.version, found.security_counter) == (Version(1, 2, 3, 4), 7)
    assert found.keyhash == OURS.keyhash
    assert found.digest == image.one(TlvType.SHA256)


@pytest.mark.parametrize("kind", KEYS)
def test_every_kind_of_key_signs(kind: str) -> None:
    key = KEYS[kind]()
    recipe = Recipe(version=Version(1), security_counter=1, sw_type="APP")
    image = sign(payload_of(500), recipe, key)
    policy = Policy(keys=(OURS, VerifyingKey.of(key)))
    assert reason(image, policy) is None
    altered = replace(image, payload=image.payload[:-1] + b"\x00")
    assert reason(altered, policy) is Reason.HASH_WRONG
    *others, signature = image.unprotected
    odd = Tlv(signature.type, signature.value[:-1] + bytes((signature.value[-1] ^ 1,)))
    assert reason(replace(image, unprotected=(*others, odd)), policy) is Reason.SIGNATURE_WRONG
    assert reason(image, Policy(keys=())) is Reason.KEY_UNKNOWN


def test_signatures_are_deterministic() -> None:
    assert image_of() == image_of()


def test_a_signature_over_the_image_itself() -> None:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))
    image = sign(payload_of(100), Recipe(version=Version(1), security_counter=1), key)
    selector = image.unprotected[1]
    pure = Tlv(TlvType.ED25519, key.sign(image.signed))
    marked = (image.unprotected[0], Tlv(TlvType.SIG_PURE, b"\x01"), selector, pure)
    policy = Policy(keys=(VerifyingKey.of(key),))
    assert reason(replace(image, unprotected=marked), policy) is None
    wrong = (image.unprotected[0], Tlv(TlvType.SIG_PURE, b"\x00"), selector, pure)
    assert reason(replace(image, unprotected=wrong), policy) is Reason.TLV_VALUE
    unmarked = (image.unprotected[0], selector, pure)
    assert reason(replace(image, unprotected=unmarked), policy) is Reason.SIGNATURE_WRONG
    mine = image_of()
    odd = replace(mine, unprotected=(*mine.unprotected, Tlv(TlvType.SIG_PURE, b"\x01")))
    assert reason(odd) is Reason.UNSUPPORTED


def test_a_key_may_come_whole() -> None:
    image = image_of()
    digest, _, signature = image.unprotected
    whole = replace(image, unprotected=(digest, Tlv(TlvType.PUBKEY, OURS.octets), signature))
    assert reason(whole) is None


def test_one_good_signature_is_enough_and_none_may_be_wrong() -> None:
    other = ec.derive_private_key(99, ec.SECP256R1())
    image = image_of()
    second = with_signature(replace(image, unprotected=()), other).unprotected[1:]
    both = replace(image, unprotected=(*image.unprotected, *second))
    assert reason(both) is None
    assert reason(both, Policy(keys=(VerifyingKey.of(other),))) is None
    stolen = (second[0], Tlv(TlvType.ECDSA_SIG, SIGNS.sign(b"another", ec.ECDSA(SHA256()))))
    swapped = replace(image, unprotected=(*image.unprotected, *stolen))
    trusting = Policy(keys=(OURS, VerifyingKey.of(other)))
    assert reason(swapped, trusting) is Reason.SIGNATURE_WRONG


def test_a_signature_needs_its_key_before_it() -> None:
    image = image_of()
    digest, selector, signature = image.unprotected
    for entries in ((digest, signature), (digest, signature, selector)):
        assert reason(replace(image, unprotected=entries)) is Reason.SIGNATURE_MISSING
    assert reason(replace(image, unprotected=(selector, signature))) is Reason.HASH_MISSING
    assert reason(replace(image, unprotected=(digest, selector))) is Reason.SIGNATURE_MISSING
    another = Tlv(TlvType.SHA512, bytes(64))
    twice = replace(image, unprotected=(*image.unprotected, another))
    assert reason(twice) is Reason.TLV_DUPLICATE
    ed = (digest, selector, Tlv(TlvType.ED25519, bytes(64)))
    assert reason(replace(image, unprotected=ed)) is Reason.SIGNATURE_WRONG


LONGEST_OCTETS = 72  # of a signature on P-256 in DER


def test_short_signatures_of_old_tools_may_be_padded() -> None:
    lengths = set()
    for counter in range(400):  # until one is short: in both numbers an octet is 0 at times
        image = image_of(counter=counter)
        digest, selector, signature = image.unprotected
        short = LONGEST_OCTETS - len(signature.value)
        lengths.add(short)
        if short > 2:
            break
        for zeros in range(1, short + 1):
            filled = Tlv(signature.type, signature.value + bytes(zeros))
            assert reason(replace(image, unprotected=(digest, selector, filled))) is None
    assert max(lengths) > 2
    for tail, wanted in (
        (bytes(short), None),
        (bytes(short + 1), Reason.SIGNATURE_WRONG),
        (bytes(short - 1) + b"\x01", Reason.SIGNATURE_WRONG),
    ):
        filled = Tlv(signature.type, signature.value + tail)
        assert reason(replace(image, unprotected=(digest, selector, filled))) is wanted


@pytest.mark.parametrize(
    ("counter", "demanded", "wanted"),
    [
        (5, 5, None),
        (6, 5, None),
        (4, 5, Reason.COUNTER_LOW),
        (None, 0, Reason.COUNTER_MISSING),
        (None, None, None),
        (0xFFFFFFFF, 0xFFFFFFFF, None),
    ],
)
def test_rolling_back(counter: int | None, demanded: int | None, wanted: Reason | None) -> None:
    policy = Policy(keys=(OURS,), counter=demanded)
    assert reason(image_of(counter=counter), policy) is wanted


@pytest.mark.parametrize(
    ("recipe", "policy", "wanted"),
    [
        ({"flags": ImageFlag.NON_BOOTABLE}, {}, Reason.NOT_BOOTABLE),
        ({"flags": ImageFlag.COMPRESSED_LZMA2}, {}, Reason.UNSUPPORTED),
        ({"flags": ImageFlag.RAM_LOAD}, {"address": 0x8000}, Reason.UNSUPPORTED),
        ({"flags": ImageFlag.RAM_LOAD}, {}, None),
        ({"flags": ImageFlag.ROM_FIXED, "address": 0x8000}, {"address": 0x48000}, Reason.ADDRESS),
        ({"flags": ImageFlag.ROM_FIXED, "address": 0x8000}, {"address": 0x8000}, None),
        ({}, {"address": 0x8000}, None),
        ({"vendor_id": bytes(16)}, {"vendor_id": bytes(16)}, None),
        ({"vendor_id": bytes(16)}, {"vendor_id": b"\x01" * 16}, Reason.VENDOR),
        ({}, {"vendor_id": bytes(16)}, Reason.VENDOR),
        ({}, {"class_id": bytes(16)}, Reason.IMAGE_CLASS),
        ({"dependencies": (Dependency(1, Version(2)),)}, {}, None),
        ({"dependencies": (Dependency(1, Version(2)),)}, {"images": {}}, Reason.DEPENDENCY),
    ],
)
def test_whom_an_image_is_for(
    recipe: dict[str, Any], policy: dict[str, Any], wanted: Reason | None
) -> None:
    assert reason(image_of(**recipe), Policy(keys=(OURS,), **policy)) is wanted


def test_the_boot_record_gets_its_measurement() -> None:
    image = image_of(sw_type="AMI-APP")
    raw = image.one(TlvType.BOOT_RECORD)
    assert raw is not None
    assert BootRecord.decode(raw).measurement == bytes(32)
    found = verify(image, POLICY)
    assert found.boot_record == BootRecord(
        sw_type="AMI-APP",
        version="1.0.0",
        signer_id=OURS.keyhash,
        description="SHA256",
        measurement=found.digest,
    )
    assert verify(image_of(), POLICY).boot_record is None


@pytest.mark.parametrize("octets", [b"\xa0", b"\x01", b"\xa1\x01\x61a", b"\xff"])
def test_a_boot_record_that_is_none_is_refused(octets: bytes) -> None:
    image = image_of(sw_type="AMI-APP")
    entries = tuple(
        Tlv(tlv.type, octets) if tlv.type == TlvType.BOOT_RECORD else tlv for tlv in image.protected
    )
    size = image.header.protect_tlv_size + len(octets) - len(image.protected[1].value)
    header = replace(image.header, protect_tlv_size=size)
    made = with_signature(replace(image, header=header, protected=entries), SIGNS)
    assert reason(made) is Reason.TLV_VALUE


@pytest.mark.parametrize("key_octets", [16, 32])
@pytest.mark.parametrize(
    "key", [DEVICE, x25519.X25519PrivateKey.from_private_bytes(bytes(32))], ids=["p256", "x25519"]
)
def test_an_encrypted_image(key: AgreementKey, key_octets: int) -> None:
    encryption = Encryption(recipient=key.public_key(), entropy=entropy(), key_octets=key_octets)
    recipe = Recipe(version=Version(1), security_counter=1)
    image = sign(payload_of(1000), recipe, SIGNS, encryption=encryption)
    assert payload_of(1000)[:64] not in image.encode()
    assert reason(image) is Reason.ENCRYPTED
    assert reason(image, replace(POLICY, decryption_key=key)) is None
    clear = decrypt(image, key)
    assert clear.payload[:1000] == payload_of(1000)
    assert reason(clear) is None
    wrong = ec.derive_private_key(3, ec.SECP256R1())
    assert reason(image, replace(POLICY, decryption_key=wrong)) is Reason.ENCRYPTION_KEY
    altered = replace(image, payload=bytes(len(image.payload)))
    assert reason(altered, replace(POLICY, decryption_key=key)) is Reason.HASH_WRONG


def test_what_wraps_a_key_is_checked() -> None:
    image = image_of(encrypted=True)
    *others, tlv = image.unprotected
    policy = replace(POLICY, decryption_key=DEVICE)
    for at in (0, 1, 64, 70, 112):
        odd = bytearray(tlv.value)
        odd[at] ^= 1
        changed = replace(image, unprotected=(*others, Tlv(tlv.type, bytes(odd))))
        assert reason(changed, policy) is Reason.ENCRYPTION_KEY
    missing = replace(image, unprotected=tuple(others))
    assert reason(missing, policy) is Reason.ENCRYPTION_MISSING
    long = wrap_key(PayloadKey(bytes(32)), DEVICE.public_key(), entropy())
    assert reason(replace(image, unprotected=(*others, long)), policy) is Reason.ENCRYPTION_KEY
    unmarked = image_of()
    carried = replace(unmarked, unprotected=(*unmarked.unprotected, tlv))
    assert reason(carried, policy) is Reason.FLAGS


def test_a_payload_is_opened_from_any_place() -> None:
    key = PayloadKey(bytes(range(16)))
    clear = payload_of(200)
    sealed = key.apply(clear)
    for start in range(0, 200, 7):
        assert key.apply(sealed[start : start + 50], start) == clear[start : start + 50]


def test_what_an_image_says_makes_it_anew() -> None:
    image = image_of(
        sw_type="APP",
        vendor_id=bytes(16),
        class_id=b"\x01" * 16,
        dependencies=(Dependency(1, Version(2)),),
        custom=(Tlv(0xA0, b"x"),),
    )
    assert sign(image.payload, recipe_of(image), SIGNS) == image


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        ({"header_octets": 31}, "32 to 65535"),
        ({"security_counter": 2**32}, "32 bits"),
        ({"security_counter": -1}, "32 bits"),
        ({"custom": (Tlv(0x50, b""),)}, "not a vendor's"),
        ({"custom": (Tlv(0xA0, b""), Tlv(0xA0, b"1"))}, "twice"),
        ({"dependencies": (Dependency(1, Version(2)), Dependency(1, Version(3)))}, "one image"),
    ],
)
def test_a_recipe_that_makes_no_image(wrong: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Recipe(version=Version(1), **wrong)


def test_keys_of_other_kinds_are_refused() -> None:
    def pem(key: Any, password: bytes | None = None) -> bytes:
        how = NoEncryption() if password is None else BestAvailableEncryption(password)
        return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))

    other = ec.derive_private_key(5, ec.SECP521R1())
    agreement = x25519.X25519PrivateKey.from_private_bytes(bytes(32))
    for octets in (b"", b"nonsense", pem(other), pem(agreement)):
        for read in (private_key, public_key):
            with pytest.raises(KeyFormatError):
                read(octets)
    with pytest.raises(KeyFormatError, match="another kind"):
        decryption_key(pem(other))
    public = other.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    with pytest.raises(KeyFormatError, match="another kind"):
        encryption_key(public)
    locked = pem(SIGNS, b"secret")
    with pytest.raises(KeyFormatError, match="holds no key in PEM: give a public key"):
        public_key(b"# A text, and no key")
    with pytest.raises(KeyFormatError, match="needs a password"):
        private_key(locked)
    with pytest.raises(KeyFormatError, match="this password"):
        private_key(locked, b"wrong")
    with pytest.raises(KeyFormatError, match="has no password"):
        private_key(pem(SIGNS), b"secret")
    assert VerifyingKey.of(private_key(locked, b"secret")) == OURS
    assert public_key(pem(SIGNS)) == OURS
    assert decryption_key(pem(agreement))
