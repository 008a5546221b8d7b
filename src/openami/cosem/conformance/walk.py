# SPDX-License-Identifier: Apache-2.0
"""One walk through the object list of an association, which several cases look at.

Reading every attribute of a meter takes long; what was read is kept in `Trial.memory`, which lasts
as long as the run for one association.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from openami.cosem.access_modes import (
    access_of,
    demand_of_attribute,
    demand_of_method,
    invokes,
)
from openami.cosem.classes.access_control import (
    CURRENT_ASSOCIATION,
    AssociationLn,
    ObjectListElement,
)
from openami.cosem.classes.associations import ShortNameElement
from openami.cosem.client import Client
from openami.cosem.conformance.case import Failed, NotApplicable, Script
from openami.cosem.conformance.data_ln import OBJECT_LIST
from openami.cosem.conformance.trial import Trial
from openami.cosem.kinds import KindError
from openami.cosem.model import Access
from openami.cosem.refusals import AccessError, ExceptionResponseError
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.selective import ByEntry
from openami.dlms.data import Data
from openami.dlms.errors import DlmsError
from openami.dlms.obis import Obis
from openami.dlms.security.suites import AUTHENTICATED, ENCRYPTED, SIGNED, SecurityPolicy

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4"
PROFILE_GENERIC: Final = 7
BUFFER: Final = 2


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attribute that was read, or refused.

    Attributes:
        element: The object.
        index: The attribute.
        readable: Whether the object list says that this association may read it, under the
            protection that its requests have.
        writable: The same of writing.
        value: What came; None also where it was refused.
        refusal: Why there is no value; empty if there is one.
        temporary: Whether the refusal says that it may be read at another time.
    """

    element: ObjectListElement | ShortNameElement
    index: int
    readable: bool
    writable: bool
    value: Data = None
    refusal: str = ""
    temporary: bool = False

    def __str__(self) -> str:
        element = self.element
        return f"attribute {self.index} of {element.logical_name} (class {element.class_id})"


def object_list(trial: Trial, client: Client) -> Script[tuple[ObjectListElement, ...]]:
    """Read the object list.

    Raises:
        Failed: It is not what the class declares.
    """
    octets = yield from trial.steps(client.get_raw(*OBJECT_LIST))
    try:
        found = AssociationLn.object_list.kind.from_data(axdr_data.decode(octets))
    except (KindError, DlmsError) as error:
        raise Failed(f"the object list cannot be read: {error}") from None
    if not found:
        raise Failed(f"the object list is empty; {CURRENT_ASSOCIATION} is on every one")
    return found


def version_of(elements: Iterable[ObjectListElement]) -> int:
    """Return the version of the association that shows these elements; 0 if it hides itself."""
    return next(
        (
            each.version
            for each in elements
            if (each.class_id, each.logical_name) == (AssociationLn.class_id, CURRENT_ASSOCIATION)
        ),
        0,
    )


def carried(trial: Trial, demand: SecurityPolicy) -> bool:
    """Tell whether requests of this association have the protection that a row demands."""
    has = AUTHENTICATED | ENCRYPTED if trial.aa.is_ciphered else 0
    return not demand.request_bits & ~(has | trial.aa.policy.request_bits & SIGNED)


def require_method(
    trial: Trial, client: Client, class_id: int, at: Obis, index: int
) -> Script[ObjectListElement]:
    """Return the element of an object whose method this association may invoke.

    Raises:
        NotApplicable: It does not, or has no such object.
    """
    what = f"method {index} of {at} (class {class_id})"
    elements = yield from object_list(trial, client)
    for element in elements:
        if element.logical_name == at and element.class_id == class_id:
            modes = {row.method_id: row.access_mode for row in element.access_rights.methods}
            mode, version = modes.get(index, 0), version_of(elements)
            if invokes(mode, version) and carried(trial, demand_of_method(mode, version)):
                return element
            raise NotApplicable(f"the object list does not let this association invoke {what}")
    raise NotApplicable(f"the object list has no {at} (class {class_id})")


def walk(trial: Trial) -> Script[list[Attempt]]:
    """Try to read every attribute of every object, once in a run; return what came."""
    known = trial.memory.get("walk")
    if known is not None:
        found: list[Attempt] = known
        return found
    client = yield from trial.opened()
    elements = yield from object_list(trial, client)
    version = version_of(elements)
    found = []
    for element in elements:
        for row in element.access_rights.attributes:
            if row.attribute_id < 1:
                continue  # negative indexes are the manufacturer's
            rights = access_of(row.access_mode, version)
            if not carried(trial, demand_of_attribute(row.access_mode, version)):
                rights = Access.NONE
            found.append((yield from _read(trial, client, element, row.attribute_id, rights)))
    trial.memory["walk"] = found
    return found


def _read(
    trial: Trial, client: Client, element: ObjectListElement, index: int, access: Access
) -> Script[Attempt]:
    rights = bool(access & Access.READ), bool(access & Access.WRITE)
    whole = element.class_id != PROFILE_GENERIC or index != BUFFER
    try:
        value = yield from trial.steps(
            client.get_data(
                element.class_id,
                element.logical_name,
                index,
                # A whole load profile would take hours on a slow line.
                selection=None if whole else ByEntry(from_entry=1, to_entry=1),
            )
        )
    except AccessError as error:
        later = {DataAccessResult.TEMPORARY_FAILURE, DataAccessResult.OBJECT_UNAVAILABLE}
        temporary = error.result in later
        return Attempt(element, index, *rights, None, str(error.result), temporary)
    except ExceptionResponseError as error:
        return Attempt(element, index, *rights, None, str(error))
    return Attempt(element, index, *rights, value)
