# SPDX-License-Identifier: Apache-2.0
"""Several attributes or methods in one request, from the client's side.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.8: the forms with-list of GET, SET and ACTION, whole or in
blocks.  `client` asks one at a time where multiple references were not negotiated.
"""

from collections.abc import Sequence
from typing import Any, Final

from openami.cosem.asking.association import ClientAssociation, Steps
from openami.cosem.asking.transfer import (
    IDS,
    act_in_blocks,
    blocks_of_action,
    blocks_of_get,
    check_invoke_id,
    fits,
    set_in_blocks,
    set_result,
)
from openami.cosem.model import Attribute, Method
from openami.cosem.refusals import UnexpectedAnswerError
from openami.dlms.apdu.action import (
    ActionOutcome,
    ActionRequestWithList,
    ActionRequestWithListAndFirstPblock,
    ActionResponseNormal,
    ActionResponseWithList,
    ActionResponseWithPblock,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    AttributeDescriptor,
    AttributeSelection,
    DataBlock,
    MethodDescriptor,
    encode_values,
)
from openami.dlms.apdu.get import (
    GetDataResult,
    GetRequestWithList,
    GetResponseWithList,
    decode_results,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.set import (
    SetRequestWithList,
    SetRequestWithListAndFirstDatablock,
    SetResponseLastDatablockWithList,
    SetResponseWithList,
)
from openami.dlms.obis import Obis

_ATTRIBUTES: Final = "a list of attributes"
_VALUES: Final = "a list of values to write"
_METHODS: Final = "a list of methods"


def get_list(
    client: ClientAssociation, rows: Sequence[tuple[Attribute[Any], Obis]], number: int
) -> Steps[tuple[GetDataResult, ...]]:
    """Read several attributes with one request; `number` is its invoke-id."""
    request = GetRequestWithList(
        invoke_id_and_priority=IDS[number],
        attributes=tuple(_selection(attribute, at) for attribute, at in rows),
    )
    answer = yield from client.exchange(request.encode(), _ATTRIBUTES)
    if answer[:3] == bytes((0xC4, GetResponseWithList.CHOICE, IDS[number])):
        return GetResponseWithList.decode(answer).results
    return decode_results((yield from blocks_of_get(client, answer, number, _ATTRIBUTES)))


def set_list(
    client: ClientAssociation, rows: Sequence[tuple[Attribute[Any], Obis, Any]], number: int
) -> Steps[list[DataAccessResult]]:
    """Write several attributes with one request, or in blocks."""
    attributes = tuple(_selection(attribute, at) for attribute, at, _ in rows)
    values = tuple(attribute.kind.to_data(value) for attribute, _, value in rows)
    request = SetRequestWithList(
        invoke_id_and_priority=IDS[number], attributes=attributes, values=values
    ).encode()
    if fits(client, request, Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE):
        answer = yield from client.exchange(request, _VALUES)
    else:

        def first(block: DataBlock) -> bytes:
            return SetRequestWithListAndFirstDatablock(
                invoke_id_and_priority=IDS[number], attributes=attributes, block=block
            ).encode()

        answer = yield from set_in_blocks(client, first, encode_values(values), number)
    results: tuple[DataAccessResult, ...]
    match answer[1:2]:
        case b"\x05":
            check_invoke_id(answer, number, _VALUES)
            results = SetResponseWithList.decode(answer).results
        case b"\x04":
            check_invoke_id(answer, number, _VALUES)
            results = SetResponseLastDatablockWithList.decode(answer).results
        case _:  # what ended the blocks before their end holds for all of them
            results = (set_result(answer, number),) * len(rows)
    _check_count(len(results), len(rows), _VALUES)
    return list(results)


def act_list(
    client: ClientAssociation, rows: Sequence[tuple[Method[Any, Any], Obis, Any]], number: int
) -> Steps[list[ActionOutcome]]:
    """Invoke several methods with one request, or in blocks; so may the outcomes come back."""
    methods = tuple(
        MethodDescriptor(class_id=method.owner.class_id, instance_id=at, method_id=method.index)
        for method, at, _ in rows
    )
    parameters = tuple(method.argument.to_data(argument) for method, _, argument in rows)
    request = ActionRequestWithList(
        invoke_id_and_priority=IDS[number], methods=methods, parameters=parameters
    ).encode()
    if fits(client, request, Conformance.BLOCK_TRANSFER_WITH_ACTION):
        answer = yield from client.exchange(request, _METHODS)
    else:

        def first(block: DataBlock) -> bytes:
            return ActionRequestWithListAndFirstPblock(
                invoke_id_and_priority=IDS[number], methods=methods, block=block
            ).encode()

        answer = yield from act_in_blocks(client, first, encode_values(parameters), number)
    outcomes: tuple[ActionOutcome, ...]
    if answer[1:2] == bytes((ActionResponseWithPblock.CHOICE,)):
        check_invoke_id(answer, number, _METHODS)
        raw = yield from blocks_of_action(client, answer, number)
        if isinstance(raw, ActionResult):
            return [ActionOutcome(result=raw)] * len(rows)
        head = bytes((0xC7, ActionResponseWithList.CHOICE, IDS[number]))
        outcomes = ActionResponseWithList.decode(head + raw).outcomes
    elif answer[1:2] == bytes((ActionResponseNormal.CHOICE,)):
        outcomes = (ActionResponseNormal.decode(answer).outcome,) * len(rows)
    else:
        check_invoke_id(answer, number, _METHODS)
        outcomes = ActionResponseWithList.decode(answer).outcomes
    _check_count(len(outcomes), len(rows), _METHODS)
    return list(outcomes)


def _check_count(found: int, asked: int, request: str) -> None:
    if found != asked:
        raise UnexpectedAnswerError(request, f"{found} results for {asked} of them")


def _selection(attribute: Attribute[Any], at: Obis) -> AttributeSelection:
    descriptor = AttributeDescriptor(
        class_id=attribute.owner.class_id, instance_id=at, attribute_id=attribute.index
    )
    return AttributeSelection(attribute=descriptor)
