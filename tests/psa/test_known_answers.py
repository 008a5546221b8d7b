# SPDX-License-Identifier: Apache-2.0
"""Published answers, in one call and in pieces."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, AESGCM

from openami.psa import algorithms
from openami.psa.attributes import KeyType
from openami.psa.derivation import Step
from openami.psa.status import PsaError, Status
from psaworld import World
from vectors import vectors

VECTORS = vectors("psa/known-answers.toml")


def rows(*does: str) -> Any:
    found = [row for row in VECTORS if row["does"] in does]
    assert found
    return pytest.mark.parametrize("row", found, ids=[row["name"] for row in found])


def octets(row: dict[str, Any], name: str) -> bytes:
    return bytes.fromhex(row[name])


def pieces(data: bytes, size: int = 7) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@rows("hash")
def test_hash(row: dict[str, Any]) -> None:
    crypto, data = World().crypto, octets(row, "data")
    assert crypto.hash_compute(row["alg"], data) == row["octets"]
    crypto.hash_compare(row["alg"], data, row["octets"])
    operation = crypto.hash_operation()
    operation.setup(row["alg"])
    operation.update(data[:1])
    clone = operation.clone()
    operation.update(data[1:])
    assert operation.finish() == row["octets"]
    clone.update(data[1:])
    clone.verify(row["octets"])
    with pytest.raises(PsaError) as caught:
        crypto.hash_compare(row["alg"], data + b"x", row["octets"])
    assert caught.value.status is Status.INVALID_SIGNATURE


@rows("mac")
def test_mac(row: dict[str, Any]) -> None:
    world, data = World(), octets(row, "data")
    key = world.key(row["type"], row["alg"], octets(row, "key"))
    assert world.crypto.mac_compute(key, row["alg"], data) == row["octets"]
    world.crypto.mac_verify(key, row["alg"], data, row["octets"])
    operation = world.crypto.mac_operation()
    operation.verify_setup(key, row["alg"])
    for piece in pieces(data):
        operation.update(piece)
    operation.verify_finish(row["octets"])
    for wrong in (row["octets"][:-1], b"", row["octets"][::-1]):
        with pytest.raises(PsaError) as caught:
            world.crypto.mac_verify(key, row["alg"], data, wrong)
        assert caught.value.status is Status.INVALID_SIGNATURE


@rows("cipher")
def test_cipher(row: dict[str, Any]) -> None:
    world, data, iv = World(), octets(row, "data"), octets(row, "iv")
    key = world.key(row["type"], row["alg"], octets(row, "key"))
    operation = world.crypto.cipher_operation()
    operation.encrypt_setup(key, row["alg"])
    if iv:
        operation.set_iv(iv)
    found = b"".join(operation.update(piece) for piece in pieces(data))
    assert found + operation.finish() == row["octets"]
    assert world.crypto.cipher_decrypt(key, row["alg"], iv + row["octets"]) == data
    assert world.crypto.cipher_decrypt(key, row["alg"], world.crypto.cipher_encrypt(
        key, row["alg"], data)) == data  # fmt: skip


@rows("aead")
def test_aead(row: dict[str, Any]) -> None:
    world, data = World(), octets(row, "data")
    nonce, ad, sealed = octets(row, "nonce"), octets(row, "ad"), row["octets"]
    key = world.key(row["type"], row["alg"], octets(row, "key"))
    assert world.crypto.aead_encrypt(key, row["alg"], nonce, ad, data) == sealed
    assert world.crypto.aead_decrypt(key, row["alg"], nonce, ad, sealed) == data
    tag_octets = algorithms.tag_octets(row["alg"])
    for opens in (False, True):
        operation = world.crypto.aead_operation()
        (operation.decrypt_setup if opens else operation.encrypt_setup)(key, row["alg"])
        operation.set_lengths(len(ad), len(data))
        operation.set_nonce(nonce)
        for piece in pieces(ad):
            operation.update_ad(piece)
        source = sealed[:-tag_octets] if opens else data
        found = b"".join(operation.update(piece) for piece in pieces(source))
        if opens:
            assert found + operation.verify(sealed[-tag_octets:]) == data
        else:
            rest, tag = operation.finish()
            assert found + rest + tag == sealed
    for at in range(len(sealed)):
        wrong = sealed[:at] + bytes((sealed[at] ^ 1,)) + sealed[at + 1 :]
        with pytest.raises(PsaError) as caught:
            world.crypto.aead_decrypt(key, row["alg"], nonce, ad, wrong)
        assert caught.value.status is Status.INVALID_SIGNATURE


@rows("sign")
def test_sign(row: dict[str, Any]) -> None:
    world, data = World(), octets(row, "data")
    alg, crypto = row["alg"], world.crypto
    key = world.key(row["type"], alg, octets(row, "key"))
    assert crypto.sign_message(key, alg, data) == row["octets"]
    digest = crypto.hash_compute(algorithms.hash_of(alg), data)
    assert crypto.sign_hash(key, alg, digest) == row["octets"]
    crypto.verify_hash(key, alg, digest, row["octets"])
    public = world.key(KeyType.ECC_PUBLIC_KEY_SECP_R1, alg, crypto.export_public_key(key))
    crypto.verify_message(public, alg, data, row["octets"])
    for wrong in (b"", row["octets"][:-1], row["octets"][::-1], bytes(len(row["octets"]))):
        with pytest.raises(PsaError) as caught:
            crypto.verify_message(public, alg, data, wrong)
        assert caught.value.status is Status.INVALID_SIGNATURE


@rows("agree")
def test_agree(row: dict[str, Any]) -> None:
    world = World()
    key = world.key(row["type"], row["alg"], octets(row, "key"))
    peer = octets(row, "data")
    assert world.crypto.raw_key_agreement(row["alg"], key, peer) == row["octets"]


@rows("derive")
def test_derive(row: dict[str, Any]) -> None:
    world = World()
    secret = world.key(KeyType.DERIVE, row["alg"], octets(row, "secret"))
    for size in (1, 5, len(row["octets"])):
        operation = world.crypto.key_derivation()
        operation.setup(row["alg"])
        for step in (Step.SALT, Step.SEED):
            if step.name.lower() in row:
                operation.input_bytes(step, octets(row, step.name.lower()))
        operation.input_key(Step.SECRET, secret)
        for step in (Step.LABEL, Step.INFO):
            if step.name.lower() in row:
                operation.input_bytes(step, octets(row, step.name.lower()))
        whole = row["octets"]
        found = [operation.output_bytes(len(piece)) for piece in pieces(whole, size)]
        assert b"".join(found) == whole


@rows("wrap")
def test_wrap(row: dict[str, Any]) -> None:
    world = World()
    wrapping = world.key(KeyType.AES, row["alg"], octets(row, "key"))
    inner = world.key(KeyType.AES, algorithms.GCM, octets(row, "data"))
    wrapped = world.crypto.wrap_key(wrapping, row["alg"], inner)
    assert wrapped == row["octets"]
    again = world.crypto.unwrap_key(
        world.crypto.get_key_attributes(inner).__class__(type=KeyType.AES, usage=1),
        wrapping,
        row["alg"],
        wrapped,
    )
    assert world.crypto.export_key(again) == octets(row, "data")


@pytest.mark.parametrize(
    "alg",
    [
        algorithms.shortened_tag(base, octets)
        for base, allowed in (
            (algorithms.GCM, algorithms.GCM_TAGS_OCTETS),
            (algorithms.CCM, algorithms.CCM_TAGS_OCTETS),
        )
        for octets in sorted(allowed)
    ],
    ids=hex,
)
def test_every_tag_is_that_of_another_way_to_compute_it(alg: int) -> None:
    world, octets = World(), algorithms.tag_octets(alg)
    key, nonce, ad, data = bytes(range(16)), bytes(12), b"additional", b"message" * 5
    if algorithms.default_tag(alg) == algorithms.GCM:
        whole = AESGCM(key).encrypt(nonce, data, ad)
        expected = whole[: len(data) + octets]
    else:
        expected = AESCCM(key, octets).encrypt(nonce, data, ad)
    held = world.key(KeyType.AES, alg, key)
    assert world.crypto.aead_encrypt(held, alg, nonce, ad, data) == expected
    assert world.crypto.aead_decrypt(held, alg, nonce, ad, expected) == data
