# SPDX-License-Identifier: Apache-2.0
"""The client's services by short names: what `client` does by logical names, in Read and Write.

DLMS UA 1000-2 Ed. 10, 9.3.14 and 9.3.15.  Objects are still named by class and logical name; their
base names come from the meter's object list, which is read when the first of them is not known.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

from openami.cosem.access_control import AccessRights, AttributeAccess, ObjectListElement
from openami.cosem.associations import (
    SHORT_NAME_ELEMENT,
    AssociationSn,
    AssociationSnV2,
    ShortNameElement,
)
from openami.cosem.base_names import OBJECT_LIST_OFFSET, RIGHTS_OFFSET, BaseNames, Key
from openami.cosem.client_association import ClientAssociation, Steps
from openami.cosem.kinds import KindError
from openami.cosem.model import Access, declared
from openami.cosem.refusals import (
    AccessError,
    NoShortNameError,
    UnexpectedAnswerError,
)
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.fields import SelectiveAccess
from openami.dlms.apdu.get import GetDataResult
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.apdu.read import ReadBlock, ReadBlockTaken, ReadRequest, ReadResponse
from openami.dlms.apdu.variables import (
    BlockNumberAccess,
    ParameterizedAccess,
    ReadDataBlockAccess,
    VariableAccess,
    VariableName,
    WriteDataBlockAccess,
)
from openami.dlms.apdu.write import InformationReport, WriteBlockTaken, WriteRequest, WriteResponse
from openami.dlms.data import Data, LongUnsigned, OctetString, Structure
from openami.dlms.obis import Obis

LONGEST_VALUE_OCTETS: Final = 64 * 2**20
"""A meter that sends more than this in blocks is stopped."""
BY_OBJECT: Final = 2
"""Selector of object_list: class_id and logical name; gives one element."""

READ_BLOCK_OCTETS: Final = 9
"""What the block of a ReadRequest holds beside its raw data: 05 01 06, last, number, length."""
WRITE_BLOCK_OCTETS: Final = 11
"""The same of a WriteRequest: 06 01 07, last, number, 01, octet-string, length."""

_ONE_VALUE: Final = b"\x0c\x01\x00"
_ONE_ERROR: Final = b"\x0c\x01\x01"
_ONE_BLOCK: Final = b"\x0c\x01\x02"

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

    def __init__(self, association: ClientAssociation, names: BaseNames) -> None:
        """Ask in `association`; what it learns of the meter stays in `names`."""
        self._association = association
        self._names = names

    def objects(self) -> Steps[tuple[ShortNameElement, ...]]:
        """Read the meter's object list, and learn all base names from it."""
        what = "the object list"
        variable = VariableName(name=self._names.association + OBJECT_LIST_OFFSET)
        octets = yield from self._read_one(variable, what)
        if isinstance(octets, DataAccessResult):
            raise AccessError("read", what, octets)
        try:
            listed = AssociationSn.object_list.kind.from_data(axdr_data.decode(octets))
        except KindError as error:
            raise UnexpectedAnswerError(what, str(error)) from None
        self._names.learn(listed)
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
            octets = yield from self._read_one(VariableName(name=name), what)
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
        """Read one attribute, as the octets of its encoded data; all blocks are joined."""
        name = yield from self._attribute(row)
        if name is None:
            raise NoShortNameError("read", what, DataAccessResult.OBJECT_UNDEFINED)
        variable: VariableAccess = VariableName(name=name)
        if selection is not None:
            variable = ParameterizedAccess(
                name=name, selector=selection.selector, parameter=selection.parameters
            )
        result = yield from self._read_one(variable, what)
        if isinstance(result, DataAccessResult):
            raise AccessError("read", what, result)
        return result

    def read_list(self, rows: Sequence[Row]) -> Steps[list[GetDataResult]]:
        """Read several attributes: for each its data, or why there is none."""
        found: list[GetDataResult] = [DataAccessResult.OBJECT_UNDEFINED] * len(rows)
        places: list[tuple[int, int]] = []
        for number, row in enumerate(rows):
            name = yield from self._attribute(row)
            if name is not None:
                places.append((number, name))
        fit = max(1, (self._association.pdu_room_octets - 3) // 3)
        if not self._association.context.conformance & Conformance.MULTIPLE_REFERENCES:
            fit = 1
        for start in range(0, len(places), fit):
            part = places[start : start + fit]
            results = yield from self._read_several([name for _, name in part])
            for (number, _), result in zip(part, results, strict=True):
                found[number] = result
        return found

    def write(self, row: Row, value: Data, what: str) -> Steps[None]:
        """Write one attribute; in blocks if the value is too long for one request."""
        name = yield from self._attribute(row)
        if name is None:
            raise NoShortNameError("write", what, DataAccessResult.OBJECT_UNDEFINED)
        result = yield from self._write_one(name, value, "a write request")
        if result != DataAccessResult.SUCCESS:
            raise AccessError("write", what, result)

    def invoke(self, row: Row, argument: Data, what: str) -> Steps[Data]:
        """Invoke a method and return its data: by Read if it gives any, else by Write."""
        class_id, at, index = row
        yield from self._look_up(class_id, at)
        found = self._names.method(class_id, at, index)
        if found is None:
            raise NoShortNameError("invoke", what, DataAccessResult.OBJECT_UNDEFINED)
        name, gives_data = found
        negotiated = self._association.context.conformance
        if negotiated & Conformance.WRITE and not (
            gives_data and negotiated & Conformance.PARAMETERIZED_ACCESS
        ):
            result = yield from self._write_one(name, argument, "a method")
            if result != DataAccessResult.SUCCESS:
                raise AccessError("invoke", what, result)
            return None
        variable = ParameterizedAccess(name=name, selector=0, parameter=argument)
        octets = yield from self._read_one(variable, what)
        if isinstance(octets, DataAccessResult):
            raise AccessError("invoke", what, octets)
        return axdr_data.decode(octets)

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

    def _look_up(self, class_id: int, at: Obis) -> Steps[None]:
        """Read the meter's object list, if an object is not known and the list was not read."""
        names = self._names
        if names.is_complete or names.find(class_id, at) is not None:
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
        one = yield from self._read_one(variable, what)
        if isinstance(one, DataAccessResult):
            raise AccessError("read", what, one)
        try:
            element = SHORT_NAME_ELEMENT.from_data(axdr_data.decode(one))
        except KindError as error:
            raise UnexpectedAnswerError(what, str(error)) from None
        self._names.learn((element,), complete=False)

    def _read_one(self, variable: VariableAccess, what: str) -> Steps[bytes | DataAccessResult]:
        """Return the encoded value of one variable, or why there is none."""
        answer = yield from self._ask(ReadRequest(variables=(variable,)), what)
        head = answer[:3]
        if head == _ONE_VALUE:
            return answer[3:]
        if head == _ONE_ERROR and len(answer) == 4:
            return DataAccessResult(answer[3])
        if head != _ONE_BLOCK:
            raise _no_response(what, answer)
        raw = yield from self._blocks(answer, what)
        # The blocks hold a list of one result; those of some meters hold the value alone.  A list
        # begins with 01 00, and so does no value but an empty array, which ends there.
        if raw[:2] == b"\x01\x00" and len(raw) > 2:
            return raw[2:]
        if raw[:2] == b"\x01\x01" and len(raw) == 3:
            return DataAccessResult(raw[2])
        return raw

    def _read_several(self, names: Sequence[int]) -> Steps[list[GetDataResult]]:
        what = "a list of attributes"
        if len(names) == 1:
            result = yield from self._read_one(VariableName(name=names[0]), what)
            if isinstance(result, DataAccessResult):
                return [result]
            return [axdr_data.decode(result)]
        variables = tuple(VariableName(name=name) for name in names)
        answer = yield from self._ask(ReadRequest(variables=variables), what)
        if answer[:3] == _ONE_BLOCK:
            raw = yield from self._blocks(answer, what)
            answer = bytes((ReadResponse.TAG,)) + raw
        if answer[:1] != bytes((ReadResponse.TAG,)):
            raise _no_response(what, answer)
        results = ReadResponse.decode(answer).results
        found: list[GetDataResult] = [
            each for each in results if not isinstance(each, ReadBlock | ReadBlockTaken)
        ]
        if len(found) != len(names):
            problem = f"{len(found)} results for {len(names)} attributes"
            raise UnexpectedAnswerError(what, problem)
        return found

    def _blocks(self, answer: bytes, what: str) -> Steps[bytes]:
        """Collect the blocks of a long answer, of which `answer` is the first."""
        parts: list[bytes] = []
        length = 0
        for expected in range(1, 2**16):
            if answer[:3] == _ONE_ERROR and len(answer) == 4:
                raise AccessError("read", what, DataAccessResult(answer[3]))
            block = ReadResponse.decode(answer).results[0] if answer[:3] == _ONE_BLOCK else None
            if not isinstance(block, ReadBlock):
                raise _no_response(what, answer)
            if block.block_number != expected:
                problem = f"block {block.block_number} came where {expected} was due"
                raise UnexpectedAnswerError(f"read {what}", problem)
            parts.append(block.raw_data)
            length += len(block.raw_data)
            if block.last_block:
                return b"".join(parts)
            if length > LONGEST_VALUE_OCTETS:
                break
            request = ReadRequest(variables=(BlockNumberAccess(block_number=expected),))
            answer = yield from self._exchange(request.encode(), "the next block")
        problem = f"it goes on behind {length} octets"
        raise UnexpectedAnswerError(f"read {what}", problem)

    def _ask(self, request: ReadRequest, what: str) -> Steps[bytes]:
        """Send a ReadRequest, in blocks if it is too long, and return the answer."""
        octets = request.encode()
        room = self._association.room_octets
        if len(octets) <= room:
            return (yield from self._exchange(octets, "a read request"))
        answer = b""
        pieces = _cut(octets[1:], room - READ_BLOCK_OCTETS)
        for number, piece in enumerate(pieces, start=1):
            last = number == len(pieces)
            block = ReadDataBlockAccess(last_block=last, block_number=number, raw_data=piece)
            request = ReadRequest(variables=(block,))
            answer = yield from self._exchange(request.encode(), "a read request")
            taken = ReadResponse(results=(ReadBlockTaken(block_number=number),)).encode()
            if not last and answer != taken:
                if answer[:3] == _ONE_ERROR and len(answer) == 4:
                    raise AccessError("read", what, DataAccessResult(answer[3]))
                raise _no_response(what, answer)
        return answer

    def _write_one(self, name: int, value: Data, request: str) -> Steps[DataAccessResult]:
        octets = WriteRequest(variables=(VariableName(name=name),), values=(value,)).encode()
        room = self._association.room_octets
        if len(octets) <= room:
            answer = yield from self._exchange(octets, request)
            return _written(answer, request)
        pieces = _cut(octets[1:], room - WRITE_BLOCK_OCTETS)
        for number, piece in enumerate(pieces[:-1], start=1):
            block = WriteDataBlockAccess(last_block=False, block_number=number)
            part = WriteRequest(variables=(block,), values=(OctetString(piece),))
            answer = yield from self._exchange(part.encode(), request)
            taken = WriteResponse(results=(WriteBlockTaken(block_number=number),)).encode()
            if answer != taken:
                return _written(answer, request)
        block = WriteDataBlockAccess(last_block=True, block_number=len(pieces))
        part = WriteRequest(variables=(block,), values=(OctetString(pieces[-1]),))
        answer = yield from self._exchange(part.encode(), request)
        return _written(answer, request)

    def _exchange(self, apdu: bytes, request: str) -> Steps[bytes]:
        return (yield from self._association.exchange(apdu, request))


def _declared_rights(element: ShortNameElement) -> AccessRights:
    table = declared(element.class_id, element.version)
    rows = table.attributes() if table is not None else ()
    return AccessRights(
        tuple(AttributeAccess(row.index, row.access & Access.READ, None) for row in rows), ()
    )


def _written(answer: bytes, request: str) -> DataAccessResult:
    if answer[:1] != bytes((WriteResponse.TAG,)):
        raise _no_response(request, answer)
    match WriteResponse.decode(answer).results:
        case (DataAccessResult() as result,):
            return result
    problem = "the last block was not answered with one result"
    raise UnexpectedAnswerError(request, problem)


def _no_response(what: str, answer: bytes) -> UnexpectedAnswerError:
    problem = f"{answer[:4].hex(' ').upper() or 'nothing'} is no response to it"
    return UnexpectedAnswerError(what, problem)


def _cut(octets: bytes, size: int) -> list[bytes]:
    step = max(size, 1)
    return [octets[start : start + step] for start in range(0, len(octets), step)]
