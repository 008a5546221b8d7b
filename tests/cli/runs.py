# SPDX-License-Identifier: Apache-2.0
"""Running `openami read` and looking at what it left."""

import pytest

from openami.cli.main import main


class Outcome:
    """What a run of the command left."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err

    @property
    def sentence(self) -> str:
        """The refusal, which must be exactly one line and no traceback."""
        (line,) = self.err.splitlines()
        assert line.startswith("openami: ")
        assert "Traceback" not in self.err
        return line


class Run:
    """Runs `openami read`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: object) -> Outcome:
        status = main(["read", *(str(argument) for argument in arguments)])
        out, err = self._capsys.readouterr()
        return Outcome(status, out, err)
