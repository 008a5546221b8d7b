# SPDX-License-Identifier: Apache-2.0
"""docs/conformance-cases.md says what the cases say."""

import fnmatch
import importlib.util
import re
from pathlib import Path

from openami.cosem.conformance.suite import CASES

ROOT = Path(__file__).resolve().parents[3]


def test_the_coverage_table_names_cases_that_are_there() -> None:
    text = (ROOT / "docs" / "conformance-tests.md").read_text(encoding="utf-8")
    table = text.split("## Which abstract tests")[1].split("## What is not covered")[0]
    named = re.findall(r"`((?:HDLC|APPL|COSEM|PUSH|SYMSEC)_[\w*]+)`", table)
    known = [case.id for case in CASES]
    assert len(named) > 40
    assert [each for each in named if not fnmatch.filter(known, each)] == []
    found = {case for each in named for case in fnmatch.filter(known, each)}
    numbered = {each for each in known if re.search(r"(HDLC|SYMSEC_0|OPEN)_\w*", each)}
    assert numbered - found == set()


def test_the_committed_page_is_that_of_the_cases() -> None:
    path = ROOT / "tools" / "make_conformance_cases.py"
    spec = importlib.util.spec_from_file_location("make_conformance_cases", path)
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    text = (ROOT / "docs" / "conformance-cases.md").read_text(encoding="utf-8")
    assert text == tool.page() + "\n", "run python tools/make_conformance_cases.py"
    assert [case.id for case in CASES if f"| `{case.id}`" not in text] == []
