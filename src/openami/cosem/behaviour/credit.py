# SPDX-License-Identifier: Apache-2.0
"""One credit: its amount, its status, and what was lent (DLMS UA 1000-1 Ed. 12, 4.6.3).

`TRANSITIONS` is the state diagram.  When a credit becomes available, in which order credits are
used and how a top-up is spread is the business of `account`, which holds them all.

Our reading, where sources say little: ``preset_credit_amount`` is added when a credit without a
period is invoked; if the credit is to be paid back it is a loan, of which tokens restore what was
used, and which ends when all of it is there again.  A credit with a period gets its preset then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from openami.cosem.behaviour import windows
from openami.cosem.behaviour.localtime import Zone
from openami.cosem.classes.payment import Credit, CreditConfiguration, CreditStatus
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.data import BitString, DoubleLong
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis


class CreditEvent(Enum):
    """What moves a credit from one status to another."""

    AVAILABLE = "its threshold is reached"
    CONFIRMATION_ASKED = "its threshold is reached, and the consumer must choose it"
    INVOKED = "the consumer or a client chooses it"
    TURN = "no credit before it has anything left"
    DISPLACED = "a credit before it has something again"
    LIMIT = "its limit is reached"
    WITHDRAWN = "its threshold is left, or what was lent is paid back"
    REFILLED = "there is more than its limit again, or what was lent is paid back"


_E, _S, _I, _U, _X = CreditStatus

TRANSITIONS: Final[Mapping[tuple[CreditStatus, CreditEvent], CreditStatus]] = {
    (_E, CreditEvent.AVAILABLE): _I,
    (_E, CreditEvent.CONFIRMATION_ASKED): _S,
    (_S, CreditEvent.INVOKED): _I,
    (_S, CreditEvent.WITHDRAWN): _E,
    (_I, CreditEvent.TURN): _U,
    (_I, CreditEvent.LIMIT): _X,
    (_I, CreditEvent.WITHDRAWN): _E,
    (_U, CreditEvent.DISPLACED): _I,
    (_U, CreditEvent.LIMIT): _X,
    (_U, CreditEvent.WITHDRAWN): _E,
    (_X, CreditEvent.REFILLED): _E,
}
"""Enabled, selectable, invoked, in use, exhausted; what is not here changes nothing."""

CHOSEN: Final = frozenset({CreditStatus.INVOKED, CreditStatus.IN_USE})


def shown(amount: int) -> int:
    """Return an amount as a double-long can show it; what is counted is not cut off."""
    return min(max(amount, DoubleLong.LOW), DoubleLong.HIGH)


def fitting(amount: int) -> int:
    """Return `amount` if a double-long holds it.

    Raises:
        Refused: It does not.
    """
    if shown(amount) != amount:
        raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
    return amount


def has_bit(bits: BitString, index: int) -> bool:
    """Tell whether bit `index` is set; bits that are not there are not."""
    return bits.bits[index : index + 1] == "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class CreditState:
    """What of a credit a power cut must not lose; amounts in steps of the account's currency."""

    logical_name: Obis
    amount: int
    status: CreditStatus
    lent: int


_NO_PERIOD: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)


class CreditUnit:
    """The behaviour of one credit object.

    Attributes:
        thing: The object; what a client may write is read from it when it is needed.
        amount: Exact, in steps of the account's currency.
        status: A key of `TRANSITIONS`.
        lent: How much of the amount is to be paid back.
    """

    def __init__(self, thing: Credit) -> None:
        self.thing = thing
        self.name: Obis = thing.logical_name
        values = thing.values
        self.amount: int = values.get(2, 0)
        self.status = CreditStatus(values.get(8, CreditStatus.ENABLED))
        self.lent = 0
        values.setdefault(11, _NO_PERIOD)
        if self.status in CHOSEN and self.has(CreditConfiguration.PAY_BACK):
            self.lent = self._preset
        thing.bind(Credit.current_credit_amount, lambda: shown(self.amount))
        thing.bind(Credit.credit_status, lambda: self.status)

    def has(self, bit: CreditConfiguration) -> bool:
        """Tell whether a bit of `credit_configuration` is set."""
        return has_bit(self.thing.credit_configuration, bit)

    @property
    def _has_period(self) -> bool:
        return not windows.is_unspecified(self.thing.period)

    @property
    def _preset(self) -> int:
        return 0 if self._has_period else self.thing.preset_credit_amount

    @property
    def room(self) -> int:
        """What can be taken before the limit is reached."""
        return max(0, self.amount - self.thing.limit)

    @property
    def owed(self) -> int:
        """What is to be paid back: the used part of a loan, or what is below zero."""
        return max(0, self.lent - self.amount) if self.lent else max(0, -self.amount)

    @property
    def has_something(self) -> bool:
        """Whether choosing it would give anything."""
        return self.amount + (0 if self.lent else self._preset) > self.thing.limit

    def apply(self, event: CreditEvent) -> bool:
        """Follow an event; return whether the status changed."""
        after = TRANSITIONS.get((self.status, event))
        if after is None:
            return False
        if after is CreditStatus.INVOKED and event is not CreditEvent.DISPLACED:
            self.amount += self._preset
            self.lent = self._preset if self.has(CreditConfiguration.PAY_BACK) else 0
        elif after is CreditStatus.ENABLED:
            self._end_loan()
        self.status = after
        return True

    def _end_loan(self) -> None:
        self.amount -= self.lent
        self.lent = 0

    def is_repaid(self) -> bool:
        """Tell whether there is a loan, and all of it is there."""
        return bool(self.lent) and self.amount >= self.lent

    def follow(self, *, wanted: bool) -> bool:
        """Take the steps that amount and threshold ask for; return whether the status changed.

        Args:
            wanted: Whether the credits before this one have come down to its threshold.
        """
        if self.status in CHOSEN:
            return self.room == 0 and self.apply(CreditEvent.LIMIT)
        if self.status is CreditStatus.EXHAUSTED:
            refilled = self.room > 0 if not self.lent else self.is_repaid()
            return refilled and self.apply(CreditEvent.REFILLED)
        if not (wanted and self.has_something):
            return self.apply(CreditEvent.WITHDRAWN)
        if self.has(CreditConfiguration.CONFIRMATION):
            return self.apply(CreditEvent.CONFIRMATION_ASKED)
        return self.apply(CreditEvent.AVAILABLE)

    def period_due_us(self, after_us: int, zone: Zone) -> int | None:
        """Return when the period ends next; None without one."""
        return windows.next_us(self.thing.period, after_us, zone)

    def begin_period(self) -> None:
        """Give the preset of a new period: instead of what is left if resettable, or on top."""
        kept = 0 if self.has(CreditConfiguration.RESETTABLE) else self.amount
        self.amount = shown(kept + self.thing.preset_credit_amount)

    def reset(self) -> None:
        """Begin anew, with nothing."""
        self.amount = self.lent = 0
        self.status = CreditStatus.ENABLED

    def state(self) -> CreditState:
        """Return what must not be lost."""
        return CreditState(
            logical_name=self.name, amount=self.amount, status=self.status, lent=self.lent
        )

    def restore(self, state: CreditState) -> None:
        """Go on from a state."""
        self.amount, self.status, self.lent = state.amount, state.status, state.lent
