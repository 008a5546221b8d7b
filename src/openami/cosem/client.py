# SPDX-License-Identifier: Apache-2.0
"""The services that a client asks for: GET, SET, ACTION and ACCESS, whole or in blocks.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.9.  Each service is a generator after the contract of
`asking.association`: it yields APDUs to send and is sent those that came back.  A row of an
interface class says what travels and what comes back: ``get(Register.value, at=energy)`` returns
an `int`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeVar

from openami.cosem.asking.access import (
    Accessed,
    Operation,
    Selection,
    request_of,
    results_of,
    selective,
)
from openami.cosem.asking.association import (
    LONGEST_VALUE_OCTETS,
    ClientAssociation,
    ClientParameters,
    Entropy,
    Steps,
)
from openami.cosem.asking.lists import act_list, get_list, set_list
from openami.cosem.asking.rows import descriptor_of, name_of, place_of, row_descriptor, row_name
from openami.cosem.asking.short_names import Report, ShortNameServices
from openami.cosem.asking.transfer import (
    IDS,
    blocks_of_get,
    invoke,
    tell_to_invoke,
    tell_to_write,
    write,
)
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    ObjectListElement,
)
from openami.cosem.classes.measurement import ProfileGeneric
from openami.cosem.kinds import KindError
from openami.cosem.model import Attribute, InterfaceClass, Method
from openami.cosem.refusals import AccessError, UnexpectedAnswerError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.action import ActionOutcome
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import Absent, AttributeDescriptor, MethodDescriptor, encode_access
from openami.dlms.apdu.get import GetDataResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.invocation import LongInvokeIdAndPriority
from openami.dlms.apdu.selective import ByRange, CaptureObject
from openami.dlms.apdu.write import InformationReport
from openami.dlms.data import Data, OctetString, Structure
from openami.dlms.datetimes import CosemDateTime
from openami.dlms.errors import LocalProtocolError
from openami.dlms.obis import Obis
from openami.dlms.security.counters import CounterBlock, ReceiveWindow

T = TypeVar("T")
A = TypeVar("A")
R = TypeVar("R")

__all__ = [
    "LONGEST_VALUE_OCTETS",
    "Client",
    "ClientParameters",
    "Selection",
    "Steps",
    "name_of",
]

CLOCK: Final = Obis(0, 0, 1, 0, 0, 255)

_GET_HEADS: Final = tuple(bytes((0xC0, 0x01, octet)) for octet in IDS)
_VALUE_HEADS: Final = tuple(bytes((0xC4, 0x01, octet, 0x00)) for octet in IDS)
_GET: Final = int(Conformance.GET)
_SELECTIVE: Final = int(Conformance.GET | Conformance.SELECTIVE_ACCESS)


class ListedObject(NamedTuple):
    """One object that a client can see."""

    class_id: int
    version: int
    logical_name: Obis


class Client(ClientAssociation):
    """A client's association with its services.

    They travel by logical name, or by short name where the parameters say so; the same calls do
    the same either way.  Lists to write and to invoke, attribute 0 and ACCESS exist by logical
    name alone.
    """

    _invoke_id = 0
    _long_invoke_id = 0

    def __init__(
        self,
        parameters: ClientParameters,
        *,
        entropy: Entropy,
        counters: CounterBlock | None = None,
        window: ReceiveWindow | None = None,
    ) -> None:
        """Prepare a client; see `ClientAssociation`."""
        super().__init__(parameters, entropy=entropy, counters=counters, window=window)
        names = parameters.short_names
        self._short = None if names is None else ShortNameServices(self, names)

    def get(
        self, attribute: Attribute[T], *, at: Obis, selection: Selection | None = None
    ) -> Steps[T]:
        """Read one attribute, as the value its class declares.

        Raises:
            AccessError: The meter refuses.
            UnexpectedAnswerError: The value has another type than declared.
        """
        octets = yield from self._get(row_descriptor(attribute, at), selection)
        value = axdr_data.decode(octets)
        try:
            return attribute.kind.from_data(value)
        except KindError as error:
            raise UnexpectedAnswerError(f"read {row_name(attribute, at)}", str(error)) from None

    def get_data(
        self, class_id: int, at: Obis, index: int, *, selection: Selection | None = None
    ) -> Steps[Data]:
        """Read one attribute of any class, as COSEM data."""
        octets = yield from self.get_raw(class_id, at, index, selection=selection)
        return axdr_data.decode(octets)

    def get_raw(
        self, class_id: int, at: Obis, index: int, *, selection: Selection | None = None
    ) -> Steps[bytes]:
        """Read one attribute, as the octets of its encoded data; all blocks are joined."""
        return self._get(descriptor_of(class_id, at, index), selection)

    def _get(self, descriptor: bytes, selection: Selection | None) -> Steps[bytes]:
        if (short := self._short) is not None:
            part = None if selection is None else selective(selection)
            place = place_of(descriptor)
            return (yield from short.read(place, part, name_of(*place)))
        wanted = _GET if selection is None else _SELECTIVE
        if wanted & self._granted != wanted:
            self.require(Conformance(wanted), "a read request")
        number = self._next_id()
        access = b"\x00" if selection is None else encode_access(selective(selection))
        answer = yield from self.exchange(
            _GET_HEADS[number] + descriptor + access, "a read request"
        )
        if answer[:4] == _VALUE_HEADS[number]:
            return answer[4:]
        what = name_of(*place_of(descriptor))
        # There are meters whose refusals do not repeat the invoke-id.
        if len(answer) == 5 and answer[:2] == b"\xc4\x01" and answer[3] == 1:
            raise AccessError("read", what, DataAccessResult(answer[4]))
        return (yield from blocks_of_get(self, answer, number, what))

    def get_list(self, rows: Sequence[tuple[Attribute[Any], Obis]]) -> Steps[list[GetDataResult]]:
        """Read several attributes: for each its data, or why there is none.

        As many as fit go into one request; a meter without multiple references is asked for one
        at a time.
        """
        if (short := self._short) is not None:
            return (
                yield from short.read_list(
                    [(attribute.owner.class_id, at, attribute.index) for attribute, at in rows]
                )
            )
        found: list[GetDataResult] = []
        fit = (self.pdu_room_octets - 6) // 10
        if not self.context.conformance & Conformance.MULTIPLE_REFERENCES or fit < 2:
            for attribute, at in rows:
                found.append((yield from self._get_or_reason(attribute, at)))
            return found
        for start in range(0, len(rows), fit):
            part = rows[start : start + fit]
            results = yield from get_list(self, part, self._next_id())
            if len(results) != len(part):
                problem = f"{len(results)} results for {len(part)} attributes"
                raise UnexpectedAnswerError("a list of attributes", problem)
            found.extend(results)
        return found

    def get_all(self, declared: type[InterfaceClass], *, at: Obis) -> Steps[dict[str, Any]]:
        """Read all attributes of an object in one request, by attribute 0: values by their name.

        An attribute that this client may not read, or that has no value, is None.

        Raises:
            AccessError: The meter refuses.
            NotNegotiatedError: It does not know attribute 0.
            UnexpectedAnswerError: The object has other attributes than the class declares.
        """
        request = f"read all attributes of {at} (class {declared.class_id})"
        rows = list(declared.attributes())
        found: Data
        if (short := self._short) is not None:  # where there is no attribute 0: one by one
            places = [(declared.class_id, at, row.index) for row in rows]
            values = yield from short.read_list(places)
            found = Structure(None if isinstance(v, DataAccessResult) else v for v in values)
        else:
            self.require(Conformance.GET | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET, request)
            found = yield from self.get_data(declared.class_id, at, 0)
        if not isinstance(found, Structure) or len(found) != len(rows):
            problem = f"it is no structure of {len(rows)} attributes"
            raise UnexpectedAnswerError(request, problem)
        try:
            return {
                row.name: None if each is None else row.kind.from_data(each)
                for row, each in zip(rows, found, strict=True)
            }
        except KindError as error:
            raise UnexpectedAnswerError(request, str(error)) from None

    def set(
        self, attribute: Attribute[T], value: T, *, at: Obis, confirmed: bool = True
    ) -> Steps[None]:
        """Write one attribute; in blocks if the value is too long for one request.

        Without `confirmed`, and in an unconfirmed association, nobody tells whether it is written.
        """
        place = attribute.owner.class_id, at, attribute.index
        data = attribute.kind.to_data(value)
        yield from self.set_data(*place, data, row_name(attribute, at), confirmed=confirmed)

    def set_data(  # noqa: PLR0913  a descriptor, its value, and two options
        self,
        class_id: int,
        at: Obis,
        index: int,
        data: Data,
        what: str = "",
        *,
        confirmed: bool = True,
    ) -> Steps[None]:
        """Write one attribute of any class, as COSEM data; `what` names it in a refusal."""
        what = what or name_of(class_id, at, index)
        if (short := self._short) is not None:
            told = confirmed and self.parameters.confirmed
            yield from short.write((class_id, at, index), data, what, confirmed=told)
            return
        self.require(Conformance.SET, "a write request")
        descriptor = AttributeDescriptor(class_id=class_id, instance_id=at, attribute_id=index)
        if not (confirmed and self.parameters.confirmed):
            yield from tell_to_write(self, descriptor, data, self._next_id())
            return
        result = yield from write(self, descriptor, data, self._next_id())
        if result != DataAccessResult.SUCCESS:
            raise AccessError("write", what, result)

    def set_list(
        self, rows: Sequence[tuple[Attribute[Any], Obis, Any]]
    ) -> Steps[list[DataAccessResult]]:
        """Write several attributes: for each how it ended.

        In one request, or in blocks; a meter without multiple references is asked for one at a
        time.
        """
        if (short := self._short) is not None:
            return (
                yield from short.write_list(
                    [
                        ((row.owner.class_id, at, row.index), row.kind.to_data(value))
                        for row, at, value in rows
                    ]
                )
            )
        if not self.context.conformance & Conformance.MULTIPLE_REFERENCES:
            results: list[DataAccessResult] = []
            for attribute, at, value in rows:
                results.append((yield from self._set_or_reason(attribute, at, value)))
            return results
        self.require(Conformance.SET, "a list of values to write")
        return (yield from set_list(self, rows, self._next_id()))

    def set_all(
        self, declared: type[InterfaceClass], values: Mapping[str, Any], *, at: Obis
    ) -> Steps[None]:
        """Write several attributes of one object in one request, by attribute 0.

        Args:
            declared: The class of the object.
            values: By the name of the attribute; the others stay as they are.
            at: Its logical name.
        """
        request = f"write attributes of {at} (class {declared.class_id})"
        self.require(Conformance.SET | Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET, request)
        rows = list(declared.attributes())
        if unknown := set(values) - {row.name for row in rows}:
            raise ValueError(f"{declared.__name__} has no attribute {', '.join(sorted(unknown))}")
        given = Structure(
            row.kind.to_data(values[row.name]) if row.name in values else None for row in rows
        )
        yield from self.set_data(declared.class_id, at, 0, given)

    def act_list(
        self, rows: Sequence[tuple[Method[Any, Any], Obis, Any]]
    ) -> Steps[list[ActionOutcome]]:
        """Invoke several methods in one request, or in blocks: for each how it ended.

        A meter without multiple references is asked for one at a time.
        """
        if (short := self._short) is not None:
            return (
                yield from short.invoke_list(
                    [
                        ((row.owner.class_id, at, row.index), row.argument.to_data(argument))
                        for row, at, argument in rows
                    ]
                )
            )
        if not self.context.conformance & Conformance.MULTIPLE_REFERENCES:
            outcomes: list[ActionOutcome] = []
            for method, at, argument in rows:
                descriptor = MethodDescriptor(
                    class_id=method.owner.class_id, instance_id=at, method_id=method.index
                )
                data = method.argument.to_data(argument)
                outcomes.append((yield from invoke(self, descriptor, data, self._next_id())))
            return outcomes
        self.require(Conformance.ACTION, "a list of methods")
        return (yield from act_list(self, rows, self._next_id()))

    def access(
        self,
        operations: Sequence[Operation],
        *,
        break_on_error: bool = False,
        self_descriptive: bool = False,
        confirmed: bool = True,
    ) -> Steps[list[Accessed]]:
        """Carry out several operations in one exchange, in their order; tell how each ended.

        Args:
            operations: Reads, writes and methods.
            break_on_error: Leave out what stands behind the first that fails.
            self_descriptive: Let the meter repeat what it was asked.
            confirmed: Without it nobody tells how it ended; the list is empty then.

        Raises:
            NotNegotiatedError: The meter does not know ACCESS.
        """
        self.require(Conformance.ACCESS, "an access request")
        self._long_invoke_id = (self._long_invoke_id + 1) & LongInvokeIdAndPriority.LARGEST_ID
        confirmed = confirmed and self.parameters.confirmed
        invoke_id = LongInvokeIdAndPriority.of(
            self._long_invoke_id,
            confirmed=confirmed,
            self_descriptive=self_descriptive,
            break_on_error=break_on_error,
        )
        request = request_of(operations, invoke_id)
        if not confirmed:
            yield from self.tell(request.encode(), "an access request")
            return []
        answer = yield from self.exchange(request.encode(), "an access request")
        return results_of(operations, request, answer)

    def act(self, method: Method[A, R], argument: A, *, at: Obis) -> Steps[R]:
        """Invoke a method and return what its class declares.

        Raises:
            AccessError: The meter refuses, or the method failed.
            UnexpectedAnswerError: What it gave back has another type than declared.
        """
        name, data = row_name(method, at), method.argument.to_data(argument)
        given = yield from self.act_data(method.owner.class_id, at, method.index, data, name)
        try:
            return method.result.from_data(given)
        except KindError as error:
            raise UnexpectedAnswerError(f"invoke {name}", str(error)) from None

    def act_data(
        self, class_id: int, at: Obis, index: int, argument: Data, what: str = ""
    ) -> Steps[Data]:
        """Invoke a method of any class and return its data; `what` names it in a refusal."""
        name = what or name_of(class_id, at, index, "method")
        if (short := self._short) is not None:
            return (yield from short.invoke((class_id, at, index), argument, name))
        self.require(Conformance.ACTION, "a method")
        descriptor = MethodDescriptor(class_id=class_id, instance_id=at, method_id=index)
        outcome = yield from invoke(self, descriptor, argument, self._next_id())
        if outcome.result != ActionResult.SUCCESS:
            raise AccessError("invoke", name, outcome.result)
        given = outcome.return_parameters
        if isinstance(given, DataAccessResult):
            raise AccessError("return from", name, given)
        return None if isinstance(given, Absent) else given

    def objects(self) -> Steps[tuple[ListedObject, ...]]:
        """Read which objects this client can see."""
        if (short := self._short) is not None:
            listed = yield from short.objects()
            return tuple(ListedObject(*each[1:]) for each in listed)
        elements = yield from self.object_list()
        return tuple(ListedObject(*each[:3]) for each in elements)

    def object_list(self) -> Steps[tuple[ObjectListElement, ...]]:
        """Read the same with what this client may do with each."""
        if (short := self._short) is not None:
            return (yield from short.object_list())
        return (yield from self.get(AssociationLn.object_list, at=CURRENT_ASSOCIATION))

    def profile(
        self, at: Obis, start: datetime, end: datetime, *, clock: Obis = CLOCK
    ) -> Steps[bytes]:
        """Read the rows of a profile from `start` to `end`, both included, as encoded array.

        `dlms.bulk.columns` makes columns of the octets.
        """
        selection = ByRange(
            restricting_object=CaptureObject(class_id=8, instance_id=clock, attribute_id=2),
            from_value=OctetString(CosemDateTime.from_utc(start).encode()),
            to_value=OctetString(CosemDateTime.from_utc(end).encode()),
        )
        return (
            yield from self.get_raw(
                ProfileGeneric.class_id, at, ProfileGeneric.buffer.index, selection=selection
            )
        )

    def tell_method(self, method: Method[A, Any], argument: A, *, at: Obis) -> Steps[None]:
        """Invoke a method without an answer: nobody tells whether it was carried out."""
        if (short := self._short) is not None:
            row = method.owner.class_id, at, method.index
            data = method.argument.to_data(argument)
            yield from short.tell_method(row, data, row_name(method, at))
            return
        self.require(Conformance.ACTION, "a method")
        descriptor = MethodDescriptor(
            class_id=method.owner.class_id, instance_id=at, method_id=method.index
        )
        data = method.argument.to_data(argument)
        yield from tell_to_invoke(self, descriptor, data, self._next_id())

    def reported(self, report: InformationReport) -> Report:
        """Say what an InformationReport, which `notified` was given, reports on.

        Raises:
            LocalProtocolError: This client does not refer by short name.
            UnexpectedAnswerError: The report is at odds with itself.
        """
        if self._short is None:
            raise LocalProtocolError(InformationReport.__name__, "REFERRING BY LOGICAL NAME")
        return self._short.reported(report)

    def _next_id(self) -> int:
        self._invoke_id = (self._invoke_id + 1) & 0x0F
        return self._invoke_id

    def _get_or_reason(self, attribute: Attribute[Any], at: Obis) -> Steps[GetDataResult]:
        try:
            return (yield from self.get_data(attribute.owner.class_id, at, attribute.index))
        except AccessError as refused:
            return DataAccessResult(refused.result)

    def _set_or_reason(
        self, attribute: Attribute[Any], at: Obis, value: object
    ) -> Steps[DataAccessResult]:
        try:
            yield from self.set(attribute, value, at=at)
        except AccessError as refused:
            return DataAccessResult(refused.result)
        return DataAccessResult.SUCCESS
