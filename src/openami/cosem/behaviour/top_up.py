# SPDX-License-Identifier: Apache-2.0
"""How a payment is spread over the credits of an account (DLMS UA 1000-1 Ed. 12, 4.6.2).

First the proportions of ``token_gateway_configuration``, rounded down; then what is owed, in the
order of priority; the rest goes to the first credit that receives tokens, or, if none says that it
does, to the first token credit.
"""

from collections.abc import Iterable, Sequence

from openami.cosem.behaviour.credit import CreditUnit, fitting
from openami.cosem.classes.payment import CreditConfiguration, CreditType, TokenGatewayConfiguration
from openami.cosem.model import Refused
from openami.dlms.apdu.codes import ActionResult


def shares(
    value: int,
    units: Sequence[CreditUnit],
    configuration: Iterable[TokenGatewayConfiguration],
    max_credit_limit: int | None = None,
) -> list[tuple[CreditUnit, int]]:
    """Return what of a payment goes to which credit; all of it goes somewhere.

    Args:
        value: Steps of the currency, not negative.
        units: The credits by priority.
        configuration: The proportions, in percent.
        max_credit_limit: The most that the receiving credit may hold.

    Raises:
        Refused: A limit would be passed, or no credit receives payments.
    """
    parts = [0] * len(units)
    for row in configuration:
        for index, unit in enumerate(units):
            if unit.name == row.credit_reference:
                parts[index] += value * row.token_proportion // 100
    left = value - sum(parts)
    for index, unit in enumerate(units):
        part = min(left, max(0, unit.owed - parts[index]))
        parts[index] += part
        left -= part
    if left:
        receiver = _receiver(units)
        parts[receiver] += left
        held = units[receiver].amount + parts[receiver]
        if max_credit_limit is not None and held > max_credit_limit:
            raise Refused(ActionResult.SCOPE_OF_ACCESS_VIOLATED)
    for unit, part in zip(units, parts, strict=True):
        fitting(unit.amount + part)
    return list(zip(units, parts, strict=True))


def _receiver(units: Sequence[CreditUnit]) -> int:
    told = [i for i, unit in enumerate(units) if unit.has(CreditConfiguration.RECEIVES_TOKENS)]
    tokens = [i for i, unit in enumerate(units) if unit.thing.credit_type == CreditType.TOKEN]
    if not (found := told or tokens):
        raise Refused(ActionResult.OBJECT_UNAVAILABLE)
    return found[0]
