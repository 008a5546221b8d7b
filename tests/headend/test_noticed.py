# SPDX-License-Identifier: Apache-2.0
"""Events that are told at once: each is in the log once, and told to pages and others once."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from openami.exchange.events import EventCode
from openami.headend.noticed import STATE_ALONE, Noticed, store_noticed
from openami.store import live, registry
from openami.store.accepted import Origin
from openami.store.database import open_database, transaction
from openami.store.tables import outbox
from store.test_registry import meter

EVENT = Noticed(
    meter_id=1,
    at_us=1_000_000,
    code=int(EventCode.POWER_RETURNED),
    seconds=12,
    received_us=2_000_000,
    received_real_us=2_000_000,
)


def origin(counter: int) -> Origin:
    return Origin(b"OAM\0\0\0\0\1", 1, counter)


def store(engine: Engine, *noticed: tuple[Noticed, int]) -> list[bool]:
    with transaction(engine) as connection:
        rows = [(each, origin(counter)) for each, counter in noticed]
        return store_noticed(connection, rows, publish=True)


@pytest.fixture
def known(tmp_path: Path) -> Iterator[Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'openami.db'}", create=True)
    registry.import_meters(engine, [meter(1)])
    yield engine
    engine.dispose()


@pytest.mark.parametrize("together", [False, True])
def test_an_event_is_told_once_however_often_it_comes(known: Engine, *, together: bool) -> None:
    alarm = replace(EVENT, seconds=0)
    told = [(alarm, 1), (EVENT, 2), (EVENT, 2), (EVENT, 3)]  # by alarm, by notice, sealed anew
    groups = [told] if together else [[each] for each in told]
    flags = [flag for group in groups for flag in store(known, *group)]
    assert flags == [True, True, False, True]
    (entry,) = [each for each in live.feed_after(known, 0) if each.kind == "event"]
    assert entry.body == {"code": EVENT.code, "seconds": 12 if together else 0}
    assert len(registry.events(known)) == 1
    with known.connect() as connection:
        assert len(connection.execute(select(outbox)).all()) == 1


def test_registers_alone_are_no_event(known: Engine) -> None:
    assert store(known, (replace(EVENT, code=STATE_ALONE), 1)) == [True]
    assert registry.events(known) == []
    assert [each.kind for each in live.feed_after(known, 0)] == []
