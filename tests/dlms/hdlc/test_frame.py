# SPDX-License-Identifier: Apache-2.0
"""One frame: recorded ones, inverse, truncations, faults by their place."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlms.hdlc.frames import frames, small_frames
from openami.dlms.errors import DecodeError
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.fcs import check_sequence
from openami.dlms.hdlc.frame import LONGEST_INFORMATION_OCTETS, LONGEST_OCTETS, Frame
from vectors import vectors

RECORDED = vectors("dlms/hdlc/frames.toml")
GOOD = [row for row in RECORDED if "fault" not in row]
BAD = [row for row in RECORDED if "fault" in row]
NAMES = [row["name"] for row in GOOD]


@pytest.mark.parametrize("row", GOOD, ids=NAMES)
def test_recorded_frame(row: dict[str, Any]) -> None:
    frame = Frame.decode(row["octets"])

    assert frame.destination.encode().hex() == row["destination"]
    assert frame.source.encode().hex() == row["source"]
    assert frame.control.octet == row["control"]
    assert frame.control.kind is Kind(row["kind"])
    assert frame.information.hex() == row["information"]
    assert frame.encode() == row["octets"]


@pytest.mark.parametrize("row", BAD, ids=[row["name"] for row in BAD])
def test_recorded_frame_with_a_fault(row: dict[str, Any]) -> None:
    with pytest.raises(DecodeError, match=row["fault"]):
        Frame.decode(row["octets"])


@pytest.mark.parametrize(
    ("octets", "check"),
    # The check value of the CRC catalogue, and the examples of two handbooks.
    [(b"123456789", "6e90"), (bytes.fromhex("a00703 2193"), "0f01"), (b"", "0000")],
)
def test_check_sequence(octets: bytes, check: str) -> None:
    assert check_sequence(octets).hex() == check


def test_octets() -> None:
    frame = Frame(Address.server(1, 17, 4), Address.client(16), control(Kind.SNRM))

    assert frame.encode().hex() == "7ea00a00020023219318717e"


@given(frames)
def test_decode_inverts_encode(frame: Frame) -> None:
    assert Frame.decode(frame.encode()) == frame


@given(small_frames, st.data())
def test_every_truncation_is_refused_by_its_place(frame: Frame, data: st.DataObject) -> None:
    octets = frame.encode()
    cut = data.draw(st.integers(0, len(octets) - 1))

    with pytest.raises(DecodeError) as refusal:
        Frame.decode(octets[:cut])

    assert 0 <= refusal.value.offset <= cut


@given(small_frames, st.data())
def test_every_wrong_bit_is_refused(frame: Frame, data: st.DataObject) -> None:
    octets = bytearray(frame.encode())
    bit = data.draw(st.integers(0, len(octets) * 8 - 1))
    octets[bit // 8] ^= 1 << bit % 8

    with pytest.raises(DecodeError):
        Frame.decode(bytes(octets))


@given(st.binary(max_size=60).map(lambda octets: b"\x7e\xa0" + octets + b"\x7e"))
def test_any_octets_decode_or_raise_decode_error(octets: bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert Frame.decode(octets).encode() == octets


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("", "opening flag is missing, not 7E, at octet 0"),
        ("00a007030321930f017e", "opening flag is 00"),
        ("7eb00703219312347e", "format type is B, not A"),
        ("7ea00703219312347e", "FCS is wrong, at octet 6"),
        ("7ea007020202219312347e", "the length is 7, which leaves no room"),
        ("7ea0080202032193ffff7e", "destination address has 3 octets"),
        ("7ea00a0202020202032193ffff7e", "destination address has more than 4 octets"),
        ("7ea0090321930f01e6e67e", "the length is 9, which leaves no room"),
        ("7ea00a0321930f01e6ffff7e", "HCS is wrong"),
    ],
)
def test_a_fault_is_named_by_its_place(octets: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        Frame.decode(bytes.fromhex(octets))


def test_the_longest_information() -> None:
    way = Address(1, 1, 4), Address(1, 1, 4)
    frame = Frame(*way, control(Kind.UI), bytes(LONGEST_INFORMATION_OCTETS))
    octets = frame.encode()

    assert len(octets) <= LONGEST_OCTETS + 2
    assert Frame.decode(octets) == frame
    with pytest.raises(ValueError, match="2040 octets of information do not fit"):
        Frame(*way, control(Kind.UI), bytes(2040)).encode()


def test_a_frame_tells_what_it_is() -> None:
    what = control(Kind.I, poll_final=True, receive_number=2, send_number=1)

    said = str(Frame(Address(1, 17, 2), Address(16), what, b"abc", segmented=True))

    assert said == "16>1/17 I N(S)=1 N(R)=2 P/F 3 octets S"
