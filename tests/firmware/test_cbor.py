# SPDX-License-Identifier: Apache-2.0
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.firmware.cbor import CborError, Tagged, decode, encode

scalars = (
    st.integers(-(2**64), 2**64 - 1)
    | st.binary(max_size=300)
    | st.text(max_size=50)
    | st.booleans()
    | st.none()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(-100, 100) | st.text(max_size=3), inner, max_size=4)
        | st.builds(Tagged, st.integers(0, 2**32), inner)
    ),
    max_leaves=8,
)


@given(values)
def test_decode_inverts_encode(value: object) -> None:
    assert decode(encode(value)) == value


@given(values)
def test_every_truncation_is_refused(value: object) -> None:
    octets = encode(value)
    for end in range(len(octets)):
        with pytest.raises(CborError, match="at octet"):
            decode(octets[:end])


@given(st.binary(max_size=60))
def test_any_octets_decode_to_themselves_or_are_refused(octets: bytes) -> None:
    with suppress(CborError):
        assert encode(decode(octets)) == octets


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("1801", "shortest form"),
        ("190001", "shortest form"),
        ("5f41ff", "not allowed"),
        ("f97e00", "not allowed"),
        ("f7", "simple value"),
        ("a201010102", "comes twice"),
        ("a1f500", "neither a number"),
        ("61ff", "UTF-8"),
        ("9b0000000100000000", "do not fit"),
        ("0000", "follow the value"),
        ("81" * 20, "nested"),
    ],
)
def test_what_can_be_read_in_another_way_is_refused(octets: str, problem: str) -> None:
    with pytest.raises(CborError, match=problem):
        decode(bytes.fromhex(octets))
