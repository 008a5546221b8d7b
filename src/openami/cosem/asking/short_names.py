# SPDX-License-Identifier: Apache-2.0
"""The client's services by short names: what `client` does by logical names, in Read and Write.

DLMS UA 1000-2 Ed. 10, 9.3.14 and 9.3.15.  Objects are still named by class and logical name; their
base names come from the meter's object list, which is read when the first of them is not known.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from openami.cosem.asking.association import ClientAssociation, Steps
from openami.cosem.asking.base_names import OBJECT_LIST_OFFSET, RIGHTS_OFFSET, BaseNames, Key
from openami.cosem.asking.short_transfer import (
    read_name,
    read_one,
    read_several,
    tell_to_write,
    write_several,
)
from openami.cosem.classes.access_control import AccessRights, AttributeAccess, ObjectListElement
from openami.cosem.classes.associations import (
    SHORT_NAME_ELEMENT,
    AssociationSn,
    AssociationSnV2,
    ShortNameElement,
)
from openami.cosem.kinds import KindError
from openami.cosem.model import Access, declared
from openami.cosem.refusals import (
    AccessError,
    NoShortNameError,
    UnexpectedAnswerError,
)
from openami.dlms import data as axdr_data
from openami.dlms.apdu.action import ActionOutcome
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.get import GetDataResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.variables import (
    ParameterizedAccess,
    VariableName,
)
from openami.dlms.apdu.write import InformationReport
from openami.dlms.data import Data, LongUnsigned, OctetString, Structure
from openami.dlms.obis import Obis

BY_OBJECT: Final = 2
"""Selector of object_list: class_id and logical name; gives one element."""

Row: TypeAlias = tuple[int, Obis, int]
"""class_id, logical name, index."""


class ReportedRow(NamedTuple):
    """One variable of an InformationReport; the object is None where its name is not known."""

    name: int
    object: Key | None
    row: int
    """Index of the attribute."""
    value: Data


class Report(NamedTuple):
    """An InformationReport, with the names of its variables looked up.

    ``current_time`` is GeneralizedTime as text, or None.
    """

    current_time: bytes | None
    rows: tuple[ReportedRow, ...]


class ShortNameServices:
    """Reads, writes and invokes in one association, by short name."""

    def __init__(self, client: ClientAssociation, names: BaseNames) -> None:
        """Ask in the association of `client`; what is learnt of the meter stays in `names`."""
        self._client = client
        self._names = names
        self._read_in: object = None  # the context in which the object list was read last

    def objects(self) -> Steps[tuple[ShortNameElement, ...]]:
        """Read the meter's object list, and learn all base names from it."""
        what = "the object list"
        variable = VariableName(name=self._names.association + OBJECT_LIST_OFFSET)
        octets = yield from read_one(self._client, variable, what)
        if isinstance(octets, DataAccessResult):
            raise AccessError("read", what, octets)
        try:
            listed = AssociationSn.object_list.kind.from_data(axdr_data.decode(octets))
        except KindError as error:
            raise UnexpectedAnswerError(what, str(error)) from None
        self._names.learn(listed)
        self._read_in = self._client.context
        return listed

    def object_list(self) -> Steps[tuple[ObjectListElement, ...]]:
        """Read the same with access rights, as versions 2 and later of class 12 tell them.

        Before, all attributes that a class declares count as readable, and no method is granted.
        """
        listed = yield from self.objects()
        own = next((each for each in listed if each.class_id == AssociationSn.class_id), None)
        granted: dict[int, AccessRights] = {}
        if own is not None and own.version >= AssociationSnV2.version:
            name = self._names.association + RIGHTS_OFFSET
            what = "the access rights"
            octets = yield from read_one(self._client, VariableName(name=name), what)
            if isinstance(octets, DataAccessResult):
                raise AccessError("read", what, octets)
            try:
                rights = AssociationSnV2.access_rights_list.kind.from_data(axdr_data.decode(octets))
            except KindError as error:
                raise UnexpectedAnswerError(what, str(error)) from None
            granted = {each.base_name: AccessRights(*each[1:]) for each in rights}
        return tuple(
            ObjectListElement(*each[1:], granted.get(each.base_name) or _declared_rights(each))
            for each in listed
        )

    def read(self, row: Row, selection: SelectiveAccess | None, what: str) -> Steps[bytes]:
        """Read one attribute, as the octets of its encoded data."""
        wanted = Conformance.READ
        if selection is not None:
            wanted |= Conformance.PARAMETERIZED_ACCESS
        self._client.require(wanted, "a read request")
        name = self._names.attribute(*row)
        if name is None:
            name = yield from self._attribute(row)
        if name is None:
            raise NoShortNameError("read", what, DataAccessResult.OBJECT_UNDEFINED)
        result: bytes | DataAccessResult
        if selection is None:
            result = yield from read_name(self._client, name, what)
        else:
            variable = ParameterizedAccess(
                name=name, selector=selection.selector, parameter=selection.parameters
            )
            result = yield from read_one(self._client, variable, what)
        if isinstance(result, DataAccessResult):
            raise AccessError("read", what, result)
        return result

    def read_list(self, rows: Sequence[Row]) -> Steps[list[GetDataResult]]:
        """Read several attributes: for each its data, or why there is none."""
        self._client.require(Conformance.READ, "a list of attributes")
        names = yield from self._attributes(rows)
        variables = [None if name is None else VariableName(name=name) for name in names]
        return (yield from self._read_all(variables, "a list of attributes"))

    def write(self, row: Row, value: Data, what: str, *, confirmed: bool = True) -> Steps[None]:
        """Write one attribute; without `confirmed` nobody tells whether it is written."""
        request = "a write request"
        wanted = Conformance.WRITE if confirmed else Conformance.UNCONFIRMED_WRITE
        self._client.require(wanted, request)
        name = yield from self._attribute(row)
        if name is None:
            raise NoShortNameError("write", what, DataAccessResult.OBJECT_UNDEFINED)
        if not confirmed:
            yield from tell_to_write(self._client, name, value, request)
            return
        (result,) = yield from write_several(self._client, (name,), (value,), request)
        if result != DataAccessResult.SUCCESS:
            raise AccessError("write", what, result)

    def write_list(self, rows: Sequence[tuple[Row, Data]]) -> Steps[list[DataAccessResult]]:
        """Write several attributes: for each how it ended."""
        request = "a list of values to write"
        self._client.require(Conformance.WRITE, request)
        names = yield from self._attributes([row for row, _ in rows])
        found = [DataAccessResult.OBJECT_UNDEFINED] * len(rows)
        places = [(number, name) for number, name in enumerate(names) if name is not None]
        values = [rows[number][1] for number, _ in places]
        together = bool(self._client.context.conformance & Conformance.MULTIPLE_REFERENCES)
        step = max(1, len(places)) if together else 1
        for start in range(0, len(places), step):
            part = places[start : start + step]
            results = yield from write_several(
                self._client, [name for _, name in part], values[start : start + step], request
            )
            for (number, _), result in zip(part, results, strict=True):
                found[number] = result
        return found

    def invoke(self, row: Row, argument: Data, what: str) -> Steps[Data]:
        """Invoke a method and return its data: by Read if it gives any, else by Write."""
        name, gives_data = yield from self._method(row, what)
        negotiated = self._client.context.conformance
        if negotiated & Conformance.WRITE and not (
            gives_data and negotiated & Conformance.PARAMETERIZED_ACCESS
        ):
            (result,) = yield from write_several(self._client, (name,), (argument,), "a method")
            if result != DataAccessResult.SUCCESS:
                raise AccessError("invoke", what, result)
            return None
        self._client.require(Conformance.READ | Conformance.PARAMETERIZED_ACCESS, "a method")
        variable = ParameterizedAccess(name=name, selector=0, parameter=argument)
        octets = yield from read_one(self._client, variable, what)
        if isinstance(octets, DataAccessResult):
            raise AccessError("invoke", what, octets)
        return axdr_data.decode(octets)

    def invoke_list(self, rows: Sequence[tuple[Row, Data]]) -> Steps[list[ActionOutcome]]:
        """Invoke several methods, as one Read with their arguments: for each how it ended."""
        request = "a list of methods"
        self._client.require(Conformance.READ | Conformance.PARAMETERIZED_ACCESS, request)
        variables: list[ParameterizedAccess | None] = []
        for row, argument in rows:
            try:
                name, _ = yield from self._method(row, request)
            except NoShortNameError:
                variables.append(None)
                continue
            variables.append(ParameterizedAccess(name=name, selector=0, parameter=argument))
        results = yield from self._read_all(variables, request)
        return [
            ActionOutcome(result=ActionResult(result))
            if isinstance(result, DataAccessResult)
            else ActionOutcome(result=ActionResult.SUCCESS, return_parameters=result)
            for result in results
        ]

    def tell_method(self, row: Row, argument: Data, what: str) -> Steps[None]:
        """Invoke a method without an answer."""
        self._client.require(Conformance.UNCONFIRMED_WRITE, "a method")
        name, _ = yield from self._method(row, what)
        yield from tell_to_write(self._client, name, argument, "a method")

    def _read_all(
        self, variables: Sequence[VariableName | ParameterizedAccess | None], what: str
    ) -> Steps[list[GetDataResult]]:
        """Read variables, as many as fit into each request; None stands for an unknown name."""
        found: list[GetDataResult] = [DataAccessResult.OBJECT_UNDEFINED] * len(variables)
        places = [(n, variable) for n, variable in enumerate(variables) if variable is not None]
        together = self._client.context.conformance & Conformance.MULTIPLE_REFERENCES
        step = max(1, (self._client.pdu_room_octets - 3) // 3) if together else 1
        for start in range(0, len(places), step):
            part = places[start : start + step]
            if len(part) > 1:
                asked = [variable for _, variable in part]
                results = yield from read_several(self._client, asked, what)
                for (number, _), result in zip(part, results, strict=True):
                    found[number] = result
                continue
            ((number, variable),) = part
            octets = yield from read_one(self._client, variable, what)
            if isinstance(octets, DataAccessResult):
                found[number] = octets
            else:
                found[number] = axdr_data.decode(octets)
        return found

    def reported(self, report: InformationReport) -> Report:
        """Look up the names of an InformationReport; those that are not known already stay open.

        Raises:
            UnexpectedAnswerError: It has not one value for each variable.
        """
        if len(report.values) != len(report.variables):
            problem = f"{len(report.values)} values for {len(report.variables)} variables"
            raise UnexpectedAnswerError("an information report", problem)
        rows = []
        for variable, value in zip(report.variables, report.values, strict=True):
            if not isinstance(variable, VariableName | ParameterizedAccess):
                raise UnexpectedAnswerError("an information report", "a block stands in it")
            key, index = self._names.named(variable.name) or (None, 0)
            rows.append(ReportedRow(variable.name, key, index, value))
        return Report(report.current_time, tuple(rows))

    def _attribute(self, row: Row) -> Steps[int | None]:
        """Return the short name of an attribute; None if the meter lists none."""
        yield from self._look_up(row[0], row[1])
        return self._names.attribute(*row)

    def _attributes(self, rows: Sequence[Row]) -> Steps[list[int | None]]:
        for row in rows:
            yield from self._look_up(row[0], row[1])
        return [self._names.attribute(*row) for row in rows]

    def _method(self, row: Row, what: str) -> Steps[tuple[int, bool]]:
        """Return the short name of a method, and whether it gives data."""
        yield from self._look_up(row[0], row[1])
        found = self._names.method(*row)
        if found is None:
            raise NoShortNameError("invoke", what, DataAccessResult.OBJECT_UNDEFINED)
        return found

    def _look_up(self, class_id: int, at: Obis) -> Steps[None]:
        """Read the meter's object list if an object is not known, once in an association."""
        if self._read_in is self._client.context or self._names.find(class_id, at) is not None:
            return
        try:
            yield from self.objects()
        except AccessError:
            yield from self._look_up_alone(class_id, at)

    def _look_up_alone(self, class_id: int, at: Obis) -> Steps[None]:
        """Ask for one object: a meter may hide the whole list, and still tell of each."""
        what = "the object list"
        variable = ParameterizedAccess(
            name=self._names.association + OBJECT_LIST_OFFSET,
            selector=BY_OBJECT,
            parameter=Structure((LongUnsigned(class_id), OctetString(at.encode()))),
        )
        one = yield from read_one(self._client, variable, what)
        if isinstance(one, DataAccessResult):
            raise AccessError("read", what, one)
        try:
            element = SHORT_NAME_ELEMENT.from_data(axdr_data.decode(one))
        except KindError as error:
            raise UnexpectedAnswerError(what, str(error)) from None
        self._names.learn((element,), complete=False)


def _declared_rights(element: ShortNameElement) -> AccessRights:
    table = declared(element.class_id, element.version)
    rows = table.attributes() if table is not None else ()
    return AccessRights(
        tuple(AttributeAccess(row.index, row.access & Access.READ, None) for row in rows), ()
    )
