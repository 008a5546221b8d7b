# SPDX-License-Identifier: Apache-2.0
"""What documents tell people to type is a command that there is, with options that it has."""

import re
import shlex
from pathlib import Path

import click
import pytest

from openami.cli.main import openami

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("docs/**/*.md"), ROOT / "README.md"]
    if "decisions" not in path.parts
)
TYPED = re.compile(r"(?:^|`)\$?\s*(?:sudo )?(?:\.venv/bin/)?openami ([^`\n]+)", re.MULTILINE)
ENDS = re.compile(r"\s(?:#|\||&&|>|;|2>|&$|<)\s?")
OURS = ("<", "…", "*")  # stands for a command and names none


def typed(text: str) -> list[list[str]]:
    found = []
    for match in TYPED.finditer(re.sub(r"\\\n\s*", " ", text)):
        line = ENDS.split(match[1])[0]
        try:
            words = shlex.split(line)
        except ValueError:  # a quotation goes on in the next line
            words = line.split()
        if words and not words[0].startswith(OURS):
            found.append(words)
    return found


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and the words behind its name."""
    command: click.Command = openami
    context = click.Context(openami)
    rest = list(words)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"openami {' '.join(words)}: there is no {rest[0]}"
        command, rest = inner, rest[1:]
    return command, rest


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a_document_tells_commands_that_there_are(document: Path) -> None:
    for words in typed(document.read_text(encoding="utf-8")):
        command, rest = command_of(words)
        known = {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
        for word in rest:
            option = word.split("=")[0].rstrip(",.…)")
            if len(option) > 2 and option.startswith("--"):
                assert option in known | {"--help"}, f"openami {' '.join(words)}: no {option}"


def test_documents_are_looked_at() -> None:
    assert sum(len(typed(path.read_text(encoding="utf-8"))) for path in DOCUMENTS) > 200
    with pytest.raises(AssertionError, match="there is no fly"):
        command_of(["meter", "fly"])
