# SPDX-License-Identifier: Apache-2.0
"""`openami meter recover` given what is no service line: it says so and writes nothing there."""

from pathlib import Path

import pytest

from cli.runs import Run
from openami.runtime.errors import ExitCode


@pytest.mark.parametrize("line", ["/dev/null", "notes.txt", "nowhere"])
def test_what_is_no_line_is_left_as_it_is(
    openami: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    notes = tmp_path / "notes.txt"
    notes.write_text("my notes")

    refused = openami("meter", "recover", "--line", line)

    assert refused.status == ExitCode.ASKED_WRONGLY
    assert f"{line} " in refused.sentence
    assert "look at the meter's alarm" in refused.sentence
    assert notes.read_text() == "my notes"
