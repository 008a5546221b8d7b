# SPDX-License-Identifier: Apache-2.0
"""One item of a request: an attribute read or written, a method invoked.

DLMS UA 1000-2 Ed. 10, 9.3.6 to 9.3.9.  GET, SET, ACTION and ACCESS, alone or in lists, come here
for each of their items; rights and demands of protection are those of `rights.View`.

Attribute 0 stands for all attributes of an object (9.3.6).  Its value is a structure of all of
them in the order of their index, with null-data for one that this client may not read, not under
this protection, or that has no value; where nothing at all may be read, the read is refused.  A
write takes such a structure, and null-data leaves an attribute as it is.  (Our reading; unsure.)
Where it was not negotiated it is an attribute that nobody may reach.
"""

from typing import Final

from openami.cosem.kinds import KindError
from openami.cosem.model import Refused
from openami.cosem.rights import invocable, writable
from openami.cosem.serving.services import ServiceContext
from openami.dlms import data as axdr_data
from openami.dlms.apdu.action import ActionOutcome
from openami.dlms.apdu.codes import ActionResult, DataAccessResult
from openami.dlms.apdu.fields import (
    Absent,
    AttributeDescriptor,
    MethodDescriptor,
    SelectiveAccess,
)
from openami.dlms.apdu.initiate import Conformance
from openami.dlms.data import Data, Structure
from openami.dlms.errors import DecodeError

NULL_DATA: Final = b"\x00"
_STRUCTURE: Final = 0x02


def read(
    context: ServiceContext, attribute: AttributeDescriptor, access: SelectiveAccess | None
) -> bytes:
    """Return the encoded value of an attribute, or of a part of it.

    Raises:
        Refused: With the data-access-result.
        NotNegotiated: Selective access was not granted.
    """
    descriptor = attribute.encode()
    if attribute.attribute_id == 0:
        return _read_all(context, descriptor, access)
    reader = context.reader(descriptor)
    if access is None:
        return reader()
    context.require(Conformance.SELECTIVE_ACCESS)
    thing, _ = context.find(descriptor)
    select = thing.selections.get(attribute.attribute_id)
    if select is None:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    return select(access)


def _read_all(context: ServiceContext, descriptor: bytes, access: SelectiveAccess | None) -> bytes:
    if not context.conformance & Conformance.ATTRIBUTE_0_SUPPORTED_WITH_GET:
        raise Refused(DataAccessResult.READ_WRITE_DENIED)
    if access is not None:
        raise Refused(DataAccessResult.SCOPE_OF_ACCESS_VIOLATED)
    thing, _ = context.find(descriptor)
    indexes = [row.index for row in thing.attributes()]
    values, refusal = [], None
    for index in indexes:
        try:
            values.append(context.reader(descriptor[:8] + (index & 0xFF).to_bytes())())
        except Refused as refused:
            refusal = refusal or refused
            values.append(NULL_DATA)
    if refusal is not None and all(value == NULL_DATA for value in values):
        raise refusal
    return bytes((_STRUCTURE, len(values))) + b"".join(values)


def write(
    context: ServiceContext,
    attribute: AttributeDescriptor,
    access: SelectiveAccess | None,
    value: Data,
) -> DataAccessResult:
    """Write an attribute and return how that ended."""
    descriptor = attribute.encode()
    try:
        if attribute.attribute_id == 0:
            return _write_all(context, descriptor, access, value)
        thing, rights = context.find(descriptor)
        row = writable(thing, rights, attribute.attribute_id, context.exchange)
        if access is not None:
            return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
        thing.write(row, value)
    except Refused as refused:
        return DataAccessResult(refused.result)
    except (KindError, DecodeError):
        return DataAccessResult.TYPE_UNMATCHED
    return DataAccessResult.SUCCESS


def _write_all(
    context: ServiceContext, descriptor: bytes, access: SelectiveAccess | None, value: Data
) -> DataAccessResult:
    if not context.conformance & Conformance.ATTRIBUTE_0_SUPPORTED_WITH_SET:
        return DataAccessResult.READ_WRITE_DENIED
    if access is not None:
        return DataAccessResult.SCOPE_OF_ACCESS_VIOLATED
    thing, rights = context.find(descriptor)
    indexes = [row.index for row in thing.attributes()]
    if not isinstance(value, Structure) or len(value) != len(indexes):
        return DataAccessResult.TYPE_UNMATCHED
    given = [(index, each) for index, each in zip(indexes, value, strict=True) if each is not None]
    # Rights and types are checked before anything is written.
    rows = [writable(thing, rights, index, context.exchange) for index, _ in given]
    for row, (_, each) in zip(rows, given, strict=True):
        row.kind.strict(each)
    for row, (_, each) in zip(rows, given, strict=True):
        thing.write(row, each)
    return DataAccessResult.SUCCESS


def invoke(
    context: ServiceContext, method: MethodDescriptor, parameters: Data | Absent
) -> ActionOutcome:
    """Invoke a method and return how that ended, and what it gave back."""
    # A method without parameter takes the standard's integer 0; null-data stands for it too.
    if parameters is None or isinstance(parameters, Absent):
        parameters = axdr_data.Integer(0)
    try:
        thing, rights = context.find(method.encode())
        row = invocable(thing, rights, method.method_id, context.exchange)
        given = thing.invoke(row, parameters)
    except Refused as refused:
        return ActionOutcome(result=ActionResult(refused.result))
    except (KindError, DecodeError):
        return ActionOutcome(result=ActionResult.TYPE_UNMATCHED)
    if given is None:
        return ActionOutcome(result=ActionResult.SUCCESS)
    return ActionOutcome(result=ActionResult.SUCCESS, return_parameters=given)
