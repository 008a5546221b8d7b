# SPDX-License-Identifier: Apache-2.0
"""A campaign's meters counted where they lie agree with meters counted one by one."""

import json
from collections import Counter
from itertools import cycle, pairwise
from random import Random
from typing import Final

import pytest
from sqlalchemy import Engine, insert, select

from openami.exchange.campaign import MeterState
from openami.headend import campaign_report
from openami.headend.campaign_report import BAD
from openami.store import campaign_sums
from openami.store.campaign_meters import Target, target_of
from openami.store.database import reading, transaction
from openami.store.tables import campaign_meters as table

NAME, OTHER = "0" * 36, "1" * 36
METERS: Final = 2500
STATES: Final = list(MeterState)


@pytest.fixture
def targets(engine: Engine) -> list[Target]:
    """Enter meters of two campaigns; return those of the first."""
    draw = Random(7)
    rows = [
        {
            "campaign_id": NAME if number < METERS else OTHER,
            "meter_id": number,
            "open": 1 if number % 3 == 0 else None,
            "wave": number % 4,
            "state": state.value,
            "reason": draw.choice(["", "refused"]),
            "version_before": draw.choice(["", "1.0"]),
            "version_after": draw.choice(["", "1.1"]),
            "blocks": 24,
            "blocks_sent": draw.randrange(60),
            "octets_sent": draw.randrange(10**7),
            "blocks_heard": draw.randrange(24),
            "transferred_real_us": draw.choice([None, draw.randrange(10**12)]),
            "changed_real_us": draw.randrange(10**12),
        }
        for number, state in zip(range(METERS + 9), cycle(STATES), strict=False)
    ]
    with transaction(engine) as connection:
        connection.execute(insert(table), rows)
    with reading(engine) as connection:
        query = select(table).where(table.c.campaign_id == NAME).order_by(table.c.meter_id)
        return [target_of(row) for row in connection.execute(query).mappings()]


def test_sums_and_kinds_are_those_of_the_meters(engine: Engine, targets: list[Target]) -> None:
    assert campaign_sums.sums(engine, NAME) == (
        sum(each.octets_sent for each in targets),
        sum(each.blocks_sent for each in targets),
        sum(each.blocks_heard for each in targets),
        sum(max(0, each.blocks_sent - each.blocks) for each in targets),
    )
    kinds = {kind[:4]: kind.meters for kind in campaign_sums.kinds(engine, NAME)}
    assert kinds == Counter(
        (each.state, each.reason, each.version_before, each.version_after) for each in targets
    )
    assert campaign_sums.sums(engine, "2" * 36) == (0, 0, 0, 0)
    assert campaign_sums.moves(engine, "2" * 36, BAD) == []


def test_a_line_over_time_is_as_long_as_it_may_be_and_ends_at_the_counts(
    engine: Engine, targets: list[Target]
) -> None:
    line = campaign_report.timeline(campaign_sums.moves(engine, NAME, BAD, most=50))
    assert 50 < len(line) <= 3 * 51
    assert line[-1][1:] == [
        sum(each.transferred_real_us is not None for each in targets),
        sum(each.state is MeterState.CONFIRMED for each in targets),
        sum(each.state in BAD for each in targets),
    ]
    pairs = [pair for rows in pairwise(line) for pair in zip(*rows, strict=True)]
    assert all(before <= after for before, after in pairs)
    exact = campaign_sums.moves(engine, NAME, BAD, most=10**12)
    assert len(exact) == sum(line[-1][1:])


def test_meters_come_by_pages_and_a_report_as_json_has_each_once(
    engine: Engine, targets: list[Target]
) -> None:
    page = campaign_report.meters(engine, NAME, after=7, limit=2)
    assert [each["meter_id"] for each in page] == [8, 9]
    text = "".join(
        campaign_report.as_json({"name": "x"}, campaign_report.every_meter(engine, NAME))
    )
    told = json.loads(text)
    assert told["name"] == "x"
    assert [each["meter_id"] for each in told["meters"]] == [each.meter_id for each in targets]

    first = campaign_sums.first_looked_at(engine, NAME, BAD, limit=1000)
    ranks = [0 if each.state in BAD else 1 if each.meter_id % 3 == 0 else 2 for each in first]
    assert (len(first), ranks) == (1000, sorted(ranks))
