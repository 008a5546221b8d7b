# SPDX-License-Identifier: Apache-2.0
"""What links share: a transformer's wires, a radio channel, a cell; and its good and bad hours.

A medium is told the time of each question, in seconds of its own beginning; the same seed and the
same questions give the same answers.  Weather does not depend on the questions: rate, loss and
outages at a moment are the same whoever asks, and when.
"""

import random
from bisect import bisect_right
from enum import Enum
from typing import Final

from openami.transport.bearers.parameters import Bearer

DAY_S: Final = 86_400
HOUR_S: Final = 3_600

# How bad each hour is, from 0 to 1: appliances and lamps of an evening are what a power line hears.
EVENING: Final = (
    (0.15,) * 6 + (0.35, 0.5, 0.45, 0.3, 0.3, 0.35) + (0.4, 0.35, 0.3, 0.35, 0.5, 0.75)
    + (0.95, 1.0, 1.0, 0.85, 0.55, 0.3)
)  # fmt: skip


class Way(Enum):
    """From the device, or towards it."""

    UP = "up"
    DOWN = "down"


class Medium:
    """One medium, which links of several devices may share.

    Args:
        bearer: Its figures.
        seed: Decides all that is drawn.
        hour: Hour of the day at second 0, where `bearer.evening` asks for it.
    """

    def __init__(self, bearer: Bearer, seed: int = 0, hour: float = 0.0) -> None:
        self.bearer = bearer
        self.seed = seed
        self._hour = hour
        self._free_s = dict.fromkeys(Way, 0.0)
        self._outages = seeded(f"{seed} outages of {bearer.name}")
        self._spells: dict[str, tuple[int, float]] = {}
        self._begins: list[float] = []
        self._ends: list[float] = []

    def rate_bit_s(self, way: Way, now_s: float) -> float:
        """Return the usable rate of this spell."""
        rates = self.bearer.up_bit_s if way is Way.UP else self.bearer.down_bit_s
        return rates.at(self._spell(f"rate {way.value}", now_s))

    def loss(self, now_s: float) -> float:
        """Return the share of attempts that fail in this spell, or at this hour."""
        bearer = self.bearer
        if not bearer.evening:
            return bearer.loss.at(self._spell("loss", now_s))
        hour = int(self._hour + now_s / HOUR_S) % 24
        badness = 0.8 * EVENING[hour] + 0.2 * self._spell("loss", now_s)
        return bearer.loss.low + badness * (bearer.loss.high - bearer.loss.low)

    def back_s(self, now_s: float) -> float:
        """Return when the medium is there again: `now_s` itself unless there is an outage."""
        if not self.bearer.outage_every_s:
            return now_s
        while not self._ends or self._ends[-1] <= now_s:
            begin = (self._ends[-1] if self._ends else 0.0) + self._outages.expovariate(
                1 / self.bearer.outage_every_s
            )
            self._begins.append(begin)
            self._ends.append(begin + self.bearer.outage_s.at(self._outages.random()))
        row = bisect_right(self._ends, now_s)
        return self._ends[row] if self._begins[row] <= now_s else now_s

    def occupy(self, way: Way, now_s: float, airtime_s: float) -> float:
        """Take the medium as soon as it is free; return when the airtime is over."""
        begin = max(now_s, self._free_s[way])
        end = begin + airtime_s
        for each in Way if self.bearer.half_duplex else (way,):
            self._free_s[each] = end
        return end

    def free_s(self, way: Way) -> float:
        """Return when the medium will be free, as far as is known now."""
        return self._free_s[way]

    def _spell(self, what: str, now_s: float) -> float:
        spell = int(now_s / self.bearer.spell_s)
        if (known := self._spells.get(what)) is None or known[0] != spell:
            known = self._spells[what] = spell, seeded(f"{self.seed} {what} {spell}").random()
        return known[1]


def seeded(seed: str) -> random.Random:
    """Return a source of what models draw; nothing here has to be hard to guess."""
    return random.Random(seed)  # noqa: S311
