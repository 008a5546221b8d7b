# SPDX-License-Identifier: Apache-2.0
"""docs/psa.md says what the tables say, and leaves nothing out."""

import importlib.util
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from openami.psa.crypto import Crypto

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "psa.md").read_text(encoding="utf-8")


def tool() -> ModuleType:
    path = ROOT / "tools" / "make_psa.py"
    spec = importlib.util.spec_from_file_location("make_psa", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_those_of_the_code() -> None:
    made = tool()
    assert made.filled(PAGE) == PAGE, "run python tools/make_psa.py"
    assert set(re.findall(r"<!-- table: ([a-z ]+) -->", PAGE)) == set(made.TABLES)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(openami(?:\.\w+)+)`", PAGE))))
def test_names_on_the_page_exist(name: str) -> None:
    module, _, last = name.rpartition(".")
    assert hasattr(import_module(module), last) or import_module(name)


def test_every_function_of_a_client_stands_on_the_page() -> None:
    functions = {name for name in vars(Crypto) if not name.startswith("_")}
    made = {"hash_operation", "mac_operation", "cipher_operation", "aead_operation"}
    for name in functions - made - {"key_derivation"}:
        assert f"`psa_{name}`" in PAGE
