# SPDX-License-Identifier: Apache-2.0
"""Cases that write the test attribute, and write it back (DLMS UA 1000-2 Ed. 10, 9.3.7)."""

from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.answers import refused
from openami.cosem.conformance.case import Failed, Need, NotApplicable, Script
from openami.cosem.conformance.data_ln import BLOCKS, SET, data_case, response_of
from openami.cosem.conformance.declaration import Row
from openami.cosem.conformance.trial import Trial, Undo, shown
from openami.cosem.refusals import AccessError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import AttributeDescriptor, DataBlock
from openami.dlms.apdu.invocation import InvokeIdAndPriority
from openami.dlms.apdu.set import (
    SetRequestNormal,
    SetRequestWithDatablock,
    SetRequestWithFirstDatablock,
    SetResponseDatablock,
    SetResponseLastDatablock,
    SetResponseNormal,
)
from openami.dlms.data import Data

_ID: Final = InvokeIdAndPriority.of(5)
WRITES: Final = (Need.SET, Need.WRITABLE)


def declared_row(trial: Trial) -> Row:
    """Return the attribute that may be written."""
    row = trial.declaration.test_attribute
    if row is None:
        raise NotApplicable("no test attribute is declared")
    return row


def descriptor(row: Row) -> AttributeDescriptor:
    """Return the descriptor of a declared attribute."""
    return AttributeDescriptor(
        class_id=row.class_id, instance_id=row.logical_name, attribute_id=row.attribute
    )


def read_row(trial: Trial, client: Client, row: Row) -> Script[Data]:
    """Read the test attribute."""
    try:
        return (
            yield from trial.steps(client.get_data(row.class_id, row.logical_name, row.attribute))
        )
    except AccessError as error:
        raise NotApplicable(f"this association may not read it: {error}") from None


def write_row(trial: Trial, client: Client, row: Row, value: Data) -> Script[DataAccessResult]:
    """Write the test attribute; return the meter's result."""
    request = SetRequestNormal(invoke_id_and_priority=_ID, attribute=descriptor(row), value=value)
    answer = yield from trial.through(client, request.encode())
    response = response_of(answer, f"SET of {row}", SetResponseNormal)
    return response.result


def other_value(value: Data) -> Data:
    """Return a value of the same type and length that differs.

    Raises:
        NotApplicable: There is no such rule for this type.
    """
    octets = axdr_data.encode(value)
    changed = octets[:-1] + bytes((octets[-1] ^ 0x01,))
    try:
        other = axdr_data.decode(changed)
    except ValueError:
        other = None
    if len(octets) < 2 or type(other) is not type(value) or isinstance(value, list | tuple):
        raise NotApplicable("declare a test attribute of a simple type: number, text, octets")
    return other


def keep(trial: Trial, row: Row, value: Data) -> None:
    """See to it that the test attribute has its value again when the case is over."""

    def undo(trial: Trial) -> Script[None]:
        client = yield from trial.opened()
        result = yield from write_row(trial, client, row, value)
        if result != DataAccessResult.SUCCESS:
            raise Failed(f"{row} could not be written back: {result}")

    trial.undo.append(Undo(str(row), undo))


def _begin_writing(trial: Trial) -> Script[tuple[Client, Row, Data]]:
    """Open, read the test attribute, and make sure that this client may write it."""
    row = declared_row(trial)
    client = yield from trial.opened()
    value = yield from read_row(trial, client, row)
    keep(trial, row, value)
    result = yield from write_row(trial, client, row, value)
    if result in {DataAccessResult.READ_WRITE_DENIED, DataAccessResult.OBJECT_UNDEFINED}:
        trial.undo.clear()
        raise NotApplicable(f"this association may not write {row}: {result}")
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to SET of {row} with the value that it has")
    return client, row, value


def _set(trial: Trial) -> Script[str | None]:
    client, row, value = yield from _begin_writing(trial)
    wanted = other_value(value)
    result = yield from write_row(trial, client, row, wanted)
    if result != DataAccessResult.SUCCESS:
        raise Failed(f"{result} came to SET of {row}")
    found = yield from read_row(trial, client, row)
    if found != wanted:
        raise Failed(f"{found!r} is read where {wanted!r} was written with success")
    return None


def _set_type(trial: Trial) -> Script[str | None]:
    client, row, value = yield from _begin_writing(trial)
    wrong = axdr_data.Structure((axdr_data.Unsigned(1), axdr_data.Unsigned(2)))
    result = yield from write_row(trial, client, row, wrong)
    if result == DataAccessResult.SUCCESS:
        raise Failed(f"success came to SET of {row} with a structure of two numbers")
    found = yield from read_row(trial, client, row)
    if found != value:
        raise Failed(f"{found!r} is read after a refused SET, where {value!r} was before")
    return f"{result} came to a value of another type"


def _set_blocks(trial: Trial) -> Script[str | None]:
    client, row, value = yield from _begin_writing(trial)
    wanted = other_value(value)
    octets = axdr_data.encode(wanted)
    first = SetRequestWithFirstDatablock(
        invoke_id_and_priority=_ID,
        attribute=descriptor(row),
        block=DataBlock(last_block=False, block_number=1, raw_data=octets[:1]),
    )
    answer = yield from trial.through(client, first.encode())
    response_of(answer, "the first block of SET", SetResponseDatablock)
    last = SetRequestWithDatablock(
        invoke_id_and_priority=_ID,
        block=DataBlock(last_block=True, block_number=2, raw_data=octets[1:]),
    )
    answer = yield from trial.through(client, last.encode())
    response = response_of(answer, "the last block of SET", SetResponseLastDatablock)
    if response.result != DataAccessResult.SUCCESS:
        raise Failed(f"{response.result} came to SET of {row} in two blocks")
    found = yield from read_row(trial, client, row)
    if found != wanted:
        raise Failed(f"{found!r} is read where {wanted!r} was written in two blocks")
    return None


def _set_block_number(trial: Trial) -> Script[str | None]:
    client, row, value = yield from _begin_writing(trial)
    octets = axdr_data.encode(other_value(value))
    first = SetRequestWithFirstDatablock(
        invoke_id_and_priority=_ID,
        attribute=descriptor(row),
        block=DataBlock(last_block=False, block_number=1, raw_data=octets[:1]),
    )
    answer = yield from trial.through(client, first.encode())
    response_of(answer, "the first block of SET", SetResponseDatablock)
    third = SetRequestWithDatablock(
        invoke_id_and_priority=_ID,
        block=DataBlock(last_block=True, block_number=3, raw_data=octets[1:]),
    )
    answer = yield from trial.through(client, third.encode())
    words = refused(answer, "block 3 where block 2 is due")
    found = yield from read_row(trial, client, row)
    if found != value:
        raise Failed(f"{found!r} was written though a block was missing")
    return words


def _unconfirmed(trial: Trial) -> Script[str | None]:
    client, row, value = yield from _begin_writing(trial)
    request = SetRequestNormal(
        invoke_id_and_priority=InvokeIdAndPriority.of(5, confirmed=False),
        attribute=descriptor(row),
        value=value,
    )
    answer = yield from trial.through(client, request.encode())
    if answer is not None:
        raise Failed(f"{shown(answer)} came to an unconfirmed SET; the clause asks for silence")
    yield from trial.alive(client)
    return None


CASES: Final = (
    data_case(
        "SET",
        "what is written is read",
        SET,
        "SET of the test attribute with another value; GET",
        "success; the value written",
        _set,
        *WRITES,
        changes=True,
    ),
    data_case(
        "SET_TYPE",
        "a value of another type is refused",
        SET,
        "SET of the test attribute with a structure; GET",
        "a result other than success; the value as before",
        _set_type,
        *WRITES,
        changes=True,
    ),
    data_case(
        "SET_BLOCKS",
        "a value is written in blocks",
        BLOCKS,
        "SET of the test attribute in two blocks; GET",
        "set-response-datablock; success; the value written",
        _set_blocks,
        *WRITES,
        Need.SET_BLOCKS,
        changes=True,
    ),
    data_case(
        "SET_BLOCK_NUMBER",
        "a missing block writes nothing",
        BLOCKS,
        "SET of the test attribute, blocks 1 and 3; GET",
        "a result other than success; the value as before",
        _set_block_number,
        *WRITES,
        Need.SET_BLOCKS,
        changes=True,
    ),
    data_case(
        "UNCONFIRMED",
        "an unconfirmed service is not answered",
        SET,
        "unconfirmed SET of the test attribute with the value it has",
        "silence, and the association goes on",
        _unconfirmed,
        *WRITES,
        changes=True,
    ),
)
