# SPDX-License-Identifier: Apache-2.0
"""A costly answer that many pages may share for a while."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class Remembered(Generic[T]):
    """The last answer and what it was asked for; threads that ask at once wait for one answer."""

    for_s: float
    monotonic_s: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _found: tuple[object, float, T] | None = None

    def get(self, key: object, make: Callable[[], T]) -> T:
        """Return the answer for `key`, a new one where the last is for another or too old."""
        with self._lock:
            now_s = self.monotonic_s()
            if self._found is not None:
                known, at_s, answer = self._found
                if known == key and now_s - at_s < self.for_s:
                    return answer
            answer = make()
            self._found = (key, now_s, answer)
            return answer
