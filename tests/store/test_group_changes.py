# SPDX-License-Identifier: Apache-2.0
"""Changes of groups' keys: one open a group, drawn once, whoever asks, draws, or dies."""

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import Engine, delete

from openami.runtime.errors import UserError
from openami.store import broadcasts, group_changes, registry
from openami.store.broadcast_tables import groups
from openami.store.database import transaction
from openami.store.group_changes import ChangeState, GroupChange
from openami.store.registry import Meter

NORTH = bytes.fromhex("4F414DC000000001")
SOUTH = bytes.fromhex("4F414DC000000002")
WEST = bytes.fromhex("4F414DC000000003")
DYING = """
import os, signal, sys
from sqlalchemy import event
from openami.store import group_changes
from openami.store.database import open_database
engine = open_database(sys.argv[1])
(change,) = group_changes.due(engine, 1)
event.listen(engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL))
group_changes.carry_out(engine, change, b"drawn", b"drawn")
"""


@pytest.fixture(autouse=True)
def drawn(engine: Engine) -> None:
    for title in (NORTH, SOUTH):
        broadcasts.group(engine, title, lambda: b"first")


def ask(engine: Engine, *titles: bytes, reason: str = "stolen") -> tuple[str, list[bytes]]:
    return group_changes.ask(engine, titles, asked_by="ada", reason=reason, correlation="T-7")


def draw(engine: Engine, change: GroupChange) -> int | None:
    return group_changes.carry_out(engine, change, b"e", b"a")


def last(engine: Engine, title: bytes) -> GroupChange:
    found = {each.group.concentrator: each.last for each in group_changes.holdings(engine)}[title]
    assert found is not None
    return found


def at_once(act: Callable[[int], object]) -> list[object]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(act, range(8)))


def test_of_many_that_ask_or_draw_at_once_one_does(engine: Engine) -> None:
    asked = at_once(lambda number: ask(engine, NORTH, reason=f"reason {number}")[1])
    assert sorted(asked, key=str) == [[]] * 7 + [[NORTH]]

    (change,) = group_changes.due(engine, 10)
    assert at_once(lambda _: draw(engine, change)).count(2) == 1
    (group, _) = (each.group for each in group_changes.holdings(engine))
    assert (group.epoch, group.changed_by, group.reason) == (2, "ada", change.reason)
    assert (last(engine, NORTH).state, last(engine, NORTH).epoch) == (ChangeState.CHANGED, 2)
    assert ask(engine, NORTH)[1] == [NORTH]  # and again


def test_who_is_killed_before_it_is_written_leaves_all_as_it_was(engine: Engine, url: str) -> None:
    ask(engine, NORTH)
    killed = subprocess.run([sys.executable, "-c", DYING, url], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL

    (change,) = group_changes.due(engine, 10)
    assert broadcasts.known_groups(engine)[0].encryption == b"first"
    assert draw(engine, change) == 2
    assert group_changes.due(engine, 10) == []


def test_what_is_withdrawn_is_not_drawn_and_a_group_that_is_gone_says_so(engine: Engine) -> None:
    rotation, taken = ask(engine, SOUTH, NORTH)
    assert taken == [NORTH, SOUTH]
    north, south = group_changes.due(engine, 10)
    assert group_changes.withdraw(engine, rotation, "stopped by ada") == 2
    assert draw(engine, north) is None
    assert last(engine, NORTH).note == "stopped by ada"
    assert broadcasts.known_groups(engine)[0].epoch == 1

    second, _ = ask(engine, SOUTH)
    (south,) = group_changes.due(engine, 10)
    with transaction(engine) as connection:
        connection.execute(delete(groups).where(groups.c.concentrator == SOUTH))
    assert draw(engine, south) is None
    (failed,) = group_changes.changes(engine, second)
    assert failed.state is ChangeState.FAILED
    assert "never had a broadcast key: the first broadcast draws it" in failed.note
    (newest, _) = group_changes.rotations(engine, correlation="T-7")
    assert (newest.rotation, newest.groups) == (second, {ChangeState.FAILED: 1})
    with pytest.raises(UserError, match="never had a broadcast key"):
        ask(engine, NORTH, WEST)
    assert group_changes.due(engine, 10) == []


def test_what_did_not_come_about_rests_and_says_why(engine: Engine) -> None:
    ask(engine, NORTH)
    (change,) = group_changes.due(engine, 10)
    group_changes.postpone(engine, change.change_id, "the token is away", pause_s=60)
    assert group_changes.due(engine, 10) == []
    waits = last(engine, NORTH)
    assert (waits.state, waits.attempts, waits.note) == (ChangeState.OPEN, 1, "the token is away")


def test_holders_are_counted_beside_all_meters_and_listed_by_pages(engine: Engine) -> None:
    meter = Meter(
        meter_id=1,
        title=b"OAM00001",
        ldn="OAM0000000000001",
        region="north",
        concentrator=NORTH,
        installed_us=0,
        capture_period_s=1800,
    )
    registry.import_meters(engine, [meter, replace(meter, meter_id=2, title=b"OAM00002")])
    broadcasts.note_member(engine, 1, NORTH, 1)
    (north,) = group_changes.holdings(engine, limit=1)
    assert (north.holders, north.meters, north.regions) == (1, 2, ("north",))
    (south,) = group_changes.holdings(engine, after=NORTH)
    assert (south.group.concentrator, south.holders, south.last) == (SOUTH, 0, None)
    assert group_changes.with_keys(engine, ["north"]) == [NORTH]
