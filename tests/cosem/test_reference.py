# SPDX-License-Identifier: Apache-2.0
"""docs/reference says what the tables say."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from openami.cosem.classes.chapters import CHAPTERS

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools" / "make_reference.py"
    spec = importlib.util.spec_from_file_location("make_reference", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_committed_pages_are_those_of_the_tables(tool: ModuleType) -> None:
    made: dict[str, str] = tool.pages()
    committed = {page.name: page.read_text(encoding="utf-8") for page in FOLDER.glob("*.md")}

    assert sorted(committed) == sorted(made)
    for name, text in made.items():
        assert committed[name] == text, f"{name}: run python tools/make_reference.py"


def test_every_link_within_a_page_has_its_heading(tool: ModuleType) -> None:
    for name, text in tool.pages().items():
        headings = {
            re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("#")
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings, name


def test_every_row_stands_on_the_page_of_its_chapter(tool: ModuleType) -> None:
    made: dict[str, str] = tool.pages()
    for chapter in CHAPTERS:
        text = made[f"{chapter.name}.md"]
        for table in chapter.classes():
            assert f"- Version {table.version}, `{table.__name__}`:" in text
            for row in (*table.attributes(), *table.methods()):
                assert f"`{row.name}`" in text or row.name == "logical_name"
                assert row.unsure in text
            assert table.unsure[1:] in text


def test_every_class_says_where_the_standard_has_it(tool: ModuleType) -> None:
    made: dict[str, str] = tool.pages()
    places = re.findall(
        r"^## (\d+) \w+\n\n(Clause 4\.\d+\.\d+|In chapter 4\.[\d and.]+|In an edition after 12)\.$",
        "\n".join(made.values()),
        re.MULTILINE,
    )
    assert {int(class_id) for class_id, _ in places} == {
        table.class_id for chapter in CHAPTERS for table in chapter.classes()
    }
    assert dict(places)["3"] == "Clause 4.3.2"
    assert dict(places)["19"] == "In chapter 4.7"
    assert dict(places)["130"] == "In an edition after 12"
