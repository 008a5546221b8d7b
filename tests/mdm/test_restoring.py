# SPDX-License-Identifier: Apache-2.0
"""A lake that lost what it had confirmed is filled again from the meters."""

import logging
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import Engine

from mdm.made import PERIOD_US, T0, load, message
from openami.mdm.gaps import GapFinder
from openami.mdm.intake import Intake
from openami.mdm.restoring import count_anew_if_apart
from openami.runtime.clock import FixedClock
from openami.store import data_quality, inbox
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter

UNTIL_US = T0 + 20 * PERIOD_US


def drain(intake: Intake, *slots: range) -> None:
    for each in slots:
        inbox.put(intake.engine, [(message(1, load(each, 1)), None)])
        intake.drain()


def open_gaps(engine: Engine, writer: IntervalWriter, clock: FixedClock) -> list[tuple[int, int]]:
    GapFinder(
        engine=engine,
        lake=writer.lake,
        now_us=clock.now_us,
        grace_us=lambda: clock.now_us() - UNTIL_US,
    ).run()
    gaps = data_quality.gaps(engine)
    return [(gap.from_us, gap.to_us) for gap in gaps if gap.meter_id == 1 and gap.state == "open"]


def test_a_lake_that_has_all_batches_is_left_alone(
    engine: Engine, writer: IntervalWriter, intake: Intake
) -> None:
    drain(intake, range(10), range(10, 20))
    inbox.put(engine, [(message(1, load(range(20, 21), 1)), None)])
    inbox.claim(engine, 10)  # a batch under way is nothing that the lake lacks

    assert not count_anew_if_apart(engine, writer, UNTIL_US)


@pytest.mark.parametrize("damage", ["moved away", "newest entry torn"])
def test_what_the_lake_lost_becomes_a_gap(
    damage: str,
    intake: Intake,
    clock: FixedClock,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine, writer = intake.engine, intake.writer
    drain(intake, range(10), range(10, 20))
    assert open_gaps(engine, writer, clock) == []

    writer.close()
    if damage == "moved away":
        shutil.rmtree(writer.lake.folder)
        lost = (T0, UNTIL_US)
    else:
        entry = max((writer.lake.folder / "readings" / "_delta_log").glob("*.json"))
        entry.write_bytes(entry.read_bytes()[:100])
        lost = (T0 + 10 * PERIOD_US, UNTIL_US)
    again = IntervalWriter(tmp_path / "lake")
    with caplog.at_level(logging.ERROR):
        assert count_anew_if_apart(engine, again, UNTIL_US)

    assert "lacks batches up to 2 that it had" in caplog.text
    assert open_gaps(engine, again, clock) == [lost]
    writer._lock = again._lock


def test_a_store_older_than_the_lake_counts_what_the_lake_has(
    intake: Intake, clock: FixedClock, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine, writer = intake.engine, intake.writer
    drain(intake, range(10))
    older = tmp_path / "older.db"
    with (
        closing(sqlite3.connect(tmp_path / "openami.db")) as now,
        closing(sqlite3.connect(older)) as copy,
    ):
        now.backup(copy)
    drain(intake, range(10, 20))
    restored = open_database(f"sqlite:///{older}")
    with caplog.at_level(logging.ERROR):
        assert count_anew_if_apart(restored, writer, UNTIL_US)
    assert "the store knows nothing of the last ones" in caplog.text
    assert open_gaps(restored, writer, clock) == open_gaps(engine, writer, clock)
    Intake(restored, writer, intake.zone, 1800, clock.now_us)
    assert not count_anew_if_apart(restored, writer, UNTIL_US)
    restored.dispose()
