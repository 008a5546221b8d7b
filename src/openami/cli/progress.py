# SPDX-License-Identifier: Apache-2.0
"""A progress bar for long work: on a terminal only, and on standard error."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

EVERY_S: Final = 0.1


class Bar:
    """What work tells of its progress; draws nothing where nobody looks."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._task = None if progress is None else progress.add_task("", total=None)
        self._drawn_s = 0.0

    def at(self, done: float, total: float | None, what: str) -> None:
        """Tell how far the work is.

        Args:
            done: Of `total`.
            total: None where nobody knows.
            what: What is in hand, with its figures.
        """
        if self._progress is None or self._task is None:
            return
        now_s = time.monotonic()
        if now_s - self._drawn_s < EVERY_S and done != total:
            return
        self._drawn_s = now_s
        self._progress.update(self._task, completed=done, total=total, description=what)


@contextlib.contextmanager
def bar(*, wanted: bool = True) -> Iterator[Bar]:
    """Show a bar while the work goes on, and take it away at the end."""
    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield Bar(None)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)
