# SPDX-License-Identifier: Apache-2.0
"""What is read without being asked for: the day, the log, the gaps, and who is looked at."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from chain import (
    INSTALLED,
    NO_SCHEDULE,
    NOW,
    PERIOD,
    QUICK_SCHEDULE,
    Chain,
    decode_rows,
    row_of,
    until,
)
from loops import in_loop
from openami.exchange.events import EventCode
from openami.headend import schedule as module
from openami.headend.schedule import DAY_US
from openami.runtime.clock import real_us, to_us
from openami.store import data_quality, live, registry


async def start(chain: Chain) -> None:
    await chain.start_headend()
    await chain.start_concentrator()


async def end(chain: Chain) -> None:
    for meter in chain.meters.values():
        if meter.wire is not None:
            meter.wire.close()
    await chain.concentrator_ends()
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_each_meter_is_read_in_full_once_a_day(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=3)
    chain.schedule = replace(QUICK_SCHEDULE, daily_at_s=60_000)
    chain.meters[2].log_event(NOW - timedelta(hours=1), EventCode.FAILED_LOGIN)
    await start(chain)
    await chain.attach()
    await until(lambda: chain.headend.schedule.reads == 3)
    for number in chain.meters:
        row = registry.meter(chain.engine, number)
        assert row.source == f"home {number}, week of 2012-07-02"
        assert row.breaker == 1
        assert row.profile_read_us == to_us(NOW)
    (event,) = registry.events(chain.engine)
    assert (event.meter_id, event.code) == (2, EventCode.FAILED_LOGIN)
    assert event.at_us == to_us(NOW - timedelta(hours=1))
    messages = chain.stored()
    assert {message.kind for message in messages} == {"profile"}
    since = NOW - timedelta(hours=25)
    for number, meter in chain.meters.items():
        rows = [r for m in messages if m.meter_id == number for r in decode_rows(m.rows)]
        assert rows == [row for row in meter.rows() if row[0] >= to_us(since)]

    registry.set_source(chain.engine, 3, "")  # as if it had not known it at its start
    chain.headend.directory.take(registry.meter(chain.engine, 3))
    chain.now = NOW + timedelta(hours=5)  # between two days the event log alone
    chain.meters[3].log_event(NOW + timedelta(hours=1), EventCode.POWER_FAILURE)
    await until(lambda: len(registry.events(chain.engine)) == 2)
    assert chain.headend.schedule.reads == 3
    assert registry.events(chain.engine)[0].meter_id == 3
    await until(lambda: registry.meter(chain.engine, 3).source == "home 3, week of 2012-07-02")

    chain.now = NOW + timedelta(days=1)  # the next day: again, from where the last read ended
    await until(lambda: chain.headend.schedule.reads == 6)
    assert len(registry.events(chain.engine)) == 2
    await end(chain)


@in_loop
async def test_meters_are_spread_over_the_day(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    await chain.start_headend()
    schedule, settings = chain.headend.schedule, chain.headend.config.schedule
    now_us = to_us(NOW)
    moments = [schedule.due_us(meter_id, now_us) for meter_id in range(1, 1001)]
    assert all(now_us - DAY_US < moment <= now_us for moment in moments)
    offsets_s = sorted(moment % DAY_US / 1e6 - settings.daily_at_s for moment in moments)
    assert offsets_s[0] >= 0
    assert offsets_s[-1] < settings.spread_s
    tenth = settings.spread_s / 10
    parts = [sum(n * tenth <= o < (n + 1) * tenth for o in offsets_s) for n in range(10)]
    assert min(parts) > 80  # of 1000, 100 each
    await chain.headend_ends()
    chain.close()


@in_loop
async def test_gaps_are_read_back_by_range_in_pieces(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.schedule = replace(NO_SCHEDULE, look_s=0.05, gap_rows=7)
    await start(chain)
    registry.mark_profile_read(chain.engine, 1, to_us(NOW))
    chain.headend.directory.refresh()
    first, last = INSTALLED + 10 * PERIOD, INSTALLED + 30 * PERIOD  # 20 intervals
    await chain.attach()
    data_quality.open_gaps(chain.engine, [(1, to_us(first), to_us(last))], to_us(NOW))
    await until(lambda: chain.headend.schedule.backfills == 3)
    await until(lambda: data_quality.gaps(chain.engine)[0].attempts > 0)
    rows = [row for message in chain.stored() for row in decode_rows(message.rows)]
    assert rows == [row_of(1, index) for index in range(10, 30)]
    (gap,) = data_quality.gaps(chain.engine)
    assert gap.next_attempt_real_us > real_us()
    await end(chain)


@in_loop
async def test_a_gap_that_cannot_be_read_is_tried_again_with_growing_pauses(
    tmp_path: Path,
) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.schedule = replace(QUICK_SCHEDULE, retry_first_s=0.02)
    await start(chain)
    late = INSTALLED + timedelta(days=100)
    data_quality.open_gaps(chain.engine, [(1, to_us(late), to_us(late + PERIOD))], to_us(NOW))
    gaps = data_quality.gaps
    await until(lambda: gaps(chain.engine)[0].attempts >= 2)
    assert gaps(chain.engine)[0].last_error == "the meter cannot be reached"
    await chain.attach()
    wanted = "the meter has no rows of this time"
    await until(lambda: gaps(chain.engine)[0].last_error == wanted)
    schedule = chain.headend.schedule
    assert [schedule._pause_s(n) for n in range(4)] == [0.02, 0.04, 0.08, 0.16]
    assert schedule._pause_s(1000) == chain.schedule.retry_most_s
    await end(chain)


@in_loop
async def test_a_fault_of_ours_is_tried_again_with_growing_pauses_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(tmp_path, meters=1)
    chain.schedule = replace(QUICK_SCHEDULE, retry_first_s=0.02)
    await start(chain)
    with monkeypatch.context() as broken:

        async def fail(*_: object) -> bytes:
            await asyncio.sleep(0)
            raise ZeroDivisionError

        broken.setattr(module, "read_profile", fail)
        await chain.attach()
        late = INSTALLED + timedelta(hours=1)
        data_quality.open_gaps(chain.engine, [(1, to_us(late), to_us(late + PERIOD))], to_us(NOW))
        await until(lambda: data_quality.gaps(chain.engine)[0].attempts >= 2)
        assert data_quality.gaps(chain.engine)[0].last_error == "ZeroDivisionError()"
        await until(lambda: chain.headend.schedule._retries[1].failures >= 2)
    await until(lambda: chain.headend.schedule.reads == 1)
    await end(chain)


@in_loop
async def test_a_meter_that_somebody_looks_at_is_read_every_second(tmp_path: Path) -> None:
    chain = Chain(tmp_path, meters=2)
    chain.sessions = replace(chain.sessions, idle_s=10.0)
    await start(chain)
    await chain.attach()
    live.watch(chain.engine, 2, real_us() + 60_000_000)
    await until(lambda: chain.headend.watch.reads >= 2)
    values = {v.channel: v.value for v in live.latest(chain.engine)}
    assert values == {10: 402, 11: 2301, 12: 174, 3: chain.meters[2].rows()[-1][2]}
    entries = [e for e in live.feed_after(chain.engine, 0) if e.kind == "live"]
    assert {entry.meter_id for entry in entries} == {2}
    assert entries[0].body["power_w"] == 402
    assert chain.headend.sessions.opened == 1  # the association stays while somebody looks
    await end(chain)


@in_loop
async def test_every_meter_has_its_turn_where_few_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOOKED_AT", 2)
    monkeypatch.setattr(module, "READING_MOST", 1)
    chain = Chain(tmp_path, meters=5)
    chain.schedule = replace(QUICK_SCHEDULE, daily_at_s=60_000)
    await start(chain)
    await chain.attach()

    most = 0
    for _ in range(2000):
        most = max(most, len(chain.headend.schedule._reading))
        if chain.headend.schedule.reads == 5:
            break
        await asyncio.sleep(0.01)

    assert chain.headend.schedule.reads == 5
    assert most == 1
    await end(chain)
