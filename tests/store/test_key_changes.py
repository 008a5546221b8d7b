# SPDX-License-Identifier: Apache-2.0
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from openami.runtime.errors import UserError
from openami.store import key_changes, keys, registry
from openami.store.key_changes import ChangeState, KeyChange
from openami.store.keys import KeyState
from openami.store.leases import LostLeaseError, Worker
from openami.store.registry import Meter, MeterKey

AWAY = 4  # a meter that hangs on a concentrator
WORKER, OTHER = Worker("headend", "1"), Worker("other", "1")


def claim(engine: Engine, worker: Worker = WORKER, limit: int = 10) -> list[KeyChange]:
    given = key_changes.claim(engine, worker, seconds=60.0, limit=limit)
    return [change for change, _ in given]


def ask(engine: Engine, *meter_ids: int) -> tuple[str, int]:
    return key_changes.ask(engine, meter_ids, asked_by="utility", reason="yearly")


@pytest.fixture(autouse=True)
def shipped(engine: Engine) -> None:
    registry.import_meters(
        engine,
        [
            Meter(
                meter_id=n,
                title=b"OAM" + n.to_bytes(5),
                ldn=f"OAM{n:013}",
                region="north",
                concentrator=bytes(8),
                installed_us=0,
                capture_period_s=1800,
                address=None if n == AWAY else "tcp://127.0.0.1:1",
            )
            for n in (1, 2, 3, AWAY)
        ],
    )
    registry.put_keys(
        engine,
        [
            MeterKey(meter_id=n, key_name="guek", epoch=1, state="active", wrapped=b"w")
            for n in (1, 2, 3)
        ],
    )


def test_two_that_ask_at_once_get_one_change_a_meter(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        asked = list(pool.map(lambda _: ask(engine, 1, 2, 3), range(8)))
    assert sum(count for _, count in asked) == 3
    assert len(claim(engine)) == 3


def test_a_claim_is_one_workers(engine: Engine) -> None:
    ask(engine, 1, 2, 3)
    assert len(claim(engine, limit=2)) == 2
    assert len(claim(engine, OTHER)) == 1
    assert claim(engine, OTHER) == []
    assert len(claim(engine, Worker("headend", "2"))) == 2  # restarted, it goes on at once


def test_who_lost_its_lease_postpones_nothing(engine: Engine) -> None:
    ask(engine, 1)
    ((change, lease),) = key_changes.claim(engine, WORKER, seconds=60.0, limit=1)
    claim(engine, Worker("headend", "2"))
    with pytest.raises(LostLeaseError):
        key_changes.postpone(engine, change.change_id, "away", pause_s=60.0, lease=lease)
    assert key_changes.changes(engine, change.rotation)[0].attempts == 0


def test_what_ended_can_be_asked_for_again(engine: Engine) -> None:
    rotation, _ = ask(engine, 1)
    (change,) = claim(engine, limit=1)
    key_changes.end(engine, change.change_id, ChangeState.REFUSED, "the meter said no")
    key_changes.end(engine, change.change_id, ChangeState.CHANGED, "too late")
    (ended,) = key_changes.changes(engine, rotation)
    assert (ended.state, ended.note) == (ChangeState.REFUSED, "the meter said no")
    assert ask(engine, 1)[1] == 1


def test_progress_is_counted_by_rotation(engine: Engine) -> None:
    first, _ = ask(engine, 1, 2)
    second, count = ask(engine, 2, 3)
    assert count == 1  # meter 2 is changed by the first already
    change = claim(engine, limit=1)[0]
    key_changes.end(engine, change.change_id, ChangeState.CHANGED, "epoch 2 holds")
    newest, oldest = key_changes.rotations(engine)
    assert (newest.rotation, dict(newest.meters)) == (second, {ChangeState.OPEN: 1})
    assert oldest.rotation == first
    assert dict(oldest.meters) == {ChangeState.OPEN: 1, ChangeState.CHANGED: 1}


def test_what_was_sent_is_not_withdrawn(engine: Engine) -> None:
    rotation, _ = ask(engine, 1, 2, 3)
    changes = claim(engine, limit=3)
    epochs = [key_changes.prepare(engine, each, {"guek": b"new"}) for each in changes[:2]]
    prepared = {KeyState.PREPARED}
    keys.step(engine, changes[0].meter_id, epochs[0], prepared, KeyState.SENT, "sent")
    assert key_changes.withdraw(engine, rotation, "not now") == 2
    states = {each.meter_id: each.state for each in key_changes.changes(engine, rotation)}
    assert states == {
        1: ChangeState.OPEN,
        2: ChangeState.WITHDRAWN,
        3: ChangeState.WITHDRAWN,
    }
    meter_id, epoch = changes[1].meter_id, epochs[1]
    assert not keys.step(engine, meter_id, epoch, prepared, KeyState.SENT, "a worker that slept")
    with pytest.raises(UserError, match="withdrawn"):
        key_changes.prepare(engine, changes[2], {"guek": b"new"})
    assert [each.epoch for each in keys.epochs(engine, changes[2].meter_id)] == [1]


def test_what_did_not_arrive_is_withdrawn(engine: Engine) -> None:
    rotation, _ = ask(engine, 1)
    (change,) = claim(engine, limit=1)
    epoch = key_changes.prepare(engine, change, {"guek": b"new"})
    keys.step(engine, 1, epoch, {KeyState.PREPARED}, KeyState.SENT, "sent")
    keys.prove(engine, 1, 1, "answered")
    assert key_changes.withdraw(engine, rotation, "not now") == 1


@pytest.mark.parametrize("names", [(), ("lls", "guek"), ("kek",), ("gak", "kek")])
def test_keys_that_cannot_be_changed_so_are_refused(engine: Engine, names: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="are not changed: give guek"):
        key_changes.ask(engine, [1], asked_by="a", reason="b", key_names=names)


def test_a_worker_takes_the_meters_that_it_can_reach(engine: Engine) -> None:
    ask(engine, AWAY)
    assert claim(engine, limit=1) == []
    registry.set_attached(engine, {AWAY: True}, 0, worker="other")
    assert claim(engine, limit=1) == []
    assert len(claim(engine, OTHER)) == 1
