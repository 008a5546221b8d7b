# SPDX-License-Identifier: Apache-2.0
"""The control field: all 256, walked whole."""

import pytest

from openami.dlms.hdlc.control import COMMANDS, CONTROLS, PATTERNS, RESPONSES, Kind, control

KNOWN = {
    0x93: "SNRM P/F",
    0x53: "DISC P/F",
    0x73: "UA P/F",
    0x1F: "DM P/F",
    0x97: "FRMR P/F",
    0x13: "UI P/F",
    0x03: "UI",
    0x10: "I N(S)=0 N(R)=0 P/F",
    0x76: "I N(S)=3 N(R)=3 P/F",
    0x11: "RR N(R)=0 P/F",
    0xB1: "RR N(R)=5 P/F",
    0x51: "RR N(R)=2 P/F",
    0xF5: "RNR N(R)=7 P/F",
    0xEF: "EF",
}


@pytest.mark.parametrize("octet", KNOWN)
def test_a_known_control_field(octet: int) -> None:
    assert str(CONTROLS[octet]) == KNOWN[octet]


@pytest.mark.parametrize("octet", range(256))
def test_each_control_field_is_one_kind_and_back(octet: int) -> None:
    what = CONTROLS[octet]

    assert what.octet == octet
    if what.kind is Kind.UNKNOWN:
        return
    again = control(
        what.kind,
        poll_final=what.poll_final,
        receive_number=what.receive_number,
        send_number=what.send_number,
    )
    assert again is what


def test_how_many_there_are_of_each() -> None:
    counts = {kind: sum(each.kind is kind for each in CONTROLS) for kind in Kind}

    assert counts == {
        Kind.I: 128,
        Kind.RR: 16,
        Kind.RNR: 16,
        Kind.SNRM: 2,
        Kind.DISC: 2,
        Kind.UA: 2,
        Kind.DM: 2,
        Kind.FRMR: 2,
        Kind.UI: 2,
        Kind.UNKNOWN: 84,
    }
    assert set(PATTERNS) == COMMANDS | RESPONSES


@pytest.mark.parametrize(
    ("kind", "numbers"),
    [(Kind.I, {"send_number": 8}), (Kind.RR, {"send_number": 1}), (Kind.UA, {"receive_number": 1})],
)
def test_what_no_frame_can_say(kind: Kind, numbers: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"no {kind.value} frame has"):
        control(kind, poll_final=True, **numbers)
