# SPDX-License-Identifier: Apache-2.0
"""The answer to ACCESS: several reads, writes and methods in one exchange.

DLMS UA 1000-2 Ed. 10, 9.3.9.  Items are carried out in their order, each with a result of its own.
The service has no blocks of its own: what does not fit needs general block transfer.

With break-on-error nothing behind the first item that fails is carried out; what was left out
answers with other-reason and null-data, so that each item keeps its place (our reading; unsure).
With self-descriptive the response repeats the specifications of the request.
"""

from typing import Final

from openami.cosem.model import Refused
from openami.cosem.serving import items
from openami.cosem.serving.faults import NotNegotiated
from openami.cosem.serving.services import CLAUSE, ServiceContext
from openami.dlms import data as axdr_data
from openami.dlms.apdu.access import (
    AccessAction,
    AccessGet,
    AccessOutcome,
    AccessRequest,
    AccessResponse,
    AccessSet,
    AccessSpecification,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import Absent
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import Data
from openami.dlms.errors import DecodeError

GET: Final = 1
SET: Final = 2
ACTION: Final = 3


class AccessService:
    """Answers access-requests."""

    __slots__ = ("_context",)

    def __init__(self, context: ServiceContext) -> None:
        self._context = context

    def answer(self, apdu: bytes) -> bytes:
        """Return the access-response to an access-request; raises as `GetService.answer`."""
        self._context.require(Conformance.ACCESS)
        request = AccessRequest.decode(apdu)
        if len(request.values) != len(request.specifications):
            problem = f"{len(request.values)} values for {len(request.specifications)} items"
            raise DecodeError(problem, apdu, len(apdu), CLAUSE)
        invoke_id = request.long_invoke_id_and_priority
        values: list[bytes] = []
        outcomes: list[AccessOutcome] = []
        broken = False
        for item, value in zip(request.specifications, request.values, strict=True):
            octets, outcome = _left_out(item) if broken else self._carry_out(item, value)
            values.append(octets)
            outcomes.append(outcome)
            broken = broken or (invoke_id.break_on_error and bool(outcome.result))
        response = AccessResponse(
            long_invoke_id_and_priority=invoke_id,
            specifications=request.specifications if invoke_id.self_descriptive else None,
            values=(),
            outcomes=tuple(outcomes),
        )
        return response.encode_with(values)

    def _carry_out(self, item: AccessSpecification, value: Data) -> tuple[bytes, AccessOutcome]:
        match item:
            case AccessGet():
                return self._get(item)
            case AccessSet():
                return self._set(item, value)
            case AccessAction():
                return self._action(item, value)

    def _get(self, item: AccessGet) -> tuple[bytes, AccessOutcome]:
        octets, result = items.NULL_DATA, DataAccessResult.SUCCESS
        try:
            octets = items.read(self._context, item.attribute, item.access)
        except Refused as refused:
            result = DataAccessResult(refused.result)
        except NotNegotiated:  # the items before it may have been carried out: no exception now
            result = DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        return octets, AccessOutcome(choice=GET, result=result)

    def _set(self, item: AccessSet, value: Data) -> tuple[bytes, AccessOutcome]:
        result = items.write(self._context, item.attribute, item.access, value)
        return items.NULL_DATA, AccessOutcome(choice=SET, result=result)

    def _action(self, item: AccessAction, value: Data) -> tuple[bytes, AccessOutcome]:
        outcome = items.invoke(self._context, item.method, value)
        given = outcome.return_parameters
        octets = items.NULL_DATA
        if not isinstance(given, Absent | DataAccessResult):
            octets = axdr_data.encode(given)
        return octets, AccessOutcome(choice=ACTION, result=outcome.result)


def _left_out(item: AccessSpecification) -> tuple[bytes, AccessOutcome]:
    match item:
        case AccessGet():
            outcome = AccessOutcome(choice=GET, result=DataAccessResult.OTHER_REASON)
        case AccessSet():
            outcome = AccessOutcome(choice=SET, result=DataAccessResult.OTHER_REASON)
        case AccessAction():
            outcome = AccessOutcome(choice=ACTION, result=ActionResult.OTHER_REASON)
    return items.NULL_DATA, outcome
