# SPDX-License-Identifier: Apache-2.0
from collections.abc import Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine

from mdm.made import T0, fleet
from openami.mdm.intake import Intake
from openami.runtime.clock import FixedClock
from openami.store import registry
from openami.store.database import open_database
from openami.store.interval_writer import IntervalWriter

ZONE = ZoneInfo("Australia/Sydney")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    registry.import_meters(engine, fleet(3))
    yield engine
    engine.dispose()


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[IntervalWriter]:
    writer = IntervalWriter(tmp_path / "lake")
    yield writer
    writer.close()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(T0 + 86_400_000_000)


@pytest.fixture
def intake(engine: Engine, writer: IntervalWriter, clock: FixedClock) -> Intake:
    return Intake(engine, writer, ZONE, 1800, clock.now_us)
