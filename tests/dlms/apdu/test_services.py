# SPDX-License-Identifier: Apache-2.0
"""SET, ACTION, notifications, faults, initiate: what their fields mean."""

import pytest

from openami.dlms.apdu.action import ActionOutcome, ActionRequestNormal, ActionResponseNormal
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.faults import (
    ConfirmedServiceError,
    ErrorCategory,
    ExceptionResponse,
    FailedService,
    InitiateError,
    ServiceError,
    StateError,
)
from openami.dlms.apdu.fields import ABSENT, AttributeDescriptor, MethodDescriptor
from openami.dlms.apdu.initiate import Conformance, InitiateRequest, InitiateResponse
from openami.dlms.apdu.invocation import InvokeIdAndPriority, LongInvokeIdAndPriority
from openami.dlms.apdu.notification import (
    DataNotification,
    DataNotificationConfirm,
    EventNotification,
)
from openami.dlms.apdu.set import SetRequestNormal, SetResponseNormal
from openami.dlms.data import Integer, OctetString, Unsigned
from openami.dlms.errors import DecodeError
from openami.dlms.obis import Obis

DISCONNECT = Obis(0, 0, 96, 3, 10, 255)


def test_set_one_attribute() -> None:
    clock = AttributeDescriptor(class_id=8, instance_id=Obis(0, 0, 1, 0, 0, 255), attribute_id=2)
    request = SetRequestNormal(
        invoke_id_and_priority=0xC1, attribute=clock, value=OctetString(b"\x01")
    )

    assert request.encode().hex() == "c101c1" + "00080000010000ff02" + "00" + "090101"


def test_set_was_denied() -> None:
    response = SetResponseNormal.decode(bytes.fromhex("c501c103"))

    assert response.result is DataAccessResult.READ_WRITE_DENIED


def test_action_with_and_without_parameters() -> None:
    method = MethodDescriptor(class_id=70, instance_id=DISCONNECT, method_id=1)
    plain = ActionRequestNormal(invoke_id_and_priority=0xC1, method=method)
    with_parameters = ActionRequestNormal(
        invoke_id_and_priority=0xC1, method=method, parameters=Integer(0)
    )
    with_null = ActionRequestNormal(invoke_id_and_priority=0xC1, method=method, parameters=None)

    assert plain.encode().hex() == "c301c100460000600" + "30aff0100"
    assert with_parameters.encode().hex() == "c301c10046000060030aff01010f00"
    assert with_null.encode().hex() == "c301c10046000060030aff010100"
    assert ActionRequestNormal.decode(plain.encode()).parameters is ABSENT
    assert ActionRequestNormal.decode(with_null.encode()).parameters is None


@pytest.mark.parametrize(
    ("octets", "outcome"),
    [
        ("c701c10000", ActionOutcome(result=ActionResult.SUCCESS)),
        (
            "c701c10c00",
            ActionOutcome(result=ActionResult.TYPE_UNMATCHED),
        ),
        (
            "c701c10001001107",
            ActionOutcome(result=ActionResult.SUCCESS, return_parameters=Unsigned(7)),
        ),
        (
            "c701c100010102",
            ActionOutcome(
                result=ActionResult.SUCCESS, return_parameters=DataAccessResult.TEMPORARY_FAILURE
            ),
        ),
    ],
)
def test_how_an_action_ends(octets: str, outcome: ActionOutcome) -> None:
    response = ActionResponseNormal.decode(bytes.fromhex(octets))

    assert response.outcome == outcome
    assert (response.result, response.return_parameters) == (
        outcome.result,
        outcome.return_parameters,
    )


def test_a_notification_with_a_typed_date_time() -> None:
    """As Kaifa MA304 writes it: 09 0C before the date-time."""
    octets = bytes.fromhex("0f40000000 090c 07e1090f05052128ff800000 1105")
    notification = DataNotification.decode(octets)

    assert notification.tagged_date_time
    assert notification.date_time.hex() == "07e1090f05052128ff800000"
    assert notification.notification_body == 5
    assert notification.encode() == octets


def test_a_date_time_has_12_octets_or_none() -> None:
    with pytest.raises(DecodeError, match="date-time has 3 octets, not 0 or 12"):
        DataNotification.decode(bytes.fromhex("0f00000001 03 010203 00"))
    with pytest.raises(DecodeError, match="date-time has 1 octet"):
        EventNotification.decode(bytes.fromhex("c2010100" + "00" * 10))


def test_a_confirmation_echoes_the_long_invoke_id() -> None:
    confirm = DataNotificationConfirm(
        long_invoke_id_and_priority=LongInvokeIdAndPriority.of(7, confirmed=True)
    )

    assert confirm.encode().hex() == "104000000700"


def test_invoke_ids_are_their_octets() -> None:
    short = InvokeIdAndPriority.of(1)
    long = LongInvokeIdAndPriority(0xF0000005)

    assert (short, short.invoke_id, short.confirmed, short.high_priority) == (0xC1, 1, True, True)
    assert repr(short) == "InvokeIdAndPriority(0xC1)"
    assert InvokeIdAndPriority.of(15, confirmed=False, high_priority=False) == 0x0F
    assert (long.long_invoke_id, long.self_descriptive, long.break_on_error) == (5, True, True)
    assert (long.confirmed, long.high_priority) == (True, True)
    assert LongInvokeIdAndPriority.of(5, confirmed=False) == 5
    with pytest.raises(ValueError, match="0 to 15, not 16"):
        InvokeIdAndPriority.of(16)
    with pytest.raises(ValueError, match="long-invoke-id is 0 to 16777215"):
        LongInvokeIdAndPriority.of(1 << 24)


def test_an_exception_tells_the_counter_it_expects() -> None:
    fault = ExceptionResponse.decode(bytes.fromhex("d8010600000010"))

    assert fault.service_error is ServiceError.INVOCATION_COUNTER_ERROR
    assert fault.invocation_counter == 16


@pytest.mark.parametrize("octets", ["d80101", "d80206"])
def test_an_exception_of_an_older_edition(octets: str) -> None:
    fault = ExceptionResponse.decode(bytes.fromhex(octets))

    assert fault.invocation_counter is None
    assert fault.state_error in StateError
    assert fault.encode().hex() == octets


def test_a_refused_context_says_why() -> None:
    error = ConfirmedServiceError.decode(bytes.fromhex("0e010601"))

    assert error.service is FailedService.INITIATE
    assert error.category is ErrorCategory.INITIATE
    assert error.number == InitiateError.DLMS_VERSION_TOO_LOW
    assert error.name == "dlms-version-too-low"
    assert ConfirmedServiceError.decode(bytes.fromhex("0e010663")).name == "reserved-99"
    assert ConfirmedServiceError.decode(bytes.fromhex("0e016363")).name == "reserved-99"


@pytest.mark.parametrize("bit", range(24))
def test_conformance_bit_0_is_the_most_significant(bit: int) -> None:
    names = {
        1: Conformance.GENERAL_PROTECTION,
        2: Conformance.GENERAL_BLOCK_TRANSFER,
        3: Conformance.READ,
        4: Conformance.WRITE,
        5: Conformance.UNCONFIRMED_WRITE,
        6: Conformance.DELTA_VALUE_ENCODING,
        8: Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET,
        9: Conformance.PRIORITY_MGMT_SUPPORTED,
        10: Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET,
        11: Conformance.BLOCK_TRANSFER_WITH_GET_OR_READ,
        12: Conformance.BLOCK_TRANSFER_WITH_SET_OR_WRITE,
        13: Conformance.BLOCK_TRANSFER_WITH_ACTION,
        14: Conformance.MULTIPLE_REFERENCES,
        15: Conformance.INFORMATION_REPORT,
        16: Conformance.DATA_NOTIFICATION,
        17: Conformance.ACCESS,
        18: Conformance.PARAMETERIZED_ACCESS,
        19: Conformance.GET,
        20: Conformance.SET,
        21: Conformance.SELECTIVE_ACCESS,
        22: Conformance.EVENT_NOTIFICATION,
        23: Conformance.ACTION,
    }

    assert names.get(bit, Conformance(1 << 23 - bit)) == 1 << 23 - bit
    assert set(Conformance) == set(names.values())


def test_initiate_of_the_green_book() -> None:
    octets = bytes.fromhex("01011000112233445566778899AABBCCDDEEFF0000065F1F0400007E1F04B0")
    request = InitiateRequest.decode(octets)

    assert request.dedicated_key == bytes.fromhex("00112233445566778899AABBCCDDEEFF")
    assert request.response_allowed
    assert request.proposed_conformance == 0x007E1F
    assert request.client_max_receive_pdu_size == 0x04B0
    assert request.encode() == octets
    assert "0011" not in repr(request)
    assert "dedicated" not in repr(request)


def test_initiate_response() -> None:
    response = InitiateResponse.decode(bytes.fromhex("0800065f1f040000501f01f40007"))

    assert response.server_max_receive_pdu_size == 500
    assert response.vaa_name == 7
    assert Conformance.GET in response.negotiated_conformance
