# SPDX-License-Identifier: Apache-2.0
"""A sender in an event loop: it is stepped whenever it is due, and what arrives is handed over."""

import asyncio
from collections.abc import Callable

from openami.transport.bearers.sender import Sender


def _drop(_octets: bytes) -> None:
    """Take what nobody waits for any more."""


def _nothing() -> None:
    """Have nothing to do after a step."""


class Carriage:
    """Carries octets one way.

    Args:
        sender: Decides what arrives, and when.
        deliver: Takes what has arrived.
        worked: Called after each step.
        speed: How many seconds of the bearer pass in one of the loop.
        begin_s: The loop's time when the bearer began.
    """

    def __init__(
        self,
        sender: Sender,
        deliver: Callable[[bytes], None],
        worked: Callable[[], None] = _nothing,
        *,
        speed: float = 1.0,
        begin_s: float = 0.0,
    ) -> None:
        self._sender = sender
        self._deliver = deliver
        self._worked = worked
        self._speed = speed
        self._begin_s = begin_s
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting_octets(self) -> int:
        """What was put and not yet sent."""
        return self._sender.waiting_octets

    @property
    def is_empty(self) -> bool:
        """Whether all that was put has arrived, or was lost."""
        return self._sender.due_s() is None

    def put(self, octets: bytes) -> None:
        """Send octets, or one datagram."""
        self._sender.put(octets)
        self._work()

    def stop(self) -> None:
        """Carry nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._deliver = _drop
        self._worked = _nothing

    def _work(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for octets in self._sender.step((self._loop.time() - self._begin_s) * self._speed):
            self._deliver(octets)
        if (due_s := self._sender.due_s()) is not None and self._deliver is not _drop:
            self._timer = self._loop.call_at(self._begin_s + due_s / self._speed, self._work)
        self._worked()
