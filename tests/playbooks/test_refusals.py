# SPDX-License-Identifier: Apache-2.0
"""Conversations that go wrong: each is refused with the standard's code and a clear sentence."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.client import Client
from openami.cosem.device import READ_ALL, AssociationPolicy
from openami.cosem.disconnect import DisconnectControl
from openami.cosem.measurement import Data, ProfileGeneric, Register
from openami.cosem.refusals import (
    AccessError,
    AssociationError,
    AuthenticationError,
    ExceptionResponseError,
    UnexpectedAnswerError,
)
from openami.cosem.server import (
    MALFORMED,
    NOT_DECIPHERED,
    NOT_POSSIBLE,
    NOT_SUPPORTED,
    TOO_LONG,
    ServerConnection,
)
from openami.dlms.apdu.acse import (
    AUTHENTICATION,
    Aare,
    Aarq,
    AcseServiceProvider,
    AcseServiceUser,
    AssociationResult,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.faults import ConfirmedServiceError, ExceptionResponse, ServiceError
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.association import ApplicationContext, State
from openami.dlms.data import BitString, OctetString
from openami.dlms.errors import DlmsError, LocalProtocolError, ReplayError, SecurityError
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from openami.dlms.security.ciphering import Cipher, KeySet
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.suites import NO_PROTECTION
from playbooks.demo_meter import (
    CLIENT_TITLE,
    DISCONNECT,
    ENERGY,
    KEYS,
    LDN,
    LOAD_PROFILE,
    MANAGER,
    METER_TITLE,
    NOTE,
    PASSWORD,
    PUBLIC,
    READER,
    DemoMeter,
    Link,
    associated,
    entropy,
)

USER = AcseServiceUser
INITIATE = InitiateRequest(
    proposed_conformance=Conformance.GET | Conformance.ACTION, client_max_receive_pdu_size=1024
)


def aarq(**changes: Any) -> Aarq:
    fields: dict[str, Any] = {
        "application_context_name": ApplicationContext.LN.oid,
        "sender_acse_requirements": AUTHENTICATION,
        "mechanism_name": Mechanism.LLS.oid,
        "calling_authentication_value": PASSWORD,
        "user_information": INITIATE.encode(),
    }
    return Aarq(**(fields | changes))


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


REFUSED_READS = [
    (PUBLIC, 3, ENERGY, 2, DataAccessResult.OBJECT_UNDEFINED),
    (READER, 3, Obis(1, 0, 99, 8, 0, 255), 2, DataAccessResult.OBJECT_UNDEFINED),
    (READER, 1, ENERGY, 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
    (READER, 7, Obis(0, 0, 40, 0, 0, 255), 2, DataAccessResult.OBJECT_CLASS_INCONSISTENT),
    (READER, 3, ENERGY, 9, DataAccessResult.READ_WRITE_DENIED),
    (READER, 3, ENERGY, 0, DataAccessResult.READ_WRITE_DENIED),
    (READER, 3, ENERGY, -1, DataAccessResult.READ_WRITE_DENIED),
    (READER, 15, Obis(0, 0, 40, 0, 0, 255), 7, DataAccessResult.READ_WRITE_DENIED),
    (READER, 8, Obis(0, 0, 1, 0, 0, 255), 5, DataAccessResult.OBJECT_UNAVAILABLE),
]


@pytest.mark.parametrize(("client_sap", "class_id", "at", "index", "result"), REFUSED_READS)
def test_a_read_is_refused_by_its_code(
    client_sap: Sap, class_id: int, at: Obis, index: int, result: DataAccessResult
) -> None:
    link = associated(client_sap)
    with pytest.raises(AccessError) as refused:
        link.run(link.client.get_data(class_id, at, index))
    assert refused.value.result is result
    assert str(at) in str(refused.value)
    assert f"{result}" in str(refused.value)


def test_a_write_is_refused_by_its_code() -> None:
    reader, manager = associated(READER), associated()
    cases: list[tuple[Link, Any, Any, Obis, DataAccessResult]] = [
        (reader, Data.value, OctetString(b"x"), NOTE, DataAccessResult.READ_WRITE_DENIED),
        (
            manager,
            ProfileGeneric.capture_period,
            60,
            LOAD_PROFILE,
            DataAccessResult.READ_WRITE_DENIED,
        ),
        (manager, Data.value, None, NOTE, DataAccessResult.TYPE_UNMATCHED),
        (
            manager,
            Data.value,
            OctetString(b"x"),
            ENERGY,
            DataAccessResult.OBJECT_CLASS_INCONSISTENT,
        ),
        (
            manager,
            Data.value,
            OctetString(b"x"),
            Obis(0, 0, 96, 1, 1, 255),
            DataAccessResult.OBJECT_UNDEFINED,
        ),
    ]
    for link, attribute, value, at, result in cases:
        with pytest.raises(AccessError, match="refuses to write") as refused:
            link.run(link.client.set(attribute, value, at=at))
        assert refused.value.result is result


def test_a_method_is_refused_by_its_code() -> None:
    reader, manager = associated(READER), associated()
    for link, method, at, result in (
        (reader, DisconnectControl.remote_disconnect, DISCONNECT, ActionResult.READ_WRITE_DENIED),
        (manager, Register.reset, ENERGY, ActionResult.READ_WRITE_DENIED),
        (manager, Register.reset, LDN, ActionResult.OBJECT_CLASS_INCONSISTENT),
        (manager, Register.reset, Obis(1, 1, 1, 1, 1, 1), ActionResult.OBJECT_UNDEFINED),
    ):
        with pytest.raises(AccessError, match="refuses to invoke") as refused:
            link.run(link.client.act(method, 0, at=at))
        assert refused.value.result == result


def test_a_method_with_a_wrong_argument() -> None:
    link = associated()
    request = bytes.fromhex("c301c10046") + bytes(DISCONNECT) + b"\x01\x01\x09\x00"
    answer = link.run(link.client.exchange(request, "a method"))
    assert answer[3] == ActionResult.TYPE_UNMATCHED
    assert link.meter.switch.moves == []


@pytest.mark.parametrize("bit", [Conformance.GET, Conformance.SET, Conformance.ACTION])
def test_a_service_that_was_not_negotiated_is_unknown(bit: Conformance) -> None:
    all_three = Conformance.GET | Conformance.SET | Conformance.ACTION
    link = associated(READER, conformance=all_three & ~bit)
    requests = {
        Conformance.GET: bytes.fromhex("c001c10003") + bytes(ENERGY) + b"\x02\x00",
        Conformance.SET: bytes.fromhex("c101c10001") + bytes(NOTE) + b"\x02\x00\x00",
        Conformance.ACTION: bytes.fromhex("c301c10003") + bytes(ENERGY) + b"\x01\x00",
    }
    assert link.send(requests[bit]) == NOT_SUPPORTED
    assert all(link.send(r) != NOT_SUPPORTED for b, r in requests.items() if b is not bit)


def test_a_long_value_without_block_transfer() -> None:
    link = associated(READER, conformance=Conformance.GET, max_receive_pdu_octets=100)
    with pytest.raises(AccessError, match="other-reason"):
        link.run(link.client.get_raw(7, LOAD_PROFILE, 2))


def test_blocks_out_of_turn() -> None:
    link = associated(READER, max_receive_pdu_octets=100)
    next_block = bytes.fromhex("c002c100000001")
    assert link.send(next_block)[-1] == DataAccessResult.NO_LONG_GET_IN_PROGRESS

    get = bytes.fromhex("c001c10007") + bytes(LOAD_PROFILE) + b"\x02\x00"
    assert link.send(get)[:8].hex() == "c402c10000000001"
    assert link.send(next_block)[:8].hex() == "c402c10000000002"
    assert link.send(next_block)[-1] == DataAccessResult.DATA_BLOCK_NUMBER_INVALID
    assert link.send(next_block)[-1] == DataAccessResult.NO_LONG_GET_IN_PROGRESS

    link.send(get)
    link.send(bytes.fromhex("c001c10003") + bytes(ENERGY) + b"\x02\x00")
    assert link.send(next_block)[-1] == DataAccessResult.NO_LONG_GET_IN_PROGRESS


def test_blocks_of_a_write_out_of_turn() -> None:
    link = associated()
    first = bytes.fromhex("c102c10001") + bytes(NOTE) + bytes.fromhex("02000000000001020904")
    second = bytes.fromhex("c103c101000000020461626364")

    def send(apdu: bytes) -> bytes:
        return link.run(link.client.exchange(apdu, "a block"))

    assert send(second)[:4].hex() == "c503c112"  # no-long-set-in-progress
    assert send(first).hex() == "c502c100000001"
    assert send(second).hex() == "c503c10000000002"
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"abcd"
    send(first)
    assert send(second.replace(b"\x02\x04", b"\x03\x04"))[3] == 19  # data-block-number-invalid
    assert send(second)[3] == 18  # no-long-set-in-progress


def test_a_value_without_end_is_stopped() -> None:
    link = associated()
    raw = bytes(600)
    block = bytes.fromhex("820258") + raw
    answer = link.run(
        link.client.exchange(
            bytes.fromhex("c102c10001") + bytes(NOTE) + b"\x02\x00\x00\x00\x00\x00\x01" + block, "x"
        )
    )
    number = 1
    while answer[1] == 2:
        number += 1
        request = bytes.fromhex("c103c100") + number.to_bytes(4) + block
        answer = link.run(link.client.exchange(request, "x"))
    assert answer[3] == DataAccessResult.LONG_SET_ABORTED
    assert number * len(raw) < 70_000


def test_a_request_longer_than_the_meter_takes() -> None:
    link = associated(READER)
    assert link.send(b"\xc1" + bytes(1024)) == TOO_LONG


@pytest.mark.parametrize(
    "apdu", ["c001", "c001c100", "c004c1", "c001c1000300", "c1", "c3", "c3ffc1", "c101c10001"]
)
def test_broken_requests(apdu: str) -> None:
    link = associated(READER)
    assert link.send(bytes.fromhex(apdu)) == MALFORMED
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


@pytest.mark.parametrize("apdu", ["d9000000", "05010200", "ff", "00", "10400000010000", "61"])
def test_services_that_are_not_offered(apdu: str) -> None:
    link = associated(READER)
    assert link.send(bytes.fromhex(apdu)) == NOT_SUPPORTED


@pytest.mark.parametrize("client_sap", [PUBLIC, READER, MANAGER, Sap(99)])
@pytest.mark.parametrize("apdu", ["c001c1000300", "6200", "63", "", "c8", "ff"])
def test_nothing_is_possible_without_association(client_sap: Sap, apdu: str) -> None:
    server = ServerConnection(DemoMeter(0), entropy=entropy())
    assert server.receive(client_sap, bytes.fromhex(apdu)) == NOT_POSSIBLE


def test_the_manager_is_not_heard_in_the_clear() -> None:
    link = associated()
    get = bytes.fromhex("c001c10003") + bytes(ENERGY) + b"\x02\x00"
    assert link.send(get) == NOT_DECIPHERED


def test_a_replayed_request_is_answered_with_the_counter_expected() -> None:
    link = associated()
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link.run(link.client.act(DisconnectControl.remote_reconnect, 0, at=DISCONNECT))
    recorded = link.wire[-4]

    answer = ExceptionResponse.decode(link.send(recorded))

    assert answer.service_error is ServiceError.INVOCATION_COUNTER_ERROR
    assert answer.invocation_counter == link.meter.ciphering.window.expected
    assert len(link.meter.switch.moves) == 2
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_a_replayed_opening_is_refused_on_any_connection() -> None:
    link = associated()
    opening = link.wire[0]
    other = ServerConnection(link.meter, entropy=entropy())
    answer = other.receive(MANAGER, opening)
    assert answer is not None
    assert ExceptionResponse.decode(answer).invocation_counter is not None
    assert other.state(MANAGER) is State.IDLE


def test_a_client_behind_its_counter_reads_which_to_use() -> None:
    link = associated()
    expected = link.meter.ciphering.window.expected
    late = Link(link.meter, first_counter=0)
    with pytest.raises(ExceptionResponseError, match=f"counter of {expected} or more") as refused:
        late.run(late.client.associate())
    assert refused.value.invocation_counter == expected


def test_a_replayed_answer_is_refused_by_the_client() -> None:
    link = associated()
    link.run(link.client.get(Register.value, at=ENERGY))
    old = link.wire[-1]
    steps = link.client.get(Register.value, at=ENERGY)
    next(steps)
    with pytest.raises(ReplayError):
        steps.send(old)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    link = associated(rows=0)
    channel = link.client.channel
    assert channel is not None
    octets = bytearray(
        channel.protect(bytes.fromhex("c301c10046") + bytes(DISCONNECT) + b"\x01\x01\x0f\x00")
    )
    position = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[position // 8] ^= 1 << position % 8
    answer = link.server.receive(MANAGER, bytes(octets))
    assert answer is not None
    assert answer[0] == 0xD8
    assert link.meter.switch.moves == []


def test_a_forged_release_ends_nothing() -> None:
    link = associated()
    steps = link.client.release()
    forged = bytearray(next(steps))
    forged[-1] ^= 1
    assert link.send(bytes(forged)) == NOT_DECIPHERED
    assert link.server.state(MANAGER) is State.ASSOCIATED


@pytest.mark.parametrize("client_sap", [READER, MANAGER])
def test_a_forged_opening_ends_nothing(client_sap: Sap) -> None:
    link = associated(client_sap)
    forged = aarq(calling_authentication_value=b"guess").encode()
    assert Aare.decode(link.send(forged)).result is AssociationResult.REJECTED_PERMANENT
    assert link.send(link.wire[0])[0] in {0x61, 0xD8}
    assert link.server.state(client_sap) is State.ASSOCIATED
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_a_meter_without_counters_left_says_so() -> None:
    meter = DemoMeter()
    meter.ciphering.counters = CounterBlock(0, 2)
    link = Link(meter)
    with pytest.raises((ExceptionResponseError, AuthenticationError)):
        link.run(link.client.associate())


def test_services_need_an_association_on_the_clients_side_too() -> None:
    link = Link()
    with pytest.raises(LocalProtocolError, match="SERVICE has no place in state IDLE"):
        link.run(link.client.get(Register.value, at=ENERGY))
    with pytest.raises(ValueError, match="pass `counters`"):
        Client(link.client.parameters, entropy=bytes)


def answer_with(octets: str, client_sap: Sap = READER) -> None:
    link = associated(client_sap)
    steps = link.client.get(Register.value, at=ENERGY)
    request = next(steps)
    steps.send(bytes.fromhex(octets.replace("II", f"{request[2]:02x}")))


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ("c401ff0006000000ff", UnexpectedAnswerError, "is no response to it"),
        ("", UnexpectedAnswerError, "nothing is no response"),
        ("c401II0104", AccessError, "read the object list"),
        ("c401II01f9", AccessError, "reserved-249"),
        ("c401II0009026162", UnexpectedAnswerError, "where the class declares an integer"),
        ("c402II0000000002000106", UnexpectedAnswerError, "block 2 came where 1 was due"),
        ("c402II000000000101fa", AccessError, "other-reason"),
        ("d80101", ExceptionResponseError, "service-not-allowed, operation-not-possible"),
        ("d8020600000005", ExceptionResponseError, "counter of 5 or more"),
        ("d80206", ExceptionResponseError, "a higher one"),
        ("d80105", ExceptionResponseError, "check the keys"),
    ],
)
def test_wrong_answers_are_told_by_the_client(
    answer: str, error: type[DlmsError], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        answer_with(answer)


@given(st.binary(max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_answer_is_a_value_or_an_error_of_the_protocol(octets: bytes) -> None:
    link = LINK
    steps = link.client.get(Register.value, at=ENERGY)
    next(steps)
    with contextlib.suppress(DlmsError, StopIteration):
        steps.send(octets)
    steps.close()


LINK = associated(READER, rows=0)

STATES = ["idle", "pending", "associated"]


@pytest.mark.parametrize("client_sap", [PUBLIC, READER, MANAGER])
@pytest.mark.parametrize("state", STATES)
@given(
    octets=st.one_of(
        st.binary(max_size=80),
        st.tuples(
            st.sampled_from(
                [bytes([tag]) for tag in (0x60, 0x62, 0xC0, 0xC1, 0xC3, 0xC8, 0xCB, 0xDB, 0xDD)]
            ),
            st.binary(max_size=60),
        ).map(b"".join),
    )
)
@settings(max_examples=60, deadline=None)
def test_no_octets_make_the_server_raise(client_sap: Sap, state: str, octets: bytes) -> None:
    link = Link(METER, client_sap, first_counter=next(COUNTERS))
    if state == "associated":
        link.run(link.client.associate())
    elif state == "pending":
        link.send(next(link.client.associate()))
    answer = link.server.receive(client_sap, octets)
    assert answer is None or answer[0] in {0x61, 0x63, 0xD8, 0xC4, 0xC5, 0xC7}


@given(
    apdu=st.tuples(
        st.sampled_from([b"\xc0", b"\xc1", b"\xc3"]), st.integers(0, 7), st.binary(max_size=60)
    ).map(lambda parts: parts[0] + bytes((parts[1], 0xC1)) + parts[2])
)
@settings(max_examples=300, deadline=None)
def test_no_protected_octets_make_the_server_raise(apdu: bytes) -> None:
    channel = MANAGED.client.channel
    assert channel is not None
    answer = MANAGED.server.receive(MANAGER, channel.protect(apdu))
    assert answer is None or answer[0] in {0xD8, 0xCC, 0xCD, 0xCF}


METER = DemoMeter(5)
MANAGED = associated(rows=5)
COUNTERS = iter(range(0, 2**31, 1000))


def test_no_protection_is_a_policy_too() -> None:
    meter = DemoMeter()
    meter.ciphering.policy = NO_PROTECTION
    link = Link(meter)
    link.run(link.client.associate())
    get = bytes.fromhex("c001c10003") + bytes(ENERGY) + b"\x02\x00"
    assert link.send(get)[:4].hex() == "c401c100"
    assert METER_TITLE in bytes(link.wire[1])
