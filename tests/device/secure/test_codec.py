# SPDX-License-Identifier: Apache-2.0
"""Calls as octets: what is written is read again, and nothing else is taken."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.device.secure.calls import BY_NAME, BY_NUMBER, FUNCTIONS, Function
from openami.device.secure.codec import (
    ATTRIBUTES,
    I32,
    LARGEST_RESULT_OCTETS,
    OCTETS,
    SIZE,
    U32,
    U64,
    CodecError,
    Field,
    Reply,
    Request,
    Shape,
    Value,
    read,
    write,
)
from openami.psa.attributes import KeyAttributes
from openami.psa.status import PsaError, Status

U32S = st.integers(0, 2**32 - 1)
STRATEGIES: list[tuple[Field, st.SearchStrategy[Any]]] = [
    (U32, U32S),
    (I32, st.integers(-(2**31), 2**31 - 1)),
    (U64, st.integers(0, 2**64 - 1)),
    (SIZE, st.integers(0, LARGEST_RESULT_OCTETS)),
    (OCTETS, st.binary(max_size=100)),
    (
        ATTRIBUTES,
        st.builds(
            KeyAttributes,
            type=st.integers(0, 0xFFFF),
            bits=st.integers(0, 0xFFFF),
            lifetime=U32S,
            id=U32S,
            usage=U32S,
            alg=U32S,
        ),
    ),
]


def values_of(shape: Shape) -> st.SearchStrategy[tuple[Value, ...]]:
    found = [next(values for known, values in STRATEGIES if known is field) for field in shape]
    return st.tuples(*found)


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
@settings(max_examples=15)
@given(data=st.data())
def test_what_is_written_is_read_again(function: Function, data: st.DataObject) -> None:
    for shape in (function.arguments, function.results):
        values = data.draw(values_of(shape))
        octets = write(shape, values)

        assert read(shape, octets) == values
        for cut in range(len(octets)):
            with pytest.raises(CodecError):
                read(shape, octets[:cut])
        with pytest.raises(CodecError, match="1 octets too many"):
            read(shape, octets + b"\0")


@given(number=st.integers(0, 0xFFFF), tag=st.integers(0, 0xFFFF), body=st.binary(max_size=40))
def test_heads_are_read_again(number: int, tag: int, body: bytes) -> None:
    request = Request(number, tag, body)

    assert Request.decode(request.encode()) == request
    assert Reply.decode(Reply(tag, -1, body).encode()) == Reply(tag, -1, body)


@pytest.mark.parametrize("status", [each for each in Status if each < 0])
def test_a_refusal_arrives_as_it_was_said(status: Status) -> None:
    said = PsaError(status, "no", "here")

    with pytest.raises(PsaError) as caught:
        Reply.decode(Reply.refusing(7, said).encode()).results((U32,))

    assert (caught.value.status, caught.value.problem, caught.value.place) == (status, "no", "here")


@pytest.mark.parametrize(
    ("shape", "values"),
    [
        ((U32,), (-1,)),
        ((U32,), (b"",)),
        ((OCTETS,), (1,)),
        ((ATTRIBUTES,), (1,)),
        ((ATTRIBUTES,), (KeyAttributes(type=-1),)),
        ((U32,), ()),
    ],
)
def test_what_is_not_of_the_shape_is_not_written(shape: Shape, values: tuple[Value, ...]) -> None:
    with pytest.raises(CodecError):
        write(shape, values)


def test_more_than_a_caller_may_ask_for_is_not_read() -> None:
    with pytest.raises(CodecError, match=f"more than {LARGEST_RESULT_OCTETS}"):
        read((SIZE,), (LARGEST_RESULT_OCTETS + 1).to_bytes(4, "little"))


def test_no_number_and_no_name_stands_twice() -> None:
    assert len(BY_NUMBER) == len(BY_NAME) == len(FUNCTIONS)
