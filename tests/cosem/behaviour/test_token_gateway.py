# SPDX-License-Identifier: Apache-2.0
import pytest

from openami.cosem.behaviour.token_gateway import STEPS
from openami.cosem.classes.payment import TokenDeliveryMethod, TokenStatusCode
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from prepayment import SECOND, Meter

TOKENS = Meter().tokens


@pytest.mark.parametrize(
    ("token", "code", "active"),
    [
        (TOKENS.make(1, 50), TokenStatusCode.EXECUTION_OK, True),
        (b"", TokenStatusCode.FORMAT_FAILURE, True),
        (TOKENS.make(1, 50)[:-1] + b"?", TokenStatusCode.AUTHENTICATION_FAILURE, True),
        (TOKENS.make(9, 50), TokenStatusCode.VALIDATION_FAILURE, True),
        (TOKENS.make(1, 50), TokenStatusCode.EXECUTION_FAILURE, False),
    ],
)
def test_steps_of_a_token(token: bytes, code: TokenStatusCode, *, active: bool) -> None:
    meter = Meter(charges_=[])
    if active:
        meter.activate()
    meter.tokens.used.add((9).to_bytes(4))
    meter.gateway_object.invocations[1](token)
    assert meter.gateway_object.token_status.status_code is code
    assert meter.gateway_object.token == token
    assert meter.gateway_object.token_time.day == 2
    paid = code is TokenStatusCode.EXECUTION_OK
    assert meter.account.available_credit == (50 if paid else 0)
    assert ((1).to_bytes(4) in meter.tokens.used) is paid


def test_every_status_of_a_token_but_received_is_the_end_of_a_step() -> None:
    codes = {code for step in STEPS for code in step}
    assert codes == set(TokenStatusCode) - {TokenStatusCode.RECEIVED}


def test_a_token_that_waits_for_the_tick() -> None:
    meter = Meter(charges_=[])
    meter.activate()
    meter.gateway._at_once = False
    entered = meter.gateway.enter(meter.tokens.make(1, 50), TokenDeliveryMethod.MANUAL)
    assert entered.status_code is TokenStatusCode.RECEIVED
    assert meter.gateway.due_us() == meter.now_us
    meter.tell(SECOND)
    assert meter.account.available_credit == 50
    assert meter.gateway.due_us() is None
    assert meter.gateway_object.token_delivery_method is TokenDeliveryMethod.MANUAL
    assert meter.gateway_object.token_description == (b"payment",)
    other = Meter().gateway
    other.restore(meter.gateway.state())
    assert other.state() == meter.gateway.state()


def test_a_token_that_waits_is_not_displaced() -> None:
    meter = Meter(charges_=[])
    meter.activate()
    meter.gateway._at_once = False
    meter.gateway.enter(meter.tokens.make(1, 50))
    with pytest.raises(Refused) as caught:
        meter.gateway.enter(meter.tokens.make(2, 50))
    assert caught.value.result == ActionResult.TEMPORARY_FAILURE
    meter.tell(SECOND)
    meter.gateway.enter(meter.tokens.make(2, 50))
    meter.tell(SECOND)
    assert meter.account.available_credit == 100
