# SPDX-License-Identifier: Apache-2.0
"""Which service levels a bearer can keep: pushes of a region's meters over a model of their links.

Each interval, each meter pushes one message after a random delay; it is repeated until the receipt
is there, and meters of one concentrator share its medium.  Sizes are those of a protected push of
one interval, four channels, over TCP.  What the concentrator and head-end add is not in it: they
take milliseconds.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import polars as pl

from openami.headend.sla import OBSERVATIONS
from openami.runtime.clock import MICROSECONDS
from openami.transport.bearers.link import STREAM_HEADER_OCTETS, Link
from openami.transport.bearers.medium import DAY_S, Medium, Way, seeded
from openami.transport.bearers.parameters import Bearer

PUSH_OCTETS: Final = 160
REPEAT_FIRST_S: Final = 30.0
REPEAT_MOST_S: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What is modelled.

    Attributes:
        bearer: Between meters and concentrator, or base station.
        meters: How many in all.
        together: How many share a medium.
        days: How long.
        period_s: Of the intervals.
        spread_s: The most that a meter waits before it pushes.
        seed: Decides all that is drawn.
    """

    bearer: Bearer
    meters: int = 100
    together: int = 50
    days: int = 1
    period_s: int = 1800
    spread_s: float = 600.0
    seed: int = 0


def studied(
    study: Study, begins_us: int, told: Callable[[int, int], None] = lambda _done, _all: None
) -> pl.DataFrame:
    """Return when each value was there, in the columns of `sla.OBSERVATIONS`.

    Args:
        study: What is modelled.
        begins_us: A local midnight, where the study begins.
        told: Hears how many media are done, of how many.
    """
    media = -(-study.meters // study.together)
    frames = []
    for number in range(media):
        first = number * study.together
        meters = range(first, min(first + study.together, study.meters))
        frames.append(_medium(study, number, meters, begins_us))
        told(number + 1, media)
    return pl.concat(frames)


def _medium(study: Study, number: int, meters: range, begins_us: int) -> pl.DataFrame:
    medium = Medium(study.bearer, seed=study.seed * 1_000_003 + number)
    links = {meter: Link(medium, f"meter {meter}") for meter in meters}
    draw = seeded(f"{study.seed} pushes {number}")
    end_s = study.days * DAY_S
    # A meter's next message waits until the one before has arrived: one connection, in order.
    waiting: list[tuple[float, int, float, int]] = []  # when, meter, interval's end, attempts
    for meter in meters:
        offset_s = draw.uniform(0, study.spread_s)
        heapq.heappush(waiting, (study.period_s + offset_s, meter, float(study.period_s), 0))
    offsets = {meter: at_s - ended_s for at_s, meter, ended_s, _ in waiting}
    rows: list[tuple[int, str, int, int | None]] = []
    while waiting:
        now_s, meter, ended_s, attempts = heapq.heappop(waiting)
        octets = PUSH_OCTETS + STREAM_HEADER_OCTETS
        fate = links[meter].send(Way.UP, octets, now_s, acknowledged=True)
        if fate.again_s is not None:
            heapq.heappush(waiting, (fate.again_s, meter, ended_s, attempts))
            continue
        if fate.arrival_s is None:
            pause_s = min(REPEAT_MOST_S, REPEAT_FIRST_S * 2**attempts)
            again_s = max(now_s, fate.over_s) + pause_s * draw.uniform(0.5, 1.0)
            heapq.heappush(waiting, (again_s, meter, ended_s, min(attempts + 1, 16)))
            continue
        rows.append(
            (meter + 1, study.bearer.name, _us(begins_us, ended_s), _us(begins_us, fate.arrival_s))
        )
        next_s = ended_s + study.period_s
        if next_s <= end_s:
            due_s = max(fate.arrival_s, next_s + offsets[meter])
            heapq.heappush(waiting, (due_s, meter, next_s, 0))
    return pl.DataFrame(rows, schema=OBSERVATIONS, orient="row")


def _us(begins_us: int, after_s: float) -> int:
    return begins_us + round(after_s * MICROSECONDS)
