# SPDX-License-Identifier: Apache-2.0
"""ACCESS and attribute 0: several things in one exchange; rights, breaks, echoes, refusals."""

from dataclasses import replace
from typing import Any

import pytest

from openami.cosem.asking.access import Invoke, Operation, Read, Write
from openami.cosem.asking.association import ALL_SERVICES
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register, ScalerUnit
from openami.cosem.refusals import (
    AccessError,
    ExceptionResponseError,
    NotNegotiatedError,
    TooLongError,
    UnexpectedAnswerError,
)
from openami.cosem.rights import ALL, READ_ALL, Grant
from openami.cosem.server import MALFORMED, NOT_SUPPORTED, TOO_LONG
from openami.dlms.apdu.access import AccessResponse
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.data import Array, DoubleLongUnsigned, OctetString
from openami.dlms.errors import LocalProtocolError
from openami.dlms.obis import Obis
from openami.dlms.security.suites import SecurityControl, SecurityPolicy
from playbooks.demo_meter import (
    DISCONNECT,
    ENERGY,
    LDN,
    LOAD_PROFILE,
    MANAGER,
    NOTE,
    PUBLIC,
    READER,
    DemoMeter,
    Link,
    Sap,
    associated,
    row,
)

SUCCESS = DataAccessResult.SUCCESS
NOTE_2 = OctetString(b"home 2, week 2")
MIXED: tuple[Operation, ...] = (
    Read(Register.value, at=ENERGY),
    Write(Data.value, NOTE_2, at=NOTE),
    Invoke(DisconnectControl.remote_disconnect, 0, at=DISCONNECT),
    Read(Data.value, at=NOTE),
)


def opened(client_sap: Sap = MANAGER, rows: int = 100, **changes: Any) -> Link:
    terms = {"conformance": ALL_SERVICES, "general_blocks": False}
    return associated(client_sap, rows, **(terms | changes))


def granted(*grants: Grant, **changes: Any) -> Link:
    meter = DemoMeter()
    meter.associations[MANAGER] = replace(meter.associations[MANAGER], grants=grants)
    link = Link(meter, MANAGER, **({"conformance": ALL_SERVICES} | changes))
    link.run(link.client.associate())
    return link


def test_several_operations_are_carried_out_in_their_order() -> None:
    link = opened()
    crossed = len(link.wire)
    energy, written, switched, note = link.run(link.client.access(MIXED))
    assert len(link.wire) - crossed == 2
    assert (energy.result, energy.value) == (SUCCESS, 123_456)
    assert (written.result, written.value) == (SUCCESS, None)
    assert switched.result == ActionResult.SUCCESS
    assert note.value == NOTE_2
    assert [each.operation for each in (energy, written, switched, note)] == list(MIXED)
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]


def test_a_selection_goes_along() -> None:
    link = opened()
    read = Read(ProfileGeneric.buffer, LOAD_PROFILE, ByEntry(from_entry=2, to_entry=3))
    (found,) = link.run(link.client.access([read]))
    assert found.value == Array((row(1), row(2)))


@pytest.mark.parametrize("self_descriptive", [True, False])
def test_the_specifications_come_back_where_they_are_asked_for(*, self_descriptive: bool) -> None:
    link = opened(READER)
    operations = (Read(Data.value, at=LDN),)
    link.run(link.client.access(operations, self_descriptive=self_descriptive))
    response = AccessResponse.decode(link.wire[-1])
    expected = (operations[0].specification(),) if self_descriptive else None
    assert response.specifications == expected
    assert response.long_invoke_id_and_priority.self_descriptive is self_descriptive


def test_each_operation_fails_by_itself() -> None:
    link = opened(READER)
    results = link.run(link.client.access(MIXED))
    assert [each.result for each in results] == [
        SUCCESS,
        DataAccessResult.READ_WRITE_DENIED,
        ActionResult.READ_WRITE_DENIED,
        SUCCESS,
    ]
    assert results[1].value is None
    assert not link.meter.switch.moves


def test_nothing_behind_the_first_failure_where_it_is_to_break() -> None:
    link = opened(READER)
    operations = (MIXED[0], MIXED[1], MIXED[2], MIXED[3], MIXED[1])
    results = link.run(link.client.access(operations, break_on_error=True))
    assert [each.result for each in results] == [
        SUCCESS,
        DataAccessResult.READ_WRITE_DENIED,
        ActionResult.OTHER_REASON,
        DataAccessResult.OTHER_REASON,
        DataAccessResult.OTHER_REASON,
    ]
    assert [each.value for each in results[1:]] == [None] * 4


def test_nothing_is_left_out_where_nothing_fails() -> None:
    link = opened()
    results = link.run(link.client.access(MIXED, break_on_error=True))
    assert not any(each.result for each in results)


def test_a_selection_that_was_not_negotiated_fails_alone() -> None:
    proposed = ALL_SERVICES & ~Conformance.SELECTIVE_ACCESS
    link = opened(conformance=proposed)
    selected = Read(ProfileGeneric.buffer, LOAD_PROFILE, ByEntry(from_entry=1))
    written, refused = link.run(link.client.access([MIXED[1], selected]))
    assert written.result == SUCCESS
    assert refused.result == DataAccessResult.SCOPE_OF_ACCESS_VIOLATED


def test_wrong_types_and_unknown_objects_have_their_own_results() -> None:
    link = opened()
    operations = (
        Write(Data.value, DoubleLongUnsigned(1), at=NOTE),
        Read(Register.value, at=NOTE),
        Read(Register.value, at=Obis(9, 9, 9, 9, 9, 9)),
        Invoke(DisconnectControl.remote_disconnect, 0, at=NOTE),
    )
    results = [each.result for each in link.run(link.client.access(operations))]
    assert results == [
        DataAccessResult.TYPE_UNMATCHED,
        DataAccessResult.OBJECT_CLASS_INCONSISTENT,
        DataAccessResult.OBJECT_UNDEFINED,
        ActionResult.OBJECT_CLASS_INCONSISTENT,
    ]


def test_what_a_row_demands_of_protection_is_asked_of_each_operation() -> None:
    secret = Grant(at=NOTE, read=ALL, protection=SecurityPolicy.ENCRYPTED_REQUEST)
    changes: dict[str, Any] = {
        "policy": SecurityPolicy.AUTHENTICATED_REQUEST,
        "control": SecurityControl(0x10),
    }
    for control, expected in ((0x10, DataAccessResult.READ_WRITE_DENIED), (0x30, SUCCESS)):
        meter = DemoMeter()
        meter.ciphering.policy = SecurityPolicy.AUTHENTICATED_REQUEST
        policy = meter.associations[MANAGER]
        meter.associations[MANAGER] = replace(policy, grants=(*READ_ALL, secret))
        changes["control"] = SecurityControl(control)
        link = Link(meter, MANAGER, conformance=ALL_SERVICES, **changes)
        link.run(link.client.associate())
        energy, note = link.run(link.client.access([MIXED[0], MIXED[3]]))
        assert energy.result == SUCCESS
        assert note.result == expected


def test_an_unconfirmed_request_is_carried_out_and_not_answered() -> None:
    link = opened()
    crossed = len(link.wire)
    assert link.run(link.client.access(MIXED, confirmed=False)) == []
    assert len(link.wire) - crossed == 1
    assert link.meter[NOTE].values[2] == NOTE_2
    assert link.run(link.client.get(Register.value, at=ENERGY)) == 123_456


def test_a_meter_that_does_not_grant_it_is_not_asked() -> None:
    link = associated()
    crossed = len(link.wire)
    with pytest.raises(NotNegotiatedError, match="an access request needs access, not negotiated"):
        link.run(link.client.access(MIXED))
    assert len(link.wire) == crossed
    octets = bytes.fromhex("D9 40000001 00 00 00")
    link = associated(READER)
    assert link.send(octets) == NOT_SUPPORTED


def test_nothing_is_asked_without_an_association() -> None:
    link = Link(DemoMeter(), conformance=ALL_SERVICES)
    with pytest.raises(LocalProtocolError, match="an access request has no place in state IDLE"):
        link.run(link.client.access(MIXED))


@pytest.mark.parametrize(
    "apdu",
    [
        "D9",
        "D9 40000001",
        "D9 40000001 00 01 01 0001 00002A0000FF 02 00",  # no value beside the item
        "D9 40000001 00 01 06 0001 00002A0000FF 02 01 00",  # no such item
        "D9 40000001 00 00 00 00",  # an octet behind it
    ],
)
def test_what_is_malformed_is_answered_and_ends_nothing(apdu: str) -> None:
    link = opened(READER)
    assert link.send(bytes.fromhex(apdu)) == MALFORMED
    (found,) = link.run(link.client.access([Read(Register.value, at=ENERGY)]))
    assert found.value == 123_456


def test_an_answer_that_does_not_fit_needs_blocks() -> None:
    whole = Read(ProfileGeneric.buffer, LOAD_PROFILE)
    short: dict[str, Any] = {"max_receive_pdu_octets": 200}
    link = opened(READER, conformance=ALL_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER, **short)
    with pytest.raises(ExceptionResponseError, match="pdu-too-long"):
        link.run(link.client.access([whole]))
    assert link.wire[-1] == TOO_LONG
    link = opened(READER, **short)
    (found,) = link.run(link.client.access([whole]))
    assert len(found.value) == 100
    assert max(map(len, link.wire)) <= 1024


def test_a_request_that_does_not_fit_is_not_sent_without_blocks() -> None:
    many = [MIXED[0]] * 200
    link = opened(READER, conformance=ALL_SERVICES & ~Conformance.GENERAL_BLOCK_TRANSFER)
    crossed = len(link.wire)
    with pytest.raises(TooLongError, match="the meter takes 1024; ask for less at a time"):
        link.run(link.client.access(many))
    assert len(link.wire) == crossed
    link = opened(READER)
    assert len(link.run(link.client.access(many))) == 200


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("DA 40000002 00 00 01 00 01 01 00", "it answers request 2, not 1"),
        ("DA 40000001 00 00 01 00 01 02 00", "its results are not those of the operations"),
        ("DA 40000001 00 00 00 00", "its results are not those of the operations"),
        ("DA 40000001 00 00 02 00 00 01 01 00", "2 values for 1 operations"),
        ("DA 40000001 00 01 00 01 00 01 01 00", "other specifications than it was asked with"),
        ("DA 40000001 00 00 01 0901AA 01 01 00", "is no long-unsigned|DoubleLongUnsigned"),
    ],
)
def test_an_answer_to_something_else_is_refused(answer: str, why: str) -> None:
    link = opened(READER)
    link.send = lambda _apdu: bytes.fromhex(answer)  # type: ignore[method-assign]
    declared = Read(ProfileGeneric.capture_period, at=LOAD_PROFILE)
    with pytest.raises(UnexpectedAnswerError) as refused:
        link.run(link.client.access([declared]))
    assert any(each in str(refused.value) for each in why.split("|"))


# Attribute 0 --------------------------------------------------------------------------------


def test_all_attributes_come_at_once() -> None:
    link = opened()
    found = link.run(link.client.get_all(Register, at=ENERGY))
    assert found == {
        "logical_name": ENERGY,
        "value": 123_456,
        "scaler_unit": ScalerUnit(0, 30),
    }


def test_what_may_not_be_read_is_none() -> None:
    link = granted(Grant(at=ENERGY, read=(1, 3)), Grant(at=NOTE, write=ALL))
    found = link.run(link.client.get_all(Register, at=ENERGY))
    assert found["value"] is None
    assert found["scaler_unit"] == ScalerUnit(0, 30)
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.get_all(Data, at=NOTE))


def test_attribute_0_takes_no_selection_and_needs_negotiation() -> None:
    link = opened()
    with pytest.raises(AccessError, match="scope-of-access-violated"):
        link.run(link.client.get_raw(7, LOAD_PROFILE, 0, selection=ByEntry(from_entry=1)))
    link = associated()
    with pytest.raises(NotNegotiatedError, match="attribute-0-supported-with-get"):
        link.run(link.client.get_all(Register, at=ENERGY))
    with pytest.raises(NotNegotiatedError, match="attribute-0-supported-with-set"):
        link.run(link.client.set_all(Data, {"value": NOTE_2}, at=NOTE))
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.get_raw(3, ENERGY, 0))
    with pytest.raises(AccessError, match="read-write-denied"):
        link.run(link.client.set_data(1, NOTE, 0, Array()))


def test_several_attributes_are_written_at_once() -> None:
    link = opened()
    link.run(link.client.set_all(Data, {"value": NOTE_2}, at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == NOTE_2
    with pytest.raises(AccessError, match="read-write-denied"):  # the logical name stays
        link.run(link.client.set_all(Data, {"logical_name": ENERGY, "value": NOTE_2}, at=NOTE))
    with pytest.raises(AccessError, match="type-unmatched"):
        link.run(link.client.set_all(Data, {"value": DoubleLongUnsigned(1)}, at=NOTE))
    with pytest.raises(AccessError, match="type-unmatched"):
        link.run(link.client.set_data(1, NOTE, 0, Array((NOTE_2,))))
    with pytest.raises(ValueError, match="Data has no attribute vale"):
        link.run(link.client.set_all(Data, {"vale": NOTE_2}, at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == NOTE_2


def test_other_attributes_than_the_class_declares_are_told() -> None:
    link = opened(PUBLIC)
    link.send = lambda _apdu: bytes.fromhex("C401C100 0201 0906 01 00 01 08 00 FF")  # type: ignore[method-assign]
    with pytest.raises(UnexpectedAnswerError, match="no structure of 3 attributes"):
        link.run(link.client.get_all(Register, at=ENERGY))
