# SPDX-License-Identifier: Apache-2.0
"""Keys and their policies: every function of key management, every error it documents."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.psa import algorithms, formats
from openami.psa.attributes import (
    BUILTIN_IDS,
    PERSISTENT,
    READ_ONLY,
    VOLATILE_IDS,
    KeyAttributes,
    KeyType,
    Usage,
)
from openami.psa.keystore import BuiltinKey, Key, KeyStore
from openami.psa.status import PsaError, Status
from psaworld import ALL, BUILTIN, CLIENT, OTHER, MemoryCabinet, Noise, World

GCM = algorithms.GCM
AES = KeyAttributes(type=KeyType.AES, usage=ALL, alg=GCM)
KEPT = replace(AES, lifetime=PERSISTENT, id=5)
PAIR = KeyAttributes(
    type=KeyType.ECC_KEY_PAIR_SECP_R1, bits=256, usage=ALL, alg=algorithms.ecdsa(algorithms.SHA_256)
)
P256_ORDER = formats.CURVES[256].order


@contextmanager
def refused(status: Status) -> Iterator[None]:
    with pytest.raises(PsaError) as caught:
        yield
    assert caught.value.status is status, caught.value
    assert str(caught.value).endswith(f"({status.name} {status.value})")


CREATIONS = {
    "no type": (replace(AES, type=KeyType.NONE), Status.NOT_SUPPORTED),
    "unknown type": (replace(AES, type=0x7001), Status.NOT_SUPPORTED),
    "unknown usage": (replace(AES, usage=1 << 20), Status.INVALID_ARGUMENT),
    "volatile with an id": (replace(AES, id=3), Status.INVALID_ARGUMENT),
    "persistent without an id": (replace(AES, lifetime=PERSISTENT), Status.INVALID_ARGUMENT),
    "persistent in the vendor's range": (
        replace(KEPT, id=BUILTIN_IDS.start),
        Status.INVALID_ARGUMENT,
    ),
    "read-only": (replace(KEPT, lifetime=READ_ONLY), Status.INVALID_ARGUMENT),
    "another level": (replace(KEPT, lifetime=2), Status.NOT_SUPPORTED),
    "another place": (replace(KEPT, lifetime=0x101), Status.NOT_SUPPORTED),
}


@pytest.mark.parametrize(("attributes", "status"), CREATIONS.values(), ids=CREATIONS)
def test_attributes_that_no_key_can_have_are_refused_by_all_that_create(
    attributes: KeyAttributes, status: Status
) -> None:
    world = World()
    wrapping = world.key(KeyType.AES, algorithms.AES_KW, bytes(16))
    wrapped = world.crypto.wrap_key(
        wrapping, algorithms.AES_KW, world.key(AES.type, GCM, bytes(16))
    )
    sized = replace(attributes, bits=128)
    before = len(world.cabinet.held)
    with refused(status):
        world.crypto.import_key(attributes, bytes(16))
    with refused(status):
        world.crypto.generate_key(sized)
    with refused(status):
        world.crypto.unwrap_key(attributes, wrapping, algorithms.AES_KW, wrapped)
    derivation = world.crypto.key_derivation()
    derivation.setup(algorithms.hkdf(algorithms.SHA_256))
    secret = world.key(KeyType.DERIVE, algorithms.hkdf(algorithms.SHA_256), bytes(16))
    derivation.input_key(0x0101, secret)
    derivation.input_bytes(0x0203, b"")
    with refused(status):
        derivation.output_key(sized)
    assert len(world.cabinet.held) == before


MATERIALS = {
    "AES of 15 octets": (KeyType.AES, bytes(15), 0, Status.INVALID_ARGUMENT),
    "AES of none": (KeyType.AES, b"", 0, Status.INVALID_ARGUMENT),
    "AES with other bits": (KeyType.AES, bytes(16), 256, Status.INVALID_ARGUMENT),
    "DES of one part": (KeyType.DES, bytes(8), 0, Status.NOT_SUPPORTED),
    "DES of 17 octets": (KeyType.DES, bytes(17), 0, Status.INVALID_ARGUMENT),
    "HMAC of none": (KeyType.HMAC, b"", 0, Status.INVALID_ARGUMENT),
    "raw data of none": (KeyType.RAW_DATA, b"", 0, Status.INVALID_ARGUMENT),
    "raw data too long": (KeyType.RAW_DATA, bytes(8192), 0, Status.NOT_SUPPORTED),
    "pair of zero": (KeyType.ECC_KEY_PAIR_SECP_R1, bytes(32), 0, Status.INVALID_ARGUMENT),
    "pair of the order": (
        KeyType.ECC_KEY_PAIR_SECP_R1,
        P256_ORDER.to_bytes(32),
        0,
        Status.INVALID_ARGUMENT,
    ),
    "pair of 33 octets": (KeyType.ECC_KEY_PAIR_SECP_R1, bytes(33), 0, Status.INVALID_ARGUMENT),
    "pair of P-521": (KeyType.ECC_KEY_PAIR_SECP_R1, b"\x01" * 66, 0, Status.NOT_SUPPORTED),
    "point off the curve": (
        KeyType.ECC_PUBLIC_KEY_SECP_R1,
        b"\x04" + b"\x01" * 64,
        0,
        Status.INVALID_ARGUMENT,
    ),
    "point compressed": (
        KeyType.ECC_PUBLIC_KEY_SECP_R1,
        b"\x02" + bytes(32),
        0,
        Status.INVALID_ARGUMENT,
    ),
    "point of none": (KeyType.ECC_PUBLIC_KEY_SECP_R1, b"", 0, Status.INVALID_ARGUMENT),
}


@pytest.mark.parametrize(("kind", "data", "bits", "status"), MATERIALS.values(), ids=MATERIALS)
def test_material_that_is_no_key_is_refused(
    kind: KeyType, data: bytes, bits: int, status: Status
) -> None:
    with refused(status):
        World().crypto.import_key(KeyAttributes(type=kind, bits=bits), data)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (KeyType.AES, bytes(32)),
        (KeyType.DES, bytes(24)),
        (KeyType.DES, bytes(16)),
        (KeyType.HMAC, b"k"),
        (KeyType.DERIVE, bytes(5)),
        (KeyType.RAW_DATA, bytes(8191)),
        (KeyType.ECC_KEY_PAIR_SECP_R1, (P256_ORDER - 1).to_bytes(32)),
        (KeyType.ECC_KEY_PAIR_SECP_R1, b"\x01" * 48),
    ],
)
def test_what_is_imported_is_exported(kind: KeyType, data: bytes) -> None:
    crypto = World().crypto
    key = crypto.import_key(KeyAttributes(type=kind, usage=Usage.EXPORT), data)
    assert key in VOLATILE_IDS
    assert crypto.export_key(key) == data
    assert crypto.get_key_attributes(key).bits == 8 * len(data)


@pytest.mark.parametrize(
    ("kind", "bits", "status"),
    [
        (KeyType.AES, 0, Status.INVALID_ARGUMENT),
        (KeyType.AES, 129, Status.INVALID_ARGUMENT),
        (KeyType.HMAC, 0, Status.INVALID_ARGUMENT),
        (KeyType.HMAC, 12, Status.INVALID_ARGUMENT),
        (KeyType.ECC_KEY_PAIR_SECP_R1, 0, Status.INVALID_ARGUMENT),
        (KeyType.ECC_KEY_PAIR_SECP_R1, 521, Status.NOT_SUPPORTED),
        (KeyType.ECC_PUBLIC_KEY_SECP_R1, 256, Status.INVALID_ARGUMENT),
    ],
)
def test_keys_of_no_size_are_not_generated(kind: KeyType, bits: int, status: Status) -> None:
    with refused(status):
        World().crypto.generate_key(KeyAttributes(type=kind, bits=bits))


@pytest.mark.parametrize(
    ("kind", "bits"),
    [
        (KeyType.AES, 128),
        (KeyType.AES, 256),
        (KeyType.DES, 192),
        (KeyType.HMAC, 256),
        (KeyType.ECC_KEY_PAIR_SECP_R1, 256),
        (KeyType.ECC_KEY_PAIR_SECP_R1, 384),
    ],
)
def test_generated_keys_are_new_each_time(kind: KeyType, bits: int) -> None:
    crypto = World().crypto
    made = KeyAttributes(type=kind, bits=bits, usage=Usage.EXPORT)
    found = [crypto.export_key(crypto.generate_key(made)) for _ in range(3)]
    assert len(set(found)) == 3
    assert {len(each) for each in found} == {bits // 8}
    if kind is KeyType.DES:
        assert all(octet.bit_count() % 2 for each in found for octet in each)


def test_persistent_keys_outlive_a_restart_and_volatile_ones_do_not() -> None:
    world = World()
    kept, gone = world.crypto.import_key(KEPT, bytes(16)), world.key(AES.type, GCM, bytes(16))
    assert kept == KEPT.id
    world.restart()
    assert world.crypto.get_key_attributes(kept) == replace(KEPT.normalized(), bits=128)
    with refused(Status.INVALID_HANDLE):
        world.crypto.export_key(gone)
    with refused(Status.ALREADY_EXISTS):
        world.crypto.import_key(KEPT, bytes(32))
    assert world.crypto.export_key(kept) == bytes(16)
    world.crypto.destroy_key(kept)
    world.crypto.import_key(KEPT, bytes(32))
    assert world.crypto.export_key(kept) == bytes(32)


NOBODY: dict[str, Callable[[World, int], object]] = {
    "export_key": lambda world, key: world.crypto.export_key(key),
    "export_public_key": lambda world, key: world.crypto.export_public_key(key),
    "get_key_attributes": lambda world, key: world.crypto.get_key_attributes(key),
    "purge_key": lambda world, key: world.crypto.purge_key(key),
    "copy_key": lambda world, key: world.crypto.copy_key(key, AES),
    "mac_compute": lambda world, key: world.crypto.mac_compute(key, algorithms.CMAC, b""),
    "mac_verify": lambda world, key: world.crypto.mac_verify(key, algorithms.CMAC, b"", b""),
    "cipher_encrypt": lambda world, key: world.crypto.cipher_encrypt(key, algorithms.CTR, b""),
    "cipher_decrypt": lambda world, key: world.crypto.cipher_decrypt(key, algorithms.CTR, b""),
    "aead_encrypt": lambda world, key: world.crypto.aead_encrypt(key, GCM, b"", b"", b""),
    "aead_decrypt": lambda world, key: world.crypto.aead_decrypt(key, GCM, b"", b"", b""),
    "sign_hash": lambda world, key: world.crypto.sign_hash(key, PAIR.alg, b""),
    "sign_message": lambda world, key: world.crypto.sign_message(key, PAIR.alg, b""),
    "verify_hash": lambda world, key: world.crypto.verify_hash(key, PAIR.alg, b"", b""),
    "verify_message": lambda world, key: world.crypto.verify_message(key, PAIR.alg, b"", b""),
    "raw_key_agreement": lambda world, key: world.crypto.raw_key_agreement(
        algorithms.ECDH, key, b""
    ),
    "key_agreement": lambda world, key: world.crypto.key_agreement(
        key, b"", algorithms.ECDH, KeyAttributes(type=KeyType.DERIVE)
    ),
    "wrap_key": lambda world, key: world.crypto.wrap_key(key, algorithms.AES_KW, key),
    "unwrap_key": lambda world, key: world.crypto.unwrap_key(AES, key, algorithms.AES_KW, b""),
}
USES = sorted(
    NOBODY.keys() - {"export_key", "export_public_key", "get_key_attributes", "purge_key"}
)


@pytest.mark.parametrize("name", NOBODY)
@pytest.mark.parametrize("key", [0, 9, 0x3FFFFFFF, BUILTIN_IDS.start + 9, 0x7FFFFFFF, 0xFFFFFFFF])
def test_a_key_that_is_not_there_is_no_handle(name: str, key: int) -> None:
    with refused(Status.INVALID_HANDLE):
        NOBODY[name](World(), key)


@pytest.mark.parametrize("name", NOBODY)
def test_keys_of_one_client_are_not_there_for_another(name: str) -> None:
    world = World()
    for attributes in (AES, KEPT):
        theirs = world.other.import_key(attributes, bytes(16))
        with refused(Status.INVALID_HANDLE):
            NOBODY[name](world, theirs)


@pytest.mark.parametrize("name", USES)
def test_a_key_without_usage_flags_is_good_for_nothing(name: str) -> None:
    world = World()
    key = world.crypto.import_key(replace(AES, usage=Usage.EXPORT | Usage.CACHE), bytes(16))
    with refused(Status.NOT_PERMITTED):
        NOBODY[name](world, key)


@pytest.mark.parametrize("name", [name for name in USES if name != "copy_key"])
def test_a_key_with_another_algorithm_is_not_permitted(name: str) -> None:
    world = World()
    for alg in (algorithms.NONE, algorithms.CBC_NO_PADDING):
        key = world.crypto.import_key(replace(AES, alg=alg), bytes(16))
        with refused(Status.NOT_PERMITTED):
            NOBODY[name](world, key)


def test_export_needs_its_flag_and_the_public_half_does_not() -> None:
    crypto = World().crypto
    pair = crypto.generate_key(replace(PAIR, usage=Usage.SIGN_MESSAGE))
    with refused(Status.NOT_PERMITTED):
        crypto.export_key(pair)
    point = crypto.export_public_key(pair)
    assert (len(point), point[0]) == (65, 4)
    public = crypto.import_key(KeyAttributes(type=KeyType.ECC_PUBLIC_KEY_SECP_R1, bits=256), point)
    assert crypto.export_key(public) == crypto.export_public_key(public) == point
    with refused(Status.INVALID_ARGUMENT):
        crypto.export_public_key(crypto.import_key(AES, bytes(16)))


def test_a_flag_for_hashes_is_one_for_messages_too() -> None:
    crypto = World().crypto
    key = crypto.generate_key(replace(PAIR, usage=Usage.SIGN_HASH | Usage.VERIFY_HASH))
    assert crypto.get_key_attributes(key).usage == (
        Usage.SIGN_HASH | Usage.SIGN_MESSAGE | Usage.VERIFY_HASH | Usage.VERIFY_MESSAGE
    )
    only = crypto.generate_key(replace(PAIR, usage=Usage.SIGN_MESSAGE))
    with refused(Status.NOT_PERMITTED):
        crypto.sign_hash(only, PAIR.alg, bytes(32))


def test_a_copy_is_never_wider_than_its_source() -> None:
    crypto = World().crypto
    wide = algorithms.at_least_tag(GCM, 8)
    usage = Usage.COPY | Usage.ENCRYPT | Usage.DECRYPT
    source = crypto.import_key(replace(AES, alg=wide, usage=usage), bytes(range(16)))
    narrow = algorithms.shortened_tag(GCM, 12)
    copy = crypto.copy_key(source, KeyAttributes(type=0, usage=ALL & ~Usage.DECRYPT, alg=narrow))
    held = crypto.get_key_attributes(copy)
    assert (held.alg, held.usage) == (narrow, Usage.COPY | Usage.ENCRYPT)
    assert (held.type, held.bits) == (KeyType.AES, 128)
    assert crypto.get_key_attributes(crypto.copy_key(copy, replace(AES, alg=wide))).alg == narrow
    kept = crypto.copy_key(source, replace(KEPT, alg=narrow))
    crypto.destroy_key(source)
    assert crypto.aead_encrypt(kept, narrow, bytes(12), b"", b"x")
    with refused(Status.INVALID_ARGUMENT):
        crypto.copy_key(copy, replace(AES, alg=algorithms.CCM))
    with refused(Status.INVALID_ARGUMENT):
        crypto.copy_key(copy, replace(AES, alg=narrow, bits=256))
    with refused(Status.INVALID_ARGUMENT):
        crypto.copy_key(copy, replace(AES, alg=narrow, type=KeyType.HMAC))
    with refused(Status.ALREADY_EXISTS):
        crypto.copy_key(copy, replace(KEPT, alg=narrow))


def test_destroying() -> None:
    world = World()
    world.crypto.destroy_key(0)
    with refused(Status.INVALID_HANDLE):
        world.crypto.destroy_key(77)
    with refused(Status.NOT_PERMITTED):
        world.crypto.destroy_key(BUILTIN)
    key = world.key(AES.type, GCM, bytes(16))
    world.crypto.destroy_key(key)
    with refused(Status.INVALID_HANDLE):
        world.crypto.destroy_key(key)
    assert world.key(AES.type, GCM, bytes(16)) != key, "identifiers do not come back"


def test_only_cacheable_keys_stay_in_memory_and_purging_removes_them() -> None:
    for usage, stays in ((Usage.EXPORT, False), (Usage.EXPORT | Usage.CACHE, True)):
        world = World()
        key = world.crypto.import_key(replace(KEPT, usage=usage), bytes(16))
        world.crypto.export_key(key)
        stored = world.cabinet.held.pop((CLIENT, key))
        if stays:
            world.crypto.export_key(key)
            world.crypto.purge_key(key)
        with refused(Status.INVALID_HANDLE):
            world.crypto.export_key(key)
        world.cabinet.held[CLIENT, key] = stored
        assert world.crypto.get_key_attributes(key).usage == usage


def test_a_client_that_goes_leaves_nothing_volatile() -> None:
    world = World()
    gone, theirs = world.key(AES.type, GCM, bytes(16)), world.other.import_key(AES, bytes(16))
    world.crypto.import_key(KEPT, bytes(16))
    world.crypto.export_key(KEPT.id)
    world.keys.forget_client(CLIENT)
    with refused(Status.INVALID_HANDLE):
        world.crypto.export_key(gone)
    assert world.other.export_key(theirs) == world.crypto.export_key(KEPT.id)
    cached = replace(KEPT, id=6, usage=Usage.EXPORT | Usage.CACHE)
    for crypto in (world.crypto, world.other):
        crypto.import_key(cached, bytes(16))
        crypto.export_key(6)
    world.keys.forget_client(CLIENT)
    assert list(world.keys._cache) == [(OTHER, 6)]


def test_builtin_keys_serve_whom_they_are_for() -> None:
    world = World()
    assert world.crypto.aead_encrypt(BUILTIN, GCM, bytes(12), b"", b"")
    assert world.crypto.get_key_attributes(BUILTIN).lifetime == READ_ONLY
    with refused(Status.NOT_PERMITTED):
        world.crypto.export_key(BUILTIN)
    with refused(Status.INVALID_HANDLE):
        world.other.get_key_attributes(BUILTIN)
    with pytest.raises(ValueError, match="no identifier of a built-in key"):
        KeyStore(MemoryCabinet(), Noise(), [BuiltinKey(KEPT, bytes(16), frozenset({OTHER}))])


def test_without_entropy_no_key_is_made() -> None:
    def broken(octets: int) -> bytes:
        raise PsaError(Status.INSUFFICIENT_ENTROPY, f"{octets} octets are too many", "source")

    keys = KeyStore(MemoryCabinet(), broken)
    with refused(Status.INSUFFICIENT_ENTROPY):
        keys.generate_key(CLIENT, replace(KEPT, bits=128))
    with refused(Status.INVALID_HANDLE):
        keys.attributes(CLIENT, KEPT.id)


def test_no_identifiers_are_left_at_some_point() -> None:
    world = World()
    world.keys._next_volatile = VOLATILE_IDS.stop - 1
    world.key(AES.type, GCM, bytes(16))
    with refused(Status.INSUFFICIENT_MEMORY):
        world.key(AES.type, GCM, bytes(16))


def test_what_is_stored_is_checked_when_it_is_read() -> None:
    world = World()
    world.crypto.import_key(KEPT, bytes(16))
    sound = world.cabinet.held[CLIENT, KEPT.id]
    for wrong in (b"", sound[:1], b"\x02" + sound[1:], sound[:-1], sound + b"x", sound[:21]):
        world.cabinet.held[CLIENT, KEPT.id] = wrong
        with refused(Status.DATA_INVALID):
            world.crypto.export_key(KEPT.id)
    world.cabinet.held[CLIENT, 6] = sound
    with refused(Status.DATA_CORRUPT):
        world.crypto.export_key(6)


@given(st.binary(max_size=60))
def test_any_stored_octets_are_a_key_or_refused(octets: bytes) -> None:
    try:
        key = Key.decode(b"\x01" + octets)
    except PsaError as error:
        assert error.status is Status.DATA_INVALID  # noqa: PT017
    else:
        assert key.encode() == b"\x01" + octets


numbers = st.integers(0, 2**32 - 1)


attributes_of_any_kind = st.builds(
    KeyAttributes,
    type=st.integers(0, 65535),
    bits=st.integers(0, 65535),
    lifetime=numbers,
    id=numbers,
    usage=numbers,
    alg=numbers,
)


@given(attributes_of_any_kind)
def test_attributes_are_what_they_were_stored_as(attributes: KeyAttributes) -> None:
    assert KeyAttributes.decode(attributes.encode()) == attributes
