# SPDX-License-Identifier: Apache-2.0
"""GET: the octets of the vectors, lists in blocks, large values."""

from typing import Any

import pytest
from hypothesis import given

from dlmsvalues import apdus, results, several
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.get import (
    AttributeDescriptor,
    GetRequestNormal,
    GetResponseNormal,
    decode_results,
    encode_results,
    split_normal,
)
from openami.dlms.data import DoubleLongUnsigned, Unsigned
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis
from vectors import vectors

VECTORS = vectors("dlms/get-request-normal.toml")


@pytest.mark.parametrize("row", VECTORS, ids=[row["name"] for row in VECTORS])
def test_vector(row: dict[str, Any]) -> None:
    request = GetRequestNormal.decode(row["octets"])

    assert request.invoke_id_and_priority == row["invoke_id_and_priority"]
    assert request.attribute.class_id == row["attribute"]["class_id"]
    assert request.attribute.instance_id == Obis.parse(row["attribute"]["instance_id"])
    assert request.attribute.attribute_id == row["attribute"]["attribute_id"]
    assert request.encode() == row["octets"]


def test_a_value_comes_back_typed() -> None:
    response = GetResponseNormal.decode(bytes.fromhex("c401c1000600000005"))

    assert response == GetResponseNormal(invoke_id_and_priority=0xC1, result=DoubleLongUnsigned(5))
    assert isinstance(response.result, DoubleLongUnsigned)


def test_a_refusal_comes_back_as_its_code() -> None:
    response = GetResponseNormal.decode(bytes.fromhex("c401c10104"))

    assert response.result is DataAccessResult.OBJECT_UNDEFINED


def test_a_code_of_a_manufacturer_is_kept() -> None:
    response = GetResponseNormal.decode(bytes.fromhex("c401c10107"))

    assert isinstance(response.result, DataAccessResult)
    assert (response.result.name, str(response.result)) == ("RESERVED_7", "reserved-7")
    assert response.encode().hex() == "c401c10107"


@given(several(results))
def test_a_list_that_came_in_blocks(listed: tuple[Any, ...]) -> None:
    assert decode_results(encode_results(listed)) == listed


@given(apdus[GetResponseNormal])
def test_a_large_value_can_stay_encoded(response: Any) -> None:
    invoke_id, result = split_normal(response.encode())

    assert invoke_id == response.invoke_id_and_priority
    if isinstance(response.result, DataAccessResult):
        assert result is response.result or result == response.result
    else:
        assert result == response.encode()[4:]


@pytest.mark.parametrize("octets", ["c401c1", "c401c102", "c401c101", "c401c1010400", "c403c100"])
def test_a_broken_value_is_refused(octets: str) -> None:
    with pytest.raises(DecodeError):
        split_normal(bytes.fromhex(octets))


def test_a_descriptor_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"class 65536, object .*, attribute or method 2 does"):
        AttributeDescriptor(
            class_id=0x10000, instance_id=Obis(0, 0, 0, 0, 0, 0), attribute_id=2
        ).encode()


def test_the_octets_of_the_standard_for_one_unsigned() -> None:
    response = GetResponseNormal(invoke_id_and_priority=0x81, result=Unsigned(7))

    assert response.encode().hex(" ") == "c4 01 81 00 11 07"
