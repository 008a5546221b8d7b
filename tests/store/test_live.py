# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from sqlalchemy import Engine

from openami.store import live
from openami.store.database import transaction
from openami.store.live import Entry, Latest


def value(start_us: int, number: int) -> Latest:
    return Latest(
        meter_id=1, channel=1, start_us=start_us, value=number, quality=0, received_us=start_us
    )


def test_an_older_value_never_replaces_a_newer_one(engine: Engine) -> None:
    live.put_latest(engine, [value(20, 2)])
    live.put_latest(engine, [value(10, 1)])
    assert live.latest(engine) == [value(20, 2)]

    live.put_latest(engine, [value(20, 3), value(30, 4)])
    live.put_latest(engine, [])
    assert live.latest(engine, meter_ids=[1], channels=[1]) == [value(30, 4)]
    assert live.latest(engine, channels=[2]) == []


def test_the_feed_is_followed_by_number_and_pruned_from_the_old_end(engine: Engine) -> None:
    assert live.feed_end(engine) == 0
    entries = [Entry(kind="live", meter_id=1, at_us=n, body={"w": n}) for n in range(10)]
    live.append_feed(engine, entries)

    end = live.feed_end(engine)
    assert [entry.body for entry in live.feed_after(engine, end - 2)] == [{"w": 8}, {"w": 9}]
    assert len(live.feed_after(engine, 0, limit=3)) == 3

    live.prune_feed(engine, keep=4)
    assert [entry.at_us for entry in live.feed_after(engine, 0)] == [6, 7, 8, 9]
    live.append_feed(engine, entries[:1])
    assert live.feed_end(engine) == end + 1


def test_a_watch_lasts_as_long_as_the_longest_wish(engine: Engine) -> None:
    live.watch(engine, 1, 100)
    live.watch(engine, 1, 50)
    live.watch(engine, 2, 60)

    assert live.watched(engine, 55) == [1, 2]
    assert live.watched(engine, 60) == [1]
    assert live.watched(engine) == []


@pytest.mark.parametrize("backend", ["postgresql"])  # SQLite has one writer
def test_a_reader_of_the_feed_never_passes_an_open_transaction(engine: Engine) -> None:
    """Else it would go on from a higher number and never see the lower one."""
    entry = live.Entry(kind="command", meter_id=1, at_us=1, body={})
    with ThreadPoolExecutor(1) as pool:
        with transaction(engine) as slow:
            live.append_feed(slow, [entry])
            later = pool.submit(live.append_feed, engine, [entry])
            wait({later}, timeout=0.3)
            assert live.feed_after(engine, 0) == []
        later.result()
    assert [found.feed_id for found in live.feed_after(engine, 0)] == [1, 2]
