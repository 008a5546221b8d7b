# SPDX-License-Identifier: Apache-2.0
"""Frames on a serial line."""

from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from openami.device.frame import LONGEST_BODY, Frame, FrameReader, crc16, stuff, unstuff

OCTET = st.integers(min_value=0, max_value=0xFF)
FRAMES = st.builds(
    Frame,
    kind=OCTET,
    session=st.integers(min_value=0, max_value=0xFFFFFFFF),
    counter=st.integers(min_value=0, max_value=2**48 - 1),
    sequence=OCTET,
    ack=OCTET,
    payload=st.binary(max_size=LONGEST_BODY) | st.integers(0, 600).map(bytes),
)


def test_crc_check_value() -> None:
    """The check value of CRC-16/X.25 over the nine digits."""
    assert crc16(b"123456789") == 0x906E


@given(st.binary(max_size=700) | st.binary(max_size=30).map(lambda run: run * 40))
def test_stuffing_is_reversible_and_without_zeros(octets: bytes) -> None:
    stuffed = stuff(octets)

    assert 0 not in stuffed
    assert unstuff(stuffed) == octets
    assert len(stuffed) <= len(octets) + 1 + len(octets) // 254


@given(FRAMES)
def test_decode_inverts_encode(frame: Frame) -> None:
    octets = frame.encode()

    assert octets.endswith(b"\x00")
    assert 0 not in octets[:-1]
    assert Frame.decode(octets[:-1]) == frame


@given(FRAMES.filter(lambda frame: len(frame.payload) < 40), st.data())
def test_truncation_and_flipped_bits_are_refused(frame: Frame, data: st.DataObject) -> None:
    octets = frame.encode()[:-1]
    for end in range(len(octets)):
        assert Frame.decode(octets[:end]) is None
    place = data.draw(st.integers(0, 8 * len(octets) - 1))
    flipped = bytearray(octets)
    flipped[place // 8] ^= 1 << place % 8
    assert Frame.decode(bytes(flipped)) is None


def test_a_frame_longer_than_any_is_refused() -> None:
    longest = Frame(kind=64, session=1, counter=2, sequence=3, ack=4, payload=bytes(LONGEST_BODY))
    longer = replace(longest, payload=bytes(LONGEST_BODY + 1))

    assert FrameReader().feed(longest.encode()) == [longest]
    assert FrameReader().feed(longer.encode()) == []


@given(st.binary(max_size=300))
def test_any_octets_decode_or_are_refused(octets: bytes) -> None:
    frame = Frame.decode(octets)
    assert frame is None or Frame.decode(frame.encode()[:-1]) == frame


@given(st.lists(FRAMES, max_size=5), st.lists(st.integers(0, 4000), max_size=8))
def test_reader_takes_any_pieces(frames: list[Frame], cuts: list[int]) -> None:
    octets = b"".join(frame.encode() for frame in frames)
    marks = sorted({0, len(octets), *(min(cut, len(octets)) for cut in cuts)})
    reader = FrameReader()

    found = [frame for a, b in pairwise(marks) for frame in reader.feed(octets[a:b])]

    assert found == frames
    assert reader.spoilt == 0


def test_reader_is_in_step_again_after_noise() -> None:
    frame = Frame(kind=64, session=1, counter=9, sequence=2, ack=3, payload=b"interval")
    reader = FrameReader()

    assert reader.feed(b"\x55" * 100_000) == []
    assert reader.feed(b"\x00" + frame.encode()[5:] + frame.encode()) == [frame]
    assert reader.spoilt == 2
