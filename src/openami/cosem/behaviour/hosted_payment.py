# SPDX-License-Identifier: Apache-2.0
"""An account and its token gateway in a device that is brought to life (4.6.2 to 4.6.5).

The account finds its credits and charges by their references, registers by the references of its
charges, and the supply in the first disconnect control of the device, unless the host has a
`Supply` of its own under the account's name.  A gateway belongs to the account whose number is in
its own: 0.b.19.n.0 and 0.b.19.(40 + n).e, or else to the only one; its decoder is the host's.
"""

from enum import IntEnum
from typing import Any, Final

from openami.cosem.behaviour.account import Accounting
from openami.cosem.behaviour.account_state import AccountState
from openami.cosem.behaviour.disconnection import DisconnectUnit
from openami.cosem.behaviour.host import Life
from openami.cosem.behaviour.payment import payment
from openami.cosem.behaviour.supply import OwnSupply, Supply
from openami.cosem.behaviour.token_gateway import Gateway, TokenDecoder, TokenGatewayState
from openami.cosem.classes.measurement import (
    SCALER_UNIT,
    DemandRegister,
    ExtendedRegister,
    Register,
)
from openami.cosem.classes.payment import (
    Account,
    AccountStatus,
    Charge,
    ChargeType,
    Credit,
    CreditStatus,
    PaymentMode,
    TokenGateway,
)
from openami.cosem.classes.references import AttributeReference
from openami.cosem.kinds import NUMBER, KindError
from openami.cosem.model import InterfaceClass, Refused
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.obis import Obis

_SCALERS: Final = {
    Register.class_id: Register.scaler_unit.index,
    ExtendedRegister.class_id: ExtendedRegister.scaler_unit.index,
    DemandRegister.class_id: DemandRegister.scaler_unit.index,
}
_CREDIT_NEEDS: Final = (3, 4, 6, 7, 9, 10)
_CHARGE_NEEDS: Final = (3, 4, 5, 6, 7, 8, 9, 13)
_GATEWAYS_FROM: Final = 40


class NoSupply:
    """A supply that nothing can open."""

    def is_connected(self) -> bool:
        return True

    def disconnect(self) -> None:
        """Leave it closed."""

    def reconnect(self) -> None:
        """Leave it closed."""


class _Registers:
    """Commodities as the registers of the device count them."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def consumed(self, reference: AttributeReference) -> tuple[int, int]:
        class_id, at, attribute = reference
        inside = self._life.inside
        try:
            value = NUMBER.from_data(inside.read(class_id, at, attribute))
            row = _SCALERS.get(class_id)
            if row is None:
                return value, 0
            return value, SCALER_UNIT.from_data(inside.read(class_id, at, row)).scaler
        except KindError:
            raise Refused(DataAccessResult.TYPE_UNMATCHED) from None


def _is_known(codes: type[IntEnum], code: int) -> bool:
    return code in set(codes)


class LivingAccount:
    """One account; its objects are taken up when all are there.

    Attributes:
        accounting: Its behaviour, once it has begun.
    """

    def __init__(self, thing: Account, life: Life) -> None:
        self._thing, self._life = thing, life
        self.accounting: Accounting | None = None

    def begin(self) -> None:
        """Take up credits, charges and supply."""
        thing, life = self._thing, self._life
        mode, status = thing.account_mode_and_status
        if not (_is_known(PaymentMode, mode) and _is_known(AccountStatus, status)):
            life.report(
                thing.logical_name, f"mode {mode} and status {status} are none known: it rests"
            )
            return
        credits_ = [
            each
            for each in self._listed(thing.credit_reference_list, _CREDIT_NEEDS)
            if isinstance(each, Credit)
            and self._has_known(each, CreditStatus, each.values.get(8, CreditStatus.ENABLED))
        ]
        charges = [
            each
            for each in self._listed(thing.charge_reference_list, _CHARGE_NEEDS)
            if isinstance(each, Charge) and self._has_known(each, ChargeType, each.charge_type)
        ]
        self.accounting = payment(
            Accounting(
                thing,
                credits_,
                charges,
                commodities=_Registers(life),
                supply=self._supply(),
                zone=life.zone,
            )
        )

    def _listed(self, names: tuple[Obis, ...], needs: tuple[int, ...]) -> list[InterfaceClass]:
        found = []
        for name in names:
            try:
                each = self._life.device[name]
            except KeyError:
                self._life.report(self._thing.logical_name, f"there is no object {name}")
                continue
            missing = [index for index in needs if index not in each.values]
            if missing:
                numbers = ", ".join(map(str, missing))
                self._life.report(name, f"{each!r} has no value for attribute {numbers}: it rests")
            else:
                found.append(each)
        return found

    def _has_known(self, thing: InterfaceClass, codes: type[IntEnum], code: int) -> bool:
        known = _is_known(codes, code)
        if not known:
            self._life.report(
                thing.values[1], f"{codes.__name__} {code} of {thing!r} is none known: it rests"
            )
        return known

    def _supply(self) -> Supply:
        port = self._life.host.port(self._thing.logical_name)
        if isinstance(port, Supply):
            return port
        for each in self._life.acting.values():
            if isinstance(each, DisconnectUnit):
                return OwnSupply(each.unit)
        return NoSupply()

    def due_us(self) -> int | None:
        return None if self.accounting is None else self.accounting.due_us()

    def tick(self, now_us: int) -> None:
        if self.accounting is not None:
            self.accounting.tick(now_us)

    def state(self) -> AccountState | None:
        """Return what must not be lost."""
        return None if self.accounting is None else self.accounting.state()

    def restore(self, state: Any) -> None:  # noqa: ANN401  an AccountState
        """Go on from a state."""
        if self.accounting is not None and state is not None:
            self.accounting.restore(state)


class LivingGateway:
    """One token gateway; its account is taken up when it is there.

    Attributes:
        gateway: Its behaviour, once it has begun; None without a decoder or an account.
    """

    def __init__(self, thing: TokenGateway, life: Life) -> None:
        self._thing, self._life = thing, life
        self.gateway: Gateway | None = None

    def begin(self) -> None:
        """Take up the decoder and the account."""
        at = self._thing.logical_name
        decoder = self._life.host.port(at)
        accounts = {
            name: each
            for name, each in self._life.acting.items()
            if isinstance(each, LivingAccount)
        }
        own = Obis(0, at.b, 19, at.d - _GATEWAYS_FROM, 0, 255) if at.d >= _GATEWAYS_FROM else at
        account = accounts.get(own)
        if account is None and len(accounts) == 1:
            account = next(iter(accounts.values()))
        if account is None or not isinstance(decoder, TokenDecoder):
            lacks = "account" if account is None else "decoder of tokens"
            self._life.report(at, f"{self._thing!r} has no {lacks}: it rests")
            return
        found = account

        def top_up(value: int) -> None:
            if found.accounting is None:
                raise Refused(DataAccessResult.TEMPORARY_FAILURE)
            found.accounting.tick(self._life.now_us())
            found.accounting.top_up(value)

        self.gateway = Gateway(decoder, top_up, zone=self._life.zone)
        self.gateway.tick(self._life.now_us())
        self.gateway.bind(self._thing)

    def due_us(self) -> int | None:
        return None if self.gateway is None else self.gateway.due_us()

    def tick(self, now_us: int) -> None:
        if self.gateway is not None:
            self.gateway.tick(now_us)

    def state(self) -> TokenGatewayState | None:
        """Return what must not be lost."""
        return None if self.gateway is None else self.gateway.state()

    def restore(self, state: Any) -> None:  # noqa: ANN401  a TokenGatewayState
        """Go on from a state."""
        if self.gateway is not None and state is not None:
            self.gateway.restore(state)


def bind_account(thing: Account, life: Life) -> LivingAccount:
    """Let an account collect charges from credits."""
    for row in (
        Account.credit_charge_configuration,
        Account.token_gateway_configuration,
        Account.charge_reference_list,
    ):
        thing.values.setdefault(row.index, ())
    for amount in (
        Account.clearance_threshold,
        Account.low_credit_threshold,
        Account.max_provision,
        Account.max_provision_period,
    ):
        thing.values.setdefault(amount.index, 0)
    return LivingAccount(thing, life)


def bind_token_gateway(thing: TokenGateway, life: Life) -> LivingGateway:
    """Let a gateway take tokens that the host's decoder knows."""
    return LivingGateway(thing, life)
