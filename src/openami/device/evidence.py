# SPDX-License-Identifier: Apache-2.0
"""Evidence for PSA Certified Level 1: what `level1.toml` answers, held to the results of tests.

An answer counts as shown only when all of its tests ran and passed.  Results are those that pytest
writes with ``--junitxml``.
"""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET

from openami.runtime.errors import ExitCode, UserError

TABLE: Final = Path(__file__).with_name("level1.toml")
FIELDS: Final = {"id", "part", "title", "answer", "state", "artefacts", "shown_by"}


class Part(Enum):
    """Parts of the questionnaire, in its order."""

    GOAL = "goal"
    CHIP = "chip"
    SOFTWARE = "software"
    DEVICE = "device"


class State(Enum):
    """How much of an answer is built."""

    BUILT = "built"
    PART = "part"
    ABSENT = "absent"


class Finding(Enum):
    """What tests say of an answer."""

    SHOWN = "shown"
    IN_PART = "shown in part"
    ABSENT = "not built"
    NOT_RUN = "tests did not run"
    REFUTED = "a test failed"


@dataclass(frozen=True, slots=True)
class Entry:
    """A goal or a question."""

    id: str
    part: Part
    title: str
    answer: str
    state: State
    artefacts: tuple[str, ...]
    shown_by: tuple[str, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Tally:
    """Results of the tests under one path."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer, and what its tests say."""

    entry: Entry
    tallies: Mapping[str, Tally]

    @property
    def finding(self) -> Finding:
        if any(tally.failed for tally in self.tallies.values()):
            return Finding.REFUTED
        if self.entry.state is State.ABSENT:
            return Finding.ABSENT
        if any(not tally.passed or tally.skipped for tally in self.tallies.values()):
            return Finding.NOT_RUN
        return Finding.SHOWN if self.entry.state is State.BUILT else Finding.IN_PART


def entries() -> tuple[Entry, ...]:
    """Return the table."""
    rows = tomllib.loads(TABLE.read_text(encoding="utf-8"))["entry"]
    return tuple(map(_entry, rows))


def judged(table: Iterable[Entry], results: Sequence[Path]) -> tuple[Judged, ...]:
    """Hold answers to the results of tests.

    Raises:
        UserError: A file holds no results.
    """
    cases = [case for path in results for case in _cases(path)]
    return tuple(
        Judged(entry, {test: _tally(test, cases) for test in entry.shown_by}) for entry in table
    )


def as_json(found: Iterable[Judged]) -> dict[str, Any]:
    """Return everything, for programs."""
    return {
        "format": "openami-psa-l1-1",
        "entries": [
            {
                "id": each.entry.id,
                "part": each.entry.part.value,
                "title": each.entry.title,
                "answer": each.entry.answer,
                "state": each.entry.state.value,
                "note": each.entry.note,
                "finding": each.finding.value,
                "artefacts": list(each.entry.artefacts),
                "tests": {
                    path: {
                        "passed": tally.passed,
                        "failed": tally.failed,
                        "skipped": tally.skipped,
                    }
                    for path, tally in each.tallies.items()
                },
            }
            for each in found
        ],
    }


def _entry(row: Mapping[str, Any]) -> Entry:
    if missing := FIELDS - row.keys():
        raise ValueError(f"{TABLE.name}, {row.get('id')}: {', '.join(sorted(missing))} is missing")
    return Entry(
        id=row["id"],
        part=Part(row["part"]),
        title=row["title"],
        answer=row["answer"],
        state=State(row["state"]),
        artefacts=tuple(row["artefacts"]),
        shown_by=tuple(row["shown_by"]),
        note=row.get("note", ""),
    )


def _cases(path: Path) -> list[tuple[str, str]]:
    """Return the place (``tests/psa/test_x.py/name``) and the outcome of each test."""
    try:
        root = ET.fromstring(path.read_bytes())  # noqa: S314  our own tests' results
    except OSError as error:
        sentence = f"{path} cannot be read ({error.strerror}): give what pytest --junitxml wrote"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    except ET.ParseError as error:
        sentence = f"{path} holds no results ({error}): give what pytest --junitxml wrote"
        raise UserError(sentence, ExitCode.ASKED_WRONGLY) from None
    return [
        (f"{case.get('classname', '').replace('.', '/')}.py", _outcome(case))
        for case in root.iter("testcase")
    ]


def _outcome(case: ET.Element) -> str:
    found = {child.tag for child in case}
    if found & {"failure", "error"}:
        return "failed"
    return "skipped" if "skipped" in found else "passed"


def _tally(test: str, cases: Iterable[tuple[str, str]]) -> Tally:
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    under = f"{test.removesuffix('.py')}{'.py' if test.endswith('.py') else '/'}"
    for place, outcome in cases:
        if place.startswith(under):
            counts[outcome] += 1
    return Tally(**counts)
