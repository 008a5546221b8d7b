# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501 - one row, one line
"""Each function of the Crypto API with each error that its page documents."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.psa import algorithms, formats
from openami.psa.attributes import KeyAttributes, KeyType, Usage
from openami.psa.crypto import LARGEST_RANDOM_OCTETS
from openami.psa.derivation import UNLIMITED_OCTETS, Step
from openami.psa.operations import State
from openami.psa.status import PsaError, Status
from psaworld import ALL, World

GCM, CCM, SHA_256, ECDH = algorithms.GCM, algorithms.CCM, algorithms.SHA_256, algorithms.ECDH
ECDSA, HMAC = algorithms.ecdsa(SHA_256), algorithms.hmac(SHA_256)
HKDF, PRF = algorithms.hkdf(SHA_256), algorithms.tls12_prf(SHA_256)
AGREE_HKDF = algorithms.key_agreement(ECDH, HKDF)
CBC, PKCS7, ECB = algorithms.CBC_NO_PADDING, algorithms.CBC_PKCS7, algorithms.ECB_NO_PADDING
WRONG_KIND = {"hash": GCM, "mac": SHA_256, "cipher": GCM, "aead": CBC, "sign": HMAC}
CHACHA, CFB, MD5, RSA, CBC_MAC = 0x05100500, 0x04C01100, 0x02000003, 0x06000209, 0x03C00100

PAIR, AES = KeyType.ECC_KEY_PAIR_SECP_R1, KeyType.AES
MATERIAL = {
    AES: bytes(16),
    PAIR: b"\x01" * 32,
    KeyType.HMAC: bytes(16),
    KeyType.DES: bytes(24),
    KeyType.DERIVE: bytes(16),
    KeyType.RAW_DATA: bytes(16),
}

EXPORTABLE = KeyAttributes(type=KeyType.HMAC, usage=Usage.EXPORT)

Call = Callable[[Any, int], object]
ROWS: list[tuple[str, KeyType, int, Call, Status]] = [
    ("hash_compute: no hash", AES, 0, lambda c, _: c.hash_compute(GCM, b""), Status.INVALID_ARGUMENT),
    ("hash_compute: any hash", AES, 0, lambda c, _: c.hash_compute(algorithms.ANY_HASH, b""), Status.INVALID_ARGUMENT),
    ("hash_compute: MD5", AES, 0, lambda c, _: c.hash_compute(MD5, b""), Status.NOT_SUPPORTED),
    ("hash_compare: other hash", AES, 0, lambda c, _: c.hash_compare(SHA_256, b"", bytes(32)), Status.INVALID_SIGNATURE),
    ("hash_compare: short hash", AES, 0, lambda c, _: c.hash_compare(SHA_256, b"", b""), Status.INVALID_SIGNATURE),
    ("hash_setup: no hash", AES, 0, lambda c, _: c.hash_operation().setup(GCM), Status.INVALID_ARGUMENT),
    ("mac_compute: no MAC", AES, GCM, lambda c, k: c.mac_compute(k, GCM, b""), Status.INVALID_ARGUMENT),
    ("mac_compute: wildcard", AES, algorithms.at_least_mac(HMAC, 8), lambda c, k: c.mac_compute(k, algorithms.at_least_mac(HMAC, 8), b""), Status.INVALID_ARGUMENT),
    ("mac_compute: HMAC with AES", AES, HMAC, lambda c, k: c.mac_compute(k, HMAC, b""), Status.INVALID_ARGUMENT),
    ("mac_compute: CMAC with HMAC", KeyType.HMAC, algorithms.CMAC, lambda c, k: c.mac_compute(k, algorithms.CMAC, b""), Status.INVALID_ARGUMENT),
    ("mac_compute: CBC-MAC", AES, CBC_MAC, lambda c, k: c.mac_compute(k, CBC_MAC, b""), Status.NOT_SUPPORTED),
    ("mac_compute: too long", KeyType.HMAC, HMAC | 33 << 16, lambda c, k: c.mac_compute(k, HMAC | 33 << 16, b""), Status.INVALID_ARGUMENT),
    ("mac_compute: too short", KeyType.HMAC, HMAC | 3 << 16, lambda c, k: c.mac_compute(k, HMAC | 3 << 16, b""), Status.NOT_SUPPORTED),
    ("mac_verify: other MAC", KeyType.HMAC, HMAC, lambda c, k: c.mac_verify(k, HMAC, b"", bytes(32)), Status.INVALID_SIGNATURE),
    ("cipher_encrypt: AEAD", AES, GCM, lambda c, k: c.cipher_encrypt(k, GCM, b""), Status.INVALID_ARGUMENT),
    ("cipher_encrypt: CFB", AES, CFB, lambda c, k: c.cipher_encrypt(k, CFB, b""), Status.NOT_SUPPORTED),
    ("cipher_encrypt: CTR with DES", KeyType.DES, algorithms.CTR, lambda c, k: c.cipher_encrypt(k, algorithms.CTR, b""), Status.INVALID_ARGUMENT),
    ("cipher_encrypt: CBC with HMAC", KeyType.HMAC, CBC, lambda c, k: c.cipher_encrypt(k, CBC, b""), Status.INVALID_ARGUMENT),
    ("cipher_encrypt: half a block", AES, CBC, lambda c, k: c.cipher_encrypt(k, CBC, bytes(8)), Status.INVALID_ARGUMENT),
    ("cipher_encrypt: half a block, ECB", AES, ECB, lambda c, k: c.cipher_encrypt(k, ECB, bytes(8)), Status.INVALID_ARGUMENT),
    ("cipher_decrypt: no IV", AES, CBC, lambda c, k: c.cipher_decrypt(k, CBC, bytes(15)), Status.INVALID_ARGUMENT),
    ("cipher_decrypt: half a block", AES, CBC, lambda c, k: c.cipher_decrypt(k, CBC, bytes(24)), Status.INVALID_ARGUMENT),
    ("cipher_decrypt: half a block, padded", AES, PKCS7, lambda c, k: c.cipher_decrypt(k, PKCS7, bytes(24)), Status.INVALID_ARGUMENT),
    ("cipher_decrypt: wrong padding", AES, PKCS7, lambda c, k: c.cipher_decrypt(k, PKCS7, bytes(32)), Status.INVALID_PADDING),
    ("cipher_decrypt: no block", AES, PKCS7, lambda c, k: c.cipher_decrypt(k, PKCS7, bytes(16)), Status.INVALID_PADDING),
    ("aead_encrypt: cipher", AES, CBC, lambda c, k: c.aead_encrypt(k, CBC, bytes(12), b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: wildcard", AES, algorithms.at_least_tag(GCM, 8), lambda c, k: c.aead_encrypt(k, algorithms.at_least_tag(GCM, 8), bytes(12), b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: ChaCha", AES, CHACHA, lambda c, k: c.aead_encrypt(k, CHACHA, bytes(12), b"", b""), Status.NOT_SUPPORTED),
    ("aead_encrypt: tag of 5", AES, algorithms.shortened_tag(GCM, 5), lambda c, k: c.aead_encrypt(k, algorithms.shortened_tag(GCM, 5), bytes(12), b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: HMAC key", KeyType.HMAC, GCM, lambda c, k: c.aead_encrypt(k, GCM, bytes(12), b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: GCM nonce", AES, GCM, lambda c, k: c.aead_encrypt(k, GCM, b"", b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: CCM nonce", AES, CCM, lambda c, k: c.aead_encrypt(k, CCM, bytes(14), b"", b""), Status.INVALID_ARGUMENT),
    ("aead_encrypt: CCM too long", AES, CCM, lambda c, k: c.aead_encrypt(k, CCM, bytes(13), b"", bytes(65536)), Status.INVALID_ARGUMENT),
    ("aead_decrypt: shorter than a tag", AES, GCM, lambda c, k: c.aead_decrypt(k, GCM, bytes(12), b"", bytes(15)), Status.INVALID_SIGNATURE),
    ("aead_decrypt: wrong tag", AES, CCM, lambda c, k: c.aead_decrypt(k, CCM, bytes(13), b"", bytes(20)), Status.INVALID_SIGNATURE),
    ("sign_hash: MAC", KeyType.HMAC, HMAC, lambda c, k: c.sign_hash(k, HMAC, bytes(32)), Status.INVALID_ARGUMENT),
    ("sign_hash: RSA", PAIR, RSA, lambda c, k: c.sign_hash(k, RSA, bytes(32)), Status.NOT_SUPPORTED),
    ("sign_hash: wildcard", PAIR, algorithms.ecdsa(algorithms.ANY_HASH), lambda c, k: c.sign_hash(k, algorithms.ecdsa(algorithms.ANY_HASH), bytes(32)), Status.INVALID_ARGUMENT),
    ("sign_hash: symmetric key", AES, ECDSA, lambda c, k: c.sign_hash(k, ECDSA, bytes(32)), Status.INVALID_ARGUMENT),
    ("sign_hash: wrong length", PAIR, ECDSA, lambda c, k: c.sign_hash(k, ECDSA, bytes(31)), Status.INVALID_ARGUMENT),
    ("sign_hash: no hash has 33", PAIR, algorithms.ECDSA_ANY, lambda c, k: c.sign_hash(k, algorithms.ECDSA_ANY, bytes(33)), Status.INVALID_ARGUMENT),
    ("sign_message: without a hash", PAIR, algorithms.ECDSA_ANY, lambda c, k: c.sign_message(k, algorithms.ECDSA_ANY, b""), Status.INVALID_ARGUMENT),
    ("sign_message: MD5", PAIR, algorithms.ecdsa(MD5), lambda c, k: c.sign_message(k, algorithms.ecdsa(MD5), b""), Status.NOT_SUPPORTED),
    ("verify_hash: MAC", KeyType.HMAC, HMAC, lambda c, k: c.verify_hash(k, HMAC, bytes(32), bytes(64)), Status.INVALID_ARGUMENT),
    ("verify_hash: wildcard", PAIR, algorithms.ecdsa(algorithms.ANY_HASH), lambda c, k: c.verify_hash(k, algorithms.ecdsa(algorithms.ANY_HASH), bytes(32), bytes(64)), Status.INVALID_ARGUMENT),
    ("verify_message: wildcard", PAIR, algorithms.ecdsa(algorithms.ANY_HASH), lambda c, k: c.verify_message(k, algorithms.ecdsa(algorithms.ANY_HASH), b"", bytes(64)), Status.INVALID_ARGUMENT),
    ("sign_message: wildcard", PAIR, algorithms.ecdsa(algorithms.ANY_HASH), lambda c, k: c.sign_message(k, algorithms.ecdsa(algorithms.ANY_HASH), b""), Status.INVALID_ARGUMENT),
    ("verify_hash: wrong length", PAIR, ECDSA, lambda c, k: c.verify_hash(k, ECDSA, bytes(31), bytes(64)), Status.INVALID_ARGUMENT),
    ("verify_hash: other signature", PAIR, ECDSA, lambda c, k: c.verify_hash(k, ECDSA, bytes(32), bytes(64)), Status.INVALID_SIGNATURE),
    ("verify_message: odd signature", PAIR, ECDSA, lambda c, k: c.verify_message(k, ECDSA, b"", bytes(63)), Status.INVALID_SIGNATURE),
    ("raw_key_agreement: signature", PAIR, ECDSA, lambda c, k: c.raw_key_agreement(ECDSA, k, b""), Status.INVALID_ARGUMENT),
    ("raw_key_agreement: with derivation", PAIR, AGREE_HKDF, lambda c, k: c.raw_key_agreement(AGREE_HKDF, k, b""), Status.INVALID_ARGUMENT),
    ("raw_key_agreement: FFDH", PAIR, 0x09010000, lambda c, k: c.raw_key_agreement(0x09010000, k, b""), Status.NOT_SUPPORTED),
    ("raw_key_agreement: symmetric key", AES, ECDH, lambda c, k: c.raw_key_agreement(ECDH, k, b""), Status.INVALID_ARGUMENT),
    ("raw_key_agreement: no point", PAIR, ECDH, lambda c, k: c.raw_key_agreement(ECDH, k, b"\x04" + bytes(64)), Status.INVALID_ARGUMENT),
    ("raw_key_agreement: other curve", PAIR, ECDH, lambda c, k: c.raw_key_agreement(ECDH, k, b"\x04" + bytes(96)), Status.INVALID_ARGUMENT),
    ("key_agreement: as AES", PAIR, ECDH, lambda c, k: c.key_agreement(k, c.export_public_key(k), ECDH, KeyAttributes(type=AES)), Status.INVALID_ARGUMENT),
    ("wrap_key: cipher", AES, CBC, lambda c, k: c.wrap_key(k, CBC, k), Status.INVALID_ARGUMENT),
    ("wrap_key: with padding", AES, 0x0BC00200, lambda c, k: c.wrap_key(k, 0x0BC00200, k), Status.NOT_SUPPORTED),
    ("wrap_key: HMAC key", KeyType.HMAC, algorithms.AES_KW, lambda c, k: c.wrap_key(k, algorithms.AES_KW, k), Status.INVALID_ARGUMENT),
    ("wrap_key: no such key inside", AES, algorithms.AES_KW, lambda c, k: c.wrap_key(k, algorithms.AES_KW, 9), Status.INVALID_HANDLE),
    ("wrap_key: one block", AES, algorithms.AES_KW, lambda c, k: c.wrap_key(k, algorithms.AES_KW, c.import_key(EXPORTABLE, bytes(8))), Status.INVALID_ARGUMENT),
    ("wrap_key: half a block", AES, algorithms.AES_KW, lambda c, k: c.wrap_key(k, algorithms.AES_KW, c.import_key(EXPORTABLE, bytes(20))), Status.INVALID_ARGUMENT),
    ("wrap_key: not exportable", AES, algorithms.AES_KW, lambda c, k: c.wrap_key(k, algorithms.AES_KW, c.import_key(KeyAttributes(type=AES), bytes(16))), Status.NOT_PERMITTED),
    ("unwrap_key: altered", AES, algorithms.AES_KW, lambda c, k: c.unwrap_key(KeyAttributes(type=AES), k, algorithms.AES_KW, bytes(24)), Status.INVALID_SIGNATURE),
    ("unwrap_key: too short", AES, algorithms.AES_KW, lambda c, k: c.unwrap_key(KeyAttributes(type=AES), k, algorithms.AES_KW, bytes(7)), Status.INVALID_SIGNATURE),
    ("generate_random: too much", AES, 0, lambda c, _: c.generate_random(LARGEST_RANDOM_OCTETS + 1), Status.INVALID_ARGUMENT),
    ("key_derivation_setup: no derivation", AES, 0, lambda c, _: c.key_derivation().setup(GCM), Status.INVALID_ARGUMENT),
    ("key_derivation_setup: agreement alone", AES, 0, lambda c, _: c.key_derivation().setup(ECDH), Status.INVALID_ARGUMENT),
    ("key_derivation_setup: PBKDF2", AES, 0, lambda c, _: c.key_derivation().setup(0x08800109), Status.NOT_SUPPORTED),
    ("key_derivation_setup: FFDH", AES, 0, lambda c, _: c.key_derivation().setup(0x09010109), Status.NOT_SUPPORTED),
    ("key_derivation_setup: MD5", AES, 0, lambda c, _: c.key_derivation().setup(algorithms.hkdf(MD5)), Status.NOT_SUPPORTED),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "alg", "call", "status"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS]
)
def test_each_documented_error(kind: KeyType, alg: int, call: Call, status: Status) -> None:
    world = World()
    with pytest.raises(PsaError) as caught:
        call(world.crypto, world.key(kind, alg, MATERIAL[kind]))
    assert caught.value.status is status, caught.value


def status_of(call: Callable[[], object]) -> Status:
    with pytest.raises(PsaError) as caught:
        call()
    return caught.value.status


@pytest.mark.parametrize("opens", [False, True])
@pytest.mark.parametrize("alg", [GCM, CCM])
def test_lengths_that_were_said_are_kept(alg: int, *, opens: bool) -> None:
    world = World()
    key = world.key(AES, alg, bytes(16))

    def begun(ad: int, data: int) -> Any:
        operation = world.crypto.aead_operation()
        (operation.decrypt_setup if opens else operation.encrypt_setup)(key, alg)
        operation.set_lengths(ad, data)
        operation.set_nonce(bytes(12))
        return operation

    assert status_of(lambda: begun(1, 1).update_ad(b"ab")) is Status.INVALID_ARGUMENT
    assert status_of(lambda: begun(1, 1).update(b"")) is Status.INVALID_ARGUMENT
    assert status_of(lambda: begun(0, 1).update(b"ab")) is Status.INVALID_ARGUMENT
    for operation in (begun(1, 0), begun(0, 1)):
        end = (lambda it: it.verify(bytes(16))) if opens else (lambda it: it.finish())
        assert status_of(lambda it=operation, end=end: end(it)) is Status.INVALID_ARGUMENT
    assert status_of(lambda: begun(-1, 0)) is Status.INVALID_ARGUMENT


def test_ccm_needs_its_lengths_before_the_nonce() -> None:
    world = World()
    key = world.key(AES, CCM, bytes(16))
    for call in (lambda it: it.set_nonce(bytes(12)), lambda it: it.generate_nonce()):
        operation = world.crypto.aead_operation()
        operation.encrypt_setup(key, CCM)
        assert status_of(lambda it=operation, call=call: call(it)) is Status.BAD_STATE
        assert operation.state is State.ERROR
    operation.abort()
    operation.encrypt_setup(key, CCM)
    operation.set_lengths(0, 1)
    assert len(operation.generate_nonce()) == 13
    assert operation.update(b"x") == b""
    ciphertext, tag = operation.finish()
    assert (len(ciphertext), len(tag)) == (1, 16)


def test_a_tag_of_another_length_is_no_tag() -> None:
    world = World()
    key = world.key(AES, algorithms.at_least_tag(GCM, 12), bytes(16))
    sealed = world.crypto.aead_encrypt(key, GCM, bytes(12), b"", b"")
    short = algorithms.shortened_tag(GCM, 12)
    assert world.crypto.aead_decrypt(key, short, bytes(12), b"", sealed[:12]) == b""
    operation = world.crypto.aead_operation()
    operation.decrypt_setup(key, short)
    operation.set_nonce(bytes(12))
    assert status_of(lambda: operation.verify(sealed)) is Status.INVALID_SIGNATURE


STEPS = {
    "out of order": (PRF, [Step.SECRET], Status.BAD_STATE),
    "twice": (HKDF, [Step.INFO, Step.INFO], Status.BAD_STATE),
    "salt behind the secret": (HKDF, [Step.SECRET, Step.SALT], Status.BAD_STATE),
    "label first": (PRF, [Step.SEED, Step.LABEL], Status.BAD_STATE),
    "no such step": (HKDF, [Step.SEED], Status.INVALID_ARGUMENT),
    "no step at all": (HKDF, [0x7777], Status.INVALID_ARGUMENT),
    "info of extract": (algorithms.hkdf_extract(SHA_256), [Step.INFO], Status.INVALID_ARGUMENT),
    "extract without salt": (algorithms.hkdf_extract(SHA_256), [Step.SECRET], Status.BAD_STATE),
    "salt of expand": (algorithms.hkdf_expand(SHA_256), [Step.SALT], Status.INVALID_ARGUMENT),
}


@pytest.mark.parametrize(("alg", "steps", "status"), STEPS.values(), ids=STEPS)
def test_steps_come_in_their_order(alg: int, steps: list[int], status: Status) -> None:
    operation = World().crypto.key_derivation()
    operation.setup(alg)
    for step in steps[:-1]:
        operation.input_bytes(step, b"x")
    assert status_of(lambda: operation.input_bytes(steps[-1], b"x")) is status
    assert operation.state is State.ERROR


def derivation(world: World, usage: Usage | None, alg: int = HKDF) -> Any:
    operation = world.crypto.key_derivation()
    operation.setup(alg)
    if usage is None:
        operation.input_bytes(Step.SECRET, bytes(16))
    else:
        key = world.key(KeyType.DERIVE, alg, bytes(16), usage)
        operation.input_key(Step.SECRET, key)
    operation.input_bytes(Step.INFO, b"info")
    return operation


MADE = KeyAttributes(type=AES, bits=128, usage=ALL, alg=GCM)


def test_what_a_derivation_may_give_depends_on_what_went_in() -> None:
    world = World()
    derive, verify = Usage.DERIVE, Usage.VERIFY_DERIVATION
    octets = derivation(world, derive).output_bytes(16)
    assert derivation(world, None).output_bytes(16) == octets
    key = derivation(world, derive).output_key(MADE)
    assert world.crypto.export_key(key) == octets
    assert status_of(lambda: derivation(world, None).output_key(MADE)) is Status.NOT_PERMITTED
    assert status_of(lambda: derivation(world, verify).output_key(MADE)) is Status.NOT_PERMITTED
    assert status_of(lambda: derivation(world, verify).output_bytes(1)) is Status.NOT_PERMITTED
    for usage in (None, derive, verify, derive | verify):
        derivation(world, usage).verify_bytes(octets)
        operation = derivation(world, usage)
        assert status_of(lambda it=operation: it.verify_bytes(bytes(16))) is (
            Status.INVALID_SIGNATURE
        )
        expected = world.key(KeyType.RAW_DATA, HKDF, octets)
        derivation(world, usage).verify_key(expected)
    unfit = world.key(KeyType.RAW_DATA, HKDF, octets, Usage.DERIVE)
    assert status_of(lambda: derivation(world, derive).verify_key(unfit)) is Status.NOT_PERMITTED
    public = KeyAttributes(type=KeyType.ECC_PUBLIC_KEY_SECP_R1, bits=256)
    assert status_of(lambda: derivation(world, derive).output_key(public)) is (
        Status.INVALID_ARGUMENT
    )
    unsized = KeyAttributes(type=AES)
    assert status_of(lambda: derivation(world, derive).output_key(unsized)) is (
        Status.INVALID_ARGUMENT
    )


def test_derivation_takes_keys_of_the_right_type_only() -> None:
    world = World()
    operation = world.crypto.key_derivation()
    operation.setup(HKDF)
    raw = world.key(KeyType.RAW_DATA, HKDF, b"info")
    operation.input_key(Step.INFO, raw)
    assert status_of(lambda: operation.input_key(Step.SECRET, raw)) is Status.INVALID_ARGUMENT
    operation.abort()
    operation.setup(HKDF)
    assert status_of(lambda: operation.input_integer(Step.COST, 1)) is Status.INVALID_ARGUMENT
    operation.abort()
    operation.setup(HKDF)
    assert status_of(lambda: operation.key_agreement(Step.SECRET, raw, b"")) is (
        Status.INVALID_ARGUMENT
    )


def test_capacity_only_shrinks_and_ends() -> None:
    world = World()
    operation = derivation(world, Usage.DERIVE)
    assert operation.get_capacity() == 255 * 32
    operation.set_capacity(50)
    assert status_of(lambda: operation.set_capacity(51)) is Status.INVALID_ARGUMENT
    assert operation.get_capacity() == 50, "a refused capacity changes nothing"
    operation.output_bytes(20)
    assert operation.get_capacity() == 30
    assert status_of(lambda: operation.output_bytes(31)) is Status.INSUFFICIENT_DATA
    assert operation.get_capacity() == 0
    assert status_of(lambda: operation.output_bytes(1)) is Status.INSUFFICIENT_DATA
    assert status_of(lambda: derivation(world, None).output_bytes(-1)) is Status.INVALID_ARGUMENT
    prf = world.crypto.key_derivation()
    prf.setup(PRF)
    assert prf.get_capacity() == UNLIMITED_OCTETS


def test_agreement_goes_straight_into_a_derivation() -> None:
    world = World()
    ours = world.key(PAIR, ECDH, MATERIAL[PAIR])
    peer = formats.public_point(formats.private_key(b"\x02" * 32).public_key())
    operation = world.crypto.key_derivation()
    operation.setup(AGREE_HKDF)
    operation.key_agreement(Step.SECRET, ours, peer)
    operation.input_bytes(Step.INFO, b"info")
    made = world.crypto.export_key(operation.output_key(MADE))
    secret = world.crypto.key_agreement(
        ours, peer, ECDH, KeyAttributes(type=KeyType.DERIVE, usage=ALL, alg=HKDF)
    )
    apart = world.crypto.key_derivation()
    apart.setup(HKDF)
    apart.input_key(Step.SECRET, secret)
    apart.input_bytes(Step.INFO, b"info")
    assert apart.output_bytes(16) == made
    raw = world.crypto.raw_key_agreement(ECDH, ours, peer)
    assert world.crypto.export_key(secret) == raw
    wrong = world.crypto.key_derivation()
    wrong.setup(AGREE_HKDF)
    assert status_of(lambda: wrong.key_agreement(Step.INFO, ours, peer)) is (
        Status.INVALID_ARGUMENT
    )


def test_pairs_and_des_keys_are_derived_as_the_specification_says() -> None:
    world = World()
    stream = derivation(world, Usage.DERIVE).output_bytes(32)
    pair = derivation(world, Usage.DERIVE).output_key(
        KeyAttributes(type=PAIR, bits=256, usage=Usage.EXPORT)
    )
    assert int.from_bytes(world.crypto.export_key(pair)) == int.from_bytes(stream) + 1
    des = derivation(world, Usage.DERIVE).output_key(
        KeyAttributes(type=KeyType.DES, bits=192, usage=Usage.EXPORT)
    )
    assert world.crypto.export_key(des) == formats.odd_parity(stream[:24])


def test_a_number_that_is_no_private_key_is_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    order = formats.CURVES[256].order
    numbers = iter([2**256 - 1, order, order - 1, order - 2])
    operation = derivation(World(), Usage.DERIVE)
    monkeypatch.setattr(operation, "_read", lambda octets: next(numbers).to_bytes(octets))
    world_key = operation.output_key(KeyAttributes(type=PAIR, bits=256, usage=Usage.EXPORT))
    assert next(numbers, None) is None, "order - 1 gives the order, which is none"
    exported = operation._keys.export_key(operation._client, world_key)
    assert int.from_bytes(exported) == order - 1


@given(st.binary(max_size=200), st.sampled_from([CBC, PKCS7, ECB, algorithms.CTR]))
def test_decryption_inverts_encryption(octets: bytes, alg: int) -> None:
    world = World()
    for kind in (AES, KeyType.DES):
        if kind is KeyType.DES and alg == algorithms.CTR:
            continue
        if alg in {CBC, ECB}:
            octets = octets[: len(octets) // 16 * 16]
        key = world.key(kind, alg, MATERIAL[kind])
        sealed = world.crypto.cipher_encrypt(key, alg, octets)
        assert world.crypto.cipher_decrypt(key, alg, sealed) == octets


def test_signatures_travel_between_both_formats() -> None:
    world = World()
    key = world.key(PAIR, ECDSA, MATERIAL[PAIR])
    raw = world.crypto.sign_message(key, ECDSA, b"message")
    der = formats.signature_to_der(raw)
    assert der[0] == 0x30
    assert formats.signature_from_der(der, 32) == raw
    for wrong in (b"", der[:-1], formats.signature_to_der(b"\xff" * 96)):
        assert status_of(lambda it=wrong: formats.signature_from_der(it, 32)) is (
            Status.INVALID_SIGNATURE
        )
    for wrong in (b"", b"\x01"):
        assert status_of(lambda it=wrong: formats.signature_to_der(it)) is (
            Status.INVALID_SIGNATURE
        )


def test_any_hash_that_is_known_can_be_signed_raw() -> None:
    world = World()
    key = world.key(PAIR, algorithms.ECDSA_ANY, MATERIAL[PAIR])
    for octets in (20, 28, 32, 48, 64):
        signature = world.crypto.sign_hash(key, algorithms.ECDSA_ANY, bytes(octets))
        world.crypto.verify_hash(key, algorithms.ECDSA_ANY, bytes(octets), signature)


def test_two_parts_of_a_des_key_are_three() -> None:
    world = World()
    one, two = bytes(range(8)), bytes(range(8, 16))
    short = world.key(KeyType.DES, ECB, one + two)
    long = world.key(KeyType.DES, ECB, one + two + one)
    sealed = world.crypto.cipher_encrypt(short, ECB, bytes(16))
    assert sealed == world.crypto.cipher_encrypt(long, ECB, bytes(16))
    assert world.crypto.cipher_decrypt(short, ECB, sealed) == bytes(16)


@pytest.mark.parametrize("bits", [256, 384])
def test_private_keys_are_drawn_from_one_to_the_last(bits: int) -> None:
    """FIPS 186-5, A.2.1: the number modulo order - 1, and one."""
    order, octets = formats.CURVES[bits].order, bits // 8
    for drawn, expected in ((0, 1), (order - 2, order - 1), (order - 1, 1), (2**64 * order, None)):
        material = formats.fresh_material(PAIR, bits, lambda size, it=drawn: it.to_bytes(size))
        number = int.from_bytes(material)
        assert len(material) == octets
        assert number == (drawn % (order - 1) + 1 if expected is None else expected)


def test_an_operation_that_ended_holds_nothing() -> None:
    world = World()
    hashing = world.crypto.hash_operation()
    hashing.setup(SHA_256)
    hashing.finish()
    assert hashing._context is None
    aead = world.crypto.aead_operation()
    key = world.key(AES, GCM, bytes(16))
    for last in (aead.finish, aead.abort, lambda: aead.update_ad(b"")):
        aead.encrypt_setup(key, GCM)
        aead.set_nonce(bytes(12))
        if last not in {aead.finish, aead.abort}:
            aead.update(b"x")
            with pytest.raises(PsaError):
                last()
        else:
            last()
        assert aead._key is None
        assert aead._gcm is None
        aead.abort()
