# SPDX-License-Identifier: Apache-2.0
"""Recorded frames: found by themselves, put together, shown with their framing."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.recordings import framings
from openami.dlms.recordings.framings import Framed
from openami.dlms.recordings.translate import Node, TranslationKeys, describe
from vectors import vectors

PUSHES = vectors("dlms/hdlc/pushes.toml")
TELEGRAMS = vectors("dlms/mbus/telegrams.toml")
SESSION = [
    row["octets"] for row in vectors("dlms/hdlc/frames.toml") if row["name"].startswith("gurux_")
]


def labels(nodes: tuple[Node, ...]) -> list[str]:
    return [label for node in nodes for label in (node.label, *labels(node.children))]


@pytest.mark.parametrize("row", PUSHES, ids=[row["name"] for row in PUSHES])
def test_pushes_over_hdlc(row: dict[str, Any]) -> None:
    keys = None
    if "guek" in row:
        keys = TranslationKeys(
            encryption_key=bytes.fromhex(row["guek"]), authentication_key=bytes.fromhex(row["gak"])
        )
    translation = describe(row["octets"], keys=keys, accept={"typed-date-time"})

    assert translation.findings == ()
    assert [node.label for node in translation.tree] == ["hdlc"] * len(row["frames"])
    found = framings.frames(row["octets"])
    assert found is not None
    bare = [frame.apdu for frame in found if isinstance(frame, Framed) and frame.apdu]
    if bare[0][:1] != b"\xe0":
        assert [apdu.hex() for apdu in bare] == row["apdus"]
    if keys is not None or row["apdus"][0].startswith("0f"):
        assert "DataNotification" in labels(translation.tree)
        assert translation.readings


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_pushes_over_wired_mbus(row: dict[str, Any]) -> None:
    keys = TranslationKeys(encryption_key=bytes.fromhex(row["guek"])) if "guek" in row else None
    translation = describe(row["octets"], keys=keys)

    assert translation.findings == ()
    assert [node.label for node in translation.tree] == ["m-bus"] * len(row["frames"])
    assert "GeneralGloCiphering" in labels(translation.tree)
    if keys is not None:
        assert len(translation.readings) > 5


def test_a_session_over_hdlc() -> None:
    translation = describe(b"".join(SESSION))

    # The recorded server answers a clock with octets behind the value.
    (finding,) = translation.findings
    assert "18 octets stand behind the end of the value" in finding
    assert describe(b"".join(SESSION), accept={"trailing-octets"}).findings == ()
    assert [node.value for node in translation.tree][:4] == [
        "SNRM P/F",
        "UA P/F",
        "I N(S)=0 N(R)=0 P/F",
        "I N(S)=0 N(R)=1 P/F",
    ]
    assert [
        label for label in labels(translation.tree) if label in {"Aarq", "Aare", "Rlrq", "Rlre"}
    ] == ["Aarq", "Aare", "Rlrq", "Rlre"]
    (parameters,) = [row.value for row in translation.tree[1].children if row.label == "parameters"]
    assert parameters == ("128 octets and window 1 to transmit, 128 octets and window 1 to receive")


def i_frame(number: int, information: str, *, more: bool = False) -> bytes:
    what = control(Kind.I, send_number=number)
    return Frame(Address(16), Address(1), what, bytes.fromhex(information), more).encode()


def test_a_segment_that_was_sent_again_counts_once() -> None:
    first = i_frame(0, "e6e700c401c100", more=True)
    translation = describe(first + first + i_frame(1, "0600000005"))

    assert translation.findings == ()
    assert "GetResponseNormal" in labels(translation.tree[2:])


def test_what_is_wrong_is_a_finding_and_the_rest_is_shown() -> None:
    good = i_frame(0, "e6e700c401c1000600000005")
    bad = bytearray(i_frame(1, "e6e700c401c1000600000006"))
    bad[-3] ^= 1
    translation = describe(bytes(bad) + good + i_frame(2, "c401") + good[:9])

    sentences = [finding.split(",")[0] for finding in translation.findings]
    assert sentences == [
        "FCS is wrong",
        "no LLC header stands before the APDU",
        "invoke-id-and-priority needs 1 octet",
        "the last frame is cut off after 9 octets",
    ]
    assert "GetResponseNormal" in labels(translation.tree)


def test_frmr_and_its_reason() -> None:
    frmr = Frame(Address(16), Address(1), control(Kind.FRMR), b"\x31\x00\x08").encode()
    (node,) = describe(frmr).tree

    assert (node.label, node.value) == ("hdlc", "FRMR P/F")
    assert node.children[-1] == Node("information", "31 00 08")


def test_a_block_alone_is_no_fault() -> None:
    translation = describe(bytes.fromhex("e0c0000200010411223344"))

    assert translation.findings == ()
    assert "apdu" not in labels(translation.tree)


def test_a_telegram_that_is_cut_off() -> None:
    octets = TELEGRAMS[0]["octets"]
    translation = describe(octets[:-20])

    assert "the last frame is cut off after" in translation.findings[0]


@given(st.sampled_from([b"\x7e\xa0", b"\x68\x06\x06\x68", b"\x00\x01"]), st.binary(max_size=80))
def test_any_octets_are_shown_or_found_wrong(start: bytes, octets: bytes) -> None:
    translation = describe(start + octets)

    assert translation.tree or translation.findings or not octets.strip(b"\x00\xff\x7e")
