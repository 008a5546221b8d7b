# SPDX-License-Identifier: Apache-2.0
import itertools
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from openami.runtime.errors import UserError
from openami.store import counters, keys, leases, registry
from openami.store.keys import TRANSITIONS, KeysChangingError, KeyState
from openami.store.leases import Kind, Lease, LostLeaseError, Worker
from openami.store.registry import Meter, MeterKey

NAMES = ("gak", "guek", "kek", "lls")
STATES = list(KeyState)


@pytest.fixture(autouse=True)
def shipped(engine: Engine) -> None:
    meter = Meter(
        meter_id=1,
        title=b"OAM\x00\x00\x00\x00\x01",
        ldn="OAM0000000000001",
        region="north",
        concentrator=bytes(8),
        installed_us=0,
        capture_period_s=1800,
    )
    registry.import_meters(engine, [meter])
    registry.put_keys(
        engine,
        [
            MeterKey(meter_id=1, key_name=n, epoch=1, state="active", wrapped=b"1" + n.encode())
            for n in NAMES
        ],
    )


def states(engine: Engine) -> dict[int, KeyState]:
    return {each.epoch: each.state for each in keys.epochs(engine, 1)}


def prepare(engine: Engine) -> int:
    return keys.prepare(engine, 1, {"guek": b"new guek", "gak": b"new gak"}, "yearly")


def send(engine: Engine, epoch: int) -> bool:
    return keys.step(engine, 1, epoch, {KeyState.PREPARED}, KeyState.SENT, "sent")


def test_a_prepared_epoch_takes_over_what_is_not_changed(engine: Engine) -> None:
    assert prepare(engine) == 2
    newest, shipped = keys.epochs(engine, 1)
    assert newest.state is KeyState.PREPARED
    assert newest.wrapped == {**shipped.wrapped, "guek": b"new guek", "gak": b"new gak"}


def test_new_keys_that_are_proven_retire_those_before(engine: Engine) -> None:
    send(engine, prepare(engine))
    keys.prove(engine, 1, 2, "answered")
    keys.prove(engine, 1, 2, "answered")  # once more changes nothing
    assert states(engine) == {1: KeyState.RETIRED, 2: KeyState.ACTIVE}
    assert [(step.epoch, step.state) for step in keys.history(engine, 1)] == [
        (2, KeyState.PREPARED),
        (2, KeyState.SENT),
        (1, KeyState.RETIRED),
        (2, KeyState.ACTIVE),
    ]


def test_keys_before_that_are_proven_void_those_sent(engine: Engine) -> None:
    send(engine, prepare(engine))
    keys.prove(engine, 1, 1, "answered")
    assert states(engine) == {1: KeyState.ACTIVE, 2: KeyState.VOID}
    assert prepare(engine) == 3  # a number is never given twice


def test_what_was_sent_must_be_proven_before_a_second_change(engine: Engine) -> None:
    send(engine, prepare(engine))
    with pytest.raises(KeysChangingError, match="may hold key epoch 2"):
        prepare(engine)


def test_what_was_only_prepared_gives_way(engine: Engine) -> None:
    first, second = prepare(engine), prepare(engine)
    assert states(engine) == {1: KeyState.ACTIVE, first: KeyState.VOID, second: KeyState.PREPARED}
    assert not send(engine, first)


def test_a_worker_that_comes_late_proves_nothing(engine: Engine) -> None:
    send(engine, prepare(engine))
    keys.prove(engine, 1, 2, "answered")
    keys.prove(engine, 1, 1, "said a worker that slept")
    assert states(engine) == {1: KeyState.RETIRED, 2: KeyState.ACTIVE}


def test_of_many_workers_one_sends(engine: Engine) -> None:
    epoch = prepare(engine)
    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(lambda _: send(engine, epoch), range(16))) == 1


def test_counters_go_on_with_new_keys_unless_few_are_left(engine: Engine) -> None:
    counters.reserve(engine, 1, 1, 500)
    send(engine, prepare(engine))
    assert counters.next_counter(engine, 1, 2) == 501
    keys.prove(engine, 1, 2, "answered")
    counters.skip_to(engine, 1, 2, counters.LIMIT - 5)
    assert counters.next_counter(engine, 1, prepare(engine)) == counters.FIRST


def test_a_meter_without_keys_is_refused(engine: Engine) -> None:
    with pytest.raises(UserError, match="no active keys"):
        keys.prepare(engine, 2, {"guek": b"x"}, "yearly")


@pytest.mark.parametrize(("before", "after"), list(itertools.product(STATES, STATES)))
def test_every_state_meets_every_state(engine: Engine, before: KeyState, after: KeyState) -> None:
    key = MeterKey(meter_id=1, key_name="guek", epoch=9, state=before.value, wrapped=b"w")
    registry.put_keys(engine, [key])
    if after in TRANSITIONS[before]:
        assert keys.step(engine, 1, 9, {before}, after, "why")
        assert states(engine)[9] is after
        assert not keys.step(engine, 1, 9, {before}, after, "again")
    else:
        with pytest.raises(UserError, match="prepare another epoch"):
            keys.step(engine, 1, 9, {before}, after, "why")
        assert states(engine)[9] is before


def lease(engine: Engine, life: str = "1") -> Lease:
    """Take the meter; another life of the worker takes it over from the one before."""
    (given,) = leases.take(engine, Kind.METER, ["1"], Worker("a", life), 60)
    return given


def test_a_master_key_is_in_doubt_from_before_an_agreement_until_an_epoch_with_it(
    engine: Engine,
) -> None:
    mine, epoch = lease(engine), prepare(engine)
    keys.begin_agreement(engine, mine, 1, "agreeing")
    keys.begin_agreement(engine, mine, 1, "agreeing anew")
    fresh, active = keys.epochs(engine, 1)
    assert active.master_key_in_doubt
    assert active.master_key == b"1kek"
    assert keys.end_agreement(engine, mine, 1, epoch, b"agreed", "agreed")
    send(engine, epoch)
    keys.prove(engine, 1, epoch, "answered")
    fresh, active = keys.epochs(engine, 1)
    assert not fresh.master_key_in_doubt
    assert fresh.master_key == b"agreed"
    assert active.master_key == b"1kek"


def test_an_epoch_after_an_unheard_agreement_has_the_former_master_key(engine: Engine) -> None:
    keys.begin_agreement(engine, lease(engine), 1, "agreeing")
    prepare(engine)
    fresh, active = keys.epochs(engine, 1)
    assert set(fresh.wrapped) == set(NAMES)
    assert fresh.master_key == active.master_key == b"1kek"


def test_an_agreement_for_an_epoch_that_is_no_longer_prepared_is_not_kept(engine: Engine) -> None:
    mine, epoch = lease(engine), prepare(engine)
    keys.begin_agreement(engine, mine, 1, "agreeing")
    keys.void_unsent(engine, 1, epoch, "withdrawn")
    assert not keys.end_agreement(engine, mine, 1, epoch, b"agreed", "agreed")
    assert keys.epochs(engine, 1)[0].master_key == b"1kek"


def test_a_worker_that_lost_the_meter_writes_no_agreement(engine: Engine) -> None:
    late, epoch = lease(engine), prepare(engine)
    keys.begin_agreement(engine, late, 1, "agreeing")
    lease(engine, "2")
    for write in (
        lambda: keys.begin_agreement(engine, late, 1, "late"),
        lambda: keys.end_agreement(engine, late, 1, epoch, b"late", "late"),
    ):
        with pytest.raises(LostLeaseError):
            write()
    assert keys.epochs(engine, 1)[0].master_key == b"1kek"
