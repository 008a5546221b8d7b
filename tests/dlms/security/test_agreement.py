# SPDX-License-Identifier: Apache-2.0
"""Key agreement: published examples of the three schemes, both curves, who may not join."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.dlms.errors import SecurityError
from openami.dlms.security.agreement import (
    AgreementKey,
    Algorithm,
    OtherInfo,
    Parties,
    derive_key,
    key_data,
    open_key_data,
)
from openami.dlms.security.signing import SigningKey
from openami.dlms.security.suites import SecuritySuite
from vectors import vectors

SUITE_1 = SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256
SUITE_2 = SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384
SUITES = (SUITE_1, SUITE_2)
ROWS = [row for row in vectors("dlms/security/suites-1-2.toml") if row["kind"] == "agreement"]
CLIENT, SERVER = bytes.fromhex("4d4d4d0000bc614e"), bytes.fromhex("4d4d4d0000000001")


def key(suite: SecuritySuite, seed: int) -> AgreementKey:
    return AgreementKey.fresh(suite, lambda count: bytes([seed]) * count)


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_published_key(row: dict[str, Any]) -> None:
    suite = SecuritySuite(row["suite"])
    own = AgreementKey.from_octets(suite, bytes.fromhex(row["private"]))
    info = OtherInfo(
        algorithm=Algorithm(bytes.fromhex(row["algorithm"])),
        party_u=bytes.fromhex(row["party_u"]),
        party_v=bytes.fromhex(row["party_v"]),
    )
    peer = bytes.fromhex(row["peer"])

    assert own.shared_secret(peer).hex() == row["shared_secret"]
    assert derive_key(suite, bytes.fromhex(row["shared_secret"]), info) == row["octets"]
    assert own.agree(peer, info) == row["octets"]


def test_parties_are_those_of_the_examples() -> None:
    parties = Parties(u=CLIENT, v=SERVER)
    rows = {row["name"]: row for row in ROWS}
    one_pass = parties.info(Algorithm.of(SUITE_1))
    static = parties.info(Algorithm.of(SUITE_1), transaction_id=bytes.fromhex("0102030405060708"))

    assert one_pass.party_u.hex() == rows["one-pass-client"]["party_u"]
    assert static.party_u.hex() == rows["static-unified"]["party_u"]
    assert static.party_v.hex() == rows["static-unified"]["party_v"]


@settings(max_examples=20)
@given(
    st.sampled_from(SUITES),
    st.integers(1, 255),
    st.integers(1, 255),
    st.sampled_from(Algorithm),
    st.binary(max_size=20),
)
def test_both_ends_agree(
    suite: SecuritySuite, one: int, other: int, algorithm: Algorithm, title: bytes
) -> None:
    client, server = key(suite, one), key(suite, other)
    info = OtherInfo(algorithm=algorithm, party_u=title, party_v=SERVER)
    agreed = client.agree(server.public, info)

    assert agreed == server.agree(client.public, info)
    assert len(agreed) == suite.key_octets
    changed = OtherInfo(algorithm=algorithm, party_u=title, party_v=CLIENT)
    assert server.agree(client.public, changed) != agreed


def test_each_algorithm_gives_another_key() -> None:
    own, peer = key(SUITE_2, 1), key(SUITE_2, 2).public
    parties = Parties(u=CLIENT, v=SERVER)

    assert len({own.agree(peer, parties.info(each)) for each in Algorithm}) == len(Algorithm)
    assert Algorithm.of(SUITE_1) is Algorithm.AES_GCM_128
    assert Algorithm.of(SUITE_2) is Algorithm.AES_GCM_256
    assert Algorithm.of(SUITE_1, wraps=True) is Algorithm.AES_WRAP_128
    assert Algorithm.of(SUITE_2, wraps=True) is Algorithm.AES_WRAP_256


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("key_id", [None, 0, 2])
def test_key_data_says_whose_it_is(suite: SecuritySuite, key_id: int | None) -> None:
    signer, ephemeral = SigningKey.fresh(suite, lambda count: b"\x07" * count), key(suite, 3)
    octets = key_data(ephemeral, signer, key_id)

    assert open_key_data(signer.public, octets, key_id) == ephemeral.public
    another = 1 if key_id is None else None
    with pytest.raises(SecurityError, match="the signature is wrong"):
        open_key_data(signer.public, octets, another)
    for octet in range(0, len(octets), 5):
        altered = bytearray(octets)
        altered[octet] ^= 0x10
        with pytest.raises(SecurityError, match="the signature is wrong"):
            open_key_data(signer.public, bytes(altered), key_id)
    for wrong in (b"", octets[:-1], octets + b"\x00"):
        with pytest.raises(SecurityError, match=f"it has {len(wrong)} octets"):
            open_key_data(signer.public, wrong, key_id)


def test_a_point_off_the_curve_is_no_peer() -> None:
    with pytest.raises(SecurityError, match="no point of secp256r1, at public key agreement key"):
        key(SUITE_1, 1).agree(bytes(64), Parties(u=CLIENT, v=SERVER).info(Algorithm.of(SUITE_1)))
