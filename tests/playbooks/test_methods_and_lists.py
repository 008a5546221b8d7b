# SPDX-License-Identifier: Apache-2.0
"""Methods and writes in blocks and in lists, which few meters have and the standard has all of."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.classes.measurement import Data
from openami.cosem.refusals import AccessError, UnexpectedAnswerError
from openami.dlms.apdu.action import (
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionResponseNormal,
    ActionResponseWithList,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    ABSENT,
    AttributeDescriptor,
    AttributeSelection,
    DataBlock,
    MethodDescriptor,
    SelectiveAccess,
    encode_values,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.set import (
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseLastDatablockWithList,
    SetResponseWithList,
)
from openami.dlms.data import LongUnsigned, OctetString, Unsigned
from openami.dlms.obis import Obis
from playbooks.demo_meter import ENERGY, NOTE, Link
from playbooks.mirror import MANUFACTURER_CLASS, MIRROR, Mirror, mirrored


@given(st.integers(0, 3000), st.integers(64, 1500))
@settings(max_examples=60, deadline=None)
def test_arguments_and_results_of_any_length(length: int, pdu_octets: int) -> None:
    link = mirrored(max_receive_pdu_octets=pdu_octets)
    octets = bytes(index & 0xFF for index in range(length))

    assert link.run(link.client.act(Mirror.reflect, octets, at=MIRROR)) == octets * 2
    assert link.run(link.client.act(Mirror.swallow, octets, at=MIRROR)) is None

    assert max(map(len, link.wire[::2])) <= 1024
    assert max(map(len, link.wire[1::2])) <= pdu_octets


def test_a_method_that_refuses_is_told() -> None:
    link = mirrored()
    with pytest.raises(AccessError, match=r"Mirror\.reflect of .*temporary-failure"):
        link.run(link.client.act(Mirror.reflect, b"refuse", at=MIRROR))


def test_a_result_too_long_without_blocks() -> None:
    link = mirrored(max_receive_pdu_octets=64, conformance=Conformance.ACTION)
    with pytest.raises(AccessError, match="other-reason"):
        link.run(link.client.act(Mirror.reflect, bytes(100), at=MIRROR))


def exchange(link: Link, apdu: bytes) -> bytes:
    return link.run(link.client.exchange(apdu, "a request"))


REFLECT = MethodDescriptor(class_id=MANUFACTURER_CLASS, instance_id=MIRROR, method_id=1)
SWALLOW = MethodDescriptor(class_id=MANUFACTURER_CLASS, instance_id=MIRROR, method_id=2)
UNKNOWN = MethodDescriptor(class_id=1, instance_id=Obis(9, 9, 9, 9, 9, 9), method_id=1)
METHODS = (REFLECT, SWALLOW, UNKNOWN, REFLECT)
PARAMETERS = (OctetString(b"ab"), OctetString(b""), None, Unsigned(1))


def check_outcomes(response: ActionResponseWithList) -> None:
    assert [outcome.result for outcome in response.outcomes] == [
        ActionResult.SUCCESS,
        ActionResult.SUCCESS,
        ActionResult.OBJECT_UNDEFINED,
        ActionResult.TYPE_UNMATCHED,
    ]
    assert response.outcomes[0].return_parameters == b"abab"
    assert response.outcomes[1].return_parameters is ABSENT


def test_a_list_of_methods() -> None:
    request = ActionRequestWithList(
        invoke_id_and_priority=0xC1, methods=METHODS, parameters=PARAMETERS
    )
    check_outcomes(ActionResponseWithList.decode(exchange(mirrored(), request.encode())))


def test_a_list_of_methods_with_parameters_in_blocks() -> None:
    link = mirrored()
    raw = encode_values(PARAMETERS)
    first = ActionRequestWithListAndFirstPblock(
        invoke_id_and_priority=0xC1,
        methods=METHODS,
        block=DataBlock(last_block=False, block_number=1, raw_data=raw[:4]),
    )
    assert exchange(link, first.encode()).hex() == "c704c100000001"
    last = bytes.fromhex("c306c10100000002") + bytes((len(raw) - 4,)) + raw[4:]
    check_outcomes(ActionResponseWithList.decode(exchange(link, last)))


def test_blocks_of_a_method_out_of_turn() -> None:
    link = mirrored()

    def result(apdu: str) -> ActionResult:
        return ActionResponseNormal.decode(exchange(link, bytes.fromhex(apdu))).result

    assert result("c306c1010000000100") is ActionResult.NO_LONG_ACTION_IN_PROGRESS
    assert result("c302c100000001") is ActionResult.NO_LONG_ACTION_IN_PROGRESS
    first = "c304c1" + REFLECT.encode().hex() + "0000000001" + "03090261"
    assert exchange(link, bytes.fromhex(first)).hex() == "c704c100000001"
    assert result("c306c101000000030162") is ActionResult.LONG_ACTION_ABORTED
    assert result("c306c101000000020162") is ActionResult.NO_LONG_ACTION_IN_PROGRESS


def test_blocks_of_a_result_out_of_turn() -> None:
    link = mirrored(max_receive_pdu_octets=100)
    request = b"\xc3\x01\xc1" + REFLECT.encode() + b"\x01\x09\x78" + bytes(120)
    assert exchange(link, request)[:8].hex() == "c702c10000000001"
    assert exchange(link, bytes.fromhex("c302c100000001"))[:8].hex() == "c702c10000000002"
    answer = exchange(link, bytes.fromhex("c302c100000001"))
    assert ActionResponseNormal.decode(answer).result is ActionResult.LONG_ACTION_ABORTED


def attribute(class_id: int, at: Obis, index: int = 2) -> AttributeDescriptor:
    return AttributeDescriptor(class_id=class_id, instance_id=at, attribute_id=index)


ROWS = (
    AttributeSelection(attribute=attribute(1, NOTE)),
    AttributeSelection(attribute=attribute(3, ENERGY)),
    AttributeSelection(
        attribute=attribute(1, NOTE), access=SelectiveAccess(selector=1, parameters=None)
    ),
    AttributeSelection(attribute=attribute(1, NOTE)),
)
VALUES = (OctetString(b"new"), LongUnsigned(1), OctetString(b"other"), LongUnsigned(1))
RESULTS = (
    DataAccessResult.SUCCESS,
    DataAccessResult.READ_WRITE_DENIED,
    DataAccessResult.SCOPE_OF_ACCESS_VIOLATED,
    DataAccessResult.TYPE_UNMATCHED,
)


def test_a_list_of_writes() -> None:
    link = mirrored()
    request = SetRequestWithList(invoke_id_and_priority=0xC1, attributes=ROWS, values=VALUES)
    answer = SetResponseWithList.decode(exchange(link, request.encode()))
    assert answer.results == RESULTS
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"new"


def test_a_list_of_writes_in_blocks() -> None:
    link = mirrored()
    raw = encode_values(VALUES)
    first = SetRequestWithListAndFirstDatablock(
        invoke_id_and_priority=0xC1,
        attributes=ROWS,
        block=DataBlock(last_block=False, block_number=1, raw_data=raw[:3]),
    )
    assert exchange(link, first.encode()).hex() == "c502c100000001"
    last = bytes.fromhex("c103c10100000002") + bytes((len(raw) - 3,)) + raw[3:]
    answer = SetResponseLastDatablockWithList.decode(exchange(link, last))
    assert (answer.results, answer.block_number) == (RESULTS, 2)
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"new"


@pytest.mark.parametrize(
    "apdu",
    [
        SetRequestWithList(invoke_id_and_priority=0xC1, attributes=ROWS, values=VALUES[:3]),
        ActionRequestWithList(
            invoke_id_and_priority=0xC1, methods=METHODS, parameters=PARAMETERS[:3]
        ),
        SetRequestWithListAndFirstDatablock(
            invoke_id_and_priority=0xC1,
            attributes=ROWS,
            block=DataBlock(last_block=True, block_number=1, raw_data=encode_values(VALUES[:3])),
        ),
    ],
    ids=lambda apdu: type(apdu).__name__,
)
def test_lists_whose_counts_differ_do_nothing(apdu: Any) -> None:
    link = mirrored()
    channel = link.client.channel
    assert channel is not None
    assert link.send(channel.protect(apdu.encode())).hex() == "d80103"
    assert link.run(link.client.get(Data.value, at=NOTE)) == b"home 1, week 1"


def told(answer: str) -> Any:
    """What our client makes of the answer of a plain meter."""
    link = mirrored()
    link.client.channel = None
    steps = link.client.act(Mirror.reflect, b"", at=MIRROR)
    next(steps)
    with pytest.raises(StopIteration) as stop:
        steps.send(bytes.fromhex(answer))
    return stop.value.value


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ("c701c100010104", AccessError, "refuses to return from .*object-undefined"),
        ("c701c10000", UnexpectedAnswerError, "where the class declares octet-string"),
        ("c702c10100000001020301", UnexpectedAnswerError, "where the class declares octet-string"),
    ],
)
def test_wrong_answers_to_a_method(answer: str, error: type[Exception], sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        told(answer)


@pytest.mark.parametrize("raw", ["0902aabb", "0001000902aabb"])
def test_blocks_of_a_result_with_and_without_the_result_code(raw: str) -> None:
    assert told(f"c702c10100000001{len(raw) // 2:02x}{raw}") == b"\xaa\xbb"
