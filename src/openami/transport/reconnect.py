# SPDX-License-Identifier: Apache-2.0
"""A connection that is always wanted: dial, use, dial again, with jittered pauses.

Pauses double from a first to a longest one, each drawn anew from the upper half of its range, so
that twenty thousand meters do not return in the same second after an outage.  Only a connection
that stood for a while resets the pause: a peer that accepts and drops at once is not hammered.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from openami.transport.wire import Wire, WireError

log = logging.getLogger(__name__)

DOUBLINGS: Final = 16  # beyond, the longest pause is reached for any sensible first one


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to pause before the next attempt."""

    first_s: float = 0.5
    most_s: float = 30.0
    stable_s: float = 10.0  # a connection that stood so long was a good one

    def pause_s(self, failures: int, draw: float) -> float:
        """Return the pause after `failures` failures in a row.

        Args:
            failures: 1 or more.
            draw: Uniform in [0, 1).
        """
        longest_s = min(self.most_s, self.first_s * 2.0 ** min(failures - 1, DOUBLINGS))
        return longest_s * (0.5 + 0.5 * draw)


DEFAULT_BACKOFF: Final = Backoff()


class Reconnector:
    """Keeps one wire up for as long as `run` runs.

    Args:
        name: What is dialled, for the log.
        dial: Makes a wire; raises `WireError` when it cannot.
        entropy: Uniform draws in [0, 1), e.g. `random.random`.
        backoff: The pauses.
    """

    def __init__(
        self,
        name: str,
        dial: Callable[[], Awaitable[Wire]],
        entropy: Callable[[], float],
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> None:
        self.name = name
        self.wire: Wire | None = None  # the wire that stands now
        self.attempts = 0
        self._dial = dial
        self._entropy = entropy
        self._backoff = backoff
        self._said: str | None = None  # the last trouble logged: each is told once
        self._hurry = asyncio.Event()

    def hurry(self) -> None:
        """End the pause now: something tells that the peer is back."""
        self._hurry.set()

    async def run(
        self,
        attached: Callable[[Wire], None] | None = None,
        detached: Callable[[str], None] | None = None,
    ) -> None:
        """Dial for ever; end by cancelling, which closes the wire.

        Args:
            attached: Called with each new wire, after its handler was bound.
            detached: Called with the reason each time that a wire is gone.
        """
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            self.attempts += 1
            try:
                wire = await self._dial()
            except WireError as error:
                failures += 1
                self._say(str(error))
            else:
                since_s = loop.time()
                reason = await self._stand(wire, attached)
                stood_s = loop.time() - since_s
                failures = 1 if stood_s >= self._backoff.stable_s else failures + 1
                self._say(reason)
                if detached is not None:
                    detached(reason)
            await self._pause(self._backoff.pause_s(failures, self._entropy()))

    async def _stand(self, wire: Wire, attached: Callable[[Wire], None] | None) -> str:
        """Wait until the wire is gone; return why."""
        self.wire = wire
        log.info("%s attached", self.name)
        try:
            if attached is not None:
                attached(wire)
            await wire.gone()
        except asyncio.CancelledError:
            wire.close("the service stops")
            raise
        finally:
            self.wire = None
        return wire.reason or "closed"

    async def _pause(self, pause_s: float) -> None:
        self._hurry.clear()
        try:
            async with asyncio.timeout(pause_s):
                await self._hurry.wait()
        except TimeoutError:
            return

    def _say(self, trouble: str) -> None:
        level = logging.DEBUG if trouble == self._said else logging.WARNING
        self._said = trouble
        log.log(level, "%s not attached: %s", self.name, trouble)
