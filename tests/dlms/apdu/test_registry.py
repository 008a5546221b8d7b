# SPDX-License-Identifier: Apache-2.0
"""Every APDU: the octets of the vectors, every value, every truncation, any octets."""

import contextlib
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmsvalues import apdus
from openami.dlms import apdu
from openami.dlms.apdu import ciphered, registry
from openami.dlms.errors import DecodeError
from vectors import vectors

VECTORS = vectors("dlms/apdus.toml")
MALFORMED = vectors("dlms/malformed.toml")
PUSHES = vectors("dlms/pushes.toml")

each_class = pytest.mark.parametrize("kind", apdus, ids=lambda kind: kind.__name__)


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_vector(row: dict[str, Any]) -> None:
    decoded = apdu.decode(row["octets"])

    assert type(decoded).__name__ == row["apdu"]
    assert decoded.encode() == row["octets"]


@pytest.mark.parametrize("row", PUSHES, ids=[row["name"] for row in PUSHES])
def test_push_of_a_meter_in_the_field(row: dict[str, Any]) -> None:
    assert apdu.decode(row["octets"]).encode() == row["octets"]


@pytest.mark.parametrize("row", MALFORMED, ids=[row["name"] for row in MALFORMED])
def test_malformed(row: dict[str, Any]) -> None:
    with pytest.raises(DecodeError) as caught:
        apdu.decode(row["octets"])

    assert (caught.value.problem, caught.value.offset) == (row["problem"], row["offset"])


def test_every_class_has_a_strategy() -> None:
    registered = {*registry._WITH_CHOICE, *registry._WITHOUT_CHOICE, ciphered.ServiceCiphering}
    own_tests = {ciphered.GeneralDedCiphering, ciphered.GeneralCiphering}

    assert registered - own_tests == set(apdus)


@each_class
def test_decode_inverts_encode(kind: type) -> None:
    @settings(max_examples=40)
    @given(apdus[kind])
    def comes_back(message: Any) -> None:
        octets = message.encode()
        decoded = apdu.decode(octets)

        assert type(decoded) is kind
        assert decoded == message
        assert decoded.encode() == octets

    comes_back()


@each_class
def test_every_truncation_is_refused_by_place(kind: Any) -> None:
    @settings(max_examples=40)
    @given(apdus[kind], st.data())
    def is_refused(message: Any, draw: st.DataObject) -> None:
        octets = message.encode()
        cut = draw.draw(st.integers(0, len(octets) - 1))
        if kind.__name__ == "ExceptionResponse" and cut == 3:
            return  # three octets are the form of the older editions

        with pytest.raises(DecodeError) as caught:
            apdu.decode(octets[:cut])

        assert caught.value.offset <= cut

    is_refused()


@each_class
def test_what_follows_is_refused(kind: Any) -> None:
    @settings(max_examples=40)
    @given(apdus[kind])
    def is_refused(message: Any) -> None:
        with pytest.raises(DecodeError):
            kind.decode(message.encode() + b"\x00")

    is_refused()


@given(st.sampled_from(sorted(apdu.known_tags())), st.binary(max_size=64))
def test_any_octets_decode_or_raise_decode_error(tag: int, octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        apdu.decode(bytes((tag,)) + octets)


def test_one_wrong_octet_decodes_or_raises_decode_error() -> None:
    chance = random.Random(1)
    for row in VECTORS + PUSHES:
        for _ in range(100):
            octets = bytearray(row["octets"])
            octets[chance.randrange(len(octets))] = chance.randrange(0x100)
            with contextlib.suppress(DecodeError):
                apdu.decode(bytes(octets))


@pytest.mark.parametrize("tag", sorted(set(range(0x100)) - apdu.known_tags()))
def test_every_other_tag_is_refused(tag: int) -> None:
    with pytest.raises(DecodeError, match=f"{tag:02X} is no APDU tag"):
        apdu.decode(bytes((tag, 0, 0)))


@pytest.mark.parametrize(
    ("octets", "remedy"),
    [
        ("0001000100100001c0", "wrapper frame"),
        ("7ea0070323", "HDLC frame"),
        ("e6e600c001", "LLC header"),
        ("c07f", "C0 has no choice 7F"),
        ("", "2 octets or more"),
        ("c0", "2 octets or more"),
    ],
)
def test_what_is_no_apdu_is_refused_with_a_remedy(octets: str, remedy: str) -> None:
    with pytest.raises(DecodeError, match=remedy):
        apdu.decode(bytes.fromhex(octets))
