# SPDX-License-Identifier: Apache-2.0
"""A prepayment meter in memory: one account, token and emergency credit, three charges, tokens."""

import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from openami.cosem.behaviour.account import Accounting
from openami.cosem.behaviour.account_state import AccountSettings
from openami.cosem.behaviour.payment import payment
from openami.cosem.behaviour.supply import OwnSupply
from openami.cosem.behaviour.token_gateway import DecodedToken, Gateway, TokenRefused
from openami.cosem.classes.disconnect import ControlState, Disconnector
from openami.cosem.classes.payment import (
    Account,
    AccountModeAndStatus,
    AccountStatus,
    Charge,
    ChargePerUnitScaling,
    ChargeTableElement,
    ChargeType,
    Credit,
    CreditType,
    Currency,
    CurrencyUnit,
    PaymentMode,
    TokenGateway,
    UnitCharge,
)
from openami.cosem.classes.references import AttributeReference
from openami.dlms.data import BitString
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.obis import Obis

ACCOUNT = Obis(0, 0, 19, 0, 0, 255)
TOKEN_CREDIT = Obis(0, 0, 19, 10, 0, 255)
EMERGENCY = Obis(0, 0, 19, 10, 1, 255)
ENERGY_CHARGE = Obis(0, 0, 19, 20, 0, 255)
STANDING_CHARGE = Obis(0, 0, 19, 20, 1, 255)
DEBT = Obis(0, 0, 19, 20, 2, 255)
GATEWAY = Obis(0, 0, 19, 40, 0, 255)
ENERGY = AttributeReference(3, Obis(1, 0, 1, 8, 0, 255), 2)
NOTHING = AttributeReference(0, Obis(0, 0, 0, 0, 0, 0), 0)

NO_TIME = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)
SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
START = (datetime(2026, 3, 2, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
    microseconds=1
)


@dataclass
class Breaker:
    """A switch that remembers how often it moved."""

    state: ControlState = ControlState.CONNECTED
    moves: list[ControlState] = field(default_factory=list)

    def is_closed(self) -> bool:
        return self.state is ControlState.CONNECTED

    def move(self, state: ControlState) -> None:
        self.state = state
        self.moves.append(state)


@dataclass
class Energy:
    """A register in Wh that counts while the supply is closed."""

    breaker: Breaker
    energy_wh: int = 0

    def consume(self, energy_wh: int) -> None:
        if self.breaker.is_closed():
            self.energy_wh += energy_wh

    def consumed(self, _reference: AttributeReference) -> tuple[int, int]:
        return self.energy_wh, 0


class Tokens:
    """A reference decoder for tests: ``T``, number, value, eight octets of an HMAC."""

    def __init__(self, key: bytes = b"vending") -> None:
        self.key = key
        self.used: set[bytes] = set()

    def make(self, number: int, value: int) -> bytes:
        text = b"T" + number.to_bytes(4) + value.to_bytes(4)
        return text + hmac.digest(self.key, text, hashlib.sha256)[:8]

    def parse(self, token: bytes) -> DecodedToken:
        if len(token) != 17 or token[:1] != b"T":
            raise TokenRefused(BitString.from_bits("1"))
        return DecodedToken(
            value=int.from_bytes(token[5:9]), description=(b"payment",), octets=token
        )

    def authenticate(self, token: DecodedToken) -> None:
        expected = hmac.digest(self.key, token.octets[:9], hashlib.sha256)[:8]
        if not hmac.compare_digest(expected, token.octets[9:]):
            raise TokenRefused

    def validate(self, token: DecodedToken) -> None:
        if token.octets[1:5] in self.used:
            raise TokenRefused

    def execute(self, token: DecodedToken) -> None:
        self.used.add(token.octets[1:5])


def unit_charge(price: int, reference: AttributeReference = NOTHING, scale: int = -2) -> UnitCharge:
    """A price in 10**scale of the currency, of a kWh where it is of energy."""
    commodity_scale = 3 if reference is ENERGY else 0
    return UnitCharge(
        ChargePerUnitScaling(commodity_scale, scale),
        reference,
        (ChargeTableElement(b"", price),),
    )


def token_credit() -> Credit:
    return Credit(
        TOKEN_CREDIT,
        credit_type=CreditType.TOKEN,
        priority=1,
        warning_threshold=200,
        limit=0,
        credit_configuration=BitString.from_bits("00001"),
        preset_credit_amount=0,
        credit_available_threshold=0,
        period=NO_TIME,
    )


def emergency_credit() -> Credit:
    return Credit(
        EMERGENCY,
        credit_type=CreditType.EMERGENCY,
        priority=2,
        warning_threshold=0,
        limit=0,
        credit_configuration=BitString.from_bits("01100"),
        preset_credit_amount=500,
        credit_available_threshold=100,
        period=NO_TIME,
    )


def charge(
    name: Obis,
    kind: ChargeType,
    price: UnitCharge,
    *,
    priority: int,
    period: int = 0,
    bits: str = "00",
    proportion: int = 0,
    remaining: int = 0,
) -> Charge:
    return Charge(
        name,
        charge_type=kind,
        priority=priority,
        unit_charge_active=price,
        unit_charge_passive=price,
        unit_charge_activation_time=NO_TIME,
        period=period,
        charge_configuration=BitString.from_bits(bits),
        proportion=proportion,
        total_amount_remaining=remaining,
    )


def charges() -> list[Charge]:
    """30 a kWh as it is used, 25 a day, and half of each payment until 1000 are paid."""
    return [
        charge(
            ENERGY_CHARGE,
            ChargeType.CONSUMPTION_BASED,
            unit_charge(30, ENERGY),
            priority=1,
            bits="01",
        ),
        charge(STANDING_CHARGE, ChargeType.TIME_BASED, unit_charge(25), priority=2, period=86_400),
        charge(
            DEBT,
            ChargeType.PAYMENT_EVENT_BASED,
            unit_charge(0),
            priority=3,
            bits="10",
            proportion=5_000,
            remaining=1_000,
        ),
    ]


class Meter:
    """All of it, and a disconnect unit in control mode 6."""

    def __init__(
        self,
        *,
        credits_: list[Credit] | None = None,
        charges_: list[Charge] | None = None,
        mode: PaymentMode = PaymentMode.PREPAYMENT,
        settings: AccountSettings | None = None,
    ) -> None:
        self.credits = [token_credit(), emergency_credit()] if credits_ is None else credits_
        self.charges = charges() if charges_ is None else charges_
        self.account = Account(
            ACCOUNT,
            account_mode_and_status=AccountModeAndStatus(mode, AccountStatus.NEW),
            clearance_threshold=0,
            credit_reference_list=tuple(each.logical_name for each in self.credits),
            charge_reference_list=tuple(each.logical_name for each in self.charges),
            credit_charge_configuration=(),
            token_gateway_configuration=(),
            account_activation_time=NO_TIME,
            account_closure_time=NO_TIME,
            currency=Currency("EUR", -2, CurrencyUnit.MONETARY),
            low_credit_threshold=200,
            next_credit_available_threshold=0,
            max_provision=0,
            max_provision_period=0,
        )
        self.breaker = Breaker()
        self.unit = Disconnector(self.breaker, mode=6)
        self.energy = Energy(self.breaker)
        self.accounting = payment(
            Accounting(
                self.account,
                self.credits,
                self.charges,
                commodities=self.energy,
                supply=OwnSupply(self.unit),
                settings=settings,
            )
        )
        self.tokens = Tokens()
        self.gateway_object = TokenGateway(GATEWAY)
        self.gateway = Gateway(self.tokens, self.accounting.top_up)
        self.gateway.bind(self.gateway_object)
        self.now_us = START
        self.tell()

    def tell(self, passed_us: int = 0) -> None:
        self.now_us += passed_us
        self.accounting.tick(self.now_us)
        self.gateway.tick(self.now_us)

    def activate(self) -> None:
        self.account.invocations[1](0)

    def credit(self, name: Obis) -> Credit:
        return next(each for each in self.credits if each.logical_name == name)

    def charge(self, name: Obis) -> Charge:
        return next(each for each in self.charges if each.logical_name == name)
