# SPDX-License-Identifier: Apache-2.0
"""Commands that listen, in a process of their own: started, waited for, ended."""

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

PATIENCE_S = 30


class Listening:
    """Runs a command until the `with` block ends; `urls` are where it listens."""

    def __init__(self, *words: object, expect: int = 1, cwd: Path | None = None) -> None:
        self._words = [sys.executable, "-m", "openami", *map(str, words)]
        self._expect = expect
        self._cwd = cwd
        self.urls: list[str] = []
        self.lines: list[str] = []

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            self._words,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self._cwd,
            env=os.environ | {"PYTHONUNBUFFERED": "1", "COLUMNS": "80"},
        )
        ready = threading.Event()

        def follow() -> None:
            assert self.process.stdout is not None
            for line in self.process.stdout:
                self.lines.append(line.rstrip("\n"))
                if found := re.fullmatch(r"listening on (\S+)", line.strip()):
                    self.urls.append(found[1])
                    if len(self.urls) == self._expect:
                        ready.set()
            ready.set()

        self._reader = threading.Thread(target=follow)
        self._reader.start()
        assert ready.wait(PATIENCE_S), self.lines
        if len(self.urls) != self._expect:
            self.__exit__()
            raise AssertionError("\n".join(self.lines))
        return self

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    def kill(self) -> None:
        """End it outright."""
        self.process.kill()
        self.process.wait(PATIENCE_S)

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        finally:
            self._reader.join(PATIENCE_S)
            if self.process.stdout is not None:
                self.process.stdout.close()
