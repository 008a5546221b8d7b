# SPDX-License-Identifier: Apache-2.0
"""Cases on COSEM objects: what the object list claims, and what the objects are.

DLMS UA 1000-1 Ed. 12.  Types and ranges are those of our class tables (`chapters`); a row that is
marked unsure there raises a remark, not a verdict.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

from openami.cosem.classes import chapters
from openami.cosem.classes.access_control import CURRENT_ASSOCIATION, SapAssignment
from openami.cosem.classes.tariff import RegisterMonitor
from openami.cosem.conformance.case import (
    Failed,
    Family,
    Group,
    Inconclusive,
    Need,
    NotApplicable,
    Script,
)
from openami.cosem.conformance.trial import Trial
from openami.cosem.conformance.walk import CLAUSE, Attempt, object_list, walk
from openami.cosem.kinds import KindError
from openami.cosem.model import Attribute, declared
from openami.dlms.data import OctetString, VisibleString
from openami.dlms.obis import Obis

LDN: Final = Obis(0, 0, 42, 0, 0, 255)
SAPS: Final = Obis(0, 0, 41, 0, 0, 255)
MANAGEMENT: Final = 1
LONGEST_LDN_OCTETS: Final = 16
SHOWN: Final = 3

MONITORED: Final = (RegisterMonitor.class_id, RegisterMonitor.thresholds.index)
MANDATORY: Final = ((15, CURRENT_ASSOCIATION), (1, LDN))
"""In every logical device, for every client."""


def some(problems: Iterable[str]) -> str:
    """Return the first few of many problems, and how many more there are."""
    found = list(problems)
    more = f", and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


def row_of(attempt: Attempt) -> Attribute[Any] | None:
    """Return the row of the class table for an attribute; None where nobody declares it."""
    table = declared(attempt.element.class_id, attempt.element.version)
    if table is None:
        return None
    return next((row for row in table.attributes() if row.index == attempt.index), None)


def _list(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    elements = yield from object_list(trial, client)
    names = Counter((each.class_id, each.logical_name) for each in elements)
    twice = [f"{name} (class {number})" for (number, name), count in names.items() if count > 1]
    if twice:
        raise Failed(f"the object list names {some(twice)} more than once")
    if (15, CURRENT_ASSOCIATION) not in names:
        raise Failed(f"the object list does not name the association itself, {CURRENT_ASSOCIATION}")
    strange = [str(each.class_id) for each in elements if declared(each.class_id, 0) is None]
    if strange:
        trial.remarks.append(f"classes that no table declares: {some(strange)}")
    return f"{len(elements)} objects"


def _mandatory(trial: Trial) -> Script[str | None]:
    client = yield from trial.opened()
    elements = yield from object_list(trial, client)
    names = {(each.class_id, each.logical_name) for each in elements}
    wanted = list(MANDATORY)
    if trial.declaration.server_sap == MANAGEMENT:
        wanted.append((17, SAPS))
    missing = [f"{name} (class {number})" for number, name in wanted if (number, name) not in names]
    if missing:
        raise Failed(f"the object list lacks {some(missing)}")
    name = yield from trial.steps(client.get_data(1, LDN, 2))
    if not isinstance(name, OctetString | VisibleString) or not 1 <= len(name) <= 16:
        raise Failed(f"the logical device name is {name!r}, not 1 to {LONGEST_LDN_OCTETS} octets")
    if trial.declaration.server_sap == MANAGEMENT:
        rows = yield from trial.steps(client.get(SapAssignment.sap_assignment_list, at=SAPS))
        saps = {row.sap for row in rows}
        if trial.declaration.server_sap not in saps:
            raise Failed(f"the SAP assignment lists {sorted(saps)}, not the management device, 1")
    return f"the logical device name is {name!r}"


def wrong_names(first: Iterable[Attempt]) -> list[str]:
    """Return which of the first attributes that were read are not the logical name."""
    return [
        f"{each} is {each.value!r}"
        for each in first
        if not isinstance(each.value, OctetString)
        or bytes(each.value) != each.element.logical_name.encode()
    ]


def _logical_names(trial: Trial) -> Script[str | None]:
    attempts = yield from walk(trial)
    first = [each for each in attempts if each.index == 1 and not each.refusal]
    if wrong := wrong_names(first):
        raise Failed(f"{some(wrong)}; attribute 1 is the logical name")
    if not first:
        raise Inconclusive("no attribute 1 could be read")
    return f"{len(first)} logical names as the object list has them"


def _readable(trial: Trial) -> Script[str | None]:
    attempts = [each for each in (yield from walk(trial)) if each.readable]
    later = [f"{each}: {each.refusal}" for each in attempts if each.temporary]
    if later:
        trial.remarks.append(f"not available now: {some(later)}")
    wrong = [f"{each}: {each.refusal}" for each in attempts if each.refusal and not each.temporary]
    if wrong:
        raise Failed(f"the object list lets {some(wrong)}")
    if len(later) == len(attempts):
        raise Inconclusive("no attribute could be read")
    return f"{len(attempts) - len(later)} attributes were read"


def _not_readable(trial: Trial) -> Script[str | None]:
    attempts = [each for each in (yield from walk(trial)) if not each.readable]
    wrong = [str(each) for each in attempts if not each.refusal]
    if wrong:
        raise Failed(f"the object list does not let read {some(wrong)}, and a value came")
    if not attempts:
        raise NotApplicable("the object list lets read every attribute")
    return f"{len(attempts)} attributes were refused"


def held_to_types(trial: Trial, attempts: Collection[Attempt]) -> int:
    """Hold values to the class tables; return how many of them the tables know.

    Raises:
        Failed: A value has another type than its row.
        Inconclusive: The tables know none of them.
    """
    wrong: list[str] = []
    unsure: list[str] = []
    unknown = 0
    for each in attempts:
        row = row_of(each)
        if row is None:
            unknown += 1
            continue
        try:
            row.kind.from_data(each.value)
        except (KindError, ValueError) as error:
            table = declared(each.element.class_id, each.element.version)
            doubtful = row.unsure or (table is not None and table.unsure)
            same = table is not None and table.version == each.element.version
            (unsure if doubtful or not same else wrong).append(f"{each} ({row.name}): {error}")
    if unknown:
        trial.remarks.append(f"{unknown} attributes are in no class table")
    if unsure:
        trial.remarks.append(f"doubtful, as our tables are not sure of the row: {some(unsure)}")
    if wrong:
        raise Failed(some(wrong))
    if unknown == len(attempts):
        raise Inconclusive("no attribute of the class tables could be read")
    return len(attempts) - unknown


def _types(trial: Trial) -> Script[str | None]:
    attempts = [each for each in (yield from walk(trial)) if not each.refusal]
    held = held_to_types(trial, attempts)
    return f"{held} values have the type of their class"


def _thresholds(trial: Trial) -> Script[str | None]:
    attempts = yield from walk(trial)
    lists = [
        each
        for each in attempts
        if (each.element.class_id, each.index) == MONITORED and not each.refusal
    ]
    wrong = []
    count = 0
    for each in lists:
        values = each.value if isinstance(each.value, list | tuple) else ()
        count += len(values)
        names = sorted({type(value).__name__ for value in values})
        if len(names) > 1:
            wrong.append(f"{each} has {' and '.join(names)}")
    if wrong:
        raise Failed(f"{some(wrong)}; the thresholds of a monitor are of one type")
    if not count:
        raise NotApplicable("no register monitor with thresholds can be read")
    return f"{count} thresholds of {len(lists)} monitors"


_case = Family(prefix="COSEM_", group=Group.COSEM, needs=(Need.LN, Need.GET)).case


CLASSES: Final = sum(len(chapter.classes()) for chapter in chapters.CHAPTERS)
"""How many tables the values are held to."""

CASES: Final = (
    _case(
        "OBJECT_LIST",
        "the object list can be read and is consistent",
        CLAUSE,
        "GET of the object list",
        "each object once, the association among them",
        _list,
    ),
    _case(
        "MANDATORY",
        "mandatory objects",
        CLAUSE,
        "GET of the object list, the logical device name and the SAP assignment",
        "current association, logical device name; SAP assignment in the management device",
        _mandatory,
    ),
    _case(
        "LOGICAL_NAME",
        "attribute 1 of each object is its logical name",
        CLAUSE,
        "GET of attribute 1 of every object",
        "the logical name that the object list has",
        _logical_names,
    ),
    _case(
        "READABLE",
        "what may be read can be read",
        CLAUSE,
        "GET of every attribute",
        "a value, or temporary-failure and object-unavailable with a remark",
        _readable,
    ),
    _case(
        "NOT_READABLE",
        "what may not be read is refused",
        CLAUSE,
        "GET of every attribute",
        "a result other than success",
        _not_readable,
    ),
    _case(
        "TYPES",
        "values have the type of their class",
        CLAUSE,
        "GET of every attribute",
        f"the type and range of the attribute's row in {CLASSES} class tables",
        _types,
    ),
    _case(
        "THRESHOLDS",
        "the thresholds of a register monitor are of one type",
        CLAUSE,
        "GET of every attribute",
        "thresholds of one type in each register monitor",
        _thresholds,
    ),
)
