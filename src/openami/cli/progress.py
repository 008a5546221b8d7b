# SPDX-License-Identifier: Apache-2.0
"""A progress bar for long work: on a terminal only, and on standard error."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from openami.dlms.conversation import Conversation

T = TypeVar("T")

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


def counted(conversation: Conversation[T], tell: Callable[[int], None]) -> Conversation[T]:
    """Hold a conversation and tell, as answers come, how many octets they had together."""
    octets = 0
    step: Callable[[], bytes] = partial(next, conversation)
    tell(octets)
    while True:
        try:
            request = step()
        except StopIteration as stop:
            result: T = stop.value
            return result
        try:
            answer = yield request
        except GeneratorExit:
            conversation.close()
            raise
        except Exception as error:  # noqa: BLE001  it is the conversation's
            step = partial(conversation.throw, error)
            continue
        octets += len(answer)
        tell(octets)
        step = partial(conversation.send, answer)
