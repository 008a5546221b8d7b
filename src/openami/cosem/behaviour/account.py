# SPDX-License-Identifier: Apache-2.0
"""An account with its credits and charges: prepayment, and payment afterwards.

DLMS UA 1000-1 Ed. 12, 4.6.2 to 4.6.4.  Charges are collected from the credits in the order of
their priority, a payment fills them again, and when no credit is left the supply is opened.
Amounts are whole steps of the account's currency; nothing here is a float.  `token_gateway` says
how payments come in.

Where sources say little our reading is: the lower number of ``priority`` comes first; a credit
becomes available when what the credits before it have left comes down to its
``credit_available_threshold``; ``available_credit`` sums the positive amounts of credits that are
invoked or in use; ``amount_to_clear`` is what is owed, and while there is no credit also what is
missing to ``clearance_threshold``, below which the supply stays open.  A payment first serves
payment-event-based charges, then the proportions of ``token_gateway_configuration``, then what is
owed, and the rest goes to the credit that receives tokens.
"""

from collections.abc import Callable, Sequence

from openami.cosem.behaviour import windows
from openami.cosem.behaviour.account_state import (
    NO_TIME,
    TRANSITIONS,
    AccountEvent,
    AccountSettings,
    AccountState,
)
from openami.cosem.behaviour.charge import ChargeUnit, Commodities
from openami.cosem.behaviour.credit import (
    CHOSEN,
    CreditEvent,
    CreditUnit,
    has_bit,
)
from openami.cosem.behaviour.localtime import SECOND_US, UTC_ZONE, Zone
from openami.cosem.behaviour.supply import Supply
from openami.cosem.behaviour.top_up import shares
from openami.cosem.classes.payment import (
    Account,
    AccountStatus,
    Charge,
    CollectionConfiguration,
    Credit,
    CreditStatus,
    PaymentMode,
)
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult
from openami.dlms.datetimes import CosemDateTime


class Accounting:
    """The behaviour of one account object with its credits and charges; an actor.

    It is told the time by `tick`; a host tells it before it hands over a client's request.

    Attributes:
        situation: What besides an open supply limits collection now: load limiting, friendly
            credit.  In friendly credit the supply is not opened.
        out: Whether there is no credit, so that the supply is open in prepayment.
    """

    def __init__(  # noqa: PLR0913  four objects of one contract and their ports
        self,
        account: Account,
        credits_: Sequence[Credit],
        charges: Sequence[Charge],
        *,
        commodities: Commodities,
        supply: Supply,
        settings: AccountSettings | None = None,
        zone: Callable[[], Zone] = lambda: UTC_ZONE,
    ) -> None:
        self.account = account
        self.settings = settings or AccountSettings()
        self.situation: frozenset[CollectionConfiguration] = frozenset()
        self.out = False
        self._commodities, self._supply, self._zone = commodities, supply, zone
        self._credits = [CreditUnit(each) for each in credits_]
        self._charges = [
            ChargeUnit(each, lambda: account.currency.currency_scale, zone) for each in charges
        ]
        mode, status = account.account_mode_and_status
        self.mode, self.status = PaymentMode(mode), AccountStatus(status)
        self._told_us: int | None = None
        self._tariff = b""
        self._provision_since_us: int | None = None
        self._provision_used = 0

    @property
    def all_credits(self) -> Sequence[CreditUnit]:
        """The credits that were given, whether listed or not."""
        return self._credits

    @property
    def all_charges(self) -> Sequence[ChargeUnit]:
        """The charges that were given, whether listed or not."""
        return self._charges

    # The members, in the order in which they are used.

    @property
    def credits(self) -> list[CreditUnit]:
        """The credits that the account lists, by priority."""
        listed = self.account.credit_reference_list
        found = [unit for unit in self._credits if unit.name in listed]
        return sorted(found, key=lambda unit: unit.thing.priority)

    @property
    def charges(self) -> list[ChargeUnit]:
        """The charges that the account lists, by priority."""
        listed = self.account.charge_reference_list
        found = [unit for unit in self._charges if unit.name in listed]
        return sorted(found, key=lambda unit: unit.thing.priority)

    @property
    def in_use(self) -> CreditUnit | None:
        """The credit from which charges are collected."""
        return next((each for each in self.credits if each.status is CreditStatus.IN_USE), None)

    @property
    def following(self) -> CreditUnit | None:
        """The credit that comes after the one in use, or the first if none is."""
        rest = self.credits
        if (current := self.in_use) is not None:
            rest = rest[rest.index(current) + 1 :]
        return next((each for each in rest if each.status is not CreditStatus.EXHAUSTED), None)

    @property
    def available_credit(self) -> int:
        """What can be used without asking for more."""
        return sum(max(0, each.amount) for each in self.credits if each.status in CHOSEN)

    @property
    def amount_to_clear(self) -> int:
        """What is to be paid before the supply comes back, or credit counts again."""
        missing = self.account.clearance_threshold - self.available_credit if self.out else 0
        return sum(each.owed for each in self.credits) + max(0, missing)

    @property
    def aggregated_debt(self) -> int:
        """What remains of all debts."""
        return sum(each.remaining for each in self.charges if each.is_debt)

    # Time.

    def due_us(self) -> int | None:
        if self._told_us is None:
            return 0
        told, zone = self._told_us, self._zone()
        times = [
            windows.next_us(self.account.account_activation_time, told, zone),
            windows.next_us(self.account.account_closure_time, told, zone),
        ]
        if self.status is AccountStatus.ACTIVE:
            times.append(told + self.settings.sampling_us)
            times += [each.due_us() for each in self.charges]
            times += [each.period_due_us(told, zone) for each in self.credits]
            times += [
                windows.next_us(each.thing.unit_charge_activation_time, told, zone)
                for each in self.charges
            ]
        return min((time for time in times if time is not None), default=None)

    def tick(self, now_us: int) -> None:
        before = now_us if self._told_us is None else self._told_us
        self._told_us = now_us
        if now_us - before > self.settings.longest_gap_us:
            for charge in self.charges:
                charge.skip(now_us)
        if self.status is AccountStatus.NEW and self._has_come(
            self.account.account_activation_time, before
        ):
            self.follow(AccountEvent.ACTIVATE)
        if self.status is AccountStatus.ACTIVE:
            self._collect_all()
            self._switch_prices(before)
            self._begin_periods(before)
            self.settle()
            if self._has_come(self.account.account_closure_time, before):
                self.follow(AccountEvent.CLOSE)

    def _has_come(self, time: CosemDateTime, before_us: int) -> bool:
        """Tell whether a time came since `before_us`; a date that is past has come."""
        now, zone = self.now_us, self._zone()
        if windows.is_moment(time):
            return windows.next_us(time, now, zone) is None
        found = windows.next_us(time, before_us, zone)
        return found is not None and found <= now

    @property
    def now_us(self) -> int:
        """The time that was told last; 0 if none was."""
        return self._told_us or 0

    def _switch_prices(self, before_us: int) -> None:
        zone = self._zone()
        for charge in self.charges:
            found = windows.next_us(charge.thing.unit_charge_activation_time, before_us, zone)
            if found is not None and found <= self.now_us:
                charge.activate_passive()

    def _begin_periods(self, before_us: int) -> None:
        for credit in self.credits:
            found = credit.period_due_us(before_us, self._zone())
            if found is not None and found <= self.now_us:
                credit.begin_period()

    def use_tariff(self, index: bytes, now_us: int) -> None:
        """Take the prices of another tariff; what was consumed before is charged at the old ones.

        Args:
            index: A `charge_index` of the charge tables.
            now_us: When the tariff changes.
        """
        self.tick(now_us)
        self._tariff = index

    # Status.

    def follow(self, event: AccountEvent) -> None:
        """Activate, close or reset the account.

        Raises:
            Refused: The status has no such transition.
        """
        after = TRANSITIONS.get((self.status, event))
        if after is None:
            raise Refused(ActionResult.READ_WRITE_DENIED)
        self.status = after
        if event is AccountEvent.ACTIVATE:
            for charge in self._charges:
                charge.start(self.now_us)
                charge.observe(self._commodities, self._tariff)
            self.settle()
        elif event is AccountEvent.RESET:
            for credit in self._credits:
                credit.reset()
            for charge in self._charges:
                charge.reset()
            self.out, self._provision_used = False, 0
            self.account.account_activation_time = self.account.account_closure_time = NO_TIME

    def settle(self) -> None:
        """Let every credit take the status that the amounts ask for, then the supply."""
        if self.status is not AccountStatus.ACTIVE:
            return
        self._settle_credits()
        was_out = self.out
        if self.in_use is None:
            self.out = True
        elif not was_out or self.available_credit >= self.account.clearance_threshold:
            self.out = False
        friendly = CollectionConfiguration.IN_FRIENDLY_CREDIT in self.situation
        wanted = self.mode is PaymentMode.CREDIT or not self.out or friendly
        if not wanted and self._supply.is_connected():
            self._supply.disconnect()
        elif wanted and was_out and not self._supply.is_connected():
            self._supply.reconnect()

    def _settle_credits(self) -> None:
        units = self.credits
        # Each status is left for good by what it is told, and amounts do not change but by loans:
        # a credit goes once around at most.
        for _ in range(2 * len(CreditStatus)):
            changed = False
            before = 0
            has_before = False
            for unit in units:
                threshold = unit.thing.credit_available_threshold
                changed |= unit.follow(wanted=not has_before or before <= threshold)
                if unit.status in CHOSEN:
                    before, has_before = before + max(0, unit.amount), True
            if not changed:
                break
        chosen = [unit for unit in units if unit.status in CHOSEN]
        for unit in chosen[1:]:
            unit.apply(CreditEvent.DISPLACED)
        for unit in chosen[:1]:
            unit.apply(CreditEvent.TURN)

    # Money.

    def observe(self, charge: ChargeUnit) -> None:
        """Count what was consumed so far, at the prices that hold until now."""
        if self.status is AccountStatus.ACTIVE:
            charge.observe(self._commodities, self._tariff)

    def _collect_all(self) -> None:
        for charge in self.charges:
            self.observe(charge)
            sources = self.sources(charge)
            self._take(charge, charge.asks(self.now_us, self._tariff, allowed=bool(sources)))

    def collect(self, charge: ChargeUnit) -> None:
        """Collect a charge now, as its method asks.

        Raises:
            Refused: The account is not active, or the charge may not be collected at present.
        """
        if self.status is not AccountStatus.ACTIVE or not self.sources(charge):
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        self.observe(charge)
        self._take(charge, charge.asks_at_once(self._tariff))
        self.settle()

    def sources(self, charge: ChargeUnit) -> list[CreditUnit]:
        """Return the credits from which a charge may be collected in the present situation.

        Without any `credit_charge_configuration` each charge is collected from each credit.
        """
        rows = self.account.credit_charge_configuration
        if not rows:
            return self.credits
        bits = set(self.situation)
        if not self._supply.is_connected():
            bits.add(CollectionConfiguration.WHEN_DISCONNECTED)
        names = {
            row.credit_reference
            for row in rows
            if row.charge_reference == charge.name
            and all(has_bit(row.collection_configuration, bit) for bit in bits)
        }
        return [unit for unit in self.credits if unit.name in names]

    def _take(self, charge: ChargeUnit, amount: int) -> None:
        """Collect from one credit after the other; the last goes below its limit for the rest."""
        if amount <= 0:
            return
        left, sources = amount, self.sources(charge)
        last = self.in_use if self.in_use in sources else sources[0]
        while left:
            self._settle_credits()
            unit = next((each for each in sources if each.status in CHOSEN and each.room), None)
            if unit is None:
                break
            part = min(left, unit.room)
            unit.amount -= part
            left, last = left - part, unit
        if last is not None:
            last.amount -= left
        charge.collected(amount, self.now_us)

    def top_up(self, value: int) -> None:
        """Take a payment, whole or not at all.

        Args:
            value: Steps of the currency.

        Raises:
            Refused: The account is not active, a limit is passed, or no credit receives payments.
        """
        limit = self.settings.max_vend_limit
        if self.status is not AccountStatus.ACTIVE:
            raise Refused(ActionResult.TEMPORARY_FAILURE)
        if value <= 0 or (limit is not None and value > limit):
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
        self._collect_all()
        served = self._served(value)
        parts = shares(
            value - sum(served),
            self.credits,
            self.account.token_gateway_configuration,
            self.settings.max_credit_limit,
        )
        for charge, amount in zip(self.charges, served, strict=True):
            if amount:
                charge.collected(amount, self.now_us)
                self._provision_used += amount
        for unit, part in parts:
            unit.amount += part
        for unit in self.credits:
            if unit.is_repaid():
                unit.apply(CreditEvent.WITHDRAWN)
        self.settle()

    def _served(self, value: int) -> list[int]:
        """Return what each charge takes of a payment."""
        left = value
        if (most := self._provision()) is not None:
            left = min(left, most)
        taken: list[int] = []
        for charge in self.charges:
            wanted = charge.asks_of(value, self._tariff, self.settings.proportion_whole)
            taken.append(min(wanted, left))
            left -= taken[-1]
        return taken

    def _provision(self) -> int | None:
        """Return what payments may still serve in this period; None for no limit (0)."""
        most, period_s = self.account.max_provision, self.account.max_provision_period
        if not most:
            return None
        since = self._provision_since_us
        if since is None or not since <= self.now_us < since + period_s * SECOND_US:
            self._provision_since_us, self._provision_used = self.now_us, 0
        return max(0, most - self._provision_used)

    # What must not be lost.

    def state(self) -> AccountState:
        """Return what must not be lost."""
        return AccountState(
            mode=self.mode,
            status=self.status,
            told_us=self._told_us,
            out=self.out,
            provision_since_us=self._provision_since_us,
            provision_used=self._provision_used,
            tariff=self._tariff,
            credits=tuple(each.state() for each in self._credits),
            charges=tuple(each.state() for each in self._charges),
        )

    def restore(self, state: AccountState) -> None:
        """Go on from a state; what is not in it begins as its object says."""
        self.mode, self.status, self.out = state.mode, state.status, state.out
        self._told_us, self._tariff = state.told_us, state.tariff
        self._provision_since_us = state.provision_since_us
        self._provision_used = state.provision_used
        credits_ = {each.logical_name: each for each in state.credits}
        charges = {each.logical_name: each for each in state.charges}
        for credit in self._credits:
            if (known := credits_.get(credit.name)) is not None:
                credit.restore(known)
        for charge in self._charges:
            if (kept := charges.get(charge.name)) is not None:
                charge.restore(kept)
