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
    """Runs one command, or with `verb` empty any."""

    def __init__(self, capsys: pytest.CaptureFixture[str], verb: str = "read") -> None:
        self._capsys = capsys
        self._verb = verb

    def __call__(self, *arguments: object) -> Outcome:
        words = [self._verb, *(str(argument) for argument in arguments)]
        status = main([word for word in words if word or word is not self._verb])
        out, err = self._capsys.readouterr()
        return Outcome(status, out, err)
