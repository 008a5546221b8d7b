# SPDX-License-Identifier: Apache-2.0
"""Finding frames: pieces, shared flags, noise, false starts."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.hdlc.frames import frames, small_frames
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.hdlc.reader import FrameReader
from vectors import vectors

PUSHES = vectors("dlms/hdlc/pushes.toml")
DISC = Frame(Address(1), Address(16), control(Kind.DISC))


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(marks)]


def whole(reader: FrameReader, *parts: bytes) -> list[Frame]:
    found = [each for part in parts for each in reader.feed(part)]
    return [each for each in found if isinstance(each, Frame)]


@pytest.mark.parametrize("row", PUSHES, ids=[row["name"] for row in PUSHES])
def test_recorded_pushes(row: dict[str, Any]) -> None:
    found = FrameReader().feed(row["octets"])

    assert [
        [
            frame.destination.encode().hex(),
            frame.source.encode().hex(),
            frame.control.octet,
            frame.segmented,
            len(frame.information),
        ]
        for frame in found
        if isinstance(frame, Frame)
    ] == row["frames"]
    assert len(found) == len(row["frames"])


cuts = st.lists(st.integers(0, 3000), max_size=12)


@given(st.lists(frames, max_size=4), cuts, st.booleans())
def test_pieces_and_shared_flags_do_not_matter(
    sent: list[Frame],
    at: list[int],
    shared: bool,  # noqa: FBT001  drawn
) -> None:
    stream = b"".join(frame.encode() for frame in sent)
    if shared:
        stream = b"\x7e".join([b"", *(frame.encode()[1:-1] for frame in sent), b""])
    reader = FrameReader()

    found = [each for part in pieces(stream, at) for each in reader.feed(part)]

    assert found == sent
    assert not reader.is_within_frame


noise = st.lists(st.integers(0, 255).filter(lambda octet: octet != 0x7E), max_size=30).map(bytes)


@given(st.lists(st.tuples(noise, small_frames), max_size=4), cuts)
def test_noise_without_flags_between_frames_loses_none(
    sent: list[tuple[bytes, Frame]], at: list[int]
) -> None:
    stream = b"".join(b"\x7e" + before + frame.encode() for before, frame in sent)
    reader = FrameReader()

    found = whole(reader, *pieces(stream, at))
    found += [each for each in reader.expire() if isinstance(each, Frame)]

    assert [frame for _, frame in sent] == found


@given(st.binary(max_size=200), cuts, small_frames)
def test_after_any_noise_a_pause_makes_the_next_frame_heard(
    before: bytes, at: list[int], frame: Frame
) -> None:
    reader = FrameReader()
    for part in pieces(before, at):
        reader.feed(part)
    reader.expire()

    assert reader.feed(frame.encode()) == [frame]


@given(st.lists(st.binary(max_size=40) | small_frames.map(Frame.encode), max_size=8))
def test_any_octets_give_frames_and_faults(parts: list[bytes]) -> None:
    reader = FrameReader()
    found = [each for part in parts for each in reader.feed(part)]
    found += reader.expire()

    stream = b"".join(parts)
    for each in found:
        if isinstance(each, Frame):
            assert each.encode()[1:-1] in stream
        else:
            assert str(each)


def test_a_false_start_does_not_swallow_the_frame_behind_it() -> None:
    reader = FrameReader()

    # A header that asks for 2047 octets, but whose check is wrong: known at once.
    found = reader.feed(bytes.fromhex("7ea7ff0321130000") + DISC.encode())

    assert isinstance(found[0], DecodeError)
    assert found[-1] == DISC


def test_what_a_wrong_frame_holds_is_not_taken_for_a_frame() -> None:
    way = Address(1), Address(16)
    carrier = bytearray(Frame(*way, control(Kind.UI), b"ab" + DISC.encode() + b"cd").encode())
    carrier[-2] ^= 0x01

    found = FrameReader().feed(bytes(carrier))

    assert [str(each).split(",")[0] for each in found] == ["FCS is wrong"]


def test_an_unfinished_frame_is_given_up() -> None:
    reader = FrameReader()
    octets = DISC.encode()

    assert reader.feed(octets[:-3]) == []
    assert reader.is_within_frame
    (fault,) = reader.expire()
    assert "not whole in time: 6 octets came" in str(fault)
    assert reader.feed(octets) == [DISC]


def test_after_our_turn_the_last_flag_opens_nothing() -> None:
    reader = FrameReader()
    octets = DISC.encode()
    reader.feed(octets)
    reader.turn()

    (fault,) = reader.feed(octets[1:])

    assert "7 octets stand outside of a frame" in str(fault)


def test_an_idle_line_is_no_fault() -> None:
    reader = FrameReader()

    assert reader.feed(b"\xff\xff\x00" + DISC.encode() + b"\xff\xff\x7e\x7e") == [DISC]


def test_a_frame_that_no_flag_closes_is_dropped() -> None:
    octets = DISC.encode()

    found = FrameReader().feed(octets[:-1] + b"\x00" + octets)

    assert [str(each).split(",")[0] for each in found] == ["no flag closes the frame", str(DISC)]
