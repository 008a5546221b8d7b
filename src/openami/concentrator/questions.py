# SPDX-License-Identifier: Apache-2.0
"""Asks the head-end for the time, every so often, and measures how long the answer took.

The question is the concentrator's word on its own clock (`exchange.field`, clock), so that one
message tells and asks.  On a new uplink a few are asked close together; after them one each
interval.  A head-end that confirms the word and gives no answer does not know it, and is not asked
again before the next uplink.  It does no input or output and is told the time.
"""

from collections.abc import Callable
from typing import Final

from openami.concentrator.owntime import OwnTime
from openami.exchange.field import encode_clock
from openami.exchange.orders import TimeAnswer
from openami.exchange.timesync import JUMP_SAMPLES, Exchange
from openami.runtime.clock import MICROSECONDS

FIRST: Final = JUMP_SAMPLES  # on a new uplink: enough to believe a head-end that was set, too
FIRST_S: Final = 2.0  # between them


class Questions:
    """What is asked over whichever uplink there is.

    Attributes:
        every_s: From one question to the next; 0: nothing is asked.
        answers: How many were had.
        is_answered: False where the head-end confirmed a question without an answer.
    """

    def __init__(self, time: OwnTime, every_s: float) -> None:
        self.every_s = every_s
        self.answers = 0
        self.is_answered = True
        self._time = time
        self._asked = 0  # on this uplink
        self._next_us = 0
        self._open: tuple[int, int] | None = None  # what its answer names, since

    def begin(self) -> None:
        """Begin on a new uplink; an answer to what was asked before comes no more."""
        self.is_answered = True
        self._asked = 0
        self._next_us = self._time.monotonic_us()
        self._open = None

    def due(self, number: Callable[[], int], confirmed: Callable[[int], int]) -> bytes | None:
        """Return the question that is to be sent at once, before anything else; None: not now.

        Args:
            number: Returns the next long-invoke-id.
            confirmed: Returns a long-invoke-id as a confirm brings it back.
        """
        now_us = self._time.monotonic_us()
        if not self.every_s or not self.is_answered or now_us < self._next_us:
            return None
        every_us = round(self.every_s * MICROSECONDS)
        if self._open is not None and now_us - self._open[1] < every_us:
            return None  # on a slow way the answer may come yet
        self._asked += 1
        first_us = round(FIRST_S * MICROSECONDS)
        self._next_us = now_us + (min(first_us, every_us) if self._asked < FIRST else every_us)
        invoke_id = number()
        apdu = encode_clock(self._time.state(), invoke_id)
        self._open = confirmed(invoke_id), self._time.monotonic_us()
        return apdu

    def answered(self, answer: TimeAnswer) -> None:
        """Take an answer, just come; one to another question than the last is none."""
        heard_us = self._time.monotonic_us()
        if self._open is None or self._open[0] != answer.asked:
            return
        (_, asked_us), self._open = self._open, None
        self.answers += 1
        exchange = Exchange(
            asked_us=asked_us,
            received_us=answer.received_us,
            answered_us=answer.answered_us,
            heard_us=heard_us,
        )
        self._time.heard(exchange, head_end_kept=answer.kept)

    def confirmed(self, long_invoke_id: int) -> None:
        """Take a confirm; an answer comes before the confirm of its question, or never."""
        if self._open is not None and self._open[0] == long_invoke_id:
            self._open = None
            self.is_answered = False
