# SPDX-License-Identifier: Apache-2.0
"""What a client asks for with ACCESS, and what it learns (DLMS UA 1000-2 Ed. 10, 9.3.9).

::

    energy, note = yield from client.access((Read(Register.value, at=energy), Write(...)))
    energy.value    # what the class declares, or None with energy.result telling why
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, NamedTuple, TypeAlias, TypeVar

from openami.cosem.kinds import KindError
from openami.cosem.model import Attribute, Method
from openami.cosem.refusals import UnexpectedAnswerError
from openami.dlms.apdu.access import (
    AccessAction,
    AccessGet,
    AccessRequest,
    AccessResponse,
    AccessSet,
    AccessSpecification,
)
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import AttributeDescriptor, MethodDescriptor, SelectiveAccess
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.selective import ByEntry, ByRange
from openami.dlms.data import Data
from openami.dlms.obis import Obis

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

Selection: TypeAlias = ByRange | ByEntry | SelectiveAccess
"""Which part of an attribute."""

_REQUEST: Final = "an access request"


def selective(selection: Selection) -> SelectiveAccess:
    """Return the selective access that travels."""
    return selection if isinstance(selection, SelectiveAccess) else selection.access()


@dataclass(frozen=True, slots=True)
class Read(Generic[T]):
    """Read one attribute, or a part of it."""

    attribute: Attribute[T]
    at: Obis
    selection: Selection | None = None

    def specification(self) -> AccessGet:
        """Return the item that travels."""
        access = None if self.selection is None else selective(self.selection)
        return AccessGet(attribute=_descriptor(self.attribute, self.at), access=access)

    def data(self) -> Data:
        """Return what travels beside it."""
        return None

    def value(self, data: Data) -> T:
        """Return what came back, as the class declares it."""
        return self.attribute.kind.from_data(data)


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """Write one attribute."""

    attribute: Attribute[T]
    new: T
    at: Obis

    def specification(self) -> AccessSet:
        """Return the item that travels."""
        return AccessSet(attribute=_descriptor(self.attribute, self.at))

    def data(self) -> Data:
        """Return what travels beside it."""
        return self.attribute.kind.to_data(self.new)

    def value(self, data: Data) -> None:
        """Return nothing: a write gives nothing back."""


@dataclass(frozen=True, slots=True)
class Invoke(Generic[A, R]):
    """Invoke one method."""

    method: Method[A, R]
    argument: A
    at: Obis

    def specification(self) -> AccessAction:
        """Return the item that travels."""
        method = self.method
        descriptor = MethodDescriptor(
            class_id=method.owner.class_id, instance_id=self.at, method_id=method.index
        )
        return AccessAction(method=descriptor)

    def data(self) -> Data:
        """Return what travels beside it."""
        return self.method.argument.to_data(self.argument)

    def value(self, data: Data) -> R:
        """Return what came back, as the class declares it."""
        return self.method.result.from_data(data)


Operation: TypeAlias = Read[Any] | Write[Any] | Invoke[Any, Any]


class Accessed(NamedTuple):
    """How one operation ended."""

    operation: Operation
    result: DataAccessResult | ActionResult
    value: Any
    """What the class declares; None where there is nothing, or `result` is no success."""


def request_of(
    operations: Sequence[Operation], invoke_id: LongInvokeIdAndPriority
) -> AccessRequest:
    """Return the access-request for several operations."""
    return AccessRequest(
        long_invoke_id_and_priority=invoke_id,
        specifications=tuple(each.specification() for each in operations),
        values=tuple(each.data() for each in operations),
    )


def results_of(
    operations: Sequence[Operation], request: AccessRequest, octets: bytes
) -> list[Accessed]:
    """Read the access-response.

    Raises:
        UnexpectedAnswerError: It answers something else, or a value has another type than declared.
    """
    response = AccessResponse.decode(octets)
    _check(request, response)
    found: list[Accessed] = []
    for operation, data, outcome in zip(
        operations, response.values, response.outcomes, strict=True
    ):
        value = None
        if not outcome.result:
            try:
                value = operation.value(data)
            except KindError as error:
                raise UnexpectedAnswerError(_REQUEST, str(error)) from None
        found.append(Accessed(operation, outcome.result, value))
    return found


def _check(request: AccessRequest, response: AccessResponse) -> None:
    asked = request.long_invoke_id_and_priority.long_invoke_id
    told = response.long_invoke_id_and_priority.long_invoke_id
    problem = None
    if told != asked:
        problem = f"it answers request {told}, not {asked}"
    elif response.specifications not in {None, request.specifications}:
        problem = "it repeats other specifications than it was asked with"
    elif [each.choice for each in response.outcomes] != list(map(_choice, request.specifications)):
        problem = "its results are not those of the operations"
    elif len(response.values) != len(response.outcomes):
        problem = f"{len(response.values)} values for {len(response.outcomes)} operations"
    if problem is not None:
        raise UnexpectedAnswerError(_REQUEST, problem)


def _choice(specification: AccessSpecification) -> int:
    match specification:
        case AccessGet():
            return 1
        case AccessSet():
            return 2
        case AccessAction():
            return 3


def _descriptor(attribute: Attribute[Any], at: Obis) -> AttributeDescriptor:
    return AttributeDescriptor(
        class_id=attribute.owner.class_id, instance_id=at, attribute_id=attribute.index
    )
