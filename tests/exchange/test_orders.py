# SPDX-License-Identifier: Apache-2.0
"""The head-end's answer to a question for the time, there and back."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.errors import DecodeError
from openami.exchange.orders import TimeAnswer, decode_order, encode_time

moments_us = st.integers(0, 2**63 - 1)
answers = st.builds(
    TimeAnswer,
    asked=st.integers(0, 2**32 - 1),
    received_us=moments_us,
    answered_us=moments_us,
    kept=st.none() | st.booleans(),
)


@given(answers)
def test_a_time_comes_back_and_asks_for_no_confirm(answer: TimeAnswer) -> None:
    invoke_id, found = decode_order(encode_time(answer))
    assert found == answer
    assert not LongInvokeIdAndPriority(invoke_id).confirmed


@given(answers, st.data())
def test_what_is_cut_or_changed_is_an_order_or_refused(
    answer: TimeAnswer, data: st.DataObject
) -> None:
    octets = bytearray(encode_time(answer))
    octets[data.draw(st.integers(0, len(octets) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(DecodeError):
        decode_order(bytes(octets))
    with pytest.raises(DecodeError):
        decode_order(encode_time(answer)[: data.draw(st.integers(0, len(octets) - 1))])
