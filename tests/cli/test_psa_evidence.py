# SPDX-License-Identifier: Apache-2.0
"""The answers to PSA Certified Level 1, and what results of tests make of them."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from cli.runs import Run
from openami.device.evidence import Entry, Finding, Part, State, entries, judged

ROOT = Path(__file__).resolve().parents[2]
GOALS = 10


def results(path: Path, outcomes: dict[str, str]) -> Path:
    """Write results as pytest does: a case for each test file or folder."""
    cases = []
    for test, outcome in outcomes.items():
        file = test if test.endswith(".py") else f"{test}/test_any.py"
        name = quoteattr(file.removesuffix(".py").replace("/", "."))
        inside = "" if outcome == "passed" else f"<{outcome}/>"
        cases.append(f'<testcase classname={name} name="test_it">{inside}</testcase>')
    path.write_text(f"<testsuites><testsuite>{''.join(cases)}</testsuite></testsuites>")
    return path


ALL = {test: "passed" for entry in entries() for test in entry.shown_by}


def test_all_ten_goals_and_every_part_are_answered() -> None:
    table = entries()
    assert len({entry.id for entry in table}) == len(table)
    assert sum(entry.part is Part.GOAL for entry in table) == GOALS
    assert {entry.part for entry in table} == set(Part)


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.id)
def test_an_answer_names_what_is_there(entry: Entry) -> None:
    for name in entry.artefacts:
        importlib.import_module(name)
    for test in entry.shown_by:
        assert (ROOT / test).exists(), test
    assert (entry.state is State.BUILT) is not bool(entry.note), "a gap has its reason"


@pytest.mark.parametrize(
    ("outcome", "finding"),
    [
        ("passed", Finding.SHOWN),
        ("failure", Finding.REFUTED),
        ("error", Finding.REFUTED),
        ("skipped", Finding.NOT_RUN),
    ],
)
def test_one_test_decides(outcome: str, finding: Finding, tmp_path: Path) -> None:
    goal = next(entry for entry in entries() if entry.state is State.BUILT)
    path = results(tmp_path / "junit.xml", {**ALL, goal.shown_by[0]: outcome})
    (found,) = judged([goal], [path])
    assert found.finding is finding


def test_what_did_not_run_or_is_in_part_is_not_shown(tmp_path: Path) -> None:
    goal = next(entry for entry in entries() if entry.state is State.BUILT)
    (found,) = judged([goal], [results(tmp_path / "none.xml", {})])
    assert found.finding is Finding.NOT_RUN
    partly = replace(goal, state=State.PART)
    (found,) = judged([partly], [results(tmp_path / "all.xml", ALL)])
    assert found.finding is Finding.IN_PART


def test_the_command_writes_both_and_says_what_failed(openami: Run, tmp_path: Path) -> None:
    good = results(tmp_path / "good.xml", ALL)
    page, data = tmp_path / "evidence.html", tmp_path / "evidence.json"
    outcome = openami("psa-evidence", good, "--html", page, "--json", data)
    assert outcome.status == 0, outcome.err
    assert "G4  Secure boot: shown" in outcome.out
    assert len(json.loads(data.read_text())["entries"]) == len(entries())
    assert page.read_text().count("<details") == len(entries())

    bad = results(tmp_path / "bad.xml", {**ALL, "tests/device/test_otp.py": "failure"})
    outcome = openami("psa-evidence", bad)
    assert outcome.status == 1
    assert "G2, C2: tests failed or did not run" in outcome.sentence


def test_a_file_without_results_is_one_sentence(openami: Run, tmp_path: Path) -> None:
    odd = tmp_path / "odd.xml"
    odd.write_text("no XML")
    for path in (odd, tmp_path / "none.xml"):
        outcome = openami("psa-evidence", path)
        assert outcome.status == 2
        assert "give what pytest --junitxml wrote" in outcome.sentence
