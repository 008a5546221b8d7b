# SPDX-License-Identifier: Apache-2.0
"""The house rules that no linter knows."""

import re
import subprocess
from pathlib import Path

import click
import pytest

from openami.cli.main import COMMANDS, openami

ROOT = Path(__file__).resolve().parent.parent
FILES = [
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
]
FILES = [path for path in FILES if path.exists() and "vendor" not in path.parts]
PYTHON = [path for path in FILES if path.suffix == ".py"]
LONGEST_MODULE = 500


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def test_files_open_with_their_licence_and_are_no_longer_than_they_should() -> None:
    lines = {named(path): path.read_text(encoding="utf-8").splitlines() for path in PYTHON}
    licence = "# SPDX-License-Identifier: Apache-2.0"
    assert [name for name, own in lines.items() if own[:1] != [licence]] == []
    # What is longer is split by chapter.
    assert {name: len(own) for name, own in lines.items() if len(own) > LONGEST_MODULE} == {}


def test_no_file_names_a_package_registry_or_a_path_of_some_machine() -> None:
    forbidden = re.compile(r"--(extra-)?index-url|/(work|root)/(main|shared)|\.\./shared")
    guilty = [
        named(path)
        for path in FILES
        if path.suffix in {".py", ".md", ".toml", ".txt", ".in", ".yml", ".html", ".js", ""}
        and path != Path(__file__).resolve()
        and forbidden.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert guilty == []


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (document, link)
        for document in FILES
        if document.suffix == ".md"
        for link in re.findall(
            r"\]\((?!https?:|#|mailto:)([^)#\s]+)", document.read_text(encoding="utf-8")
        )
    ]
    assert links
    broken = [(named(doc), link) for doc, link in links if not (doc.parent / link).exists()]
    assert broken == []


def is_module(name: str) -> bool:
    """Tell whether `cosem.serving.blocks`, or the module before the last dot, is there."""
    path = ROOT / "src" / "openami" / name.replace(".", "/")
    return any(
        each.with_suffix(".py").exists() or (each.is_dir() and each == path)
        for each in (path, path.parent, path.parent.parent)
    )


def test_modules_that_are_spoken_of_are_there() -> None:
    packages = "|".join(p.name for p in (ROOT / "src/openami").iterdir() if p.is_dir())
    spoken = {
        (name, named(path))
        for path in FILES
        if path.suffix == ".md" or "src" in path.parts
        for name in re.findall(
            rf"`(?:openami\.)?((?:{packages})(?:\.\w+)+)", path.read_text("utf-8", errors="replace")
        )
    }
    assert spoken
    files = ("toml", "json", "md", "pem")
    missing = [each for each in spoken if not each[0].endswith(files) and not is_module(each[0])]
    assert missing == []


def test_no_test_turns_the_clock_of_the_whole_process() -> None:
    """A loop that sleeps in another thread would not wake any more."""
    turned = re.compile(r"""setattr\([^)]*\btime(\.|, ["'])(monotonic|time|sleep)\b""")
    tests = [path for path in PYTHON if "tests" in path.parts]
    assert [named(path) for path in tests if turned.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_loads_and_explains_itself(name: str) -> None:
    context = click.Context(openami)
    command = openami.get_command(context, name)
    assert command is not None
    assert command.get_short_help_str()


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=named)
def test_every_dependency_is_locked_with_hashes(lock: Path) -> None:
    entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8").strip())
    assert entries
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
