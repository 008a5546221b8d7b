# SPDX-License-Identifier: Apache-2.0
"""The tree: what is there, what keys open, where it breaks."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlmsvalues import apdus
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.gateway import GatewayRequest
from openami.dlms.recordings.translate import Node, TranslationKeys, describe
from openami.dlms.sap import Sap
from openami.dlms.wrapper import WrapperFrame
from vectors import vectors

KEYS = TranslationKeys(
    encryption_key=bytes(range(16)),
    authentication_key=bytes.fromhex("D0D1D2D3D4D5D6D7D8D9DADBDCDDDEDF"),
    system_title=bytes.fromhex("4D4D4D0000BC614E"),
)
GET = bytes.fromhex("c001c100080000010000ff0200")
GLO_GET = bytes.fromhex("C81E3001234567411312FF935A47566827C467BC7D825C3BE4A77C3FCC056B6B")
TELEGRAMS = vectors("dlms/security/telegrams.toml")


def labels(*nodes: Node) -> Iterator[str]:
    for node in nodes:
        yield node.label
        yield from labels(*node.children)


def texts(*nodes: Node) -> str:
    return " ".join(f"{node.label}={node.value} {texts(*node.children)}" for node in nodes)


def test_a_request() -> None:
    translation = describe(GET)

    assert translation.findings == ()
    assert list(labels(*translation.tree)) == [
        "GetRequestNormal",
        "invoke_id_and_priority",
        "attribute",
        "class_id",
        "instance_id",
        "attribute_id",
    ]
    assert "C1 (id 1, confirmed, high priority)" in texts(*translation.tree)
    assert "instance_id=0.0.1.0.0.255" in texts(*translation.tree)


def test_frames_one_after_the_other() -> None:
    frame = WrapperFrame(Sap(1), Sap(16), GET).encode()
    translation = describe(frame * 2)

    assert [node.label for node in translation.tree] == ["wrapper", "wrapper"]
    assert list(labels(*translation.tree)).count("GetRequestNormal") == 2


def test_a_frame_that_is_cut_off_is_told() -> None:
    frame = WrapperFrame(Sap(1), Sap(16), GET).encode()
    translation = describe(frame + frame[:-3])

    assert list(labels(*translation.tree)).count("GetRequestNormal") == 1
    assert "the stream ends after 18 of 21 octets" in translation.findings[0]


def test_behind_a_gateway() -> None:
    octets = GatewayRequest(physical_address=b"OAM\x00\x00\x00\x00\x01", apdu=GET).encode()

    assert "GetRequestNormal" in labels(*describe(octets).tree)


@pytest.mark.parametrize("head", ["e60000", "e70000"])
def test_endless_nesting_ends_in_a_finding(head: str) -> None:
    translation = describe(bytes.fromhex(head * 20_000) + GET)

    assert "nested deeper than 8 levels" in translation.findings[0]


def test_a_sealed_request_with_and_without_keys() -> None:
    sealed, opened = describe(GLO_GET), describe(GLO_GET, keys=KEYS)

    assert "ciphered_service" in labels(*sealed.tree)
    assert sealed.findings == opened.findings == ()
    assert list(labels(*opened.tree))[:4] == [
        "glo-get-request",
        "security_control",
        "invocation_counter",
        "GetRequestNormal",
    ]


def test_what_a_signature_stands_around() -> None:
    signing = GeneralSigning(
        transaction_id=b"12345678",
        originator_system_title=KEYS.system_title,
        recipient_system_title=b"",
        content=GLO_GET,
        signature=bytes(64),
    )
    translation = describe(signing.encode(), keys=KEYS)

    assert translation.findings == ()
    found = list(labels(*translation.tree))
    assert found.index("GeneralSigning") < found.index("glo-get-request")
    assert "GetRequestNormal" in found
    assert "signature" in found


def test_a_wrong_key_is_told_and_not_shown() -> None:
    wrong = TranslationKeys(
        encryption_key=bytes(16),
        authentication_key=KEYS.authentication_key,
        system_title=KEYS.system_title,
    )
    translation = describe(GLO_GET, keys=wrong)

    assert len(translation.findings) == 1
    assert "the tag does not match" in translation.findings[0]
    assert "invocation_counter" in labels(*translation.tree)
    assert "d0d1" not in repr(wrong).lower()


def test_a_title_that_is_needed_is_asked_for() -> None:
    translation = describe(GLO_GET, keys=TranslationKeys(encryption_key=bytes(16)))

    assert "title" in translation.findings[0]


@pytest.mark.parametrize("row", TELEGRAMS, ids=[row["name"] for row in TELEGRAMS])
def test_sealed_pushes_of_the_field(row: dict[str, Any]) -> None:
    keys = TranslationKeys(
        encryption_key=bytes.fromhex(row["encryption_key"]),
        authentication_key=bytes.fromhex(row["authentication_key"]),
    )
    translation = describe(row["octets"], keys=keys)

    assert translation.findings == ()
    assert "DataNotification" in labels(*translation.tree)
    assert len(translation.readings) > 10


def test_secrets_are_shown_by_their_size() -> None:
    initiate = describe(
        bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
    )

    assert "dedicated_key=16 octets, not shown" in texts(*initiate.tree)
    assert "get, set, selective-access" in texts(*initiate.tree)


def test_what_an_association_request_carries() -> None:
    aarq = next(row for row in vectors("dlms/apdus.toml") if row["name"] == "gurux w_gmac 0")
    keys = TranslationKeys(
        encryption_key=KEYS.encryption_key, authentication_key=KEYS.authentication_key
    )
    translation = describe(aarq["octets"], keys=keys)

    assert translation.findings == ()
    assert "InitiateRequest" in labels(*translation.tree)
    assert "mechanism_name=60 85 74 05 08 02 05 (hls-gmac)" in texts(*translation.tree)


def test_an_event_is_a_reading() -> None:
    translation = describe(bytes.fromhex("c2000003 0100010800ff 02 0600000005".replace(" ", "")))

    assert [(str(each.obis), each.value) for each in translation.readings] == [("1.0.1.8.0.255", 5)]


@pytest.mark.parametrize("octets", ["", "fe", "c0", "c401c1", "0001", "db0800", "c80130", "e600"])
def test_what_is_broken_ends_in_a_finding(octets: str) -> None:
    assert describe(bytes.fromhex(octets), keys=KEYS).findings


@given(st.one_of(*apdus.values()))
def test_every_apdu_has_a_tree(message: Any) -> None:
    translation = describe(message.encode())

    assert translation.tree
    assert texts(*translation.tree)


@given(st.binary(max_size=60))
def test_any_octets_have_a_tree(octets: bytes) -> None:
    assert describe(octets, keys=KEYS).tree
    assert describe(b"\x00\x01" + octets, keys=KEYS).tree
