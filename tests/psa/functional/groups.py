# SPDX-License-Identifier: Apache-2.0
"""All functional cases, and the table that docs/psa.md shows of them."""

from collections.abc import Iterable, Mapping
from typing import Final

from psa.functional import asymmetric, digests, keys, sealing, storing, updating
from psa.functional.table import Case, Group

GROUPS: Final[tuple[Group, ...]] = (
    keys.GROUP,
    *digests.GROUPS,
    *sealing.GROUPS,
    *asymmetric.GROUPS,
    *storing.GROUPS,
)
UPDATING: Final = updating.GROUP
"""Of the device, not of the core."""
CASES: Final[Mapping[str, Case]] = {
    f"{group.title}, {each}": each for group in GROUPS for each in group.cases
}
"""By name; a name that comes twice would hide a case, and a test looks."""


def tests_of(group: Group) -> str:
    """Return the tests of the public suite that a group follows, in runs."""
    return ", ".join(_runs(sorted({each.after for each in group.cases} - {"own"}))) or "none"


def _runs(names: Iterable[str]) -> Iterable[str]:
    run: list[str] = []
    for name in names:
        if run and int(name[1:]) != int(run[-1][1:]) + 1:
            yield _run(run)
            run = []
        run.append(name)
    if run:
        yield _run(run)


def _run(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]}-{names[-1]}"


def coverage() -> list[tuple[object, ...]]:
    """Return rows: group, tests followed, cases, cases over the wall, what is left out."""
    return [
        (
            each.title,
            tests_of(each),
            len(each.cases),
            sum(1 for it in each.cases if it.over_the_wall),
            each.left_out,
        )
        for each in (*GROUPS, UPDATING)
    ]
