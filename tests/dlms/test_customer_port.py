# SPDX-License-Identifier: Apache-2.0
"""Customer ports: recorded pushes of both framings, in pieces, with noise and pauses."""

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.customer_port import CustomerPort, Pushed
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.mbus import MbusFrame, cut
from openami.dlms.recordings.framings import Framed
from openami.dlms.recordings.framings import frames as recorded_frames
from openami.dlms.sap import Sap
from vectors import vectors

TELEGRAMS = vectors("dlms/mbus/telegrams.toml")
PUSHES = vectors("dlms/hdlc/pushes.toml")
UI = Frame(Address(16), Address(1), control(Kind.UI), b"\xe6\xe7\x00\x0fpush").encode()
MBUS = MbusFrame(Sap(1), Sap(103), b"\x0fpush").encode()
EXPECTED = {
    "hdlc": Pushed(Sap(1), Sap(16), b"\x0fpush"),
    "m-bus": Pushed(Sap(1), Sap(103), b"\x0fpush"),
}
OCTETS = {"hdlc": UI, "m-bus": MBUS}


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_recorded_telegrams(row: dict[str, Any]) -> None:
    port = CustomerPort()
    (pushed,) = port.feed(row["octets"])
    assert pushed == Pushed(Sap(1), Sap(103), bytes.fromhex(row["apdu"]))
    assert (port.framing, port.dropped) == ("m-bus", 0)


@pytest.mark.parametrize("row", PUSHES, ids=[row["name"] for row in PUSHES])
def test_recorded_pushes(row: dict[str, Any]) -> None:
    port = CustomerPort()
    pushed = port.feed(row["octets"])
    found = [each for each in recorded_frames(row["octets"]) or () if isinstance(each, Framed)]
    assert [each.apdu for each in pushed] == [each.apdu for each in found if each.apdu]
    assert pushed
    assert (port.framing, port.dropped) == ("hdlc", 0)


@given(
    st.sampled_from(["hdlc", "m-bus"]),
    st.integers(1, 4),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_pieces_do_not_matter(framing: str, times: int, cuts: list[int]) -> None:
    octets = OCTETS[framing] * times
    marks = [0, *sorted(each % (len(octets) + 1) for each in cuts), len(octets)]
    port = CustomerPort()
    pushed = [
        each for start, end in itertools.pairwise(marks) for each in port.feed(octets[start:end])
    ]
    assert pushed == [EXPECTED[framing]] * times
    assert port.framing == framing


@pytest.mark.parametrize("framing", OCTETS)
def test_a_frame_that_stops_is_given_up_and_the_next_is_heard(framing: str) -> None:
    octets, expected = OCTETS[framing], EXPECTED[framing]
    port = CustomerPort()
    assert port.feed(octets) == [expected]
    assert not port.is_within_frame or framing == "hdlc"
    assert port.feed(octets[:-4]) == []
    assert port.is_within_frame
    assert port.expire() == []
    assert port.dropped == 1
    assert "not whole in time" in str(port.last_fault)
    assert port.feed(octets) == [expected]


@pytest.mark.parametrize("framing", OCTETS)
def test_noise_before_and_between(framing: str) -> None:
    port = CustomerPort()
    noise = b"\x01\x02noise\x03"
    assert port.feed(noise + OCTETS[framing]) == [EXPECTED[framing]]
    dropped = port.dropped
    assert port.feed(noise + OCTETS[framing]) == [EXPECTED[framing]]
    assert port.dropped == dropped + 1


def test_what_is_no_push_is_not_taken() -> None:
    port = CustomerPort()
    assert port.feed(Frame(Address(16), Address(1), control(Kind.UA)).encode()) == []
    assert port.framing == "hdlc"
    assert port.feed(MBUS) == []


def test_a_missing_segment_is_dropped_with_those_before() -> None:
    port = CustomerPort()
    first, second, third = (each.encode() for each in cut(Sap(1), Sap(103), bytes(600)))
    assert port.feed(first + third) == []
    assert port.dropped == 1
    assert port.feed(first + second + third) == [Pushed(Sap(1), Sap(103), bytes(600))]


@given(st.binary(max_size=300))
def test_any_octets_raise_nothing(octets: bytes) -> None:
    port = CustomerPort()
    port.feed(octets)
    port.expire()
    assert not port.is_within_frame
    assert port.feed(UI) == [EXPECTED["hdlc"]] or port.framing == "m-bus"
