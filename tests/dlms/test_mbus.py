# SPDX-License-Identifier: Apache-2.0
"""Wired M-Bus: recorded telegrams, inverse, faults by their place, segments."""

import contextlib
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.errors import DecodeError
from openami.dlms.mbus import MbusAssembler, MbusFrame, MbusReader, cut
from openami.dlms.sap import Sap
from vectors import vectors

TELEGRAMS = vectors("dlms/mbus/telegrams.toml")
octet = st.integers(0, 0xFF)
frames = st.builds(
    MbusFrame,
    octet.map(Sap),
    octet.map(Sap),
    st.binary(max_size=20) | st.binary(min_size=250, max_size=250),
    st.integers(0, 15),
    st.booleans(),
    octet,
    octet,
)


def pieces(octets: bytes, cuts: list[int]) -> list[bytes]:
    marks = [0, *sorted(cut % (len(octets) + 1) for cut in cuts), len(octets)]
    return [octets[start:end] for start, end in itertools.pairwise(marks)]


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_recorded_telegram(row: dict[str, Any]) -> None:
    found = MbusReader().feed(row["octets"])
    sound = [each for each in found if isinstance(each, MbusFrame)]
    assembler = MbusAssembler()

    assert len(sound) == len(found) == len(row["frames"])
    assert [(frame.control, frame.address, frame.source, frame.destination) for frame in sound] == [
        (each["c"], each["a"], each["stsap"], each["dtsap"]) for each in row["frames"]
    ]
    assert [assembler.accept(frame) for frame in sound][-1] == bytes.fromhex(row["apdu"])
    assert b"".join(frame.encode() for frame in sound) == row["octets"]


@given(frames)
def test_decode_inverts_encode(frame: MbusFrame) -> None:
    assert MbusFrame.decode(frame.encode()) == frame


@given(frames, st.data())
def test_every_truncation_is_refused(frame: MbusFrame, data: st.DataObject) -> None:
    octets = frame.encode()
    cut_at = data.draw(st.integers(0, len(octets) - 1))

    with pytest.raises(DecodeError, match=f"the frame ends after {cut_at} octets"):
        MbusFrame.decode(octets[:cut_at])


@given(st.binary(max_size=40).map(lambda octets: b"\x68\x06\x06\x68" + octets))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert MbusFrame.decode(octets).encode() == octets


@given(st.lists(frames, max_size=4), st.lists(st.integers(0, 1500), max_size=12))
def test_pieces_do_not_matter(sent: list[MbusFrame], cuts: list[int]) -> None:
    reader = MbusReader()
    stream = b"".join(frame.encode() for frame in sent)

    assert [each for part in pieces(stream, cuts) for each in reader.feed(part)] == sent
    assert reader.pending == 0


@given(st.binary(max_size=30).filter(lambda octets: 0x68 not in octets), frames)
def test_noise_before_a_frame_is_skipped(noise: bytes, frame: MbusFrame) -> None:
    assert MbusReader().feed(noise + frame.encode())[-1] == frame


@given(st.binary(min_size=1, max_size=4000))
def test_an_apdu_is_cut_and_put_together(apdu: bytes) -> None:
    assembler = MbusAssembler()
    found = [assembler.accept(frame) for frame in cut(Sap(1), Sap(0x67), apdu)]

    assert found[-1] == apdu
    assert set(found[:-1]) <= {None}


def test_a_missing_segment_is_told() -> None:
    assembler = MbusAssembler()
    first, _, third = cut(Sap(1), Sap(2), bytes(700))
    assembler.accept(first)

    with pytest.raises(DecodeError, match="segment 2 comes where 1 is expected"):
        assembler.accept(third)
    (whole,) = cut(Sap(1), Sap(2), b"next")
    assert assembler.accept(whole) == b"next"


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("67", "start octet is 67, not 68, at octet 0"),
        ("6804", "length 4 is too short"),
        ("68060768", "the length is 6 and then 7, at octet 2"),
        ("68060669", "start octet is 69, not 68, at octet 3"),
        ("6805056853ff1001676117", "stop octet is 17"),
        ("6805056853ff10016760 16", "checksum is 60, not CA"),
        ("6805056853ff7201672c16", "CI is 72"),
    ],
)
def test_a_fault_is_named_by_its_place(octets: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        MbusFrame.decode(bytes.fromhex(octets))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="251 octets do not fit"):
        MbusFrame(Sap(1), Sap(2), bytes(251)).encode()
    with pytest.raises(ValueError, match="M-Bus carries 4000"):
        cut(Sap(1), Sap(2), bytes(4001))
