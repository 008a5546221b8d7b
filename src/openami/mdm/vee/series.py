# SPDX-License-Identifier: Apache-2.0
"""What rules look at: one meter's channel on its grid of intervals, and what a rule answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from openami.exchange.channels import Channel
from openami.mdm.vee.limits import Limits

Int64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

Numbers = Mapping[str, int | float | str | None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """A local day of a channel, with intervals before it for rules that look back.

    Attributes:
        channel: What is measured.
        values: In the channel's unit; meaningless where not `present`.
        present: Whether there is a value, measured or estimated.
        expected: Whether there should be one: the meter was there, the interval has ended.
        estimated: Whether the value is an estimate.
        register: The running total at the end of each interval.
        register_present: Whether that is there.
        differing: Whether two measured values were received for the interval.
        dark: Whether the meter was without supply in the interval.
        day: Index of the day's first interval; what stands before it is look-back.
    """

    channel: Channel
    values: Int64
    present: Bool
    expected: Bool
    estimated: Bool
    register: Int64
    register_present: Bool
    differing: Bool
    dark: Bool
    day: int


class Flag(NamedTuple):
    """A rule's objection: the interval (index into the series) and the rule's own numbers."""

    at: int
    numbers: Numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A row in the table of rules.

    Attributes:
        code: Dotted name of the finding.
        check: What looks.
        suspect: Whether a flagged interval becomes suspect; else the finding is a remark.
        whole_day: Whether the rule needs the day to have ended.
        channels: Which channels it looks at.
    """

    code: str
    check: Callable[[Series, Limits], list[Flag]]
    suspect: bool
    whole_day: bool
    channels: frozenset[Channel] = frozenset({Channel.IMPORT_WH, Channel.EXPORT_WH})


def runs(mask: Bool) -> list[tuple[int, int]]:
    """Return [first, after) of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(first), int(after)) for first, after in edges.reshape(-1, 2)]
