# SPDX-License-Identifier: Apache-2.0
"""A bad serial line."""

from collections import deque
from random import Random


class Line:
    """One direction of a bad line: loses, spoils, doubles, delays, cuts."""

    def __init__(self, draw: Random, badness: float) -> None:
        self.draw = draw
        self.badness = badness
        self._later: deque[bytes] = deque()

    def carry(self, octets: bytes) -> bytes:
        draw = self.draw
        if not octets or draw.random() > self.badness:
            held = b"".join(self._later)
            self._later.clear()
            return octets + held if draw.random() < self.badness else held + octets
        fault = draw.randrange(5)
        if fault == 0:
            return b""
        if fault == 1:
            place = draw.randrange(len(octets))
            return octets[:place] + bytes([draw.randrange(256)]) + octets[place + 1 :]
        if fault == 2:
            return octets + octets
        if fault == 3:
            self._later.append(octets)
            return b""
        return octets[: draw.randrange(len(octets))]
