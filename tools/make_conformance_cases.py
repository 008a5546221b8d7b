# SPDX-License-Identifier: Apache-2.0
"""Write docs/conformance-cases.md: every conformance case, from the table that the runner runs.

    python tools/make_conformance_cases.py

`page` is what the test compares with the committed file.
"""

from collections.abc import Iterator
from pathlib import Path

from openami.cosem.conformance.case import Case, Group, Need
from openami.cosem.conformance.suite import CASES

SAID_BY_GROUP = frozenset({Need.HDLC, Need.LN, Need.SN})
FILE = Path(__file__).resolve().parent.parent / "docs" / "conformance-cases.md"
HEAD = """\
<!-- made by tools/make_conformance_cases.py: change src/openami/cosem/conformance instead -->
# Conformance cases

What [`openami conformance`](conformance-tests.md) asks a meter, from the tables that it runs on. A
number such as `N1` is that of the abstract test suites of the DLMS UA, as far as our sources give
it; a case that is named by words is ours, or one part of theirs. Cases marked *changes* are run
with `--allow-changes` only; those marked *waits* take as long as a time-out of the meter; those
marked *last* come when all others are through: what they leave is a meter for nothing else.
"""


def page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_summary(), *(line for group in Group for line in _group(group))])


def _summary() -> Iterator[str]:
    yield "| group | cases |"
    yield "|---|---|"
    for group in Group:
        yield f"| {group.value} | {sum(case.group is group for case in CASES)} |"
    yield f"| together | {len(CASES)} |"


def _group(group: Group) -> Iterator[str]:
    yield f"\n## {group.value}\n"
    yield "| case | what is tested | steps | accepted | clause |"
    yield "|---|---|---|---|---|"
    for case in CASES:
        if case.group is group:
            yield _row(case)


def _row(case: Case) -> str:
    marks = " *changes*" * case.changes + " *waits*" * case.slow + " *last*" * case.last
    told = [need.value for need in case.needs if need not in SAID_BY_GROUP]
    needs = f" Needs {', '.join(told)}." if told else ""
    cells = (
        f"`{case.id}`{marks}",
        f"{case.title}.{needs}",
        case.steps,
        case.accepts,
        case.clause,
    )
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    FILE.write_text(page() + "\n", encoding="utf-8")
