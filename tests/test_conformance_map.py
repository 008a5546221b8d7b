# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.toml names modules and tests that exist, and every module of the cores."""

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
CLAUSES: list[dict[str, Any]] = tomllib.loads(
    (ROOT / "docs" / "conformance.toml").read_text(encoding="utf-8")
)["clause"]
CORES = ("dlms", "cosem", "coap", "psa")
STATES = {"built", "part", "absent"}


def named(clause: dict[str, Any]) -> str:
    return f"{clause['document']} {clause['number']} {clause['title']}"


@pytest.mark.parametrize("clause", CLAUSES, ids=named)
def test_a_clause_names_what_exists(clause: dict[str, Any]) -> None:
    assert clause["state"] in STATES
    assert [name for name in clause["modules"] if find_spec(name) is None] == []
    assert [name for name in clause["tests"] if not (ROOT / name).is_file()] == []
    assert (clause["state"] == "absent") == (not clause["modules"] and not clause["tests"])
    assert (clause["state"] != "built") == bool(clause.get("note"))


def test_every_module_of_the_cores_has_its_clause() -> None:
    source = ROOT / "src"
    modules = {
        ".".join(path.relative_to(source).with_suffix("").parts)
        for core in CORES
        for path in (source / "openami" / core).rglob("*.py")
        if path.name != "__init__.py"
    }
    assert modules - {name for clause in CLAUSES for name in clause["modules"]} == set()


def test_no_clause_stands_twice() -> None:
    assert len({named(clause) for clause in CLAUSES}) == len(CLAUSES)
