# SPDX-License-Identifier: Apache-2.0
"""Tests that documents name are there, and each fault of docs/faults.md has one."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
DOCUMENTS = sorted((ROOT / "docs").rglob("*.md"))
SPOKEN = re.compile(r"`((?:tests/)?[\w/]*test_\w+\.py)(?:::(test_\w+))?`")
HEADING = re.compile(r"^## (\d+)\. ", re.MULTILINE)
FAULTS = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")


@cache
def defined_in(path: Path) -> set[str]:
    """Return the names of a module's tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return {each.name for each in ast.walk(tree) if isinstance(each, functions)}


def unknown(file: str, test: str) -> bool:
    """Tell whether no module of that name, or end of a path, has the test."""
    there = [path for path in TESTS if f"/{path.relative_to(ROOT)}".endswith(f"/{file}")]
    return not any(not test or test in defined_in(path) for path in there)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(document: Path) -> None:
    spoken = SPOKEN.findall(document.read_text(encoding="utf-8"))
    assert [each for each in spoken if unknown(*each)] == []


def rows() -> list[tuple[str, str]]:
    """Return the section and the last cell of each row of the tables of faults."""
    found = []
    parts = HEADING.split(FAULTS)
    for section, text in zip(parts[1::2], parts[2::2], strict=True):
        for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
            for line in table.splitlines()[2:]:
                cells = [cell.strip() for cell in line.strip("|").split(" | ")]
                found.append((section, cells[-1]))
    return found


def test_every_fault_has_its_test() -> None:
    found = rows()
    assert {section for section, _ in found} == {"1", "2", "3", "4", "5", "6"}
    assert len(found) > 80
    same = ("the same", "the same two")  # as in the row above
    assert [cell for _, cell in found if not (SPOKEN.search(cell) or cell in same)] == []
