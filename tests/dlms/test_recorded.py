# SPDX-License-Identifier: Apache-2.0
"""What framing recorded octets have, and sessions in which one APDU explains the next."""

import pytest

from openami.dlms.apdu.block import cut as cut_blocks
from openami.dlms.apdu.ciphered import GeneralCiphering, GeneralDedCiphering, WrappedKey
from openami.dlms.apdu.fields import AttributeDescriptor
from openami.dlms.apdu.get import (
    GetRequestNormal,
    GetResponseNormal,
    GetResponseWithDatablock,
)
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.data import Array, DoubleLongUnsigned, Unsigned, encode
from openami.dlms.gateway import GatewayResponse
from openami.dlms.hdlc.address import Address
from openami.dlms.hdlc.control import Kind, control
from openami.dlms.hdlc.frame import Frame
from openami.dlms.mbus import cut
from openami.dlms.obis import Obis
from openami.dlms.recordings.framings import FRAMINGS, detect
from openami.dlms.recordings.translate import TranslationKeys, describe
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.keyset import KeySet
from openami.dlms.security.suites import SecurityControl, SecuritySuite
from openami.dlms.wrapper import WrapperFrame
from vectors import vectors

VALUE = bytes.fromhex("c401c1000600000005")
PUSH = bytes.fromhex("0f000000010002020906 0100010800ff0600000005".replace(" ", ""))
ENERGY = Obis(1, 0, 1, 8, 0, 255)
DEK, GAK, TITLE = bytes(range(16)), bytes(range(16, 32)), b"OAM\x00\x00\x00\x00\x01"


def hdlc(information: bytes) -> bytes:
    return Frame(Address(16), Address(1), control(Kind.UI), information).encode()


def wrapped(apdu: bytes) -> bytes:
    return WrapperFrame(Sap(1), Sap(16), apdu).encode()


(MBUS,) = (frame.encode() for frame in cut(Sap(1), Sap(103), PUSH))
WIRELESS_BODY = bytes.fromhex("44 4d4b 12345678 01 02 61 05000000") + PUSH
WIRELESS = bytes((len(WIRELESS_BODY),)) + WIRELESS_BODY
HDLC = hdlc(b"\xe6\xe7\x00" + PUSH)


@pytest.mark.parametrize(
    ("octets", "framing"),
    [
        (VALUE, "none"),
        (PUSH, "none"),
        (b"\x06\x00\x00\x00\x05", "none"),
        (wrapped(PUSH), "wrapper"),
        (b"\x55\x55" + wrapped(PUSH) * 2, "wrapper"),
        (HDLC, "hdlc"),
        (b"\x55\x55" + HDLC, "hdlc"),
        (HDLC[1:], "hdlc"),
        (HDLC[1:-1], "hdlc"),
        (HDLC[20:] + HDLC + HDLC[:9], "hdlc"),
        (MBUS, "mbus"),
        (MBUS[30:] + MBUS, "mbus"),
        (WIRELESS, "wmbus"),
        (b"\xe6\xe7\x00" + PUSH, "llc"),
        (b"\x55\x55\x55", "none"),
        (b"", "none"),
    ],
)
def test_the_framing_is_found(octets: bytes, framing: str) -> None:
    assert detect(octets) == framing
    if framing != "none":
        translation = describe(octets)
        assert translation.framings == (framing,)
        assert {str(each.obis) for each in translation.readings} == {"1.0.1.8.0.255"}


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_framing_that_is_told_is_taken(framing: str) -> None:
    translation = describe(PUSH, framing=framing)

    assert bool(translation.readings) == (framing in {"none", "llc"})
    assert bool(translation.findings or translation.readings) or framing == "wmbus"


def test_what_stands_in_what() -> None:
    behind = GatewayResponse(physical_address=TITLE, apdu=PUSH).encode()
    blocks = [each.encode() for each in cut_blocks(behind, 12)]
    stream = hdlc(b"\xe6\xe7\x00" + blocks[0]) + b"".join(map(hdlc, blocks[1:]))
    translation = describe(stream)

    assert translation.framings == ("hdlc", "gbt", "gateway")
    assert translation.complete
    assert len(translation.readings) == 1


@pytest.mark.parametrize(
    ("octets", "value"),
    [
        ("0600000005", "double-long-unsigned 5"),
        ("0f05", "integer 5"),
        ("0100", "array of 0"),
        ("020211051106", "structure of 2"),
    ],
)
def test_a_value_alone(octets: str, value: str) -> None:
    translation = describe(bytes.fromhex(octets))

    assert translation.findings == ()
    assert [(node.label, node.value) for node in translation.tree] == [("data", value)]


def test_a_value_that_is_cut_off_is_told() -> None:
    assert "octet-string needs 2 octets" in describe(bytes.fromhex("090201")).findings[0]


def test_an_answer_is_named_by_its_request() -> None:
    attribute = AttributeDescriptor(class_id=3, instance_id=ENERGY, attribute_id=2)
    invoke_id = InvokeIdAndPriority(0xC1)
    request = GetRequestNormal(invoke_id_and_priority=invoke_id, attribute=attribute)
    response = GetResponseNormal(invoke_id_and_priority=invoke_id, result=DoubleLongUnsigned(5))
    (reading,) = describe(wrapped(request.encode()) + wrapped(response.encode())).readings

    assert (reading.obis, reading.class_id, reading.attribute_id) == (ENERGY, 3, 2)
    assert reading.value == 5


def test_the_blocks_of_a_long_answer_are_put_together() -> None:
    raw = encode(Array(Unsigned(n) for n in range(40)))
    blocks = [
        GetResponseWithDatablock(
            invoke_id_and_priority=InvokeIdAndPriority(0xC1),
            last_block=start + 30 >= len(raw),
            block_number=start // 30 + 1,
            result=raw[start : start + 30],
        ).encode()
        for start in range(0, len(raw), 30)
    ]
    translation = describe(b"".join(map(wrapped, blocks)))

    assert translation.complete
    assert "array of 40" in str(translation.tree[-1])
    assert not describe(b"".join(map(wrapped, blocks[:-1]))).complete
    assert not describe(b"".join(map(wrapped, blocks[1:]))).complete


def test_a_dedicated_key_opens_what_is_under_it() -> None:
    cipher = Cipher(KeySet(encryption_key=DEK, authentication_key=GAK))
    what = SecurityControl.of(SecuritySuite.AES_GCM_128)
    octets = GeneralDedCiphering(
        system_title=TITLE, ciphered_service=cipher.seal(what, 3, TITLE, PUSH)
    ).encode()
    opened = describe(octets, keys=TranslationKeys(dedicated_key=DEK, authentication_key=GAK))

    assert opened.findings == ()
    assert (opened.seals[0].key, opened.seals[0].opened) == ("dedicated", True)
    other = describe(octets, keys=TranslationKeys(encryption_key=DEK, authentication_key=GAK))
    assert "the dedicated key is not known" in other.findings[0]


def test_a_key_that_travels_with_its_apdu_is_told() -> None:
    cipher = Cipher(KeySet(encryption_key=DEK, authentication_key=GAK))
    what = SecurityControl.of(SecuritySuite.AES_GCM_128)
    octets = GeneralCiphering(
        transaction_id=b"1",
        originator_system_title=TITLE,
        recipient_system_title=b"",
        key_info=WrappedKey(key_ciphered_data=bytes(24)),
        ciphered_service=cipher.seal(what, 3, TITLE, PUSH),
    ).encode()
    translation = describe(octets, keys=TranslationKeys(encryption_key=DEK))

    assert translation.seals[0].key == "wrapped"
    assert "brings its own key, wrapped" in translation.findings[0]


def test_an_association_tells_titles_for_what_follows() -> None:
    session = [
        bytes(row["octets"])
        for row in vectors("dlms/apdus.toml")
        if row["name"].startswith("gurux w_gmac")
    ]
    keys = TranslationKeys(
        encryption_key=bytes(range(16)),
        authentication_key=bytes.fromhex("d0d1d2d3d4d5d6d7d8d9dadbdcdddedf"),
    )
    translation = describe(b"".join(map(wrapped, session)), keys=keys, accept={"trailing-octets"})

    assert translation.findings == ()
    assert {str(each.obis) for each in translation.readings} >= {"0.0.42.0.0.255"}
    assert all(seal.opened for seal in translation.seals)
