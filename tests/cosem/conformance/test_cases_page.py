# SPDX-License-Identifier: Apache-2.0
"""docs/conformance-cases.md says what the cases say."""

import importlib.util
from pathlib import Path

from openami.cosem.conformance.suite import CASES

ROOT = Path(__file__).resolve().parents[3]


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
