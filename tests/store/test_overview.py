# SPDX-License-Identifier: Apache-2.0
"""The fleet counted and turned over by the database."""

import pytest
from sqlalchemy import Engine

from openami.exchange.commands import CommandKind, CommandState
from openami.store import commands, data_quality, live, overview, registry
from openami.store.overview import GapCount, Installed, MeterFilter, MeterState, Standing, Told

HOUR_US = 3_600_000_000
NORTH, SOUTH = b"OAMCONC1", b"OAMCONC2"


@pytest.fixture
def four(engine: Engine) -> Engine:
    """Meters 1 to 3 in the north, 4 in the south; hours, so that periods need 64 bits in us."""
    registry.import_meters(
        engine,
        [
            registry.Meter(
                meter_id=number,
                title=b"OAM\x00\x00\x00\xab" + bytes([number]),
                ldn=f"OAM{number:013d}",
                region="south" if number == 4 else "north",
                concentrator=SOUTH if number == 4 else NORTH,
                installed_us=number * HOUR_US,
                capture_period_s=3600,
                source="50% of <home> 3" if number == 2 else "",
                breaker=0 if number == 3 else None,
            )
            for number in range(1, 5)
        ],
    )
    registry.set_attached(engine, {1: True, 2: False, 4: True}, 7)
    data_quality.open_gaps(engine, [(1, 0, 5 * HOUR_US), (4, 0, HOUR_US)], 0)
    data_quality.attempt(engine, data_quality.gaps(engine, meter_id=4)[0].gap_id, 0, "silent")
    return engine


def test_a_fleet_is_counted_by_region(four: Engine) -> None:
    assert overview.regions(four) == ["north", "south"]
    assert (overview.count(four), overview.count(four, "north")) == (4, 3)
    assert overview.standing(four) == {
        "north": Standing(3, 1, 1, frozenset({NORTH})),
        "south": Standing(1, 1, 0, frozenset({SOUTH})),
    }
    assert overview.period_s(four, "north") == 3600
    assert overview.period_s(four, "nowhere") == 0
    assert sorted(overview.installed(four, 3 * HOUR_US)) == [
        Installed("north", 3600, 3 * HOUR_US, 3),
        Installed("south", 3600, 4 * HOUR_US, 1),
    ]
    assert overview.open_gaps(four, 1) == GapCount(gaps=2, intervals=6, meters=2, hard=1)
    assert overview.open_gaps(four, 2).hard == 0
    assert data_quality.open_gaps_of(four, [1, 2, 4]) == {1: 1, 4: 1}


def test_an_empty_store_has_nothing(engine: Engine) -> None:
    assert overview.standing(engine) == {}
    assert overview.open_gaps(engine, 1) == GapCount(0, 0, 0, 0)
    assert overview.page_of_meters(engine, MeterFilter(), limit=10) == ([], 0)


def test_what_a_region_told_is_summed_by_interval(four: Engine) -> None:
    def value(meter_id: int, start_us: int, value: int, channel: int = 1) -> live.Latest:
        return live.Latest(
            meter_id=meter_id,
            channel=channel,
            start_us=start_us,
            value=value,
            quality=0,
            received_us=start_us,
        )

    live.put_latest(
        four,
        [value(1, 5, 10), value(2, 5, 20), value(3, 6, 40), value(4, 5, 80), value(1, 9, 9, 2)],
    )
    assert overview.told(four, 1) == {
        "north": [Told(6, 1, 40), Told(5, 2, 30)],
        "south": [Told(5, 1, 80)],
    }
    assert overview.told(four, 1, "south") == {"south": [Told(5, 1, 80)]}


@pytest.mark.parametrize(
    ("text", "region", "state", "found"),
    [
        ("", "", "", [1, 2, 3, 4]),
        ("", "north", "", [1, 2, 3]),
        ("", "", "attached", [1, 4]),
        ("", "", "detached", [2, 3]),
        ("", "", "disconnected", [3]),
        ("", "", "gaps", [1, 4]),
        ("oam0000000000004", "", "", [4]),  # its name, in other letters
        ("ab03", "", "", [3]),  # of the title's digits
        ("50% of <HOME>", "", "", [2]),
        ("5_%", "", "", []),  # no letter stands for others
        ("4", "north", "", [1, 2, 3]),  # in the titles: 4F is an O
        ("nowhere", "", "", []),
    ],
)
def test_the_table_is_filtered(
    four: Engine, text: str, region: str, state: MeterState, found: list[int]
) -> None:
    wanted = MeterFilter(text=text, region=region, state=state)
    rows, in_all = overview.page_of_meters(four, wanted, limit=10)
    assert [meter.meter_id for meter, _ in rows] == found
    assert in_all == len(found)


def test_the_table_is_turned_over(four: Engine) -> None:
    rows, in_all = overview.page_of_meters(four, MeterFilter(), limit=2, skipped=1)
    assert in_all == 4
    assert rows[0] == (
        registry.meter(four, 2),
        registry.Attachment(meter_id=2, attached=False, since_us=7),
    )
    assert rows[1] == (registry.meter(four, 3), None)
    assert registry.attachment(four, 2) == rows[0][1]
    assert registry.attachment(four, 3) is None
    rows, in_all = overview.page_of_meters(four, MeterFilter(), limit=2, after=3)
    assert ([meter.meter_id for meter, _ in rows], in_all) == ([4], 4)


def test_names_are_found_for_titles(four: Engine) -> None:
    title = registry.meter(four, 2).title
    assert registry.numbers(four, [title, b"OAM\xff\xff\xff\xff\xff"]) == {title: 2}


def test_commands_are_counted_in_all(four: Engine) -> None:
    for number in range(1, 4):
        commands.ask(
            four, meter_id=number, kind=CommandKind.READ, asked_by="test", reason="counted"
        )
    assert commands.count(four, {CommandState.REQUESTED, CommandState.SENT}) == 3
    assert commands.count(four, {CommandState.IN_DOUBT}) == 0
