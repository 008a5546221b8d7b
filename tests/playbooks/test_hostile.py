# SPDX-License-Identifier: Apache-2.0
"""Replays, forgeries and hostile octets: nothing raises, nothing opens."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.measurement import Register
from openami.cosem.client import Client
from openami.cosem.refusals import (
    AccessError,
    AuthenticationError,
    ExceptionResponseError,
    UnexpectedAnswerError,
)
from openami.cosem.server import (
    NOT_DECIPHERED,
    NOT_POSSIBLE,
    ServerConnection,
)
from openami.dlms.apdu.acse import (
    Aare,
    AssociationResult,
)
from openami.dlms.apdu.faults import ExceptionResponse, ServiceError
from openami.dlms.association import State
from openami.dlms.errors import DlmsError, LocalProtocolError, ReplayError
from openami.dlms.sap import Sap
from openami.dlms.security.counters import CounterBlock
from openami.dlms.security.suites import NO_PROTECTION
from playbooks.demo_meter import (
    DISCONNECT,
    ENERGY,
    MANAGER,
    METER_TITLE,
    PUBLIC,
    READER,
    DemoMeter,
    Link,
    aarq,
    associated,
    entropy,
)


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
    with pytest.raises(ReplayError, match=r"counter is not above the last one; .* is expected"):
        steps.send(old)
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


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
    with pytest.raises(LocalProtocolError, match="a read request has no place in state IDLE"):
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
