# SPDX-License-Identifier: Apache-2.0
"""AARQ, AARE, RLRQ, RLRE: meaning of the vectors, tolerance, refusals."""

import pytest

from openami.dlms.apdu.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseServiceProvider,
    AcseServiceUser,
    ApplicationContextName,
    AssociationResult,
    ReleaseRequestReason,
    Rlrq,
)
from openami.dlms.apdu.codes import MechanismName
from openami.dlms.ber import encode_tlv
from openami.dlms.datatypes import BitString
from openami.dlms.errors import DecodeError

INITIATE = bytes.fromhex("01000000065f1f0400007e1fffff")
LLS = bytes.fromhex(
    "6036a1090607608574050801018a0207808b0760857405080201ac0a80083132333435363738"
    "be10040e01000000065f1f0400007e1fffff"
)


def test_low_level_security() -> None:
    aarq = Aarq.decode(LLS)

    assert aarq.application_context_name is ApplicationContextName.LN
    assert aarq.mechanism_name is MechanismName.LLS
    assert aarq.sender_acse_requirements == AUTHENTICATION
    assert aarq.calling_authentication_value == b"12345678"
    assert aarq.user_information == INITIATE
    assert aarq.encode() == LLS
    assert "12345678" not in repr(aarq)


def test_fields_are_read_in_any_order() -> None:
    context = bytes.fromhex("a109060760857405080101")
    user_information = encode_tlv(0xBE, encode_tlv(0x04, INITIATE))
    title = bytes.fromhex("a60a0408") + b"OAM\x00\x00\x00\x00\x01"

    aarq = Aarq.decode(encode_tlv(0x60, user_information + title + context))

    assert aarq.calling_ap_title == b"OAM\x00\x00\x00\x00\x01"
    assert aarq.encode() == encode_tlv(0x60, context + title + user_information)


def test_constructed_implementation_information_is_taken() -> None:
    context = bytes.fromhex("a109060760857405080101")

    aarq = Aarq.decode(encode_tlv(0x60, context + encode_tlv(0xBD, b"text")))

    assert aarq.implementation_information == b"text"
    assert aarq.encode() == encode_tlv(0x60, context + encode_tlv(0x9D, b"text"))


def test_long_fields_take_long_lengths() -> None:
    certificate = bytes(range(256)) * 3
    aarq = Aarq(
        application_context_name=ApplicationContextName.LN_CIPHERED,
        calling_ae_qualifier=certificate,
    )

    assert aarq.encode()[1] == 0x82
    assert Aarq.decode(aarq.encode()) == aarq


def test_an_unknown_context_is_left_to_the_server() -> None:
    octets = bytes.fromhex("600ba109060760857405080109")

    assert Aarq.decode(octets).application_context_name == bytes.fromhex("60857405080109")


def test_contexts_that_cipher() -> None:
    assert [name.ciphered for name in ApplicationContextName] == [False, False, True, True]


@pytest.mark.parametrize(
    ("diagnostic", "octets"),
    [
        (AcseServiceUser.AUTHENTICATION_REQUIRED, "a305a10302010e"),
        (AcseServiceProvider.NO_COMMON_ACSE_VERSION, "a305a203020102"),
    ],
)
def test_who_found_what(diagnostic: AcseServiceUser, octets: str) -> None:
    aare = Aare(
        application_context_name=ApplicationContextName.LN,
        result=AssociationResult.ACCEPTED,
        result_source_diagnostic=diagnostic,
    )
    decoded = Aare.decode(aare.encode())

    assert bytes.fromhex(octets) in aare.encode()
    assert decoded.result_source_diagnostic is diagnostic


def test_release() -> None:
    assert Rlrq.decode(bytes.fromhex("6203800100")).reason is ReleaseRequestReason.NORMAL
    assert Rlrq.decode(bytes.fromhex("6200")) == Rlrq()


def test_bit_strings_keep_their_length() -> None:
    aarq = Aarq.decode(bytes.fromhex("600fa1090607608574050801018a020640"))

    assert aarq.sender_acse_requirements == BitString.from_bits("01")


CONTEXT = "a109060760857405080101"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "application_context_name is missing"),
        (CONTEXT * 2, "application_context_name stands there twice"),
        (CONTEXT + "9f0100", "9F is no field of this APDU"),
        (CONTEXT + "a6030301ff", "tag of calling_ap_title is 03, not 04"),
        (CONTEXT + "8a0109", "cannot have 9 unused bits"),
        (CONTEXT + "8a0107", "cannot have 7 unused bits"),
        (CONTEXT + "8a00", "unused bits of sender_acse_requirements needs 1 octet"),
        (CONTEXT + "a9020200", "calling_ae_invocation_id needs 1 octet"),
        (CONTEXT + "a604040100ff", "octets after the end"),
        (CONTEXT + "be80040000", "not A-XDR"),
        (CONTEXT + "be05040100", "user_information"),
    ],
)
def test_a_broken_field_is_refused(body: str, problem: str) -> None:
    octets = encode_tlv(0x60, bytes.fromhex(body))

    with pytest.raises(DecodeError) as caught:
        Aarq.decode(octets)

    assert problem in str(caught.value) or "needs" in str(caught.value)


@pytest.mark.parametrize(
    "field",
    ["a203020101a3 05a303020100", "a203020101a3 08a103020100020100", "a2040202ffffa305a103020100"],
)
def test_a_broken_result_is_refused(field: str) -> None:
    with pytest.raises(DecodeError):
        Aare.decode(encode_tlv(0x61, bytes.fromhex(CONTEXT + field)))


def test_a_diagnostic_of_no_source_is_refused() -> None:
    aare = Aare(
        application_context_name=ApplicationContextName.LN,
        result=AssociationResult.ACCEPTED,
        result_source_diagnostic=AssociationResult.ACCEPTED,  # type: ignore[arg-type]
    )

    with pytest.raises(TypeError, match="acse-service-user"):
        aare.encode()
