# SPDX-License-Identifier: Apache-2.0
"""Last gasps over modelled bearers: those that are lost do not hide the transformer."""

import pytest

from openami.exchange.supply import Evidence, PingState, Supply
from openami.headend.config import OutageSettings
from openami.headend.grouping import Asked, Group, judge
from openami.transport.bearers.link import Link
from openami.transport.bearers.medium import Medium, Way, seeded
from openami.transport.bearers.parameters import preset

OCTETS = 28 + 45 + 8  # the notice, its seal, and the wrapper's header
RESERVE_S, JITTER_S = 5.0, 1.5
S = 1_000_000
METERS = range(1, 25)
OUTAGES = 40


def arrived(bearer: str, seed: int, lost_part: float) -> dict[int, float]:
    """Return which meters' only gasps arrive before their capacitors are empty, and when.

    Beside what the medium loses by itself, a part is lost because the street's repeaters have no
    supply either.
    """
    medium = Medium(preset(bearer), seed=seed)
    draw = seeded(f"gasps {bearer} {seed}")
    due = sorted((draw.uniform(0, JITTER_S), number) for number in METERS)
    found = {}
    for at_s, number in due:
        link = Link(medium, f"meter {number}")
        fate = link.send(Way.UP, OCTETS, at_s)
        while fate.again_s is not None and fate.again_s < RESERVE_S:
            fate = link.send(Way.UP, OCTETS, fate.again_s)
        if fate.arrival_s is not None and fate.arrival_s < RESERVE_S and draw.random() > lost_part:
            found[number] = fate.arrival_s
    return found


@pytest.mark.parametrize("bearer", ["plc-prime", "rf-mesh"])
@pytest.mark.parametrize("lost_part", [0.0, 0.5, 0.9])
def test_whatever_arrives_is_the_transformer(bearer: str, lost_part: float) -> None:
    rules = OutageSettings()
    told = 0
    for seed in range(OUTAGES):
        gasps = arrived(bearer, seed, lost_part)
        told += len(gasps)
        if not gasps:
            continue  # nobody told: seen when somebody asks, and not as an outage at once
        losses = {
            number: Supply(
                meter_id=number,
                lost_us=0,
                evidence=Evidence.GASP,
                found_real_us=round(at_s * S),
            )
            for number, at_s in gasps.items()
        }
        asked: dict[int, Asked] = {}
        for second in range(10, 60, 5):  # whoever is asked is silent
            group = Group(meters=frozenset(METERS), losses=losses, asked=asked)
            verdict = judge(group, rules, second * S)
            if not verdict.ask:
                break
            asked |= dict.fromkeys(verdict.ask, Asked(PingState.SILENT, second * S))
        assert set(verdict.dark) == set(METERS)
        assert len(asked) <= len(METERS) // 2
    if lost_part == 0.5:
        assert 0.2 * OUTAGES * len(METERS) < told < 0.6 * OUTAGES * len(METERS)
