# SPDX-License-Identifier: Apache-2.0
"""Digital signatures: published examples, both curves, every flipped bit, strange keys."""

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.dlms.errors import SecurityError
from openami.dlms.security.curves import curve_of, private_key, public_key
from openami.dlms.security.signing import SigningKey, VerifyingKey
from openami.dlms.security.suites import SecuritySuite
from vectors import vectors

SUITE_1 = SecuritySuite.ECDH_ECDSA_AES_GCM_128_SHA_256
SUITE_2 = SecuritySuite.ECDH_ECDSA_AES_GCM_256_SHA_384
SUITES = (SUITE_1, SUITE_2)
ROWS = vectors("dlms/security/suites-1-2.toml")
PAIRS = [row for row in ROWS if row["kind"] == "pair"]
SIGNATURES = [row for row in ROWS if row["kind"] == "signature"]
KEYS = {
    suite: SigningKey.fresh(suite, lambda count: bytes(range(1, count + 1))) for suite in SUITES
}

of_suites = st.sampled_from(SUITES)


@pytest.mark.parametrize("row", PAIRS, ids=[row["name"] for row in PAIRS])
def test_published_key_pair(row: dict[str, Any]) -> None:
    key = SigningKey.from_octets(SecuritySuite(row["suite"]), bytes.fromhex(row["private"]))

    assert key.public.octets == row["octets"]
    key.public.verify(key.sign(b"octets"), b"octets", "a test")


@pytest.mark.parametrize("row", SIGNATURES, ids=[row["name"] for row in SIGNATURES])
def test_published_signature(row: dict[str, Any]) -> None:
    key = VerifyingKey.from_octets(SecuritySuite(row["suite"]), bytes.fromhex(row["public"]))
    signed = bytes.fromhex(row["signed"])

    key.verify(row["octets"], signed, "the example")
    with pytest.raises(SecurityError, match="another key signed"):
        key.verify(row["octets"], signed + b"\x00", "the example")


@pytest.mark.parametrize("suite", SUITES)
def test_every_flipped_bit_and_length_is_refused(suite: SecuritySuite) -> None:
    key = KEYS[suite]
    signature = key.sign(b"an APDU")

    assert len(signature) == 2 * curve_of(suite).coordinate_octets
    for octet in range(len(signature)):
        altered = bytearray(signature)
        altered[octet] ^= 1 << octet % 8
        with pytest.raises(SecurityError, match=r"the signature is wrong: .*, at a push"):
            key.public.verify(bytes(altered), b"an APDU", "a push")
    for wrong in (signature[:-1], signature + b"\x00", b""):
        with pytest.raises(SecurityError, match=f"has {len(wrong)} octets, not {len(signature)}"):
            key.public.verify(wrong, b"an APDU", "a push")


@pytest.mark.parametrize("suite", SUITES)
def test_signatures_of_zeros_and_of_the_order_are_refused(suite: SecuritySuite) -> None:
    size, order = curve_of(suite).coordinate_octets, curve_of(suite).order
    for half in (0, order, 2 ** (8 * size) - 1):
        with pytest.raises(SecurityError):
            KEYS[suite].public.verify(half.to_bytes(size) * 2, b"an APDU", "a push")


@settings(max_examples=25)
@given(of_suites, st.binary(max_size=300))
def test_what_is_signed_verifies_and_signing_repeats(suite: SecuritySuite, octets: bytes) -> None:
    signature = KEYS[suite].sign(octets)

    KEYS[suite].public.verify(signature, octets, "a test")
    assert KEYS[suite].sign(octets) == signature, "the nonce comes from key and message alone"


@settings(max_examples=25)
@given(of_suites, st.data())
def test_fresh_keys_come_from_entropy_alone(suite: SecuritySuite, data: st.DataObject) -> None:
    size = curve_of(suite).coordinate_octets + 8
    drawn = data.draw(st.binary(min_size=size, max_size=size))
    asked: list[int] = []

    def entropy(count: int) -> bytes:
        asked.append(count)
        return drawn

    key = SigningKey.fresh(suite, entropy)
    assert asked == [size]
    assert key.public == SigningKey.fresh(suite, entropy).public


@pytest.mark.parametrize("suite", SUITES)
def test_the_order_is_that_of_the_curve(suite: SecuritySuite) -> None:
    """The private key order - 1 is the point opposite to the generator; the order is none."""
    curve = curve_of(suite)
    generator = private_key(suite, (1).to_bytes(curve.coordinate_octets)).public_key()
    last = private_key(suite, (curve.order - 1).to_bytes(curve.coordinate_octets)).public_key()

    assert last.public_numbers().x == generator.public_numbers().x
    assert last.public_numbers().y != generator.public_numbers().y
    for number in (0, curve.order):
        with pytest.raises(SecurityError, match="no private key"):
            private_key(suite, number.to_bytes(curve.coordinate_octets))


@pytest.mark.parametrize("suite", SUITES)
def test_strange_public_keys_are_refused(suite: SecuritySuite) -> None:
    octets = KEYS[suite].public.octets
    for wrong in (b"", octets[:-1], octets + b"\x00", bytes(len(octets)), b"\xff" * len(octets)):
        with pytest.raises(SecurityError, match="are no point of"):
            public_key(suite, wrong, "a key")
    altered = octets[:-1] + bytes((octets[-1] ^ 1,))
    with pytest.raises(SecurityError, match="are no point of"):
        VerifyingKey.from_octets(suite, altered)


def test_suite_0_and_other_curves_have_no_signatures() -> None:
    with pytest.raises(SecurityError, match="choose suite 1 or 2"):
        SigningKey.fresh(SecuritySuite.AES_GCM_128, bytes)
    with pytest.raises(SecurityError, match="neither P-256 nor P-384"):
        SigningKey(ec.derive_private_key(7, ec.SECP521R1()))


def test_a_key_never_shows_itself() -> None:
    assert "private" not in repr(KEYS[SUITE_1])
    assert hash(KEYS[SUITE_1].public) == hash(KEYS[SUITE_1].public)
    assert KEYS[SUITE_1].public != KEYS[SUITE_2].public
