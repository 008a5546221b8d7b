# SPDX-License-Identifier: Apache-2.0
"""Lists of writes and of methods by short name, whole objects, and what is only told."""

from typing import Any

import pytest

from openami.cosem.asking.base_names import BaseNames
from openami.cosem.classes.disconnect import ControlState, DisconnectControl
from openami.cosem.classes.measurement import Data, Register, ScalerUnit
from openami.cosem.refusals import (
    NoShortNameError,
    NotNegotiatedError,
    TooLongError,
    UnexpectedAnswerError,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import DoubleLongUnsigned, OctetString
from openami.dlms.obis import Obis
from playbooks.demo_meter import CLOCK, DISCONNECT, ENERGY, LDN, MANAGER, NOTE, READER, Link
from playbooks.named_meter import MIRROR, OPEN, NamedMeter, NamedMirror, associated

NOWHERE = Obis(9, 9, 9, 9, 9, 9)
ONE_AT_A_TIME = (
    Conformance.GET
    | Conformance.SET
    | Conformance.ACTION
    | Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ
    | Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE
)
WAYS: dict[str, dict[str, Any]] = {
    "together": {},
    "one at a time": {"conformance": ONE_AT_A_TIME},
    "in blocks": {"max_receive_pdu_octets": 60},
}


def link_of(way: str) -> Link:
    meter = NamedMeter()
    meter.change(OPEN, max_receive_pdu_octets=64 if way == "in blocks" else 1024)
    return associated(meter=meter, **WAYS[way])


@pytest.mark.parametrize("way", WAYS)
def test_a_list_of_writes(way: str) -> None:
    link = link_of(way)
    long = bytes(range(200))
    results = link.run(
        link.client.set_list(
            [
                (Data.value, NOTE, OctetString(long)),
                (Register.value, ENERGY, DoubleLongUnsigned(1)),
                (Data.value, NOWHERE, OctetString(b"")),
                (Data.value, LDN, DoubleLongUnsigned(1)),
            ]
        )
    )
    assert results == [
        DataAccessResult.SUCCESS,
        DataAccessResult.READ_WRITE_DENIED,
        DataAccessResult.OBJECT_UNDEFINED,
        DataAccessResult.TYPE_UNMATCHED,
    ]
    assert link.run(link.client.get(Data.value, at=NOTE)) == long
    assert link.run(link.client.set_list([])) == []
    requests = [apdu for apdu in link.wire if apdu[:1] == b"\x06"]
    assert (len(requests) == 1) == (way == "together")
    assert max(map(len, requests)) <= link.client.context.max_send_pdu_octets


@pytest.mark.parametrize("way", WAYS)
def test_a_list_of_methods(way: str) -> None:
    link = link_of(way)
    outcomes = link.run(
        link.client.act_list(
            [
                (NamedMirror.reflect, MIRROR, b"ab"),
                (NamedMirror.swallow, MIRROR, b"c"),
                (NamedMirror.reflect, NOWHERE, b"d"),
                (NamedMirror.reflect, MIRROR, b"refuse"),
                (NamedMirror.unbound, MIRROR, b""),
            ]
        )
    )
    assert [outcome.result for outcome in outcomes] == [
        ActionResult.SUCCESS,
        ActionResult.SUCCESS,
        ActionResult.OBJECT_UNDEFINED,
        ActionResult.TEMPORARY_FAILURE,
        ActionResult.READ_WRITE_DENIED,
    ]
    assert outcomes[0].return_parameters == b"abab"
    assert outcomes[1].return_parameters is None
    assert isinstance(link.meter, NamedMeter)
    assert link.meter.swallowed == [b"c"]


def test_lists_that_were_not_negotiated() -> None:
    link = associated(conformance=Conformance.GET)
    with pytest.raises(NotNegotiatedError, match="a list of methods needs parameterized-access"):
        link.run(link.client.act_list([(NamedMirror.swallow, MIRROR, b"")]))
    with pytest.raises(NotNegotiatedError, match="a list of values to write needs write"):
        link.run(link.client.set_list([(Data.value, NOTE, OctetString(b""))]))


def test_one_result_for_a_whole_list() -> None:
    link = associated()
    link.run(link.client.get(Data.value, at=LDN))
    answers = {0x05: "0c0101fa", 0x06: "0d0101fa"}
    link.send = lambda apdu: bytes.fromhex(answers[apdu[0]])  # type: ignore[method-assign]
    other = DataAccessResult.OTHER_REASON
    assert link.run(link.client.get_list([(Data.value, LDN)] * 3)) == [other] * 3
    assert link.run(link.client.set_list([(Data.value, NOTE, OctetString(b""))] * 3)) == [other] * 3


def test_all_attributes_of_an_object() -> None:
    link = associated(READER)
    assert link.run(link.client.get_all(Register, at=ENERGY)) == {
        "logical_name": ENERGY,
        "value": 123_456,
        "scaler_unit": ScalerUnit(0, 30),
    }


@pytest.mark.parametrize("client_sap", [OPEN, MANAGER])
def test_what_is_told_is_done_without_an_answer(client_sap: Any) -> None:
    link = associated(client_sap)
    link.run(link.client.get(Data.value, at=LDN))
    link.wire.clear()
    link.run(link.client.set(Data.value, OctetString(b"told"), at=NOTE, confirmed=False))
    link.run(link.client.tell_method(DisconnectControl.remote_disconnect, 0, at=DISCONNECT))
    assert {apdu[0] for apdu in link.wire if apdu} == {0x36 if client_sap == MANAGER else 0x16}
    assert link.meter.switch.moves == [ControlState.DISCONNECTED]
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"told"
    with pytest.raises(NoShortNameError):
        link.run(link.client.tell_method(DisconnectControl.remote_disconnect, 0, at=NOWHERE))


def test_an_unconfirmed_association_with_given_names() -> None:
    meter = NamedMeter()
    given = {(1, NOTE): meter.names.base_name(NOTE), (8, CLOCK): meter.names.base_name(CLOCK)}
    link = associated(meter=meter, short_names=BaseNames(given), confirmed=False)
    link.run(link.client.set(Data.value, OctetString(b"told"), at=NOTE))
    assert meter[NOTE].values[2] == b"told"


@pytest.mark.parametrize("client_sap", [OPEN, MANAGER])
def test_general_blocks_carry_short_names_too(client_sap: Any) -> None:
    meter = NamedMeter()
    conformance = meter.associations[client_sap].conformance | Conformance.GENERAL_BLOCK_TRANSFER
    meter.change(client_sap, conformance=conformance, max_receive_pdu_octets=150)
    link = associated(
        client_sap,
        meter=meter,
        general_blocks=True,
        conformance=conformance,
        max_receive_pdu_octets=140,
    )
    link.run(link.client.get(Data.value, at=LDN))
    link.wire.clear()
    octets = bytes(1000)
    link.run(link.client.set(Data.value, OctetString(octets), at=NOTE))
    assert link.run(link.client.get(Data.value, at=NOTE)) == octets
    assert link.run(link.client.act(NamedMirror.reflect, octets, at=MIRROR)) == octets * 2
    assert 0xE0 in {apdu[0] for apdu in link.wire if apdu}
    assert max(map(len, link.wire)) <= 150


def test_values_with_more_blocks_than_there_are_numbers() -> None:
    meter = NamedMeter()
    meter.change(OPEN, max_receive_pdu_octets=12)
    link = associated(meter=meter, max_receive_pdu_octets=12)
    with pytest.raises(TooLongError, match="nothing was sent: a write request has 400010 octets"):
        link.run(link.client.set(Data.value, OctetString(bytes(400_000)), at=NOTE))
    note = meter[NOTE]
    assert isinstance(note, Data)
    note.value = OctetString(bytes(400_000))
    with pytest.raises(UnexpectedAnswerError, match="it goes on behind"):
        link.run(link.client.get(Data.value, at=NOTE))
    aborted = bytes((0x0C, 0x01, 0x01, DataAccessResult.LONG_GET_ABORTED))
    assert link.send(bytes.fromhex("050105ffff")) == aborted
    none = bytes((0x0C, 0x01, 0x01, DataAccessResult.NO_LONG_GET_IN_PROGRESS))
    assert link.send(bytes.fromhex("050105ffff")) == none


def test_an_answer_that_never_ends() -> None:
    link = associated()
    link.run(link.client.get(Data.value, at=LDN))
    numbers = iter(range(1, 2**17))

    def endless(_apdu: bytes) -> bytes:
        return b"\x0c\x01\x02\x00" + next(numbers).to_bytes(2) + b"\x01\x00"

    link.send = endless  # type: ignore[method-assign]
    with pytest.raises(UnexpectedAnswerError, match="it goes on behind 65535 octets"):
        link.run(link.client.get(Data.value, at=LDN))
