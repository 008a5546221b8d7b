# SPDX-License-Identifier: Apache-2.0
"""The handshake: both ends have the same keys, and nobody else any."""

from functools import partial
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from device.modules import MODULES, STRANGER
from openami.device.handshake import HandshakeError, Hello, Opening, answer, call
from openami.device.pairing import Pair

OPENER, ANSWERER = MODULES


def test_both_ends_have_a_session_with_the_same_keys() -> None:
    opening = Opening.begin(OPENER, Random(1).randbytes)
    answered, theirs = answer(ANSWERER, opening.octets, Random(2).randbytes)
    ours = opening.answered(answered)

    assert ours.number == theirs.number
    for one, other in ((ours, theirs), (theirs, ours)):
        assert other.open(one.seal(64, b"said", sequence=0, ack=0)) == b"said"


def test_each_start_has_keys_of_its_own() -> None:
    opening = Opening.begin(OPENER, Random(1).randbytes)
    _, first = answer(ANSWERER, opening.octets, Random(2).randbytes)
    _, second = answer(ANSWERER, opening.octets, Random(3).randbytes)

    sealed = [each.seal(64, b"said", sequence=0, ack=0).payload for each in (first, second)]
    assert sealed[0] != sealed[1]
    assert first.number != second.number


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_a_changed_bit_or_length_is_refused(data: st.DataObject) -> None:
    opening = Opening.begin(OPENER, Random(1).randbytes)
    answered, _ = answer(ANSWERER, opening.octets, Random(2).randbytes)
    octets = bytearray(data.draw(st.sampled_from((opening.octets, answered))))
    first = bytes(octets) == opening.octets
    place = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[place // 8] ^= 1 << place % 8
    if data.draw(st.booleans()):
        octets = octets[: data.draw(st.integers(0, len(octets) - 1))]
    take = partial(answer, ANSWERER, entropy=Random(2).randbytes) if first else opening.answered
    with pytest.raises(HandshakeError):
        take(bytes(octets))


def test_an_answer_fits_one_opening() -> None:
    one, other = (Opening.begin(OPENER, Random(seed).randbytes) for seed in (1, 4))
    answered, _ = answer(ANSWERER, one.octets, Random(2).randbytes)

    with pytest.raises(HandshakeError, match="tag is wrong"):
        other.answered(answered)


def test_strangers_are_named() -> None:
    opening = Opening.begin(Pair(STRANGER, ANSWERER.own.public), Random(1).randbytes)
    with pytest.raises(HandshakeError, match="another module") as refused:
        answer(ANSWERER, opening.octets, Random(2).randbytes)
    assert refused.value.fingerprint == Pair(STRANGER, None).name

    with pytest.raises(HandshakeError, match="never paired"):
        Opening.begin(Pair(STRANGER, None), Random(1).randbytes)
    with pytest.raises(HandshakeError, match="no tag"):
        answer(ANSWERER, call(OPENER), Random(2).randbytes)


@given(st.binary(max_size=120) | st.binary(max_size=100).map(lambda rest: b"\x01" + rest))
def test_any_octets_are_a_message_or_refused(octets: bytes) -> None:
    try:
        assert Hello.decode(octets).encode() == octets
    except HandshakeError:
        assert octets[:1] != b"\x01" or len(octets) not in (9, 90)
