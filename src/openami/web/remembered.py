# SPDX-License-Identifier: Apache-2.0
"""A costly answer that many pages may share for a while: the longer, the more it cost."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

T = TypeVar("T")

SHARE: Final = 0.2  # of the time is spent on one answer, at most
MOST_S: Final = 3.0  # ... unless it would be older than this, which people who wait would notice
CHEAP_S: Final = 0.05  # what takes less is made anew each time, unless it is to be kept


@dataclass(slots=True)
class Remembered(Generic[T]):
    """The last answer and what it was asked for; threads that ask at once wait for one answer.

    Attributes:
        for_s: How long an answer is good for, whatever it cost.
        most_s: How old one that cost much may be.
    """

    for_s: float = 0.0
    most_s: float = MOST_S
    monotonic_s: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: tuple[object, float, T] | None = None  # for what, good until when, the answer

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Return the answer for `key`, a new one where the last is for another or too old."""
        with self._lock:
            asked_s = self.monotonic_s()
            if self._found is not None:
                known, until_s, answer = self._found
                if known == key and asked_s < until_s:
                    return answer
            answer = make()
            now_s = self.monotonic_s()
            took_s = now_s - asked_s
            dear_s = 0.0 if took_s < CHEAP_S else min(took_s / SHARE, self.most_s)
            self._found = (key, max(asked_s + self.for_s, now_s + dear_s), answer)
            return answer
