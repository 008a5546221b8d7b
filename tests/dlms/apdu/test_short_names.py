# SPDX-License-Identifier: Apache-2.0
"""ACCESS, and the services of short name referencing: choices in octets."""

from typing import Any

import pytest

from openami.dlms import apdu
from openami.dlms.apdu.access import (
    AccessAction,
    AccessGet,
    AccessOutcome,
    AccessRequest,
    AccessResponse,
    AccessSet,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import AttributeDescriptor, MethodDescriptor, SelectiveAccess
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.read import ReadRequest, ReadResponse
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.apdu.variables import (
    ParameterizedAccess,
    ReadDataBlockAccess,
    VariableName,
    WriteDataBlockAccess,
)
from openami.dlms.apdu.write import (
    InformationReport,
    WriteBlockTaken,
    WriteRequest,
    WriteResponse,
)
from openami.dlms.data import Unsigned
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from vectors import vectors

VECTORS = vectors("dlms/short-names.toml")

CLOCK = AttributeDescriptor(class_id=8, instance_id=Obis(0, 0, 1, 0, 0, 255), attribute_id=2)
RESET = MethodDescriptor(class_id=3, instance_id=Obis(1, 0, 1, 8, 0, 255), method_id=1)


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_vector(row: dict[str, Any]) -> None:
    decoded = apdu.decode(row["octets"])

    assert type(decoded).__name__ == row["apdu"]
    assert decoded.encode() == row["octets"]
    for cut in range(2, len(row["octets"])):
        with pytest.raises(DecodeError) as caught:
            apdu.decode(row["octets"][:cut])
        assert caught.value.offset <= cut


def test_what_the_vectors_say() -> None:
    by_name = {row["name"]: apdu.decode(row["octets"]) for row in VECTORS}

    by_entry = by_name["gurux read a profile by entry"]
    assert isinstance(by_entry, ReadRequest)
    (variable,) = by_entry.variables
    assert isinstance(variable, ParameterizedAccess)
    selection = SelectiveAccess(selector=variable.selector, parameters=variable.parameter)
    assert ByEntry.from_access(selection) == ByEntry(from_entry=3, to_entry=4)
    report = by_name["syntax report at a time"]
    assert isinstance(report, InformationReport)
    assert report.current_time == b"20130301003000Z"
    assert report.variables == (VariableName(name=0x0118),)
    assert report.values == (123_456,)
    block = by_name["syntax block of a long read request"]
    assert isinstance(block, ReadRequest)
    assert block.variables == (
        ReadDataBlockAccess(last_block=False, block_number=1, raw_data=bytes.fromhex("0202fd08")),
    )
    write = by_name["syntax last block of a long write"]
    assert isinstance(write, WriteRequest)
    assert write.variables == (WriteDataBlockAccess(last_block=True, block_number=2),)
    assert write.values == (b"\x04",)
    taken = by_name["syntax block of a long write taken"]
    assert isinstance(taken, WriteResponse)
    assert taken.results == (WriteBlockTaken(block_number=1),)


def test_read_by_name() -> None:
    request = ReadRequest(
        variables=(
            VariableName(name=0xFA08),
            ParameterizedAccess(name=0xFA58, selector=0, parameter=None),
        )
    )

    assert request.encode().hex() == "05" + "02" + "02fa08" + "04fa580000"


def test_what_was_read() -> None:
    response = ReadResponse.decode(bytes.fromhex("0c03 001105 0104 030007"))

    assert response.results[:2] == (5, DataAccessResult.OBJECT_UNDEFINED)


def test_write_by_name() -> None:
    request = WriteRequest(variables=(VariableName(name=8),), values=(Unsigned(5),))

    assert request.encode().hex() == "06" + "01020008" + "011105"
    assert WriteResponse.decode(bytes.fromhex("0d02000103")).results == (
        DataAccessResult.SUCCESS,
        DataAccessResult.READ_WRITE_DENIED,
    )


def test_access_to_several_things() -> None:
    request = AccessRequest(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(1),
        specifications=(
            AccessGet(attribute=CLOCK),
            AccessSet(attribute=CLOCK),
            AccessAction(method=RESET),
        ),
        values=(None, Unsigned(1), None),
    )

    assert request.encode().hex(" ") == (
        "d9 40 00 00 01 00 03"
        " 01 00 08 00 00 01 00 00 ff 02"
        " 02 00 08 00 00 01 00 00 ff 02"
        " 03 00 03 01 00 01 08 00 ff 01"
        " 03 00 11 01 00"
    )


def test_what_became_of_it() -> None:
    response = AccessResponse.decode(bytes.fromhex("da40000001 00 00 02 1105 00 02 0100 0303"))

    assert response.values == (5, None)
    assert response.outcomes == (
        AccessOutcome(choice=1, result=DataAccessResult.SUCCESS),
        AccessOutcome(choice=3, result=ActionResult.READ_WRITE_DENIED),
    )


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        ("0501030000", "variable-access-specification is 03, not 02 or 04 to 07"),
        ("0c010400", "read result choice is 04, not 00 to 03"),
        ("0d0103", "write result choice is 03, not 00 to 02"),
        ("d940000001000106000000000000000000", "access-request-specification is 06"),
        ("da40000001000000010400", "access-response-specification is 04"),
    ],
)
def test_another_choice_is_refused(octets: str, problem: str) -> None:
    with pytest.raises(DecodeError, match=problem):
        apdu.decode(bytes.fromhex(octets))
