# SPDX-License-Identifier: Apache-2.0
"""Registers that fail or begin anew, clocks that jump, objects in the middle of their life."""

import pytest

from openami.cosem.behaviour.account_state import AccountSettings
from openami.cosem.behaviour.credit import CreditUnit
from openami.cosem.classes.payment import CreditStatus, PaymentMode, TokenGatewayConfiguration
from openami.cosem.classes.references import AttributeReference
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.data import BitString
from prepayment import (
    DAY,
    EMERGENCY,
    ENERGY_CHARGE,
    HOUR,
    STANDING_CHARGE,
    START,
    TOKEN_CREDIT,
    Meter,
    emergency_credit,
    token_credit,
)


def paying() -> Meter:
    meter = Meter()
    meter.activate()
    meter.accounting.top_up(2_000)
    return meter


def test_a_register_without_a_value_is_charged_later() -> None:
    meter = paying()
    known = meter.energy.consumed

    def unavailable(_reference: AttributeReference) -> tuple[int, int]:
        raise Refused(DataAccessResult.OBJECT_UNAVAILABLE)

    meter.energy.consumed = unavailable  # type: ignore[method-assign]
    meter.energy.consume(1_000)
    meter.tell(HOUR)
    assert meter.charge(ENERGY_CHARGE).total_amount_paid == 0
    meter.energy.consumed = known  # type: ignore[method-assign]
    meter.tell(HOUR)
    assert meter.charge(ENERGY_CHARGE).total_amount_paid == 30


def test_a_register_that_begins_anew_charges_what_comes_after() -> None:
    meter = paying()
    meter.energy.consume(1_000)
    meter.tell(HOUR)
    meter.energy.energy_wh = 200
    meter.tell(HOUR)
    meter.energy.consume(1_000)
    meter.tell(HOUR)
    assert meter.charge(ENERGY_CHARGE).total_amount_paid == 60


def test_a_clock_that_is_set_back_charges_no_day_twice_at_once() -> None:
    meter = paying()
    meter.tell(DAY)
    meter.tell(-2 * DAY)
    meter.tell(DAY - HOUR)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 25
    meter.tell(HOUR)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 50


def test_days_without_power_are_charged_when_it_is_back() -> None:
    meter = paying()
    meter.tell(10 * DAY)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 250


def test_a_loan_that_stands_when_the_object_is_made() -> None:
    thing = emergency_credit()
    thing.values |= {2: 120, 8: CreditStatus.IN_USE}
    unit = CreditUnit(thing)
    assert (unit.lent, unit.owed) == (500, 380)


def test_after_the_last_credit_there_is_no_threshold() -> None:
    meter = Meter(credits_=[token_credit()], charges_=[], mode=PaymentMode.CREDIT)
    meter.activate()
    meter.accounting.top_up(5)
    with pytest.raises(Refused) as caught:
        _ = meter.account.next_credit_available_threshold
    assert caught.value.result == DataAccessResult.OBJECT_UNAVAILABLE


def test_a_credit_that_is_not_listed_takes_no_part() -> None:
    meter = Meter(charges_=[])
    meter.account.credit_reference_list = (TOKEN_CREDIT,)
    meter.activate()
    with pytest.raises(Refused):
        meter.credit(EMERGENCY).invocations[3](0)
    assert [unit.name for unit in meter.accounting.credits] == [TOKEN_CREDIT]


def test_priorities_decide_and_not_the_order_of_the_list() -> None:
    first, second = token_credit(), emergency_credit()
    first.priority, second.priority = 7, 3
    second.credit_configuration = first.credit_configuration
    meter = Meter(credits_=[first, second], charges_=[])
    meter.activate()
    assert second.credit_status is CreditStatus.IN_USE
    assert meter.account.current_credit_in_use == 2


def test_a_clock_that_is_set_for_the_first_time_charges_nothing() -> None:
    meter = paying()
    meter.tell(367 * DAY)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 0
    meter.energy.consume(1_000)
    meter.tell(DAY)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 25
    assert meter.charge(ENERGY_CHARGE).total_amount_paid == 30


def test_limits_that_are_not_zero() -> None:
    for limit, left in ((-100, 110), (4, 6)):
        thing = token_credit()
        thing.limit = limit
        meter = Meter(credits_=[thing], charges_=[])
        meter.activate()
        meter.accounting.top_up(10)
        (unit,) = meter.accounting.all_credits
        assert unit.room == left
        assert thing.credit_status is CreditStatus.IN_USE
        thing.invocations[2](limit)
        assert thing.credit_status is CreditStatus.EXHAUSTED


def test_a_charge_is_due_when_its_period_ends() -> None:
    settings = AccountSettings(sampling_us=30 * DAY)
    meter = Meter(settings=settings)
    meter.activate()
    assert meter.accounting.due_us() == START + DAY
    meter.tell(DAY)
    assert meter.accounting.due_us() == START + 2 * DAY


@pytest.mark.parametrize("bits", ["00001", "00000"])
def test_who_receives_payments(bits: str) -> None:
    named, other = token_credit(), emergency_credit()
    named.credit_configuration = BitString.from_bits(bits)
    named.priority = 3
    meter = Meter(
        credits_=[other, named], charges_=[], settings=AccountSettings(max_credit_limit=50)
    )
    meter.activate()
    meter.accounting.top_up(50)
    assert named.current_credit_amount == 50
    assert other.current_credit_amount == 0


def test_low_credit_begins_below_its_threshold() -> None:
    meter = Meter(charges_=[])
    meter.activate()
    for value, low in ((199, "1"), (200, "0"), (201, "0")):
        meter.credit(TOKEN_CREDIT).invocations[2](value)
        assert meter.account.current_credit_status.bits[1] == low


def test_proportions_may_be_all_of_a_payment() -> None:
    meter = Meter(charges_=[])
    rows = (
        TokenGatewayConfiguration(TOKEN_CREDIT, 60),
        TokenGatewayConfiguration(EMERGENCY, 40),
    )
    meter.account.sinks[12](rows)
    meter.account.token_gateway_configuration = rows
    meter.activate()
    meter.accounting.top_up(10)
    assert [unit.amount for unit in meter.accounting.all_credits] == [6, 4]
