# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.toml names modules and tests that exist, and every module of the cores."""

import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
CLAUSES: list[dict[str, Any]] = tomllib.loads(
    (ROOT / "docs" / "conformance.toml").read_text(encoding="utf-8")
)["clause"]
CORES = ("dlms", "cosem", "coap", "psa")
STATES = {"built", "part", "absent"}


def named(clause: dict[str, Any]) -> str:
    return f"{clause['document']} {clause['number']} {clause['title']}"


def is_there(module: str) -> bool:
    """Tell whether a module or package exists, without importing what it is in."""
    path = ROOT / "src" / module.replace(".", "/")
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def test_clauses_name_what_exists() -> None:
    assert CLAUSES
    for clause in CLAUSES:
        name = named(clause)
        assert clause["state"] in STATES, name
        assert [each for each in clause["modules"] if not is_there(each)] == [], name
        assert [each for each in clause["tests"] if not (ROOT / each).is_file()] == [], name
        absent = not clause["modules"] and not clause["tests"]
        assert (clause["state"] == "absent") == absent, name
        assert (clause["state"] != "built") == bool(clause.get("note")), name


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
