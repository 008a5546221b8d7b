# SPDX-License-Identifier: Apache-2.0
"""How often and how long customers were without supply: SAIFI, SAIDI, CAIDI.  No clock.

As IEEE Std 1366 names them [from memory; the numbers of a regulator follow its own text]: of the
sustained interruptions that began in a period, each customer's counted by itself,

    SAIFI = interruptions / customers served
    SAIDI = minutes without supply / customers served
    CAIDI = SAIDI / SAIFI, the minutes of one interruption

An interruption is sustained when it lasted longer than `sustained_us`; the others are momentary.
All its minutes belong to the period in which it began; one that is not over counts up to now.  A
customer is a meter of the topology as it is now.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

SUSTAINED_US: Final = 5 * 60 * 1_000_000
MINUTE_US: Final = 60 * 1_000_000


class Span(NamedTuple):
    """One meter without supply; `returned_us` is None while it is."""

    meter_id: int
    lost_us: int
    returned_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Indices:
    """What became of a group of customers."""

    customers: int
    sustained: int  # interruptions
    momentary: int
    minutes: float  # of the sustained ones, all customers together

    @property
    def saifi(self) -> float | None:
        return self.sustained / self.customers if self.customers else None

    @property
    def saidi_min(self) -> float | None:
        return self.minutes / self.customers if self.customers else None

    @property
    def caidi_min(self) -> float | None:
        return self.minutes / self.sustained if self.sustained else None


def indices(
    spans: Iterable[Span], customers: int, now_us: int, sustained_us: int = SUSTAINED_US
) -> Indices:
    """Return the indices of interruptions of one group."""
    sustained = momentary = 0
    total_us = 0
    for span in spans:
        lasted_us = (now_us if span.returned_us is None else span.returned_us) - span.lost_us
        if lasted_us > sustained_us:
            sustained += 1
            total_us += lasted_us
        else:
            momentary += 1
    return Indices(
        customers=customers,
        sustained=sustained,
        momentary=momentary,
        minutes=total_us / MINUTE_US,
    )
