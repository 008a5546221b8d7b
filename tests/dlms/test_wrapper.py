# SPDX-License-Identifier: Apache-2.0
"""The wrapper: frames out of any pieces, faults that stay."""

import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.sap import Sap
from openami.dlms.wrapper import WrapperFrame, WrapperReader
from vectors import vectors

u16 = st.integers(0, 0xFFFF).map(Sap)
frames = st.builds(
    WrapperFrame, source=u16, destination=u16, apdu=st.binary(min_size=1, max_size=40)
)

SESSION = vectors("dlms/security/sessions.toml")


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(marks)]


@pytest.mark.parametrize("row", SESSION, ids=[row["name"] for row in SESSION])
def test_captured_frame(row: dict[str, bytes]) -> None:
    assert WrapperFrame.decode(row["octets"]).encode() == row["octets"]


def test_octets() -> None:
    frame = WrapperFrame(Sap(0x10), Sap(1), b"\xc0\x01")
    assert frame.encode().hex() == "0001001000010002c001"


@given(frames)
def test_decode_inverts_encode(frame: WrapperFrame) -> None:
    assert WrapperFrame.decode(frame.encode()) == frame


@given(st.lists(frames, max_size=8), st.lists(st.integers(0, 1000), max_size=12))
def test_pieces_do_not_matter(sent: list[WrapperFrame], cuts: list[int]) -> None:
    reader = WrapperReader()
    stream = b"".join(frame.encode() for frame in sent)

    received = [frame for piece in pieces(stream, cuts) for frame in reader.feed(piece)]

    assert received == sent
    reader.end()


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 1000), max_size=12))
def test_a_wrong_version_ends_the_stream_after_the_good_frames(
    sent: list[WrapperFrame], cuts: list[int]
) -> None:
    reader = WrapperReader()
    stream = b"".join(frame.encode() for frame in sent) + bytes.fromhex("16030101000000ff00")
    received: list[WrapperFrame] = []

    def feed_all() -> None:
        for piece in [*pieces(stream, cuts), b""]:
            received.extend(reader.feed(piece))

    with pytest.raises(DecodeError, match="wrapper version is 1603, not 0001"):
        feed_all()

    assert received == sent
    for lost in (lambda: reader.feed(sent[0].encode() if sent else b""), reader.end):
        with pytest.raises(DecodeError, match="wrapper version"):
            lost()


@given(st.lists(st.binary(max_size=30), max_size=5))
def test_any_octets_give_frames_or_raise_decode_error(found: list[bytes]) -> None:
    reader = WrapperReader()
    with contextlib.suppress(DecodeError):
        received = [frame for piece in found for frame in reader.feed(piece)]
        assert b"".join(found).startswith(b"".join(frame.encode() for frame in received))


@pytest.mark.parametrize("length", [0, 101, 0xFFFF])
def test_a_length_beyond_the_limit_is_refused_before_it_is_awaited(length: int) -> None:
    header = bytes.fromhex("000100010010") + length.to_bytes(2)

    with pytest.raises(DecodeError, match=f"wrapper length is {length}, not 1 to 100, at octet 6"):
        WrapperReader(max_apdu_octets=100).feed(header)


@given(frames, st.data())
def test_every_truncation_is_refused(frame: WrapperFrame, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(frame.encode()) - 1))

    with pytest.raises(DecodeError):
        WrapperFrame.decode(frame.encode()[:cut])


def test_a_stream_that_stops_inside_a_frame_says_so() -> None:
    reader = WrapperReader()
    reader.feed(WrapperFrame(Sap(1), Sap(2), b"abcd").encode()[:-1])

    with pytest.raises(DecodeError, match="the stream ends after 11 of 12 octets"):
        reader.end()


def test_two_frames_are_not_one() -> None:
    frame = WrapperFrame(Sap(1), Sap(2), b"a").encode()
    with pytest.raises(DecodeError, match="2 frames where one is expected"):
        WrapperFrame.decode(frame + frame)


@pytest.mark.parametrize("length", [0, 0x10000])
def test_an_apdu_that_does_not_fit_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"an APDU of {length} octets does not fit"):
        WrapperFrame(Sap(1), Sap(2), bytes(length)).encode()


def test_the_longest_frame_octet_by_octet() -> None:
    frame = WrapperFrame(Sap(1), Sap(2), bytes(0xFFFF))
    reader = WrapperReader()
    received = [found for octet in frame.encode() for found in reader.feed(octet.to_bytes(1))]
    assert received == [frame]
