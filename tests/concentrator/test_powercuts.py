# SPDX-License-Identifier: Apache-2.0
"""The power is cut while the registry or the plans are written: whole transactions are left.

The write-ahead log is the only file that grows between checkpoints.  What lay in it when a write
returned was synchronised; what was written behind may be there, be cut at any place, or hold
rubbish.
"""

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loops import in_loop
from openami.concentrator.plans import Plans, RequestState
from openami.concentrator.registry import Registry, Seen
from openami.exchange.field import NoticeCode
from openami.exchange.orders import Plan, SealedRequest

NOW = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
STEP_OCTETS = 1013
METERS = [b"OAM" + number.to_bytes(5) for number in range(6)]


def cuts(file: Path, synced: list[int]) -> Iterator[tuple[int, Path]]:
    """Yield how many writes had returned, and a folder with what the cut left of the file."""
    main, log = file.read_bytes(), file.with_name(file.name + "-wal").read_bytes()
    left = file.parent / "cut" / file.name
    left.parent.mkdir(exist_ok=True)
    for done, (start, end) in enumerate(itertools.pairwise(synced)):
        for length in sorted({start, end - 1, *range(start, end, STEP_OCTETS)}):
            for rubbish in (b"", os.urandom(max(0, end - length))):
                left.write_bytes(main)
                left.with_name(left.name + "-wal").write_bytes(log[:length] + rubbish)
                left.with_name(left.name + "-shm").unlink(missing_ok=True)
                yield done, left


@in_loop
async def test_of_the_registry(tmp_path: Path) -> None:
    file = tmp_path / "meters.db"
    log = file.with_name("meters.db-wal")
    registry = Registry(file)
    synced, states = [log.stat().st_size], [(0, 0, 0)]
    for number, title in enumerate(METERS, start=1):
        registry.attach(title, "tls", f"10.0.0.{number}:4000", NOW)
        registry.see(METERS[0], Seen(round_trip_us=100, sent=1), NOW)
        registry.note(NoticeCode.QUOTA_FULL, NOW, title, "why" * 50)
        if number == 4:
            registry.told([1, 2])
        await registry.flush()
        synced.append(log.stat().st_size)
        states.append((number, number, 2 * number - (2 if number >= 4 else 0)))
    assert len(set(synced)) == len(synced)  # each flush wrote
    for done, left in cuts(file, synced):
        found = Registry(left)
        first = found.link(METERS[0])
        sent = 0 if first is None else first.sent
        state = len(found), sent, len(found.untold(100))
        found._connection.close()
        assert state in (states[done], states[done + 1]), done
    assert not list((tmp_path / "cut").glob("*.damaged-*"))
    await registry.close()


def test_of_the_plans(tmp_path: Path) -> None:
    file = tmp_path / "plans.db"
    log = file.with_name("plans.db-wal")
    plans = Plans(file)
    requests = tuple(
        SealedRequest(due=NOW + timedelta(hours=hour), octets=b"\xdd\x04\0\0\0" + bytes([hour]))
        for hour in range(5)
    )
    plan = Plan(title=METERS[0], offline_only=True, requests=requests)
    steps: list[Callable[[], None]] = [
        lambda: plans.replace(plan),
        lambda: plans.note(METERS[0], 1, RequestState.SENT),
        lambda: plans.note(METERS[0], 1, RequestState.ANSWERED),
        lambda: plans.replace(replace(plan, requests=requests[:2])),
    ]
    synced, states = [log.stat().st_size], [plans.counts()]
    for step in steps:
        step()
        synced.append(log.stat().st_size)
        states.append(plans.counts())
    for done, left in cuts(file, synced):
        found = Plans(left)
        counts = found.counts()
        found.close()
        assert counts in (states[done], states[done + 1]), done
    plans.close()
