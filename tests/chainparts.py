# SPDX-License-Identifier: Apache-2.0
"""Parts of the meters in `chain`."""

from openami.cosem.classes.disconnect import ControlState


class Switch:
    """The breaker of a test meter."""

    def __init__(self) -> None:
        self.closed = True
        self.moves: list[ControlState] = []

    def is_closed(self) -> bool:
        return self.closed

    def move(self, state: ControlState) -> None:
        self.moves.append(state)
        self.closed = state is ControlState.CONNECTED


class Counter:
    """Invocation counters of a test meter, in memory."""

    def __init__(self) -> None:
        self.next = 1

    def reserve(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first
