# SPDX-License-Identifier: Apache-2.0
"""Values that cross thresholds: what register monitors and sensor managers have in common.

A value is above a threshold when it is greater and below when it is less; exactly at it, it stays
on the side where it was.  So an action is carried out once for each crossing, and the first look
at a value carries out none.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from openami.dlms.data import Data, FixedInteger, Float32, Float64


class Crossed(NamedTuple):
    """A threshold that was crossed, by its place in the list from 0."""

    number: int
    upwards: bool


class Sides:
    """On which side of each threshold a value was seen last."""

    def __init__(self) -> None:
        self._above: list[bool | None] = []

    def forget(self) -> None:
        """Begin anew: the thresholds are others."""
        self._above = []

    def look(self, value: Data, thresholds: Sequence[Data]) -> list[Crossed]:
        """Return what the value has crossed since the last look, in the order of crossing."""
        number = as_number(value)
        if number is None:
            return []
        if len(self._above) != len(thresholds):
            self._above = [None] * len(thresholds)
        found: list[tuple[float, Crossed]] = []
        for index, threshold in enumerate(thresholds):
            limit = as_number(threshold)
            if limit is None or number == limit:
                continue
            above = number > limit
            if self._above[index] not in {None, above}:
                found.append((limit, Crossed(index, above)))
            self._above[index] = above
        found.sort(key=lambda each: each[0] if each[1].upwards else -each[0])
        return [crossed for _, crossed in found]

    def state(self) -> tuple[bool | None, ...]:
        """Return the sides, one a threshold; None where the value was not seen off it yet."""
        return tuple(self._above)

    def restore(self, state: Any) -> None:  # noqa: ANN401  what `state` returned
        self._above = list(state)


def as_number(value: Data) -> float | None:
    """Return a value that can be compared; None for one that is no number."""
    if isinstance(value, FixedInteger | bool):
        return int(value)
    return float(value) if isinstance(value, Float32 | Float64) else None
