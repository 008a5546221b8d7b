# SPDX-License-Identifier: Apache-2.0
"""Interface classes of payment metering (DLMS UA 1000-1 Ed. 12, 4.6).

An account holds credits, from which charges are collected; tokens come in through a gateway.
Amounts are integers in the account's currency and scale.  What happens when is not here.
"""

from enum import IntEnum
from typing import Final, NamedTuple

from openami.cosem.choices import UTF8_STRING, VISIBLE_STRING, bits, coded
from openami.cosem.classes.references import ATTRIBUTE_REFERENCE, AttributeReference
from openami.cosem.kinds import (
    DATE_TIME,
    DOUBLE_LONG,
    DOUBLE_LONG_UNSIGNED,
    INTEGER,
    LOGICAL_NAME,
    LONG,
    LONG64_UNSIGNED,
    LONG_UNSIGNED,
    OCTETS,
    TAGGED_DATE_TIME,
    UNSIGNED,
    array,
    structure,
)
from openami.cosem.model import Access, Attribute, InterfaceClass, Method
from openami.dlms.data import BitString
from openami.dlms.obis import Obis

_RW: Final = Access.READ_WRITE
_AS_ACCOUNT: Final = "type as in class 111"


class PaymentMode(IntEnum):
    """Whether supply is paid for afterwards or before."""

    CREDIT = 1
    PREPAYMENT = 2


class AccountStatus(IntEnum):
    """How far an account has come."""

    NEW = 1
    ACTIVE = 2
    CLOSED = 3


class AccountModeAndStatus(NamedTuple):
    """Payment mode and status of an account."""

    payment_mode: int
    account_status: int


class CurrentCreditStatus(IntEnum):
    """Bits of `current_credit_status`."""

    IN_CREDIT = 0
    LOW_CREDIT = 1
    NEXT_CREDIT_ENABLED = 2
    NEXT_CREDIT_SELECTABLE = 3
    NEXT_CREDIT_SELECTED = 4  # sources name it differently
    SELECTABLE_CREDIT_IN_USE = 5
    OUT_OF_CREDIT = 6


class CollectionConfiguration(IntEnum):
    """Bits: when a charge is collected from a credit."""

    WHEN_DISCONNECTED = 0
    IN_LOAD_LIMITING = 1
    IN_FRIENDLY_CREDIT = 2


class CreditChargeConfiguration(NamedTuple):
    """Which charge is collected from which credit, and when."""

    credit_reference: Obis
    charge_reference: Obis
    collection_configuration: BitString


class TokenGatewayConfiguration(NamedTuple):
    """What part of a token, in percent, goes to a credit at least."""

    credit_reference: Obis
    token_proportion: int


class CurrencyUnit(IntEnum):
    """What amounts count."""

    TIME = 0
    CONSUMPTION = 1
    MONETARY = 2


class Currency(NamedTuple):
    """Name, power of ten and unit of amounts."""

    currency_name: str
    currency_scale: int
    currency_unit: int


class Account(InterfaceClass, class_id=111, version=0):
    """Sums up the credits and charges of one contract (4.6.2)."""

    account_mode_and_status = Attribute(
        2,
        structure(AccountModeAndStatus, coded(PaymentMode), coded(AccountStatus)),
        dynamic=True,
    )
    current_credit_in_use = Attribute(3, UNSIGNED, dynamic=True)
    current_credit_status = Attribute(
        4, bits(codes=CurrentCreditStatus), dynamic=True, unsure="name of bit 4: single source"
    )
    available_credit = Attribute(5, DOUBLE_LONG, dynamic=True)
    amount_to_clear = Attribute(6, DOUBLE_LONG, dynamic=True)
    clearance_threshold = Attribute(7, DOUBLE_LONG, access=_RW)
    aggregated_debt = Attribute(8, DOUBLE_LONG, dynamic=True)
    credit_reference_list = Attribute(9, array(LOGICAL_NAME), access=_RW)
    charge_reference_list = Attribute(10, array(LOGICAL_NAME), access=_RW)
    credit_charge_configuration = Attribute(
        11,
        array(
            structure(
                CreditChargeConfiguration,
                LOGICAL_NAME,
                LOGICAL_NAME,
                bits(3, CollectionConfiguration),
            )
        ),
        access=_RW,
    )
    token_gateway_configuration = Attribute(
        12, array(structure(TokenGatewayConfiguration, LOGICAL_NAME, UNSIGNED)), access=_RW
    )
    account_activation_time = Attribute(13, DATE_TIME, access=_RW)
    account_closure_time = Attribute(14, DATE_TIME, access=_RW)
    currency = Attribute(
        15, structure(Currency, UTF8_STRING, INTEGER, coded(CurrencyUnit)), access=_RW
    )
    low_credit_threshold = Attribute(16, DOUBLE_LONG, access=_RW)
    next_credit_available_threshold = Attribute(17, DOUBLE_LONG, dynamic=True)  # of a credit
    max_provision = Attribute(18, LONG_UNSIGNED, access=_RW)
    max_provision_period = Attribute(19, DOUBLE_LONG, access=_RW)

    activate_account = Method(1)
    close_account = Method(2)
    reset_account = Method(3)


class CreditType(IntEnum):
    """What kind of credit it is."""

    TOKEN = 0
    RESERVED = 1
    EMERGENCY = 2
    TIME_BASED = 3
    CONSUMPTION_BASED = 4


class CreditStatus(IntEnum):
    """How far a credit has come."""

    ENABLED = 0
    SELECTABLE = 1
    INVOKED = 2
    IN_USE = 3
    EXHAUSTED = 4


class CreditConfiguration(IntEnum):
    """Bits of `credit_configuration`."""

    VISUAL_INDICATION = 0
    CONFIRMATION = 1
    PAY_BACK = 2
    RESETTABLE = 3
    RECEIVES_TOKENS = 4


class Credit(InterfaceClass, class_id=112, version=0):
    """One source of credit (4.6.3)."""

    current_credit_amount = Attribute(2, DOUBLE_LONG, dynamic=True)
    credit_type = Attribute(3, coded(CreditType), access=_RW)
    priority = Attribute(4, UNSIGNED, access=_RW)
    warning_threshold = Attribute(5, DOUBLE_LONG, access=_RW)
    limit = Attribute(6, DOUBLE_LONG, access=_RW)
    credit_configuration = Attribute(7, bits(5, CreditConfiguration), access=_RW)
    credit_status = Attribute(8, coded(CreditStatus), dynamic=True)
    preset_credit_amount = Attribute(9, DOUBLE_LONG, access=_RW, unsure="type as attribute 2")
    credit_available_threshold = Attribute(
        10, DOUBLE_LONG, access=_RW, unsure="type as attribute 2"
    )
    period = Attribute(11, DATE_TIME, access=_RW)

    update_amount = Method(1, DOUBLE_LONG)
    set_amount_to_value = Method(2, DOUBLE_LONG)
    invoke_credit = Method(3)


class ChargeType(IntEnum):
    """What makes a charge grow."""

    CONSUMPTION_BASED = 0
    TIME_BASED = 1
    PAYMENT_EVENT_BASED = 2


class ChargeConfiguration(IntEnum):
    """Bits of `charge_configuration`."""

    PERCENTAGE_BASED = 0
    CONTINUOUS_COLLECTION = 1


class ChargePerUnitScaling(NamedTuple):
    """Powers of ten of the commodity and of the price."""

    commodity_scale: int
    price_scale: int


class ChargeTableElement(NamedTuple):
    """The price under one index, as a rule a tariff."""

    charge_index: bytes
    charge_per_unit: int


class UnitCharge(NamedTuple):
    """What a unit of a commodity costs."""

    charge_per_unit_scaling: ChargePerUnitScaling
    commodity_reference: AttributeReference
    charge_table: tuple[ChargeTableElement, ...]


_UNIT_CHARGE = structure(
    UnitCharge,
    structure(ChargePerUnitScaling, INTEGER, INTEGER),
    ATTRIBUTE_REFERENCE,
    array(structure(ChargeTableElement, OCTETS, LONG)),
)


class Charge(InterfaceClass, class_id=113, version=0):
    """One reason to collect credit (4.6.4)."""

    total_amount_paid = Attribute(2, DOUBLE_LONG, dynamic=True)
    charge_type = Attribute(3, coded(ChargeType), access=_RW)
    priority = Attribute(4, UNSIGNED, access=_RW, unsure="type as in class 112")
    unit_charge_active = Attribute(5, _UNIT_CHARGE)
    unit_charge_passive = Attribute(6, _UNIT_CHARGE, access=_RW)
    unit_charge_activation_time = Attribute(7, DATE_TIME, access=_RW, unsure=_AS_ACCOUNT)
    period = Attribute(8, DOUBLE_LONG_UNSIGNED, access=_RW)  # seconds
    charge_configuration = Attribute(9, bits(2, ChargeConfiguration), access=_RW)
    last_collection_time = Attribute(10, TAGGED_DATE_TIME, dynamic=True)
    last_collection_amount = Attribute(11, DOUBLE_LONG, dynamic=True)
    total_amount_remaining = Attribute(12, DOUBLE_LONG, dynamic=True)
    proportion = Attribute(13, LONG_UNSIGNED, access=_RW)

    update_unit_charge = Method(1)
    activate_passive_unit_charge = Method(2)
    collect = Method(3)
    update_total_amount_remaining = Method(4, DOUBLE_LONG, unsure="type as attribute 12")
    set_total_amount_remaining = Method(5, DOUBLE_LONG, unsure="type as attribute 12")


class TokenDeliveryMethod(IntEnum):
    """How a token came in."""

    REMOTE = 0
    LOCAL = 1
    MANUAL = 2


class TokenStatusCode(IntEnum):
    """How far a token has come, or why it was refused."""

    FORMAT_OK = 0
    AUTHENTICATION_OK = 1
    VALIDATION_OK = 2
    EXECUTION_OK = 3
    FORMAT_FAILURE = 4
    AUTHENTICATION_FAILURE = 5
    VALIDATION_FAILURE = 6
    EXECUTION_FAILURE = 7
    RECEIVED = 8  # and not yet processed


class TokenStatus(NamedTuple):
    """Status of a token and what its maker adds."""

    status_code: int
    data_value: BitString


class TokenGateway(InterfaceClass, class_id=115, version=0):
    """Takes tokens and says what became of the last one (4.6.5)."""

    token = Attribute(2, OCTETS, dynamic=True)
    token_time = Attribute(3, DATE_TIME, dynamic=True)
    token_description = Attribute(4, array(OCTETS), dynamic=True)
    token_delivery_method = Attribute(5, coded(TokenDeliveryMethod), dynamic=True)
    token_status = Attribute(
        6, structure(TokenStatus, coded(TokenStatusCode), bits()), dynamic=True
    )

    enter = Method(1, OCTETS)


class MeterPan(NamedTuple):
    """The number printed on a payment meter."""

    issuer_id: int
    decoder_reference_number: int
    check_digit: int


class Iec62055Attributes(InterfaceClass, class_id=116, version=0):
    """The state of an STS token meter (IEC 62055-41).

    Attributes 6 to 10 change by key-change tokens only.
    """

    meter_pan = Attribute(2, structure(MeterPan, DOUBLE_LONG_UNSIGNED, LONG64_UNSIGNED, UNSIGNED))
    commodity = Attribute(3, VISIBLE_STRING)
    token_carrier_types = Attribute(4, array(UNSIGNED))
    encryption_algorithm = Attribute(5, UNSIGNED)
    supply_group_code = Attribute(6, DOUBLE_LONG_UNSIGNED, dynamic=True)
    tariff_index = Attribute(7, UNSIGNED, dynamic=True)
    key_revision_number = Attribute(8, UNSIGNED, dynamic=True)
    key_type = Attribute(9, UNSIGNED, dynamic=True)
    key_expiry_number = Attribute(10, UNSIGNED, dynamic=True)
    no_of_kct_supported = Attribute(11, UNSIGNED)
    sts_certificate_no = Attribute(12, VISIBLE_STRING)
