# SPDX-License-Identifier: Apache-2.0
"""Services that are refused, each by its code."""

from typing import Any

import pytest

from openami.cosem.classes.disconnect import DisconnectControl
from openami.cosem.classes.measurement import Data, ProfileGeneric, Register
from openami.cosem.refusals import (
    AccessError,
)
from openami.cosem.server import (
    MALFORMED,
    NOT_SUPPORTED,
    TOO_LONG,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import OctetString
from openami.dlms.obis import Obis
from openami.dlms.sap import Sap
from playbooks.demo_meter import (
    DISCONNECT,
    ENERGY,
    LDN,
    LOAD_PROFILE,
    NOTE,
    PUBLIC,
    READER,
    Link,
    associated,
)

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
