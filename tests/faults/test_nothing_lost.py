# SPDX-License-Identifier: Apache-2.0
"""Nothing acknowledged is lost: every process is killed, an uplink is cut for a day.

At the end every interval that metrology closed is in the store exactly once, value by value as in
the data set.
"""

import itertools
from pathlib import Path

import pytest

from openami.exchange.channels import Channel
from openami.exchange.quality import Quality
from openami.store.intervals import Lake
from system.ami import DAY_US, INSTALLED_US, PERIOD_US, Ami

METERS = 8
VICTIMS = (
    "metrology",
    "management",
    "meter",
    "fleet",
    "concentrator-north",
    "concentrator-south",
    "headend",
    "mdm",
    "web",
)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_every_interval_is_stored_exactly_once_whatever_dies(tmp_path: Path) -> None:
    with Ami(tmp_path, meters=METERS, speed=1800) as ami:
        ami.until(lambda: complete(ami, INSTALLED_US + DAY_US), "the first day is back-filled", 120)

        for victim in VICTIMS:
            ami.kill(victim)
        ami.cut("south")
        cut_us = ami.clock.now_us()
        ami.until(lambda: ami.clock.now_us() > cut_us + DAY_US, "a day without uplink", 120)
        assert ami.figures("concentrator-south")["journal"] >= METERS // 2
        ami.kill("concentrator-south")
        ami.mend("south")

        end_us = ami.clock.now_us() // PERIOD_US * PERIOD_US
        ami.until(lambda: complete(ami, end_us), "all intervals arrive", 180)
        journal_empty = "the journals are empty again"
        ami.until(
            lambda: all(depth(ami, region) <= METERS for region in ami.cables), journal_empty, 60
        )

    for meter_id in range(1, METERS + 1):
        values = ami.stored(meter_id, Channel.IMPORT_WH, end_us)
        expected = ami.expected(meter_id, INSTALLED_US, end_us)
        assert {start: value for start, (value, _) in values.items()} == expected
        estimated = [start for start, (_, quality) in values.items() if quality & Quality.ESTIMATED]
        assert estimated == []
        registers = ami.stored(meter_id, Channel.IMPORT_REGISTER, end_us)
        running = dict(zip(expected, itertools.accumulate(expected.values()), strict=True))
        assert {start: value for start, (value, _) in registers.items()} == running

    versions = Lake(ami.layout.lake).versions(None, None, INSTALLED_US, end_us)
    identity = versions.select("meter_id", "channel", "start", "version")
    assert identity.is_unique().all(), "a version of a value is stored twice"


def complete(ami: Ami, to_us: int) -> bool:
    """Tell whether every meter's measured values up to `to_us` are stored."""
    wanted = (to_us - INSTALLED_US) // PERIOD_US
    for meter_id in range(1, METERS + 1):
        values = ami.stored(meter_id, Channel.IMPORT_WH, to_us).values()
        if sum(not quality & Quality.ESTIMATED for _, quality in values) < wanted:
            return False
    return True


def depth(ami: Ami, region: str) -> int:
    """Return how many entries wait in a concentrator's journal."""
    return int(ami.figures(f"concentrator-{region}")["journal"])
