# SPDX-License-Identifier: Apache-2.0
"""What clients see of an account, its credits and its charges, and what they may do with them.

DLMS UA 1000-1 Ed. 12, 4.6.2 to 4.6.4.  `payment` binds the objects to an `Accounting`.  A client
that changes an amount changes money: what follows from it happens at once.
"""

from dataclasses import dataclass

from openami.cosem.behaviour.account import Accounting
from openami.cosem.behaviour.account_state import AccountEvent
from openami.cosem.behaviour.charge import ChargeUnit
from openami.cosem.behaviour.credit import CreditEvent, CreditUnit, fitting, shown
from openami.cosem.behaviour.results import no_argument
from openami.cosem.classes.payment import (
    Account,
    AccountModeAndStatus,
    AccountStatus,
    Charge,
    ChargeType,
    Credit,
    CreditConfiguration,
    CreditStatus,
    CurrentCreditStatus,
    TokenGatewayConfiguration,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.data import BitString


def payment(accounting: Accounting) -> Accounting:
    """Bind an account and all of its credits and charges."""
    _bind_account(accounting)
    for credit in accounting.all_credits:
        _bind_credit(accounting, credit)
    for charge in accounting.all_charges:
        _bind_charge(accounting, charge)
    return accounting


def current_credit_status(of: Accounting) -> BitString:
    """Return the bits of `CurrentCreditStatus`."""
    available, following, current = of.available_credit, of.following, of.in_use
    after = None if following is None else following.status
    confirmed = current is not None and current.has(CreditConfiguration.CONFIRMATION)
    bits = {
        CurrentCreditStatus.IN_CREDIT: current is not None,
        CurrentCreditStatus.LOW_CREDIT: available < of.account.low_credit_threshold,
        CurrentCreditStatus.NEXT_CREDIT_ENABLED: after is CreditStatus.ENABLED,
        CurrentCreditStatus.NEXT_CREDIT_SELECTABLE: after is CreditStatus.SELECTABLE,
        CurrentCreditStatus.NEXT_CREDIT_SELECTED: after is CreditStatus.INVOKED,
        CurrentCreditStatus.SELECTABLE_CREDIT_IN_USE: confirmed,
        CurrentCreditStatus.OUT_OF_CREDIT: current is None,
    }
    return BitString.from_bits("".join("01"[bits[bit]] for bit in CurrentCreditStatus))


def current_credit_in_use(of: Accounting) -> int:
    """Return the number of the credit in use in `credit_reference_list`."""
    current, settings = of.in_use, of.settings
    if current is None:
        return settings.no_index
    return of.account.credit_reference_list.index(current.name) + settings.first_index


def _next_threshold(of: Accounting) -> int:
    following = of.following
    if following is None:
        raise Refused(DataAccessResult.OBJECT_UNAVAILABLE)
    return following.thing.credit_available_threshold


def _denied(_value: object) -> None:
    raise Refused(DataAccessResult.READ_WRITE_DENIED)


def _proportions(rows: tuple[TokenGatewayConfiguration, ...]) -> None:
    if sum(row.token_proportion for row in rows) > 100:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)


def _bind_account(of: Accounting) -> None:
    thing = of.account
    thing.bind(Account.account_mode_and_status, lambda: AccountModeAndStatus(of.mode, of.status))
    thing.bind(Account.current_credit_in_use, lambda: current_credit_in_use(of))
    thing.bind(Account.current_credit_status, lambda: current_credit_status(of))
    thing.bind(Account.available_credit, lambda: shown(of.available_credit))
    thing.bind(Account.amount_to_clear, lambda: shown(of.amount_to_clear))
    thing.bind(Account.aggregated_debt, lambda: shown(of.aggregated_debt))
    thing.bind(Account.next_credit_available_threshold, lambda: _next_threshold(of), _denied)
    thing.bind_sink(Account.token_gateway_configuration, _proportions)
    for method, event in (
        (Account.activate_account, AccountEvent.ACTIVATE),
        (Account.close_account, AccountEvent.CLOSE),
        (Account.reset_account, AccountEvent.RESET),
    ):
        thing.bind_method(method, _Following(of, event))


@dataclass(frozen=True, slots=True)
class _Following:
    """Carries out one method of the account."""

    accounting: Accounting
    event: AccountEvent

    def __call__(self, _argument: int) -> None:
        self.accounting.follow(self.event)


def _bind_credit(of: Accounting, unit: CreditUnit) -> None:
    def set_to(amount: int) -> None:
        unit.amount = fitting(amount)
        of.settle()

    def invoke() -> None:
        if of.status is not AccountStatus.ACTIVE or not unit.apply(CreditEvent.INVOKED):
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        of.settle()

    thing = unit.thing
    thing.bind_method(Credit.update_amount, lambda change: set_to(unit.amount + change))
    thing.bind_method(Credit.set_amount_to_value, set_to)
    thing.bind_method(Credit.invoke_credit, no_argument(invoke))


def _bind_charge(of: Accounting, unit: ChargeUnit) -> None:
    def activate() -> None:
        of.observe(unit)
        unit.activate_passive()

    def owe(remaining: int) -> None:
        unit.owe(fitting(remaining))

    def is_known(code: int) -> None:
        if code not in set(ChargeType):
            raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)

    thing = unit.thing
    thing.bind_sink(Charge.charge_type, is_known)
    thing.bind_method(Charge.activate_passive_unit_charge, no_argument(activate))
    thing.bind_method(Charge.collect, no_argument(lambda: of.collect(unit)))
    thing.bind_method(
        Charge.update_total_amount_remaining, lambda change: owe(unit.remaining + change)
    )
    thing.bind_method(Charge.set_total_amount_remaining, owe)
