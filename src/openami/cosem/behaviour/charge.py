# SPDX-License-Identifier: Apache-2.0
"""One charge: what it asks for, and when (DLMS UA 1000-1 Ed. 12, 4.6.4).

Amounts are whole steps of the account's currency; what is less than a step is carried on as an
exact fraction, so that nothing is lost to rounding however often a charge is collected.

Our reading, where sources say little: a price is ``charge_per_unit`` x 10**price_scale of the
currency for 10**commodity_scale of the commodity in its unit; time-based and payment-event-based
charges take the price as the amount itself.  A charge with a total amount to be paid is a debt; it
ends when that is paid.  ``update_unit_charge`` is not carried out: what it takes is not known.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Protocol

from openami.cosem.behaviour.credit import has_bit, shown
from openami.cosem.behaviour.localtime import SECOND_US, Zone
from openami.cosem.classes.payment import Charge, ChargeConfiguration, ChargeType, UnitCharge
from openami.cosem.classes.references import AttributeReference
from openami.cosem.model import Refused
from openami.dlms.obis import Obis

_TEN: Final = Fraction(10)


class Commodities(Protocol):
    """Who knows what was consumed; a port that the meter binds."""

    def consumed(self, reference: AttributeReference) -> tuple[int, int]:
        """Return the integer of a register and its scaler; raises `Refused` without a value."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeState:
    """What of a charge a power cut must not lose.

    Attributes:
        pending: Numerator and denominator of what is not collected yet, in steps of the currency.
        base: The register at the last look; None before the first.
        since_us: When the period began, calendar microseconds UTC; None before the first.
        active: The prices.
    """

    logical_name: Obis
    paid: int
    remaining: int
    is_debt: bool
    pending: tuple[int, int]
    base: int | None
    since_us: int | None
    last_us: int
    last_amount: int
    active: UnitCharge


class ChargeUnit:
    """The behaviour of one charge object.

    Attributes:
        paid: What was collected in all.
        remaining: What of a debt is still to be paid.
        is_debt: Whether the charge ends when nothing remains.
    """

    def __init__(
        self, thing: Charge, currency_scale: Callable[[], int], zone: Callable[[], Zone]
    ) -> None:
        self.thing = thing
        self.name: Obis = thing.logical_name
        self._currency_scale = currency_scale
        values = thing.values
        self.paid: int = values.get(2, 0)
        self.remaining: int = values.get(12, 0)
        self.is_debt = self.remaining != 0 or self.type is ChargeType.PAYMENT_EVENT_BASED
        self._pending = Fraction(0)
        self._base: int | None = None
        self._since_us: int | None = None
        self._last_us = 0
        self._last_amount: int = values.get(11, 0)
        thing.bind(Charge.total_amount_paid, lambda: shown(self.paid))
        thing.bind(Charge.total_amount_remaining, lambda: shown(self._open()))
        thing.bind(Charge.last_collection_amount, lambda: shown(self._last_amount))
        thing.bind(Charge.last_collection_time, lambda: zone().shown(self._last_us))

    @property
    def type(self) -> ChargeType:
        """What makes the charge grow.

        Raises:
            ValueError: The code is none of the standard's.
        """
        return ChargeType(self.thing.charge_type)

    def has(self, bit: ChargeConfiguration) -> bool:
        """Tell whether a bit of `charge_configuration` is set."""
        return has_bit(self.thing.charge_configuration, bit)

    def _open(self) -> int:
        return self.remaining if self.is_debt else int(self._pending)

    @property
    def period_us(self) -> int:
        """Length of the period; 0 if there is none."""
        return self.thing.period * SECOND_US

    def due_us(self) -> int | None:
        """Return when the period ends; None without a period, or before it began."""
        if self._since_us is None or not self.period_us:
            return None
        return self._since_us + self.period_us

    def start(self, now_us: int) -> None:
        """Begin to count, when the account becomes active."""
        self._since_us, self._base = now_us, None

    def skip(self, now_us: int) -> None:
        """Let the period begin now: no clock knows how long the last one was."""
        self._since_us = now_us

    def price(self, tariff: bytes) -> int | None:
        """Return what a unit costs under `tariff`; a table of one row serves every tariff."""
        table = self.thing.unit_charge_active.charge_table
        if len(table) == 1:
            return table[0].charge_per_unit
        return next((row.charge_per_unit for row in table if row.charge_index == tariff), None)

    def observe(self, commodities: Commodities, tariff: bytes) -> None:
        """Count what was consumed since the last look, at the price of `tariff`.

        Without a price for it the consumption waits for one; a register that went back was reset,
        and is counted from where it is.
        """
        if self.type is not ChargeType.CONSUMPTION_BASED:
            return
        unit = self.thing.unit_charge_active
        try:
            value, scaler = commodities.consumed(unit.commodity_reference)
        except Refused:
            return
        price = self.price(tariff)
        if self._base is None or value < self._base:
            self._base = value
        elif price is not None:
            if not self._is_paid_off():
                scaling = unit.charge_per_unit_scaling
                exponent = scaler - scaling.commodity_scale + self._exponent()
                self._pending += (value - self._base) * price * _TEN**exponent
            self._base = value

    def _exponent(self) -> int:
        scaling = self.thing.unit_charge_active.charge_per_unit_scaling
        return scaling.price_scale - self._currency_scale()

    def asks(self, now_us: int, tariff: bytes, *, allowed: bool) -> int:
        """Return what is to be collected now.

        Args:
            now_us: Calendar time, microseconds UTC.
            tariff: The active tariff.
            allowed: Whether the charge may be collected at present: if not, consumption waits,
                and the periods that end meanwhile are free.
        """
        ended = self._ended(now_us)
        match self.type:
            case ChargeType.CONSUMPTION_BASED:
                if not allowed or not (ended or self._is_continuous()):
                    return 0
            case ChargeType.TIME_BASED:
                if not allowed or self._is_paid_off():
                    return 0
                self._pending += ended * (self.price(tariff) or 0) * _TEN ** self._exponent()
            case ChargeType.PAYMENT_EVENT_BASED:
                return 0
        return self._whole()

    def _is_paid_off(self) -> bool:
        return self.is_debt and self.remaining == 0

    def _is_continuous(self) -> bool:
        return self.has(ChargeConfiguration.CONTINUOUS_COLLECTION) or not self.period_us

    def _ended(self, now_us: int) -> int:
        """Return how many periods ended since the last look."""
        if self._since_us is None or now_us < self._since_us:
            self._since_us = now_us  # the first look, or the clock was set back
        if not self.period_us:
            return 0
        ended = (now_us - self._since_us) // self.period_us
        self._since_us += ended * self.period_us
        return ended

    def _whole(self) -> int:
        whole = max(0, int(self._pending))
        return min(whole, self.remaining) if self.is_debt else whole

    def asks_at_once(self, tariff: bytes) -> int:
        """Return what method collect takes: what waits, or one period's amount."""
        if self.type is ChargeType.TIME_BASED and not self._is_paid_off():
            self._pending += (self.price(tariff) or 0) * _TEN ** self._exponent()
        return self._whole()

    def asks_of(self, payment: int, tariff: bytes, whole: int) -> int:
        """Return what a payment-event-based charge takes of a payment.

        Args:
            payment: The whole payment.
            tariff: The active tariff.
            whole: What `proportion` counts as all of the payment.
        """
        if self.type is not ChargeType.PAYMENT_EVENT_BASED:
            return 0
        if self.has(ChargeConfiguration.PERCENTAGE_BASED):
            wanted = payment * self.thing.proportion // whole
        else:
            wanted = int((self.price(tariff) or 0) * _TEN ** self._exponent())
        return max(0, min(wanted, self.remaining, payment))

    def collected(self, amount: int, now_us: int) -> None:
        """Book what was collected."""
        self.paid += amount
        if self.is_debt:
            self.remaining -= amount
        if self.type is not ChargeType.PAYMENT_EVENT_BASED:
            self._pending -= amount
        if self.is_debt and not self.remaining:
            self._pending = Fraction(0)
        self._last_us, self._last_amount = now_us, amount

    def owe(self, remaining: int) -> None:
        """Make the charge a debt of `remaining`; below zero there is none."""
        self.remaining, self.is_debt = max(0, remaining), True

    def activate_passive(self) -> None:
        """Let the passive prices take effect; consumption so far must be counted before."""
        self.thing.unit_charge_active = self.thing.unit_charge_passive

    def reset(self) -> None:
        """Begin anew: nothing paid, nothing owed."""
        self.paid = self.remaining = self._last_amount = self._last_us = 0
        self._pending, self._base, self._since_us = Fraction(0), None, None

    def state(self) -> ChargeState:
        """Return what must not be lost."""
        return ChargeState(
            logical_name=self.name,
            paid=self.paid,
            remaining=self.remaining,
            is_debt=self.is_debt,
            pending=self._pending.as_integer_ratio(),
            base=self._base,
            since_us=self._since_us,
            last_us=self._last_us,
            last_amount=self._last_amount,
            active=self.thing.unit_charge_active,
        )

    def restore(self, state: ChargeState) -> None:
        """Go on from a state."""
        self.paid, self.remaining, self.is_debt = state.paid, state.remaining, state.is_debt
        self._pending = Fraction(*state.pending)
        self._base, self._since_us = state.base, state.since_us
        self._last_us, self._last_amount = state.last_us, state.last_amount
        self.thing.unit_charge_active = state.active
