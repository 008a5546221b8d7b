# SPDX-License-Identifier: Apache-2.0
"""What service levels are held to, out of a real store."""

import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from sqlalchemy import Engine

from openami.exchange.commands import CommandKind, CommandState
from openami.exchange.quality import Quality
from openami.headend.sla import OBSERVATIONS, Data
from openami.headend.slaobserved import observed
from openami.runtime.clock import real_us
from openami.store import commands, commissioning, registry
from openami.store.commands import ask
from openami.store.commissioning import NEXT
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter
from openami.store.intervals import Lake
from openami.store.registry import Event
from store.test_intervals import HALF_HOUR_US, NO_RAW, T0, readings
from store.test_registry import meter


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    yield engine
    engine.dispose()


def test_values_that_are_due_are_there_or_missing_and_an_estimate_is_none(
    engine: Engine, tmp_path: Path
) -> None:
    registry.import_meters(engine, [replace(meter(1), installed_us=T0)])
    late = pl.col("start").dt.epoch("us") + 3 * HALF_HOUR_US
    measured = readings((1, 1, 0, 5, 1), (1, 1, 2, 5, 1), (1, 2, 1, 5, 1)).with_columns(
        late.alias("received_us")
    )
    estimated = readings((1, 1, 1, 5, 1)).with_columns(
        pl.lit(int(Quality.ESTIMATED), pl.Int16).alias("quality")
    )
    with closing(IntervalWriter(tmp_path / "lake")) as writer:
        others = readings((9, 1, 0, 5, 1))  # with it the store begins, at T0
        writer.append(1, pl.concat([measured, estimated, others]), NO_RAW)
    found = observed(engine, Lake(tmp_path / "lake"), Data.INTERVAL, T0, T0 + 3 * HALF_HOUR_US)
    assert found.schema == OBSERVATIONS
    assert found.sort("from_us").rows() == [
        (1, "north", T0 + HALF_HOUR_US, T0 + 3 * HALF_HOUR_US),
        (1, "north", T0 + 2 * HALF_HOUR_US, None),
        (1, "north", T0 + 3 * HALF_HOUR_US, T0 + 5 * HALF_HOUR_US),
    ]


def test_nobody_owes_what_was_before_a_meter_was_in_service(engine: Engine, tmp_path: Path) -> None:
    meters = [replace(meter(number), installed_us=T0 - 96 * HALF_HOUR_US) for number in (1, 2, 3)]
    registry.import_meters(engine, meters)
    commissioning.ask(engine, [2, 3], asked_by="ada", reason="new")
    for stage in NEXT:
        assert commissioning.advance(engine, 2, stage, "")
    lake, end_us = Lake(tmp_path / "lake"), T0 + 4 * HALF_HOUR_US
    never = observed(engine, lake, Data.INTERVAL, T0, end_us)
    assert never["meter_id"].to_list() == [1] * 4  # nothing has come at all: that is missing
    came = pl.lit(T0 + HALF_HOUR_US, pl.Int64).alias("received_us")
    with closing(IntervalWriter(tmp_path / "lake")) as writer:
        writer.append(1, readings((1, 1, 0, 5, 1), (2, 1, 0, 5, 1)).with_columns(came), NO_RAW)
    late = observed(engine, lake, Data.INTERVAL, T0 - 96 * HALF_HOUR_US, end_us)
    assert late.sort("from_us").select("meter_id", "from_us").rows() == [
        (1, T0 + slot * HALF_HOUR_US) for slot in (2, 3, 4)
    ]
    now_us = real_us() + HALF_HOUR_US  # meter 2 is in service since a moment ago
    due = observed(engine, lake, Data.INTERVAL, now_us - HALF_HOUR_US, now_us)
    assert set(due["meter_id"]) == {1, 2}

    logged = [
        Event(meter_id=number, at_us=at_us, code=1, received_us=T0 + HALF_HOUR_US)
        for number in (1, 3)
        for at_us in (T0, T0 + HALF_HOUR_US)
    ]
    registry.add_events(engine, logged)
    told = observed(engine, lake, Data.EVENT, T0 - HALF_HOUR_US, end_us)
    assert told.select("meter_id", "from_us").rows() == [(1, T0 + HALF_HOUR_US)]


def test_no_meters_owe_nothing(engine: Engine, tmp_path: Path) -> None:
    for data in Data:
        assert observed(engine, Lake(tmp_path / "lake"), data, T0, T0 + 1).is_empty()


def test_a_command_is_done_when_it_is_confirmed(engine: Engine, tmp_path: Path) -> None:
    registry.import_meters(engine, [meter(1), meter(2)])
    done = ask(engine, meter_id=1, kind=CommandKind.READ, asked_by="a", reason="b")
    ask(engine, meter_id=2, kind=CommandKind.DISCONNECT, asked_by="a", reason="b")
    steps = (
        CommandState.REQUESTED,
        CommandState.RESERVED,
        CommandState.SENT,
        CommandState.CONFIRMED,
    )
    for before, after in itertools.pairwise(steps):
        assert commands.advance(engine, done, {before}, after, "")
    lake, far = Lake(tmp_path / "lake"), 2**62
    (read,) = observed(engine, lake, Data.READ, 0, far).rows()
    assert read[:2] == (1, "north")
    assert read[3] == commands.history(engine, done)[-1].at_real_us
    (switch,) = observed(engine, lake, Data.SWITCH, 0, far).rows()
    assert (switch[0], switch[3]) == (2, None)


def test_events_are_there_when_they_were_received(engine: Engine, tmp_path: Path) -> None:
    registry.import_meters(engine, [replace(meter(1), installed_us=0)])
    registry.add_events(
        engine, [Event(meter_id=1, at_us=at, code=1, received_us=at + 9) for at in (5, 50, 500)]
    )
    found = observed(engine, Lake(tmp_path / "lake"), Data.EVENT, 50, 500)
    assert found.rows() == [(1, "north", 50, 59)]
