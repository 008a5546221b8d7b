# SPDX-License-Identifier: Apache-2.0
"""Our client and our server by short names: the same calls, every mechanism, form and PDU size."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlmskeys import SUITE_1
from openami.cosem.asking.base_names import BaseNames, Known
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    SapAssignment,
)
from openami.cosem.classes.associations import AssociationSnV4, ShortNameElement
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.classes.time_event import Clock
from openami.cosem.client import ListedObject
from openami.cosem.refusals import (
    AccessError,
    AssociationError,
    AuthenticationError,
    NoShortNameError,
    NotNegotiatedError,
    ServiceRefusedError,
    UnexpectedAnswerError,
)
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.association import ApplicationContext, State
from openami.dlms.data import OctetString, Unsigned
from openami.dlms.hls import Mechanism
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from playbooks.demo_meter import (
    CLIENT_TITLE,
    CLOCK,
    DISCONNECT,
    ENERGY,
    LDN,
    LOAD_PROFILE,
    MANAGER,
    NAME,
    NOTE,
    PERIOD,
    PUBLIC,
    READER,
    SAPS,
    START,
    Link,
    row,
)
from playbooks.named_meter import (
    MIRROR,
    OPEN,
    NamedMeter,
    NamedMirror,
    associated,
    named_link,
)
from playbooks.secure_meter import SecureMeter, secure_link
from playbooks.secure_meter import changed as changed_policy

CLIENTS = (PUBLIC, READER, MANAGER)
DEDICATED_KEY = bytes(range(32, 48))
MANAGER_FORMS: dict[str, tuple[dict[str, Any], set[int]]] = {
    "glo": ({}, {0x25, 0x26, 0x2C, 0x2D}),
    "ded": ({"dedicated_key": DEDICATED_KEY}, {0x45, 0x46, 0x4C, 0x4D}),
    "general-glo": ({"general": True}, {0xDB}),
    "general-ded": ({"general": True, "dedicated_key": DEDICATED_KEY}, {0xDC}),
}
ALL_TAGS = set(range(1, 0x100)) - {0x60, 0x61, 0x62, 0x63}


def tags(link: Link) -> set[int]:
    return {apdu[0] for apdu in link.wire}


@pytest.mark.parametrize("client_sap", CLIENTS)
def test_associate_read_release_and_again(client_sap: Sap) -> None:
    link = named_link(client_sap)

    for _ in range(2):
        context = link.run(link.client.associate())
        assert context.application_context is ApplicationContext.of(
            short_names=True, ciphered=client_sap == MANAGER
        )
        assert context.conformance & Conformance.READ
        assert not context.conformance & (Conformance.GET | Conformance.SET | Conformance.ACTION)
        assert link.client.state is link.server.state(client_sap) is State.ASSOCIATED
        assert link.run(link.client.get(Data.value, at=LDN)) == NAME
        link.run(link.client.release())
        assert link.client.state is link.server.state(client_sap) is State.IDLE


@pytest.mark.parametrize("form", MANAGER_FORMS)
def test_every_form_of_protection(form: str) -> None:
    changes, expected = MANAGER_FORMS[form]
    link = associated(MANAGER, **changes)
    link.wire.clear()

    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    octets = link.run(link.client.profile(LOAD_PROFILE, START, START + 99 * PERIOD))
    assert axdr_data.decode(octets) == [row(index) for index in range(100)]
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link.run(link.client.set(Data.value, OctetString(b"new"), at=NOTE))
    assert link.run(link.client.act(NamedMirror.reflect, b"ab", at=MIRROR)) == b"abab"
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]
    assert tags(link) == expected
    link.run(link.client.release())


@pytest.mark.parametrize("mechanism", [Mechanism.HLS_MD5, Mechanism.HLS_SHA1, Mechanism.HLS_SHA256])
@pytest.mark.parametrize("challenge_octets", [8, 16, 64])
def test_hls_with_a_secret(mechanism: Mechanism, challenge_octets: int) -> None:
    meter = NamedMeter()
    meter.change(READER, mechanism=mechanism, secret=b"a secret")
    terms: dict[str, Any] = {"mechanism": mechanism, "system_title": CLIENT_TITLE, "meter": meter}
    terms["challenge_octets"] = challenge_octets
    link = associated(READER, secret=b"a secret", **terms)
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456

    wrong = named_link(READER, secret=b"another", **terms)
    with pytest.raises(AuthenticationError, match="other-reason"):
        wrong.run(wrong.client.associate())
    assert wrong.server.state(READER) is wrong.client.state is State.IDLE


def test_hls_with_signatures() -> None:
    meter = SecureMeter(SUITE_1, mechanism=Mechanism.HLS_ECDSA)
    names = NamedMeter().names
    changed_policy(meter, short_names=names)
    link = secure_link(SUITE_1, meter=meter, mechanism=Mechanism.HLS_ECDSA, short_names=BaseNames())
    link.run(link.client.associate())
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_a_wrong_password() -> None:
    link = named_link(READER, secret=b"wrong")
    with pytest.raises(AssociationError, match="check the password"):
        link.run(link.client.associate())


def test_a_meter_by_logical_names_refuses_and_the_other_way_round() -> None:
    link = Link(client_sap=READER, short_names=BaseNames())
    with pytest.raises(AssociationError, match="application-context-name-not-supported"):
        link.run(link.client.associate())
    link = Link(NamedMeter(), READER)
    with pytest.raises(AssociationError, match="application-context-name-not-supported"):
        link.run(link.client.associate())


def test_values_as_their_classes_declare_them() -> None:
    link = associated()
    client = link.client
    assert link.run(client.get(Register.scaler_unit, at=ENERGY)) == ScalerUnit(0, 30)
    assert link.run(client.get(Register.logical_name, at=ENERGY)) == ENERGY
    assert link.run(client.get(Clock.time, at=CLOCK)).to_utc() == START
    assert link.run(client.get(SapAssignment.sap_assignment_list, at=SAPS)) == ((1, NAME),)
    chosen = link.run(
        client.get(
            ProfileGeneric.buffer, at=LOAD_PROFILE, selection=ByEntry(from_entry=2, to_entry=3)
        )
    )
    assert chosen == [row(1), row(2)]
    listed = link.run(client.get(AssociationSnV4.object_list, at=CURRENT_ASSOCIATION))
    assert listed[0] == ShortNameElement(0xFA00, 12, 4, CURRENT_ASSOCIATION)


def test_the_object_list_is_read_once_for_many_associations() -> None:
    names = BaseNames()
    first = associated(short_names=names)
    first.run(first.client.get(Data.value, at=LDN))
    asked = [apdu.hex() for apdu in first.wire if apdu[:1] == b"\x05"]
    assert asked[0] == "050102fa08"
    assert asked[-1] == "050102fd08"

    second = associated(short_names=names, meter=first.meter)
    second.run(second.client.get(Register.value, at=ENERGY))
    assert [apdu.hex() for apdu in second.wire if apdu[:1] == b"\x05"] == [
        "050102" + NamedMeter().at(ENERGY)
    ]


def test_given_names_need_no_object_list() -> None:
    meter = NamedMeter()
    given = {
        (3, ENERGY): meter.names.base_name(ENERGY),
        (70, DISCONNECT): Known(meter.names.base_name(DISCONNECT), 0),
    }
    link = associated(meter=meter, short_names=BaseNames(given))
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    assert "050102fa08" not in [apdu.hex() for apdu in link.wire]


def test_a_meter_that_hides_its_list_tells_of_single_objects() -> None:
    link = associated()
    hidden = bytes.fromhex("0c010103")
    send = link.send

    def hiding(apdu: bytes) -> bytes:
        return hidden if apdu.hex() == "050102fa08" else send(apdu)

    link.send = hiding  # type: ignore[method-assign]
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456
    with pytest.raises(AccessError, match="the meter refuses to read the object list"):
        link.run(link.client.get(Register.value, at=Obis(1, 0, 9, 9, 9, 9)))
    with pytest.raises(AccessError, match="refuses to read the object list: read-write-denied"):
        link.run(link.client.objects())


def test_what_has_no_short_name() -> None:
    link = associated()
    client, nowhere = link.client, Obis(1, 0, 9, 9, 9, 9)
    with pytest.raises(NoShortNameError, match=r"attribute 2 of 1.0.9.9.9.9 \(class 3\) has no"):
        link.run(client.get(Register.value, at=nowhere))
    with pytest.raises(NoShortNameError, match=r"Data.value of 1.0.9.9.9.9"):
        link.run(client.set(Data.value, Unsigned(1), at=nowhere))
    with pytest.raises(NoShortNameError, match="has no short name that is known"):
        link.run(client.act(Register.reset, 0, at=nowhere))
    with pytest.raises(NoShortNameError):
        link.run(client.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))
    with pytest.raises(NoShortNameError):
        link.run(client.get_data(3, ENERGY, 0))
    with pytest.raises(NoShortNameError):
        link.run(client.act_data(40_999, MIRROR, 1, None))
    link.client.parameters.short_names.learn(  # type: ignore[union-attr]
        [ShortNameElement(0xFFF8, 3, 0, nowhere), ShortNameElement(0x0000, 40_999, 0, nowhere)]
    )
    with pytest.raises(NoShortNameError):
        link.run(client.get(Register.value, at=nowhere))
    with pytest.raises(NoShortNameError):
        link.run(client.act_data(40_999, nowhere, 1, None))


def test_the_meter_s_refusals() -> None:
    link = associated(PUBLIC)
    names = link.client.parameters.short_names
    assert names is not None
    names.learn([ShortNameElement(0x0110, 3, 0, ENERGY)])
    with pytest.raises(AccessError, match=r"read attribute 2 of .*: object-undefined"):
        link.run(link.client.get(Register.value, at=ENERGY))
    link = associated(READER)
    with pytest.raises(AccessError, match=r"write Data.value of .*: read-write-denied"):
        link.run(link.client.set(Data.value, OctetString(b""), at=NOTE))
    with pytest.raises(
        AccessError, match=r"invoke DisconnectControl.remote_disconnect of .*denied"
    ):
        link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    link = associated()
    with pytest.raises(AccessError, match=r"invoke NamedMirror.reflect of .*: temporary-failure"):
        link.run(link.client.act(NamedMirror.reflect, b"refuse", at=MIRROR))


LIST = [(Register.value, ENERGY), (Data.value, LDN), (Register.value, Obis(1, 0, 9, 9, 9, 9))] * 30
FOUND = [123_456, NAME, DataAccessResult.OBJECT_UNDEFINED] * 30


@pytest.mark.parametrize("pdu_octets", [64, 200, 0xFFFF])
@pytest.mark.parametrize("multiple", [True, False])
def test_a_list(pdu_octets: int, *, multiple: bool) -> None:
    conformance = Conformance.GET | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    if multiple:
        conformance |= Conformance.MULTIPLE_REFERENCES
    link = associated(max_receive_pdu_octets=pdu_octets, conformance=conformance)
    assert link.run(link.client.get_list(LIST)) == FOUND
    reads = [apdu for apdu in link.wire if apdu[:1] == b"\x05" and apdu[2] == 0x02]
    assert len(reads) == (2 if multiple else 61)
    assert link.run(link.client.get_list([])) == []


def test_a_list_without_multiple_references_says_why() -> None:
    link = associated(READER)
    names = link.client.parameters.short_names
    assert names is not None
    names.learn([ShortNameElement(0, 3, 0, CLOCK)])
    assert link.run(link.client.get_list([(Register.value, CLOCK)])) == [
        DataAccessResult.OBJECT_UNDEFINED
    ]


@given(st.integers(0, 3000), st.integers(64, 1500), st.integers(64, 1500), st.booleans())
@settings(max_examples=60, deadline=None)
def test_arguments_and_results_of_any_length(
    length: int,
    client_octets: int,
    server_octets: int,
    value_blocks: bool,  # noqa: FBT001  hypothesis gives it so
) -> None:
    meter = NamedMeter(value_blocks=value_blocks)
    meter.change(OPEN, max_receive_pdu_octets=server_octets)
    link = associated(meter=meter, max_receive_pdu_octets=client_octets)
    link.wire.clear()
    octets = bytes(index & 0xFF for index in range(length))

    assert link.run(link.client.act(NamedMirror.reflect, octets, at=MIRROR)) == octets * 2
    assert link.run(link.client.act(NamedMirror.swallow, octets, at=MIRROR)) is None
    link.run(link.client.set(Data.value, OctetString(octets), at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == octets
    several = [(Data.value, NOTE), (Data.value, LDN)]
    assert link.run(link.client.get_list(several)) == [octets, NAME]

    assert meter.swallowed == [octets]
    assert max(map(len, link.wire[::2])) <= server_octets
    assert max(map(len, link.wire[1::2])) <= client_octets


@pytest.mark.parametrize("length", [0, 1, 100, 2000])
@pytest.mark.parametrize("form", MANAGER_FORMS)
def test_protected_blocks_obey_the_pdu_sizes(form: str, length: int) -> None:
    changes, _ = MANAGER_FORMS[form]
    meter = NamedMeter()
    meter.change(MANAGER, max_receive_pdu_octets=150)
    link = associated(MANAGER, meter=meter, max_receive_pdu_octets=120, **changes)
    link.wire.clear()
    octets = bytes(length)

    assert link.run(link.client.act(NamedMirror.reflect, octets, at=MIRROR)) == octets * 2
    link.run(link.client.set(Data.value, OctetString(octets), at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == octets
    assert max(map(len, link.wire[::2])) <= 150
    assert max(map(len, link.wire[1::2])) <= 120


def test_methods_by_read_where_write_was_not_negotiated() -> None:
    meter = NamedMeter()
    meter.change(OPEN, conformance=Conformance.READ | Conformance.PARAMETERIZED_ACCESS)
    link = associated(meter=meter)
    assert link.run(link.client.act(NamedMirror.swallow, b"a", at=MIRROR)) is None
    link.run(link.client.act(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    assert tags(link) == {0x60, 0x61, 0x05, 0x0C}
    assert meter.swallowed == [b"a"]
    with pytest.raises(NotNegotiatedError, match="a write request needs write"):
        link.run(link.client.set(Data.value, OctetString(b"x"), at=NOTE))
    with pytest.raises(NotNegotiatedError, match="a write request needs unconfirmed-write"):
        link.run(link.client.set(Data.value, OctetString(b"x"), at=NOTE, confirmed=False))


def test_methods_by_write_where_parameters_were_not_negotiated() -> None:
    meter = NamedMeter()
    meter.change(OPEN, conformance=Conformance.READ | Conformance.WRITE)
    link = associated(meter=meter)
    link.run(link.client.act(NamedMirror.swallow, b"a", at=MIRROR))
    assert meter.swallowed == [b"a"]
    with pytest.raises(UnexpectedAnswerError, match=r"NamedMirror.reflect"):
        link.run(link.client.act(NamedMirror.reflect, b"a", at=MIRROR))


def test_objects_of_either_way() -> None:
    by_short_name = associated()
    by_logical_name = Link(client_sap=READER)
    by_logical_name.run(by_logical_name.client.associate())
    found = by_short_name.run(by_short_name.client.objects())
    expected = by_logical_name.run(by_logical_name.client.objects())

    assert found[0] == ListedObject(12, 4, CURRENT_ASSOCIATION)
    assert expected[0] == ListedObject(15, 1, CURRENT_ASSOCIATION)
    assert set(found[1:]) - set(expected[1:]) == {ListedObject(40_001, 0, MIRROR)}


@pytest.mark.parametrize("version", range(5))
def test_rights_of_either_way(version: int) -> None:
    by_short_name = associated(READER, meter=NamedMeter(version=version))
    by_logical_name = Link(client_sap=READER)
    by_logical_name.run(by_logical_name.client.associate())
    found = by_short_name.run(by_short_name.client.object_list())
    expected = by_logical_name.run(by_logical_name.client.object_list())

    attributes = {each.logical_name: each.access_rights.attributes for each in found[1:]}
    for element in expected[1:]:
        modes = [row[:2] for row in attributes[element.logical_name]]
        assert modes == [row[:2] for row in element.access_rights.attributes]


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        ("0e050302", ServiceRefusedError, "refuses a read request: service, service-unsupported"),
        ("0d0100", UnexpectedAnswerError, "0D 01 00 is no response to it"),
        ("0c0103", UnexpectedAnswerError, "0C 01 03 is no response to it"),
        ("0c0102000002" + "0101", UnexpectedAnswerError, "block 2 came where 1 was due"),
        ("0c0102010001" + "03010103", AccessError, "read-write-denied"),
        ("", UnexpectedAnswerError, "nothing is no response to it"),
    ],
)
def test_wrong_answers_to_a_read(answer: str, error: type[Exception], why: str) -> None:
    link = associated()
    link.run(link.client.get(Data.value, at=LDN))
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    with pytest.raises(error, match=why):
        link.run(link.client.get(Data.value, at=LDN))


def test_one_block_may_hold_an_empty_array() -> None:
    link = associated()
    link.run(link.client.get(Data.value, at=LDN))
    link.send = lambda _apdu: bytes.fromhex("0c0102010001" + "020100")  # type: ignore[method-assign]
    assert link.run(link.client.get_data(1, LDN, 2)) == []


@pytest.mark.parametrize(
    ("answer", "error", "why"),
    [
        ("0e060302", ServiceRefusedError, "refuses a write request: service, service-unsupported"),
        ("0c0100", UnexpectedAnswerError, "0C 01 00 is no response to it"),
        ("0d020000", UnexpectedAnswerError, "2 results for 1 of them"),
        ("0d01020001", UnexpectedAnswerError, "0 results for 1 of them"),
    ],
)
def test_wrong_answers_to_a_write(answer: str, error: type[Exception], why: str) -> None:
    link = associated()
    link.run(link.client.get(Data.value, at=NOTE))
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    with pytest.raises(error, match=why):
        link.run(link.client.set(Data.value, OctetString(b""), at=NOTE))


def test_a_service_of_the_other_way_is_refused_under_protection() -> None:
    link = associated(MANAGER)
    link.wire.clear()
    get_request = bytes.fromhex("c001c100080000010000ff0200")
    with pytest.raises(ServiceRefusedError, match="a GET: service, service-unsupported"):
        link.run(link.client.exchange(get_request, "a GET"))
    assert tags(link) == {0xC8, 0x2E}
    assert link.run(link.client.get(Data.value, at=LDN)) == NAME


@given(st.sampled_from([0x05, 0x06, 0x16, 0x18, 0x0C]), st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_any_octets_are_answered_and_end_nothing(tag: int, octets: bytes) -> None:
    link = associated()
    answer = link.server.receive(OPEN, bytes((tag,)) + octets)
    expected = {0x05: 0x0C, 0x06: 0x0D}.get(tag, 0x0E)
    assert answer is None if tag == 0x16 else answer is not None and answer[0] == expected
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans(), st.binary(max_size=6)), max_size=8))
@settings(max_examples=200, deadline=None)
def test_any_blocks_are_answered(blocks: list[tuple[int, bool, bytes]]) -> None:
    link = associated(max_receive_pdu_octets=40)
    for number, last, raw in blocks:
        head = bytes((last,)) + number.to_bytes(2)
        piece = bytes((len(raw),)) + raw
        for apdu, tag in (
            (b"\x05\x01\x06" + head + piece, 0x0C),
            (b"\x06\x01\x07" + head + b"\x01\x09" + piece, 0x0D),
            (b"\x05\x01\x05" + number.to_bytes(2), 0x0C),
        ):
            answer = link.server.receive(OPEN, apdu)
            assert answer is not None
            assert answer[0] == tag
            assert len(answer) <= 40
