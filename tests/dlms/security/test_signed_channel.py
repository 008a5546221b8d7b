# SPDX-License-Identifier: Apache-2.0
"""Signed services and keys that travel, between two channels: every form, every flipped bit."""

import itertools
from dataclasses import replace
from typing import Any

import pytest

from dlmskeys import SUITE_1, SUITES, credentials, keys
from openami.dlms import apdu as apdus
from openami.dlms.apdu.ciphered import GeneralCiphering
from openami.dlms.apdu.signed import GeneralSigning
from openami.dlms.errors import DecodeError, DlmsError, ReplayError, SecurityError
from openami.dlms.security.channel import Role, SecureChannel
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock, ReceiveWindow
from openami.dlms.security.credentials import KeyScheme
from openami.dlms.security.envelopes import (
    Envelope,
    GeneralTerms,
    Signature,
    added_octets,
    sign_general,
)
from openami.dlms.security.suites import (
    AUTHENTICATED_AND_ENCRYPTED,
    NO_PROTECTION,
    SIGNED,
    SecurityControl,
    SecurityPolicy,
    SecuritySuite,
)

CLIENT, SERVER = b"OAM\xe0\x00\x00\x00\x01", b"OAM\x00\x00\x00\x00\x01"
GET_REQUEST = bytes.fromhex("c001c1000100002a0000ff0200")
GET_RESPONSE = bytes.fromhex("c401c1000600001234")
INITIATE_REQUEST = bytes.fromhex("01000000065f1f0400001c1fffff")
SIGNED_BOTH_WAYS = (
    SecurityPolicy.DIGITALLY_SIGNED_REQUEST | SecurityPolicy.DIGITALLY_SIGNED_RESPONSE
)
ALL_OF_IT = SIGNED_BOTH_WAYS | AUTHENTICATED_AND_ENCRYPTED


def channel(role: Role, suite: SecuritySuite = SUITE_1, **terms: Any) -> SecureChannel:
    own, peer = (CLIENT, SERVER) if role is Role.CLIENT else (SERVER, CLIENT)
    seeds = (1, 2) if role is Role.CLIENT else (2, 1)
    told: dict[str, Any] = {
        "own_title": own,
        "peer_title": peer,
        "counters": CounterBlock(0, 1000),
        "credentials": credentials(suite, *seeds),
    }
    return SecureChannel(cipher=Cipher(keys(suite)), role=role, **(told | terms))


def ends(suite: SecuritySuite = SUITE_1, **terms: Any) -> tuple[SecureChannel, SecureChannel]:
    return channel(Role.CLIENT, suite, **terms), channel(Role.SERVER, suite, **terms)


def plain_control(suite: SecuritySuite = SUITE_1) -> SecurityControl:
    return SecurityControl.of(suite, authenticated=False, encrypted=False)


FORMS: list[dict[str, Any]] = [
    {"sign": True},
    {"scheme": KeyScheme.IDENTIFIED},
    {"scheme": KeyScheme.WRAPPED},
    {"scheme": KeyScheme.ONE_PASS},
    {"scheme": KeyScheme.STATIC_UNIFIED},
    {"scheme": KeyScheme.ONE_PASS, "sign": True},
    {"policy": ALL_OF_IT},
    {"policy": ALL_OF_IT, "general": True},
]


@pytest.mark.parametrize("suite", SUITES)
@pytest.mark.parametrize("form", FORMS)
def test_there_and_back(suite: SecuritySuite, form: dict[str, Any]) -> None:
    client, server = ends(suite, **form)

    for _ in range(3):
        request = client.protect(GET_REQUEST)
        plain, protection = server.unprotect(request)
        assert plain == GET_REQUEST
        response = server.protect(GET_RESPONSE, like=protection)
        back, answered = client.unprotect(response)
        assert back == GET_RESPONSE
        assert answered[:2] == protection[:2]
        assert (answered.scheme, answered.signature) == (protection.scheme, protection.signature)
        assert protection.scheme is (form.get("scheme") or KeyScheme.IDENTIFIED)
        assert bool(protection.bits & SIGNED) is (client.signs or bool(form.get("sign")))
        for sealed, apdu in ((request, GET_REQUEST), (response, GET_RESPONSE)):
            assert apdu not in sealed, "nothing crosses in the clear"
            room = added_octets(suite, form.get("scheme"), signed=client.signs)
            assert len(sealed) - len(apdu) <= room
        assert apdus.decode(request).encode() == request


@pytest.mark.parametrize("suite", SUITES)
def test_signed_and_not_ciphered(suite: SecuritySuite) -> None:
    terms = {"policy": SIGNED_BOTH_WAYS, "control": plain_control(suite)}
    client, server = ends(suite, **terms)

    request = client.protect(GET_REQUEST)
    assert request[0] == 0xDF
    assert GeneralSigning.decode(request).content == GET_REQUEST
    plain, protection = server.unprotect(request)
    assert plain == GET_REQUEST
    assert protection.envelope is Envelope.NONE
    response = server.protect(GET_RESPONSE, like=protection)
    assert client.unprotect(response)[0] == GET_RESPONSE
    with pytest.raises(SecurityError, match="must be above the last one, 1 or more"):
        server.unprotect(request)
    client.protect(GET_REQUEST)
    with pytest.raises(SecurityError, match="belongs to another request"):
        client.unprotect(response)


def test_ciphered_then_signed_is_taken_and_answered_in_kind() -> None:
    client, server = ends()
    sealed = client.protect(GET_REQUEST)
    terms = GeneralTerms(transaction_id=b"12345678", originator=CLIENT, recipient=SERVER)
    request = sign_general(credentials(SUITE_1, 1, 2), sealed, terms)

    plain, protection = server.unprotect(request)
    assert (plain, protection.signature) == (GET_REQUEST, Signature.OUTSIDE)
    response = server.protect(GET_RESPONSE, like=protection)
    outer = GeneralSigning.decode(response)
    assert (outer.transaction_id, outer.content[0]) == (b"12345678", 0xCC)
    assert client.unprotect(response)[0] == GET_RESPONSE
    with pytest.raises(ReplayError):
        server.unprotect(request)


@pytest.mark.parametrize(
    "terms",
    [
        {"sign": True},
        {"scheme": KeyScheme.WRAPPED},
        {"scheme": KeyScheme.ONE_PASS},
        {"scheme": KeyScheme.STATIC_UNIFIED},
        {"policy": SIGNED_BOTH_WAYS, "control": plain_control()},
    ],
)
def test_every_flipped_bit_is_refused_and_nothing_accepted(terms: dict[str, Any]) -> None:
    client, server = ends(**terms)
    request = client.protect(GET_REQUEST)

    for octet in range(len(request)):
        altered = bytearray(request)
        altered[octet] ^= 1 << octet % 8
        with pytest.raises(DlmsError) as caught:
            server.unprotect(bytes(altered))
        assert isinstance(caught.value, DecodeError | SecurityError)
    for length in range(len(request)):
        with pytest.raises(DlmsError):
            server.unprotect(request[:length])
    assert server.unprotect(request)[0] == GET_REQUEST, "the real one is still welcome"


@pytest.mark.parametrize(
    "scheme", [KeyScheme.WRAPPED, KeyScheme.ONE_PASS, KeyScheme.STATIC_UNIFIED]
)
def test_a_key_that_travels_is_no_way_around_the_counter(scheme: KeyScheme) -> None:
    client, server = ends(scheme=scheme)
    first, second = client.protect(GET_REQUEST), client.protect(GET_REQUEST)

    server.unprotect(second)
    for replayed in (second, first):
        with pytest.raises(ReplayError) as caught:
            server.unprotect(replayed)
        assert caught.value.expected == 2
    # A new global key starts its own counters anew, and opens no way for what was sent before.
    renewed = replace(keys(SUITE_1), encryption_key=bytes(16))
    server.replace(Cipher(renewed), ReceiveWindow(), server.policy)
    with pytest.raises(ReplayError):
        server.unprotect(second)


@pytest.mark.parametrize(
    ("policy", "sent", "sentence"),
    [
        (ALL_OF_IT, {}, "asks for a digital signature"),
        (
            ALL_OF_IT,
            {"sign": True, "control": plain_control(), "policy": SIGNED_BOTH_WAYS},
            "asks for authentication and encryption",
        ),
        (SIGNED_BOTH_WAYS, {}, "asks for a digital signature"),
    ],
)
def test_less_than_the_policy_is_refused(
    policy: SecurityPolicy, sent: dict[str, Any], sentence: str
) -> None:
    client = channel(Role.CLIENT, **sent)
    server = channel(Role.SERVER, policy=policy)

    with pytest.raises(SecurityError, match=sentence):
        server.unprotect(client.protect(GET_REQUEST))
    with pytest.raises(SecurityError, match="a digital signature, which the APDU lacks"):
        server.unprotect(GET_REQUEST)


def test_an_initiate_request_is_never_signed() -> None:
    client, server = ends(policy=ALL_OF_IT)

    sealed = client.protect(INITIATE_REQUEST)
    assert sealed[0] == 0x21
    assert server.unprotect(sealed)[0] == INITIATE_REQUEST


def test_what_a_row_owes_is_added_to_the_response() -> None:
    client, server = ends(policy=NO_PROTECTION)
    _, protection = server.unprotect(GET_REQUEST)

    assert server.protect(GET_RESPONSE, like=protection) == GET_RESPONSE
    signed = server.protect(GET_RESPONSE, like=protection, owed=SIGNED)
    assert signed[0] == 0xDF
    sealed = server.protect(GET_RESPONSE, like=protection, owed=0x30)
    assert (sealed[0], sealed[2]) == (0xCC, 0x31)
    assert client.unprotect(sealed)[0] == GET_RESPONSE


def test_a_signature_of_or_for_someone_else_is_refused() -> None:
    client, server = ends(sign=True)
    held = credentials(SUITE_1, 1, 2)
    terms = GeneralTerms(transaction_id=b"12345678", originator=CLIENT, recipient=SERVER)

    def arrives(signed: bytes) -> None:
        server.unprotect(client._cipher(signed, None, 0))

    arrives(sign_general(held, GET_REQUEST, terms))
    with pytest.raises(SecurityError, match="another key signed"):
        arrives(sign_general(credentials(SUITE_1, 3, 2), GET_REQUEST, terms))
    with pytest.raises(SecurityError, match="not for us"):
        arrives(sign_general(held, GET_REQUEST, replace(terms, recipient=CLIENT)))
    with pytest.raises(SecurityError, match="but the peer is"):
        arrives(sign_general(held, GET_REQUEST, replace(terms, originator=SERVER)))
    with pytest.raises(SecurityError, match="holds no APDU"):
        arrives(sign_general(held, b"", terms))


def test_without_credentials_nothing_of_this_works() -> None:
    client, server = ends(sign=True, scheme=KeyScheme.ONE_PASS)
    lone = channel(Role.SERVER, credentials=None)
    request = client.protect(GET_REQUEST)

    with pytest.raises(SecurityError, match="needs credentials"):
        lone.unprotect(request)
    client.scheme = None
    with pytest.raises(SecurityError, match="need credentials"):
        lone.unprotect(client.protect(GET_REQUEST))
    for policy in (ALL_OF_IT, SIGNED_BOTH_WAYS):
        with pytest.raises(SecurityError, match="asks for a digital signature"):
            channel(Role.SERVER, policy=policy, credentials=None)
    assert server.unprotect(request)[0] == GET_REQUEST


@pytest.mark.parametrize(
    ("scheme", "signed", "suite"),
    list(itertools.product([None, *KeyScheme], [False, True], SUITES)),
)
def test_added_octets_is_never_too_little(
    scheme: KeyScheme | None,
    signed: bool,  # noqa: FBT001  a row of the table
    suite: SecuritySuite,
) -> None:
    client = channel(Role.CLIENT, suite, scheme=scheme, sign=signed, general=True)
    room = added_octets(suite, scheme, signed=signed)

    for size in (1, 100, 127, 128, 255, 256, 40_000):
        apdu = bytes((0xC0,)) * size
        assert len(client.protect(apdu)) - size <= room


def test_compressed_apdus_are_refused_by_name() -> None:
    client, server = ends(scheme=KeyScheme.WRAPPED)
    envelope = GeneralCiphering.decode(client.protect(GET_REQUEST))
    compressed = replace(
        envelope,
        ciphered_service=bytes((envelope.ciphered_service[0] | 0x80,))
        + envelope.ciphered_service[1:],
    )

    with pytest.raises(SecurityError, match=r"V\.44 is not offered here"):
        server.unprotect(compressed.encode())
