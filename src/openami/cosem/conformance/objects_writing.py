# SPDX-License-Identifier: Apache-2.0
"""Cases that write attributes with the values they have: who may, and who may not.

What the meter changes by itself (a clock, a measured value) is left alone, and so are security
setups, associations and images: writing those back is no harmless thing.
"""

from collections.abc import Callable, Iterator
from typing import Final

from openami.cosem.client import Client
from openami.cosem.conformance.case import Case, Failed, Group, Need, NotApplicable, Script
from openami.cosem.conformance.data_writing import write_row
from openami.cosem.conformance.declaration import Row
from openami.cosem.conformance.objects import row_of, some
from openami.cosem.conformance.trial import Trial
from openami.cosem.conformance.walk import CLAUSE, Attempt, walk
from openami.dlms import data as axdr_data
from openami.dlms.apdu.codes import DataAccessResult

LEFT_ALONE: Final = frozenset({12, 15, 18, 64})
"""Associations, image transfer, security setup."""
LONGEST_OCTETS: Final = 64
"""Longer values are not written: they would not fit into one request everywhere."""


def _candidates(attempts: list[Attempt], *, writable: bool) -> Iterator[Attempt]:
    for each in attempts:
        row = row_of(each)
        left_alone = each.element.class_id in LEFT_ALONE or row is None or row.dynamic
        if left_alone or each.refusal or each.writable is not writable:
            continue
        if len(axdr_data.encode(each.value)) <= LONGEST_OCTETS:
            yield each


def _results(
    trial: Trial, client: Client, attempts: list[Attempt]
) -> Script[list[tuple[Attempt, DataAccessResult]]]:
    found = []
    for each in attempts:
        row = Row(
            class_id=each.element.class_id,
            logical_name=each.element.logical_name,
            attribute=each.index,
        )
        found.append((each, (yield from write_row(trial, client, row, each.value))))
    return found


def _writable(trial: Trial) -> Script[str | None]:
    wanted = list(_candidates((yield from walk(trial)), writable=True))
    if not wanted:
        raise NotApplicable("the object list lets write nothing that is harmless to write back")
    client = yield from trial.opened()
    results = yield from _results(trial, client, wanted)
    wrong = [f"{each}: {result}" for each, result in results if result != DataAccessResult.SUCCESS]
    if wrong:
        raise Failed(f"the object list lets write what is refused: {some(wrong)}")
    return f"{len(results)} attributes were written back"


def _not_writable(trial: Trial) -> Script[str | None]:
    wanted = list(_candidates((yield from walk(trial)), writable=False))
    if not wanted:
        raise NotApplicable("every attribute may be written")
    client = yield from trial.opened()
    results = yield from _results(trial, client, wanted)
    wrong = [str(each) for each, result in results if result == DataAccessResult.SUCCESS]
    if wrong:
        raise Failed(f"the object list does not let write {some(wrong)}, and SET succeeds")
    return f"{len(results)} attributes were refused"


def _case(
    name: str, title: str, accepts: str, script: Callable[[Trial], Script[str | None]]
) -> Case:
    return Case(
        id=f"COSEM_{name}",
        group=Group.COSEM,
        title=title,
        clause=CLAUSE,
        needs=(Need.LN, Need.GET, Need.SET),
        steps="GET of every attribute; SET of some with the value that they have",
        accepts=accepts,
        script=script,
        changes=True,
    )


CASES: Final = (
    _case("WRITABLE", "what may be written can be written", "success", _writable),
    _case(
        "NOT_WRITABLE",
        "what may not be written is refused",
        "a result other than success",
        _not_writable,
    ),
)
