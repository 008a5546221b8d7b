# SPDX-License-Identifier: Apache-2.0
"""Associations that are refused, each with its diagnostic."""

from typing import Any

import pytest

from openami.cosem.client import Client
from openami.cosem.device import AssociationPolicy
from openami.cosem.refusals import (
    AssociationError,
    AuthenticationError,
)
from openami.cosem.rights import READ_ALL
from openami.cosem.server import (
    NOT_POSSIBLE,
    ServerConnection,
)
from openami.dlms.apdu.acse import (
    Aare,
    Aarq,
    AcseServiceProvider,
    AcseServiceUser,
    AssociationResult,
)
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.apdu.faults import ConfirmedServiceError
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.association import ApplicationContext, State
from openami.dlms.data import BitString
from openami.dlms.errors import DlmsError, SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.keyset import KeySet
from playbooks.demo_meter import (
    CLIENT_TITLE,
    DISCONNECT,
    ENERGY,
    INITIATE,
    KEYS,
    MANAGER,
    PUBLIC,
    READER,
    DemoMeter,
    Link,
    aarq,
    associated,
    entropy,
)

USER = AcseServiceUser


def open_reader(request: Aarq, client_sap: Sap = READER) -> Aare:
    server = ServerConnection(DemoMeter(0), entropy=entropy())
    answer = server.receive(client_sap, request.encode())
    assert answer is not None
    aare = Aare.decode(answer)
    accepted = aare.result is AssociationResult.ACCEPTED
    assert (server.state(client_sap) is not State.IDLE) == accepted
    return aare


def test_the_request_that_the_others_vary_is_accepted() -> None:
    assert open_reader(aarq()).result is AssociationResult.ACCEPTED


@pytest.mark.parametrize(
    ("changes", "diagnostic"),
    [
        ({"protocol_version": BitString(b"\x00", 1)}, AcseServiceProvider.NO_COMMON_ACSE_VERSION),
        (
            {"application_context_name": ApplicationContext.SN.oid},
            USER.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
        ),
        (
            {"application_context_name": ApplicationContext.LN_CIPHERED.oid},
            USER.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED,
        ),
        ({"calling_ap_title": bytes(7)}, USER.CALLING_AP_TITLE_NOT_RECOGNIZED),
        ({"calling_ap_title": bytes(9)}, USER.CALLING_AP_TITLE_NOT_RECOGNIZED),
        ({"sender_acse_requirements": None}, USER.AUTHENTICATION_REQUIRED),
        ({"sender_acse_requirements": BitString(b"\x00", 1)}, USER.AUTHENTICATION_REQUIRED),
        ({"mechanism_name": None}, USER.AUTHENTICATION_MECHANISM_NAME_REQUIRED),
        (
            {"mechanism_name": Mechanism.LOWEST.oid},
            USER.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED,
        ),
        (
            {"mechanism_name": Mechanism.HLS_MD5.oid},
            USER.AUTHENTICATION_MECHANISM_NAME_NOT_RECOGNISED,
        ),
        ({"calling_authentication_value": None}, USER.AUTHENTICATION_REQUIRED),
        ({"calling_authentication_value": b"1234567"}, USER.AUTHENTICATION_FAILURE),
        ({"calling_authentication_value": b""}, USER.AUTHENTICATION_FAILURE),
        ({"user_information": None}, USER.NO_REASON_GIVEN),
        ({"user_information": b"\x01\x00"}, USER.NO_REASON_GIVEN),
        ({"user_information": b"\x21\x00"}, USER.NO_REASON_GIVEN),
    ],
)
def test_an_association_is_refused_with_its_diagnostic(
    changes: dict[str, Any], diagnostic: object
) -> None:
    aare = open_reader(aarq(**changes))
    assert aare.result is AssociationResult.REJECTED_PERMANENT
    assert aare.result_source_diagnostic is diagnostic
    assert aare.responding_ap_title is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"proposed_dlms_version_number": 5}, "dlms-version-too-low"),
        ({"proposed_conformance": Conformance.READ}, "incompatible-conformance"),
        ({"client_max_receive_pdu_size": 11}, "pdu-size-too-short"),
        ({"dedicated_key": bytes(16)}, "other"),
    ],
)
def test_a_context_is_refused_with_a_confirmed_service_error(
    changes: dict[str, Any], name: str
) -> None:
    fields = {slot: getattr(INITIATE, slot) for slot in InitiateRequest.__slots__} | changes
    aare = open_reader(aarq(user_information=InitiateRequest(**fields).encode()))
    assert aare.result is AssociationResult.REJECTED_PERMANENT
    assert aare.user_information is not None
    error = ConfirmedServiceError.decode(aare.user_information)
    assert error.name == name


def test_dummies_in_unused_fields_are_ignored() -> None:
    aare = open_reader(
        aarq(
            called_ap_title=b"x",
            called_ae_qualifier=b"y",
            called_ap_invocation_id=1,
            called_ae_invocation_id=2,
            calling_ap_invocation_id=3,
            calling_ae_invocation_id=4,
        )
    )
    assert aare.result is AssociationResult.ACCEPTED
    assert aare.responding_ae_qualifier is None
    assert aare.responding_ae_invocation_id is None


def test_bits_of_the_other_referencing_are_not_negotiated() -> None:
    fields = {slot: getattr(INITIATE, slot) for slot in InitiateRequest.__slots__}
    fields["proposed_conformance"] = Conformance.GET | Conformance.READ | Conformance.WRITE
    link = Link(client_sap=READER, conformance=fields["proposed_conformance"])
    assert link.run(link.client.associate()).conformance == Conformance.GET


@pytest.mark.parametrize("challenge", [b"", bytes(7), bytes(65)])
def test_a_challenge_of_a_wrong_length(challenge: bytes) -> None:
    link = Link()
    request = Aarq.decode(next(link.client.associate()))
    fields = {slot: getattr(request, slot) for slot in Aarq.__slots__}
    fields["calling_authentication_value"] = challenge
    aare = Aare.decode(link.send(Aarq(**fields).encode()))
    assert aare.result_source_diagnostic is USER.AUTHENTICATION_FAILURE


@pytest.mark.parametrize(
    ("client_sap", "changes", "error", "sentence"),
    [
        (READER, {"secret": b"wrong"}, AssociationError, "check the password"),
        (READER, {"mechanism": Mechanism.LOWEST}, AssociationError, "must authenticate"),
        (PUBLIC, {"mechanism": Mechanism.LLS}, AssociationError, "mechanism this client is to"),
        (Sap(99), {}, AssociationError, "no-reason-given"),
        (MANAGER, {"cipher": None, "mechanism": Mechanism.LOWEST}, AssociationError, "give keys"),
        (
            MANAGER,
            {"cipher": Cipher(KeySet(encryption_key=bytes(16), authentication_key=bytes(16)))},
            AssociationError,
            "deciphering-error; check the keys and both system titles",
        ),
        (
            MANAGER,
            {
                "cipher": Cipher(
                    KeySet(encryption_key=KEYS.encryption_key, authentication_key=bytes(16))
                )
            },
            AssociationError,
            "check the keys",
        ),
        (MANAGER, {"server_title": b"OTHER\x00\x00\x01"}, SecurityError, "answers, not 4F54484552"),
    ],
)
def test_who_cannot_associate_reads_why(
    client_sap: Sap, changes: dict[str, Any], error: type[DlmsError], sentence: str
) -> None:
    changes = changes if client_sap != 99 else {"client_sap": 99}
    link = Link(client_sap=PUBLIC if client_sap == 99 else client_sap)
    link.client_sap = client_sap
    own = link.client.parameters
    fields = {slot: getattr(own, slot) for slot in type(own).__slots__} | changes
    client = Client(type(own)(**fields), entropy=bytes, counters=CounterBlock(0, 1000))

    with pytest.raises(error, match=sentence):
        link.run(client.associate())
    assert client.state is State.IDLE


def test_a_wrong_proof_ends_the_association() -> None:
    meter = DemoMeter()
    meter.associations[READER] = AssociationPolicy(
        client_sap=READER, mechanism=Mechanism.HLS_SHA256, secret=b"right", grants=READ_ALL
    )
    link = Link(
        meter,
        READER,
        mechanism=Mechanism.HLS_SHA256,
        secret=b"wrong",
        system_title=CLIENT_TITLE,
    )
    with pytest.raises(AuthenticationError, match="refuses our proof of the key"):
        link.run(link.client.associate())
    assert link.server.state(READER) is State.IDLE


def test_nothing_but_the_proof_before_the_proof() -> None:
    link = Link()
    steps = link.client.associate()
    steps.send(link.send(next(steps)))
    assert link.server.state(MANAGER) is State.AUTHENTICATION_PENDING
    channel = link.client.channel
    assert channel is not None

    get = bytes.fromhex("c001c1 0003".replace(" ", "")) + bytes(ENERGY) + b"\x02\x00"
    act = bytes.fromhex("c301c1 0046".replace(" ", "")) + bytes(DISCONNECT) + b"\x01\x01\x0f\x00"
    for request in (get, act):
        assert link.send(channel.protect(request)) == NOT_POSSIBLE
    assert link.meter.switch.moves == []
    assert link.server.state(MANAGER) is State.AUTHENTICATION_PENDING


def test_the_proof_is_given_once() -> None:
    link = associated()
    request = bytes.fromhex("c301c1000f0000280000ff0101091100") + bytes(16)
    answer = link.run(link.client.exchange(request, "a second proof"))
    assert answer[3] == ActionResult.READ_WRITE_DENIED
