# SPDX-License-Identifier: Apache-2.0
import itertools

import pytest

from openami.cosem.behaviour import account_state, credit
from openami.cosem.behaviour.account import AccountEvent, AccountSettings
from openami.cosem.behaviour.credit import CreditEvent, CreditUnit
from openami.cosem.classes.disconnect import ControlState
from openami.cosem.classes.payment import (
    AccountStatus,
    ChargePerUnitScaling,
    ChargeTableElement,
    ChargeType,
    CollectionConfiguration,
    CreditChargeConfiguration,
    CreditStatus,
    PaymentMode,
    TokenGatewayConfiguration,
    TokenStatusCode,
    UnitCharge,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import BitString
from openami.dlms.datetimes import CosemDateTime
from prepayment import (
    DAY,
    DEBT,
    EMERGENCY,
    ENERGY,
    ENERGY_CHARGE,
    HOUR,
    SECOND,
    STANDING_CHARGE,
    START,
    TOKEN_CREDIT,
    Meter,
    charge,
    emergency_credit,
    token_credit,
    unit_charge,
)


def status(meter: Meter) -> str:
    """The bits in credit, low, next enabled, selectable, selected, selectable in use, out."""
    return meter.account.current_credit_status.bits


@pytest.mark.parametrize(("before", "event"), list(itertools.product(CreditStatus, CreditEvent)))
def test_every_status_of_a_credit_meets_every_event(
    before: CreditStatus, event: CreditEvent
) -> None:
    unit = CreditUnit(token_credit())
    unit.status = before
    after = credit.TRANSITIONS.get((before, event), before)
    assert unit.apply(event) is (after is not before)
    assert unit.thing.credit_status is after


@pytest.mark.parametrize(("before", "event"), list(itertools.product(AccountStatus, AccountEvent)))
def test_every_status_of_an_account_meets_every_event(
    before: AccountStatus, event: AccountEvent
) -> None:
    meter = Meter()
    meter.accounting.status = before
    after = account_state.TRANSITIONS.get((before, event))
    if after is None:
        with pytest.raises(Refused) as caught:
            meter.accounting.follow(event)
        assert caught.value.result == ActionResult.READ_WRITE_DENIED
        assert meter.accounting.status is before
    else:
        meter.accounting.follow(event)
        assert meter.account.account_mode_and_status.account_status is after


def test_a_week_of_prepayment() -> None:  # noqa: PLR0915  one story
    meter = Meter()
    assert meter.accounting.due_us() is None
    with pytest.raises(Refused):
        meter.accounting.top_up(100)
    meter.activate()
    # No credit yet: the supply is open, and waits for a token.
    assert meter.breaker.moves == [ControlState.READY_FOR_RECONNECTION]
    assert status(meter)[-1] == "1"
    assert meter.account.current_credit_in_use == 0

    # 20.00, half of which the debt takes.
    entered = meter.gateway.enter(meter.tokens.make(1, 2_000))
    assert entered.status_code == TokenStatusCode.EXECUTION_OK
    assert meter.breaker.is_closed()
    assert meter.account.available_credit == 1_000
    assert meter.account.current_credit_in_use == 1
    assert meter.account.aggregated_debt == meter.charge(DEBT).total_amount_remaining == 0
    assert meter.charge(DEBT).total_amount_paid == 1_000
    assert status(meter) == "1010000"

    # 8 kWh and the standing charge a day: 2.40 + 0.25.
    for _ in range(3):
        for _ in range(24):
            meter.energy.consume(8_000 // 24)
            meter.tell(HOUR)
    used_wh = 3 * 24 * (8_000 // 24)
    energy = used_wh * 30 // 1000
    assert meter.charge(ENERGY_CHARGE).total_amount_paid == energy
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 75
    assert meter.account.available_credit == 1_000 - energy - 75
    assert meter.charge(STANDING_CHARGE).last_collection_amount == 25
    assert meter.charge(STANDING_CHARGE).last_collection_time.day == 5

    # At 1.00 emergency credit can be chosen; at zero, unchosen, the supply opens.
    while meter.account.available_credit > 100:
        meter.energy.consume(100)
        meter.tell(60 * SECOND)
    assert meter.credit(EMERGENCY).credit_status is CreditStatus.SELECTABLE
    assert status(meter) == "1101000"
    assert meter.account.next_credit_available_threshold == 100
    while meter.breaker.is_closed():
        meter.energy.consume(100)
        meter.tell(60 * SECOND)
    assert meter.credit(TOKEN_CREDIT).credit_status is CreditStatus.EXHAUSTED
    assert status(meter)[-1] == "1"

    # The consumer chooses it and closes the supply; what is used is owed.
    meter.credit(EMERGENCY).invocations[3](0)
    assert meter.breaker.is_closed()
    assert meter.account.current_credit_in_use == 2
    assert status(meter)[5] == "1"
    meter.energy.consume(10_000)
    meter.tell(60 * SECOND)
    below = min(0, meter.credit(TOKEN_CREDIT).current_credit_amount)
    assert meter.credit(EMERGENCY).current_credit_amount == 200
    assert meter.account.amount_to_clear == 300 - below

    # A token restores the loan first; it ends, and the rest is the consumer's.
    meter.gateway.enter(meter.tokens.make(2, 1_300))
    assert meter.credit(EMERGENCY).credit_status is CreditStatus.ENABLED
    assert meter.credit(EMERGENCY).current_credit_amount == 0
    assert meter.account.available_credit == 1_000 + below
    assert meter.account.amount_to_clear == 0
    assert meter.breaker.is_closed()


def test_emergency_that_is_used_up_must_be_paid_back_whole() -> None:
    meter = Meter(charges_=[])
    meter.activate()
    token, emergency = (unit for unit in meter.accounting.all_credits)
    meter.credit(EMERGENCY).invocations[3](0)
    emergency.amount = 0
    meter.tell(SECOND)
    assert emergency.status is CreditStatus.EXHAUSTED
    assert not meter.breaker.is_closed()
    meter.accounting.top_up(499)
    assert (emergency.amount, token.amount) == (499, 0)
    assert emergency.status is CreditStatus.EXHAUSTED
    assert not meter.breaker.is_closed()
    assert meter.account.amount_to_clear == 1
    meter.accounting.top_up(2)
    assert (emergency.amount, token.amount) == (0, 1)
    assert meter.breaker.is_closed()


def test_the_supply_stays_open_below_the_clearance_threshold() -> None:
    meter = Meter(charges_=[])
    meter.account.clearance_threshold = 50
    meter.activate()
    meter.accounting.top_up(49)
    assert not meter.breaker.is_closed()
    assert meter.account.amount_to_clear == 1
    meter.accounting.top_up(1)
    assert meter.breaker.is_closed()
    assert meter.account.amount_to_clear == 0


def test_friendly_credit_keeps_the_supply_closed_below_zero() -> None:
    meter = Meter()
    meter.activate()
    meter.accounting.top_up(10)
    meter.accounting.situation = frozenset({CollectionConfiguration.IN_FRIENDLY_CREDIT})
    meter.energy.consume(10_000)
    meter.tell(HOUR)
    assert meter.breaker.is_closed()
    assert meter.credit(TOKEN_CREDIT).current_credit_amount == 5 - 300
    assert meter.account.amount_to_clear == 295
    meter.accounting.situation = frozenset()
    meter.tell(SECOND)
    assert not meter.breaker.is_closed()


def test_payment_afterwards_opens_nothing() -> None:
    meter = Meter(mode=PaymentMode.CREDIT)
    meter.activate()
    meter.energy.consume(1_000)
    meter.tell(HOUR)
    assert meter.breaker.moves == []
    assert meter.account.amount_to_clear == 30


def test_a_charge_that_is_not_collected_while_disconnected() -> None:
    meter = Meter()
    rows = tuple(
        CreditChargeConfiguration(TOKEN_CREDIT, name, BitString.from_bits(bits))
        for name, bits in ((ENERGY_CHARGE, "111"), (STANDING_CHARGE, "000"))
    )
    meter.account.credit_charge_configuration = rows
    meter.activate()
    assert not meter.breaker.is_closed()
    meter.tell(DAY)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 0
    meter.accounting.top_up(1_000)
    meter.tell(DAY)
    assert meter.charge(STANDING_CHARGE).total_amount_paid == 25
    assert meter.credit(EMERGENCY).credit_status is CreditStatus.ENABLED


def test_prices_by_tariff_and_to_come() -> None:
    table = (ChargeTableElement(b"\x01", 30), ChargeTableElement(b"\x02", 10))
    active = UnitCharge(ChargePerUnitScaling(3, -2), ENERGY, table)
    cheap = charge(ENERGY_CHARGE, ChargeType.CONSUMPTION_BASED, active, priority=1)
    meter = Meter(charges_=[cheap])
    cheap.unit_charge_passive = unit_charge(1, ENERGY)
    cheap.unit_charge_activation_time = CosemDateTime(
        year=2026, month=3, day=3, hour=0, minute=0, deviation_minutes=0
    )
    meter.activate()
    meter.accounting.top_up(1_000)
    meter.energy.consume(1_000)
    meter.tell(SECOND)
    assert cheap.total_amount_paid == 0  # no price for the tariff yet: it waits
    meter.accounting.use_tariff(b"\x01", meter.now_us + SECOND)
    meter.tell(2 * SECOND)
    assert cheap.total_amount_paid == 30
    meter.energy.consume(1_000)
    meter.accounting.use_tariff(b"\x02", meter.now_us + SECOND)
    assert cheap.total_amount_paid == 60
    meter.energy.consume(1_000)
    meter.tell(2 * SECOND)
    assert cheap.total_amount_paid == 70
    assert meter.accounting.due_us() == meter.now_us + 60 * SECOND
    meter.now_us = START + DAY - SECOND
    meter.tell()
    assert meter.accounting.due_us() == START + DAY
    meter.tell(SECOND)
    meter.energy.consume(1_000)
    meter.tell(SECOND)
    assert cheap.total_amount_paid == 71


def test_a_debt_by_the_day_ends_when_it_is_paid() -> None:
    loan = charge(
        DEBT, ChargeType.TIME_BASED, unit_charge(40), priority=1, period=86_400, remaining=100
    )
    meter = Meter(charges_=[loan])
    meter.activate()
    meter.accounting.top_up(1_000)
    for expected in (40, 80, 100, 100):
        meter.tell(DAY)
        assert loan.total_amount_paid == expected
    loan.invocations[4](30)
    assert meter.account.aggregated_debt == 30
    meter.tell(DAY)
    assert loan.total_amount_paid == 130
    loan.invocations[5](60)
    loan.invocations[3](0)
    assert (loan.total_amount_paid, loan.total_amount_remaining) == (170, 20)
    loan.invocations[4](-50)
    assert loan.total_amount_remaining == 0


def test_what_payments_provide_is_limited_in_a_period() -> None:
    meter = Meter()
    meter.account.max_provision, meter.account.max_provision_period = 300, 86_400
    meter.activate()
    meter.accounting.top_up(500)
    meter.accounting.top_up(500)
    assert meter.charge(DEBT).total_amount_paid == 300
    meter.tell(DAY)
    meter.accounting.top_up(500)
    assert meter.charge(DEBT).total_amount_paid == 550


def test_a_fixed_sum_of_each_payment() -> None:
    fixed = charge(DEBT, ChargeType.PAYMENT_EVENT_BASED, unit_charge(7), priority=1, remaining=10)
    meter = Meter(charges_=[fixed])
    meter.activate()
    for value, paid in ((5, 5), (20, 10), (20, 10)):
        meter.accounting.top_up(value)
        assert fixed.total_amount_paid == paid


def test_proportions_come_before_what_is_owed() -> None:
    meter = Meter(charges_=[])
    assert meter.account.sinks[12]
    with pytest.raises(Refused) as caught:
        meter.account.sinks[12]((TokenGatewayConfiguration(TOKEN_CREDIT, 101),))
    assert caught.value.result == DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    meter.account.token_gateway_configuration = (TokenGatewayConfiguration(TOKEN_CREDIT, 20),)
    meter.activate()
    meter.credit(EMERGENCY).invocations[3](0)
    token, emergency = meter.accounting.all_credits
    emergency.amount = 100
    meter.accounting.top_up(200)
    assert (token.amount, emergency.amount) == (40, 260)


@pytest.mark.parametrize(
    ("limits", "value"),
    [
        (AccountSettings(max_vend_limit=100), 101),
        (AccountSettings(max_credit_limit=100), 101),
        (AccountSettings(), 2**31),
        (AccountSettings(), 0),
        (AccountSettings(), -1),
    ],
)
def test_a_payment_beyond_a_limit_is_refused_whole(limits: AccountSettings, value: int) -> None:
    meter = Meter(settings=limits, charges_=[])
    meter.activate()
    before = meter.accounting.state()
    with pytest.raises(Refused) as caught:
        meter.accounting.top_up(value)
    assert caught.value.result == ActionResult.SCOPE_OF_ACCESS_VIOLATED
    assert meter.accounting.state() == before


def test_nobody_receives_payments() -> None:
    meter = Meter(credits_=[emergency_credit()], charges_=[])
    meter.activate()
    with pytest.raises(Refused) as caught:
        meter.accounting.top_up(1)
    assert caught.value.result == ActionResult.OBJECT_UNAVAILABLE


def test_a_credit_with_a_period_is_filled_anew() -> None:
    monthly = token_credit()
    monthly.period = CosemDateTime(year=None, month=None, day=1, hour=0, minute=0)
    monthly.preset_credit_amount = 300
    monthly.credit_configuration = BitString.from_bits("00010")
    meter = Meter(credits_=[monthly], charges_=[])
    meter.activate()
    assert not meter.breaker.is_closed()
    meter.now_us = START + 30 * DAY  # the first of April
    meter.tell()
    assert monthly.current_credit_amount == 300
    assert meter.breaker.is_closed()
    monthly.credit_configuration = BitString.from_bits("00000")
    meter.tell(30 * DAY)
    assert monthly.current_credit_amount == 600


def test_an_account_begins_and_ends_at_its_times() -> None:
    meter = Meter(charges_=[])
    meter.account.account_activation_time = CosemDateTime(
        year=2026, month=3, day=3, hour=0, minute=0, deviation_minutes=0
    )
    meter.account.account_closure_time = CosemDateTime(
        year=2026, month=3, day=5, hour=0, minute=0, deviation_minutes=0
    )
    assert meter.accounting.due_us() == START + DAY
    meter.tell(DAY)
    assert meter.accounting.status is AccountStatus.ACTIVE
    meter.tell(2 * DAY)
    assert meter.accounting.status is AccountStatus.CLOSED
    with pytest.raises(Refused):
        meter.credit(EMERGENCY).invocations[3](0)
    meter.account.invocations[3](0)
    assert meter.accounting.status is AccountStatus.NEW
    assert meter.accounting.due_us() is None


def test_methods_of_credits_change_money_at_once() -> None:
    meter = Meter(charges_=[])
    meter.activate()
    token = meter.credit(TOKEN_CREDIT)
    token.invocations[2](40)
    assert meter.breaker.is_closed()
    token.invocations[1](-40)
    assert not meter.breaker.is_closed()
    with pytest.raises(Refused):
        token.invocations[3](0)  # nothing to choose
    token.invocations[2](2**31 - 1)
    with pytest.raises(Refused):
        token.invocations[1](1)
    with pytest.raises(Refused):
        meter.account.sinks[17](1)


def test_a_charge_is_collected_by_its_method_only_when_it_may() -> None:
    meter = Meter()
    energy = meter.charge(ENERGY_CHARGE)
    with pytest.raises(Refused):
        energy.invocations[3](0)
    energy.charge_configuration = BitString.from_bits("00")
    energy.period = 7 * 86_400
    meter.activate()
    meter.accounting.top_up(1_000)
    meter.energy.consume(1_000)
    meter.tell(DAY)
    assert (energy.total_amount_paid, energy.total_amount_remaining) == (0, 30)
    energy.unit_charge_passive = unit_charge(60, ENERGY)
    energy.invocations[2](0)
    meter.energy.consume(1_000)
    energy.invocations[3](0)
    assert (energy.total_amount_paid, energy.total_amount_remaining) == (90, 0)
