# SPDX-License-Identifier: Apache-2.0
"""Money is neither made nor lost, whatever happens in which order."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from openami.cosem.behaviour.account import Accounting
from openami.cosem.classes.payment import CollectionConfiguration, CreditStatus
from openami.cosem.model import Refused
from prepayment import EMERGENCY, ENERGY_CHARGE, SECOND, TOKEN_CREDIT, Meter


def cut(meter: Meter) -> Accounting:
    """A meter that lost power now, and goes on."""
    after = Meter()
    after.energy, after.unit.state = meter.energy, meter.unit.state
    after.accounting._commodities = meter.energy
    after.accounting.restore(meter.accounting.state())
    return after.accounting


STEP = st.one_of(
    st.tuples(st.just("consume"), st.integers(0, 5_000)),
    st.tuples(st.just("pass"), st.integers(0, 3 * 86_400)),
    st.tuples(st.just("pay"), st.integers(0, 2_000)),
    st.tuples(st.just("adjust"), st.integers(-300, 300)),
    st.tuples(st.just("emergency"), st.just(0)),
    st.tuples(st.just("collect"), st.integers(0, 1)),
    st.tuples(st.just("friendly"), st.integers(0, 1)),
)


def do(meter: Meter, step: str, number: int) -> int:
    """Do one step; return the money that came in by it."""
    match step:
        case "consume":
            meter.energy.consume(number)
        case "pass":
            meter.tell(number * SECOND)
        case "pay":
            meter.accounting.top_up(number)
            return number
        case "adjust":
            meter.credit(TOKEN_CREDIT).invocations[1](number)
            return number
        case "emergency":
            meter.credit(EMERGENCY).invocations[3](0)
        case "collect":
            meter.charges[number].invocations[3](0)
        case "friendly":
            friendly = {CollectionConfiguration.IN_FRIENDLY_CREDIT} if number else set()
            meter.accounting.situation = frozenset(friendly)
    return 0


@settings(max_examples=200, deadline=None)
@given(st.lists(STEP, max_size=40))
def test_no_money_is_made_or_lost(steps: list[tuple[str, int]]) -> None:
    meter = Meter()
    meter.activate()
    came_in = 0
    for step, number in steps:
        try:
            came_in += do(meter, step, number)
        except Refused:
            continue
        finally:
            held = sum(unit.amount - unit.lent for unit in meter.accounting.all_credits)
            paid = sum(unit.paid for unit in meter.accounting.all_charges)
            assert held + paid == came_in
        meter.tell()
        statuses = [unit.status for unit in meter.accounting.all_credits]
        assert statuses.count(CreditStatus.IN_USE) <= 1
        friendly = bool(meter.accounting.situation)
        assert meter.breaker.is_closed() or not friendly
        if not friendly:
            assert meter.breaker.is_closed() is (CreditStatus.IN_USE in statuses)
    # What was consumed is paid, but for less than one step of the currency.
    energy = meter.charge(ENERGY_CHARGE)
    assert energy.total_amount_paid == meter.energy.energy_wh * 30 // 1000


@settings(max_examples=50, deadline=None)
@given(st.lists(STEP, max_size=20), st.lists(STEP, max_size=10))
def test_a_power_cut_changes_nothing(before: list[Any], after: list[Any]) -> None:
    meters = Meter(), Meter()
    for index, meter in enumerate(meters):
        meter.activate()
        for phase in (before, after):
            for step, number in phase:
                try:
                    do(meter, step, number)
                except Refused:
                    continue
            meter.tell()
            if index == 1 and phase is before:
                situation = meter.accounting.situation
                restored = cut(meter)
                meter.accounting.restore(restored.state())
                meter.accounting.situation = situation
    assert meters[0].accounting.state() == meters[1].accounting.state()
