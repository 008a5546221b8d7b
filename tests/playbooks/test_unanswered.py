# SPDX-License-Identifier: Apache-2.0
"""Unconfirmed and pre-established associations, and what the meter sends unasked."""

from dataclasses import replace
from typing import Any

import pytest

from openami.cosem.asking.access import Write
from openami.cosem.asking.association import ALL_SERVICES, DEFAULT_CONFORMANCE
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, Register
from openami.cosem.refusals import UnexpectedAnswerError
from openami.cosem.server import NOT_POSSIBLE, NOT_SUPPORTED, ServerConnection
from openami.cosem.serving.notices import confirmation_of
from openami.dlms.apdu.acse import Aare, AcseServiceUser
from openami.dlms.apdu.initiate import Conformance, InitiateRequest
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
)
from openami.dlms.association import State
from openami.dlms.conversation import OneWay
from openami.dlms.data import OctetString
from openami.dlms.errors import (
    LocalProtocolError,
    RemoteProtocolError,
    ReplayError,
    SecurityError,
)
from openami.dlms.hls import Mechanism
from playbooks.demo_meter import (
    CLIENT_TITLE,
    DISCONNECT,
    ENERGY,
    MANAGER,
    NOTE,
    READER,
    Link,
    Sap,
    aarq,
    entropy,
)
from playbooks.standing import EVENT, PUSH, QUIET, STANDING, standing, writing_meter

# Unconfirmed associations ------------------------------------------------------------------


def unconfirmed() -> Link:
    link = Link(writing_meter(), READER, confirmed=False, conformance=ALL_SERVICES)
    context = link.run(link.client.associate())
    assert context.conformance == ALL_SERVICES, "nobody tells, so what is proposed is believed"
    assert len(link.wire) == 1, "no AARE"
    return link


def test_an_unconfirmed_association_opens_in_silence_and_serves() -> None:
    link = unconfirmed()
    client = link.client
    assert client.state is link.server.state(READER) is State.ASSOCIATED
    link.run(client.set(Data.value, QUIET, at=NOTE))
    link.run(client.tell_method(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link.run(client.access([Write(Data.value, QUIET, at=NOTE)]))
    assert len(link.wire) == 4, "and nothing came back"
    assert link.meter[NOTE].values[2] == QUIET
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]
    link.run(client.release())
    assert client.state is link.server.state(READER) is State.IDLE


def test_what_wants_an_answer_has_no_place_in_it() -> None:
    link = unconfirmed()
    with pytest.raises(LocalProtocolError, match="a read request has no place in state ASSOCIATED"):
        link.run(link.client.get(Register.value, at=ENERGY))
    assert len(link.wire) == 1
    confirmed_set = "C101C1 0001 0000600109FF 02 00 0902 6162"
    for apdu in (confirmed_set, "C001C1 0003 0100010800FF 02 00", "FF00", "C1", "D9 40000000"):
        assert link.server.receive(READER, bytes.fromhex(apdu)) is None
    assert link.meter[NOTE].values[2] != b"ab", "it is not even carried out"
    assert link.server.receive(READER, bytes(2000)) is None


def test_a_long_request_goes_in_blocks_that_nobody_confirms() -> None:
    link = Link(
        writing_meter(),
        READER,
        confirmed=False,
        conformance=ALL_SERVICES,
        server_max_receive_pdu_octets=64,
    )
    link.run(link.client.associate())
    long = OctetString(bytes(range(200)))
    link.run(link.client.set(Data.value, long, at=NOTE))
    blocks = link.wire[1:]
    assert len(blocks) > 3
    assert max(map(len, blocks)) <= 64
    assert {each[:1] for each in blocks} == {b"\xe0"}
    assert link.meter[NOTE].values[2] == long
    confirmed = bytes.fromhex("E081 0001 0000 01 FF")
    assert link.server.receive(READER, confirmed) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"calling_authentication_value": b"wrong"},
        {"application_context_name": b"\x60\x85\x74\x05\x08\x01\x63"},
        {"conformance": Conformance.READ},
    ],
)
def test_a_refusal_is_silent_too(changes: dict[str, Any]) -> None:
    server = ServerConnection(writing_meter(), entropy=entropy())
    proposed = changes.pop("conformance", DEFAULT_CONFORMANCE)
    initiate = InitiateRequest(
        response_allowed=False, proposed_conformance=proposed, client_max_receive_pdu_size=500
    )
    request = aarq(user_information=initiate.encode(), **changes)
    assert server.receive(READER, request.encode()) is None
    assert server.state(READER) is State.IDLE


def test_hls_cannot_open_it() -> None:
    link = Link(writing_meter(), MANAGER, confirmed=False)
    with pytest.raises(ValueError, match="HLS needs answers"):
        link.run(link.client.associate())
    channel = Link(writing_meter(), MANAGER).client
    steps = channel.associate()
    next(steps)
    assert channel.channel is not None
    initiate = InitiateRequest(
        response_allowed=False,
        proposed_conformance=DEFAULT_CONFORMANCE,
        client_max_receive_pdu_size=500,
    )
    request = aarq(
        application_context_name=link.client.parameters.application_context.oid,
        calling_ap_title=CLIENT_TITLE,
        mechanism_name=Mechanism.HLS_GMAC.oid,
        calling_authentication_value=bytes(16),
        user_information=channel.channel.protect(initiate.encode()),
    )
    assert link.server.receive(MANAGER, request.encode()) is None
    assert link.server.state(MANAGER) is State.IDLE


# Pre-established associations ---------------------------------------------------------------


def test_a_standing_association_serves_without_an_aarq() -> None:
    link = standing()
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    link.run(link.client.set(Data.value, QUIET, at=NOTE))
    assert link.server.state(STANDING) is State.ASSOCIATED
    assert {each[0] for each in link.wire} == {0xC8, 0xCC, 0xC9, 0xCD}


def test_it_neither_opens_nor_ends() -> None:
    link = standing()
    answer = Aare.decode(link.send(aarq().encode()))
    assert answer.result_source_diagnostic is AcseServiceUser.NO_REASON_GIVEN
    assert link.send(bytes.fromhex("6200")) == NOT_POSSIBLE
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    link.server.lost()
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_a_client_that_knows_opens_and_releases_without_a_word() -> None:
    link = standing()
    link.client.parameters = replace(link.client.parameters, pre_established=True)
    assert link.run(link.client.associate()).conformance & Conformance.GET
    assert not link.wire
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    link.wire.clear()
    link.run(link.client.release())
    assert not link.wire
    assert link.client.state is State.IDLE


def test_nothing_plain_and_nothing_old_gets_in() -> None:
    link = standing()
    link.run(link.client.get(Register.value, at=ENERGY))
    assert link.send(bytes.fromhex("C001C100030100010800FF0200")) == bytes.fromhex("D80105")
    replayed = link.send(link.wire[0])
    assert replayed == bytes.fromhex("D8010600000001")


def test_a_standing_association_may_answer_nothing() -> None:
    link = standing(confirmed=False)
    link.run(link.client.set(Data.value, QUIET, at=NOTE))
    assert len(link.wire) == 1
    assert link.meter[NOTE].values[2] == QUIET


# Notifications -------------------------------------------------------------------------------


def notified(link: Link) -> list[EventNotification | DataNotification]:
    found: list[EventNotification | DataNotification] = []
    link.client.notified = found.append
    return found


def test_a_standing_client_is_told_without_having_asked() -> None:
    link = standing()
    found = notified(link)
    (event,) = link.server.notify(STANDING, EVENT)
    (push,) = link.server.notify(STANDING, PUSH)
    assert (event[0], push[0]) == (0xCA, 0xDB), "glo- for the one, general-glo for the other"
    link.client.unasked(event)
    link.client.unasked(push)
    assert found == [EVENT, PUSH]
    with pytest.raises(ReplayError):
        link.client.unasked(event)


def test_a_long_notification_goes_in_blocks_that_nobody_confirms() -> None:
    link = standing(client_max_receive_pdu_octets=64)
    found = notified(link)
    blocks = link.server.notify(STANDING, PUSH)
    assert len(blocks) > 3
    assert max(map(len, blocks)) <= 64
    assert {each[1] for each in blocks} == {0x40, 0xC0}
    for each in blocks:
        link.client.unasked(each)
    assert found == [PUSH]
    link.client.unasked(blocks[0])
    with pytest.raises(RemoteProtocolError, match="EXPECTING BLOCK 2"):
        link.client.unasked(blocks[2])


@pytest.mark.parametrize("client_sap", [MANAGER, READER])
def test_an_associated_client_is_told_between_request_and_answer(client_sap: Sap) -> None:
    link = Link(writing_meter(), client_sap, conformance=ALL_SERVICES, general_blocks=False)
    link.run(link.client.associate())
    found = notified(link)
    steps = link.client.get(Register.value, at=ENERGY)
    request = next(steps)
    (event,) = link.server.notify(client_sap, EVENT)
    answer = link.send(request)
    assert steps.send(event) == b"", "it is taken, and the answer is waited for"
    with pytest.raises(StopIteration) as ended:
        steps.send(answer)
    assert ended.value.value == 123_456
    assert found == [EVENT]


def test_a_notification_between_blocks() -> None:
    link = Link(
        writing_meter(), READER, conformance=ALL_SERVICES, max_receive_pdu_octets=64, block_window=1
    )
    link.run(link.client.associate())
    found = notified(link)
    link.run(link.client.set(Data.value, OctetString(bytes(100)), at=NOTE))
    steps = link.client.get(Data.value, at=NOTE)
    first = link.send(next(steps))
    (event,) = link.server.notify(READER, EVENT)
    wanted = steps.send(first)
    assert steps.send(event) == b""
    assert found == [EVENT]
    last = steps.send(link.send(wanted))
    assert isinstance(last, OneWay), "the acknowledgement of the last block"
    assert link.server.receive(READER, last) is None
    with pytest.raises(StopIteration) as ended:
        steps.send(b"")
    assert ended.value.value == bytes(100)


def test_a_ciphered_association_with_a_dedicated_key_uses_it() -> None:
    link = Link(
        writing_meter(), MANAGER, conformance=ALL_SERVICES, dedicated_key=bytes(range(0x30, 0x40))
    )
    link.run(link.client.associate())
    found = notified(link)
    (event,) = link.server.notify(MANAGER, EVENT)
    assert event[0] == 0xD2
    link.client.unasked(event)
    assert found == [EVENT]


@pytest.mark.parametrize(
    ("client_sap", "proposed", "notification", "sentence"),
    [
        (Sap(99), ALL_SERVICES, EVENT, "NOT KNOWING CLIENT 99"),
        (READER, None, EVENT, "EventNotification has no place in state IDLE"),
        (READER, DEFAULT_CONFORMANCE, EVENT, "ASSOCIATED without EVENT_NOTIFICATION"),
        (READER, DEFAULT_CONFORMANCE, PUSH, "ASSOCIATED without DATA_NOTIFICATION"),
        (
            READER,
            ALL_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER,
            PUSH,
            "ASSOCIATED for 100 octets at most",
        ),
    ],
)
def test_who_cannot_be_told_is_not(
    client_sap: Sap,
    proposed: Conformance | None,
    notification: EventNotification | DataNotification,
    sentence: str,
) -> None:
    terms = {} if proposed is None else {"conformance": proposed}
    link = Link(writing_meter(), READER, max_receive_pdu_octets=100, **terms)
    if proposed is not None:
        link.run(link.client.associate())
    with pytest.raises(LocalProtocolError, match=sentence):
        link.server.notify(client_sap, notification)


def test_what_comes_unasked_and_is_none() -> None:
    link = standing()
    with pytest.raises(SecurityError):
        link.client.unasked(EVENT.encode())
    answer = link.send(link.client.channel.protect(bytes.fromhex("C001C100030100010800FF0200")))  # type: ignore[union-attr]
    with pytest.raises(UnexpectedAnswerError, match="an APDU with tag C4 came unasked"):
        link.client.unasked(answer)


def test_a_push_is_confirmed_by_its_number() -> None:
    confirmed: list[tuple[int, DataNotificationConfirm]] = []
    meter = writing_meter()
    link = Link(meter, READER, conformance=ALL_SERVICES)
    link.server = ServerConnection(
        meter, entropy=entropy(), notified=lambda sap, apdu: confirmed.append((sap, apdu))
    )
    link.run(link.client.associate())
    found = notified(link)
    for each in link.server.notify(READER, PUSH):
        link.client.unasked(each)
    assert found == [PUSH]
    link.run(link.client.confirm(PUSH))
    assert confirmed == [(READER, confirmation_of(PUSH))]
    assert link.run(link.client.get(Data.value, at=NOTE)), "and nothing answered it"
    link = Link(meter, READER)
    link.run(link.client.associate())
    assert link.send(confirmation_of(PUSH).encode()) == NOT_SUPPORTED


def test_nothing_comes_unasked_without_an_association() -> None:
    link = Link(writing_meter(), READER)
    with pytest.raises(RemoteProtocolError, match="NOTIFICATION has no place in state IDLE"):
        link.client.unasked(EVENT.encode())
