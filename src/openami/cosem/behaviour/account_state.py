# SPDX-License-Identifier: Apache-2.0
"""The life of an account, what sources leave open about it, and what of it must not be lost.

DLMS UA 1000-1 Ed. 12, 4.6.2.  What happens in that life is `account`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from openami.cosem.behaviour.charge import ChargeState
from openami.cosem.behaviour.credit import CreditState
from openami.cosem.behaviour.localtime import DAY_US, SECOND_US
from openami.cosem.classes.payment import AccountStatus, PaymentMode
from openami.dlms.datetimes import CosemDateTime


class AccountEvent(Enum):
    """What moves an account from one status to another."""

    ACTIVATE = "activate_account, or its time has come"
    CLOSE = "close_account, or its time has come"
    RESET = "reset_account"


TRANSITIONS: Final[Mapping[tuple[AccountStatus, AccountEvent], AccountStatus]] = {
    (AccountStatus.NEW, AccountEvent.ACTIVATE): AccountStatus.ACTIVE,
    (AccountStatus.ACTIVE, AccountEvent.CLOSE): AccountStatus.CLOSED,
    (AccountStatus.CLOSED, AccountEvent.RESET): AccountStatus.NEW,
}
"""What is not here is refused."""

NO_TIME: Final = CosemDateTime(year=None, month=None, day=None, hour=None, minute=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountSettings:
    """What the sources leave open, and limits that other objects hold.

    Attributes:
        first_index: Number of the first credit in `current_credit_in_use`.
        no_index: The number when no credit is in use.
        proportion_whole: What `proportion` of a charge counts as all of a payment.
        max_credit_limit: The most that the receiving credit may hold; None for no limit.
        max_vend_limit: The largest payment; None for no limit.
        sampling_us: How often consumption is looked at, in microseconds.
        longest_gap_us: The longest outage.  What is told beyond it is a clock that was set, and no
            time for which anything is charged.
    """

    first_index: int = 1
    no_index: int = 0
    proportion_whole: int = 10_000
    max_credit_limit: int | None = None
    max_vend_limit: int | None = None
    sampling_us: int = 60 * SECOND_US
    longest_gap_us: int = 366 * DAY_US


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountState:
    """What of an account a power cut must not lose; times in microseconds UTC."""

    mode: PaymentMode
    status: AccountStatus
    told_us: int | None
    out: bool
    provision_since_us: int | None
    provision_used: int
    tariff: bytes
    credits: tuple[CreditState, ...]
    charges: tuple[ChargeState, ...]
