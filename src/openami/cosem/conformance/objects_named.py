# SPDX-License-Identifier: Apache-2.0
"""Cases on COSEM objects that are referred to by short name, attribute by attribute.

DLMS UA 1000-1 Ed. 12, 4.4.3 and DLMS UA 1000-2 Ed. 10, 9.3.12: attribute k of an object stands at
its base name plus 8 (k - 1).  What a client may read the association tells from version 2 of
class 12 on; an older one does not tell it, and then each attribute may be refused.  Base names,
blocks and what is wrong inside a Read are `data_sn`.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Final

from openami.cosem.access_modes import access_of, demand_of_attribute
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION
from openami.cosem.classes.associations import (
    AccessRightsElement,
    AssociationSn,
    AssociationSnV2,
    AttributeIdentification,
    ShortNameElement,
)
from openami.cosem.client import Client
from openami.cosem.conformance.case import (
    Failed,
    Family,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.data_sn import elements
from openami.cosem.conformance.objects import (
    LDN,
    LONGEST_LDN_OCTETS,
    MANAGEMENT,
    SAPS,
    held_to_types,
    some,
    wrong_names,
)
from openami.cosem.conformance.trial import Trial
from openami.cosem.conformance.walk import BUFFER, PROFILE_GENERIC, Attempt, carried
from openami.cosem.kinds import KindError
from openami.cosem.model import Access, declared
from openami.cosem.refusals import AccessError
from openami.cosem.serving.short_names import RESERVED_NAMES
from openami.dlms.apdu.codes import DataAccessResult
from openami.dlms.apdu.selective import ByEntry

CLAUSE: Final = "DLMS UA 1000-1 Ed. 12, 4.4.3; DLMS UA 1000-2 Ed. 10, 9.3.12"
LATER: Final = frozenset({DataAccessResult.TEMPORARY_FAILURE, DataAccessResult.OBJECT_UNAVAILABLE})


@dataclass(frozen=True, slots=True)
class NamedWalk:
    """Every attribute that our class tables have, read by short name.

    Attributes:
        attempts: What came.
        told: Whether the association tells access rights.
    """

    attempts: tuple[Attempt, ...]
    told: bool


def _rights(
    trial: Trial, client: Client, found: tuple[ShortNameElement, ...]
) -> Script[dict[int, dict[int, int]] | None]:
    """Return the access mode of each attribute by base name and index; None if it is not told."""
    own = next((each for each in found if each.class_id == AssociationSn.class_id), None)
    if own is not None and own.version < AssociationSnV2.version:
        return None
    row = AssociationSnV2.access_rights_list
    try:
        value = yield from trial.steps(client.get_data(12, CURRENT_ASSOCIATION, row.index))
        rights: tuple[AccessRightsElement, ...] = row.kind.from_data(value)
    except AccessError:
        return None
    except KindError as error:
        raise Failed(f"access_rights_list cannot be read: {error}") from None
    return {
        each.base_name & 0xFFFF: {
            mode.attribute_id: mode.access_mode for mode in each.attribute_access
        }
        for each in rights
    }


def named_walk(trial: Trial) -> Script[NamedWalk]:
    """Try to read every attribute by its short name, once in a run; return what came."""
    known = trial.memory.get("named walk")
    if isinstance(known, NamedWalk):
        return known
    client = yield from trial.opened()
    found = yield from elements(trial, client)
    rights = yield from _rights(trial, client, found)
    attempts = []
    for element in found:
        table = declared(element.class_id, element.version)
        modes = (rights or {}).get(element.base_name & 0xFFFF, {})
        for index in [1] if table is None else [row.index for row in table.attributes()]:
            mode = modes.get(index, 0)
            may = rights is not None and carried(trial, demand_of_attribute(mode, 0))
            access = access_of(mode, 0) if may else Access.NONE
            attempts.append((yield from _read(trial, client, element, index, access)))
    walk = NamedWalk(tuple(attempts), told=rights is not None)
    trial.memory["named walk"] = walk
    return walk


def _read(
    trial: Trial, client: Client, element: ShortNameElement, index: int, access: Access
) -> Script[Attempt]:
    rights = bool(access & Access.READ), bool(access & Access.WRITE)
    is_buffer = element.class_id == PROFILE_GENERIC and index == BUFFER
    selection = ByEntry(from_entry=1, to_entry=1) if is_buffer else None
    at = element.logical_name
    try:
        value = yield from trial.steps(
            client.get_data(element.class_id, at, index, selection=selection)
        )
    except AccessError as error:
        later = error.result in LATER
        return Attempt(element, index, *rights, None, str(error.result), later)
    return Attempt(element, index, *rights, value)


def _logical_names(trial: Trial) -> Script[str | None]:
    walk = yield from named_walk(trial)
    first = [each for each in walk.attempts if each.index == 1]
    problems = wrong_names([each for each in first if not each.refusal])
    if walk.told is False:
        problems += [f"{each} is refused: {each.refusal}" for each in first if each.refusal]
    if problems:
        raise Failed(f"{some(problems)}; a base name is that of the logical name")
    if not first or all(each.refusal for each in first):
        raise Inconclusive("no attribute 1 could be read")
    return f"{len(first)} base names, each that of its logical name"


def _readable(trial: Trial) -> Script[str | None]:
    walk = yield from named_walk(trial)
    if not walk.told:
        raise NotApplicable("the association does not tell access rights")
    open_ones = [each for each in walk.attempts if each.readable]
    closed = [each for each in walk.attempts if not each.readable]
    later = [f"{each}: {each.refusal}" for each in open_ones if each.temporary]
    if later:
        trial.remarks.append(f"not available now: {some(later)}")
    wrong = [f"{each}: {each.refusal}" for each in open_ones if each.refusal and not each.temporary]
    if wrong:
        raise Failed(f"access_rights_list lets read {some(wrong)}")
    wrong = [str(each) for each in closed if not each.refusal]
    if wrong:
        raise Failed(f"access_rights_list does not let read {some(wrong)}, and a value came")
    if len(later) == len(open_ones):
        raise Inconclusive("no attribute could be read")
    read = len(open_ones) - len(later)
    return f"{read} attributes were read and {len(closed)} refused, as the list says"


def _types(trial: Trial) -> Script[str | None]:
    walk = yield from named_walk(trial)
    held = held_to_types(trial, [each for each in walk.attempts if not each.refusal])
    return f"{held} values have the type of their class"


def _mandatory(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    found = yield from elements(trial, client)
    names = {(each.class_id, each.logical_name): each.base_name & 0xFFFF for each in found}
    wanted = [(1, LDN)]
    if trial.declaration.server_sap == MANAGEMENT:
        wanted.append((17, SAPS))
    missing = [f"{name} (class {number})" for number, name in wanted if (number, name) not in names]
    if missing:
        raise Failed(f"the object list lacks {some(missing)}")
    for number, name in wanted:
        kept = RESERVED_NAMES.get(name)
        if kept is not None and names[number, name] != kept:
            trial.remarks.append(f"{name} stands at {names[number, name]:04X}, not at {kept:04X}")
    twice = Counter((each.class_id, each.logical_name) for each in found)
    doubled = [f"{name} (class {number})" for (number, name), count in twice.items() if count > 1]
    if doubled:
        raise Failed(f"the object list names {some(doubled)} more than once")
    octets = yield from trial.steps(client.get_data(1, LDN, 2))
    if not isinstance(octets, bytes | str) or not 1 <= len(octets) <= LONGEST_LDN_OCTETS:
        raise Failed(f"the logical device name is {octets!r}, not 1 to {LONGEST_LDN_OCTETS} octets")
    return f"the logical device name is {octets!r}"


def _by_method(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    direct = yield from trial.steps(client.get_data(1, LDN, 2))
    method = AssociationSn.read_by_logicalname
    asked = (AttributeIdentification(1, LDN, 2),)
    try:
        answer = yield from trial.steps(client.act(method, asked, at=CURRENT_ASSOCIATION))
    except AccessError as error:
        raise NotApplicable(f"read_by_logicalname is refused: {error.result}") from None
    values = list(answer) if isinstance(answer, list | tuple) else [answer]
    if values != [direct]:
        raise Failed(f"read_by_logicalname gives {values!r} where Read gives {direct!r}")
    return None


_case = Family(prefix="COSEM_SN_", group=Group.COSEM, needs=(Need.SN, Need.READ)).case


CASES: Final = (
    _case(
        "MANDATORY",
        "mandatory objects",
        CLAUSE,
        "Read of the object list and of the logical device name",
        "logical device name; SAP assignment in the management device; each object once",
        _mandatory,
    ),
    _case(
        "LOGICAL_NAME",
        "the base name of each object is that of its logical name",
        CLAUSE,
        "Read of every attribute",
        "the logical name that the object list has",
        _logical_names,
    ),
    _case(
        "READABLE",
        "what may be read can be read, and nothing else",
        CLAUSE,
        "Read of access_rights_list and of every attribute",
        "a value or a data-access-error as the list says, or temporary-failure with a remark",
        _readable,
    ),
    _case(
        "TYPES",
        "values have the type of their class",
        CLAUSE,
        "Read of every attribute",
        "the type and range of the attribute's row in our class tables",
        _types,
    ),
    _case(
        "METHOD",
        "a method that gives data stands at its offset",
        CLAUSE,
        "Read of the logical device name; read_by_logicalname for the same, by short name",
        "the same value; a meter may refuse the method",
        _by_method,
    ),
)
